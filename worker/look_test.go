package worker_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/outcome"
)

// A read that fails for ever keeps none of the command's other targets from ending, however short the
// patience and however often the command is resumed.
func TestAReadThatFailsForEverKeepsNoOtherTargetOpen(t *testing.T) {
	for name, row := range map[string]struct {
		patience, restart time.Duration
	}{
		"long patience":         {5 * time.Minute, 0},
		"patience of 20 s":      {20 * time.Second, 0},
		"patience below 10 s":   {6 * time.Second, 0},
		"a drain between looks": {5 * time.Minute, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var settings worker.Options
			inBubble(t, func(r *rig) {
				r.sim.PutClusters(awssim.Cluster{ID: cluster, Release: "emr-5.20.0"}) // cancels nothing that runs
				for _, id := range []string{"s-good", "s-also", "s-bad"} {
					r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: id, State: emr.Running})
				}
				r.sim.Break(awssim.Failure{Service: "elasticmapreduce", Operation: "ListSteps", Item: "s-bad", Kind: awssim.Broken})
				mend := r.sim.Break(awssim.Failure{Service: "elasticmapreduce", Operation: "CancelSteps", Kind: awssim.Broken})
				r.send(cancelSteps("one", "s-good", "s-bad", "s-also"))
				time.Sleep(3 * time.Second) // the first call is in doubt, the next one refused
				mend()
				if row.restart > 0 {
					for range 3 {
						time.Sleep(row.restart)
						r.must(r.stop())
						r.start(settings)
					}
				}
				for _, target := range r.settled(1, time.Hour)["one"].Targets {
					want := handlers.NotCancellable
					if target.ID == "s-bad" {
						want = handlers.Failed
					}
					if target.Status != want || (want == handlers.Failed) != (target.Code == outcome.CodeGaveUp) {
						t.Errorf("%s is %s %s, want %s", target.ID, target.Status, target.Code, want)
					}
				}
			}, func(s *awssim.Options, o *worker.Options) {
				// The published quota allows three calls in six seconds: too few to find the step at fault.
				s.Quotas = map[string]awssim.Quota{"elasticmapreduce:*": {}, "elasticmapreduce:ListSteps": {}, "elasticmapreduce:CancelSteps": {}}
				o.Quotas = worker.Quotas{"emr:*": {}, "emr:ListSteps": {}, "emr:CancelSteps": {}}
				o.Patience, o.GiveUp = row.patience, 10*time.Minute
				settings = *o
			})
		})
	}
}

// A refusal that says that the target has ended contradicts a stale read that shows it alive.
func TestAReadThatContradictsARefusalIsTakenAgain(t *testing.T) {
	for _, action := range []string{"stepfunctions:StopExecution", "emr:CancelSteps", "fsx:CancelDataRepositoryTask", "iot:CancelJobExecution", "iot:CancelJob", "swf:TerminateWorkflowExecution"} {
		for _, by := range []time.Duration{2 * time.Second, 5 * time.Second} {
			t.Run(action+"/"+by.String(), func(t *testing.T) {
				a := subjects()[action]
				inBubble(t, func(r *rig) {
					a.alive(r)
					time.Sleep(time.Minute)
					r.send(a.command)
					first := r.settled(1, time.Minute)["one"]
					r.sim.SetFaults(stale(a.read, by))
					r.send(strings.Replace(a.command, `"one"`, `"two"`, 1))
					second := r.settled(2, time.Minute)["two"]
					if second.Status == handlers.Failed || second.Status == handlers.NotCancellable {
						t.Errorf("%s, then %s %+v", first.Status, second.Status, second.Targets)
					}
				}, func(s *awssim.Options, _ *worker.Options) {
					if a.settings != nil {
						a.settings(s)
					}
				})
			})
		}
	}
}

