package command

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// maxWhole is the largest whole number that a parameter may be, and its negative the
// smallest: 2^53-1, up to which the doubles of RFC 8785 keep whole numbers apart (RFC 7493,
// section 2.2). Beyond it two commands that differ could share a fingerprint.
const maxWhole = 1<<53 - 1

// action is what a decoder keeps of one handler.
type action struct {
	name    string
	fields  []handlers.Field
	names   []string // of the fields
	targets func(handlers.Parameters) ([]handlers.Target, error)
}

func newAction(h handlers.Handler) *action {
	a := &action{name: string(h.Action()), targets: h.Targets}
	for _, f := range h.Fields() {
		f.Text.Pattern, f.KeyText.Pattern = whole(f.Text.Pattern), whole(f.KeyText.Pattern)
		a.fields = append(a.fields, f)
		a.names = append(a.names, f.Name)
	}
	return a
}

// whole is a pattern that matches a text from end to end or not at all.
func whole(p *regexp.Regexp) *regexp.Regexp {
	if p == nil {
		return nil
	}
	return regexp.MustCompile(`\A(?:` + p.String() + `)\z`)
}

// read checks parameters against the action's fields, fills in the API's own reason, and
// makes the targets.
func (a *action) read(text jsontext.Value, reason string) (handlers.Parameters, []handlers.Target, *handlers.FieldError) {
	p, fault := a.check(text)
	if fault == nil {
		fault = a.complete(p, reason)
	}
	if fault != nil {
		return nil, nil, fault
	}
	targets, err := a.targets(p)
	if err != nil {
		if errors.As(err, &fault) {
			return nil, nil, fault
		}
		return nil, nil, &handlers.FieldError{Field: "parameters", Rule: "cannot be used: " + err.Error()}
	}
	return p, targets, nil
}

// check reads the parameters that are there.
// check reads the parameters by their fields, in whose order faults are found. That no field knows a
// member comes first.
func (a *action) check(text jsontext.Value) (handlers.Parameters, *handlers.FieldError) {
	const path = "parameters"
	values := make([]jsontext.Value, len(a.fields))
	fault := object(path, text, func(name string, value jsontext.Value) *handlers.FieldError {
		i := slices.Index(a.names, name)
		if i < 0 {
			return misnamed(name, path+".", a.name, a.names)
		}
		values[i] = value
		return nil
	})
	if fault != nil {
		return nil, fault
	}
	p := make(handlers.Parameters, len(a.fields))
	for i, value := range values {
		if value == nil {
			continue
		}
		if p[a.names[i]], fault = parameter(path+"."+a.names[i], &a.fields[i], value); fault != nil {
			return nil, fault
		}
	}
	return p, nil
}

// complete fills the API's own reason, where the parameters leave it out, with the command's
// or the constant one, and finds what is missing.
func (a *action) complete(p handlers.Parameters, given string) *handlers.FieldError {
	for i := range a.fields {
		f := &a.fields[i]
		if _, there := p[f.Name]; there {
			continue
		}
		switch {
		case f.Reason && given == "":
			p[f.Name] = handlers.DefaultReason
		case f.Reason:
			if rule := broken(&f.Text, given); rule != "" {
				return &handlers.FieldError{Field: names[fieldReason], Rule: rule + ", where it stands for parameters." + f.Name}
			}
			p[f.Name] = given
		case f.Required:
			return &handlers.FieldError{Field: "parameters." + f.Name, Rule: "is required"}
		}
	}
	return nil
}

// parameter reads one value as its field's kind.
func parameter(path string, f *handlers.Field, value jsontext.Value) (any, *handlers.FieldError) {
	switch f.Kind {
	case handlers.String:
		return text(path, &f.Text, value)
	case handlers.Boolean:
		kind := kindOf(value)
		if kind != jsontext.KindTrue && kind != jsontext.KindFalse {
			return nil, &handlers.FieldError{Field: path, Rule: "must be a boolean, not " + nameOf(kind)}
		}
		return kind == jsontext.KindTrue, nil
	case handlers.Long:
		return number(path, value)
	case handlers.Strings:
		return list(path, f, value)
	case handlers.StringMap:
		return stringMap(path, f, value)
	}
	return nil, &handlers.FieldError{Field: path, Rule: "has a kind that the worker cannot read: " + f.Kind.String()}
}

func text(path string, t *handlers.Text, value jsontext.Value) (string, *handlers.FieldError) {
	if kind := kindOf(value); kind != jsontext.KindString {
		return "", &handlers.FieldError{Field: path, Rule: "must be a string, not " + nameOf(kind)}
	}
	s := unquote(value)
	if rule := broken(t, s); rule != "" {
		return "", &handlers.FieldError{Field: path, Rule: rule}
	}
	return s, nil
}

func number(path string, value jsontext.Value) (int64, *handlers.FieldError) {
	if kind := kindOf(value); kind != jsontext.KindNumber {
		return 0, &handlers.FieldError{Field: path, Rule: "must be a whole number, not " + nameOf(kind)}
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, &handlers.FieldError{Field: path, Rule: "must be a whole number without fraction or exponent, not " + clip(string(value), 64)}
	case err != nil || n > maxWhole || n < -maxWhole:
		return 0, &handlers.FieldError{Field: path, Rule: fmt.Sprintf(
			"must lie between -%d and %[1]d, within which JSON keeps whole numbers apart, not %s", int64(maxWhole), clip(string(value), 64))}
	}
	return n, nil
}

func list(path string, f *handlers.Field, value jsontext.Value) ([]string, *handlers.FieldError) {
	if kind := kindOf(value); kind != jsontext.KindBeginArray {
		return nil, &handlers.FieldError{Field: path, Rule: "must be a list of strings, not " + nameOf(kind)}
	}
	var items []string
	var seen map[string]bool
	fault := elements(path, value, func(item jsontext.Value) *handlers.FieldError {
		at := fmt.Sprintf("%s[%d]", path, len(items))
		s, fault := text(at, &f.Text, item)
		switch {
		case fault != nil:
			return fault
		case f.Unique && seen[s]:
			return &handlers.FieldError{Field: at, Rule: "must not repeat " + quote(s)}
		}
		if f.Unique {
			if seen == nil {
				seen = make(map[string]bool)
			}
			seen[s] = true
		}
		items = append(items, s)
		return nil
	})
	if fault == nil {
		fault = count(path, f, len(items))
	}
	return items, fault
}

func stringMap(path string, f *handlers.Field, value jsontext.Value) (map[string]string, *handlers.FieldError) {
	pairs := map[string]string{}
	fault := object(path, value, func(name string, value jsontext.Value) *handlers.FieldError {
		if rule := broken(&f.KeyText, name); rule != "" {
			return &handlers.FieldError{Field: path, Rule: "has the key " + quote(name) + ", which " + rule}
		}
		s, fault := text(path+"."+plain(name), &f.Text, value)
		pairs[name] = s
		return fault
	})
	if fault == nil {
		fault = count(path, f, len(pairs))
	}
	return pairs, fault
}

// count holds a list or an object to its bounds.
func count(path string, f *handlers.Field, n int) *handlers.FieldError {
	switch {
	case n == 0 && f.MinItems > 0:
		return &handlers.FieldError{Field: path, Rule: "must not be empty"}
	case n < f.MinItems:
		return &handlers.FieldError{Field: path, Rule: fmt.Sprintf("must have at least %d items, not %d", f.MinItems, n)}
	case f.MaxItems > 0 && n > f.MaxItems:
		return &handlers.FieldError{Field: path, Rule: fmt.Sprintf("must have at most %d items, not %d", f.MaxItems, n)}
	}
	return nil
}
