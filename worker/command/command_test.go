package command_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// page is a whole command; its parameters are the example of AWS Batch's CancelJob page.
const page = `{
  "id": "6f1c0a52-9a9e-4b57-9be1-3a2f6f1f2a10",
  "action": "batch:CancelJob",
  "parameters": {"jobId": "1d828f65-7a4d-42e8-996d-3b900ed59dc4", "reason": "Cancelling job."},
  "account": "210987654321",
  "region": "eu-west-1",
  "reason": "cost guard: queue over budget",
  "requestedBy": "cost-guard",
  "campaign": "over-budget-2026-11-21",
  "expiresAt": "2026-11-21T13:00:00+01:00",
  "confirm": "0s",
  "dryRun": false
}`

func decode(t *testing.T, body string) *command.Command {
	t.Helper()
	c, err := decoder().Decode([]byte(body), command.Message{ID: "m-1"})
	if err != nil {
		t.Fatalf("%s\nis invalid: %v", clip(body), err)
	}
	return c
}

func invalid(t *testing.T, body string) *command.Error {
	t.Helper()
	_, err := decoder().Decode([]byte(body), command.Message{ID: "m-1"})
	var e *command.Error
	if !errors.As(err, &e) {
		t.Fatalf("%s\ngives %v, want a *command.Error", clip(body), err)
	}
	return e
}

func clip(s string) string { return s[:min(len(s), 300)] }

// job is a command of batch:CancelJob with more members.
func job(members string) string {
	if members != "" {
		members = "," + members
	}
	return `{"action":"batch:CancelJob","parameters":{"jobId":"j-1"}` + members + `}`
}

func run(action, parameters string) string {
	return `{"action":"` + action + `","parameters":` + parameters + `}`
}

func TestWholeCommand(t *testing.T) {
	none := time.Duration(0)
	want := &command.Command{
		ID:          "6f1c0a52-9a9e-4b57-9be1-3a2f6f1f2a10",
		Action:      "batch:CancelJob",
		Parameters:  []byte(`{"jobId": "1d828f65-7a4d-42e8-996d-3b900ed59dc4", "reason": "Cancelling job."}`),
		Params:      handlers.Parameters{"jobId": "1d828f65-7a4d-42e8-996d-3b900ed59dc4", "reason": "Cancelling job."},
		Targets:     []handlers.Target{{ID: "1d828f65-7a4d-42e8-996d-3b900ed59dc4"}},
		Account:     "210987654321",
		Region:      "eu-west-1",
		Reason:      "cost guard: queue over budget",
		RequestedBy: "cost-guard",
		Campaign:    "over-budget-2026-11-21",
		ExpiresAt:   time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		Confirm:     &none,
	}
	if got := decode(t, page); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestShortestCommand(t *testing.T) {
	want := &command.Command{
		ID:         "sqs:m-1",
		Action:     "batch:CancelJob",
		Parameters: []byte(`{"jobId":"j-1"}`),
		Params:     handlers.Parameters{"jobId": "j-1", "reason": handlers.DefaultReason},
		Targets:    []handlers.Target{{ID: "j-1"}},
		Account:    own.Account,
		Region:     own.Region,
	}
	got := decode(t, job(""))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Location() != own {
		t.Errorf("its location is %v, want the worker's own", got.Location())
	}
}

func TestEveryKindOfParameter(t *testing.T) {
	for _, row := range []struct {
		action, parameters string
		want               handlers.Parameters
	}{
		{"emr:CancelSteps", `{"ClusterId":"j-1","StepIds":["s-1","s-2"],"StepCancellationOption":"SEND_INTERRUPT"}`,
			handlers.Parameters{"ClusterId": "j-1", "StepIds": []string{"s-1", "s-2"}, "StepCancellationOption": "SEND_INTERRUPT"}},
		{"iot:CancelJobExecution", `{"jobId":"j","force":true,"expectedVersion":9007199254740991,"statusDetails":{"a":"1","b":"2"}}`,
			handlers.Parameters{"jobId": "j", "force": true, "expectedVersion": int64(1<<53 - 1), "statusDetails": map[string]string{"a": "1", "b": "2"}}},
		{"iot:CancelJobExecution", `{"jobId":"j","force":false,"expectedVersion":-3}`,
			handlers.Parameters{"jobId": "j", "force": false, "expectedVersion": int64(-3)}},
		{"iot:CancelJobExecution", `{"job\u0049d":"\u006a"}`, handlers.Parameters{"jobId": "j"}},
		// A pattern holds for the whole text whichever of its branches Go tries first.
		{"swf:TerminateWorkflowExecution", `{"workflowId":"w1","reason":""}`, handlers.Parameters{"workflowId": "w1", "reason": ""}},
	} {
		if got := decode(t, run(row.action, row.parameters)).Params; !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s %s\ngot  %v\nwant %v", row.action, row.parameters, got, row.want)
		}
	}
}

