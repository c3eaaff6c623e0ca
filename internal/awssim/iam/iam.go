package iam

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// IAM has the policies of users and roles. Its methods are safe for concurrent use.
type IAM struct {
	mu       sync.Mutex
	policies map[string]*Policy // by the principal's ARN
}

// New returns IAM without a policy. Any user and role is there.
func New() *IAM { return &IAM{policies: map[string]*Policy{}} }

// Put gives a principal a policy; nil takes it away.
func (i *IAM) Put(principal string, p *Policy) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.policies[principal] = p
}

// Service says how IAM is called.
func (i *IAM) Service() *service.Service {
	return &service.Service{
		Name: "iam", Protocol: service.Query, XMLNS: "https://iam.amazonaws.com/doc/2010-05-08/",
		Throttled: service.Refuse("Throttling", "Rate exceeded"),
		Denied:    &service.Error{Status: 403, Code: "AccessDenied", Message: "The caller is not authorized to perform this action."},
		Operations: map[string]service.Operation{
			"GetRole":                 service.Action(func(in *service.Form) []string { return []string{in.Text("RoleName")} }, i.getRole),
			"SimulatePrincipalPolicy": service.Action(func(in *service.Form) []string { return []string{in.Text("PolicySourceArn")} }, i.simulate),
		},
	}
}

type (
	roleOutput struct {
		Role role `xml:"Role"`
	}
	role struct {
		Path       string `xml:"Path"`
		RoleName   string `xml:"RoleName"`
		RoleID     string `xml:"RoleId"`
		Arn        string `xml:"Arn"`
		CreateDate string `xml:"CreateDate"`
	}
	simulateOutput struct {
		Results     []evaluation `xml:"EvaluationResults>member"`
		IsTruncated bool         `xml:"IsTruncated"`
	}
	evaluation struct {
		Action   string      `xml:"EvalActionName"`
		Resource string      `xml:"EvalResourceName"`
		Decision string      `xml:"EvalDecision"`
		Specific []evaluated `xml:"ResourceSpecificResults>member"`
	}
	evaluated struct {
		Resource string `xml:"EvalResourceName"`
		Decision string `xml:"EvalResourceDecision"`
	}
)

// getRole returns the role of a name (API_GetRole): one that was put in, with its path, or else one without a path.
func (i *IAM) getRole(_ context.Context, c *service.Call, in *service.Form) (*roleOutput, error) {
	name := in.Text("RoleName")
	arn := "arn:aws:iam::" + c.Account + ":role/" + name
	i.mu.Lock()
	defer i.mu.Unlock()
	for each := range i.policies {
		if strings.HasPrefix(each, "arn:aws:iam::"+c.Account+":role/") && strings.HasSuffix(each, "/"+name) {
			arn = each
		}
	}
	path := strings.TrimSuffix(arn[strings.Index(arn, ":role/")+len(":role"):], name)
	return &roleOutput{role{Path: path, RoleName: name, RoleID: "AROA" + c.Account, Arn: arn, CreateDate: "2026-01-01T00:00:00Z"}}, nil
}

// simulate says which actions a principal's policy allows on which resources (API_SimulatePrincipalPolicy): a result for each
// action, which has one for each resource, unless the resource is "*". Of its answers there is never a second page, of
// its other parameters none is read. The ARN of a session of a role is refused, by the words that AWS has in public
// issues of its users.
func (i *IAM) simulate(_ context.Context, _ *service.Call, in *service.Form) (*simulateOutput, error) {
	principal := in.Text("PolicySourceArn")
	if !strings.Contains(principal, ":user/") && !strings.Contains(principal, ":role/") && !strings.Contains(principal, ":group/") {
		return nil, service.Refuse("InvalidInput", "Invalid Entity Arn: %s does not clearly define entity type and name.", principal)
	}
	actions, resources := values(in.List("ActionNames")), values(in.List("ResourceArns"))
	if len(actions) == 0 {
		return nil, service.Refuse("InvalidInput", "1 validation error detected: Value at 'actionNames' failed to satisfy constraint: Member must not be null")
	}
	everything := len(resources) == 0 || slices.Equal(resources, []string{"*"})
	i.mu.Lock()
	p := i.policies[principal]
	i.mu.Unlock()
	out := &simulateOutput{}
	for _, action := range actions {
		if everything {
			out.Results = append(out.Results, evaluation{Action: action, Resource: "*", Decision: p.decides(action, "*")})
			continue
		}
		result := evaluation{Action: action, Resource: "*", Decision: "allowed"}
		for _, resource := range resources {
			decision := p.decides(action, resource)
			result.Specific = append(result.Specific, evaluated{resource, decision})
			if decision != "allowed" {
				result.Decision = decision
			}
		}
		out.Results = append(out.Results, result)
	}
	return out, nil
}

// decides is the simulation's word for an access, without a context.
func (p *Policy) decides(action, resource string) string {
	a := Access{Action: action, Resource: resource}
	switch {
	case p == nil || p.Allows(a):
		return "allowed"
	case slices.ContainsFunc(p.Statement, func(s Statement) bool { return s.Effect == "Deny" && s.covers(a) }):
		return "explicitDeny"
	}
	return "implicitDeny"
}

func values(members []service.Form) (all []string) {
	for _, each := range members {
		all = append(all, each.Value())
	}
	return all
}
