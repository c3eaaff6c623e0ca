package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/permissions"
	"github.com/rescindhq/rescind/worker/preflight"
)

// checkPermissions asks IAM which of the worker's permissions its policies allow. IAM simulates the policies of the user or
// role, its boundary and the organisation's, and no queue's, topic's or key's own ("SimulatePrincipalPolicy", IAM API
// Reference).
func (d *doctor) checkPermissions(ctx context.Context, all *queues) []Line {
	const check = "permissions"
	who, failed := d.principal(ctx)
	if failed != nil {
		return []Line{*failed}
	}
	rows, err := permissions.Rows(permissions.Worker, d.deployment(all))
	if err != nil {
		return []Line{{check, who, Unknown, "not checked: " + err.Error(), "correct what is said here of the settings"}}
	}
	var lines []Line
	allowed := 0
	for _, asked := range grouped(rows) {
		decisions, took, err := preflight.Ask(ctx, func(ctx context.Context) ([]decision, error) { return d.simulate(ctx, who, asked) })
		if err != nil {
			return append(lines, notSimulated(who, err, took))
		}
		for _, each := range decisions {
			if len(each.refused) == 0 {
				allowed++
				continue
			}
			lines = append(lines, missing(who, each))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, Line{check, who, Good, fmt.Sprintf("all %d of rescind iam worker are allowed", allowed), ""})
	}
	if d.o.Permissions.Role != "" {
		lines = append(lines, Line{"permissions elsewhere", d.o.Permissions.Role, Unknown, "not checked: which other accounts have this role is not known here",
			"in such an account, compare with:\n  rescind iam target-account-role"})
	}
	return lines
}

// missing is the line of an action that is not allowed. Without some, a worker starts all the same.
func missing(who string, each decision) Line {
	result, without := Mend, ""
	if each.action == "servicequotas:ListServiceQuotas" || each.action == "sns:GetTopicAttributes" {
		result, without = Warning, "; a worker does without"
	}
	on := each.refused[0]
	if more := len(each.refused) - 1; more > 0 {
		on += fmt.Sprintf(" and %d more", more)
	}
	return Line{"permissions", who, result, fmt.Sprintf("%s on %s is not allowed (%s)%s", each.action, on, each.made, without),
		"attach to it what this prints, in the worker's environment:\n  rescind iam worker"}
}

// notSimulated is the line where IAM gives no answer.
func notSimulated(who string, err error, took time.Duration) Line {
	line := unread("permissions", who, "", err, took)
	var said smithy.APIError
	if errors.As(err, &said) && said.ErrorCode() == "NoSuchEntity" {
		line.Says, line.Do = "not checked: IAM knows no such user or role in this account", "name the worker's own: --worker-role ARN"
	}
	return line
}

// principal is whose permissions are checked. IAM takes no ARN of a role's session, in which the role's path is missing; it
// says the role's own ARN.
func (d *doctor) principal(ctx context.Context) (string, *Line) {
	if d.o.WorkerRole != "" {
		return d.o.WorkerRole, nil
	}
	arn, ok := handlers.ParseARN(d.caller)
	switch {
	case !ok:
		return "", &Line{"permissions", "", Unknown, "not checked: whose these credentials are is not known", "name the worker's role: --worker-role ARN"}
	case arn.Service == "iam" && strings.HasPrefix(arn.Resource, "user/"):
		return d.caller, nil
	case arn.Service == "sts" && strings.HasPrefix(arn.Resource, "assumed-role/"):
		name := strings.Split(arn.Resource, "/")[1]
		out, _, err := preflight.Ask(ctx, func(ctx context.Context) (*iam.GetRoleOutput, error) {
			return iam.NewFromConfig(d.aws).GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
		})
		if err == nil && out.Role != nil && aws.ToString(out.Role.Arn) != "" {
			return *out.Role.Arn, nil
		}
		return "arn:" + arn.Partition + ":iam::" + arn.Account + ":role/" + name, nil // right, if it has no path
	}
	return "", &Line{"permissions", d.caller, Unknown, "not checked: IAM simulates users and roles alone", "name the worker's role: --worker-role ARN"}
}

