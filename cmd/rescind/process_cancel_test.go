package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
)

// cancels has the tests of "rescind cancel", of one process for it and one for the worker.
func cancels(t *testing.T, binary string) {
	for name, test := range map[string]func(*canceller){
		"one line cancels exactly what matches": cancelsExactly,
		"what is not stopped has a reason":      cancelNotStopped,
		"interrupted while sending":             cancelInterruptedSending,
		"interrupted while waiting":             cancelInterruptedWaiting,
		"until empty":                           cancelUntilEmpty,
		"until a round brings nothing":          cancelUntilNoProgress,
		"until what was accepted is gone":       cancelUntilAcceptedIsGone,
		"the limit is of all rounds":            cancelMaxOfAllRounds,
		"a dry run changes nothing":             cancelDryRun,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &canceller{harness: newHarness(t, binary, awssim.Options{})}
			test(c)
		})
	}
}

// canceller is a worker and what is cancelled through it.
type canceller struct {
	*harness
	admin string // of the worker
}

// works starts the worker.
func (c *canceller) works(extra ...string) {
	c.t.Helper()
	c.admin = c.worker(c.t, extra...).runs()
}

// pending are Batch jobs that a cancel stops.
func (c *canceller) pending(queue, name string, from, to int) {
	for i := from; i < to; i++ {
		c.PutJobs(awssim.Job{ID: fmt.Sprintf("%s-%s-%03d", queue, name, i), Queue: queue, Name: name})
	}
}

// begun is a process of the binary that runs.
type begun struct {
	*exec.Cmd
	out, err journal
}

func (c *canceller) begin(args ...string) *begun {
	c.t.Helper()
	b := &begun{Cmd: c.rescind(args...)}
	b.Env = append(b.Env, "RESCIND_ADMIN_ADDR="+c.admin)
	b.Stdout, b.Stderr = &b.out, &b.err
	c.must(b.Start())
	return b
}

// ends waits for the process, and wants its exit code and that it says something.
func (c *canceller) ends(b *begun, code int, says ...string) {
	c.t.Helper()
	var exited *exec.ExitError
	if err := b.Wait(); err != nil && !errors.As(err, &exited) {
		c.t.Fatal(err)
	}
	said := b.out.String() + b.err.String()
	if got := b.ProcessState.ExitCode(); got != code {
		c.t.Errorf("%v: exit code %d, want %d", b.Args[1:], got, code)
	}
	for _, text := range says {
		if !strings.Contains(said, text) {
			c.t.Errorf("it does not say %q", text)
		}
	}
	if c.t.Failed() {
		c.t.Fatalf("%v said\n%s", b.Args[1:], said)
	}
}

// cancel runs a cancel of Batch jobs to its end.
func (c *canceller) cancel(code int, flags string, says ...string) {
	c.t.Helper()
	c.ends(c.begin(append([]string{"cancel", "batch", "--yes", "--campaign=night"}, strings.Fields(flags)...)...), code, says...)
}

// cancelled are the jobs that were cancelled, and left the others.
func (c *canceller) cancelled() (cancelled, left []string) {
	for _, j := range c.Jobs() {
		if j.Cancelled || j.Terminated {
			cancelled = append(cancelled, j.ID)
		} else {
			left = append(left, j.ID)
		}
	}
	return cancelled, left
}

func cancelsExactly(c *canceller) {
	for _, queue := range []string{"nightly", "gpu"} {
		for _, name := range []string{"etl", "train"} {
			c.pending(queue, name, 0, 130)
		}
	}
	c.PutJobs(awssim.Job{ID: "running", Queue: "nightly", Name: "etl", State: "RUNNING"})
	c.works()
	c.cancel(0, "--queue nightly --job-name etl --reason budget", "130 of 261 listed Batch jobs", "cancelled         130", "Plan: night.plan.jsonl")
	got, left := c.cancelled()
	if len(got) != 130 || len(left) != 391 || slices.ContainsFunc(got, func(id string) bool { return !strings.HasPrefix(id, "nightly-etl-") }) {
		c.t.Errorf("%d are cancelled: %v", len(got), got)
	}
	b := c.begin("apply", "--yes", "night.plan.jsonl")
	c.ends(b, 0, "All 130 commands of campaign night were sent before")
	c.cancel(2, "--queue nightly --job-name etl", "night.plan.jsonl exists already")
	c.cancel(0, "--queue nightly --job-name etl --output other", "Nothing is to be stopped: no file was written.")
}

