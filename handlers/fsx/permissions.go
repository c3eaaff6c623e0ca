package fsx

import "github.com/rescindhq/rescind/handlers"

// Permissions are those of "Actions, resources, and condition keys for Amazon FSx" (Service Authorization
// Reference): tasks can be cancelled by ARN, and be described on no resource alone.
func (h *handler) Permissions() []handlers.Permission {
	return []handlers.Permission{
		{For: handlers.ToRead, Action: "fsx:DescribeDataRepositoryTasks", Resources: []string{"*"}},
		{For: handlers.ToCancel, Action: "fsx:CancelDataRepositoryTask", Resources: []string{"arn:{partition}:fsx:{region}:{account}:task/*"}},
	}
}
