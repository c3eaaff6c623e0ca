package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/outcome"
)

const someQueue = "https://sqs.us-east-1.amazonaws.com/123456789012/q"

// checked is an input as it is checked with some flags.
func checked(t *testing.T, c *sendCmd, input string) (*sendReport, error) {
	t.Helper()
	r := &sendReport{}
	return r, newChecker(someQueue, "us-east-1", c).all([]byte(input), r)
}

// TestNullInALineIsAbsent: null says the same as leaving a member out, so that flags and a new id stand in
// its place. An id that SQS makes would be another one when the request is repeated.
func TestNullInALineIsAbsent(t *testing.T) {
	c := &sendCmd{File: "-", Reason: "from a flag", Param: map[string]string{"jobId": "from-a-flag"}}
	for _, parameters := range []string{`null`, `{"jobId":null}`} {
		r, err := checked(t, c, `{"id":null,"action":"batch:CancelJob","reason":null,"parameters":`+parameters+`}`)
		if err != nil || len(r.Commands) != 1 || r.Commands[0].State != stateUnsent {
			t.Fatalf("%+v, %v", r, err)
		}
		var sent struct {
			ID, Reason string
			Parameters map[string]string
		}
		if err := json.Unmarshal([]byte(r.Commands[0].body), &sent); err != nil {
			t.Fatal(err)
		}
		if uuid.Validate(sent.ID) != nil || sent.Reason != "from a flag" || sent.Parameters["jobId"] != "from-a-flag" || !r.Commands[0].madeID {
			t.Errorf("sent %s", r.Commands[0].body)
		}
	}
}

// TestFormsOfInput: each line and id that is read, or what is said of the input as a whole.
func TestFormsOfInput(t *testing.T) {
	one := func(id string) string {
		return fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":"x"}}`, id)
	}
	pretty := func(id string) string {
		return fmt.Sprintf("{\n  \"id\": %q,\n  \"action\": \"batch:CancelJob\",\n  \"parameters\": {\"jobId\": \"x\"}\n}", id)
	}
	rows := []struct{ name, input, says string }{
		{"nothing", " \n", ""},
		{"a line", one("a"), "1 a"},
		{"lines", one("a") + "\n\n" + one("b") + "\r\n", "1 a, 3 b"},
		{"a byte order mark", "\ufeff" + one("a"), "1 a"},
		{"two on one line", one("a") + one("b"), "1 a, 1 b"},
		{"one object over several lines", "\n" + pretty("a") + "\n", "2 a"},
		{"several of them", pretty("a") + "\n" + pretty("b"), "1 a, 6 b"},
		{"objects over several lines and one", one("a") + "\n" + pretty("b"), "1 a, 2 b"},
		{"an array", "[" + one("a") + "," + one("b") + "]", "1 a, 1 b"},
		{"an array over several lines", "[\n" + pretty("a") + ",\n" + pretty("b") + "\n]\n", "2 a, 7 b"},
		{"an empty array", "[]", ""},
		{"a line that is cut among lines", one("a") + "\n" + one("b")[:20] + "\n" + one("c"), "1 a, 2 refused body, 3 c"},
		{"a first line that is no JSON", "id,action\n" + one("a"), "1 refused body, 2 a"},
		{"no object", "5", "1 refused body"},
		{"an array in an array", "[[" + one("a") + "]]", "1 refused body"},
		{"a member twice", `{"id":"a","id":"b"}`, "1 refused id"},
		{"a field", strings.ReplaceAll(pretty("a"), "jobId", "jobID"), "1 refused parameters.jobID"},
		{"an array that is cut", "[\n" + one("a") + ",\n", "line 3, column 1: the input ends within a JSON value; nothing was sent"},
		{"a comma too many", "[\n" + one("a") + ",\n]", "line 2, column 65: "},
		{"an object over several lines that is broken", pretty("a") + "\n{\n  \"id\" \"b\"\n}", "line 7, column 8: "},
		{"one that is cut", pretty("a")[:30], "line 3, column "},
		{"two of one id with other content", one("a") + "\n\n" + strings.ReplaceAll(one("a"), `"x"`, `"y"`), `lines 1 and 3 have the id "a" and other content`},
		{"two of them on a line", one("a") + strings.ReplaceAll(one("a"), "CancelJob", "TerminateJob"), `two commands on line 1 have the id "a"`},
		{"two of one id with one content", one("a") + "\n" + one("a"), "1 a, 2 a"},
		{"one and its dry run", one("a") + "\n" + strings.ReplaceAll(strings.Replace(one("a"), "{", `{"dryRun":true,`, 1), `"x"`, `"y"`), "1 a, 2 a"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r, err := checked(t, &sendCmd{File: "-"}, row.input)
			var got []string
			for _, c := range r.Commands {
				what := c.ID
				if c.State == stateRefused {
					what = "refused " + c.Field
				}
				got = append(got, fmt.Sprint(c.Line, " ", what))
			}
			if err != nil {
				if !errors.As(err, new(misuse)) || !strings.HasSuffix(err.Error(), "; nothing was sent") {
					t.Errorf("the error is %v", err)
				}
				got = []string{err.Error()}
			}
			if said := strings.Join(got, ", "); said != row.says && (err == nil || !strings.HasPrefix(said, row.says)) {
				t.Errorf("got  %s\nwant %s", said, row.says)
			}
		})
	}
}

