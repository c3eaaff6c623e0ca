package handlers

import "strings"

// ARNUse says whether a parameter is an ARN, which names the account and region of its target.
type ARNUse int

// The uses. The set is closed.
const (
	NoARN    ARNUse = iota // an id, whatever it looks like
	MayBeARN               // an ARN where it begins "arn:", else an id
	IsARN
)

// ARN is an Amazon Resource Name, taken apart.
type ARN struct {
	Partition, Service, Region, Account, Resource string
}

// ParseARN takes an ARN apart: "arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE" ("Identify AWS resources
// with ARNs", IAM User Guide). It is not ok where one of the first three or the resource is missing; region
// and account may be empty, as some services have them.
func ParseARN(text string) (a ARN, ok bool) {
	parts := strings.SplitN(text, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[2] == "" || parts[5] == "" {
		return ARN{}, false
	}
	return ARN{parts[1], parts[2], parts[3], parts[4], parts[5]}, true
}

// partitions are those beside "aws", by how the names of their regions begin (AWS SDK for Go v2,
// internal/endpoints/awsrulesfn/partitions.json).
var partitions = []struct{ prefix, partition string }{
	{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"}, {"us-isob-", "aws-iso-b"},
	{"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"}, {"eusc-", "aws-eusc"},
}

// PartitionOf is the partition of a region. One that is not known is of "aws".
func PartitionOf(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}
