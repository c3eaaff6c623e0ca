// Package stepfunctions stops executions of AWS Step Functions state machines:
// stepfunctions:StopExecution. It owns what Step Functions' answers mean; it knows no queue, no
// quota's tokens and no retry.
//
// A call takes one execution, and a success is enough: the execution is accepted. What is
// refused in words that do not say how it ended is read by DescribeExecution (judge.go), and proof for many
// is read by ListExecutions. Only
// STANDARD state machines are supported: executions of EXPRESS ones AWS does not stop.
package stepfunctions

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/rescindhq/rescind/handlers"
)

// Bounds of StopExecution's fields in characters (facts/aws.json: breadth, StopExecution).
const (
	maxARN   = 256
	maxError = 256
	maxCause = 32768

	maxListed = 1000 // executions on a page of ListExecutions
)

// Quotas for an account in a region, and in the three regions that have more ("Quotas related to API action
// throttling", AWS Step Functions Developer Guide, as read in November 2026; facts/aws.json has none).
var (
	stopQuota     = handlers.Quota{Rate: 25, Burst: 500}
	describeQuota = handlers.Quota{Rate: 10, Burst: 250}
	listQuota     = handlers.Quota{Rate: 2, Burst: 100}

	stopQuotaIn     = inLargeRegions(handlers.Quota{Rate: 200, Burst: 1000})
	describeQuotaIn = inLargeRegions(handlers.Quota{Rate: 15, Burst: 300})
	listQuotaIn     = inLargeRegions(handlers.Quota{Rate: 5, Burst: 200})
)

func inLargeRegions(q handlers.Quota) map[string]handlers.Quota {
	return map[string]handlers.Quota{"us-east-1": q, "us-west-2": q, "eu-west-1": q}
}

// client is the part of the SDK that the handler calls.
type client interface {
	StopExecution(context.Context, *sdk.StopExecutionInput, ...func(*sdk.Options)) (*sdk.StopExecutionOutput, error)
	ListExecutions(context.Context, *sdk.ListExecutionsInput, ...func(*sdk.Options)) (*sdk.ListExecutionsOutput, error)
	DescribeExecution(context.Context, *sdk.DescribeExecutionInput, ...func(*sdk.Options)) (*sdk.DescribeExecutionOutput, error)
}

type handler struct {
	clients func(handlers.Location) client
}

// New returns the handler of stepfunctions:StopExecution. config gives the SDK configuration
// (region, credentials, endpoint) for a location; it is asked when a location is first called and
// must be safe for concurrent use. Whatever retries it configures are turned off.
func New(config func(handlers.Location) aws.Config) []handlers.Handler {
	return []handlers.Handler{&handler{clients: handlers.PerLocation(func(at handlers.Location) client {
		return sdk.NewFromConfig(config(at), func(o *sdk.Options) {
			// One attempt: the lane owns retries. An SDK that retried would spend quota which
			// the lane does not count, and hide the throttling that the lane slows for.
			o.Retryer = aws.NopRetryer{}
			o.RetryMaxAttempts = 1
		})
	})}}
}

// Action is stepfunctions:StopExecution.
func (h *handler) Action() handlers.Action { return "stepfunctions:StopExecution" }

// Fields are those of StopExecution. Its cause is the reason.
func (h *handler) Fields() []handlers.Field {
	return []handlers.Field{
		{Name: "executionArn", Kind: handlers.String, Required: true, ARN: handlers.IsARN, Text: handlers.Text{Min: 1, Max: maxARN}},
		{Name: "error", Kind: handlers.String, Text: handlers.Text{Max: maxError}},
		{Name: "cause", Kind: handlers.String, Reason: true, Text: handlers.Text{Max: maxCause}},
	}
}

// record is what a stop leaves in the execution for others to read: "" is not sent.
type record struct{ code, cause string }

// Targets returns the one execution. Where nobody gave a reason, no cause is sent: a stop
// without error and cause needs no permission for the key of an encrypted execution
// (API_StopExecution), and a constant is not worth that. An empty text says as little.
func (h *handler) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	r := record{code: p.Text("error"), cause: p.Text("cause")}
	if r.cause == handlers.DefaultReason {
		r.cause = ""
	}
	t := handlers.Target{ID: p.Text("executionArn"), Params: r}
	if r != (record{}) {
		t.Key = strconv.Quote(r.code) + strconv.Quote(r.cause)
		t.ReadKey = readRecord
	}
	return []handlers.Target{t}, nil
}

// readRecord is the ReadKey of targets whose record is to be read with their state.
const readRecord = "record"

// Cancel is StopExecution, for exactly one target.
func (h *handler) Cancel() handlers.Call[handlers.Answer] {
	return handlers.Call[handlers.Answer]{Operation: "StopExecution", Max: 1, Quota: stopQuota, QuotaIn: stopQuotaIn, Do: h.stop}
}

// Read is DescribeExecution, for exactly one target.
func (h *handler) Read() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "DescribeExecution", Max: 1, Quota: describeQuota, QuotaIn: describeQuotaIn, Do: h.describe}
}
