package emr

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/rescindhq/rescind/handlers"
)

func (h *handler) list(ctx context.Context, at handlers.Place, targets []handlers.Target) []handlers.Reading {
	readings := make([]handlers.Reading, len(targets))
	r, _ := targets[0].Params.(request)
	out, err := h.clients(at).ListSteps(ctx, &sdk.ListStepsInput{ClusterId: &r.cluster, StepIds: ids(targets)})
	if err != nil {
		e, id := classify(err)
		return fill(readings, handlers.Reading{Err: e, RequestID: id})
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	if out.Steps == nil {
		// Not the empty list by which EMR says that it knows none of them.
		return fill(readings, handlers.Reading{Err: unanswered("EMR's answer has no list of steps"), RequestID: id})
	}
	// Ten steps are always one page, of 50: a step that is not there is not known.
	steps := make(map[string]*types.StepStatus, len(out.Steps))
	for _, s := range out.Steps {
		steps[aws.ToString(s.Id)] = s.Status
	}
	for i, t := range targets {
		status, found := steps[t.ID]
		switch {
		case !found:
			readings[i] = handlers.Reading{RequestID: id}
		case status == nil || status.State == "":
			readings[i] = handlers.Reading{Err: unanswered("EMR's answer does not tell the step's state"), RequestID: id}
		default:
			readings[i] = handlers.Reading{Found: true, State: string(status.State), RequestID: id}
		}
	}
	return readings
}

func fill(readings []handlers.Reading, r handlers.Reading) []handlers.Reading {
	for i := range readings {
		readings[i] = r
	}
	return readings
}

// Judge says what a step's state shows.
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

func judgeState(a *handlers.Answer, tried handlers.Tried) {
	switch types.StepState(a.After) {
	case types.StepStateCompleted, types.StepStateFailed, types.StepStateInterrupted:
		a.Status = handlers.AlreadyEnded
	case types.StepStateCancelled:
		a.Status = handlers.AlreadyCancelled
		if tried.Taken || tried.Unsure {
			a.Status = handlers.Cancelled
		}
	case types.StepStateCancelPending:
		// EMR took a cancel, and a second one is no failure, whatever it was answered: what
		// EMR says to it is not documented.
		a.Status = handlers.Accepted
	case types.StepStatePending, types.StepStateRunning:
		judgeAlive(a, tried)
	default: // A state that AWS added since: no end that is known here.
		judgeAlive(a, tried)
	}
}

// judgeAlive judges a step that has not ended and shows no sign of a cancel.
func judgeAlive(a *handlers.Answer, tried handlers.Tried) {
	switch {
	case tried.Taken:
		a.Status = handlers.Accepted
	case tried.Refusal == nil:
	case tried.Refusal.Class == handlers.NotAuthorized:
		a.Status, a.Err = handlers.Denied, tried.Refusal
	case tried.Refusal.Message == uncancellable || reasons[tried.Refusal.Message].status == handlers.NotCancellable:
		// The release cannot cancel a step in this state (facts/aws.json: core.emr.cancellable).
		a.Status, a.Err = handlers.NotCancellable, tried.Refusal
	default:
		a.Status, a.Err = handlers.Failed, tried.Refusal
	}
}
