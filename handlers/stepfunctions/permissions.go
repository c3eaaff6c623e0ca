package stepfunctions

import "github.com/rescindhq/rescind/handlers"

// Permissions are those of "Actions, resources, and condition keys for AWS Step Functions" (Service
// Authorization Reference). An execution's ARN is execution:MACHINE:NAME; its listing is on the state machine. What
// keys of encrypted executions need besides is the key policy's.
func (h *handler) Permissions() []handlers.Permission {
	executions := []string{"arn:{partition}:states:{region}:{account}:execution:*"}
	return []handlers.Permission{
		{For: handlers.ToRead, Action: "states:DescribeExecution", Resources: executions},
		{For: handlers.ToCancel, Action: "states:StopExecution", Resources: executions},
		{For: handlers.ToConfirm, Action: "states:ListExecutions", Resources: []string{"arn:{partition}:states:{region}:{account}:stateMachine:*"}},
	}
}