// deployment is what the worker needs permissions for, by what was found.
func (d *doctor) deployment(all *queues) *permissions.Deployment {
	p := d.o.Permissions
	p.Account, p.Region, p.Regions = cmp.Or(d.account, all.account), d.aws.Region, d.o.Preflight.Regions
	if len(p.Regions) == 0 {
		p.Regions = []string{p.Region}
	}
	for _, q := range all.commands {
		p.QueueARNs = append(p.QueueARNs, d.arnOf(q))
		if target := q.redrive.DeadLetterARN; d.o.Preflight.DeadLetterURL == "" && target != "" && !slices.Contains(p.DeadLetterARNs, target) {
			p.DeadLetterARNs = append(p.DeadLetterARNs, target)
		}
	}
	if d.o.Preflight.DeadLetterURL != "" {
		p.DeadLetterARNs, p.DeadLettersNamed = []string{d.arnOf(all.deadLetters[0])}, true
	}
	if all.state != nil {
		p.StateQueueARN = d.arnOf(all.state)
	}
	p.TopicARN = d.o.Preflight.TopicARN
	p.Table, _ = strings.CutPrefix(d.o.Ledger, "dynamodb:")
	if p.Table == d.o.Ledger {
		p.Table = ""
	}
	p.Role = "" // in accounts that are not known here
	return &p
}

// question is what IAM is asked at once: actions, each on each of the resources.
type question struct{ actions, resources []string }

// grouped joins the rows that have the same resources, as a policy does.
func grouped(rows []permissions.Row) (groups []question) {
	at := map[string]int{}
	for _, row := range rows {
		key := strings.Join(row.Resources, " ")
		i, known := at[key]
		if !known {
			i = len(groups)
			at[key] = i
			groups = append(groups, question{resources: row.Resources})
		}
		if !slices.Contains(groups[i].actions, row.Action) {
			groups[i].actions = append(groups[i].actions, row.Action)
		}
	}
	return groups
}

// decision is IAM's word for an action: on which of the resources it is not allowed, and how that was decided.
type decision struct {
	action  string
	refused []string
	made    types.PolicyEvaluationDecisionType
}

// sample stands for any resource of a kind, where a policy has a wildcard: whether IAM simulates a wildcard is not documented.
const sample = "rescind-doctor"

// simulate asks IAM one question. Its answer has a result for each action, which has one for each resource, unless the
// resource is "*"; in the examples of users it has one for each pair.
func (d *doctor) simulate(ctx context.Context, who string, asked question) ([]decision, error) {
	pattern := map[string]string{} // by what is asked in its place
	var resources []string
	for _, each := range asked.resources {
		concrete := each
		if each != "*" {
			concrete = strings.ReplaceAll(each, "*", sample)
		}
		pattern[concrete] = each
		resources = append(resources, concrete)
	}
	decided := map[string]*decision{}
	pages := iam.NewSimulatePrincipalPolicyPaginator(iam.NewFromConfig(d.aws), &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: &who, ActionNames: asked.actions, ResourceArns: resources,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("simulating policies: %w", err)
		}
		for _, result := range page.EvaluationResults {
			decideOn(decided, result, pattern)
		}
	}
	all := make([]decision, 0, len(asked.actions))
	for _, action := range asked.actions {
		one := decided[action]
		if one == nil {
			one = &decision{action, asked.resources, "no answer"}
		}
		all = append(all, *one)
	}
	return all, nil
}

// decideOn adds a result to what was decided of its action.
func decideOn(decided map[string]*decision, result types.EvaluationResult, pattern map[string]string) {
	action := aws.ToString(result.EvalActionName)
	one := decided[action]
	if one == nil {
		one = &decision{action: action}
		decided[action] = one
	}
	add := func(resource string, made types.PolicyEvaluationDecisionType) {
		if made != types.PolicyEvaluationDecisionTypeAllowed {
			one.refused, one.made = append(one.refused, cmp.Or(pattern[resource], resource)), made
		}
	}
	for _, each := range result.ResourceSpecificResults {
		add(aws.ToString(each.EvalResourceName), each.EvalResourceDecision)
	}
	if len(result.ResourceSpecificResults) == 0 {
		add(aws.ToString(result.EvalResourceName), result.EvalDecision)
	}
}