// sendable is a simulator with a queue that send can be run against.
func sendable(t *testing.T, o awssim.Options) (_ *awssim.Sim, queue string) {
	t.Helper()
	unconfigured(t)
	sim := awssim.New(o)
	t.Cleanup(func() { _ = sim.Close() })
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	if _, err := sim.CreateQueue("commands", nil); err != nil {
		t.Fatal(err)
	}
	return sim, server.URL + "/123456789012/commands"
}

// lines are n commands, with ids if they are to have them.
func linesOfCommands(n int, ids bool) string {
	var b strings.Builder
	for i := range n {
		id := ""
		if ids {
			id = fmt.Sprintf(`"id":"c-%d",`, i+1)
		}
		fmt.Fprintf(&b, `{%s"action":"batch:CancelJob","parameters":{"jobId":"job-%d"}}`+"\n", id, i+1)
	}
	return b.String()
}

func TestSendJSONListsEveryCommand(t *testing.T) {
	_, queue := sendable(t, awssim.Options{})
	input := linesOfCommands(25, true) + `{"id":"bad","action":"batch:CancelJob","parameters":{}}` + "\n"
	code, out, _ := ran(t, input, "send", "--queue-url", queue, "--json", "-")
	var r sendReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFailed {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	if r.Queue != queue || r.Sent != 25 || r.Refused != 1 || len(r.Commands) != 26 || r.RefusedByField["parameters.jobId"] != 1 || r.Error == "" {
		t.Errorf("%+v", r)
	}
	for i, c := range r.Commands[:25] {
		if c.ID != fmt.Sprint("c-", i+1) || c.Line != i+1 || c.State != stateSent {
			t.Errorf("command %d: %+v", i, c)
		}
	}
	if bad := r.Commands[25]; bad.ID != "bad" || bad.State != stateRefused || bad.Field != "parameters.jobId" || bad.Error == "" {
		t.Errorf("%+v", bad)
	}
}

// TestSendJSONAlsoWhereItFails: a program that reads the answer gets one in any case.
func TestSendJSONAlsoWhereItFails(t *testing.T) {
	unconfigured(t)
	for name, row := range map[string]struct {
		args []string
		code int
	}{
		"no queue":            {[]string{"--action=batch:CancelJob"}, exitMisused},
		"an invalid command":  {[]string{"--queue-url", someQueue, "--action=batch:CancelJob"}, exitMisused},
		"a broken input":      {[]string{"--queue-url", someQueue, "-"}, exitMisused},
		"no worker to follow": {[]string{"--queue-url", someQueue, "--wait", "--admin-addr=127.0.0.1:1", "--action=batch:CancelJob", "-p", "jobId=x"}, exitFailed},
	} {
		code, out, complaints := ran(t, "[\n", append([]string{"send", "--json"}, row.args...)...)
		var r sendReport
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != row.code || r.Error == "" || r.Sent != 0 || !strings.Contains(complaints, r.Error) {
			t.Errorf("%s: exit %d, %v\n%s%s", name, code, err, out, complaints)
		}
	}
}

// TestInterruptedSendSaysHowToGoOn: what has begun is finished, so that the rest is known line by line.
func TestInterruptedSendSaysHowToGoOn(t *testing.T) {
	for name, row := range map[string]struct {
		ids  bool
		says string
	}{
		"with ids":    {true, "send the same input again"},
		"without ids": {false, "send those lines again, and only those"},
	} {
		t.Run(name, func(t *testing.T) {
			sim, queue := sendable(t, awssim.Options{Latency: 50 * time.Millisecond})
			ctx, interrupt := context.WithCancel(t.Context())
			says := &stopWords{}
			ctx = context.WithValue(ctx, stopWordsKey{}, says)
			go func() {
				for sim.Counts()["sqs:SendMessageBatch"].Requests < 3 {
					<-time.After(time.Millisecond)
				}
				interrupt()
			}()
			var out, complaints strings.Builder
			code := run(ctx, []string{"send", "--queue-url", queue, "--json", "-"}, streams{strings.NewReader(linesOfCommands(5000, row.ids)), &out, &complaints})
			var r sendReport
			if err := json.Unmarshal([]byte(out.String()), &r); err != nil || code != exitFailed {
				t.Fatalf("exit %d: %v", code, err)
			}
			if r.Sent < 10 || r.Unsent == 0 || r.Sent+r.Unsent != 5000 || len(sim.Messages("commands")) != r.Sent {
				t.Errorf("%d sent, %d unsent, %d unknown; %d are on the queue", r.Sent, r.Unsent, r.Unknown, len(sim.Messages("commands")))
			}
			first := slices.IndexFunc(r.Commands, func(c *sending) bool { return c.State == stateUnsent })
			if said := fmt.Sprintf("not sent: %d commands (lines %d-5000)", r.Unsent, first+1); !strings.Contains(complaints.String(), said) || !strings.Contains(complaints.String(), row.says) {
				t.Errorf("it does not say %q and %q:\n%s", said, row.says, complaints.String())
			}
			if first, second := says.get(); !strings.Contains(first(), fmt.Sprintf("%d of 5000 commands have been sent", r.Sent)) || !strings.Contains(second, "not run twice") {
				t.Errorf("the signals say %q, %q", first(), second)
			}
		})
	}
}

func TestSendWaitsForOutcomes(t *testing.T) {
	d := startDev(t)
	input := fmt.Sprintf(`{"id":"a","parameters":{"jobId":%q}}
{"id":"b","region":"eu-west-1","parameters":{"jobId":%q}}
`, d.targets["RUNNABLE"], d.targets["PENDING"])
	send := func(input string, args ...string) (int, string, string) {
		return ran(t, input, append([]string{"send", "--queue-url", d.queue, "--action=batch:CancelJob", "--wait", "--admin-addr", d.admin}, args...)...)
	}
	code, out, complaints := send(input, "-")
	for _, says := range []string{
		"cancelled          a  " + d.targets["RUNNABLE"] + "  state FAILED\n",
		"denied             b  " + d.targets["PENDING"] + "  PolicyDenied: region: region eu-west-1", "such as b.2",
		"2 of 2 commands have ended in ", ": 1 cancelled, 1 denied",
	} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q:\n%s", says, out)
		}
	}
	if code != exitFailed || !strings.Contains(complaints, "1 of 2 commands did not stop all of its targets") {
		t.Errorf("exit %d: %s", code, complaints)
	}
	// Again, and for other content: the outcome under the id is not this command's.
	if code, out, complaints := send("", "--id=a", "-p", "jobId="+d.targets["RUNNABLE"]); code != exitDone || !strings.Contains(out, "cancelled          a  ") {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	if code, out, complaints := send("", "--id=a", "-p", "jobId="+d.targets["PENDING"]); code != exitFailed || !strings.Contains(out, "invalid            a  Invalid: id was used before") {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	code, out, _ = send("", "--id=j", "--json", "-p", "jobId="+d.targets["PENDING"])
	var r sendReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || r.Outcomes != 1 || !strings.Contains(string(r.Commands[0].Outcome), `"commandId":"j"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out, complaints := send("", "--id=dry", "--dry-run", "-p", "jobId="+d.targets["RUNNING"]); code != exitDone || !strings.Contains(out, "dry_run            dry  "+d.targets["RUNNING"]+"  would be not_cancellable, state RUNNING\n") {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	code, out, complaints = ran(t, "", "send", "--queue-url", d.queue+"2", "--action=batch:CancelJob", "-p", "jobId=x", "--wait", "--admin-addr", d.admin)
	if code != exitFailed || out != "" || !strings.Contains(complaints, "takes commands from "+d.queue+", and not from "+d.queue+"2") || !strings.Contains(complaints, "nothing was sent") {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
}

// TestAnOutcomeIsTheCommandsOwn: what ended under its id may be another command's.
func TestAnOutcomeIsTheCommandsOwn(t *testing.T) {
	r, err := checked(t, &sendCmd{File: "-"}, linesOfCommands(2, true)+`{"id":"c-3","account":"111111111111","action":"batch:CancelJob","parameters":{"jobId":"job-1"}}`)
	if err != nil {
		t.Fatal(err)
	}
	of := func(c *sending, account string) ledger.Record {
		command := c.command
		command.Account = account
		return ledger.Record{
			Entry: ledger.Entry{Fingerprint: command.Fingerprint()}, Ended: true,
			Outcome: fmt.Appendf(nil, `{"specversion":"1.0","type":"io.rescind.outcome.v1","data":{"account":%q,"region":"us-east-1"}}`, account),
		}
	}
	one, two, three := r.Commands[0], r.Commands[1], r.Commands[2]
	one.messageID, three.messageID = "m-1", "m-3"
	for _, row := range []struct {
		name  string
		of    *sending
		ended map[string]ledger.Record
		want  string
	}{
		{"nothing has ended", one, nil, ""},
		{"its own", one, map[string]ledger.Record{"c-1": of(one, "123456789012")}, "123456789012"},
		{"in the worker's account, which is another than the queue's", one, map[string]ledger.Record{"c-1": of(one, "999999999999")}, "999999999999"},
		{"in the account that it names", three, map[string]ledger.Record{"c-3": of(three, "111111111111")}, "111111111111"},
		{"in another account than it names", three, map[string]ledger.Record{"c-3": of(three, "999999999999")}, ""},
		{"of other content", one, map[string]ledger.Record{"c-1": of(two, "123456789012")}, ""},
		{"of other content, and its own refusal", one, map[string]ledger.Record{"c-1": of(two, "123456789012"), "msg:m-1": of(one, "refused")}, "refused"},
	} {
		got := string(row.of.outcomeAmong(row.ended))
		if row.want == "" && got != "" || !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want that of %q", row.name, got, row.want)
		}
	}
}

// answers is where outcomes come from in the tests of follow.
type answers func(keys []string) ([]ledger.Record, error)

func (a answers) ended(_ context.Context, keys []string) ([]ledger.Record, error) { return a(keys) }
func (answers) close() error                                                      { return nil }

// TestFollowReadsAtABoundedRate: however many commands are awaited, and whatever the answers are.
func TestFollowReadsAtABoundedRate(t *testing.T) {
	for _, n := range []int{1, 50, 10_000} {
		synctest.Test(t, func(t *testing.T) {
			r, err := checked(t, &sendCmd{File: "-"}, linesOfCommands(n, true))
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range r.Commands {
				c.messageID = fmt.Sprint("m-", i)
			}
			began, reads := time.Now(), 0
			ends := began.Add(time.Minute) // of all commands
			found := map[string]bool{}
			left := follow(t.Context(), answers(func(keys []string) (records []ledger.Record, err error) {
				reads++
				if len(keys) > maxEndedKeys {
					t.Fatalf("%d keys in one read", len(keys))
				}
				if time.Now().Before(ends) {
					return nil, errors.New("it is down")
				}
				for _, c := range r.Commands {
					if slices.Contains(keys, c.ID) {
						records = append(records, ledger.Record{Entry: ledger.Entry{Key: c.ID, Fingerprint: c.command.Fingerprint()}, Ended: true, Outcome: []byte(`{}`)})
					}
				}
				return records, nil
			}), r.Commands, func(c *sending, _ []byte) { found[c.ID] = true }, func(int, error) {})
			if left != 0 || len(found) != n {
				t.Errorf("%d: %d are left, %d were found", n, left, len(found))
			}
			took := time.Since(began)
			if most := int(4*took.Seconds()) + 1; reads > most || n <= readMost && reads > int(took.Seconds())+1 {
				t.Errorf("%d commands: %d reads in %s", n, reads, took)
			}
			if took > time.Minute+time.Duration(n/readMost+2)*readEvery*2+readAgain {
				t.Errorf("%d commands took %s", n, took)
			}
		})
	}
}

func TestWaitingIsBounded(t *testing.T) {
	_, queue := sendable(t, awssim.Options{}) // without a worker
	mux := http.NewServeMux()
	mux.HandleFunc(endedPath, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(rw, `{"queues":[%q],"ended":[]}`, queue)
	})
	worker := httptest.NewServer(mux)
	defer worker.Close()
	code, out, complaints := ran(t, linesOfCommands(3, true), "send", "--queue-url", queue, "--wait", "--wait-for=10ms", "--admin-addr", strings.TrimPrefix(worker.URL, "http://"), "-")
	if code != exitFailed || !strings.Contains(out, "0 of 3 commands have ended") || !strings.Contains(complaints, "no outcome within 10ms (--wait-for): 3 of 3 commands; what has none is on the queue") {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
}

// TestWaitReadsTheLedgersTable: the worker need not be reached where its ledger can be.
func TestWaitReadsTheLedgersTable(t *testing.T) {
	sim, queue := sendable(t, awssim.Options{}) // without a worker, in whose place the test ends commands
	if err := dynamo.CreateTable(t.Context(), sim.Config(), "commands"); err != nil {
		t.Fatal(err)
	}
	l, err := dynamo.Open(t.Context(), sim.Config(), "commands", dynamo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	r, err := checked(t, &sendCmd{File: "-"}, linesOfCommands(2, true))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Commands {
		command := c.command
		command.Account, command.Region = "999999999999", "eu-west-1" // the worker's own, which the sender need not know
		d := outcome.Data{CommandID: c.ID, Status: handlers.Accepted, Verdict: handlers.Pending, Account: command.Account, Region: command.Region}
		event, err := outcome.Encode("/rescind/default", outcome.EventID(c.ID), &d)
		if err != nil {
			t.Fatal(err)
		}
		claim, err := l.Claim(t.Context(), ledger.Entry{Key: c.ID, Fingerprint: command.Fingerprint()}, time.Minute)
		if err == nil {
			err = l.Complete(t.Context(), claim.Token, event)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	code, out, complaints := ran(t, linesOfCommands(2, true), "send", "--queue-url", queue, "--wait", "--wait-for=5s", "--ledger=dynamodb:commands", "-")
	if code != exitDone || !strings.Contains(out, "accepted           c-1\n") || !strings.Contains(out, "2 of 2 commands have ended") {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	for ledger, says := range map[string]string{"dynamodb:nothing": "no such table", "dynamo:commands": "RESCIND_LEDGER must be"} {
		code, _, complaints := ran(t, linesOfCommands(2, true), "send", "--queue-url", queue, "--wait", "--ledger", ledger, "-")
		if code == exitDone || !strings.Contains(complaints, says) || !strings.Contains(complaints, "nothing was sent") {
			t.Errorf("%s: exit %d: %s", ledger, code, complaints)
		}
	}
	if n := len(sim.Messages("commands")); n != 2 {
		t.Errorf("%d messages are on the queue, want those of the first run", n)
	}
}

func TestSendFromAFile(t *testing.T) {
	sim, queue := sendable(t, awssim.Options{})
	path := filepath.Join(t.TempDir(), "commands.json")
	if err := os.WriteFile(path, []byte("["+strings.ReplaceAll(strings.TrimSpace(linesOfCommands(3, true)), "\n", ",\n")+"]"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, complaints := ran(t, "", "send", "--queue-url", queue+",https://other", path)
	if code != exitDone || out != "3 sent, 0 refused to "+queue+", the first of 2 queues\n" || len(sim.Messages("commands")) != 3 {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
}

// TestALostReplyIsNotTakenForUnsent: what may be on the queue is not said to be not there.
func TestALostReplyIsNotTakenForUnsent(t *testing.T) {
	for fault, row := range map[string]struct {
		how    awssim.Fault
		sent   int
		state  state
		advice string
	}{
		"cut after it was carried out": {awssim.Fault{Lost: 1}, 1, stateUnknown, "with --id mine: it is not run twice"},
		"refused":                      {awssim.Fault{Denied: 1}, 0, stateUnsent, "the command was not sent"},
	} {
		t.Run(fault, func(t *testing.T) {
			sim, queue := sendable(t, awssim.Options{Faults: awssim.Faults{"sqs:SendMessageBatch": row.how}})
			code, out, complaints := ran(t, "", "send", "--json", "--queue-url", queue, "--id=mine", "--action=batch:CancelJob", "-p", "jobId=x")
			var r sendReport
			if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFailed || r.Commands[0].State != row.state || !strings.Contains(complaints, row.advice) {
				t.Errorf("exit %d, %v: %s\n%s", code, err, out, complaints)
			}
			if n := len(sim.Messages("commands")); min(n, 1) != row.sent {
				t.Errorf("%d messages are on the queue", n)
			}
		})
	}
}

// TestPatienceCoversConfirm: by default --wait does not give up before a worker that looks for proof.
func TestPatienceCoversConfirm(t *testing.T) {
	for _, row := range []struct {
		send sendCmd
		want string
		says string // of the longest confirm
	}{
		{sendCmd{}, "10m", "0s"},
		{sendCmd{Confirm: "0s"}, "10m", "0s"},
		{sendCmd{Confirm: "2h"}, "2h10m", "2h"},
		{sendCmd{Escalate: "2m"}, "14m", "4m"},
		{sendCmd{Confirm: "2h", DryRun: true}, "10m", "0s"},
		{sendCmd{Confirm: "2h", WaitFor: 90 * time.Second}, "1m30s", "2h"},
	} {
		row.send.File = "-"
		r, err := checked(t, &row.send, `{"action":"batch:CancelJob","parameters":{"jobId":"one"}}`)
		if err != nil {
			t.Fatal(err)
		}
		if patience, longest := row.send.patience(r.Commands); short(patience) != row.want || short(longest) != row.says {
			t.Errorf("%+v: %s, confirm %s, want %s and %s", row.send, short(patience), short(longest), row.want, row.says)
		}
	}
}

// TestWaitingSaysForWhat: the ids that have no outcome yet, and for how long.
func TestWaitingSaysForWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send := sendCmd{File: "-", Confirm: "1m"}
		r, err := checked(t, &send, linesOfCommands(5, true))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Commands {
			c.State, c.messageID = stateSent, "m-"+c.ID
		}
		var out, complaints strings.Builder
		err = send.wait(t.Context(), streams{nil, &out, &complaints}, answers(func([]string) ([]ledger.Record, error) { return nil, nil }), r)
		for _, says := range []string{
			"Waiting, for 11m at most, until what AWS accepts is seen to have stopped, or has been looked at for 1m (confirm).",
			"5 of 5 commands: no outcome yet after 20s: c-1, c-2, c-3, …\n",
		} {
			if !strings.Contains(complaints.String(), says) {
				t.Errorf("it does not say %q:\n%s", says, complaints.String())
			}
		}
		if err == nil || !strings.Contains(err.Error(), "no outcome within 11m (--wait-for): 5 of 5 commands") {
			t.Errorf("it ends with %v", err)
		}
	})
}
