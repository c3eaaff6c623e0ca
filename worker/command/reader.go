package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// reader reads one message: its envelopes, then the command. It keeps the first fault.
type reader struct {
	object        // the text's members, or those before the fault that broken tells
	broken error  // the text is not one sound JSON object
	text   []byte // what is read now
	at     string // the envelope's field that the text stood in; "body" where there is no envelope
	fault  *handlers.FieldError

	id          string // for a command that brings none
	via         string // see Command.Via
	traceParent string // that of the innermost envelope with one
}

// newReader begins with a message as it comes.
func newReader(body []byte, m Message) *reader {
	r := &reader{id: "sqs:" + m.ID}
	r.trace(m.TraceParent)
	r.open("body", body)
	return r
}

// open goes on to the text that stands in the field at.
func (r *reader) open(at string, text []byte) {
	r.at, r.text = at, text
	r.object, r.broken = read(text)
}

// fail keeps the first fault.
func (r *reader) fail(field, rule string) {
	if r.fault == nil {
		r.fault = &handlers.FieldError{Field: field, Rule: rule}
	}
}

// only allows an object the known members alone. path is what stands before their names, of what has them.
func (r *reader) only(known []string, o object, path, of string) {
	i := slices.IndexFunc(o, func(m member) bool { return !slices.Contains(known, m.name) })
	if i < 0 {
		return
	}
	rule := "is not a field of " + of
	if near := Nearest(o[i].name, known); near != "" {
		rule += "; did you mean " + path + near + "?"
	} else {
		rule += "; its fields: " + strings.Join(known, ", ")
	}
	r.fail(path+plain(o[i].name), rule)
}

// failUnreadable is the fault of a text that is no sound object.
func (r *reader) failUnreadable() {
	fault := unreadable(r.at, r.text, r.broken)
	r.fail(fault.Field, fault.Rule)
	// A member that is given twice may be the one or the other.
	r.object = slices.DeleteFunc(r.object, func(m member) bool { return m.name == fault.Field })
}

// is tells whether a value is of the kind, which stands in the rule as a type. One that is absent is not, and
// is no fault.
func (r *reader) is(path string, value jsontext.Value, kind string, of ...jsontext.Kind) bool {
	if value == nil || slices.Contains(of, value.Kind()) {
		return value != nil
	}
	r.fail(path, fmt.Sprintf("must be %s, not %s", kind, kinds[value.Kind()]))
	return false
}

// flag reads a boolean, false where it is absent.
func (r *reader) flag(path string, value jsontext.Value) bool {
	return r.is(path, value, "a boolean", jsontext.KindTrue, jsontext.KindFalse) && value.Kind() == jsontext.KindTrue
}

// string reads a text that breaks no rule, as broken says them; "" where it does or is absent.
func (r *reader) string(path string, value jsontext.Value, broken func(string) string) string {
	if !r.is(path, value, "a string", jsontext.KindString) {
		return ""
	}
	s := unquote(value)
	if rule := broken(s); rule != "" {
		r.fail(path, rule)
		return ""
	}
	return s
}

// member reads a member as string does. absent stands for one that the sender left out: what stands behind a
// fault of the text may have it.
func (r *reader) member(name, absent string, broken func(string) string) string {
	value := r.value(name)
	if value == nil && r.broken == nil {
		return absent
	}
	return r.string(name, value, broken)
}
