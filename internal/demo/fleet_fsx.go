package demo

import (
	"fmt"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

const cancelTask = "fsx:CancelDataRepositoryTask"

// autoRelease is a type of task that FSx does not cancel.
const autoRelease = "AUTO_RELEASE_DATA"

// fsxCommands makes FSx's share of the fleet: data repository tasks. A call is for one task.
func fsxCommands(f *Fleet, n int) []command {
	task := func(t awssim.Task) func(*Fleet) command {
		return func(f *Fleet) command { return f.taskCommand(f.task(t)) }
	}
	return f.distribute(n, append([]kind{
		{8, task(awssim.Task{State: "EXECUTING"})},
		{4, task(awssim.Task{State: "PENDING"})},
		{2, task(awssim.Task{State: "SUCCEEDED"})},
		{1, task(awssim.Task{State: "FAILED"})},
		{1, task(awssim.Task{State: "CANCELED"})},
		{1, task(awssim.Task{State: "EXECUTING", Type: autoRelease})},
		{1, func(f *Fleet) command { return f.taskCommand(f.taskID()) }},
	}, commonKinds((*Fleet).untouchedTask, task(awssim.Task{}))...))
}

func (f *Fleet) taskID() string { return f.randomID("task-", hexadecimal, 17) }

// task puts a task into the simulator and returns its id.
func (f *Fleet) task(t awssim.Task) string {
	t.ID = f.taskID()
	f.sim.PutTasks(t)
	return t.ID
}

// taskCommand makes a command for a task. Its outcome is compared with the task's state.
func (f *Fleet) taskCommand(id string) command {
	c := f.commandFor(cancelTask, map[string]any{"TaskId": id})
	c.verify = func(got result) error {
		t, ok := f.sim.Task(id)
		if !ok {
			return oneOf(got.status, id, "absent", handlers.NotFound)
		}
		var shows []handlers.Status
		switch t.State {
		case "CANCELING":
			shows = []handlers.Status{handlers.Accepted}
		case "CANCELED":
			shows = []handlers.Status{handlers.AlreadyCancelled, handlers.Cancelled, handlers.Accepted} // not seen in time
		case "SUCCEEDED", "FAILED":
			shows = []handlers.Status{handlers.AlreadyEnded}
		case "PENDING", "EXECUTING":
			if t.Type == autoRelease {
				shows = []handlers.Status{handlers.Failed}
			}
		}
		return oneOf(got.status, id, string(t.State), shows...)
	}
	return c
}

// untouchedTask makes a task that must not be called.
func (f *Fleet) untouchedTask() untouched {
	id := f.task(awssim.Task{})
	return untouched{cancelTask, map[string]any{"TaskId": id}, func() error {
		if t, ok := f.sim.Task(id); !ok || t.State != "EXECUTING" {
			return fmt.Errorf("%s was called: it is %s", id, t.State)
		}
		return nil
	}}
}

// fsxSamples makes n tasks, in each state in turn.
func fsxSamples(f *Fleet, n int) []Sample {
	tasks := []awssim.Task{
		{State: "EXECUTING"}, {State: "PENDING"}, {State: "SUCCEEDED"}, {State: "FAILED"}, {State: "CANCELED"},
	}
	all := make([]Sample, n)
	for i := range all {
		t := tasks[i%len(tasks)]
		id := f.task(t)
		all[i] = Sample{ID: id, State: string(t.State), Action: cancelTask, Parameters: map[string]any{"TaskId": id}}
	}
	return all
}
