package sns

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/sqs"
)

// policy is a filter policy over message attributes: every name must have a matcher that
// accepts ("Amazon SNS subscription filter policies"). Of the matchers the simulator knows exact
// values, prefix, suffix, equals-ignore-case, anything-but and exists; others are refused.
type policy map[string][]matcher

// matcher accepts the values of one attribute; none where the attribute is absent.
type matcher func(values []string, present bool) bool

func (p policy) matches(attributes map[string]sqs.Attribute) bool {
	for name, matchers := range p {
		a, present := attributes[name]
		var values []string
		switch {
		case !present || strings.HasPrefix(a.DataType, "Binary"): // binary ones are ignored
			present = false
		case a.DataType == "String.Array":
			values = array(a.StringValue)
		default:
			values = []string{a.StringValue}
		}
		if !slices.ContainsFunc(matchers, func(m matcher) bool { return m(values, present) }) {
			return false
		}
	}
	return true
}

// array reads a String.Array: strings, numbers, booleans and null.
func array(text string) []string {
	var items []json.RawMessage
	if json.Unmarshal([]byte(text), &items) != nil {
		return nil
	}
	values := make([]string, len(items))
	for i, item := range items {
		values[i] = scalar(item)
	}
	return values
}

func scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func parsePolicy(text string) (policy, error) {
	if text == "" {
		return nil, nil
	}
	var names map[string][]json.RawMessage
	if err := json.Unmarshal([]byte(text), &names); err != nil {
		return nil, invalid("FilterPolicy: must be an object of arrays: %v", err)
	}
	p := policy{}
	for name, rules := range names {
		if len(rules) == 0 {
			return nil, invalid("FilterPolicy: Empty arrays are not allowed")
		}
		for _, rule := range rules {
			m, err := parseMatcher(rule)
			if err != nil {
				return nil, err
			}
			p[name] = append(p[name], m)
		}
	}
	return p, nil
}

func parseMatcher(rule json.RawMessage) (matcher, error) {
	members, is := object(rule)
	if !is {
		return some(func(v string) bool { return v == scalar(rule) }), nil
	}
	if len(members) != 1 {
		return nil, invalid("FilterPolicy: one matcher an object")
	}
	for kind, argument := range members {
		switch kind {
		case "exists":
			want := string(argument) == "true"
			return func(_ []string, present bool) bool { return present == want }, nil
		case "anything-but":
			return anythingBut(argument)
		default:
			test, err := textTest(kind, argument)
			if err != nil {
				return nil, err
			}
			return some(test), nil
		}
	}
	return nil, nil // not reached: the object has one member
}

// object reads an object; ok is false for any other value.
func object(raw json.RawMessage) (members map[string]json.RawMessage, ok bool) {
	ok = json.Unmarshal(raw, &members) == nil && members != nil
	return members, ok
}

// some accepts an attribute of which one value passes.
func some(test func(string) bool) matcher {
	return func(values []string, _ bool) bool { return slices.ContainsFunc(values, test) }
}

func textTest(kind string, argument json.RawMessage) (func(string) bool, error) {
	want := scalar(argument)
	switch kind {
	case "prefix":
		return func(v string) bool { return strings.HasPrefix(v, want) }, nil
	case "suffix":
		return func(v string) bool { return strings.HasSuffix(v, want) }, nil
	case "equals-ignore-case":
		return func(v string) bool { return strings.EqualFold(v, want) }, nil
	}
	return nil, invalid("FilterPolicy: the simulator has no matcher %q", kind)
}

// anythingBut accepts an attribute that is there and has a value that none of the arguments
// fits; the argument is a value, an array of them, or an object with a prefix or suffix.
func anythingBut(argument json.RawMessage) (matcher, error) {
	if members, is := object(argument); is {
		for kind, inner := range members {
			test, err := textTest(kind, inner)
			if err != nil {
				return nil, err
			}
			return some(func(v string) bool { return !test(v) }), nil
		}
	}
	var list []json.RawMessage
	if json.Unmarshal(argument, &list) != nil {
		list = []json.RawMessage{argument}
	}
	return some(func(v string) bool {
		return !slices.ContainsFunc(list, func(item json.RawMessage) bool { return scalar(item) == v })
	}), nil
}
