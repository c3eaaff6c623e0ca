package emr

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/rescindhq/rescind/handlers"
)

func (h *handler) list(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Reading {
	r, _ := targets[0].Params.(request)
	ids := slices.DeleteFunc(handlers.IDs(targets), func(id string) bool { return id == "" }) // the cluster's
	out, err := h.clients(at).ListSteps(ctx, &sdk.ListStepsInput{ClusterId: &r.cluster, StepIds: ids})
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
		case t.ID == "":
			readings[i] = handlers.Reading{Found: true, RequestID: id}
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

// Holder is the cluster that a step is of.
func (h *handler) Holder(t handlers.Target) handlers.Target {
	return handlers.Target{ReadKey: t.ReadKey, Params: t.Params}
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

// Explain implements handlers.Explainer (API_CancelSteps, Amazon EMR API Reference).
func (h *handler) Explain(t handlers.Target, r handlers.Reading) string {
	if q, _ := t.Params.(request); types.StepState(r.State) != types.StepStateCancelPending || q.option == string(types.StepCancellationOptionTerminateProcess) {
		return ""
	}
	return "EMR has sent the step's process an interrupt, which it may ignore; TERMINATE_PROCESS does not ask it"
}

// Predict takes the cluster to be of a release that cancels: 5.28.0 or later, of 2019. ListSteps does not
// tell, and before it a step that is RUNNING, or PENDING on one before 4.8.0 and on 5.0.0, is not cancellable.
func (h *handler) Predict(t handlers.Target, r handlers.Reading) handlers.Answer {
	return handlers.Predict(h, t, r, string(types.StepStatePending), string(types.StepStateRunning))
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

// ListKey is the cluster.
func (h *handler) ListKey(t handlers.Target) string { return t.ReadKey }

// List is ListSteps, of those that are CANCELLED: 50 steps a page.
func (h *handler) List() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{
		Operation: "ListSteps", Max: 1, Quota: listQuota, ServiceQuota: serviceQuota, Do: handlers.One(h.listCancelled),
	}
}

func (h *handler) listCancelled(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	listing := t.Params.(handlers.Listing)
	r, _ := listing.Of.Params.(request)
	in := &sdk.ListStepsInput{ClusterId: &r.cluster, StepStates: []types.StepState{types.StepStateCancelled}}
	if listing.Page != "" {
		in.Marker = &listing.Page
	}
	out, err := h.clients(at).ListSteps(ctx, in)
	if err != nil {
		e, id := classify(err)
		return handlers.Reading{Err: e, RequestID: id}
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	page := handlers.Page{Readings: make(map[string]handlers.Reading, len(out.Steps)), Next: aws.ToString(out.Marker)}
	for _, s := range out.Steps {
		if s.Status != nil && s.Status.State != "" {
			page.Readings[aws.ToString(s.Id)] = handlers.Reading{Found: true, State: string(s.Status.State), RequestID: id}
		}
	}
	return handlers.Reading{Found: true, Detail: page, RequestID: id}
}
