package worker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/outcome"
)

// stale makes every read of an operation show what was so long ago.
func stale(operation string, by time.Duration) awssim.Faults {
	return awssim.Faults{operation: {Stale: 1, StaleBy: by}}
}

// Batch takes a cancel of a job that was submitted a moment ago, and DescribeJobs does not list the
// job for some seconds.
func TestAJobThatIsNotListedYetIsNotNotFound(t *testing.T) {
	for _, by := range []time.Duration{time.Second, 3 * time.Second, 5 * time.Second} {
		for _, stopAfter := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprintf("%s/%s", by, stopAfter), func(t *testing.T) {
				inBubble(t, func(r *rig) {
					time.Sleep(time.Minute)
					r.sim.SetFaults(stale("batch:DescribeJobs", by))
					r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
					r.send(cancelJob("one", "job"))
					d := r.settled(1, time.Minute)["one"]
					if d.Status != handlers.Accepted && d.Status != handlers.Cancelled {
						t.Errorf("the outcome says %s %+v", d.Status, d.Targets)
					}
					t.Log(d.Status, r.sim.Counts()["batch:DescribeJobs"].Requests, "reads")
				}, func(s *awssim.Options, _ *worker.Options) { s.Batch.StopAfter = stopAfter })
			})
		}
	}
}

// subject is an action whose calls and reads a table tries.
type subject struct {
	command        string
	cancel, read   string                // operations
	alive, ended   func(r *rig)          // put its target in
	takenEndsAlone bool                  // where AWS took the call nothing is read
	settings       func(*awssim.Options) // nil for none
}

func subjects() map[string]subject {
	const execution = "arn:aws:states:us-east-1:123456789012:execution:machine:one"
	run := func(how swf.CloseStatus) func(r *rig) {
		return func(r *rig) {
			r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "run", Close: how, Ignores: true})
		}
	}
	return map[string]subject{
		"batch:CancelJob": {
			command: cancelJob("one", "job"), cancel: "batch:CancelJobs", read: "batch:DescribeJobs",
			alive: func(r *rig) { r.sim.PutJobs(awssim.Job{ID: "job", State: batch.Runnable}) },
			ended: func(r *rig) { r.sim.PutJobs(awssim.Job{ID: "job", State: batch.Succeeded}) },
		},
		"emr:CancelSteps": {
			command: cancelSteps("one", "s-1"), cancel: "elasticmapreduce:CancelSteps", read: "elasticmapreduce:ListSteps", takenEndsAlone: true,
			alive: func(r *rig) { r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: "s-1"}) },
			ended: func(r *rig) { r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: "s-1", State: emr.Completed}) },
		},
		"iot:CancelJobExecution": {
			command: `{"id":"one","action":"iot:CancelJobExecution","parameters":{"thingName":"t","jobId":"j"}}`,
			cancel:  "iot:CancelJobExecution", read: "iot:DescribeJobExecution", takenEndsAlone: true,
			alive: func(r *rig) { r.sim.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j"}) },
			ended: func(r *rig) { r.sim.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: iot.Succeeded}) },
		},
		"iot:CancelJob": {
			command: `{"id":"one","action":"iot:CancelJob","parameters":{"jobId":"j"}}`,
			cancel:  "iot:CancelJob", read: "iot:DescribeJob", takenEndsAlone: true,
			alive: func(r *rig) { r.sim.PutThingJobs(awssim.ThingJob{ID: "j"}) },
			ended: func(r *rig) { r.sim.PutThingJobs(awssim.ThingJob{ID: "j", State: iot.JobCompleted}) },
		},
		"swf:TerminateWorkflowExecution": {
			command: `{"id":"one","action":"swf:TerminateWorkflowExecution","parameters":{"domain":"d","workflowId":"w","runId":"run"}}`,
			cancel:  "swf:TerminateWorkflowExecution", read: "swf:DescribeWorkflowExecution", takenEndsAlone: true,
			alive: run(""), ended: run(swf.Completed),
		},
		"fsx:CancelDataRepositoryTask": {
			command: `{"id":"one","action":"fsx:CancelDataRepositoryTask","parameters":{"TaskId":"task-0123456789abcdef0"}}`,
			cancel:  "fsx:CancelDataRepositoryTask", read: "fsx:DescribeDataRepositoryTasks", takenEndsAlone: true,
			alive: func(r *rig) { r.sim.PutTasks(awssim.Task{ID: "task-0123456789abcdef0"}) },
			ended: func(r *rig) { r.sim.PutTasks(awssim.Task{ID: "task-0123456789abcdef0", State: fsx.Succeeded}) },
		},
		"stepfunctions:StopExecution": {
			command: `{"id":"one","action":"stepfunctions:StopExecution","parameters":{"executionArn":"` + execution + `"}}`,
			cancel:  "states:StopExecution", read: "states:DescribeExecution", takenEndsAlone: true,
			alive:    func(r *rig) { r.sim.PutExecutions(awssim.Execution{ARN: execution}) },
			ended:    func(r *rig) { r.sim.PutExecutions(awssim.Execution{ARN: execution, State: stepfunctions.Succeeded}) },
			settings: func(s *awssim.Options) { s.StepFunctions.RefuseEnded = true },
		},
	}
}

