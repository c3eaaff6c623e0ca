package worker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	simemr "github.com/rescindhq/rescind/internal/awssim/emr"
	simsfn "github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	simswf "github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/internal/facts"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/outcome"
)

// A dry run makes no cancelling call, and its prediction is what the real command that follows it at once comes to.
func TestADryRunForetellsTheRealRun(t *testing.T) {
	t.Parallel()
	for _, p := range previews() {
		t.Run(p.String(), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				p.put(r.sim)
				r.send(p.command("dry", true))
				dry := r.settled(1, time.Minute)["dry"]
				if made := r.changing(); len(made) > 0 {
					t.Errorf("the dry run called %v", made)
				}
				r.send(p.command("real", false))
				meant := r.settled(2, time.Minute)["real"]
				p.compare(t, dry, meant)
				if meant.Status == handlers.Accepted && len(r.changing()) == 0 {
					t.Error("the real run called nothing")
				}
			}, func(o *awssim.Options, _ *worker.Options) {
				*o = p.options
			})
		})
	}
}

// changing are the requests to the services that were no reads.
func (r *rig) changing() []string {
	own := []string{"sqs", "sns", "sts"}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r.sim.Counts())), func(name string) bool {
		service, operation, _ := strings.Cut(name, ":")
		return slices.Contains(own, service) || strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "List")
	})
}

func (p preview) compare(t *testing.T, dry, meant outcome.Data) {
	t.Helper()
	if dry.Status != handlers.DryRun || dry.Verdict != handlers.NotRun || len(dry.Targets) != len(meant.Targets) || dry.ConfirmedBy != outcome.ConfirmedByNone {
		t.Fatalf("the dry run came to %+v", dry)
	}
	for i, d := range dry.Targets {
		want := meant.Targets[i].Status
		if p.real != "" {
			if want != p.real {
				t.Errorf("%s: the real run came to %s, want %s", d.ID, want, p.real)
			}
			want = handlers.Accepted
		}
		if p.unknown != "" {
			want = ""
			if d.Code == "" || !strings.Contains(d.Message, p.unknown) {
				t.Errorf("%s: no prediction because of %s: %q, want a word on %q", d.ID, d.Code, d.Message, p.unknown)
			}
		}
		if d.Status != handlers.DryRun || d.Prediction != want || d.After != "" || meant.Targets[i].Prediction != "" {
			t.Errorf("%s: the dry run foretold %+v, and the real one came to %+v", d.ID, d, meant.Targets[i])
		}
		if len(dry.Targets) == 1 && (d.Before != p.state) != (p.state == absent) {
			t.Errorf("%s: before is %q, want %s", d.ID, d.Before, p.state)
		}
	}
}

// The rows have every action, and of each every state that aws.json, or where that has none the simulator, knows.
func TestEveryStateIsForetold(t *testing.T) {
	rows := map[string][]string{}
	for _, p := range previews() {
		rows[p.action] = append(rows[p.action], p.state)
	}
	for _, action := range actions() {
		states := slices.Clone(facts.Core()[handlers.Action(action).Service()].States)
		switch handlers.Action(action).Service() {
		case "swf":
			states = []string{"OPEN"}
			for _, how := range simswf.CloseStatuses() {
				states = append(states, "CLOSED/"+string(how))
			}
		case "stepfunctions":
			for _, state := range simsfn.States() {
				states = append(states, string(state))
			}
		}
		if action == "iot:CancelJob" {
			states = nil
			if err := facts.Raw(&states, "core", "iot", "job_states"); err != nil {
				t.Fatal(err)
			}
		}
		if len(states) == 0 {
			t.Errorf("which states the targets of %s have is not known here", action)
		}
		for _, state := range append(states, absent) {
			if !slices.Contains(rows[action], state) {
				t.Errorf("%s of what is %s is not foretold", action, state)
			}
		}
	}
}

// actions are those of all services.
func actions() (all []string) {
	for _, service := range worker.Services() {
		for _, h := range service(nil) {
			all = append(all, string(h.Action()))
		}
	}
	return all
}

// Reads of dry runs are shared, and those that are throttled wait, like any others.
func TestReadsOfDryRunsAreSharedAndWait(t *testing.T) {
	const n = 100
	jobs := func(r *rig) []string {
		bodies := make([]string, n)
		for i := range bodies {
			job := fmt.Sprintf("job-%d", i)
			r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
			bodies[i] = preview{action: "batch:CancelJob", parameters: `{"jobId":"` + job + `"}`}.command(job, true)
		}
		return bodies
	}
	check := func(r *rig, got map[string]outcome.Data) {
		for id, d := range got {
			if d.Targets[0].Prediction != handlers.Accepted || d.Targets[0].Before != "RUNNABLE" {
				r.t.Errorf("%s: %+v", id, d)
			}
		}
		if made := r.changing(); len(made) > 0 {
			r.t.Errorf("the dry runs called %v", made)
		}
	}
	t.Run("shared", func(t *testing.T) {
		inBubble(t, func(r *rig) {
			r.send(jobs(r)...)
			check(r, r.settled(n, time.Minute))
			if reads := r.calls("batch"); reads > n/4 {
				t.Errorf("%d reads for %d jobs", reads, n)
			}
		}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 50 * time.Millisecond })
	})
	t.Run("throttled for an hour", func(t *testing.T) {
		inBubble(t, func(r *rig) {
			bodies := jobs(r)
			r.sim.SetQuota("batch:DescribeJobs", awssim.Quota{Rate: 1e-9, Burst: 1})
			r.send(bodies[0])
			r.settled(1, time.Minute) // takes the only token
			r.send(bodies[1:]...)
			time.Sleep(time.Hour)
			if got := len(r.outcomes()); got > 1 {
				t.Errorf("%d outcomes while no read gets through", got)
			}
			r.sim.SetQuota("batch:DescribeJobs", awssim.Quota{})
			check(r, r.settled(n, time.Hour))
		})
	})
}

