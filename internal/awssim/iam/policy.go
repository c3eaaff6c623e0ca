package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy is a policy document.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement is one statement of a policy. Principal is read, and not looked at.
type Statement struct {
	Sid, Effect      string
	Principal        map[string]list
	Action, Resource list
	Condition        map[string]map[string]list // values by key, by operator
}

// list is a JSON string, or an array of them.
type list []string

// UnmarshalJSON reads either.
func (l *list) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// Parse reads a policy document and holds it to the grammar that IAM documents ("Grammar of the IAM JSON policy
// language", IAM User Guide), as far as it is known here: what is not known is refused.
func Parse(document []byte) (*Policy, error) {
	p := &Policy{}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(p); err != nil {
		return nil, fmt.Errorf("reading a policy: %w", err)
	}
	if decoder.More() {
		return nil, errors.New("reading a policy: there is more than one document")
	}
	if p.Version != "2012-10-17" || len(p.Statement) == 0 {
		return nil, fmt.Errorf("a policy of version %q with %d statements", p.Version, len(p.Statement))
	}
	sids := map[string]bool{}
	for _, s := range p.Statement {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("statement %q: %w", s.Sid, err)
		}
		if sids[s.Sid] {
			return nil, fmt.Errorf("two statements have the Sid %q", s.Sid)
		}
		sids[s.Sid] = true
	}
	return p, nil
}

func (s *Statement) check() error {
	// "Sid", IAM User Guide: A-Z, a-z and 0-9.
	if s.Sid == "" || strings.ContainsFunc(s.Sid, func(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') }) {
		return errors.New("its Sid is not letters and digits")
	}
	if s.Effect != "Allow" && s.Effect != "Deny" {
		return fmt.Errorf("its Effect is %q", s.Effect)
	}
	if len(s.Action) == 0 || len(s.Resource) == 0 && len(s.Principal) == 0 {
		return errors.New("it has no action, or neither resource nor principal")
	}
	for _, action := range s.Action {
		if service, name, ok := strings.Cut(action, ":"); !ok || service == "" || name == "" {
			return fmt.Errorf("its action %q has no service", action)
		}
	}
	for _, resource := range s.Resource {
		// Six parts, of which the last may have colons of its own.
		if resource != "*" && (!strings.HasPrefix(resource, "arn:") || strings.Count(resource, ":") < 5) {
			return fmt.Errorf("its resource %q is no ARN", resource)
		}
	}
	for operator := range s.Condition {
		if operators[operator] == nil {
			return fmt.Errorf("its operator %q is not known here", operator)
		}
	}
	return nil
}

// operators compare the values of a request with those of a condition ("IAM JSON policy elements: Condition
// operators"; "Single-valued vs. multivalued context keys", IAM User Guide). A key that a request does not have is not
// equal to anything.
var operators = map[string]func(request, condition []string) bool{
	"StringEquals": func(request, condition []string) bool {
		return len(request) == 1 && slices.Contains(condition, request[0])
	},
	"ArnEquals":    isARN,
	"ArnNotEquals": func(request, condition []string) bool { return !isARN(request, condition) },
	"ForAnyValue:StringEquals": func(request, condition []string) bool {
		return slices.ContainsFunc(request, func(v string) bool { return slices.Contains(condition, v) })
	},
}

// isARN reports whether a request's one value is an ARN that a condition has.
func isARN(request, condition []string) bool {
	return len(request) == 1 && slices.ContainsFunc(condition, func(pattern string) bool { return Match(pattern, request[0]) })
}

// Allows reports whether the policy allows an access: a statement does, and none denies it ("Policy evaluation
// logic", IAM User Guide).
func (p *Policy) Allows(a Access) bool {
	allowed := false
	for _, s := range p.Statement {
		if s.covers(a) {
			if s.Effect == "Deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

// covers reports whether a statement is about an access. One of a trust policy is about its own role.
func (s *Statement) covers(a Access) bool {
	on := len(s.Resource) == 0 || slices.ContainsFunc(s.Resource, func(pattern string) bool { return Match(pattern, a.Resource) })
	if !on || !slices.ContainsFunc(s.Action, func(pattern string) bool { return strings.EqualFold(pattern, a.Action) || pattern == "*" }) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			if !operators[operator](a.Context[key], values) {
				return false
			}
		}
	}
	return true
}

// Match reports whether a resource is one that a pattern stands for: * is any text.
func Match(pattern, resource string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	after, ok := strings.CutPrefix(resource, first)
	if !ok || !wild {
		return ok && after == ""
	}
	for i := range len(after) + 1 {
		if Match(rest, after[i:]) {
			return true
		}
	}
	return false
}
