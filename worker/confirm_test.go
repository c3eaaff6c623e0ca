package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/outcome"
)

// asking puts members before a command's parameters.
func asking(command string, members ...string) string {
	return strings.Replace(command, `"parameters"`, strings.Join(append(members, `"parameters"`), ","), 1)
}

// stopsAfter is how long targets of every service take to stop.
func stopsAfter(d time.Duration) setting {
	return func(s *awssim.Options, _ *worker.Options) {
		s.Batch.StopAfter, s.EMR.StopAfter, s.FSx.StopAfter, s.IoT.StopAfter, s.SWF.ObeyAfter = d, d, d, d, d
	}
}

// seen is what came of one command, and how long after it was sent.
type seen struct {
	outcome.Data
	after time.Duration
}

// one waits for what came of the command "one".
func (r *rig) one(within time.Duration) seen {
	r.t.Helper()
	got := r.settled(1, within)["one"]
	return seen{got, got.FinishedAt.Sub(got.EnqueuedAt)}
}

// What AWS took is looked at until it has stopped; the proof comes at most a quarter, and a second, late.
func TestConfirmLooksUntilItHasStopped(t *testing.T) {
	for action, a := range subjects() {
		if action == "swf:TerminateWorkflowExecution" || action == "stepfunctions:StopExecution" || action == "iot:CancelJob" {
			continue // what AWS stops at once
		}
		for _, stops := range []time.Duration{0, 3 * time.Second, 40 * time.Second, 11 * time.Minute} {
			t.Run(fmt.Sprint(action, "/", stops), func(t *testing.T) {
				inBubble(t, func(r *rig) {
					a.alive(r)
					r.send(asking(a.command, `"confirm":"30m"`))
					got := r.one(20 * time.Minute)
					if got.Status != handlers.Cancelled || got.ConfirmedBy != outcome.ConfirmedByPoll {
						t.Errorf("it is %s, confirmed by %s", got.Status, got.ConfirmedBy)
					}
					if got.after < stops || got.after > stops+stops/4+2*time.Second {
						t.Errorf("it stopped after %s, and the outcome says so after %s", stops, got.after)
					}
					if n := r.sim.Counts()[a.cancel].Requests; n != 1 {
						t.Errorf("%d cancelling requests", n)
					}
				}, stopsAfter(stops))
			})
		}
	}
}

// Whoever asks for no proof gets none, and the worker's default counts where a command does not say.
func TestConfirmIsTheCommandsOrTheWorkers(t *testing.T) {
	for _, row := range []struct {
		worker time.Duration
		asks   string
		want   handlers.Status
		after  time.Duration
	}{
		{0, "", handlers.Accepted, 0},
		{0, `"confirm":"0s"`, handlers.Accepted, 0},
		{time.Minute, `"confirm":"0s"`, handlers.Accepted, 0},
		{time.Minute, `"confirm":null`, handlers.Accepted, time.Minute},
		{0, `"confirm":"90s"`, handlers.Accepted, 90 * time.Second},
		{time.Minute, `"confirm":"10m"`, handlers.Cancelled, 5 * time.Minute},
	} {
		t.Run(fmt.Sprint(row.worker, row.asks), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.sim.PutJobs(awssim.Job{ID: "job"})
				command := cancelJob("one", "job")
				if row.asks != "" {
					command = asking(command, row.asks)
				}
				r.send(command)
				got := r.one(time.Hour)
				if got.Status != row.want || got.after < row.after || got.after > row.after+row.after/4+time.Second {
					t.Errorf("it is %s after %s, want %s after %s", got.Status, got.after, row.want, row.after)
				}
			}, stopsAfter(5*time.Minute), func(_ *awssim.Options, o *worker.Options) { o.Confirm = row.worker })
		})
	}
}

// Twelve hours of looking cost 90 reads at most, no receive of the queue's few, and two SQS requests a minute.
func TestTwelveHoursOfLookingAreCheap(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job"})
		r.send(asking(cancelJob("one", "job"), `"confirm":"12h"`))
		got := r.one(13 * time.Hour)
		if got.Status != handlers.Accepted || got.after < 12*time.Hour || got.after > 12*time.Hour+time.Minute {
			t.Errorf("it is %s after %s", got.Status, got.after)
		}
		counts := r.sim.Counts()
		if n := counts["batch:DescribeJobs"].Requests; n > 90 {
			t.Errorf("%d reads", n)
		}
		if n := counts["sqs:SendMessageBatch"].Requests + counts["sqs:DeleteMessageBatch"].Requests + counts["sqs:ChangeMessageVisibilityBatch"].Requests; n > 2*90+10 {
			t.Errorf("%d requests for deferrals", n)
		}
		if n := counts["batch:CancelJobs"].Requests; n != 1 {
			t.Errorf("%d cancelling requests", n)
		}
	}, stopsAfter(24*time.Hour))
}

