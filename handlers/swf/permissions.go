package swf

import "github.com/rescindhq/rescind/handlers"

// Permissions are those of "Actions, resources, and condition keys for Amazon Simple Workflow Service"
// (Service Authorization Reference): all on the domain, whose ARN names no region. The two listings tell which run is
// meant where a command leaves runId out; that of closed runs also proves for many.
func (h *handler) Permissions() []handlers.Permission {
	row := func(use handlers.Use, action string) handlers.Permission {
		return handlers.Permission{For: use, Action: action, Resources: []string{"arn:{partition}:swf::{account}:/domain/*"}}
	}
	all := []handlers.Permission{
		row(handlers.ToRead, "swf:DescribeWorkflowExecution"),
		row(handlers.ToRead, "swf:ListOpenWorkflowExecutions"),
		row(handlers.ToRead, "swf:ListClosedWorkflowExecutions"),
		row(handlers.ToCancel, string(h.action)),
		row(handlers.ToConfirm, "swf:ListClosedWorkflowExecutions"),
	}
	if h.asks {
		all = append(all, row(handlers.ToEscalate, "swf:TerminateWorkflowExecution"))
	}
	return all
}
