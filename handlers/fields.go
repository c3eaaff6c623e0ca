package handlers

import "regexp"

// Kind is the JSON type of a parameter.
type Kind int

// The kinds that AWS's cancel operations use.
const (
	String    Kind = iota + 1 // a JSON string
	Boolean                   // true or false
	Long                      // a whole number of 64 bits
	Strings                   // a list of strings
	StringMap                 // an object whose values are strings
)

func (k Kind) String() string {
	switch k {
	case String:
		return "string"
	case Boolean:
		return "boolean"
	case Long:
		return "whole number"
	case Strings:
		return "list of strings"
	case StringMap:
		return "object of strings"
	}
	return "unknown"
}

// Field is one parameter of an action: its name in the API's own case and every constraint
// that AWS documents (facts/aws.json). The worker checks commands against it and makes
// the JSON Schema from it.
type Field struct {
	Name     string
	Kind     Kind
	Required bool
	// Text constrains a String, each item of Strings, and each value of a StringMap.
	Text Text
	// KeyText constrains the keys of a StringMap.
	KeyText Text
	// MinItems and MaxItems bound Strings and StringMap; MaxItems 0 is no bound.
	MinItems, MaxItems int
	// Unique forbids repeated items.
	Unique bool
	// ARN says of a String whether it names the account and region of the target. A command that
	// names none takes them from there, and one that names others is invalid.
	ARN ARNUse
	// Reason marks the API's own reason: where the command's parameters leave it out, it is
	// filled with the command's reason, or with [DefaultReason].
	Reason bool
}

// Text is what AWS says of a string. The zero value allows any text.
type Text struct {
	// Min and Max count characters (Unicode code points). Max 0 says that AWS documents no bound: the
	// worker then takes 1,024 bytes at most.
	Min, Max int
	// Pattern, where set, must match the whole text.
	Pattern *regexp.Regexp
	// Rule says the pattern in words, for error messages and the schema.
	Rule string
	// Enum, where set, lists the only values allowed.
	Enum []string
}

// DefaultReason is sent where neither the command nor its parameters give a reason: a
// constant, so that calls can be shared.
const DefaultReason = "Cancelled by Rescind."

// FieldError is a command that breaks a rule: which field, and which rule.
type FieldError struct {
	Field string // path from the command's root: "parameters.jobId"
	Rule  string // what must hold, as a sentence's predicate: "must not be empty"
}

func (e *FieldError) Error() string { return e.Field + " " + e.Rule }

// Parameters holds an action's parameters after they were checked against its Fields:
// string, bool, int64, []string or map[string]string by the field's Kind. Absent fields are
// absent.
type Parameters map[string]any

// Text returns the string parameter of that name, "" where absent.
func (p Parameters) Text(name string) string { s, _ := p[name].(string); return s }

// Texts returns the list parameter of that name, nil where absent.
func (p Parameters) Texts(name string) []string { s, _ := p[name].([]string); return s }

// Flag returns the boolean parameter of that name, false where absent.
func (p Parameters) Flag(name string) bool { b, _ := p[name].(bool); return b }

// Number returns the whole-number parameter of that name; ok is false where it is absent.
func (p Parameters) Number(name string) (n int64, ok bool) { n, ok = p[name].(int64); return n, ok }

// Map returns the map parameter of that name, nil where absent.
func (p Parameters) Map(name string) map[string]string { m, _ := p[name].(map[string]string); return m }
