package main

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

// Reasons in the fleet. Commands of one reason share their calls; what somebody else stopped
// has another one.
const (
	overBudget = "cost guard: queue over budget"
	superseded = "superseded by a newer run"
	byHand     = "cancelled by hand"
)

// raceFor is the time within which jobs that start by themselves have started: about as long as
// a demonstration takes.
const raceFor = 10 * time.Second

// batchOrders is Batch's share of the fleet: jobs in every state, both actions, and commands
// that must not come to a call.
func batchOrders(f *fleet, n int) []order {
	job := func(action string, j awssim.Job, want handlers.Status) func(*fleet) order {
		return func(f *fleet) order { return f.jobOrder(action, j, want) }
	}
	return f.spread(n, append([]kind{
		{26, job(cancelJob, awssim.Job{State: "RUNNABLE"}, handlers.Cancelled)},
		{14, job(cancelJob, awssim.Job{State: "SUBMITTED"}, handlers.Cancelled)},
		{9, job(cancelJob, awssim.Job{State: "PENDING"}, handlers.Cancelled)},
		{3, job(cancelJob, awssim.Job{State: "STARTING"}, handlers.NotCancellable)},
		{6, job(cancelJob, awssim.Job{State: "RUNNING"}, handlers.NotCancellable)},
		{5, job(cancelJob, awssim.Job{State: "SUCCEEDED"}, handlers.AlreadyEnded)},
		{3, job(cancelJob, awssim.Job{State: "FAILED", Reason: "Essential container in task exited"}, handlers.AlreadyEnded)},
		{3, job(cancelJob, awssim.Job{State: "FAILED", Cancelled: true, Reason: byHand}, handlers.AlreadyCancelled)},
		{2, (*fleet).missingJob},
		{5, (*fleet).startingByItself},
		{2, (*fleet).arrayJob},
		{4, job(terminateJob, awssim.Job{State: "RUNNABLE"}, handlers.Cancelled)},
		{3, job(terminateJob, awssim.Job{State: "STARTING"}, handlers.Cancelled)},
		{7, job(terminateJob, awssim.Job{State: "RUNNING"}, handlers.Cancelled)},
		{2, job(terminateJob, awssim.Job{State: "SUCCEEDED"}, handlers.AlreadyEnded)},
		{1, job(terminateJob, awssim.Job{State: "FAILED", Terminated: true, Reason: byHand}, handlers.AlreadyCancelled)},
	}, guarded((*fleet).spareJob, job(cancelJob, awssim.Job{State: "RUNNABLE"}, handlers.Cancelled))...))
}

// jobOrder puts a job in, and returns a command for it.
func (f *fleet) jobOrder(action string, j awssim.Job, want handlers.Status) order {
	j.ID = f.uuid()
	f.sim.PutJobs(j)
	return f.forJob(action, j.ID, want)
}

// forJob is a command for a job; its outcome is checked against the job's own state.
func (f *fleet) forJob(action, id string, want handlers.Status) order {
	reason := overBudget
	if f.rand.IntN(4) == 0 {
		reason = superseded
	}
	o := f.order(action, map[string]any{"jobId": id, "reason": reason})
	o.want = want
	o.holds = func(got ending) error {
		j, ok := f.sim.Job(id)
		if shows := jobShows(j, ok, action, reason); shows != got.status {
			return fmt.Errorf("is %s, but job %s (%s, cancelled %t, terminated %t, %q) shows %s", got.status, id, j.State, j.Cancelled, j.Terminated, j.Reason, shows)
		}
		return nil
	}
	return o
}

// jobShows is what a job's own state says became of a command for it. It restates the
// contract, so that the worker's judgement is not its own judge.
func jobShows(j awssim.Job, known bool, action, reason string) handlers.Status {
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
	return "nothing that was tried"
}

func (f *fleet) missingJob() order { return f.forJob(cancelJob, f.uuid(), handlers.NotFound) }

// startingByItself is a job that may have started when the command comes to it.
func (f *fleet) startingByItself() order {
	after := time.Duration(f.rand.Int64N(int64(raceFor)))
	return f.jobOrder(cancelJob, awssim.Job{State: "RUNNABLE", Then: []awssim.JobChange{{After: after, State: "RUNNING"}}}, "")
}

// arrayJob is an array whose one child is running: AWS takes the cancel, and the array stays
// PENDING until the child ends.
func (f *fleet) arrayJob() order {
	id := f.uuid()
	f.sim.PutJobs(awssim.Job{ID: id, State: "PENDING"}, awssim.Job{ID: id + ":0", Parent: id, State: "RUNNING"})
	return f.forJob(cancelJob, id, handlers.Accepted)
}

// spareJob is a job that no call is to be made for.
func (f *fleet) spareJob() spare {
	id := f.uuid()
	f.sim.PutJobs(awssim.Job{ID: id, State: "RUNNABLE"})
	return spare{cancelJob, map[string]any{"jobId": id}, func() error {
		if j, ok := f.sim.Job(id); !ok || j.State != "RUNNABLE" || j.Cancelled || j.Terminated {
			return fmt.Errorf("job %s was called upon: it is %s (cancelled %t, terminated %t)", id, j.State, j.Cancelled, j.Terminated)
		}
		return nil
	}}
}

// batchShown puts jobs in for people to try commands on: the states in turn.
func batchShown(f *fleet, n int) []shown {
	jobs := []awssim.Job{
		{State: "RUNNABLE"}, {State: "RUNNING"}, {State: "SUBMITTED"}, {State: "PENDING"}, {State: "STARTING"},
		{State: "SUCCEEDED"}, {State: "FAILED", Reason: "Essential container in task exited"},
		{State: "FAILED", Cancelled: true, Reason: byHand},
	}
	all := make([]shown, n)
	for i := range all {
		j := jobs[i%len(jobs)]
		j.ID = f.uuid()
		f.sim.PutJobs(j)
		all[i] = shown{id: j.ID, state: string(j.State), action: cancelJob, parameters: map[string]any{"jobId": j.ID}}
		if j.State == "RUNNING" || j.State == "STARTING" {
			all[i].action = terminateJob
		}
	}
	return all
}
