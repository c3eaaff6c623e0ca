package stepfunctions

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/rescindhq/rescind/handlers"
)

// describe reads an execution. Only where a stop of ours would have left its record is that
// read too: it is encrypted where the execution is, and what is not is read without the key
// (API_DescribeExecution, includedData).
func (h *handler) describe(ctx context.Context, at handlers.Place, targets []handlers.Target) []handlers.Reading {
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
// takes a stop of what has ended, which is not documented, one that came before our call too.
func ours(t handlers.Target, r handlers.Reading) bool {
	sent, _ := t.Params.(record)
	read, _ := r.Detail.(record)
	return (sent.code == "" || sent.code == read.code) && (sent.cause == "" || sent.cause == read.cause)
}