// The same, where AWS refused a call for the target's version, since another's had just ended the target.
func TestAReadThatContradictsAVersionConflictIsTakenAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: "QUEUED", Version: 1})
		time.Sleep(time.Minute)
		command := `{"id":"one","action":"iot:CancelJobExecution","parameters":{"thingName":"t","jobId":"j","expectedVersion":1}}`
		r.send(command)
		r.settled(1, time.Minute)
		r.sim.SetFaults(stale("iot:DescribeJobExecution", 3*time.Second))
		r.send(strings.Replace(command, `"one"`, `"two"`, 1))
		if d := r.settled(2, time.Minute)["two"]; d.Status != handlers.AlreadyCancelled {
			t.Errorf("%s %+v", d.Status, d.Targets)
		}
	})
}

// settled is longer than a reading that contradicts a call does not count.
const settled = 11 * time.Second

// The same, where an earlier call was not answered and the target has ended meanwhile.
func TestAReadThatContradictsALaterRefusalIsTakenAgain(t *testing.T) {
	for _, action := range []string{"stepfunctions:StopExecution", "fsx:CancelDataRepositoryTask", "iot:CancelJobExecution", "swf:TerminateWorkflowExecution"} {
		t.Run(action, func(t *testing.T) {
			a := subjects()[action]
			inBubble(t, func(r *rig) {
				a.alive(r)
				service, operation, _ := strings.Cut(a.cancel, ":")
				mend := r.sim.Break(awssim.Failure{Service: service, Operation: operation, Kind: awssim.Broken})
				r.send(a.command)
				calls := func() (last time.Time) {
					for _, call := range r.sim.History() {
						if call.Operation == operation {
							last = call.Began
						}
					}
					return last
				}
				for first := time.Now(); time.Since(first) < time.Minute || time.Since(calls()) < settled; {
					time.Sleep(time.Second) // until its message is deferred
				}
				mend()
				a.ended(r)
				r.sim.SetFaults(stale(a.read, time.Hour))
				for mended := time.Now(); calls().Before(mended); {
					time.Sleep(time.Second)
				}
				time.Sleep(settled / 2)
				r.sim.SetFaults(nil)
				if d := r.settled(1, 2*time.Minute)["one"]; d.Status != handlers.AlreadyEnded {
					t.Errorf("%s %+v", d.Status, d.Targets)
				}
			}, func(s *awssim.Options, o *worker.Options) {
				o.Patience = 20 * time.Second
				if a.settings != nil {
					a.settings(s)
				}
			})
		})
	}
}

// A refusal that the state explains, or that the state goes on contradicting, is reported.
func TestARefusalThatTheStateExplainsNeedsNoMoreReads(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: "IN_PROGRESS"})
		r.send(subjects()["iot:CancelJobExecution"].command)
		d := r.settled(1, time.Minute)["one"]
		if took := d.FinishedAt.Sub(d.EnqueuedAt); d.Status != handlers.NotCancellable || took > time.Second {
			t.Errorf("%s after %s", d.Status, took)
		}
	})
}

// SWF lists an execution that was closed a moment ago nowhere, and one that was started a moment ago not yet.
func TestAWorkflowThatIsListedNowhereIsLookedForAgain(t *testing.T) {
	for name, row := range map[string]struct {
		put  awssim.Workflow
		want handlers.Status
	}{
		"closed":    {awssim.Workflow{Close: swf.Completed}, handlers.AlreadyEnded},
		"started":   {awssim.Workflow{}, handlers.Accepted},
		"another's": {awssim.Workflow{WorkflowID: "other"}, handlers.NotFound},
		"elsewhere": {awssim.Workflow{Domain: "other"}, handlers.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "any", Close: swf.Completed})
				time.Sleep(time.Minute)
				r.sim.SetFaults(awssim.Faults{
					"swf:ListOpenWorkflowExecutions":   {Stale: 1, StaleBy: 5 * time.Second},
					"swf:ListClosedWorkflowExecutions": {Stale: 1, StaleBy: 5 * time.Second},
				})
				run := row.put
				run.Domain, run.WorkflowID, run.RunID = cmp.Or(run.Domain, "d"), cmp.Or(run.WorkflowID, "w"), "run"
				r.sim.PutWorkflows(run)
				r.send(`{"id":"one","action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":"w"}}`)
				if d := r.settled(1, time.Minute)["one"]; d.Status != row.want {
					t.Errorf("the outcome says %s %+v, want %s", d.Status, d.Targets, row.want)
				}
			})
		})
	}
}
