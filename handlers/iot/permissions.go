package iot

import "github.com/rescindhq/rescind/handlers"

// The permissions are those of "Actions, resources, and condition keys for AWS IoT" (Service Authorization
// Reference). An execution is authorized on its job and on its thing. Force needs no other action.
const (
	jobARN   = "arn:{partition}:iot:{region}:{account}:job/*"
	thingARN = "arn:{partition}:iot:{region}:{account}:thing/*"
)

// Permissions are on job and thing, and those of the listing on the job.
func (h *executionHandler) Permissions() []handlers.Permission {
	return []handlers.Permission{
		{For: handlers.ToRead, Action: "iot:DescribeJobExecution", Resources: []string{jobARN, thingARN}},
		{For: handlers.ToCancel, Action: "iot:CancelJobExecution", Resources: []string{jobARN, thingARN}},
		{For: handlers.ToConfirm, Action: "iot:ListJobExecutionsForJob", Resources: []string{jobARN}},
	}
}

// Permissions are on the job.
func (h *jobHandler) Permissions() []handlers.Permission {
	return []handlers.Permission{
		{For: handlers.ToRead, Action: "iot:DescribeJob", Resources: []string{jobARN}},
		{For: handlers.ToCancel, Action: "iot:CancelJob", Resources: []string{jobARN}},
	}
}
