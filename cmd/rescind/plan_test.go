package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/campaign"
)

// plannable is a simulator that plans can be made of, in a folder of its own. Its quotas are lifted.
func plannable(t *testing.T) (_ *awssim.Sim, queue string) {
	t.Helper()
	quotas := map[string]awssim.Quota{}
	for name := range awssim.DefaultQuotas() {
		quotas[name] = awssim.Quota{}
	}
	t.Chdir(t.TempDir())
	return sendable(t, awssim.Options{Quotas: quotas})
}

// lineOf is what tests read of a line.
type lineOf struct {
	ID, Action, Reason, RequestedBy, Campaign, Account, Region, Confirm, Escalate, ExpiresAt string
	Parameters                                                                               map[string]any
}

// planned makes a plan and returns its lines; with none there is no file.
func planned(t *testing.T, args ...string) (lines []lineOf, r planReport) {
	t.Helper()
	code, out, complaints := ran(t, "", append(append([]string{"plan"}, args...), "--json", "--max=0", "--output="+filepath.Join(t.TempDir(), "plan"))...)
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone {
		t.Fatalf("%v: exit %d, %v\n%s%s", args, code, err, out, complaints)
	}
	if r.File == "" {
		return nil, r
	}
	plan, err := campaign.Open(r.File)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	for text, err := range plan.Lines() {
		var line lineOf
		if err != nil || json.Unmarshal(text, &line) != nil {
			t.Fatal(err, string(text))
		}
		lines = append(lines, line)
	}
	return lines, r
}

