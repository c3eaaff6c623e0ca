package swf

import (
	"context"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/service/swf"
	"github.com/aws/aws-sdk-go-v2/service/swf/types"
	"github.com/rescindhq/rescind/handlers"
)

// States as readings have them: SWF's execution status, and of a closed run its close status too.
const (
	closedAs       = string(types.ExecutionStatusClosed) + "/"
	canceled       = closedAs + string(types.CloseStatusCanceled)
	terminated     = closedAs + string(types.CloseStatusTerminated)
	continuedAsNew = closedAs + string(types.CloseStatusContinuedAsNew)
)

// detail is what a reading tells beside the state.
type detail struct {
	cancelRequested bool // by whomever
}

// codeContinuedAsNew stands beside already_ended, or not_found, where a run ended by going on as
// another run, which no call was made for.
const codeContinuedAsNew = "ContinuedAsNew"

func (h *handler) describe(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	run := runOf(t)
	if run == "" {
		return handlers.Reading{Err: errUnresolved}
	}
	r := t.Params.(request)
	out, err := h.clients(at).DescribeWorkflowExecution(ctx, &sdk.DescribeWorkflowExecutionInput{
		Domain: &r.Domain, Execution: &types.WorkflowExecution{WorkflowId: &r.workflowID, RunId: &run},
	})
	if err != nil {
		return unread(err)
	}
	return read(out.ExecutionInfo, requestID(out.ResultMetadata))
}

// read is the reading of a run as SWF describes and lists it.
func read(info *types.WorkflowExecutionInfo, id string) handlers.Reading {
	if info == nil || info.ExecutionStatus == "" {
		return handlers.Reading{Err: handlers.NoAnswer("SWF's answer has no status"), RequestID: id}
	}
	state := string(info.ExecutionStatus)
	if info.ExecutionStatus == types.ExecutionStatusClosed {
		state = closedAs + string(info.CloseStatus)
	}
	return handlers.Reading{Found: true, State: state, Detail: detail{cancelRequested: info.CancelRequested}, RequestID: id}
}

// Judge says what a run's state shows (facts/aws.json: core.swf.confirm). SWF does not tell
// who stopped a run: after a call that was taken, or may have been, it was ours. A run that
// was continued as new has ended like one that completed; that its workflow goes on is said
// beside it, by codeContinuedAsNew. Where no run was named and the newest that SWF lists went on
// as a new one, the workflow has not ended, and the run that was meant is not listed yet.
func (h *handler) Judge(t handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	a := handlers.Answer{After: r.State, RequestID: r.RequestID}
	switch {
	case r.Err != nil:
		a.Err = r.Err
		return a
	case !r.Found:
		a.Status = handlers.NotFound
		return a
	}
	switch {
	case r.State == canceled, r.State == terminated:
		a.Status = handlers.AlreadyCancelled
		if tried.Taken || tried.Unsure {
			a.Status = handlers.Cancelled
		}
	case r.State == continuedAsNew && runOf(t) == "":
		a.Status = handlers.NotFound
		a.Err = &handlers.Error{
			Class: handlers.Final, Code: codeContinuedAsNew,
			Message: "no run is listed as open, and the newest closed one went on as a new one, which SWF does not list yet: send a new command",
		}
	case r.State == continuedAsNew:
		a.Status = handlers.AlreadyEnded
		a.Err = &handlers.Error{
			Class: handlers.Final, Code: codeContinuedAsNew,
			Message: "the run ended by continuing as a new one, which was not called: to stop it, send a new command without runId",
		}
	case strings.HasPrefix(r.State, closedAs): // COMPLETED, FAILED, TIMED_OUT
		a.Status = handlers.AlreadyEnded
	default: // OPEN, or a state that SWF added since: no end that is known here.
		d, _ := r.Detail.(detail)
		h.judgeOpen(&a, tried, d)
	}
	return a
}

// Predict says what a command would come to that names this run, or is resolved to it.
func (h *handler) Predict(t handlers.Target, r handlers.Reading) handlers.Answer {
	return handlers.Predict(h, t, r, string(types.ExecutionStatusOpen))
}

// judgeOpen judges a run that has not ended.
func (h *handler) judgeOpen(a *handlers.Answer, tried handlers.Tried, d detail) {
	handlers.JudgeAlive(a, tried)
	if h.asks && d.cancelRequested && a.Status != handlers.Denied {
		// The run has recorded a request; there is no other kind, and a second adds nothing.
		a.Status, a.Err = handlers.Accepted, nil
	}
}
