package demo

import (
	"fmt"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// Actions of Batch.
const (
	cancelJob    = "batch:CancelJob"
	terminateJob = "batch:TerminateJob"
)

// Reasons in the fleet. Only commands with the same reason share a call. byHand is the reason of
// jobs that were stopped before their command came.
const (
	overBudget = "cost guard: queue over budget"
	superseded = "superseded by a newer run"
	byHand     = "cancelled by hand"
)

// startWithin bounds when a job that starts by itself does so: during the demo.
const startWithin = 10 * time.Second

// batchCommands makes Batch's share of the fleet: jobs in every state, both actions, and commands
// that must cause no call.
func batchCommands(f *Fleet, n int) []command {
	job := func(action string, j awssim.Job, want handlers.Status) func(*Fleet) command {
		return func(f *Fleet) command { return f.newJobCommand(action, j, want) }
	}
	return f.distribute(n, append([]kind{
		{26, job(cancelJob, awssim.Job{State: "RUNNABLE"}, handlers.Cancelled)},
		{14, job(cancelJob, awssim.Job{State: "SUBMITTED"}, handlers.Cancelled)},
		{9, job(cancelJob, awssim.Job{State: "PENDING"}, handlers.Cancelled)},
		{3, job(cancelJob, awssim.Job{State: "STARTING"}, handlers.NotCancellable)},
		{6, job(cancelJob, awssim.Job{State: "RUNNING"}, handlers.NotCancellable)},
		{5, job(cancelJob, awssim.Job{State: "SUCCEEDED"}, handlers.AlreadyEnded)},
		{3, job(cancelJob, awssim.Job{State: "FAILED", Reason: "Essential container in task exited"}, handlers.AlreadyEnded)},
		{3, job(cancelJob, awssim.Job{State: "FAILED", Cancelled: true, Reason: byHand}, handlers.AlreadyCancelled)},
		{2, (*Fleet).missingJobCommand},
		{5, (*Fleet).startingJobCommand},
		{2, (*Fleet).arrayJobCommand},
		{4, job(terminateJob, awssim.Job{State: "RUNNABLE"}, handlers.Cancelled)},
		{3, job(terminateJob, awssim.Job{State: "STARTING"}, handlers.Cancelled)},
		{7, job(terminateJob, awssim.Job{State: "RUNNING"}, handlers.Cancelled)},
		{2, job(terminateJob, awssim.Job{State: "SUCCEEDED"}, handlers.AlreadyEnded)},
		{1, job(terminateJob, awssim.Job{State: "FAILED", Terminated: true, Reason: byHand}, handlers.AlreadyCancelled)},
	}, commonKinds((*Fleet).untouchedJob, job(cancelJob, awssim.Job{State: "RUNNABLE"}, handlers.Cancelled))...))
}

// newJobCommand puts a job into the simulator and makes a command for it.
func (f *Fleet) newJobCommand(action string, j awssim.Job, want handlers.Status) command {
	j.ID = f.uuid()
	f.sim.PutJobs(j)
	return f.jobCommand(action, j.ID, want)
}

// jobCommand makes a command for a job. Its outcome is compared with the job's state.
func (f *Fleet) jobCommand(action, id string, want handlers.Status) command {
	reason := overBudget
	if f.rand.IntN(4) == 0 {
		reason = superseded
	}
	c := f.commandFor(action, map[string]any{"jobId": id, "reason": reason})
	c.want = want
	c.verify = func(got result) error {
		j, ok := f.sim.Job(id)
		if shows := wantForJob(j, ok, action, reason); shows != got.status {
			return fmt.Errorf("is %s, but job %s (%s, cancelled %t, terminated %t, %q) shows %s", got.status, id, j.State, j.Cancelled, j.Terminated, j.Reason, shows)
		}
		return nil
	}
	return c
}

// wantForJob returns the status that a command must have, by its job's state. It restates the
// contract, so that the worker's own code is not what it is checked against.
func wantForJob(j awssim.Job, known bool, action, reason string) handlers.Status {
	stopped := j.Cancelled || j.Terminated
	switch {
	case !known:
		return handlers.NotFound
	case j.State == "FAILED" && stopped && j.Reason == reason:
		return handlers.Cancelled
	case j.State == "FAILED" && stopped:
		return handlers.AlreadyCancelled
	case j.State == "FAILED", j.State == "SUCCEEDED":
		return handlers.AlreadyEnded
	case action == cancelJob && (j.State == "STARTING" || j.State == "RUNNING"):
		return handlers.NotCancellable
	case stopped:
		return handlers.Accepted
	}
	return "that no call was made"
}

func (f *Fleet) missingJobCommand() command {
	return f.jobCommand(cancelJob, f.uuid(), handlers.NotFound)
}

// startingJobCommand makes a command for a job that may have started before the cancelling call.
func (f *Fleet) startingJobCommand() command {
	after := time.Duration(f.rand.Int64N(int64(startWithin)))
	return f.newJobCommand(cancelJob, awssim.Job{State: "RUNNABLE", Then: []awssim.JobChange{{After: after, State: "RUNNING"}}}, "")
}

// arrayJobCommand makes a command for an array job whose child is running: AWS accepts the cancel,
// and the array job remains PENDING until the child ends.
func (f *Fleet) arrayJobCommand() command {
	id := f.uuid()
	f.sim.PutJobs(awssim.Job{ID: id, State: "PENDING"}, awssim.Job{ID: id + ":0", Parent: id, State: "RUNNING"})
	return f.jobCommand(cancelJob, id, handlers.Accepted)
}

// untouchedJob makes a job that must not be called.
func (f *Fleet) untouchedJob() untouched {
	id := f.uuid()
	f.sim.PutJobs(awssim.Job{ID: id, State: "RUNNABLE"})
	return untouched{cancelJob, map[string]any{"jobId": id}, func() error {
		if j, ok := f.sim.Job(id); !ok || j.State != "RUNNABLE" || j.Cancelled || j.Terminated {
			return fmt.Errorf("job %s was called: it is %s (cancelled %t, terminated %t)", id, j.State, j.Cancelled, j.Terminated)
		}
		return nil
	}}
}

// batchSamples makes n jobs, in each state in turn.
func batchSamples(f *Fleet, n int) []Sample {
	jobs := []awssim.Job{
		{State: "RUNNABLE"}, {State: "RUNNING"}, {State: "SUBMITTED"}, {State: "PENDING"}, {State: "STARTING"},
		{State: "SUCCEEDED"}, {State: "FAILED", Reason: "Essential container in task exited"},
		{State: "FAILED", Cancelled: true, Reason: byHand},
	}
	all := make([]Sample, n)
	for i := range all {
		j := jobs[i%len(jobs)]
		j.ID = f.uuid()
		f.sim.PutJobs(j)
		all[i] = Sample{ID: j.ID, State: string(j.State), Action: cancelJob, Parameters: map[string]any{"jobId": j.ID}}
		if j.State == "RUNNING" || j.State == "STARTING" {
			all[i].Action = terminateJob
		}
	}
	return all
}
