package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/campaign/report"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/outcome"
)

// TestReportMisuse: each says what to do.
func TestReportMisuse(t *testing.T) {
	t.Chdir(t.TempDir())
	unconfigured(t)
	for args, says := range map[string]string{
		"":                                        "expected",
		"night --csv --json":                      "can't be used together",
		"night --retry-status failed":             "are for --retry FILE",
		"night --retry p --dry-run":               "cannot be used together",
		"night --retry p --retry-status ok":       `--retry-status "ok" is no status`,
		"night --retry p --retry-campaign=a/b":    "--retry-campaign must hold only",
		"night --ledger dynamo:x":                 "RESCIND_LEDGER must be",
		"night --admin-addr 127.0.0.1:1":          "no worker answers at 127.0.0.1:1",
		"night --admin-addr 127.0.0.1:1 --plan p": "no worker answers at 127.0.0.1:1",
	} {
		code, out, complaints := ran(t, "", append([]string{"report"}, strings.Fields(args)...)...)
		if code == exitDone || out != "" || !strings.Contains(complaints, says) {
			t.Errorf("report %s: exit %d, %s%s, want %q", args, code, out, complaints, says)
		}
	}
	for given, want := range map[string]string{"night": "night.2", "night.2": "night.3", "night.1": "night.1.2", "a.b": "a.b.2", "v1.02": "v1.02.2"} {
		if got := nextName(given); got != want {
			t.Errorf("after %s comes %s, want %s", given, got, want)
		}
	}
}