// What waits for proof survives any number of workers, and is called once.
func TestConfirmSurvivesWorkers(t *testing.T) {
	var settings worker.Options
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job"})
		r.send(asking(cancelJob("one", "job"), `"confirm":"10m"`))
		for range 8 {
			time.Sleep(7 * time.Second)
			r.must(r.stop())
			r.start(settings)
		}
		got := r.one(10 * time.Minute)
		if n := r.sim.Counts()["batch:CancelJobs"].Requests; got.Status != handlers.Cancelled || n != 1 {
			t.Errorf("it is %s after %d cancelling requests", got.Status, n)
		}
	}, stopsAfter(2*time.Minute), func(_ *awssim.Options, o *worker.Options) { settings = *o })
}

// What ended by itself while it was looked at was not cancelled.
func TestWhatEndsByItselfWasNotCancelled(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: "s-1", State: emr.Running, Stubborn: true, Then: []awssim.StepChange{{After: time.Minute, State: emr.Completed}}})
		r.send(asking(cancelSteps("one", "s-1"), `"confirm":"10m"`))
		if got := r.one(10 * time.Minute); got.Status != handlers.AlreadyEnded || got.Targets[0].After != "COMPLETED" {
			t.Errorf("it is %s (%s)", got.Status, got.Targets[0].After)
		}
	})
}

// escalations are targets that the plain action does not stop, with the stronger call that does.
func escalations() map[string]struct {
	put             func(r *rig)
	command         string
	plain, stronger string // operations, as the simulator counts them
	atOnce          bool
	name            string
} {
	return map[string]struct {
		put             func(r *rig)
		command         string
		plain, stronger string
		atOnce          bool
		name            string
	}{
		"Batch, running": {
			put:     func(r *rig) { r.sim.PutJobs(awssim.Job{ID: "job", State: batch.Running}) },
			command: cancelJob("one", "job"), plain: "batch:CancelJobs", stronger: "batch:TerminateJobs", atOnce: true, name: "TerminateJob",
		},
		"EMR, deaf to the interrupt": {
			put: func(r *rig) {
				r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: "s-1", State: emr.Running, Stubborn: true})
			},
			command: cancelSteps("one", "s-1"), plain: "elasticmapreduce:CancelSteps", stronger: "elasticmapreduce:CancelSteps", name: "CancelSteps with TERMINATE_PROCESS",
		},
		"IoT, in progress": {
			put:     func(r *rig) { r.sim.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: iot.InProgress}) },
			command: subjects()["iot:CancelJobExecution"].command, plain: "iot:CancelJobExecution", stronger: "iot:CancelJobExecution", atOnce: true, name: "CancelJobExecution with force",
		},
		"SWF, whose decider does not obey": {
			put: func(r *rig) {
				r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "run", Ignores: true})
			},
			command: strings.Replace(subjects()["swf:TerminateWorkflowExecution"].command, "Terminate", "RequestCancel", 1),
			plain:   "swf:RequestCancelWorkflowExecution", stronger: "swf:TerminateWorkflowExecution", name: "TerminateWorkflowExecution",
		},
	}
}

func TestEscalationStopsWhatThePlainActionDoesNot(t *testing.T) {
	for name, e := range escalations() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				e.put(r)
				r.send(asking(e.command, `"escalate":"45s"`))
				got := r.one(10 * time.Minute)
				if got.Status != handlers.Cancelled || !got.Escalated || !strings.Contains(got.Message, "escalated by "+e.name+" at 2000-01-01T00:0") {
					t.Errorf("it is %s, escalated %t: %s", got.Status, got.Escalated, got.Message)
				}
				if least := 45 * time.Second; !e.atOnce && got.after < least || e.atOnce && got.after > 15*time.Second {
					t.Errorf("it ended after %s", got.after)
				}
				counts := r.sim.Counts()
				if n, more := counts[e.plain].Requests, counts[e.stronger].Requests; e.plain != e.stronger && (n != 1 || more != 1) || e.plain == e.stronger && n != 2 {
					t.Errorf("%d plain and %d stronger requests", n, more)
				}
			})
		})
	}
}

// Nobody who did not ask for it gets the stronger action, and who did not before its time.
func TestNoEscalationUnasked(t *testing.T) {
	for name, e := range escalations() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				e.put(r)
				r.send(asking(e.command, `"confirm":"2m"`))
				got := r.one(10 * time.Minute)
				if got.Status != handlers.Accepted && got.Status != handlers.NotCancellable || got.Escalated {
					t.Errorf("it is %s, escalated %t", got.Status, got.Escalated)
				}
				counts := r.sim.Counts()
				if n := counts[e.plain].Requests + counts[e.stronger].Requests; e.plain == e.stronger && n != 2 || e.plain != e.stronger && n != 1 {
					t.Errorf("%d requests, the plain one counted twice where it is the stronger one too", n)
				}
			})
		})
	}
}

