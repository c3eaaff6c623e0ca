package demo

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/worker/outcome"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMessagesCountsHiddenOnes(t *testing.T) {
	if n := messages(awssim.Depth{Visible: 1, InFlight: 20, Delayed: 300}); n != 321 {
		t.Errorf("%d messages, want 321", n)
	}
}

// TestCollectorCheck shows that the check finds wrong outcomes.
func TestCollectorCheck(t *testing.T) {
	encode := func(key string, d outcome.Data) string {
		event, err := outcome.Encode("test", outcome.EventID(key), &d)
		if err != nil {
			t.Fatal(err)
		}
		return string(event)
	}
	done := outcome.Data{CommandID: "one", Action: "batch:CancelJob", Status: handlers.Cancelled}
	other := done
	other.Message = "otherwise"
	several := outcome.Data{CommandID: "one", Action: "emr:CancelSteps", Status: handlers.Partial, Targets: []outcome.Target{
		{ID: "a", Status: handlers.Accepted}, {ID: "b", Status: handlers.NotFound},
	}}
	one := command{body: "one", eventID: outcome.EventID("one"), want: handlers.Cancelled}
	two := command{body: "one", eventID: outcome.EventID("one"), verify: func(got result) error {
		return oneOf(got.targets["b"], "b", "RUNNING", handlers.Accepted)
	}}
	rows := []struct {
		name     string
		events   []string
		commands []command
		says     string // "": nothing
	}{
		{"as it should be", []string{encode("one", done)}, []command{one}, ""},
		{"published again", []string{encode("one", done), encode("one", done)}, []command{one}, ""},
		{"none", nil, []command{one}, "no outcome"},
		{"two contents", []string{encode("one", done), encode("one", other)}, []command{one}, "two contents"},
		{"a second event id", []string{encode("one", done), encode("two", done)}, []command{one}, "belongs to no command"},
		{"another status of one of several targets", []string{encode("one", several)}, []command{two}, "b is RUNNING, which allows [accepted]"},
		{"another status", []string{encode("one", outcome.Data{Status: handlers.Accepted})}, []command{one}, "want cancelled"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := newCollector()
			for _, event := range row.events {
				if err := c.add(event); err != nil {
					t.Fatal(err)
				}
			}
			problems := strings.Join(c.check(row.commands), "\n")
			if row.says == "" && problems != "" || !strings.Contains(problems, row.says) {
				t.Errorf("problems %q, want %q", problems, row.says)
			}
		})
	}
}

// TestProgressCountsEachCommandOnce: the outcome of an unreadable command may come before its event id is
// known, and commands are sent again.
func TestProgressCountsEachCommandOnce(t *testing.T) {
	c := newCollector()
	c.expect(outcome.EventID("one"), "batch")
	for range 2 {
		for _, key := range []string{"one", "msg:two"} {
			event, err := outcome.Encode("test", outcome.EventID(key), &outcome.Data{Status: handlers.Invalid})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.add(string(event)); err != nil {
				t.Fatal(err)
			}
		}
		c.expect(outcome.EventID("one"), "batch")
		c.expect(outcome.EventID("msg:two"), "batch")
		c.expect(outcome.EventID("msg:three"), "batch")
		if n := c.endedOf("batch"); n != 2 {
			t.Errorf("%d commands have an outcome, want 2", n)
		}
	}
}

// TestCheckFindsFalseStatus: a target that was not called must not be reported as stopped or accepted.
func TestCheckFindsFalseStatus(t *testing.T) {
	f := NewFleet(awssim.New(awssim.Options{}), 1)
	cluster := f.cluster("")
	for name, c := range map[string]command{
		"job":       f.newJobCommand(cancelJob, awssim.Job{State: "RUNNABLE"}, ""),
		"step":      f.stepCommand(cluster, f.step(cluster, emr.Pending)),
		"steps":     f.newStepsCommand(emrClusters{first: cluster}, 0, 4),
		"task":      f.taskCommand(f.task(awssim.Task{})),
		"execution": f.newExecutionCommand(iot.Queued, nil, ""),
		"thing job": newThingJobCommand(iot.JobInProgress, "")(f),
		"machine":   f.newStopCommand(stepfunctions.Running),
		"run":       f.newRunCommand(terminateRun, awssim.Workflow{}, true, ""),
	} {
		for _, claimed := range []handlers.Status{handlers.Cancelled, handlers.AlreadyCancelled, handlers.Accepted} {
			if err := c.check(result{status: claimed}); err == nil {
				t.Errorf("a %s that was not called passes for %s", name, claimed)
			}
		}
	}
}

// TestCheckFindsTouchedTarget: a target that must not be called and has changed is found.
func TestCheckFindsTouchedTarget(t *testing.T) {
	for _, s := range services() {
		f := NewFleet(awssim.New(awssim.Options{}), 1)
		var dryRuns []command
		for _, c := range s.commands(f, 400) {
			if c.want == handlers.DryRun {
				dryRuns = append(dryRuns, c)
			}
		}
		if len(dryRuns) == 0 {
			t.Errorf("no command for %s is a dry run", s.name)
		}
		for _, c := range dryRuns {
			if err := c.check(result{status: handlers.DryRun}); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
			f.sim = awssim.New(awssim.Options{}) // an empty simulator
			if err := c.check(result{status: handlers.DryRun}); err == nil {
				t.Errorf("a target of %s that is gone passes for untouched", s.name)
			}
			break
		}
	}
}

func TestDistribute(t *testing.T) {
	made := make([]int, 3)
	count := func(i int) func(*Fleet) command { return func(*Fleet) command { made[i]++; return command{} } }
	kinds := []kind{{8, count(0)}, {1, count(1)}, {1, count(2)}}
	for _, row := range []struct{ n, first, second, third int }{
		{0, 0, 0, 0}, {1, 0, 1, 0}, {2, 0, 1, 1}, {3, 1, 1, 1}, {30, 24, 3, 3}, {101, 81, 10, 10},
	} {
		clear(made)
		if got := len((&Fleet{}).distribute(row.n, kinds)); got != row.n {
			t.Errorf("distribute(%d) made %d", row.n, got)
		}
		if want := []int{row.first, row.second, row.third}; made[0] != want[0] || made[1] != want[1] || made[2] != want[2] {
			t.Errorf("distribute(%d) made %v, want %v", row.n, made, want)
		}
	}
}
