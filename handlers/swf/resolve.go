package swf

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/swf"
	"github.com/aws/aws-sdk-go-v2/service/swf/types"
	"github.com/rescindhq/rescind/handlers"
)

// Unresolved is true of a target without a run id.
func (h *handler) Unresolved(t handlers.Target) bool { return runOf(t) == "" }

// Resolve is ListOpenWorkflowExecutions of the workflow's id.
func (h *handler) Resolve() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "ListOpenWorkflowExecutions", Max: 1, Quota: listQuota, Do: one(h.listOpen)}
}

// listOpen finds the run id of the open run. SWF keeps at most one open for a workflow id; but
// its listings are eventually consistent, so that a run which has just been closed may stand
// beside its successor: the newest is meant. That no run is open says nothing of those that
// were: there is nothing to cancel.
func (h *handler) listOpen(ctx context.Context, at handlers.Place, t handlers.Target) handlers.Reading {
	r := t.Params.(request)
	out, err := h.clients(at).ListOpenWorkflowExecutions(ctx, &sdk.ListOpenWorkflowExecutionsInput{
		Domain:          &r.Domain,
		ExecutionFilter: &types.WorkflowExecutionFilter{WorkflowId: &r.workflowID},
		StartTimeFilter: &types.ExecutionTimeFilter{OldestDate: aws.Time(time.Unix(0, 0))}, // required: all of them
	})
	if err != nil {
		return unread(err)
	}
	reading := handlers.Reading{RequestID: requestID(out.ResultMetadata)}
	var started time.Time
	for _, info := range out.ExecutionInfos {
		if info.Execution == nil || aws.ToString(info.Execution.WorkflowId) != r.workflowID || aws.ToString(info.Execution.RunId) == "" {
			continue
		}
		if at := aws.ToTime(info.StartTimestamp); !reading.Found || at.After(started) {
			reading.Found, reading.State, started = true, *info.Execution.RunId, at
		}
	}
	if !reading.Found && (out.ExecutionInfos == nil || out.NextPageToken != nil) {
		// Not the empty list by which SWF says that none is open.
		reading.Err = unanswered("SWF's answer does not list the open executions to their end")
	}
	return reading
}

// unread is the reading of a call that failed; that SWF does not know the resource is not a
// failure.
func unread(err error) handlers.Reading {
	e, id := handlers.Classify(err, codes)
	if e.Class == handlers.Unsettled {
		e = nil
	}
	return handlers.Reading{Err: e, RequestID: id}
}