// A dry run foretells the stronger action where that is taken at once.
func TestADryRunForetellsTheEscalation(t *testing.T) {
	for name, e := range escalations() {
		if !e.atOnce {
			continue
		}
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				e.put(r)
				r.send(asking(e.command, `"escalate":"45s"`, `"dryRun":true`))
				got := r.one(time.Minute)
				if p := got.Targets[0].Prediction; p != handlers.Accepted && p != handlers.Cancelled || got.Escalated {
					t.Errorf("it is %s and foretells %q, escalated: %t", got.Status, p, got.Escalated)
				}
			})
		})
	}
}

// expiresAt bounds the beginning of the stronger call as of any other, and looks go on after it.
func TestExpiryKeepsFromEscalating(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job"})
		at := time.Now().Add(20 * time.Second).UTC().Format(time.RFC3339)
		r.send(asking(cancelJob("one", "job"), `"escalate":"30s"`, fmt.Sprintf(`"expiresAt":%q`, at)))
		got := r.one(10 * time.Minute)
		if got.Status != handlers.Accepted || got.Escalated || got.after < time.Minute {
			t.Errorf("it is %s after %s, escalated %t", got.Status, got.after, got.Escalated)
		}
		if n := r.sim.Counts()["batch:TerminateJobs"].Requests; n != 0 {
			t.Errorf("%d calls of TerminateJobs", n)
		}
	}, stopsAfter(time.Hour))
}

// A stronger action that AWS refuses takes nothing back of what the plain one came to.
func TestARefusedEscalationIsSaid(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job"})
		r.sim.Break(awssim.Failure{Service: "batch", Operation: "TerminateJobs", Kind: awssim.Denied})
		r.send(asking(cancelJob("one", "job"), `"escalate":"30s"`))
		got := r.one(10 * time.Minute)
		if target := got.Targets[0]; got.Status != handlers.Accepted || !got.Escalated || !strings.HasPrefix(target.Message, "the stronger action was refused: ") || got.after < time.Minute {
			t.Errorf("it is %s after %s, escalated %t: %s", got.Status, got.after, got.Escalated, target.Message)
		}
		if n := r.sim.Counts()["batch:TerminateJobs"].Requests; n != 1 {
			t.Errorf("%d calls of TerminateJobs", n)
		}
	}, stopsAfter(time.Hour))
}

// A worker that dies in the middle of an escalation leaves it to the next one.
func TestEscalationSurvivesWorkers(t *testing.T) {
	var settings worker.Options
	inBubble(t, func(r *rig) {
		r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: "s-1", State: emr.Running, Stubborn: true}, awssim.Step{Cluster: cluster, ID: "s-2"})
		r.send(asking(cancelSteps("one", "s-1", "s-2"), `"escalate":"30s"`, `"confirm":"10m"`))
		time.Sleep(20 * time.Second)
		mend := r.sim.Break(awssim.Failure{Service: "elasticmapreduce", Operation: "CancelSteps", Kind: awssim.Broken})
		for range 4 {
			time.Sleep(10 * time.Second)
			r.must(r.stop())
			r.start(settings)
		}
		mend()
		got := r.one(10 * time.Minute)
		if got.Status != handlers.Cancelled || !got.Escalated || !got.Resumed {
			t.Errorf("it is %s, escalated %t, resumed %t: %+v", got.Status, got.Escalated, got.Resumed, got.Targets)
		}
	}, func(_ *awssim.Options, o *worker.Options) { settings = *o })
}

// Duplicate deliveries of a command that waits for proof make no looks of their own.
func TestDuplicatesShareTheirLooks(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job"})
		command := asking(cancelJob("one", "job"), `"confirm":"10m"`)
		r.send(command)
		for range 4 {
			time.Sleep(7 * time.Second)
			r.send(command)
		}
		got := r.one(time.Hour)
		if got.Status != handlers.Accepted || got.after > 11*time.Minute {
			t.Errorf("it is %s after %s", got.Status, got.after)
		}
		if n := r.sim.Counts()["batch:DescribeJobs"].Requests; n > 40 { // one delivery makes 33
			t.Errorf("%d reads", n)
		}
	}, stopsAfter(24*time.Hour))
}

// A step that is never answered holds up no stronger action for the others of its command, for longer than patience.
func TestAFailingStepHoldsUpNoEscalation(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutSteps(
			awssim.Step{Cluster: cluster, ID: "s-deaf", State: emr.Running, Stubborn: true},
			awssim.Step{Cluster: cluster, ID: "s-bad", State: emr.Running})
		r.sim.SetFaults(awssim.Faults{"elasticmapreduce:CancelSteps": {Match: func(item string) bool { return item == "s-bad" }, Broken: 1}})
		r.send(asking(cancelSteps("one", "s-deaf", "s-bad"), `"escalate":"1m"`, `"confirm":"20m"`))
		got := r.one(time.Hour)
		if len(got.Targets) != 2 || got.Targets[0].Status != handlers.Cancelled || got.Targets[1].Status != handlers.Failed {
			t.Errorf("they are %+v", got.Targets)
		}
	}, func(_ *awssim.Options, o *worker.Options) { o.GiveUp = 30 * time.Minute })
}
