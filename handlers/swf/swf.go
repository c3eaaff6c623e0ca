// Package swf stops Amazon SWF workflow executions: swf:RequestCancelWorkflowExecution, which
// asks the workflow's own decider to end it, and swf:TerminateWorkflowExecution, which ends it
// at once. It owns what SWF's answers mean; it knows no queue, no quota's tokens and no retry.
//
// A target is one run. Without a run id SWF stops whichever run is open at that moment, so
// that a command tried twice could stop two; a command that leaves it out is therefore
// resolved first, to the open run, and every call names that one; where none is open, nothing
// is called, and how the last one was closed is the answer (resolve.go). SWF's success
// is enough: the run is accepted, and no state is read. A run that SWF does not know, or that
// was closed, is refused in the same words: its state is read, by DescribeWorkflowExecution,
// and judged (judge.go). Proof for many is read by ListClosedWorkflowExecutions (resolve.go).
package swf

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/swf"
	"github.com/aws/aws-sdk-go-v2/service/swf/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/rescindhq/rescind/handlers"
)

// What AWS publishes (facts/aws.json: core.swf.quotas_per_account_region). A further limit of
// 200 requests to cancel a second and workflow is out of reach at these rates.
var (
	cancelQuota    = handlers.Quota{Rate: 30, Burst: 2000}
	terminateQuota = handlers.Quota{Rate: 60, Burst: 2000}
	describeQuota  = handlers.Quota{Rate: 6, Burst: 2000}
	openQuota      = handlers.Quota{Rate: 48, Burst: 200}
	closedQuota    = handlers.Quota{Rate: 6, Burst: 200}
)

// client is the part of the SDK that the handlers call.
type client interface {
	RequestCancelWorkflowExecution(context.Context, *sdk.RequestCancelWorkflowExecutionInput, ...func(*sdk.Options)) (*sdk.RequestCancelWorkflowExecutionOutput, error)
	TerminateWorkflowExecution(context.Context, *sdk.TerminateWorkflowExecutionInput, ...func(*sdk.Options)) (*sdk.TerminateWorkflowExecutionOutput, error)
	DescribeWorkflowExecution(context.Context, *sdk.DescribeWorkflowExecutionInput, ...func(*sdk.Options)) (*sdk.DescribeWorkflowExecutionOutput, error)
	ListOpenWorkflowExecutions(context.Context, *sdk.ListOpenWorkflowExecutionsInput, ...func(*sdk.Options)) (*sdk.ListOpenWorkflowExecutionsOutput, error)
	ListClosedWorkflowExecutions(context.Context, *sdk.ListClosedWorkflowExecutionsInput, ...func(*sdk.Options)) (*sdk.ListClosedWorkflowExecutionsOutput, error)
}

// handler is one of the two actions.
type handler struct {
	action    handlers.Action
	operation string
	quota     handlers.Quota
	fields    []handlers.Field
	stop      stop
	// asks: the action is a request that the run records, and that its decider may take its
	// time over; the other one has its effect at once.
	asks    bool
	clients func(handlers.Location) client
}

// New returns the handlers of swf:RequestCancelWorkflowExecution and
// swf:TerminateWorkflowExecution. config gives the SDK configuration (region, credentials,
// endpoint) for a location; it is asked when a location is first called and must be safe for
// concurrent use. Whatever retries it configures are turned off.
func New(config func(handlers.Location) aws.Config) []handlers.Handler {
	clients := handlers.PerLocation(func(at handlers.Location) client {
		return sdk.NewFromConfig(config(at), func(o *sdk.Options) {
			// One attempt: the lane owns retries.
			o.Retryer = aws.NopRetryer{}
			o.RetryMaxAttempts = 1
		})
	})
	named := []handlers.Field{
		{Name: "domain", Kind: handlers.String, Required: true, Text: handlers.Text{Min: 1, Max: 256}},
		{Name: "workflowId", Kind: handlers.String, Required: true, Text: handlers.Text{Min: 1, Max: 256}},
		{Name: "runId", Kind: handlers.String, Text: handlers.Text{Max: 64}}, // empty is the same as absent
	}
	return []handlers.Handler{
		&handler{
			action: "swf:RequestCancelWorkflowExecution", operation: "RequestCancelWorkflowExecution",
			quota: cancelQuota, fields: named, stop: requestCancel, asks: true, clients: clients,
		},
		&handler{
			action: "swf:TerminateWorkflowExecution", operation: "TerminateWorkflowExecution",
			quota: terminateQuota, stop: terminate, clients: clients,
			fields: append(named[:len(named):len(named)],
				handlers.Field{Name: "reason", Kind: handlers.String, Reason: true, Text: handlers.Text{Max: 256}},
				handlers.Field{Name: "details", Kind: handlers.String, Text: handlers.Text{Max: 32768}},
				handlers.Field{Name: "childPolicy", Kind: handlers.String, Text: handlers.Text{Enum: []string{
					string(types.ChildPolicyTerminate), string(types.ChildPolicyRequestCancel), string(types.ChildPolicyAbandon),
				}}},
			),
		},
	}
}

// request is a target's Params: what the parameters said.
type request struct {
	workflowID string
	said
}

