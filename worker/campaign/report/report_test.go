package report_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/campaign/report"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sent = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// ended is the record of a command that has ended, of targets of these statuses, so long after it was sent.
func ended(t *testing.T, id string, took time.Duration, statuses ...handlers.Status) ledger.Record {
	t.Helper()
	return recordOf(t, id, func(d *outcome.Data) {
		d.FinishedAt = sent.Add(took)
		for i, s := range statuses {
			d.Targets = append(d.Targets, outcome.Target{ID: fmt.Sprintf("%s-target-%d", id, i), Status: s, After: "FAILED"})
		}
		d.Status, d.Verdict, d.Counts = outcome.Of(d.Targets)
	})
}

func recordOf(t *testing.T, id string, set func(*outcome.Data)) ledger.Record {
	t.Helper()
	d := &outcome.Data{
		CommandID: id, Action: "batch:CancelJob", Parameters: []byte(`{"jobId":"` + id + `","reason":"over budget"}`), Account: "123456789012", Region: "us-east-1",
		Campaign: "night", Reason: "over budget", EnqueuedAt: sent, FinishedAt: sent,
	}
	set(d)
	event, err := outcome.Encode("test", outcome.EventID(id), d)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.Record{Entry: ledger.Entry{Key: id, Campaign: "night"}, Ended: true, Outcome: event}
}