// What was foretold before a dry run was deferred is not read again.
func TestADeferredDryRunKeepsItsPredictions(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutClusters(awssim.Cluster{ID: "j-1", Release: "emr-7.12.0"})
		steps := make([]string, 20) // two reads
		for i := range steps {
			steps[i] = fmt.Sprintf(`"s-%d"`, i)
			r.sim.PutSteps(awssim.Step{ID: fmt.Sprintf("s-%d", i), Cluster: "j-1", State: simemr.Pending})
		}
		p := preview{action: "emr:CancelSteps", parameters: `{"ClusterId":"j-1","StepIds":[` + strings.Join(steps, ",") + `]}`}
		r.send(p.command("dry", true))
		d := r.settled(1, 4*time.Hour)["dry"]
		if !d.Resumed {
			t.Error("it was not deferred")
		}
		for _, target := range d.Targets {
			if target.Status != handlers.DryRun || target.Prediction != handlers.Accepted || target.Before != "PENDING" {
				t.Errorf("%+v", target)
			}
		}
		if reads := r.sim.Counts()["elasticmapreduce:ListSteps"]; reads.Requests-reads.Throttled != 2 {
			t.Errorf("reads: %+v, want 2 that got through", reads)
		}
	}, func(s *awssim.Options, _ *worker.Options) {
		s.Quotas = map[string]awssim.Quota{"elasticmapreduce:ListSteps": {Rate: 1. / 1800, Burst: 1}}
	})
}

// What may not be read has no prediction, and says so.
func TestADryRunOfWhatMayNotBeRead(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(preview{action: "batch:CancelJob", parameters: `{"jobId":"job"}`}.command("dry", true))
		d := r.settled(1, time.Minute)["dry"]
		if d.Status != handlers.DryRun || d.Targets[0].Prediction != "" || !strings.Contains(d.Message, "its state could not be read") || !strings.Contains(d.Code, "AccessDenied") {
			t.Errorf("%+v", d)
		}
	}, func(s *awssim.Options, _ *worker.Options) {
		s.Faults = awssim.Faults{"batch:DescribeJobs": {Denied: 1}}
	})
}

// A dry run that waits for its reads does not keep a worker from stopping.
func TestADryRunDoesNotHoldUpADrain(t *testing.T) {
	inBubble(t, func(r *rig) {
		dry := preview{action: "batch:CancelJob", parameters: `{"jobId":"job"}`}
		r.send(dry.command("first", true))
		r.settled(1, time.Minute) // takes the only token
		r.send(dry.command("dry", true))
		time.Sleep(time.Minute)
		began := time.Now()
		r.must(r.stop())
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the worker took %s to stop", took)
		}
		if left := r.sim.Depth(r.queue); left.Visible != 1 {
			t.Errorf("%+v messages are left, want the dry run's, visible", left)
		}
	}, func(s *awssim.Options, _ *worker.Options) {
		s.Quotas = map[string]awssim.Quota{"batch:DescribeJobs": {Rate: 1e-9, Burst: 1}}
	})
}

// A backlog of dry runs, whose reads are scarce, does not keep out commands that mean it.
func TestDryRunsDoNotHoldUpTheRealCommands(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.sim.PutClusters(awssim.Cluster{ID: "j-1", Release: "emr-7.12.0"})
		bodies := make([]string, 8000) // 1600 s of ListSteps, ten steps a call
		for i := range bodies {
			step := fmt.Sprintf("s-%d", i)
			r.sim.PutSteps(awssim.Step{ID: step, Cluster: "j-1", State: simemr.Pending})
			bodies[i] = preview{action: "emr:CancelSteps", parameters: `{"ClusterId":"j-1","StepIds":["` + step + `"]}`}.command(step, true)
		}
		r.send(bodies...)
		time.Sleep(10 * time.Minute)
		r.send(preview{action: "emr:CancelSteps", parameters: `{"ClusterId":"j-1","StepIds":["s-0"]}`}.command("real", false))
		sent := time.Now()
		for {
			time.Sleep(time.Second)
			if d, ended := r.outcomes()["real"]; ended {
				if d.Status != handlers.Accepted {
					t.Errorf("it came to %+v", d)
				}
				break
			}
			if time.Since(sent) > 30*time.Second {
				t.Fatalf("a command was not run within 30s beside %d dry runs", len(bodies))
			}
		}
	})
}
