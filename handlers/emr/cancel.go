package emr

import (
	"cmp"
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/rescindhq/rescind/handlers"
)

func (h *handler) cancel(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Answer {
	r, _ := targets[0].Params.(request)
	out, err := h.clients(at).CancelSteps(ctx, &sdk.CancelStepsInput{
		ClusterId: &r.cluster, StepIds: handlers.IDs(targets), StepCancellationOption: types.StepCancellationOption(r.option),
	})
	if err != nil {
		e, id := classify(err)
		return handlers.Fill(len(targets), handlers.Refusal(e, id))
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	if out.CancelStepsInfoList == nil {
		return handlers.Fill(len(targets), handlers.Answer{Err: handlers.NoAnswer("EMR's answer has no list of steps"), RequestID: id})
	}
	// By step and not by position: EMR promises no order.
	said := make(map[string]handlers.Answer, len(out.CancelStepsInfoList))
	for _, info := range out.CancelStepsInfoList {
		step := aws.ToString(info.StepId)
		// Of a step that stands there twice a refusal rules over a success: to settle it costs
		// a read, to believe the success could report what never happened.
		if before, twice := said[step]; !twice || before.Err == nil {
			said[step] = judgeInfo(info)
		}
	}
	answers := make([]handlers.Answer, len(targets))
	for i, t := range targets {
		a, named := said[t.ID]
		if !named {
			// The request arrived, and what it did to this step its state tells, without a
			// second call from a bucket that refills by one in two seconds.
			a.Err = handlers.LeftOut("EMR's answer does not name the step")
		}
		a.RequestID = id
		answers[i] = a
	}
	return answers
}

// uncancellable is the documented reason that does not say which state the step is in.
const uncancellable = "This step cannot be cancelled."

// reasons are the documented ones that name the state (facts/aws.json:
// core.emr.per_item_result), with that state and what it comes to. EMR has no codes for these.
var reasons = map[string]struct {
	state  types.StepState
	status handlers.Status
}{
	"Cannot cancel the step. It is already COMPLETED.": {types.StepStateCompleted, handlers.AlreadyEnded},
	"Cannot cancel the step. It is already CANCELLED.": {types.StepStateCancelled, handlers.AlreadyCancelled},
	"Cannot cancel the step. It is already FAILED.":    {types.StepStateFailed, handlers.AlreadyEnded},
	// Before release 5.28.0, which cannot cancel what runs.
	"Cannot cancel the step. It is already RUNNING.": {types.StepStateRunning, handlers.NotCancellable},
}

// judgeInfo says what EMR's answer for one step means. A refusal is Unsettled throughout, so
// that the state is read where the reason does not tell, and where an earlier call was not
// answered: "already CANCELLED" may then be the echo of our own cancel.
func judgeInfo(info types.CancelStepsInfo) handlers.Answer {
	if info.Status == types.CancelStepsRequestStatusSubmitted {
		return handlers.Answer{Status: handlers.Accepted}
	}
	a := handlers.Answer{Err: &handlers.Error{
		Class:   handlers.Unsettled,
		Code:    cmp.Or(string(info.Status), "NoStatus"),
		Message: aws.ToString(info.Reason),
	}}
	if known, ok := reasons[a.Err.Message]; ok && info.Status == types.CancelStepsRequestStatusFailed {
		a.Status, a.Before, a.After = known.status, string(known.state), string(known.state)
	}
	return a
}