// targetsOf are the actions and targets of lines, in short: "Cancel a". The parameters name the target.
func targetsOf(lines []lineOf, parameters ...string) string {
	var all []string
	for _, l := range lines {
		_, operation, _ := strings.Cut(l.Action, ":")
		target := make([]string, len(parameters))
		for i, p := range parameters {
			switch value := l.Parameters[p].(type) {
			case []any:
				target[i] = fmt.Sprint(value...)
			case nil:
			default:
				target[i] = fmt.Sprint(value)
			}
		}
		all = append(all, operation+" "+strings.Join(target, "/"))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// selects runs rows of filters, and what they select.
func selects(t *testing.T, service string, parameters []string, rows []struct{ about, filters, want string }) {
	t.Helper()
	for _, row := range rows {
		lines, r := planned(t, append([]string{service}, strings.Fields(row.filters)...)...)
		if got := targetsOf(lines, parameters...); got != row.want {
			t.Errorf("%s: %s\n  got  %s\n  want %s", row.about, row.filters, got, row.want)
		}
		for _, l := range lines {
			if l.Account != "123456789012" || l.Region != "us-east-1" || !strings.HasPrefix(l.ID, r.Campaign+":") || l.RequestedBy == "" {
				t.Errorf("%s: %+v", row.about, l)
			}
		}
	}
}

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestPlanBatch(t *testing.T) {
	sim, _ := plannable(t)
	for _, j := range []awssim.Job{
		{ID: "submitted", State: "SUBMITTED", Name: "etl-1", Definition: "etl:7", Created: noon.Add(-time.Hour)},
		{ID: "runnable", State: "RUNNABLE", Name: "etl-2", Definition: "etl:8", Created: noon, Share: "blue"},
		{ID: "starting", State: "STARTING", Name: "train", Definition: "gpu/train:1", Created: noon.Add(-time.Hour)},
		{ID: "running", State: "RUNNING", Name: "train", Definition: "etl:7", Created: noon.Add(time.Hour), Share: "blue"},
		{ID: "cancelling", State: "RUNNABLE", Name: "etl-3", Definition: "etl:7", Created: noon, Cancelled: true},
		{ID: "terminating", State: "RUNNING", Name: "etl-4", Definition: "etl:7", Created: noon, Terminated: true},
		{ID: "done", State: "SUCCEEDED", Name: "etl-5", Definition: "etl:7", Created: noon},
	} {
		j.Queue = "q"
		sim.PutJobs(j)
	}
	sim.PutJobs(
		awssim.Job{ID: "elsewhere", Queue: "r", State: "RUNNABLE"},
		awssim.Job{ID: "array", Queue: "q", State: "PENDING", Name: "arr", Definition: "arr:1", Created: noon.Add(-3 * time.Hour)},
		awssim.Job{ID: "array:0", Parent: "array", Queue: "q", State: "RUNNABLE"},
		awssim.Job{ID: "array:1", Parent: "array", Queue: "q", State: "RUNNING"},
	)
	selects(t, "batch", []string{"jobId"}, []struct{ about, filters, want string }{
		{"a queue: what has not started, and arrays once", "--queue q", "CancelJob array, CancelJob runnable, CancelJob submitted"},
		{"a queue by ARN", "--queue arn:aws:batch:us-east-1:123456789012:job-queue/r", "CancelJob elsewhere"},
		{"two queues", "--queue q --queue r --state RUNNABLE", "CancelJob elsewhere, CancelJob runnable"},
		{"every queue", "--all --state RUNNABLE", "CancelJob elsewhere, CancelJob runnable"},
		{"what runs is terminated if that is asked for, and arrays with it", "--queue q --stop-running", "CancelJob runnable, CancelJob submitted, TerminateJob array, TerminateJob running, TerminateJob starting"},
		{"a state", "--queue q --state RUNNING --stop-running", "TerminateJob running"},
		{"states", "--queue q --state RUNNING,SUBMITTED", "CancelJob submitted"},
		{"a name", "--queue q --job-name etl-*", "CancelJob runnable, CancelJob submitted"},
		{"a name with regard to case", "--queue q --job-name ETL-*", ""},
		{"names", "--queue q --job-name etl-1 --job-name *-2", "CancelJob runnable, CancelJob submitted"},
		{"any revision of a definition", "--queue q --definition etl", "CancelJob runnable, CancelJob submitted"},
		{"a revision", "--queue q --definition etl:7", "CancelJob submitted"},
		{"before noon", "--queue q --submitted-before 2026-11-30T12:00:00Z", "CancelJob array, CancelJob submitted"},
		{"from noon on", "--queue q --submitted-after 2026-11-30T12:00:00Z", "CancelJob runnable"},
		{"a time of another zone", "--queue q --submitted-before 2026-11-30T11:00:00+02:00", ""},
		{"a span", "--queue q --submitted-after 2026-11-30T09:30:00Z --submitted-before 2026-11-30T12:00:00Z", "CancelJob submitted"},
		{"a share", "--queue q --share blue --stop-running", "CancelJob runnable, TerminateJob running"},
		{"nothing", "--queue q --job-name nightly", ""},
	})
	_, r := planned(t, "batch", "--queue=q")
	want := map[string]int{
		"already being cancelled": 1, "already being terminated": 1,
		"STARTING: CancelJob does not stop it; --stop-running terminates it": 1, "RUNNING: CancelJob does not stop it; --stop-running terminates it": 1,
	}
	if fmt.Sprint(r.NotStopped) != fmt.Sprint(want) || r.Listed != 7 || r.Count != 3 || len(r.Inflow) != 1 || len(r.Notes) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestPlanWritesWhatFlagsSay: a header that says all, an id for each target, and the members that flags set.
func TestPlanWritesWhatFlagsSay(t *testing.T) {
	sim, _ := plannable(t)
	sim.PutJobs(awssim.Job{ID: "a", Queue: "q"}, awssim.Job{ID: "b", Queue: "q", State: "RUNNING"})
	lines, r := planned(t, "batch", "--queue=q", "--stop-running", "--campaign=bad-release", "--reason=bad release", "--requested-by=ann",
		"--confirm=10m", "--escalate=2m", "--expires-in=6h", "--max-percent=50")
	if len(lines) != 2 {
		t.Fatalf("%+v", lines)
	}
	for _, l := range lines {
		escalate := map[string]string{"batch:CancelJob": "2m"}[l.Action] // TerminateJob has nothing stronger
		if l.Reason != "bad release" || l.RequestedBy != "ann" || l.Campaign != "bad-release" || l.Confirm != "10m" || l.Escalate != escalate || l.ExpiresAt == "" {
			t.Errorf("%+v", l)
		}
	}
	if r.Campaign != "bad-release" || r.Limits.MaxPercent != 50 || fmt.Sprint(r.Selection) != "map[queue:[q] stop-running:[]]" || !strings.HasPrefix(r.By, "arn:aws:") {
		t.Errorf("%+v", r.Header)
	}
	again, _ := planned(t, "batch", "--queue=q", "--stop-running", "--campaign=bad-release", "--reason=another")
	other, _ := planned(t, "batch", "--queue=q", "--stop-running", "--campaign=another")
	if again[0].ID != lines[0].ID || other[0].ID == lines[0].ID {
		t.Errorf("ids %s, %s, %s", lines[0].ID, again[0].ID, other[0].ID)
	}
}

// TestBadFiltersFailBeforeAnythingIsListed: each is misuse that names the flag, and no request is made.
func TestBadFiltersFailBeforeAnythingIsListed(t *testing.T) {
	t.Chdir(t.TempDir())
	unconfigured(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // nobody answers
	for args, says := range map[string]string{
		"":                                        "expected one of",
		"batch":                                   "--queue must be given",
		"batch --queue q --all":                   "--all must not stand beside --queue",
		"batch --queue *":                         `--queue "*" must be a name or an ARN`,
		"batch --queue q --state X":               `--state "X" is no state of a target that may be stopped Valid: SUBMITTED`,
		"batch --queue q --state RUNNIG":          "did you mean RUNNING?",
		"batch --queue q --state SUCCEEDED":       `--state "SUCCEEDED"`,
		"emr --cluster-tag=team= --state X":       `--state "X"`,
		"batch --queue q --job-name=":             "--job-name must not be empty",
		"batch --queue q --submitted-before noon": "--submitted-before: must be a time like",
		"batch --queue q --submitted-after 12:00 --submitted-before 11:00":     "must be earlier than --submitted-before",
		"batch --queue q --campaign a/b":                                       "--campaign must hold only",
		"batch --queue q --campaign sqs":                                       "--campaign must not be sqs",
		"batch --queue q --confirm soon":                                       `--confirm must be a duration like "90s"`,
		"batch --queue q --escalate 7h":                                        "--escalate must be at most 6h",
		"batch --queue q --max=-1":                                             "--max must not be negative",
		"batch --queue q --max-percent=101":                                    "--max-percent must be",
		"batch --queue q --expires-in=-1s":                                     "--expires-in must be",
		"batch --queue q --requested-by " + strings.Repeat("x", 129):           "--requested-by must have at most 128",
		"batch --queue q --quotas batch:CancelJob":                             "--quotas: ",
		"batch --queue q --quue r":                                             `did you mean "--queue"?`,
		"batch --queue q --submitted-before 2026-11-30 --submitted-after 1:00": "--submitted-before: must be",
	} {
		code, out, complaints := ran(t, "", append([]string{"plan"}, strings.Fields(args)...)...)
		if code != exitMisused || out != "" || !strings.Contains(complaints, says) {
			t.Errorf("plan %s: exit %d, %s%s, want %q", args, code, out, complaints, says)
		}
	}
	if left, err := fs.Glob(os.DirFS("."), "*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestPlanOfAnUnknownQueueNamesTheNearest(t *testing.T) {
	sim, _ := plannable(t)
	sim.PutJobs(awssim.Job{ID: "a", Queue: "nightly"})
	code, _, complaints := ran(t, "", "plan", "batch", "--queue=nihgtly")
	if code != exitMisused || !strings.Contains(complaints, "did you mean nightly?") {
		t.Errorf("exit %d, %s", code, complaints)
	}
}

// TestAPlanThatFailsLeavesNoFile: an interrupt, or a refusal by AWS.
func TestAPlanThatFailsLeavesNoFile(t *testing.T) {
	sim, _ := plannable(t)
	sim.PutJobs(awssim.Job{ID: "a", Queue: "q"})
	sim.SetFaults(awssim.Faults{"batch:ListJobs": {Denied: 1}})
	code, _, complaints := ran(t, "", "plan", "batch", "--queue=q")
	if code != exitFailed || !strings.Contains(complaints, "has the permissions of a plan") || !strings.Contains(complaints, "nothing was written") {
		t.Errorf("exit %d, %s", code, complaints)
	}
	if left, _ := filepath.Glob("*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPlanIsPatientWithThrottling(t *testing.T) {
	sim, _ := plannable(t)
	for i := range 2500 {
		sim.PutJobs(awssim.Job{ID: fmt.Sprint("job-", i), Queue: "q"})
	}
	sim.SetQuota("batch:*", awssim.Quota{Rate: 2, Burst: 3})
	if lines, _ := planned(t, "batch", "--queue=q"); len(lines) != 2500 {
		t.Errorf("%d lines", len(lines))
	}
}

// TestPreviewFitsATerminal, with names and states of any kind.
func TestPreviewFitsATerminal(t *testing.T) {
	r := planReport{
		File: "batch-20261130T071500Z.plan.jsonl", noun: "Batch job",
		Header: campaign.Header{
			Campaign: strings.Repeat("c", 90), Account: "123456789012", Region: "us-east-1", Listed: 9310, Count: 7200,
			Counts: map[string]int{"RUNNABLE": 7200}, NotStopped: map[string]int{"RUNNING: CancelJob does not stop it; --stop-running terminates it": 110},
			Selection: map[string][]string{"queue": {strings.Repeat("nightly,", 20)}}, Limits: campaign.Limits{Max: 1000},
		},
		Notes:    []string{strings.Repeat("a note ", 30)},
		Estimate: estimate{Known: true, Seconds: 144, Quota: "batch:*", Rate: 50, Burst: 50, Calls: []estimateCall{{"CancelJobs", 144, 50}, {"DescribeJobs", 72, 100}}},
	}
	for range maxExamples {
		r.Examples = append(r.Examples, planExample{Target: "1d828f65-7a4d-42e8-996d-3b900ed59dc4" + hostile, Name: hostile + strings.Repeat("n", 60), State: "RUNNABLE", Began: noon})
	}
	for _, size := range sizes {
		text := fits(t, int(size.columns), func(s screen) { r.print(s); r.printNext(s) })
		for _, want := range []string{"7,200 of 9,310", "--max 7200", "rescind apply"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
		if strings.ContainsAny(text, "\u202e\u0085") {
			t.Errorf("hostile text on the screen: %q", text)
		}
	}
}

// TestEstimatesCountCalls: as many as the worker's lanes make of the plan, by what takes the longest of the quotas.
func TestEstimatesCountCalls(t *testing.T) {
	sim, _ := plannable(t)
	for i := range 5000 {
		sim.PutJobs(awssim.Job{ID: fmt.Sprint("job-", i), Queue: "q"})
	}
	for i := range 600 { // 257 steps on the first cluster, and 343 on eleven others
		sim.PutSteps(awssim.Step{ID: fmt.Sprint("s-", i), Cluster: fmt.Sprint("j-", max(0, i-256)%12)})
		sim.PutJobExecutions(awssim.JobExecution{Thing: fmt.Sprint("thing-", i), Job: "fw"})
	}
	for _, row := range []struct {
		args    string
		calls   string
		quota   string
		seconds float64
	}{
		{"batch --queue q", "[{CancelJobs 100 50} {DescribeJobs 50 100}]", "batch:*", (150 - 50) / 50},
		{"batch --queue q --quotas batch:CancelJobs=1/10", "[{CancelJobs 100 50} {DescribeJobs 50 100}]", "batch:CancelJobs", 90},
		{"emr --all", "[{CancelSteps 13 256}]", "emr:CancelSteps", (13 - 10) / 0.5},
		{"iot --job fw", "[{CancelJobExecution 600 1}]", "iot:CancelJobExecution", (600 - 10) / 10},
	} {
		_, r := planned(t, strings.Fields(row.args)...)
		if e := r.Estimate; fmt.Sprint(e.Calls) != row.calls || e.Quota != row.quota || e.Seconds != row.seconds || !e.Known {
			t.Errorf("%s: %+v", row.args, e)
		}
	}
}

// TestAnInterruptedPlanLeavesNoFile, however far it is.
func TestAnInterruptedPlanLeavesNoFile(t *testing.T) {
	sim, _ := plannable(t)
	for i := range 3000 {
		sim.PutJobs(awssim.Job{ID: fmt.Sprint("job-", i), Queue: "q"})
	}
	sim.SetHang("batch", true)
	ctx, stop := context.WithCancel(t.Context())
	defer time.AfterFunc(200*time.Millisecond, stop).Stop()
	var complaints strings.Builder
	if code := run(ctx, []string{"plan", "batch", "--queue=q"}, streams{strings.NewReader(""), io.Discard, &complaints}); code != exitFailed || !strings.Contains(complaints.String(), "interrupted; nothing was written") {
		t.Errorf("exit %d, %s", code, &complaints)
	}
	sim.SetHang("batch", false)
	if left, _ := filepath.Glob("*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestEstimates(t *testing.T) {
	for _, row := range []struct {
		calls       int
		rate, burst float64
		want        string
	}{
		{144, 50, 50, "about 2 s: "}, {40, 50, 50, "about a second: "}, {7200, 0.5, 10, "about 4.0 h: "}, {1000, 10, 10, "about 99 s: "}, {3010, 10, 10, "about 5 min: "},
	} {
		e := estimate{Known: true, Calls: []estimateCall{{"CancelX", row.calls, 1}}}
		e.bound("s:CancelX", row.calls, handlers.Quota{Rate: row.rate, Burst: row.burst})
		if got := e.String(); !strings.HasPrefix(got, row.want) {
			t.Errorf("%+v: %s", row, got)
		}
	}
	unknown := estimate{Calls: []estimateCall{{"CancelX", 3, 1}}}
	if got := unknown.String(); !strings.HasPrefix(got, "not known: ") {
		t.Error(got)
	}
}

// TestExamplesOfSelectionsCanBeTyped: each service has its own, in its folder, and they are valid.
func TestExamplesOfSelectionsCanBeTyped(t *testing.T) {
	for _, node := range model(t).Model.Children {
		if node.Name != "plan" && node.Name != "cancel" {
			continue
		}
		for _, service := range node.Children {
			text := examplesOf(service)
			if text == "" {
				t.Errorf("%s has no examples", service.FullPath())
			}
			for line := range strings.Lines(text) {
				if len(strings.TrimRight(line, "\n")) > 80 {
					t.Errorf("it does not fit a terminal of 80 columns: %s", line)
				}
			}
			for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
				args := shellWords(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "rescind ")))
				if parsed, err := model(t).Parse(args); err != nil || parsed.Selected().FullPath() != service.FullPath() {
					t.Errorf("%s: %v", line, err)
				} else if err := parsed.Selected().Target.FieldByName("Select").Addr().Interface().(selection).Check(); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
		}
	}
}
