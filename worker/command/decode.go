package command

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// field is a member of a command.
type field int

// The members of a command, in the order in which they are checked.
const (
	fieldID field = iota
	fieldAction
	fieldAccount
	fieldRegion
	fieldReason
	fieldRequestedBy
	fieldCampaign
	fieldExpiresAt
	fieldConfirm
	fieldDryRun
	fieldEscalate
	fieldParameters
	fieldCount
)

// names are the members' names in JSON.
var names = [fieldCount]string{
	fieldID: "id", fieldAction: "action", fieldAccount: "account", fieldRegion: "region", fieldReason: "reason",
	fieldRequestedBy: "requestedBy", fieldCampaign: "campaign", fieldExpiresAt: "expiresAt",
	fieldConfirm: "confirm", fieldEscalate: "escalate", fieldDryRun: "dryRun", fieldParameters: "parameters",
}

// Bounds of the contract. Lengths are in characters.
const (
	maxID       = 128
	maxReason   = 1024
	maxName     = 128 // of requestedBy and campaign
	maxConfirm  = 12 * time.Hour
	maxEscalate = 6 * time.Hour
)

// Decoder reads commands. Its methods are safe for concurrent use.
type Decoder struct {
	actions map[string]*action
	known   []string // the actions' names, sorted
	own     handlers.Place
}

// NewDecoder returns a decoder that knows the handlers' actions, and places the commands that
// name no account or region in the worker's own. It panics where two handlers share an action.
func NewDecoder(hs []handlers.Handler, own handlers.Place) *Decoder {
	d := &Decoder{actions: map[string]*action{}, own: own}
	for _, h := range hs {
		name := string(h.Action())
		if d.actions[name] != nil {
			panic("command: two handlers for " + name)
		}
		d.actions[name] = newAction(h)
		d.known = append(d.known, name)
	}
	slices.Sort(d.known)
	return d
}

// Decode reads the command in a message's body. The command may share the body's memory, which
// must not be changed any more. The error is always an [*Error].
func (d *Decoder) Decode(body []byte, m Message) (*Command, error) {
	var o opened
	o.receive(body, m)
	r, fault := o.open()
	if fault != nil {
		e := &Error{FieldError: *fault}
		e.Command.Via, e.Command.TraceParent = o.via, o.traceParent
		return nil, e
	}
	return d.command(r, &o)
}

// DecodeBare is Decode for a command that stands in no envelope, for those who make commands: a
// member that they put on an envelope would not reach the command, and nobody would say so.
func (d *Decoder) DecodeBare(body []byte, m Message) (*Command, error) {
	var o opened
	o.receive(body, m)
	return d.command(read(body), &o)
}

// command reads a command that has been taken out of its envelopes.
func (d *Decoder) command(r *reader, o *opened) (*Command, error) {
	r.judge(o.at, o.text)
	// One after the other: in one literal all of them would wait on the stack.
	c := &Command{Via: o.via, TraceParent: o.traceParent}
	c.ID = r.text(fieldID, o.id, brokenID)
	c.Action = d.action(r)
	c.Account = r.text(fieldAccount, d.own.Account, brokenAccount)
	c.Region = r.text(fieldRegion, d.own.Region, brokenRegion)
	c.Reason = r.text(fieldReason, "", atMost(maxReason))
	c.RequestedBy = r.text(fieldRequestedBy, "", atMost(maxName))
	c.Campaign = r.text(fieldCampaign, "", atMost(maxName))
	c.ExpiresAt = r.time(fieldExpiresAt)
	c.Confirm = r.confirm()
	c.DryRun = r.flag(fieldDryRun)
	r.noEscalation()
	d.targets(r, c)
	if r.err != nil {
		return nil, &Error{FieldError: *r.err, Command: *c}
	}
	return c, nil
}

// action reads the action. One that no handler knows is an error, and is returned for the
// outcome to name if it is well formed.
func (d *Decoder) action(r *reader) handlers.Action {
	if r.values[fieldAction] == nil {
		r.fail(names[fieldAction], "is required")
	}
	name := r.text(fieldAction, "", func(s string) string {
		if s == "" {
			return "must not be empty"
		}
		if d.actions[s] != nil || wellFormed(s) {
			return ""
		}
		return d.unknown(s)
	})
	if name != "" && d.actions[name] == nil {
		r.fail(names[fieldAction], d.unknown(name))
	}
	return handlers.Action(name)
}

func (d *Decoder) unknown(action string) string {
	known := strings.Join(d.known, ", ")
	if near := nearest(action, d.known); near != "" {
		return fmt.Sprintf("is unknown: %s; did you mean %q? Known actions: %s", quote(action), near, known)
	}
	return fmt.Sprintf("is unknown: %s; known actions: %s", quote(action), known)
}

// targets reads the parameters as the command's action knows them.
func (d *Decoder) targets(r *reader, c *Command) {
	text := r.values[fieldParameters]
	if text == nil {
		r.fail(names[fieldParameters], "is required")
		return
	}
	a := d.actions[string(c.Action)]
	if a == nil || r.err != nil {
		return // what else is wrong comes first
	}
	params, targets, err := a.read(text, c.Reason)
	if err != nil {
		r.err = err
		return
	}
	c.Parameters, c.Params, c.Targets = text, params, targets
}

