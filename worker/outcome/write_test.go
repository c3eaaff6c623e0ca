package outcome

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// marshal is what package json writes of an event, its counts sorted.
func marshal(t *testing.T, e Event) []byte {
	t.Helper()
	text, err := json.Marshal(e, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func checkWrite(t *testing.T, e Event) {
	t.Helper()
	w := writer{}
	w.event(&e)
	if want := marshal(t, e); w.err != nil || !bytes.Equal(w.text, want) {
		t.Errorf("%v, written\n%s\nwant\n%s", w.err, w.text, want)
	}
}

// fill sets whatever is in v that JSON writes: a field that was added to a type and not to the
// writer is found by it.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 11, 21, 12, 0, 0, 120_000_000, time.UTC)))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case v.Kind() == reflect.Map:
		v.Set(reflect.ValueOf(map[handlers.Status]int{handlers.Cancelled: 2, handlers.Accepted: 1, handlers.Failed: 3}))
	case v.Kind() == reflect.String:
		v.SetString("a \"text\" \xff\u2028\x00\\")
	case v.Kind() == reflect.Int:
		v.SetInt(7)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	default:
		panic("a kind that the writer does not write: " + v.Kind().String())
	}
}

func TestWritesWhatJSONWould(t *testing.T) {
	checkWrite(t, Event{})
	var full Event
	fill(reflect.ValueOf(&full).Elem())
	checkWrite(t, full)
	full.Data.Targets, full.Data.Counts = full.Data.Targets[:1], nil
	checkWrite(t, full)
}

func FuzzWrite(f *testing.F) {
	f.Add("id", "status", "message", int64(1), 1, false)
	f.Add("", "", "", int64(0), 0, true)
	f.Add("\xff", "\u2028\U0001F600", "<a&b>\x7f\\\"", int64(-1e18), -1, true)
	f.Fuzz(func(t *testing.T, a, b, c string, at int64, n int, is bool) {
		e := Event{SpecVersion: a, ID: b, Subject: c, TraceParent: a, Time: time.Unix(0, at).UTC(), Data: Data{
			CommandID: c, Action: handlers.Action(b), Status: handlers.Status(a), Code: b, Message: c, Worker: a, DryRun: is,
			TargetsOmitted: n, Attempts: Attempts{Calls: n, FirstError: c, LastError: a}, ReceivedAt: time.Unix(0, at).UTC(),
			Counts: map[handlers.Status]int{handlers.Cancelled: n},
		}}
		for range n & 3 {
			e.Data.Targets = append(e.Data.Targets, Target{ID: a, Status: handlers.Status(b), Before: c, Code: a, Message: b})
		}
		checkWrite(t, e)
	})
}