// shown is what reads show of a target, and what is to come of it.
type shown struct {
	about          string
	young, missing bool          // the target was put in a moment ago; there is none
	ended          bool          // before the call
	by             time.Duration // reads are so much behind
	doubt          ending        // where a call was answered 503 after it was carried out
	taken          ending        // where AWS took the call, and it is read all the same
	refused        ending        // where nothing was taken, and no call is in doubt
}

// ending is an outcome, the reads that it took, and the time from the last call to it.
type ending struct {
	status handlers.Status
	reads  int64
	after  time.Duration
}

// of is what is to come of an action.
func (s shown) of(name string, a subject, doubt bool) ending {
	switch {
	case doubt && name == "batch:CancelJob", !doubt && !a.takenEndsAlone: // a second call is taken like the first
		return s.taken
	case doubt:
		return s.doubt
	case !s.ended && !s.missing:
		return ending{handlers.Accepted, 0, 0}
	case s.missing && name == "swf:TerminateWorkflowExecution":
		return s.taken // its refusal may mean that the run has closed: that it is absent has to last
	}
	return s.refused
}

// What reads show × what is known of the calls, for every service.
func TestWhatAReadingAfterACallCountsFor(t *testing.T) {
	first, second, fourth := ending{handlers.AlreadyEnded, 1, 0}, ending{handlers.Cancelled, 2, time.Second}, ending{handlers.Cancelled, 4, 7 * time.Second}
	never, unknown := ending{handlers.NotFound, 5, 10 * time.Second}, ending{handlers.NotFound, 0, 0}
	accepted := ending{handlers.Accepted, 1, 0}
	for _, row := range []shown{
		{about: "absent for 1 s", young: true, by: time.Second, doubt: second, taken: second},
		{about: "absent for 5 s", young: true, by: 5 * time.Second, doubt: fourth, taken: fourth},
		{about: "absent for ever", missing: true, doubt: never, taken: never, refused: unknown},
		{about: "as it was 1 s ago", by: time.Second, doubt: second, taken: accepted},
		{about: "as it was 5 s ago", by: 5 * time.Second, doubt: fourth, taken: accepted},
		{about: "an end", ended: true, doubt: first, taken: first, refused: first},
		{about: "an end, 5 s behind", ended: true, by: 5 * time.Second, doubt: first, taken: first, refused: first},
	} {
		for name, a := range subjects() {
			for _, doubt := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/in doubt %t/%s", row.about, doubt, name), func(t *testing.T) {
					row.try(t, a, doubt, row.of(name, a, doubt))
				})
			}
		}
	}
}

func (s shown) try(t *testing.T, a subject, doubt bool, want ending) {
	t.Helper()
	inBubble(t, func(r *rig) {
		put := a.alive
		if s.ended {
			put = a.ended
		}
		r.sim.PutClusters(awssim.Cluster{ID: cluster})
		if !s.young && !s.missing {
			put(r)
		}
		time.Sleep(time.Minute)
		faults := stale(a.read, s.by)
		if doubt {
			faults[a.cancel] = awssim.Fault{Doubtful: 1, Times: 1}
		}
		r.sim.SetFaults(faults)
		if s.young {
			put(r)
		}
		r.send(a.command)
		d := r.settled(1, time.Minute)["one"]
		reads, after := r.sim.Counts()[a.read].Requests, d.FinishedAt.Sub(r.lastOf(a.cancel))
		// Some services' refusals say everything, and some are read once.
		if d.Status != want.status || reads != want.reads && (want.reads > 1 || reads > 1) {
			t.Errorf("%s %+v after %d reads, want %s after %d", d.Status, d.Targets, reads, want.status, want.reads)
		}
		// A refusal that comes after the call in doubt does not move the time that counts.
		if after < want.after-100*time.Millisecond || after > want.after+300*time.Millisecond {
			t.Errorf("%s after the last call, want %s", after, want.after)
		}
	}, func(o *awssim.Options, _ *worker.Options) {
		if a.settings != nil {
			a.settings(o)
		}
	})
}

// lastOf is when the last request of an operation was answered.
func (r *rig) lastOf(operation string) (last time.Time) {
	for _, record := range r.sim.History() {
		if record.Service+":"+record.Operation == operation {
			last = record.Ended
		}
	}
	return last
}

