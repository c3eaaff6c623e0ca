package fsx

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/rescindhq/rescind/handlers"
)

// describe reads tasks. One that FSx does not know makes it refuse all of them: several are
// then Refused, to be read in halves, and one alone is not known.
func (h *handler) describe(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Reading {
	out, err := h.clients(at).DescribeDataRepositoryTasks(ctx, &sdk.DescribeDataRepositoryTasksInput{TaskIds: handlers.IDs(targets)})
	if err != nil {
		e, id := handlers.Classify(err, nil)
		switch {
		case e.Code == codeNotFound && len(targets) == 1:
			e = nil
		case e.Class == handlers.Final:
			e.Class = handlers.Refused
		}
		return handlers.Fill(len(targets), handlers.Reading{Err: e, RequestID: id})
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	if out.DataRepositoryTasks == nil {
		return handlers.Fill(len(targets), handlers.Reading{Err: handlers.NoAnswer("FSx's answer has no list of tasks"), RequestID: id})
	}
	tasks := make(map[string]types.DataRepositoryTask, len(out.DataRepositoryTasks))
	for _, t := range out.DataRepositoryTasks {
		tasks[aws.ToString(t.TaskId)] = t
	}
	readings := make([]handlers.Reading, len(targets))
	for i, t := range targets {
		task, found := tasks[t.ID]
		readings[i] = handlers.Reading{Found: found, State: string(task.Lifecycle), Detail: task.Type, RequestID: id}
		if found && task.Lifecycle == "" {
			readings[i] = handlers.Reading{Err: handlers.NoAnswer("FSx's answer does not tell the task's lifecycle"), RequestID: id}
			continue
		}
		if !found && aws.ToString(out.NextToken) != "" {
			// How many tasks a page has is not documented: half as many may fit one.
			readings[i].Err = &handlers.Error{Class: handlers.Refused, Code: "MorePages", Message: "FSx's answer goes on beyond its first page"}
		}
	}
	return readings
}

// Judge says what a task's state shows.
func (h *handler) Judge(_ handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	a := handlers.Answer{After: r.State, RequestID: r.RequestID}
	switch {
	case r.Err != nil:
		a.Err = r.Err
	case !r.Found:
		a.Status = handlers.NotFound
	default:
		judgeState(&a, tried)
	}
	return a
}

// Predict knows nothing of a task that FSx has started by itself: UnsupportedOperation is documented
// without the tasks that meet it.
func (h *handler) Predict(t handlers.Target, r handlers.Reading) handlers.Answer {
	a := handlers.Predict(h, t, r,
		string(types.DataRepositoryTaskLifecyclePending), string(types.DataRepositoryTaskLifecycleExecuting))
	if r.Detail == types.DataRepositoryTaskTypeAutoTriggeredEviction && a.Status == handlers.Accepted {
		return handlers.NoPrediction(r, "FSx does not document whether a task of the type "+string(types.DataRepositoryTaskTypeAutoTriggeredEviction)+" can be cancelled")
	}
	return a
}

func judgeState(a *handlers.Answer, tried handlers.Tried) {
	switch types.DataRepositoryTaskLifecycle(a.After) {
	case types.DataRepositoryTaskLifecycleSucceeded, types.DataRepositoryTaskLifecycleFailed:
		a.Status = handlers.AlreadyEnded
	case types.DataRepositoryTaskLifecycleCanceled:
		a.Status = handlers.AlreadyCancelled
		if tried.Taken || tried.Unsure {
			a.Status = handlers.Cancelled
		}
	case types.DataRepositoryTaskLifecycleCanceling:
		// FSx took a cancel, and a second one is no failure, whatever it was answered.
		a.Status = handlers.Accepted
	case types.DataRepositoryTaskLifecyclePending, types.DataRepositoryTaskLifecycleExecuting:
		// What FSx refuses to cancel in a state that it documents as cancellable has failed by
		// FSx's own code, and is not "not cancellable": UnsupportedOperation speaks of the
		// resource, not of its state.
		handlers.JudgeAlive(a, tried)
	default: // A state that AWS added since: no end that is known here.
		handlers.JudgeAlive(a, tried)
	}
}
