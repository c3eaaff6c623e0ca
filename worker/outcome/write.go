package outcome

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// writer writes JSON by hand. An outcome is written for every command, each on a goroutine of its
// own, and package json goes through reflection for it: that took a tenth of a worker's processor
// time, half of it for growing those goroutines' stacks. A test holds it to what json.Marshal
// writes of the same types.
type writer struct {
	text []byte
	err  error // of the first time that cannot be written
}

func (w *writer) event(e *Event) {
	w.begin('{')
	w.string("specversion", e.SpecVersion)
	w.string("id", e.ID)
	w.string("source", e.Source)
	w.string("type", e.Type)
	w.unlessEmpty("subject", e.Subject)
	w.time("time", e.Time)
	w.string("datacontenttype", e.DataContentType)
	w.unlessEmpty("traceparent", e.TraceParent)
	w.name("data")
	w.data(&e.Data)
	w.end('}')
}

func (w *writer) data(d *Data) {
	w.begin('{')
	w.unlessEmpty("commandId", d.CommandID)
	w.unlessEmpty("action", string(d.Action))
	w.string("status", string(d.Status))
	w.string("verdict", string(d.Verdict))
	w.name("counts")
	w.begin('{')
	w.counts(d.Counts)
	w.end('}')
	w.name("targets")
	w.begin('[')
	for i := range d.Targets {
		w.target(&d.Targets[i])
	}
	w.end(']')
	if d.TargetsOmitted != 0 {
		w.int("targetsOmitted", d.TargetsOmitted)
	}
	w.unlessEmpty("code", d.Code)
	w.unlessEmpty("message", d.Message)
	w.unlessEmpty("account", d.Account)
	w.unlessEmpty("region", d.Region)
	w.unlessEmpty("reason", d.Reason)
	w.unlessEmpty("requestedBy", d.RequestedBy)
	w.unlessEmpty("sender", d.Sender)
	w.unlessEmpty("campaign", d.Campaign)
	w.bool("dryRun", d.DryRun)
	w.bool("resumed", d.Resumed)
	w.bool("escalated", d.Escalated)
	w.string("confirmedBy", string(d.ConfirmedBy))
	w.name("attempts")
	w.attempts(&d.Attempts)
	w.time("enqueuedAt", d.EnqueuedAt)
	w.time("receivedAt", d.ReceivedAt)
	w.time("finishedAt", d.FinishedAt)
	w.unlessEmpty("worker", d.Worker)
	w.end('}')
}

func (w *writer) counts(of map[handlers.Status]int) {
	if len(of) > 1 {
		for _, status := range slices.Sorted(maps.Keys(of)) {
			w.int(string(status), of[status])
		}
		return
	}
	for status, n := range of { // nearly always: one target, or all ended alike
		w.int(string(status), n)
	}
}

func (w *writer) target(t *Target) {
	w.begin('{')
	w.string("id", t.ID)
	w.string("status", string(t.Status))
	w.unlessEmpty("before", t.Before)
	w.unlessEmpty("after", t.After)
	w.unlessEmpty("code", t.Code)
	w.unlessEmpty("message", t.Message)
	w.unlessEmpty("requestId", t.RequestID)
	w.end('}')
}

func (w *writer) attempts(a *Attempts) {
	w.begin('{')
	w.int("calls", a.Calls)
	w.int("throttled", a.Throttled)
	w.int("unavailable", a.Unavailable)
	w.unlessEmpty("firstError", a.FirstError)
	w.unlessEmpty("lastError", a.LastError)
	w.end('}')
}

// begin opens an object or a list, as the value of the name before it or as an element.
func (w *writer) begin(bracket byte) {
	if n := len(w.text); n > 0 && w.text[n-1] == '}' {
		w.text = append(w.text, ',') // an element after another
	}
	w.text = append(w.text, bracket)
}

func (w *writer) end(bracket byte) { w.text = append(w.text, bracket) }

// name begins a member.
func (w *writer) name(name string) {
	if w.text[len(w.text)-1] != '{' {
		w.text = append(w.text, ',')
	}
	w.quote(name)
	w.text = append(w.text, ':')
}

// quote writes a string, text that is not UTF-8 with U+FFFD in it.
func (w *writer) quote(s string) {
	if isPlain(s) {
		w.text = append(append(append(w.text, '"'), s...), '"')
		return
	}
	w.text, _ = jsontext.AppendQuote(w.text, s) // its error says no more than that there was such
}

// isPlain says that a string stands in JSON as it is: printable ASCII without quotes and backslashes.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (w *writer) string(name, s string) {
	w.name(name)
	w.quote(s)
}

func (w *writer) unlessEmpty(name, s string) {
	if s != "" {
		w.string(name, s)
	}
}

func (w *writer) int(name string, n int) {
	w.name(name)
	w.text = strconv.AppendInt(w.text, int64(n), 10)
}

func (w *writer) bool(name string, is bool) {
	w.name(name)
	w.text = strconv.AppendBool(w.text, is)
}

// time writes a time in UTC, unless it is zero.
func (w *writer) time(name string, t time.Time) {
	if t.IsZero() {
		return
	}
	if year := t.Year(); w.err == nil && (year < 0 || year > 9999) {
		w.err = fmt.Errorf("%s: the year %d has not four digits, as RFC 3339 wants it", name, year)
	}
	w.name(name)
	w.text = append(w.text, '"')
	w.text = t.AppendFormat(w.text, time.RFC3339Nano)
	w.text = append(w.text, '"')
}
