package main

import (
	"fmt"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

const cancelTask = "fsx:CancelDataRepositoryTask"

// autoRelease is a type of task that the cancel does not support.
const autoRelease = "AUTO_RELEASE_DATA"

// fsxOrders is FSx's share of the fleet: data repository tasks, one a call.
func fsxOrders(f *fleet, n int) []order {
	task := func(t awssim.Task) func(*fleet) order {
		return func(f *fleet) order { return f.taskOrder(f.task(t)) }
	}
	return f.spread(n, append([]kind{
		{8, task(awssim.Task{State: "EXECUTING"})},
		{4, task(awssim.Task{State: "PENDING"})},
		{2, task(awssim.Task{State: "SUCCEEDED"})},
		{1, task(awssim.Task{State: "FAILED"})},
		{1, task(awssim.Task{State: "CANCELED"})},
		{1, task(awssim.Task{State: "EXECUTING", Type: autoRelease})},
		{1, func(f *fleet) order { return f.taskOrder(f.taskID()) }},
	}, guarded((*fleet).spareTask, task(awssim.Task{}))...))
}

func (f *fleet) taskID() string { return f.code("task-", hexadecimal, 17) }

// task puts a task in.
func (f *fleet) task(t awssim.Task) string {
	t.ID = f.taskID()
	f.sim.PutTasks(t)
	return t.ID
}

// taskOrder is a command for a task; its outcome is checked against the task's own state. Tasks
// take a minute to stop, as steps do.
func (f *fleet) taskOrder(id string) order {
	o := f.order(cancelTask, map[string]any{"TaskId": id})
	o.holds = func(got ending) error {
		t, ok := f.sim.Task(id)
		if !ok {
			return among(got.status, id, "absent", handlers.NotFound)
		}
		var shows []handlers.Status
		switch t.State {
		case "CANCELING":
			shows = []handlers.Status{handlers.Accepted}
		case "CANCELED":
			shows = []handlers.Status{handlers.AlreadyCancelled, handlers.Cancelled}
		case "SUCCEEDED", "FAILED":
			shows = []handlers.Status{handlers.AlreadyEnded}
		case "PENDING", "EXECUTING":
			if t.Type == autoRelease {
				shows = []handlers.Status{handlers.Failed}
			}
		}
		return among(got.status, id, string(t.State), shows...)
	}
	return o
}

// spareTask is a task that no call is to be made for.
func (f *fleet) spareTask() spare {
	id := f.task(awssim.Task{})
	return spare{cancelTask, map[string]any{"TaskId": id}, func() error {
		if t, ok := f.sim.Task(id); !ok || t.State != "EXECUTING" {
			return fmt.Errorf("%s was called upon: it is %s", id, t.State)
		}
		return nil
	}}
}

// fsxShown puts tasks in for people to try commands on: the states in turn.
func fsxShown(f *fleet, n int) []shown {
	tasks := []awssim.Task{
		{State: "EXECUTING"}, {State: "PENDING"}, {State: "SUCCEEDED"}, {State: "FAILED"}, {State: "CANCELED"},
	}
	all := make([]shown, n)
	for i := range all {
		t := tasks[i%len(tasks)]
		id := f.task(t)
		all[i] = shown{id: id, state: string(t.State), action: cancelTask, parameters: map[string]any{"TaskId": id}}
	}
	return all
}