// said is the request less the workflow's id, and the target's Key: it keeps apart what the
// target's ID does not, a domain's workflow from another's and "a/b" from run b of "a".
type said struct {
	Domain      string `json:"domain"`
	RunID       string `json:"runId"` // "": not given
	Reason      string `json:"reason"`
	Details     string `json:"details"`
	ChildPolicy string `json:"childPolicy"`
}

// Action is swf:RequestCancelWorkflowExecution or swf:TerminateWorkflowExecution.
func (h *handler) Action() handlers.Action { return h.action }

// Fields are those of the operation.
func (h *handler) Fields() []handlers.Field { return h.fields }

// Targets returns the one run, named workflowId/runId, or workflowId where the run is to be
// resolved: an ID remains what it is for all of a command's tries.
func (h *handler) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	r := request{workflowID: p.Text("workflowId"), said: said{
		Domain: p.Text("domain"), RunID: p.Text("runId"),
		Reason: p.Text("reason"), Details: p.Text("details"), ChildPolicy: p.Text("childPolicy"),
	}}
	key, err := json.Marshal(r.said)
	if err != nil {
		return nil, fmt.Errorf("writing a request's key: %w", err)
	}
	readKey, err := json.Marshal(said{Domain: r.Domain, RunID: r.RunID})
	if err != nil {
		return nil, fmt.Errorf("writing a reading's key: %w", err)
	}
	t := handlers.Target{ID: r.workflowID, Key: string(key), ReadKey: string(readKey), Params: r}
	if r.RunID != "" {
		t.ID += "/" + r.RunID
	}
	return []handlers.Target{t}, nil
}

// runOf is the run that a target's calls name; "" where it has not been resolved.
func runOf(t handlers.Target) string {
	if t.Pin != "" {
		return t.Pin
	}
	return t.Params.(request).RunID
}

// errUnresolved stands for a call that would hit whichever run is open.
var errUnresolved = &handlers.Error{
	Class: handlers.Final, Code: "Unresolved", Message: "no run id: it is to be resolved before the first call",
}

// Cancel is the action's own operation.
func (h *handler) Cancel() handlers.Call[handlers.Answer] {
	return handlers.Call[handlers.Answer]{Operation: h.operation, Max: 1, Quota: h.quota, Do: handlers.One(h.cancel)}
}

// Read is DescribeWorkflowExecution.
func (h *handler) Read() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "DescribeWorkflowExecution", Max: 1, Quota: describeQuota, Do: handlers.One(h.describe)}
}

// Stronger is TerminateWorkflowExecution, with the workflow's own child policy.
func (h *handler) Stronger(t handlers.Target) (handlers.Stronger, bool) {
	return handlers.Stronger{Action: "swf:TerminateWorkflowExecution", Target: t, Name: "TerminateWorkflowExecution"}, h.asks
}

// OnlyStronger is never: any open run may obey a request.
func (h *handler) OnlyStronger(handlers.Reading) bool { return false }

// Explain implements handlers.Explainer (API_RequestCancelWorkflowExecution, Amazon SWF API Reference).
func (h *handler) Explain(handlers.Target, handlers.Reading) string {
	if !h.asks {
		return ""
	}
	return "SWF has recorded the request for the workflow's decider, which decides whether and when to stop"
}

// codes are SWF's own. An unknown resource is a run that nobody knows, one that was closed
// (facts/aws.json: core.swf.second_cancel), or an unknown domain.
var codes = handlers.Codes{
	"UnknownResourceFault":       handlers.Unsettled,
	"OperationNotPermittedFault": handlers.NotAuthorized,
}

// stop makes the cancelling request of one of the actions.
type stop func(context.Context, client, request, *string) (middleware.Metadata, error)

func requestCancel(ctx context.Context, c client, r request, run *string) (middleware.Metadata, error) {
	out, err := c.RequestCancelWorkflowExecution(ctx, &sdk.RequestCancelWorkflowExecutionInput{
		Domain: &r.Domain, WorkflowId: &r.workflowID, RunId: run,
	})
	if err != nil {
		return middleware.Metadata{}, err
	}
	return out.ResultMetadata, nil
}

func terminate(ctx context.Context, c client, r request, run *string) (middleware.Metadata, error) {
	in := &sdk.TerminateWorkflowExecutionInput{
		Domain: &r.Domain, WorkflowId: &r.workflowID, RunId: run, ChildPolicy: types.ChildPolicy(r.ChildPolicy),
	}
	if r.Reason != "" {
		in.Reason = &r.Reason
	}
	if r.Details != "" {
		in.Details = &r.Details
	}
	out, err := c.TerminateWorkflowExecution(ctx, in)
	if err != nil {
		return middleware.Metadata{}, err
	}
	return out.ResultMetadata, nil
}

func (h *handler) cancel(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Answer {
	run := runOf(t)
	if run == "" {
		return handlers.Answer{Err: errUnresolved}
	}
	metadata, err := h.stop(ctx, h.clients(at), t.Params.(request), &run)
	if err == nil {
		return handlers.Taken(handlers.Accepted, requestID(metadata))
	}
	return handlers.Refusal(handlers.Classify(err, codes))
}

func requestID(metadata middleware.Metadata) string {
	id, _ := awsmiddleware.GetRequestIDMetadata(metadata)
	return id
}
