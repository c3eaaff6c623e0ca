package command_test

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// soon is how long a command of any bytes may take.
const soon = time.Second

// judged decodes a body, and holds the answer to what is promised of every one: it comes soon,
// and is a sound command or one error that is fit to be reported. It returns the error, nil for none.
func judged(t *testing.T, d *command.Decoder, body []byte) *command.Error {
	t.Helper()
	_, fault := answered(t, d, body)
	return fault
}

func answered(t *testing.T, d *command.Decoder, body []byte) (*command.Command, *command.Error) {
	t.Helper()
	var c *command.Command
	var err error
	timely(t, body, func() { c, err = d.Decode(body, command.Message{ID: "m-1"}) })
	if err != nil {
		return nil, faulty(t, c, err)
	}
	sound(t, c)
	return c, nil
}

// timely runs what has to be done soon. Other people's load may slow one run, not three.
func timely(t *testing.T, body []byte, do func()) {
	t.Helper()
	least := time.Hour
	for range 3 {
		began := time.Now()
		do()
		if least = min(least, time.Since(began)); least < soon {
			return
		}
	}
	t.Errorf("%d bytes took %s: %.200q", len(body), least, body)
}

// faulty holds an error to its form, and returns it.
func faulty(t *testing.T, c *command.Command, err error) *command.Error {
	t.Helper()
	var e *command.Error
	if !errors.As(err, &e) || e.Field == "" || e.Rule == "" || c != nil {
		t.Fatalf("the error names no field or no rule, or stands beside a command: %v", err)
	}
	if s := e.Error(); s != e.Field+" "+e.Rule || !printable(s) || len(s) > 2048 || len(e.Field) > 512 {
		t.Fatalf("the sentence is not fit for a log: %q", s)
	}
	bounded(t, &e.Command)
	return e
}

func printable(s string) bool {
	return utf8.ValidString(s) && !slices.ContainsFunc([]rune(s), unicode.IsControl)
}

var (
	idForm      = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)
	actionForm  = regexp.MustCompile(`^[A-Za-z0-9-]+:[A-Za-z0-9]+$`)
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	regionForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{1,30}[a-z0-9]$`)
	traceForm   = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// bounded holds what could be read of a command to its bounds; what could not is empty.
func bounded(t *testing.T, c *command.Command) {
	t.Helper()
	for _, row := range []struct {
		name, text string
		form       *regexp.Regexp
		most       int // characters
	}{
		{"id", c.ID, idForm, 128}, {"action", string(c.Action), actionForm, 128},
		{"account", c.Account, accountForm, 12}, {"region", c.Region, regionForm, 32},
		{"reason", c.Reason, nil, 1024}, {"requestedBy", c.RequestedBy, nil, 128}, {"campaign", c.Campaign, nil, 128},
		{"via", c.Via, nil, 2*512 + len(" via ")}, {"traceparent", c.TraceParent, traceForm, 55},
	} {
		if !utf8.ValidString(row.text) || utf8.RuneCountInString(row.text) > row.most || row.text != "" && row.form != nil && !row.form.MatchString(row.text) {
			t.Errorf("%s is %.300q", row.name, row.text)
		}
	}
	if at := c.ExpiresAt; !at.IsZero() && (at.Year() < 0 || at.Year() > 9999 || at.Location() != time.UTC) {
		t.Errorf("it expires at %v", at)
	}
	if c.Confirm != nil && (*c.Confirm < 0 || *c.Confirm > 12*time.Hour) || c.Escalate < 0 || c.Escalate > 6*time.Hour || c.Escalate > 0 && *c.Confirm <= c.Escalate {
		t.Errorf("confirm is %v, escalate %s", c.Confirm, c.Escalate)
	}
}

// sound holds a command to what the worker relies on.
func sound(t *testing.T, c *command.Command) {
	t.Helper()
	bounded(t, c)
	if c.ID == "" || c.Action == "" || c.Account == "" || c.Region == "" || len(c.Parameters) == 0 || len(c.Targets) == 0 {
		t.Errorf("something is missing: %+v", c)
	}
	ids := map[string]bool{}
	for _, target := range c.Targets {
		if target.ID == "" || !utf8.ValidString(target.ID) || ids[target.ID] {
			t.Errorf("target id %q is empty, no UTF-8 or there twice", target.ID)
		}
		ids[target.ID] = true
	}
}

// obeyed holds parameters to their fields' rules, which are judged here a second time and by
// other code.
func obeyed(t *testing.T, fields []handlers.Field, p handlers.Parameters) {
	t.Helper()
	left := len(p)
	for _, f := range fields {
		value, there := p[f.Name]
		if !there {
			if f.Required || f.Reason {
				t.Errorf("%s is missing", f.Name)
			}
			continue
		}
		left--
		ok := false
		switch v := value.(type) {
		case string:
			ok = f.Kind == handlers.String && (keeps(f.Text, v) || f.Reason && v == handlers.DefaultReason)
		case bool:
			ok = f.Kind == handlers.Boolean
		case int64:
			ok = f.Kind == handlers.Long && v < 1<<53 && v > -1<<53
		case []string:
			sorted := slices.Sorted(slices.Values(v))
			ok = f.Kind == handlers.Strings && within(f, len(v)) && !slices.ContainsFunc(v, func(s string) bool { return !keeps(f.Text, s) }) &&
				(!f.Unique || len(slices.Compact(sorted)) == len(v))
		case map[string]string:
			ok = f.Kind == handlers.StringMap && within(f, len(v))
			for name, s := range v {
				ok = ok && keeps(f.KeyText, name) && keeps(f.Text, s)
			}
		}
		if !ok {
			t.Errorf("%s is %v (%s)", f.Name, value, reflect.TypeOf(value))
		}
	}
	if left != 0 {
		t.Errorf("parameters that are no fields: %v", p)
	}
}

func within(f handlers.Field, n int) bool {
	return n >= f.MinItems && (f.MaxItems == 0 || n <= f.MaxItems)
}

func keeps(text handlers.Text, s string) bool {
	n := len([]rune(s))
	if !utf8.ValidString(s) || n < text.Min || text.Max > 0 && n > text.Max || text.Max == 0 && len(text.Enum) == 0 && len(s) > 1024 || len(text.Enum) > 0 && !slices.Contains(text.Enum, s) {
		return false
	}
	if text.Pattern == nil {
		return true
	}
	longest := regexp.MustCompile(text.Pattern.String())
	longest.Longest()
	at := longest.FindStringIndex(s)
	return at != nil && at[0] == 0 && at[1] == len(s)
}
