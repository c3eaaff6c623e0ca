package outcome_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/outcome"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func whole() outcome.Data {
	targets := []outcome.Target{
		{ID: "s-1", Status: handlers.Cancelled, Before: "PENDING", After: "CANCELLED", RequestID: "r-1"},
		{ID: "s-2", Status: handlers.Failed, Code: "ServerException", Message: `<no> & "never"`},
	}
	d := outcome.Data{
		CommandID: "c-1", Action: "emr:CancelSteps", Targets: targets,
		Account: "123456789012", Region: "us-east-1", Reason: "cost guard", RequestedBy: "cost-guard",
		Sender: "AIDAEXAMPLE", Campaign: "over-budget", Resumed: true, ConfirmedBy: outcome.ConfirmedByPoll,
		Attempts:   outcome.Attempts{Calls: 3, Throttled: 1, FirstError: "ThrottlingException", LastError: "ServerException"},
		EnqueuedAt: noon.Add(-2 * time.Second), ReceivedAt: noon.Add(-time.Second), FinishedAt: noon, Worker: "w-1",
	}
	d.Status, d.Verdict, d.Counts = outcome.Of(targets)
	return d
}

func encode(t *testing.T, d outcome.Data) []byte {
	t.Helper()
	text, err := outcome.Encode("default", outcome.EventID(d.CommandID), &d)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > outcome.MaxBytes || !utf8.Valid(text) || !json.Valid(text) {
		t.Fatalf("%d bytes (bound %d), UTF-8 %t, JSON %t", len(text), outcome.MaxBytes, utf8.Valid(text), json.Valid(text))
	}
	return text
}