// A job that is shown RUNNING is not to be cancelled, which counts once it has lasted.
func TestAStateThatContradictsACallCountsOnceItHasLasted(t *testing.T) {
	for name, row := range map[string]struct {
		job   awssim.Job
		want  handlers.Status
		reads int64
	}{
		"it runs on":           {awssim.Job{State: batch.Running}, handlers.NotCancellable, 5},
		"it ended just before": {awssim.Job{State: batch.Running, Then: []awssim.JobChange{{After: 59 * time.Second, State: batch.Succeeded}}}, handlers.AlreadyEnded, 3},
		"it ends meanwhile":    {awssim.Job{State: batch.Running, Then: []awssim.JobChange{{After: 62 * time.Second, State: batch.Failed}}}, handlers.AlreadyEnded, 4},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				row.job.ID = "job"
				r.sim.PutJobs(row.job)
				time.Sleep(time.Minute)
				r.sim.SetFaults(stale("batch:DescribeJobs", 3*time.Second))
				r.send(cancelJob("one", "job"))
				d := r.settled(1, time.Minute)["one"]
				if reads := r.sim.Counts()["batch:DescribeJobs"].Requests; d.Status != row.want || reads != row.reads {
					t.Errorf("%s after %d reads, want %s after %d", d.Status, reads, row.want, row.reads)
				}
			})
		})
	}
}

// A stop stores what AWS took, and whoever goes on counts from when it did, without another call.
func TestAStopBetweenLooksIsResumedFromAcceptance(t *testing.T) {
	for name, row := range map[string]struct {
		pause time.Duration // until the next worker starts
		reads int64         // of both
	}{
		"at once":      {0, 7},
		"8 s later":    {8 * time.Second, 4},
		"a hour later": {time.Hour, 4},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.send(cancelJob("one", "job"))
				time.Sleep(3500 * time.Millisecond) // after looks at 0, 1 and 3 s
				stopping := time.Now()
				r.must(r.stop())
				if took := time.Since(stopping); took > time.Second {
					t.Errorf("the stop took %s", took)
				}
				if n := len(r.published()); n != 0 {
					t.Errorf("%d outcomes before the absence had lasted", n)
				}
				time.Sleep(row.pause)
				r.start(worker.Options{})
				again := time.Now()
				d := r.settled(1, time.Hour)["one"]
				calls, reads := r.sim.Counts()["batch:CancelJobs"].Requests, r.sim.Counts()["batch:DescribeJobs"].Requests
				if d.Status != handlers.NotFound || calls != 1 || reads != row.reads {
					t.Errorf("%s after %d calls and %d reads, want not_found after 1 and %d", d.Status, calls, reads, row.reads)
				}
				called := r.lastOf("batch:CancelJobs")
				if due := called.Add(10 * time.Second); d.FinishedAt.Before(due) || d.FinishedAt.After(due) && d.FinishedAt.Sub(again) > 100*time.Millisecond && d.FinishedAt.Sub(due) > 300*time.Millisecond {
					t.Errorf("ended %s after the call and %s after the start", d.FinishedAt.Sub(called), d.FinishedAt.Sub(again))
				}
			})
		})
	}
}

// What AWS took is accepted where the give-up age comes between looks.
func TestTheGiveUpAgeBoundsLooks(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.send(cancelJob("one", "job"))
		d := r.settled(1, time.Minute)["one"]
		if d.Status != handlers.Accepted || d.Targets[0].Code != outcome.CodeGaveUp || d.FinishedAt.Sub(d.EnqueuedAt) > 5*time.Second {
			t.Errorf("%s %+v after %s", d.Status, d.Targets, d.FinishedAt.Sub(d.EnqueuedAt))
		}
	}, func(_ *awssim.Options, o *worker.Options) { o.GiveUp = 5 * time.Second })
}

// Commands that wait for another look share reads, and hold up nobody.
func TestLooksAreSharedAndHoldUpNobody(t *testing.T) {
	const absent = 500
	inBubble(t, func(r *rig) {
		for i := range absent {
			r.send(cancelJob(fmt.Sprint("c-", i), fmt.Sprint("job ", i)))
		}
		r.sim.PutJobs(awssim.Job{ID: "job", State: batch.Runnable})
		time.Sleep(3 * time.Second)
		r.send(cancelJob("good", "job"))
		got := r.settled(absent+1, time.Minute)
		good, last := got["good"], time.Duration(0)
		delete(got, "good")
		for _, d := range got {
			last = max(last, d.FinishedAt.Sub(d.EnqueuedAt))
		}
		calls, reads := r.sim.Counts()["batch:CancelJobs"].Requests, r.sim.Counts()["batch:DescribeJobs"].Requests
		t.Logf("%s: %d calls, %d reads, the last %s after it was sent, the good one %s",
			tally(got), calls, reads, last, good.FinishedAt.Sub(good.EnqueuedAt))
		if len(got) != absent || tally(got) != "not_found:500" || last > 12*time.Second {
			t.Errorf("%s, the last after %s", tally(got), last)
		}
		if most := calls + 4*2*(absent/100); reads > most {
			t.Errorf("%d reads, want a first one for each call and then four times twice what 500 jobs need, %d at most", reads, most)
		}
		if took := good.FinishedAt.Sub(good.EnqueuedAt); good.Status != handlers.Cancelled || took > time.Second {
			t.Errorf("the good one is %s after %s", good.Status, took)
		}
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
}