// reader holds the members of one object while they are checked, and the first fault.
type reader struct {
	values [fieldCount]jsontext.Value // nil: absent
	form   form                       // by the marks that were seen
	stray  string                     // the first member that no command has
	strays bool                       // there is one
	broken error                      // of members: the text is not one sound JSON object
	// whole: the text was read to its end, so that what was not seen is not there.
	whole bool
	err   *handlers.FieldError
}

// read finds an object's members, and sees by its marks whether it is a command or an envelope
// around one. Where the text is at fault, those before the fault are found all the same, so
// that the outcome can name the command.
func read(text []byte) *reader {
	r := &reader{form: formBare}
	r.broken = members(text, func(name string, value jsontext.Value) error {
		if f := slices.Index(names[:], name); f >= 0 {
			r.values[f] = value
			return nil
		}
		r.form = min(r.form, formOf(name))
		if !r.strays {
			r.stray, r.strays = name, true
		}
		return nil
	})
	r.whole = r.broken == nil
	return r
}

// judge finds the faults of a command's text as such, which stood in an envelope's field.
func (r *reader) judge(at string, text []byte) {
	if len(text) > MaxBytes {
		r.fail(at, fmt.Sprintf("must have at most %d bytes (256 KiB), not %d", MaxBytes, len(text)))
	}
	if r.strays && r.err == nil {
		r.err = misnamed(r.stray, "", "a command", names[:])
	}
	if r.broken != nil {
		fault := unreadable(at, text, r.broken)
		if twice := slices.Index(names[:], fault.Field); twice >= 0 {
			r.values[twice] = nil // which of the two is meant cannot be said
		}
		r.fail(fault.Field, fault.Rule)
	}
}

// misnamed is the fault of a member that nothing knows, at a path's beginning (with its dot)
// in an object of the known fields.
func misnamed(name, path, object string, known []string) *handlers.FieldError {
	rule := "is not a field of " + object
	if near := nearest(name, known); near != "" {
		rule += "; did you mean " + path + near + "?"
	} else {
		rule += "; its fields: " + strings.Join(known, ", ")
	}
	return &handlers.FieldError{Field: path + plain(name), Rule: rule}
}

// fail keeps the first fault.
func (r *reader) fail(field, rule string) {
	if r.err == nil {
		r.err = &handlers.FieldError{Field: field, Rule: rule}
	}
}

// is tells whether a member is there and of the kind, which stands in the rule as a type.
// null is a value like any other, and of the wrong kind everywhere.
func (r *reader) is(f field, kind string, kinds ...jsontext.Kind) bool {
	if r.values[f] == nil {
		return false
	}
	got := kindOf(r.values[f])
	if !slices.Contains(kinds, got) {
		r.fail(names[f], "must be "+kind+", not "+nameOf(got))
		return false
	}
	return true
}

// text reads a string that breaks no rule; "" where it does. absent stands for a member that
// the sender left out.
func (r *reader) text(f field, absent string, broken func(string) string) string {
	if r.values[f] == nil && r.whole {
		return absent
	}
	if !r.is(f, "a string", jsontext.KindString) {
		return ""
	}
	s := unquote(r.values[f])
	if rule := broken(s); rule != "" {
		r.fail(names[f], rule)
		return ""
	}
	return s
}

func atMost(n int) func(string) string {
	return func(s string) string { return broken(&handlers.Text{Max: n}, s) }
}

func (r *reader) flag(f field) bool {
	return r.is(f, "a boolean", jsontext.KindTrue, jsontext.KindFalse) &&
		kindOf(r.values[f]) == jsontext.KindTrue
}

// rfc3339 is the form that time.Parse is too lenient about: it takes one-digit hours, a comma
// for the point, and offsets of a day and more.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// time reads a point in time, in UTC, where its year has four digits too. The beginning of
// year 1 is refused: as Go's zero time it would pass for no bound at all.
func (r *reader) time(f field) time.Time {
	var read time.Time
	r.text(f, "", func(s string) string {
		at, err := time.Parse(time.RFC3339, s)
		at = at.UTC()
		if err != nil || at.IsZero() || at.Year() < 0 || at.Year() > 9999 || !rfc3339.MatchString(s) {
			return `must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not ` + quote(s)
		}
		read = at
		return ""
	})
	return read
}

// duration reads a duration of at most limit; nil where there is none.
func (r *reader) duration(f field, limit time.Duration) *time.Duration {
	var read *time.Duration
	r.text(f, "", func(s string) string {
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			return `must be a duration like "90s" or "10m", not ` + quote(s)
		case d < 0:
			return "must not be negative, as is " + quote(s)
		case d > limit:
			return fmt.Sprintf("must be at most %dh, not %s", limit/time.Hour, quote(s))
		}
		read = &d
		return ""
	})
	return read
}

func (r *reader) confirm() *time.Duration {
	d := r.duration(fieldConfirm, maxConfirm)
	if d != nil && *d > 0 {
		r.fail(names[fieldConfirm], `is not built yet: leave it out, or send "0s"`)
	}
	return d
}

func (r *reader) noEscalation() {
	if r.duration(fieldEscalate, maxEscalate) != nil {
		r.fail(names[fieldEscalate], "is not built yet: leave it out")
	}
}
