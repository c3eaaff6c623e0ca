package doctor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// queuePolicy is what of a queue's policy says who may send ("Grammar of the IAM JSON policy language", IAM User Guide).
type queuePolicy struct {
	Statement statements
}

type statement struct {
	Effect                  string
	Principal, NotPrincipal principals
	Action, NotAction       words
	Condition               map[string]map[string]words // values by key, by operator
}

// statements is a list, or a single one.
type statements []statement

// UnmarshalJSON reads either.
func (s *statements) UnmarshalJSON(text []byte) error {
	var one statement
	if json.Unmarshal(text, &one) == nil {
		*s = statements{one}
		return nil
	}
	return json.Unmarshal(text, (*[]statement)(s))
}

// words is a JSON value, or a list of them.
type words []string

// UnmarshalJSON reads either. What is no string, such as true, is taken as it is written.
func (w *words) UnmarshalJSON(text []byte) error {
	var list []any
	if json.Unmarshal(text, &list) != nil {
		var one any
		if err := json.Unmarshal(text, &one); err != nil {
			return err
		}
		list = []any{one}
	}
	for _, each := range list {
		*w = append(*w, fmt.Sprint(each))
	}
	return nil
}

// principals are by kind: AWS, Service, Federated. "*" alone is an AWS principal.
type principals map[string]words

// UnmarshalJSON reads an object, or "*".
func (p *principals) UnmarshalJSON(text []byte) error {
	var all words
	if strings.HasPrefix(string(text), `"`) {
		if err := json.Unmarshal(text, &all); err != nil {
			return err
		}
		*p = principals{"AWS": all}
		return nil
	}
	return json.Unmarshal(text, (*map[string]words)(p))
}

// sends reports whether a statement is about sending. Actions are compared without regard to case, and have wildcards.
func (s *statement) sends() bool {
	send := func(pattern string) bool { return matches(strings.ToLower(pattern), "sqs:sendmessage") }
	if len(s.NotAction) > 0 {
		return !slices.ContainsFunc(s.NotAction, send)
	}
	return slices.ContainsFunc(s.Action, send)
}

// matches reports whether a text is one that a pattern stands for: * is any text, ? any character.
func matches(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return matches(pattern[1:], text) || text != "" && matches(pattern, text[1:])
	case text == "":
		return false
	}
	return (pattern[0] == '?' || pattern[0] == text[0]) && matches(pattern[1:], text[1:])
}

// senders is who a policy lets send.
type senders struct {
	names  []string // with their conditions
	anyone bool     // somebody outside AWS too, under no condition
	denied bool     // and some statement denies sending
	events bool     // events.amazonaws.com, EventBridge
	others bool     // somebody else
}

// sendersOf reads a queue's Policy; an empty one names nobody.
func sendersOf(policy string) (*senders, error) {
	all := &senders{}
	if policy == "" {
		return all, nil
	}
	var p queuePolicy
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return nil, fmt.Errorf("the queue's policy cannot be read: %w", err)
	}
	for _, s := range p.Statement {
		switch {
		case !s.sends():
		case s.Effect == "Deny":
			all.denied = true
		case s.Effect == "Allow":
			all.add(&s)
		}
	}
	slices.Sort(all.names)
	all.names = slices.Compact(all.names)
	return all, nil
}

func (all *senders) add(s *statement) {
	condition := s.condition()
	if len(s.NotPrincipal) > 0 {
		all.names = append(all.names, "all but some (NotPrincipal)"+condition)
		all.anyone, all.others = all.anyone || condition == "", true
	}
	for _, kind := range slices.Sorted(maps.Keys(s.Principal)) {
		for _, name := range s.Principal[kind] {
			if name == "*" {
				all.anyone = all.anyone || condition == ""
				name = "anybody (*)"
			}
			if kind == "Service" && name == "events.amazonaws.com" {
				all.events = true
			} else {
				all.others = true
			}
			all.names = append(all.names, name+condition)
		}
	}
}

// condition is a statement's condition, in words.
func (s *statement) condition() string {
	var parts []string
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			parts = append(parts, key+" "+operator+" "+strings.Join(s.Condition[operator][key], " or "))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " if " + strings.Join(parts, " and ")
}
