package stepfunctions

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/rescindhq/rescind/handlers"
)

// describe reads an execution. Only where a stop of ours would have left its record is that
// read too: it is encrypted where the execution is, and what is not is read without the key
// (API_DescribeExecution, includedData).
func (h *handler) describe(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Reading {
	in := &sdk.DescribeExecutionInput{ExecutionArn: &targets[0].ID, IncludedData: types.IncludedDataMetadataOnly}
	if targets[0].ReadKey == readRecord {
		in.IncludedData = types.IncludedDataAllData
	}
	out, err := h.clients(at).DescribeExecution(ctx, in)
	if err != nil {
		e, id := handlers.Classify(err, codes)
		if e.Class == handlers.NoSuchTarget {
			e = nil
		}
		return []handlers.Reading{{Err: e, RequestID: id}}
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	if out.Status == "" {
		return []handlers.Reading{{Err: handlers.NoAnswer("Step Functions' answer has no status"), RequestID: id}}
	}
	return []handlers.Reading{{
		Found: true, State: string(out.Status), RequestID: id,
		Detail: record{code: aws.ToString(out.Error), cause: aws.ToString(out.Cause)},
	}}
}

// Judge says what an execution's state shows.
func (h *handler) Judge(t handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	a := handlers.Answer{After: r.State, RequestID: r.RequestID}
	switch {
	case r.Err != nil:
		a.Err = r.Err
	case !r.Found:
		a.Status = handlers.NotFound
	default:
		judgeState(&a, t, tried, r)
	}
	return a
}

// Predict knows of what is RUNNING, and of what there is not. In the other states, PENDING_REDRIVE among them, it
// is not documented whether a stop is taken or refused.
func (h *handler) Predict(t handlers.Target, r handlers.Reading) handlers.Answer {
	a := handlers.Predict(h, t, r, string(types.ExecutionStatusRunning))
	if a.Status.Verdict() == handlers.Stopped {
		return handlers.NoPrediction(r, "Step Functions does not document whether it takes (accepted) or refuses ("+string(a.Status)+") a stop of what has ended")
	}
	return a
}

func judgeState(a *handlers.Answer, t handlers.Target, tried handlers.Tried, r handlers.Reading) {
	switch types.ExecutionStatus(a.After) {
	case types.ExecutionStatusSucceeded, types.ExecutionStatusFailed, types.ExecutionStatusTimedOut:
		a.Status = handlers.AlreadyEnded
	case types.ExecutionStatusAborted:
		a.Status = handlers.AlreadyCancelled
		if (tried.Taken || tried.Unsure) && ours(t, r) {
			a.Status = handlers.Cancelled
		}
	case types.ExecutionStatusRunning, types.ExecutionStatusPendingRedrive:
		// A stop that was taken may not show yet: descriptions are eventually consistent
		// (API_DescribeExecution).
		handlers.JudgeAlive(a, tried)
	default: // A state that AWS added since: no end that is known here.
		handlers.JudgeAlive(a, tried)
	}
}

// ours reports whether the record of a stop may be that of our call. It is asked only after a call
// that was taken or may have been: an execution that is ABORTED before any is another's.
//
// What was not sent is not compared, since Step Functions tells nothing else of who stopped an
// execution. So where neither error nor cause was sent, or another sent the same ones, another's
// stop counts as ours: one that came between our call and the reading, and, if Step Functions
// takes a stop of what has ended, which is not documented, one that came before our call too. The same
// goes for what a listing shows, which has no record.
func ours(t handlers.Target, r handlers.Reading) bool {
	sent, _ := t.Params.(record)
	read, described := r.Detail.(record)
	if !described { // a listing shows no record
		return true
	}
	return (sent.code == "" || sent.code == read.code) && (sent.cause == "" || sent.cause == read.cause)
}

// ListKey is the state machine: a standard execution's ARN names it. That of a Map Run's child does not end there.
func (h *handler) ListKey(t handlers.Target) string {
	machine, execution, ok := strings.Cut(t.ID, ":execution:")
	name, _, _ := strings.Cut(execution, ":")
	if !ok || strings.Contains(name, "/") {
		return ""
	}
	return machine + ":stateMachine:" + name
}

// List is ListExecutions, of those that are ABORTED, the newest first: 1,000 a page.
func (h *handler) List() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "ListExecutions", Max: 1, Quota: listQuota, QuotaIn: listQuotaIn, Do: handlers.One(h.list)}
}

func (h *handler) list(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	listing := t.Params.(handlers.Listing)
	machine := h.ListKey(listing.Of)
	in := &sdk.ListExecutionsInput{StateMachineArn: &machine, StatusFilter: types.ExecutionStatusAborted, MaxResults: maxListed}
	if listing.Page != "" {
		in.NextToken = &listing.Page
	}
	out, err := h.clients(at).ListExecutions(ctx, in)
	if err != nil {
		e, id := handlers.Classify(err, codes)
		return handlers.Reading{Err: e, RequestID: id}
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	page := handlers.Page{Readings: make(map[string]handlers.Reading, len(out.Executions)), Next: aws.ToString(out.NextToken)}
	for _, each := range out.Executions {
		page.Readings[aws.ToString(each.ExecutionArn)] = handlers.Reading{Found: true, State: string(each.Status), RequestID: id}
	}
	return handlers.Reading{Found: true, Detail: page, RequestID: id}
}