// made is the report of records, and the rows that it passed on.
func made(t *testing.T, o report.Options, records ...ledger.Record) (r *report.Report, rows []report.Row) {
	t.Helper()
	o.Campaign = "night"
	o.Rows = func(row *report.Row) error {
		rows = append(rows, *row)
		return nil
	}
	b := report.New(o)
	for i := range records {
		if err := b.Record(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	return b.Report(sent.Add(time.Hour)), rows
}

// TestEveryStatusIsCounted, and those are listed that did not stop their targets.
func TestEveryStatusIsCounted(t *testing.T) {
	var records []ledger.Record
	for i, s := range handlers.Statuses() {
		if s != handlers.Partial && s != handlers.DryRun {
			records = append(records, ended(t, fmt.Sprint("c-", i), time.Duration(i)*time.Second, s))
		}
	}
	records = append(records,
		ended(t, "several", time.Minute, handlers.Cancelled, handlers.NotFound),
		recordOf(t, "refused", func(d *outcome.Data) { d.Status, d.Verdict, d.Code = handlers.Invalid, handlers.NotRun, "Invalid" }),
		ledger.Record{Entry: ledger.Entry{Key: "open", Campaign: "night", Targets: []string{"x"}}},
		ledger.Record{Entry: ledger.Entry{Key: "dry/c-1", Campaign: "night"}, Ended: true, Outcome: []byte(`{}`)},
		ledger.Record{Entry: ledger.Entry{Key: "broken", Campaign: "night"}, Ended: true, Outcome: []byte(`{"data"`)})
	r, rows := made(t, report.Options{}, records...)
	if want := (report.Commands{Ended: 15, UnderWay: 1}); r.Commands != want || r.Unreadable != 1 {
		t.Errorf("commands: %+v, unreadable: %d", r.Commands, r.Unreadable)
	}
	if r.Total() != 15 || r.By(handlers.Cancelled) != 2 || r.By(handlers.NotFound) != 2 || r.By(handlers.Invalid) != 2 || r.By(handlers.Accepted) != 1 {
		t.Errorf("targets: %v", r.Targets)
	}
	if r.Verdicts[handlers.Stopped] != 4 || r.Verdicts[handlers.Pending] != 1 || r.Verdicts[handlers.NotStopped] != 6 || r.Verdicts[handlers.NotRun] != 4 {
		t.Errorf("verdicts: %v", r.Verdicts)
	}
	if len(r.NotStopped) != 10 || len(r.WithoutOutcome) != 1 || r.WithoutOutcome[0].ID != "open" || len(rows) != 16 {
		t.Errorf("not stopped: %d, without an outcome: %v, rows: %d", len(r.NotStopped), r.WithoutOutcome, len(rows))
	}
	if len(r.Slowest) != report.SlowestMost || r.Slowest[0].Took() != time.Minute || r.Took() != time.Minute {
		t.Errorf("slowest: %v", r.Slowest)
	}
	if last := r.Drain[len(r.Drain)-1]; last.Stopped != 4 || last.Pending != 1 || last.NotStopped != 6 || last.NotRun != 4 {
		t.Errorf("drain: %+v", last)
	}
}

// TestTheOrderOfRecordsDoesNotMatter: a ledger yields them in none.
func TestTheOrderOfRecordsDoesNotMatter(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 1))
	var records []ledger.Record
	all := slices.DeleteFunc(handlers.Statuses(), func(s handlers.Status) bool { return s == handlers.Partial })
	for i := range 300 {
		records = append(records, ended(t, fmt.Sprint("c-", i), time.Duration(chance.IntN(9000))*time.Second, all[chance.IntN(len(all))]))
	}
	first, _ := made(t, report.Options{}, records...)
	chance.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	second, _ := made(t, report.Options{}, records...)
	if a, b := text(t, first), text(t, second); a != b {
		t.Errorf("they differ:\n%s\n%s", a, b)
	}
	if n := len(first.Drain); n > report.PointsMost+1 {
		t.Errorf("%d points", n)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	all, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

// TestTheTableIsCSV whatever ids and messages hold.
func TestTheTableIsCSV(t *testing.T) {
	hostile := recordOf(t, "c", func(d *outcome.Data) {
		d.Status, d.Verdict = handlers.Failed, handlers.NotStopped
		d.Targets = []outcome.Target{{ID: "=cmd|' /C calc'!A0", Status: handlers.Failed, Message: "a \"quoted\", text\nof two lines"}}
	})
	var to strings.Builder
	table, err := report.NewTable(&to)
	if err != nil {
		t.Fatal(err)
	}
	_, rows := made(t, report.Options{}, hostile, ended(t, "d", time.Second, handlers.Cancelled))
	for i := range rows {
		if err := table.Add(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(strings.NewReader(to.String())).ReadAll()
	if err != nil || len(got) != 3 || got[0][4] != "target" || got[1][4] != "'=cmd|' /C calc'!A0" || !strings.Contains(got[1][12], "of two lines") || got[2][6] != "cancelled" {
		t.Errorf("%v: %q", err, got)
	}
}

// TestThePageNeedsNothingElse, takes in no markup, and remains small.
func TestThePageNeedsNothingElse(t *testing.T) {
	var records []ledger.Record
	for i := range 5000 {
		records = append(records, ended(t, fmt.Sprintf("<script>alert(%d)</script>", i), time.Duration(i)*time.Second, handlers.Failed))
	}
	records = append(records, ended(t, "good", 10*time.Second, handlers.Cancelled))
	r, _ := made(t, report.Options{}, records...)
	var page strings.Builder
	if err := report.Page(r).Render(t.Context(), &page); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	if strings.Contains(html, "<script") || regexp.MustCompile(`(src|href)=|url\(|@import`).MatchString(html) {
		t.Error("the page has a script, or names another file")
	}
	if n := strings.Count(html, "&lt;script&gt;"); n < report.RowsMost || n > 2*report.RowsMost+report.SlowestMost || len(html) > 1<<20 {
		t.Errorf("%d targets in %d bytes", n, len(html))
	}
	for _, want := range []string{"5,001", "… and 4,000 more", `<path class="stopped"`, `<path class="not_stopped"`, "Campaign night"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestRetryTakesWhatMayPass into a plan that can be sent, under new ids.
func TestRetryTakesWhatMayPass(t *testing.T) {
	records := []ledger.Record{
		ended(t, "failed", 0, handlers.Failed), ended(t, "denied", 0, handlers.Denied), ended(t, "expired", 0, handlers.Expired),
		ended(t, "gone", 0, handlers.NotFound), ended(t, "stopped", 0, handlers.Cancelled), ended(t, "taken", 0, handlers.Accepted),
		ended(t, "several", 0, handlers.Cancelled, handlers.Failed),
	}
	retry := report.NewRetry(report.RetryDefault())
	made(t, report.Options{Retry: retry}, records...)
	file := filepath.Join(t.TempDir(), "again.plan.jsonl")
	to, err := campaign.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := retry.Write(to, "night.2", "night", "arn:aws:iam::123456789012:user/me", sent)
	if err != nil || h.Count != 4 || h.Listed != 5 || len(retry.LeftOut()) != 1 {
		t.Fatalf("%v: %+v, left out: %v", err, h, retry.LeftOut())
	}
	plan, err := campaign.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plan.Close() }()
	var targets []string
	for line, err := range plan.Lines() {
		var c campaign.Command
		if err != nil || json.Unmarshal(line, &c) != nil || !strings.HasPrefix(c.ID, "night.2:") || c.Reason != "over budget" {
			t.Fatalf("%v: %s", err, line)
		}
		targets = append(targets, string(c.Parameters))
	}
	if all := strings.Join(targets, " "); len(targets) != 4 || strings.Contains(all, "gone") || strings.Contains(all, "stopped") || strings.Contains(all, "taken") {
		t.Errorf("%s", all)
	}
}

// TestRetryIsOfOneService: a plan is.
func TestRetryIsOfOneService(t *testing.T) {
	retry := report.NewRetry(report.RetryDefault())
	elsewhere := recordOf(t, "b", func(d *outcome.Data) {
		d.Region, d.Status, d.Verdict = "eu-west-1", handlers.Failed, handlers.NotStopped
	})
	made(t, report.Options{Retry: retry}, ended(t, "a", 0, handlers.Failed), elsewhere)
	to, err := campaign.Create(filepath.Join(t.TempDir(), "p"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = to.Discard() }()
	if _, err := retry.Write(to, "night.2", "night", "me", sent); err == nil || !strings.Contains(err.Error(), "several services, accounts or regions") {
		t.Errorf("%v", err)
	}
}

// TestThePlanTellsWhatWasNeverClaimed, and what was never sent.
func TestThePlanTellsWhatWasNeverClaimed(t *testing.T) {
	b := report.New(report.Options{Campaign: "night", TargetOf: func(c *campaign.Command) string { return string(c.Parameters) }})
	lines := map[string]string{}
	for _, job := range []string{"a", "b", "c"} {
		c := campaign.Command{Campaign: "night", Action: "batch:CancelJob", Parameters: []byte(`{"jobId":"` + job + `"}`), Account: "123456789012", Region: "us-east-1"}
		line, err := c.Line()
		if err != nil {
			t.Fatal(err)
		}
		lines[job] = string(line)
		if job == "a" {
			record := ended(t, c.ID, 0, handlers.Cancelled)
			if err := b.Record(&record); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.PlannedBy("night.plan.jsonl", &campaign.Header{})
	for job, wasSent := range map[string]bool{"a": true, "b": true, "c": false} {
		if err := b.PlannedLine([]byte(lines[job]), wasSent); err != nil {
			t.Fatal(err)
		}
	}
	r := b.Report(sent)
	if want := (report.Commands{Planned: 3, Ended: 1, NoRecord: 1, NotSent: 1}); r.Commands != want {
		t.Errorf("%+v", r.Commands)
	}
	if len(r.WithoutOutcome) != 2 || r.WithoutOutcome[0].State != report.NoRecord || r.WithoutOutcome[0].Target != `{"jobId":"b"}` || r.WithoutOutcome[1].State != report.NotSent {
		t.Errorf("%+v", r.WithoutOutcome)
	}
}
