package fsx

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/rescindhq/rescind/handlers"
)

// codeNotFound refuses a cancel of a task, or a description of any task, that FSx does not
// know.
const codeNotFound = "DataRepositoryTaskNotFound"

// cancelCodes are the refusals of one task. That it has ended does not say how, and the
// others do not say that it has not: what FSx answers to a task that is CANCELING already is
// not documented, and a second cancel must not end as a failure. The state is read.
var cancelCodes = handlers.Codes{
	codeNotFound:              handlers.NoSuchTarget,
	"DataRepositoryTaskEnded": handlers.Unsettled,
	"BadRequest":              handlers.Unsettled,
	"UnsupportedOperation":    handlers.Unsettled,
}

func (h *handler) cancel(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Answer {
	task := targets[0].ID
	out, err := h.clients(at).CancelDataRepositoryTask(ctx, &sdk.CancelDataRepositoryTaskInput{TaskId: &task})
	if err != nil {
		e, id := handlers.Classify(err, cancelCodes)
		if e.Class == handlers.Final {
			// A code that is not documented does not say how the task ended; its state does.
			e.Class = handlers.Unsettled
		}
		return []handlers.Answer{handlers.Refusal(e, id)}
	}
	a := judgeOutput(task, out)
	a.RequestID, _ = middleware.GetRequestIDMetadata(out.ResultMetadata)
	return []handlers.Answer{a}
}

// judgeOutput says what a success means for the task.
func judgeOutput(task string, out *sdk.CancelDataRepositoryTaskOutput) handlers.Answer {
	a := handlers.Answer{After: string(out.Lifecycle)}
	switch named := aws.ToString(out.TaskId); {
	case named != task && (named != "" || out.Lifecycle == ""):
		return handlers.Answer{Err: handlers.NoAnswer("FSx's answer does not name the task")}
	case out.Lifecycle == "":
		// Taken, and the state is to be read: a sample in AWS's user guide calls the member
		// Status (facts/aws.json: core.fsx.doc_conflict).
		return a
	}
	switch out.Lifecycle {
	case types.DataRepositoryTaskLifecycleCanceling, types.DataRepositoryTaskLifecyclePending,
		types.DataRepositoryTaskLifecycleExecuting:
		a.Status = handlers.Accepted
	case types.DataRepositoryTaskLifecycleCanceled:
		a.Status = handlers.Cancelled
	case types.DataRepositoryTaskLifecycleSucceeded, types.DataRepositoryTaskLifecycleFailed:
		a.Status = handlers.AlreadyEnded
	default: // A state that AWS added since; the request was taken.
		a.Status = handlers.Accepted
	}
	return a
}
