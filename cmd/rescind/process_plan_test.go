package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/campaign"
)

// raced reports whether this test has the race detector, which takes several times the memory.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			ok = ok && (s.Key != "-race" || s.Value != "true")
		}
	}
	return !ok
}

// plan runs a plan in a process of its own. It returns the parameter that names each target, the memory in MiB that
// the process had at most, and how long it took.
func (h *harness) plan(parameter string, args ...string) (targets map[string]bool, memory int64, took time.Duration) {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "plan.jsonl")
	cmd := h.rescind(append(append([]string{"plan"}, args...), "--max=0", "--output="+file)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	h.must(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for running := true; running; {
		select {
		case err := <-ended:
			if running = false; err != nil {
				h.t.Fatalf("%v\n%s", err, &out)
			}
		case <-time.After(10 * time.Millisecond):
			memory = max(memory, peak(cmd.Process.Pid))
		}
	}
	took = time.Since(begin)
	plan, err := campaign.Open(file)
	h.must(err)
	defer plan.Close()
	targets = map[string]bool{}
	for line, err := range plan.Lines() {
		h.must(err)
		var c struct {
			Parameters map[string]any `json:"parameters"`
		}
		h.must(json.Unmarshal(line, &c))
		targets[fmt.Sprint(c.Parameters[parameter])] = true
	}
	if len(targets) != plan.Header.Count {
		h.t.Errorf("%v: %d targets on %d lines", args, len(targets), plan.Header.Count)
	}
	return targets, memory, took
}

// peak is the most memory in MiB that a process has had, as Linux says; 0 elsewhere. (The usage that wait reports has that
// of the process that forked it too.)
func peak(pid int) (mebibytes int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	_, _ = fmt.Sscan(after, &mebibytes)
	return mebibytes / 1024
}

// fleet is 50,000 targets over six services, and which of them one line of plan for each service shall select.
type fleet struct {
	*harness
	noon time.Time
	want map[string]map[string]bool // by service
	n    int
}

func (f *fleet) wanted(service, target string, is bool) {
	f.n++
	if is {
		f.want[service][target] = true
	}
}

// began is an hour before noon or after, by turns.
func (f *fleet) began(i int) (at time.Time, before bool) {
	return f.noon.Add(time.Duration(i%2*2-1) * time.Hour), i%2 == 0
}

func (f *fleet) seed() {
	for i := range 20_000 {
		at, before := f.began(i)
		j := awssim.Job{
			ID: fmt.Sprint("job-", i), Queue: []string{"nightly", "gpu"}[i/2%2], Name: []string{"etl-x", "train"}[i/4%2], Created: at,
			State: []awssim.Job{{State: "RUNNABLE"}, {State: "PENDING"}, {State: "RUNNING"}, {State: "SUCCEEDED"}}[i/8%4].State,
		}
		f.PutJobs(j)
		f.wanted("batch", j.ID, before && j.Queue == "nightly" && j.Name == "etl-x" && i/8%4 < 2)
	}
	for i := range 10_000 {
		s := awssim.Step{ID: fmt.Sprint("s-", i), Cluster: fmt.Sprint("j-", i%40), Name: []string{"etl-x", "train"}[i/40%2]}
		if i/80%3 == 0 {
			s.State = "COMPLETED"
		}
		f.PutSteps(s)
		f.wanted("emr", "["+s.ID+"]", s.State == "" && s.Name == "etl-x" && i%40 < 20)
	}
	for i := range 40 {
		f.PutClusters(awssim.Cluster{ID: fmt.Sprint("j-", i), Name: "c", Tags: map[string]string{"team": []string{"etl", "ml"}[i/20]}})
	}
	for i := range 5000 {
		at, before := f.began(i)
		e := awssim.JobExecution{Thing: fmt.Sprint("thing-", i), Job: []string{"fw", "cfg"}[i/2%2], QueuedAt: at}
		if i/4%3 == 0 {
			e.State = "SUCCEEDED"
		}
		f.PutJobExecutions(e)
		f.wanted("iot", e.Thing, before && e.Job == "fw" && e.State == "")
	}
	for i := range 10_000 {
		at, before := f.began(i)
		w := awssim.Workflow{Domain: "d", WorkflowID: fmt.Sprint("w-", i), RunID: fmt.Sprint("run-", i), Type: []string{"order", "ship"}[i/2%2], Started: at}
		if i/4%3 == 0 {
			w.Close = "COMPLETED"
		}
		f.PutWorkflows(w)
		f.wanted("swf", w.RunID, before && w.Type == "order" && w.Close == "")
	}
	for i := range 3000 {
		at, before := f.began(i)
		e := awssim.Execution{ARN: fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:%s:run-%d", []string{"etl-a", "orders"}[i/2%2], i), Started: at}
		if i/4%3 == 0 {
			e.State = "FAILED"
		}
		f.PutExecutions(e)
		f.wanted("stepfunctions", e.ARN, before && i/2%2 == 0 && e.State == "")
	}
	for i := range 2000 {
		at, before := f.began(i)
		k := awssim.Task{ID: fmt.Sprintf("task-%017d", i), FileSystem: []string{"fs-1", "fs-2"}[i/2%2], Created: at}
		if i/4%3 == 0 {
			k.State = "SUCCEEDED"
		}
		f.PutTasks(k)
		f.wanted("fsx", k.ID, before && k.FileSystem == "fs-1" && k.State == "")
	}
}

// TestPlanSelectsExactly: of 50,000 targets over six services, one line for each service selects exactly the right ones, in
// under 150 MiB.
func TestPlanSelectsExactly(t *testing.T) {
	f := &fleet{harness: newHarness(t, build(t), awssim.Options{}), noon: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), want: map[string]map[string]bool{}}
	lines := map[string]struct{ parameter, filters string }{
		"batch":         {"jobId", "--queue nightly --job-name etl-* --submitted-before 2026-11-30T12:00:00Z"},
		"emr":           {"StepIds", "--cluster-tag team=etl --step-name etl-*"},
		"iot":           {"thingName", "--job fw --queued-before 2026-11-30T12:00:00Z"},
		"swf":           {"runId", "--domain d --type order --started-before 2026-11-30T12:00:00Z"},
		"stepfunctions": {"executionArn", "--state-machine etl-* --started-before 2026-11-30T12:00:00Z"},
		"fsx":           {"TaskId", "--file-system fs-1 --created-before 2026-11-30T12:00:00Z"},
	}
	for service := range lines {
		f.want[service] = map[string]bool{}
	}
	f.seed()
	if f.n != 50_000 {
		t.Fatalf("%d targets", f.n)
	}
	for service, line := range lines {
		got, memory, took := f.plan(line.parameter, append([]string{service}, strings.Fields(line.filters)...)...)
		missing, extra := 0, 0
		for target := range f.want[service] {
			if !got[target] {
				missing++
			}
		}
		for target := range got {
			if !f.want[service][target] {
				extra++
			}
		}
		t.Logf("%s: %d of %d, %d MiB, %s", service, len(got), len(f.want[service]), memory, took.Round(time.Millisecond))
		if missing+extra > 0 || len(got) == 0 {
			t.Errorf("%s: %d missing, %d too many", service, missing, extra)
		}
		if memory > 150 && !raced() {
			t.Errorf("%s: %d MiB", service, memory)
		}
	}
}

// TestPlanAMillion: a million Batch jobs are planned in under 100 MiB.
func TestPlanAMillion(t *testing.T) {
	if os.Getenv("RESCIND_FULL") == "" {
		t.Skip("NOT TESTED: the memory of a plan of a million jobs; RESCIND_FULL=1 tests it, which takes a few minutes")
	}
	h := newHarness(t, build(t), awssim.Options{})
	const jobs = 1_000_000
	for i := range jobs {
		h.PutJobs(awssim.Job{ID: fmt.Sprintf("%08x-7a4d-42e8-996d-3b900ed59dc4", i), Queue: "q", Name: fmt.Sprint("nightly-", i)})
	}
	targets, memory, took := h.plan("jobId", "batch", "--queue=q", "--reason=over budget")
	t.Logf("%d jobs, %d MiB, %s", len(targets), memory, took.Round(time.Second))
	if len(targets) != jobs {
		t.Errorf("%d of %d jobs", len(targets), jobs)
	}
	if memory > 100 && !raced() {
		t.Errorf("%d MiB", memory)
	}
}