func parse(t *testing.T, text []byte) outcome.Event {
	t.Helper()
	e, err := outcome.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The event byte for byte: readers depend on every name in it.
func TestTheWholeEvent(t *testing.T) {
	const want = `{"specversion":"1.0","id":"10120af4-e861-5dfc-96c8-87283e2d35a5","source":"/rescind/default","type":"io.rescind.outcome.v1",` +
		`"subject":"c-1","time":"2026-11-21T12:00:00Z","datacontenttype":"application/json","data":{` +
		`"commandId":"c-1","action":"emr:CancelSteps","status":"partial","verdict":"not_stopped","counts":{"cancelled":1,"failed":1},` +
		`"targets":[{"id":"s-1","status":"cancelled","before":"PENDING","after":"CANCELLED","requestId":"r-1"},` +
		`{"id":"s-2","status":"failed","code":"ServerException","message":"<no> & \"never\""}],` +
		`"account":"123456789012","region":"us-east-1","reason":"cost guard","requestedBy":"cost-guard","sender":"AIDAEXAMPLE",` +
		`"campaign":"over-budget","dryRun":false,"resumed":true,"escalated":false,"confirmedBy":"poll",` +
		`"attempts":{"calls":3,"throttled":1,"unavailable":0,"firstError":"ThrottlingException","lastError":"ServerException"},` +
		`"enqueuedAt":"2026-11-21T11:59:58Z","receivedAt":"2026-11-21T11:59:59Z","finishedAt":"2026-11-21T12:00:00Z","worker":"w-1"}}`
	if got := string(encode(t, whole())); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAnInvalidCommandsEvent(t *testing.T) {
	const want = `{"specversion":"1.0","id":"bbc9de3e-c0e2-56fc-9655-153ca9b15e89","source":"/rescind/default","type":"io.rescind.outcome.v1",` +
		`"time":"2026-11-21T12:00:00Z","datacontenttype":"application/json","data":{"status":"invalid","verdict":"not_run","counts":{},"targets":[],` +
		`"code":"Invalid","message":"body must not be empty","dryRun":false,"resumed":false,"escalated":false,"confirmedBy":"none",` +
		`"attempts":{"calls":0,"throttled":0,"unavailable":0},"finishedAt":"2026-11-21T12:00:00Z"}}`
	text, err := outcome.Encode("default", outcome.EventID("msg:m-1"), &outcome.Data{
		Status: handlers.Invalid, Verdict: handlers.NotRun, Code: outcome.CodeInvalid, Message: "body must not be empty",
		FinishedAt: noon.In(time.FixedZone("CET", 3600)),
	})
	if err != nil || string(text) != want {
		t.Errorf("got\n%s (%v)\nwant\n%s", text, err, want)
	}
}

func TestParseReadsWhatEncodeWrote(t *testing.T) {
	want := whole()
	e := parse(t, encode(t, want))
	if !reflect.DeepEqual(e.Data, want) {
		t.Errorf("got  %+v\nwant %+v", e.Data, want)
	}
	if e.ID != outcome.EventID("c-1") || e.Subject != "c-1" || !e.Time.Equal(noon) {
		t.Errorf("event %q of %q at %v", e.ID, e.Subject, e.Time)
	}
}

func TestParse(t *testing.T) {
	good := string(encode(t, whole()))
	for _, row := range []struct {
		name, text string
		ok         bool
	}{
		{"fields of a newer worker are passed over", strings.Replace(good, `"data":{`, `"traceparent":"00-ab","data":{"proof":{"by":"event"},`, 1), true},
		{"not JSON", good[1:], false},
		{"something after it", good + `{}`, false},
		{"another type", strings.Replace(good, "outcome.v1", "outcome.v2", 1), false},
		{"another CloudEvents", strings.Replace(good, `"specversion":"1.0"`, `"specversion":"2.0"`, 1), false},
		{"no event at all", `{}`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if e, err := outcome.Parse([]byte(row.text)); (err == nil) != row.ok || row.ok && !reflect.DeepEqual(e.Data, whole()) {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
}

func TestEventIDIsOfTheKeyAlone(t *testing.T) {
	d := whole()
	a := parse(t, encode(t, d))
	text, err := outcome.Encode("other", outcome.EventID(d.CommandID), &outcome.Data{Status: handlers.Failed, FinishedAt: noon.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if b := parse(t, text); b.ID != a.ID {
		t.Errorf("one key, two event ids: %s and %s", a.ID, b.ID)
	}
	if outcome.EventID("c-1") == outcome.EventID("dry/c-1") {
		t.Error("two keys, one event id")
	}
}

func TestOf(t *testing.T) {
	policy := outcome.Target{Status: handlers.Denied, Verdict: handlers.NotRun}
	of := func(statuses ...handlers.Status) []outcome.Target {
		targets := make([]outcome.Target, len(statuses))
		for i, s := range statuses {
			targets[i].Status = s
		}
		return targets
	}
	for _, row := range []struct {
		name    string
		targets []outcome.Target
		status  handlers.Status
		verdict handlers.Verdict
	}{
		{"one", of(handlers.Cancelled), handlers.Cancelled, handlers.Stopped},
		{"all alike", of(handlers.Accepted, handlers.Accepted), handlers.Accepted, handlers.Pending},
		{"all stopped, not all alike", of(handlers.Cancelled, handlers.AlreadyEnded), handlers.Partial, handlers.Stopped},
		{"pending is worse than stopped", of(handlers.Accepted, handlers.Cancelled), handlers.Partial, handlers.Pending},
		{"not stopped is worse than pending", of(handlers.NotFound, handlers.Accepted, handlers.Cancelled), handlers.Partial, handlers.NotStopped},
		{"not run is the worst", of(handlers.Cancelled, handlers.Expired, handlers.Failed), handlers.Partial, handlers.NotRun},
		{"AWS denied", of(handlers.Denied, handlers.Denied), handlers.Denied, handlers.NotStopped},
		{"policy denied", []outcome.Target{policy}, handlers.Denied, handlers.NotRun},
		{"AWS denied one, policy the other", append(of(handlers.Denied), policy), handlers.Denied, handlers.NotRun},
		{"none", nil, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, verdict, counts := outcome.Of(row.targets)
			if status != row.status || verdict != row.verdict {
				t.Errorf("got %q, %q; want %q, %q", status, verdict, row.status, row.verdict)
			}
			sum := 0
			for _, n := range counts {
				sum += n
			}
			if sum != len(row.targets) {
				t.Errorf("counts %v for %d targets", counts, len(row.targets))
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	for _, row := range []struct {
		name string
		data outcome.Data
		want map[string]string
	}{
		{"all", whole(), map[string]string{
			"action": "emr:CancelSteps", "service": "emr", "status": "partial", "verdict": "not_stopped",
			"campaign": "over-budget", "account": "123456789012", "region": "us-east-1",
		}},
		{"empty ones are left out", outcome.Data{Status: handlers.Invalid, Verdict: handlers.NotRun},
			map[string]string{"status": "invalid", "verdict": "not_run"}},
		{"what SNS does not take is replaced", outcome.Data{Campaign: "a\x00b\tc\uFFFFé😀"},
			map[string]string{"campaign": "a\uFFFDb\tc\uFFFDé😀"}},
	} {
		if got := outcome.Attributes(&row.data); !maps.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
}

func TestATimeThatJSONCannotWrite(t *testing.T) {
	if _, err := outcome.Encode("default", outcome.EventID("k"), &outcome.Data{FinishedAt: noon.AddDate(9000, 0, 0)}); err == nil {
		t.Error("year 11026 was written")
	}
}

func ExampleEncode() {
	d := outcome.Data{
		CommandID: "stop-7", Action: "batch:CancelJob", FinishedAt: noon,
		Targets: []outcome.Target{{ID: "j-1", Status: handlers.NotCancellable, After: "RUNNING"}},
	}
	d.Status, d.Verdict, d.Counts = outcome.Of(d.Targets)
	text, err := outcome.Encode("default", outcome.EventID("stop-7"), &d)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := outcome.Parse(text)
	fmt.Println(e.Source, e.Subject, e.Data.Status, e.Data.Verdict, err)
	// Output: /rescind/default stop-7 not_cancellable not_stopped <nil>
}
