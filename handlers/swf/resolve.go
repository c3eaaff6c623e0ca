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
	return handlers.Call[handlers.Reading]{Operation: "ListOpenWorkflowExecutions", Max: 1, Quota: openQuota, Do: handlers.One(h.listOpen)}
}

// Last is ListClosedWorkflowExecutions of the workflow's id. A run that was closed longer ago
// than its domain's retention is listed no more; and as SWF's listings are eventually consistent,
// one that was started a moment ago may be listed nowhere, and an older one's end be reported.
func (h *handler) Last() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "ListClosedWorkflowExecutions", Max: 1, Quota: closedQuota, Do: handlers.One(h.listClosed)}
}

// ever is a filter by start, which both listings require and order by.
var ever = &types.ExecutionTimeFilter{OldestDate: aws.Time(time.Unix(0, 0))}

// listOpen finds the run id of the open run. SWF keeps at most one open for a workflow id; but
// its listings are eventually consistent, so that a run which has just been closed may stand
// beside its successor: the newest is meant.
func (h *handler) listOpen(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	r := t.Params.(request)
	out, err := h.clients(at).ListOpenWorkflowExecutions(ctx, &sdk.ListOpenWorkflowExecutionsInput{
		Domain: &r.Domain, ExecutionFilter: &types.WorkflowExecutionFilter{WorkflowId: &r.workflowID}, StartTimeFilter: ever,
	})
	if err != nil {
		return unread(err)
	}
	info, reading := newest(r.workflowID, out.ExecutionInfos, out.NextPageToken, requestID(out.ResultMetadata))
	if info != nil {
		reading.Found, reading.State = true, *info.Execution.RunId
	}
	return reading
}

// listClosed reads how the newest closed run was closed. SWF lists the newest first, so that
// one is enough, however many there are.
func (h *handler) listClosed(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	r := t.Params.(request)
	out, err := h.clients(at).ListClosedWorkflowExecutions(ctx, &sdk.ListClosedWorkflowExecutionsInput{
		Domain: &r.Domain, ExecutionFilter: &types.WorkflowExecutionFilter{WorkflowId: &r.workflowID}, StartTimeFilter: ever,
		MaximumPageSize: 1,
	})
	if err != nil {
		return unread(err)
	}
	info, reading := newest(r.workflowID, out.ExecutionInfos, out.NextPageToken, requestID(out.ResultMetadata))
	if info != nil {
		return read(info, reading.RequestID)
	}
	return reading
}

// newest picks the newest run of a workflow from a page of a listing; nil where there is none.
// The reading is then that of none, or says that the answer does not show it.
func newest(workflow string, page []types.WorkflowExecutionInfo, more *string, id string) (*types.WorkflowExecutionInfo, handlers.Reading) {
	var found *types.WorkflowExecutionInfo
	for i, info := range page {
		if info.Execution == nil || aws.ToString(info.Execution.WorkflowId) != workflow || aws.ToString(info.Execution.RunId) == "" {
			continue
		}
		if found == nil || aws.ToTime(info.StartTimestamp).After(aws.ToTime(found.StartTimestamp)) {
			found = &page[i]
		}
	}
	reading := handlers.Reading{RequestID: id}
	if found == nil && (page == nil || more != nil) {
		// Not the empty list by which SWF says that there is none.
		reading.Err = handlers.NoAnswer("SWF's answer does not list the executions to their end")
	}
	return found, reading
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

// ListKey is the domain, for a target that names its run: that of another is not known by its ID.
func (h *handler) ListKey(t handlers.Target) string {
	if r := t.Params.(request); r.RunID != "" {
		return r.Domain
	}
	return ""
}

// List is ListClosedWorkflowExecutions of the domain, by the time of closing: 1,000 runs a page.
func (h *handler) List() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "ListClosedWorkflowExecutions", Max: 1, Quota: closedQuota, Do: handlers.One(h.listDomain)}
}

func (h *handler) listDomain(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	listing := t.Params.(handlers.Listing)
	r := listing.Of.Params.(request)
	in := &sdk.ListClosedWorkflowExecutionsInput{Domain: &r.Domain, CloseTimeFilter: &types.ExecutionTimeFilter{OldestDate: &listing.Since}}
	if listing.Page != "" {
		in.NextPageToken = &listing.Page
	}
	out, err := h.clients(at).ListClosedWorkflowExecutions(ctx, in)
	if err != nil {
		e, id := handlers.Classify(err, codes)
		return handlers.Reading{Err: e, RequestID: id}
	}
	id := requestID(out.ResultMetadata)
	page := handlers.Page{Readings: make(map[string]handlers.Reading, len(out.ExecutionInfos)), Next: aws.ToString(out.NextPageToken)}
	for i, info := range out.ExecutionInfos {
		if e := info.Execution; e != nil {
			page.Readings[aws.ToString(e.WorkflowId)+"/"+aws.ToString(e.RunId)] = read(&out.ExecutionInfos[i], id)
		}
	}
	return handlers.Reading{Found: true, Detail: page, RequestID: id}
}
