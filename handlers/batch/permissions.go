package batch

import "github.com/rescindhq/rescind/handlers"

// Permissions are those of "Actions, resources, and condition keys for AWS Batch" (Service Authorization
// Reference): the bulk calls are authorized as CancelJob and TerminateJob on each job, and DescribeJobs
// on no resource.
func (h *handler) Permissions() []handlers.Permission {
	jobs := []string{"arn:{partition}:batch:{region}:{account}:job/*"}
	all := []handlers.Permission{
		{For: handlers.ToRead, Action: "batch:DescribeJobs", Resources: []string{"*"}},
		{For: handlers.ToCancel, Action: string(h.action), Resources: jobs},
	}
	if !h.stopsRunning {
		all = append(all, handlers.Permission{For: handlers.ToEscalate, Action: "batch:TerminateJob", Resources: jobs})
	}
	return all
}
