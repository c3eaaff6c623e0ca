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
	r, _ := targets[0].Params.(request)
	out, err := h.clients(at).ListSteps(ctx, &sdk.ListStepsInput{ClusterId: &r.cluster, StepIds: handlers.IDs(targets)})
	if err != nil {
		e, id := classify(err)
		return handlers.Fill(len(targets), handlers.Reading{Err: e, RequestID: id})
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	if out.Steps == nil {
		// Not the empty list by which EMR says that it knows none of them.
		return handlers.Fill(len(targets), handlers.Reading{Err: handlers.NoAnswer("EMR's answer has no list of steps"), RequestID: id})
	}
	// Ten steps are always one page, of 50: a step that is not there is not known.
	steps := make(map[string]*types.StepStatus, len(out.Steps))
	for _, s := range out.Steps {
		steps[aws.ToString(s.Id)] = s.Status
	}
	readings := make([]handlers.Reading, len(targets))
	for i, t := range targets {
		status, found := steps[t.ID]
		switch {
		case !found:
			readings[i] = handlers.Reading{RequestID: id}
		case status == nil || status.State == "":
			readings[i] = handlers.Reading{Err: handlers.NoAnswer("EMR's answer does not tell the step's state"), RequestID: id}
		default:
			readings[i] = handlers.Reading{Found: true, State: string(status.State), RequestID: id}
		}
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
	handlers.JudgeAlive(a, tried)
	if a.Status == handlers.Failed &&
		(a.Err.Message == uncancellable || reasons[a.Err.Message].status == handlers.NotCancellable) {
		// The release cannot cancel a step in this state (facts/aws.json: core.emr.cancellable).
		a.Status = handlers.NotCancellable
	}
}