// TestReportAndHistoryOfACancel ask the worker, whose ledger is a file.
func TestReportAndHistoryOfACancel(t *testing.T) {
	d := startDev(t)
	t.Chdir(t.TempDir())
	t.Setenv("AWS_ENDPOINT_URL", d.url)
	at := []string{"--admin-addr", d.admin}
	if code, out, complaints := ran(t, "", append([]string{"cancel", "batch", "--queue=default", "--campaign=night", "--yes", "--reason=over budget", "--queue-url", d.queue}, at...)...); code != exitDone {
		t.Fatalf("exit %d: %s%s", code, out, complaints)
	}
	code, out, complaints := ran(t, "", append([]string{"report", "night", "--html=night.html", "--retry=again.plan.jsonl"}, at...)...)
	if code != exitDone || !strings.Contains(out, "3 commands have ended of 3 planned") || !strings.Contains(out, "cancelled              3") || !strings.Contains(out, "Nothing is to be tried again") {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	page, err := os.ReadFile("night.html")
	if err != nil || !strings.Contains(string(page), "--queue default") {
		t.Errorf("%v: %s", err, page)
	}
	code, out, complaints = ran(t, "", append([]string{"report", "night", "--json"}, at...)...)
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || r.Verdicts[handlers.Stopped] != 3 || r.Commands.Planned != 3 {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	code, out, complaints = ran(t, "", append([]string{"report", "night", "--csv"}, at...)...)
	if rows, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || code != exitDone || len(rows) != 4 {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	code, out, complaints = ran(t, "", append([]string{"history", d.targets["RUNNABLE"]}, at...)...)
	if code != exitDone || !strings.HasPrefix(out, "cancelled  2") || !strings.Contains(out, "campaign  night\n") || !strings.Contains(out, "reason    over budget\n") || !strings.Contains(out, "sent by ") {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
	for _, args := range [][]string{{"report", "day"}, {"report", "night", "--dry-run"}, {"history", "nothing"}} {
		if code, out, complaints := ran(t, "", append(args, at...)...); code != exitFailed || out != "" || !strings.Contains(complaints, "has no record of a") {
			t.Errorf("%s: exit %d: %s%s", args, code, out, complaints)
		}
	}
}

// TestReportReadsTheLedgersTable, and finds what no worker has claimed; what failed is planned again.
func TestReportReadsTheLedgersTable(t *testing.T) {
	sim, queue := plannable(t)
	sim.PutJobs(awssim.Job{ID: "a", Queue: "q"}, awssim.Job{ID: "b", Queue: "q"}, awssim.Job{ID: "c", Queue: "q"})
	if code, out, complaints := ran(t, "", "cancel", "batch", "--queue=q", "--yes", "--no-wait", "--campaign=night", "--confirm=7m", "--queue-url", queue); code != exitDone {
		t.Fatalf("exit %d: %s%s", code, out, complaints)
	}
	if err := dynamo.CreateTable(t.Context(), sim.Config(), "commands"); err != nil {
		t.Fatal(err)
	}
	l, err := dynamo.Open(t.Context(), sim.Config(), "commands", dynamo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for i, line := range linesIn(t, "night.plan.jsonl")[:2] { // in a worker's place the test ends two of them
		var c campaign.Command
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		status := []handlers.Status{handlers.Failed, handlers.Cancelled}[i]
		data := outcome.Data{
			CommandID: c.ID, Action: c.Action, Parameters: c.Parameters, Account: c.Account, Region: c.Region, Status: status, Verdict: status.Verdict(), Code: "GaveUp",
			Targets: []outcome.Target{{ID: "job", Status: status}}, Counts: map[handlers.Status]int{status: 1},
		}
		event, err := outcome.Encode("default", outcome.EventID(c.ID), &data)
		if err != nil {
			t.Fatal(err)
		}
		claim, err := l.Claim(t.Context(), ledger.Entry{Key: c.ID, Campaign: "night", Targets: []string{"job"}}, time.Minute)
		if err == nil {
			err = l.Complete(t.Context(), claim.Token, event)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	code, out, complaints := ran(t, "", "report", "night", "--ledger=dynamodb:commands", "--retry=again.plan.jsonl")
	for _, says := range []string{"2 commands have ended of 3 planned", "1 failed  GaveUp", "no record  c  ", "on the queue still, or dead-lettered", "campaign night.2, with 1 command that may be tried again"} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q:\n%s", says, out)
		}
	}
	if code != exitFailed || !strings.Contains(complaints, "1 of 2 targets were not stopped, 1 command without an outcome") {
		t.Errorf("exit %d: %s", code, complaints)
	}
	again := linesIn(t, "again.plan.jsonl")
	if len(again) != 1 || !strings.Contains(again[0], `"id":"night.2:`) || !strings.Contains(again[0], `"confirm":"7m"`) {
		t.Errorf("%s", again)
	}
	if code, out, complaints := ran(t, "", "apply", "again.plan.jsonl", "--yes", "--queue-url", queue); code != exitDone || bodies(sim, queue)[again[0]] != 1 {
		t.Errorf("exit %d: %s%s", code, out, complaints)
	}
}

// TestReportsFitATerminal with ids that hold what a terminal would act on.
func TestReportsFitATerminal(t *testing.T) {
	b := report.New(report.Options{Campaign: "night"})
	for i := range 60 {
		status := handlers.Statuses()[i%12]
		data := outcome.Data{
			CommandID: "c", Action: handlers.Action([]string{"batch:CancelJob", "stepfunctions:StopExecution"}[i%2]), Status: status, Verdict: status.Verdict(), Message: strings.Repeat("why ", 40),
			Targets: []outcome.Target{{ID: "job-" + hostile, Status: status}}, Counts: map[handlers.Status]int{status: 1},
			EnqueuedAt: time.Unix(0, 0), FinishedAt: time.Unix(int64(i), 0),
		}
		event, err := outcome.Encode("default", "id", &data)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Record(&ledger.Record{Entry: ledger.Entry{Key: "c"}, Ended: true, Outcome: event}); err != nil {
			t.Fatal(err)
		}
	}
	r := b.Report(time.Unix(0, 0))
	past := pastCommand{ID: "c-" + hostile, Campaign: hostile, Reason: hostile, Message: strings.Repeat("why ", 40)}
	for _, size := range sizes {
		text := fits(t, int(size.columns), func(s screen) { printCampaign(s, r); past.print(s) })
		if strings.ContainsAny(text, "\u202e\u0085") || !strings.Contains(text, "… and 20 more; --csv prints all") {
			t.Errorf("%s", text)
		}
	}
}
