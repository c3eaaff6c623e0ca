package main

import (
	"fmt"
	"slices"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iot"
)

// Actions of IoT.
const (
	cancelExecution = "iot:CancelJobExecution"
	cancelThingJob  = "iot:CancelJob"
)

// things is how many things a job of the fleet runs on.
const things = 3

// iotOrders is IoT's share of the fleet: executions of jobs on things, and whole jobs.
func iotOrders(f *fleet, n int) []order {
	execution := func(state iot.State, options map[string]any, want handlers.Status) func(*fleet) order {
		return func(f *fleet) order { return f.executionOrder(state, options, want) }
	}
	force := map[string]any{"force": true}
	return f.spread(n, append([]kind{
		{8, execution(iot.Queued, nil, "")},
		{3, execution(iot.InProgress, force, "")},
		{2, execution(iot.InProgress, nil, handlers.NotCancellable)},
		{1, execution(iot.Queued, map[string]any{"expectedVersion": 1, "statusDetails": map[string]any{"by": "cost-guard"}}, "")},
		{2, execution(iot.Queued, map[string]any{"expectedVersion": 7}, handlers.Conflict)},
		{1, execution(iot.Succeeded, nil, handlers.AlreadyEnded)},
		{1, execution(iot.TimedOut, force, handlers.AlreadyEnded)},
		{1, execution(iot.Canceled, nil, "")},
		{1, execution("", nil, handlers.NotFound)},
		{3, thingJob(iot.JobInProgress, "")},
		{1, thingJob(iot.JobScheduled, "")},
		{1, thingJob(iot.JobCompleted, handlers.AlreadyEnded)},
		{1, thingJob(iot.JobCanceled, "")},
		{1, thingJob(iot.JobDeletionInProgress, handlers.NotCancellable)},
		{1, thingJob("", handlers.NotFound)},
	}, guarded((*fleet).spareExecution, execution(iot.Queued, nil, ""))...))
}

// execution puts an execution of a job of its own in; in no state, it only names one.
func (f *fleet) execution(state iot.State) (thing, job string) {
	thing, job = f.code("thing-", hexadecimal, 8), f.code("update-", hexadecimal, 8)
	if state != "" {
		f.sim.PutJobExecutions(awssim.JobExecution{Thing: thing, Job: job, State: state})
	}
	return thing, job
}

// executionOrder is a command for an execution. Where want is "", the cancel took effect.
func (f *fleet) executionOrder(state iot.State, options map[string]any, want handlers.Status) order {
	thing, job := f.execution(state)
	parameters := map[string]any{"thingName": thing, "jobId": job}
	for name, value := range options {
		parameters[name] = value
	}
	o := f.order(cancelExecution, parameters)
	o.want = want
	o.holds = func(got ending) error {
		e, _ := f.sim.JobExecution(thing, job)
		return stopHolds(got.status, thing+"/"+job, string(e.State), string(state), string(iot.Canceled))
	}
	return o
}

// stopHolds says what is wrong with a status, by the state of its target now and before the
// command. What ends at once is accepted, or seen to have stopped where an answer was lost; and
// after a lost answer nobody can tell whose cancel it was.
func stopHolds(got handlers.Status, target, now, before string, stopped ...string) error {
	switch {
	case slices.Contains(stopped, before):
		return among(got, target, now, handlers.AlreadyCancelled, handlers.Cancelled)
	case slices.Contains(stopped, now):
		return among(got, target, now, handlers.Accepted, handlers.Cancelled)
	case now != before:
		return fmt.Errorf("is %s, but %s went from %s to %s", got, target, before, now)
	case got == handlers.Accepted || got.Verdict() == handlers.Stopped && got != handlers.AlreadyEnded:
		return fmt.Errorf("is %s, but %s is %s", got, target, now)
	}
	return nil
}

// thingJob is a command for a whole job, which runs on some things.
func thingJob(state iot.JobState, want handlers.Status) func(*fleet) order {
	return func(f *fleet) order {
		id := f.code("rollout-", hexadecimal, 8)
		if state != "" {
			f.sim.PutThingJobs(awssim.ThingJob{ID: id, State: state})
		}
		if state == iot.JobInProgress {
			for range things {
				f.sim.PutJobExecutions(awssim.JobExecution{Thing: f.code("thing-", hexadecimal, 8), Job: id})
			}
		}
		o := f.order(cancelThingJob, map[string]any{"jobId": id})
		o.want = want
		o.holds = func(got ending) error {
			j, _ := f.sim.ThingJob(id)
			return stopHolds(got.status, "job "+id, string(j.State), string(state), string(iot.JobCanceled))
		}
		return o
	}
}

// spareExecution is an execution that no call is to be made for.
func (f *fleet) spareExecution() spare {
	thing, job := f.execution(iot.Queued)
	return spare{cancelExecution, map[string]any{"thingName": thing, "jobId": job}, func() error {
		if e, ok := f.sim.JobExecution(thing, job); !ok || e.State != iot.Queued {
			return fmt.Errorf("%s/%s was called upon: it is %s", thing, job, e.State)
		}
		return nil
	}}
}

// iotShown puts executions in for people to try commands on: the states in turn.
func iotShown(f *fleet, n int) []shown {
	states := []iot.State{iot.Queued, iot.InProgress, iot.Succeeded, iot.Failed, iot.Canceled}
	all := make([]shown, n)
	for i := range all {
		state := states[i%len(states)]
		thing, job := f.execution(state)
		all[i] = shown{
			id: thing + "/" + job, state: string(state), action: cancelExecution,
			parameters: map[string]any{"thingName": thing, "jobId": job},
		}
		if state == iot.InProgress {
			all[i].parameters["force"] = true
		}
	}
	return all
}
