// Package batch cancels and terminates AWS Batch jobs: batch:CancelJob and
// batch:TerminateJob. It owns what Batch's answers mean; it knows no queue, no quota and no
// retry.
//
// Both actions go out through Batch's bulk calls, CancelJobs and TerminateJobs, which take
// jobs of one reason. An answer of HTTP 200 proves nothing about a job (jobs that cannot be
// found count as processed), so that a job which was taken comes back without a status: its
// state is read by DescribeJobs and judged (judge.go).
package batch

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"
	"github.com/rescindhq/rescind/handlers"
)

// Bounds of Batch's own (facts/aws.json: core.batch.batch, and the fields of CancelJobs and
// TerminateJobs).
const (
	maxCancel   = 50   // job ids in one CancelJobs or TerminateJobs
	maxDescribe = 100  // job ids in one DescribeJobs
	maxReason   = 1024 // characters of the bulk calls' reason; the singular calls document none
)

// client is the part of the SDK that the handlers call.
type client interface {
	CancelJobs(context.Context, *sdk.CancelJobsInput, ...func(*sdk.Options)) (*sdk.CancelJobsOutput, error)
	TerminateJobs(context.Context, *sdk.TerminateJobsInput, ...func(*sdk.Options)) (*sdk.TerminateJobsOutput, error)
	DescribeJobs(context.Context, *sdk.DescribeJobsInput, ...func(*sdk.Options)) (*sdk.DescribeJobsOutput, error)
}

// quota is what all Batch API calls of an account and region share: 50 a second, fixed
// (facts/aws.json, quotas_per_account_region.ALL_API). No burst is published: it is taken to be
// one second's worth.
var quota = handlers.Quota{Rate: 50, Burst: 50}

// handler is one of the two actions.
type handler struct {
	action    handlers.Action
	operation string
	stop      stop
	// stopsRunning: the action also stops jobs that are STARTING or RUNNING.
	stopsRunning bool
	clients      func(handlers.Location) client
}

// New returns the handlers of batch:CancelJob and batch:TerminateJob. config gives the SDK
// configuration (region, credentials, endpoint) for a location; it is asked when a location is first
// called and must be safe for concurrent use. Whatever retries it configures are turned off.
func New(config func(handlers.Location) aws.Config) []handlers.Handler {
	clients := handlers.PerLocation(func(at handlers.Location) client {
		return sdk.NewFromConfig(config(at), func(o *sdk.Options) {
			// One attempt: the lane owns retries. An SDK that retried would spend quota which
			// the lane does not count, and hide the throttling that the lane slows for.
			o.Retryer = aws.NopRetryer{}
			o.RetryMaxAttempts = 1
		})
	})
	return []handlers.Handler{
		&handler{action: "batch:CancelJob", operation: "CancelJobs", stop: cancelJobs, clients: clients},
		&handler{action: "batch:TerminateJob", operation: "TerminateJobs", stop: terminateJobs, stopsRunning: true, clients: clients},
	}
}

// Action is batch:CancelJob or batch:TerminateJob.
func (h *handler) Action() handlers.Action { return h.action }

// Fields are the same for both actions.
func (h *handler) Fields() []handlers.Field {
	return []handlers.Field{
		// Batch documents no form for job ids: only an empty one is surely wrong. Whether it takes ARNs
		// here is not documented either; one that is sent is not asked for elsewhere than it says.
		{Name: "jobId", Kind: handlers.String, Required: true, ARN: handlers.MayBeARN, Text: handlers.Text{Min: 1}},
		{Name: "reason", Kind: handlers.String, Reason: true, Text: handlers.Text{Max: maxReason}},
	}
}

// Targets returns the one job. Its reason is both its key, since a bulk call has one reason
// for all its jobs, and its Params: a FAILED job that records it was stopped by us.
func (h *handler) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	reason := p.Text("reason")
	return []handlers.Target{{ID: p.Text("jobId"), Key: reason, Params: reason}}, nil
}

// Cancel is the bulk call. It must be given at least one target.
func (h *handler) Cancel() handlers.Call[handlers.Answer] {
	return handlers.Call[handlers.Answer]{Operation: h.operation, Max: maxCancel, ServiceQuota: quota, Do: h.cancel}
}

// Read is DescribeJobs, for whose answer the reason does not matter: all jobs of a location may
// share a request.
func (h *handler) Read() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "DescribeJobs", Max: maxDescribe, ServiceQuota: quota, Do: h.describe}
}

// Stronger is TerminateJob.
func (h *handler) Stronger(t handlers.Target) (handlers.Stronger, bool) {
	return handlers.Stronger{Action: "batch:TerminateJob", Target: t, Name: "TerminateJob"}, !h.stopsRunning
}

// OnlyStronger: CancelJob does not stop what is STARTING or RUNNING.
func (h *handler) OnlyStronger(r handlers.Reading) bool {
	state := types.JobStatus(r.State)
	return state == types.JobStatusStarting || state == types.JobStatusRunning
}
