package emr

import "github.com/rescindhq/rescind/handlers"

// Permissions are those of "Actions, resources, and condition keys for Amazon Elastic MapReduce" (Service
// Authorization Reference): both on the cluster. Listings and the stronger option need no others.
func (h *handler) Permissions() []handlers.Permission {
	clusters := []string{"arn:{partition}:elasticmapreduce:{region}:{account}:cluster/*"}
	return []handlers.Permission{
		{For: handlers.ToRead, Action: "elasticmapreduce:ListSteps", Resources: clusters},
		{For: handlers.ToCancel, Action: "elasticmapreduce:CancelSteps", Resources: clusters},
	}
}
