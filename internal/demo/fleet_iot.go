package demo

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

// things is how many things a job in progress runs on.
const things = 3

// iotCommands makes IoT's share of the fleet: job executions on things, and whole jobs.
func iotCommands(f *Fleet, n int) []command {
	execution := func(state iot.State, options map[string]any, want handlers.Status) func(*Fleet) command {
		return func(f *Fleet) command { return f.newExecutionCommand(state, options, want) }
	}
	force := map[string]any{"force": true}
	return f.distribute(n, append([]kind{
		{8, execution(iot.Queued, nil, "")},
		{3, execution(iot.InProgress, force, "")},
		{2, execution(iot.InProgress, nil, handlers.NotCancellable)},
		{1, execution(iot.Queued, map[string]any{"expectedVersion": 1, "statusDetails": map[string]any{"by": "cost-guard"}}, "")},
		{2, execution(iot.Queued, map[string]any{"expectedVersion": 7}, handlers.Conflict)},
		{1, execution(iot.Succeeded, nil, handlers.AlreadyEnded)},
		{1, execution(iot.TimedOut, force, handlers.AlreadyEnded)},
		{1, execution(iot.Canceled, nil, "")},
		{1, execution("", nil, handlers.NotFound)},
		{3, newThingJobCommand(iot.JobInProgress, "")},
		{1, newThingJobCommand(iot.JobScheduled, "")},
		{1, newThingJobCommand(iot.JobCompleted, handlers.AlreadyEnded)},
		{1, newThingJobCommand(iot.JobCanceled, "")},
		{1, newThingJobCommand(iot.JobDeletionInProgress, handlers.NotCancellable)},
		{1, newThingJobCommand("", handlers.NotFound)},
	}, commonKinds((*Fleet).untouchedExecution, execution(iot.Queued, nil, ""))...))
}

// execution puts a job execution into the simulator and returns its names. If state is "" it only
// makes the names.
func (f *Fleet) execution(state iot.State) (thing, job string) {
	thing, job = f.randomID("thing-", hexadecimal, 8), f.randomID("update-", hexadecimal, 8)
	if state != "" {
		f.sim.PutJobExecutions(awssim.JobExecution{Thing: thing, Job: job, State: state})
	}
	return thing, job
}

// newExecutionCommand makes a command for a job execution. If want is "" the execution's state decides.
func (f *Fleet) newExecutionCommand(state iot.State, options map[string]any, want handlers.Status) command {
	thing, job := f.execution(state)
	parameters := map[string]any{"thingName": thing, "jobId": job}
	for name, value := range options {
		parameters[name] = value
	}
	c := f.commandFor(cancelExecution, parameters)
	c.want = want
	c.verify = func(got result) error {
		e, _ := f.sim.JobExecution(thing, job)
		return checkStopped(got.status, thing+"/"+job, string(e.State), string(state), string(iot.Canceled))
	}
	return c
}

// checkStopped compares a status with the state of its target now and before the command, for targets
// that stop at once. Such a target is reported as accepted, or as cancelled if the answer was lost and
// the state was read. After a lost answer nobody can say whose cancel stopped it.
func checkStopped(got handlers.Status, target, now, before string, stoppedStates ...string) error {
	switch {
	case slices.Contains(stoppedStates, before):
		return oneOf(got, target, now, handlers.AlreadyCancelled, handlers.Cancelled)
	case slices.Contains(stoppedStates, now):
		return oneOf(got, target, now, handlers.Accepted, handlers.Cancelled)
	case now != before:
		return fmt.Errorf("is %s, but %s went from %s to %s", got, target, before, now)
	case got == handlers.Accepted || got.Verdict() == handlers.Stopped && got != handlers.AlreadyEnded:
		return fmt.Errorf("is %s, but %s is %s", got, target, now)
	}
	return nil
}

// newThingJobCommand makes commands for a whole job.
func newThingJobCommand(state iot.JobState, want handlers.Status) func(*Fleet) command {
	return func(f *Fleet) command {
		id := f.randomID("rollout-", hexadecimal, 8)
		if state != "" {
			f.sim.PutThingJobs(awssim.ThingJob{ID: id, State: state})
		}
		if state == iot.JobInProgress {
			for range things {
				f.sim.PutJobExecutions(awssim.JobExecution{Thing: f.randomID("thing-", hexadecimal, 8), Job: id})
			}
		}
		c := f.commandFor(cancelThingJob, map[string]any{"jobId": id})
		c.want = want
		c.verify = func(got result) error {
			j, _ := f.sim.ThingJob(id)
			return checkStopped(got.status, "job "+id, string(j.State), string(state), string(iot.JobCanceled))
		}
		return c
	}
}

// untouchedExecution makes a job execution that must not be called.
func (f *Fleet) untouchedExecution() untouched {
	thing, job := f.execution(iot.Queued)
	return untouched{cancelExecution, map[string]any{"thingName": thing, "jobId": job}, func() error {
		if e, ok := f.sim.JobExecution(thing, job); !ok || e.State != iot.Queued {
			return fmt.Errorf("%s/%s was called: it is %s", thing, job, e.State)
		}
		return nil
	}}
}

// iotSamples makes n job executions, in each state in turn.
func iotSamples(f *Fleet, n int) []Sample {
	states := []iot.State{iot.Queued, iot.InProgress, iot.Succeeded, iot.Failed, iot.Canceled}
	all := make([]Sample, n)
	for i := range all {
		state := states[i%len(states)]
		thing, job := f.execution(state)
		all[i] = Sample{
			ID: thing + "/" + job, State: string(state), Action: cancelExecution,
			Parameters: map[string]any{"thingName": thing, "jobId": job},
		}
		if state == iot.InProgress {
			all[i].Parameters["force"] = true
		}
	}
	return all
}