func TestReasonFillsTheAPIsOwn(t *testing.T) {
	swf := func(parameters, reason string) string {
		return `{"action":"swf:TerminateWorkflowExecution","parameters":` + parameters + reason + `}`
	}
	for _, row := range []struct{ name, body, want string }{
		{"neither says", swf(`{"workflowId":"w"}`, ``), handlers.DefaultReason},
		{"the command says", swf(`{"workflowId":"w"}`, `,"reason":"budget"`), "budget"},
		{"both say", swf(`{"workflowId":"w","reason":"own"}`, `,"reason":"budget"`), "own"},
		{"a long one is no fault where it fills nothing", swf(`{"workflowId":"w","reason":"own"}`, `,"reason":"over budget"`), "own"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := decode(t, row.body).Params.Text("reason"); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestAtTheBounds(t *testing.T) {
	for name, body := range map[string]string{
		"id of 128":                       job(`"id":"` + strings.Repeat("a", 128) + `"`),
		"id of every allowed character":   job(`"id":"AZaz09._:-"`),
		"id that only resembles ours":     job(`"id":"sqs-1"`),
		"reason of 1,024 characters":      job(`"reason":"` + strings.Repeat("é", 1024) + `"`),
		"campaign of 128 characters":      job(`"campaign":"` + strings.Repeat("é", 128) + `"`),
		"region of four parts":            job(`"region":"us-gov-west-1"`),
		"256 KiB":                         job("") + strings.Repeat(" ", command.MaxBytes-len(job(""))),
		"expiresAt with a fraction":       job(`"expiresAt":"2026-11-21T12:00:00.5Z"`),
		"256 steps":                       run("emr:CancelSteps", `{"ClusterId":"j","StepIds":[`+steps(256)+`]}`),
		"a parameter named by its escape": run("batch:CancelJob", `{"\u006aobId":"j"}`),
	} {
		t.Run(name, func(t *testing.T) { decode(t, body) })
	}
}

func steps(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf(`"s-%d"`, i)
	}
	return strings.Join(ids, ",")
}

func TestKey(t *testing.T) {
	if got := decode(t, job(`"id":"a"`)).Key(); got != "a" {
		t.Errorf("key %q, want the id", got)
	}
	if got := decode(t, job(`"id":"a","dryRun":true`)).Key(); got != "dry/a" {
		t.Errorf("dry run's key %q, want one that no id can be", got)
	}
}

func TestFingerprint(t *testing.T) {
	long := func(n string) string { return run("iot:CancelJobExecution", `{"jobId":"j","expectedVersion":`+n+`}`) }
	for _, row := range []struct {
		name, a, b string
		same       bool
	}{
		{"the sender's order and white space do not count",
			`{"action":"emr:CancelSteps","parameters":{"ClusterId":"j","StepIds":["a","b"]}}`,
			"{\"parameters\": { \"StepIds\" : [ \"a\",\n\"b\"], \"ClusterId\":\"j\"}, \"action\":\"emr:CancelSteps\"}", true},
		{"nor do escapes", run("batch:CancelJob", `{"jobId":"é/j"}`), run("batch:CancelJob", `{"jobId":"\u00e9\/j"}`), true},
		{"the worker's own location is the same said or unsaid", job(""), job(`"account":"123456789012","region":"us-east-1"`), true},
		{"who, why and until when do not count", job(""), job(`"id":"b","reason":"r","requestedBy":"x","campaign":"y","expiresAt":"2026-11-21T12:00:00Z"`), true},
		{"parameters count as sent, not as filled", job(""), run("batch:CancelJob", `{"jobId":"j-1","reason":"`+handlers.DefaultReason+`"}`), false},
		{"the order of a list counts", run("emr:CancelSteps", `{"ClusterId":"j","StepIds":["a","b"]}`), run("emr:CancelSteps", `{"ClusterId":"j","StepIds":["b","a"]}`), false},
		{"account counts", job(""), job(`"account":"210987654321"`), false},
		{"region counts", job(""), job(`"region":"eu-west-1"`), false},
		{"the largest whole numbers remain distinct", long("9007199254740991"), long("9007199254740990"), false},
		{"minus zero is zero", long("-0"), long("0"), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := decode(t, row.a).Fingerprint() == decode(t, row.b).Fingerprint(); got != row.same {
				t.Errorf("fingerprints equal: %t, want %t\n%s\n%s", got, row.same, row.a, row.b)
			}
		})
	}
}

// The fingerprint stands in ledgers: it may not change from one release to the next. The
// value is sha256sum's of the canonical text written by hand.
func TestFingerprintIsForever(t *testing.T) {
	// {"account":"123456789012","action":"batch:CancelJob","parameters":{"jobId":"j-1"},"region":"us-east-1"}
	const want = "02dcb1e8caf9d5c80a8827395317d5732d35a980649ed14d70b64379b69756a6"
	sum := decode(t, job("")).Fingerprint()
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