// cancelNotStopped: one job begins to run before its command comes to it.
func cancelNotStopped(c *canceller) {
	c.pending("q", "etl", 0, 25)
	c.works()
	b := c.begin("cancel", "batch", "--queue=q", "--yes", "--json", "--campaign=night", "--rate=10/s")
	eventually(c.t, 20*time.Second, "something is sent", func() bool { return c.published() > 0 })
	_, left := c.cancelled()
	last := left[len(left)-1]
	c.PutJobs(awssim.Job{ID: last, Queue: "q", State: "RUNNING"})
	c.ends(b, 1, "1 of 25 Batch jobs were not stopped")
	var r struct {
		Outcomes   int
		Counts     map[string]int
		NotStopped []struct{ ID, Target, Status, Why string }
		Rounds     []struct {
			Plan  struct{ File string }
			Apply struct{ Sent int }
		}
		Error string
	}
	if err := json.Unmarshal([]byte(b.out.String()), &r); err != nil || len(r.NotStopped) != 1 || len(r.Rounds) != 1 {
		c.t.Fatalf("%v\n%s", err, &b.out)
	}
	if n := r.NotStopped[0]; n.Target != last || n.Status != "not_cancellable" || n.Why != "state RUNNING" || !strings.HasPrefix(n.ID, "night:") {
		c.t.Errorf("%+v", n)
	}
	if r.Outcomes != 25 || r.Counts["cancelled"] != 24 || r.Rounds[0].Apply.Sent != 25 || r.Rounds[0].Plan.File != "night.plan.jsonl" || r.Error == "" {
		c.t.Errorf("%+v", r)
	}
	c.pending("q", "etl", 30, 60)
	c.SetFaults(awssim.Faults{"batch:CancelJobs": {Denied: 1}})
	c.cancel(1, "--queue q --output denied", "denied  ", "AccessDenied", "… and 10 more; --json prints all", "with --campaign night.2", "30 of 30 Batch jobs were not stopped")
}

func cancelInterruptedSending(c *canceller) {
	c.pending("q", "etl", 0, 200)
	c.works()
	b := c.begin("cancel", "batch", "--queue=q", "--yes", "--campaign=night", "--rate=20/s")
	eventually(c.t, 20*time.Second, "something is sent", func() bool { return c.published() > 0 })
	c.must(b.Process.Signal(syscall.SIGINT))
	c.ends(b, 1, "interrupted", " of 200 commands are sent. To go on, and run no command twice:\n  rescind apply night.plan.jsonl --rate 20/s\n")
	eventually(c.t, 20*time.Second, "the queue is empty", func() bool { return c.Depth(c.queue) == awssim.Depth{} })
	got, _ := c.cancelled()
	if len(got) == 200 || !strings.Contains(b.err.String(), fmt.Sprintf("%d of 200 commands are sent", len(got))) {
		c.t.Errorf("%d are cancelled, and it says\n%s", len(got), &b.err)
	}
	c.ends(c.begin("apply", "--yes", "night.plan.jsonl"), 0, fmt.Sprintf("Sent %d commands", 200-len(got)))
	eventually(c.t, 20*time.Second, "all are cancelled", func() bool { got, _ := c.cancelled(); return len(got) == 200 })
}

func cancelInterruptedWaiting(c *canceller) {
	c.pending("q", "etl", 0, 120)
	c.works("RESCIND_QUOTAS=batch:CancelJobs=0.2/1")
	b := c.begin("cancel", "batch", "--queue=q", "--yes", "--campaign=night")
	eventually(c.t, 20*time.Second, "some have ended", func() bool { return c.published() >= 10 })
	<-time.After(2 * reaction) // so that their outcomes are read
	c.must(b.Process.Signal(syscall.SIGINT))
	const toFollow = "tail -n +2 night.plan.jsonl | rescind send - --wait"
	c.ends(b, 1, "interrupted: ", " of 120 commands have no outcome yet. All 120 were sent", "and run none twice:\n  "+toFollow, "cancelled          ")
	// As it says: the outcomes are found, and nothing is called again.
	shell := exec.CommandContext(c.t.Context(), "sh", "-c", strings.Replace(toFollow, "rescind", c.binary, 1))
	shell.Dir, shell.Env = c.dir, b.Env
	if out, err := shell.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("120 of 120 commands have ended")) {
		c.t.Errorf("%v\n%s", err, out)
	}
	called := 0
	for _, r := range c.requests("batch", "CancelJobs") {
		called += len(r.Items)
	}
	if called != 120 {
		c.t.Errorf("%d jobs stood in cancelling calls", called)
	}
}

// cancelUntilEmpty: jobs that are submitted while others are cancelled are cancelled in further rounds.
func cancelUntilEmpty(c *canceller) {
	c.pending("q", "etl", 0, 60)
	c.works()
	b := c.begin("cancel", "batch", "--queue=q", "--yes", "--campaign=night", "--until-empty")
	for round := 1; round < 3; round++ {
		eventually(c.t, 20*time.Second, "something is cancelled", func() bool { return c.published() > 60*(round-1) })
		c.pending("q", "etl", 60*round, 60*(round+1))
	}
	c.ends(b, 0, "Round 2: 60 Batch jobs match. Plan: night.2.plan.jsonl", "nothing more is to be stopped", "cancelled         180", "Plan: night.plan.jsonl to night.")
	if got, left := c.cancelled(); len(got) != 180 {
		c.t.Errorf("left: %v", left)
	}
	rounds := map[string]int{}
	for id := range c.outcomes() {
		name, _, _ := strings.Cut(id, ":")
		rounds[name]++
	}
	if rounds["night"] != 60 || rounds["night.2"] < 60 || len(c.outcomes()) != 180 {
		c.t.Errorf("ids by round: %v", rounds)
	}
	if text, err := os.ReadFile(filepath.Join(c.dir, "night.2.plan.jsonl")); err != nil || !bytes.Contains(text, []byte(`"campaign":"night.2"`)) {
		c.t.Errorf("%v %.300s", err, text)
	}
}

