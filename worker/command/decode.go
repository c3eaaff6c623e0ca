package command

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// fields are the members of a command.
var fields = []string{
	"id", "action", "account", "region", "reason", "requestedBy", "campaign", "expiresAt", "confirm", "dryRun", "escalate", "parameters",
}

// Bounds of the contract. Lengths are in characters.
const (
	maxID       = 128
	maxName     = 128 // of requestedBy, campaign, and an action that is not known
	maxRegion   = 32
	maxTime     = 64
	maxConfirm  = 12 * time.Hour
	maxEscalate = 6 * time.Hour
)

// Decoder reads commands. Its methods are safe for concurrent use.
type Decoder struct {
	actions map[string]*action
	own     handlers.Location
}

// NewDecoder returns a decoder that knows the handlers' actions, and places the commands that
// name no account or region in the worker's own. It panics where two handlers share an action.
func NewDecoder(hs []handlers.Handler, own handlers.Location) *Decoder {
	d := &Decoder{actions: map[string]*action{}, own: own}
	for _, h := range hs {
		name := string(h.Action())
		if d.actions[name] != nil {
			panic("command: two handlers for " + name)
		}
		d.actions[name] = newAction(h)
	}
	return d
}

// Decode reads the command in a message's body. The command may share the body's memory, which
// must not be changed any more. The error is always an [*Error].
func (d *Decoder) Decode(body []byte, m Message) (*Command, error) {
	r := newReader(body, m)
	r.takeOff()
	return d.command(r, body)
}

// DecodeBare is Decode for a command that stands in no envelope, for those who make commands: a
// member that they put on an envelope would not reach the command, and nobody would say so.
func (d *Decoder) DecodeBare(body []byte, m Message) (*Command, error) {
	return d.command(newReader(body, m), body)
}

// command reads a command that has been taken out of its envelopes, unless they are at fault.
func (d *Decoder) command(r *reader, body []byte) (*Command, error) {
	c := &Command{Via: r.via, TraceParent: r.traceParent}
	if r.fault == nil {
		d.members(r, c)
	}
	if r.fault != nil {
		return nil, &Error{OwnEvent: ownEvent(body), FieldError: *r.fault, Command: *c}
	}
	return c, nil
}

func (d *Decoder) members(r *reader, c *Command) {
	if len(r.text) > MaxBytes {
		r.fail(r.at, fmt.Sprintf("must have at most %d bytes (256 KiB), not %d", MaxBytes, len(r.text)))
	}
	r.only(fields, r.object, "", "a command")
	if r.broken != nil {
		r.failUnreadable()
	}
	c.ID = r.member("id", r.id, brokenID)
	c.Action = d.action(r)
	c.Account = r.member("account", d.own.Account, brokenAccount)
	c.Region = r.member("region", d.own.Region, brokenRegion)
	c.Reason = r.member("reason", "", brokenBy(&reasonText))
	c.RequestedBy = r.member("requestedBy", "", brokenBy(&nameText))
	c.Campaign = r.member("campaign", "", brokenBy(&nameText))
	c.ExpiresAt = r.time("expiresAt")
	c.Confirm = r.duration("confirm", maxConfirm)
	c.DryRun = r.flag("dryRun", r.value("dryRun"))
	escalate := r.duration("escalate", maxEscalate)
	d.targets(r, c)
	if escalate != nil {
		d.escalate(r, c, *escalate)
	}
}

// escalate reads after how long the stronger action is to be taken.
func (d *Decoder) escalate(r *reader, c *Command, after time.Duration) {
	if r.fault != nil {
		return
	}
	switch a := d.actions[string(c.Action)]; {
	case after == 0:
		r.fail("escalate", `must be above 0, like "2m"`)
	case !a.hasStronger(c.Targets):
		r.fail("escalate", fmt.Sprintf("asks for a stronger action than %s with these parameters, and there is none: leave it out", a.name))
	case c.Confirm != nil && after >= *c.Confirm:
		r.fail("escalate", fmt.Sprintf("must be shorter than confirm, which is %s: the worker looks for no proof after that", *c.Confirm))
	}
	if r.fault != nil {
		return
	}
	if c.Escalate = after; c.Confirm == nil {
		confirm := 2 * after
		c.Confirm = &confirm
	}
}

// action reads the action. One that no handler knows is an error, and is returned for the
// outcome to name if it is well formed.
func (d *Decoder) action(r *reader) handlers.Action {
	if r.value("action") == nil {
		r.fail("action", "is required")
	}
	name := r.member("action", "", func(s string) string {
		switch {
		case s == "":
			return "must not be empty"
		case d.actions[s] == nil && (len(s) > maxName || !actionForm.MatchString(s)):
			return d.unknown(s)
		}
		return ""
	})
	if name != "" && d.actions[name] == nil {
		r.fail("action", d.unknown(name))
	}
	return handlers.Action(name)
}

func (d *Decoder) unknown(action string) string {
	known := slices.Sorted(maps.Keys(d.actions))
	all := strings.Join(known, ", ")
	if near := Nearest(action, known); near != "" {
		return fmt.Sprintf("is unknown: %s; did you mean %q? Known actions: %s", quote(action), near, all)
	}
	return fmt.Sprintf("is unknown: %s; known actions: %s", quote(action), all)
}

// targets reads the parameters as the command's action knows them, unless there is a fault: that comes first.
func (d *Decoder) targets(r *reader, c *Command) {
	text := r.value("parameters")
	if text == nil {
		r.fail("parameters", "is required")
	}
	if a := d.actions[string(c.Action)]; r.fault == nil && r.is("parameters", text, "an object", jsontext.KindBeginObject) {
		a.read(r, text, c)
	}
}

// time reads a point in time, in UTC, where its year has four digits too. The beginning of
// year 1 is refused: as Go's zero time it would pass for no bound at all.
func (r *reader) time(name string) time.Time {
	var read time.Time
	r.member(name, "", func(s string) string {
		if len(s) > maxTime {
			return fmt.Sprintf("must have at most %d characters, not %d", maxTime, len(s))
		}
		at, err := time.Parse(time.RFC3339, s)
		at = at.UTC()
		if err != nil || at.IsZero() || at.Year() < 0 || at.Year() > 9999 || !timeForm.MatchString(s) {
			return `must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not ` + quote(s)
		}
		read = at
		return ""
	})
	return read
}

// duration reads a duration of at most limit; nil where there is none.
func (r *reader) duration(name string, limit time.Duration) *time.Duration {
	var read *time.Duration
	r.member(name, "", func(s string) string {
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
