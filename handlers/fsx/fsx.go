// Package fsx cancels data repository tasks of Amazon FSx for Lustre:
// fsx:CancelDataRepositoryTask. It owns what FSx's answers mean; it knows no queue, no quota
// but a cautious guess, and no retry.
//
// A call takes one task and answers with its lifecycle, which is enough. A task that had ended
// is refused in words that do not say how: DescribeDataRepositoryTasks tells, 50 tasks a call
// (judge.go).
package fsx

import (
	"context"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/rescindhq/rescind/handlers"
)

// maxDescribe is the most task ids in one DescribeDataRepositoryTasks (facts/aws.json:
// core.fsx.batch.describe_ids_max).
const maxDescribe = 50

// cautious is where both calls start: AWS publishes no rate for them (facts/aws.json:
// core.fsx.quotas_per_account_region). The number is a guess with no source: low, and for the
// lane to slow further where it is throttled; RESCIND_QUOTAS raises it.
var cautious = handlers.Quota{Rate: 5, Burst: 5}

// client is the part of the SDK that the handler calls.
type client interface {
	CancelDataRepositoryTask(context.Context, *sdk.CancelDataRepositoryTaskInput, ...func(*sdk.Options)) (*sdk.CancelDataRepositoryTaskOutput, error)
	DescribeDataRepositoryTasks(context.Context, *sdk.DescribeDataRepositoryTasksInput, ...func(*sdk.Options)) (*sdk.DescribeDataRepositoryTasksOutput, error)
}

type handler struct {
	clients func(handlers.Location) client
}

// New returns the handler of fsx:CancelDataRepositoryTask. config gives the SDK configuration
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

// Action is fsx:CancelDataRepositoryTask.
func (h *handler) Action() handlers.Action { return "fsx:CancelDataRepositoryTask" }

// Fields are those of CancelDataRepositoryTask.
func (h *handler) Fields() []handlers.Field {
	return []handlers.Field{{Name: "TaskId", Kind: handlers.String, Required: true, Text: handlers.Text{
		Min: 12, Max: 128,
		Pattern: regexp.MustCompile(`^(task-[0-9a-f]{17,})$`),
		Rule:    "must be task- and at least 17 of 0-9 a-f",
	}}}
}

// Targets returns the one task.
func (h *handler) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	return []handlers.Target{{ID: p.Text("TaskId")}}, nil
}

// Cancel is CancelDataRepositoryTask, for exactly one target.
func (h *handler) Cancel() handlers.Call[handlers.Answer] {
	return handlers.Call[handlers.Answer]{Operation: "CancelDataRepositoryTask", Max: 1, Quota: cautious, Do: h.cancel}
}

// Read is DescribeDataRepositoryTasks, in which all tasks of a location may share a request.
func (h *handler) Read() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "DescribeDataRepositoryTasks", Max: maxDescribe, Quota: cautious, Do: h.describe}
}