func cancelUntilNoProgress(c *canceller) {
	c.pending("q", "etl", 0, 12)
	c.works()
	c.SetFaults(awssim.Faults{"batch:CancelJobs": {Denied: 1}})
	c.cancel(1, "--queue q --until-empty", "12 Batch jobs still match, and the last round could stop none of them", "rescind apply night.2.plan.jsonl", "12 of 12 Batch jobs were not stopped")
	if n := len(c.outcomes()); n != 12 {
		c.t.Errorf("%d outcomes", n)
	}
	// What it says to do, once the permission is there.
	c.SetFaults(nil)
	c.ends(c.begin("apply", "--yes", "night.2.plan.jsonl"), 0)
	eventually(c.t, 20*time.Second, "all are cancelled", func() bool { got, _ := c.cancelled(); return len(got) == 12 })
}

// cancelUntilAcceptedIsGone: what AWS has accepted and takes some time is not called again.
func cancelUntilAcceptedIsGone(c *canceller) {
	put := func(e awssim.Execution) {
		for i := range 5 {
			e.ARN = fmt.Sprint("arn:aws:states:us-east-1:123456789012:execution:etl:run-", i)
			c.PutExecutions(e)
		}
	}
	put(awssim.Execution{})
	c.works()
	b := c.begin("cancel", "stepfunctions", "--yes", "--state-machine=etl", "--until-empty", "--campaign=night")
	eventually(c.t, 20*time.Second, "all are accepted", func() bool { return c.published() == 5 })
	put(awssim.Execution{})
	const says = "5 Step Functions executions that AWS has accepted still match. Listing again until they are gone"
	eventually(c.t, 20*time.Second, "it waits for them", func() bool { return strings.Contains(b.err.String(), says) })
	put(awssim.Execution{State: "ABORTED"})
	c.ends(b, 0, says, "accepted", "nothing more is to be stopped", "5 are only accepted")
	put(awssim.Execution{})
	b = c.begin("cancel", "stepfunctions", "--yes", "--state-machine=etl", "--until-empty", "--campaign=again", "--wait-for=9s")
	eventually(c.t, 20*time.Second, "all are accepted", func() bool { return c.published() == 10 })
	put(awssim.Execution{})
	c.ends(b, 1, says, "for 9s at most", "5 Step Functions executions still match, which AWS has accepted to stop: --confirm")
	if n := len(c.requests("states", "StopExecution")); n != 10 {
		c.t.Errorf("%d calls", n)
	}
}

func cancelMaxOfAllRounds(c *canceller) {
	c.pending("q", "etl", 0, 30)
	c.works()
	c.cancel(2, "--queue q --max 29", "the plan has 30 commands, and the limit is 29: nothing was sent", "rescind apply night.plan.jsonl --max 30")
	b := c.begin("cancel", "batch", "--queue=q", "--yes", "--campaign=late", "--until-empty", "--max=40")
	eventually(c.t, 20*time.Second, "something is cancelled", func() bool { return c.published() > 0 })
	c.pending("q", "etl", 30, 50)
	c.ends(b, 1, "30 commands were sent, 20 more match, and the limit of all rounds is 40 (--max)", "rescind apply late.2.plan.jsonl", "cancelled          30")
	if got, left := c.cancelled(); len(got) != 30 || len(left) != 20 {
		c.t.Errorf("%d are cancelled, %d are left", len(got), len(left))
	}
}

func cancelDryRun(c *canceller) {
	c.pending("q", "etl", 0, 20)
	c.PutJobs(awssim.Job{ID: "running", Queue: "q", State: "RUNNING"})
	c.works()
	c.cancel(0, "--queue q --dry-run", "would be  Batch jobs", "accepted          20", "nothing was cancelled", "  rescind apply night.plan.jsonl")
	if got, _ := c.cancelled(); len(got) > 0 || len(c.requests("batch", "CancelJobs"))+len(c.requests("batch", "TerminateJobs")) > 0 {
		c.t.Errorf("cancelled: %v", got)
	}
	c.ends(c.begin("apply", "--yes", "night.plan.jsonl"), 0, "Sent 20 commands")
	eventually(c.t, 20*time.Second, "all are cancelled", func() bool { got, _ := c.cancelled(); return len(got) == 20 })
}
