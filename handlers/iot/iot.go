// Package iot cancels AWS IoT job executions and whole jobs: iot:CancelJobExecution (one job
// on one thing) and iot:CancelJob (a job on all its things). It owns what IoT's answers mean;
// it knows no queue, no quota's tokens and no retry.
//
// IoT takes one target a call. Its success is enough: the target is accepted, and no state is
// read. A refusal by state or by version, or of a request as invalid, does not say how the
// target ended: its state is read, by DescribeJobExecution or DescribeJob, and judged
// (judge.go). execution.go is the one action, job.go the other. Proof for
// many executions of a job is read by ListJobExecutionsForJob.
package iot

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/smithy-go/middleware"
	"github.com/rescindhq/rescind/handlers"
)

// quota holds for each operation by itself: 10 calls a second (facts/aws.json:
// core.iot.quotas_per_account_region, an old table; today's default was not found). No burst
// is published: it is taken to be one second's worth.
var quota = handlers.Quota{Rate: 10, Burst: 10}

// Texts that both actions take (facts/aws.json: the fields of CancelJob and
// CancelJobExecution).
var (
	jobIDText = handlers.Text{
		Min: 1, Max: 64, Pattern: regexp.MustCompile(`[a-zA-Z0-9_-]+`),
		Rule: "must hold only A-Z a-z 0-9 _ -",
	}
	// visible is Java's [^\p{C}]+, which reads the same in Go: no control, format, private
	// or unassigned characters, line breaks among them.
	visible     = regexp.MustCompile(`[^\p{C}]+`)
	visibleRule = "must not hold control characters, line breaks or other invisible characters"
)

// client is the part of the SDK that the handlers call.
type client interface {
	CancelJobExecution(context.Context, *sdk.CancelJobExecutionInput, ...func(*sdk.Options)) (*sdk.CancelJobExecutionOutput, error)
	ListJobExecutionsForJob(context.Context, *sdk.ListJobExecutionsForJobInput, ...func(*sdk.Options)) (*sdk.ListJobExecutionsForJobOutput, error)
	DescribeJobExecution(context.Context, *sdk.DescribeJobExecutionInput, ...func(*sdk.Options)) (*sdk.DescribeJobExecutionOutput, error)
	CancelJob(context.Context, *sdk.CancelJobInput, ...func(*sdk.Options)) (*sdk.CancelJobOutput, error)
	DescribeJob(context.Context, *sdk.DescribeJobInput, ...func(*sdk.Options)) (*sdk.DescribeJobOutput, error)
}

// New returns the handlers of iot:CancelJobExecution and iot:CancelJob. config gives the SDK
// configuration (region, credentials, endpoint) for a location; it is asked when a location is first
// called and must be safe for concurrent use. Whatever retries it configures are turned off.
func New(config func(handlers.Location) aws.Config) []handlers.Handler {
	clients := handlers.PerLocation(func(at handlers.Location) client {
		return sdk.NewFromConfig(config(at), func(o *sdk.Options) {
			// One attempt: the lane owns retries.
			o.Retryer = aws.NopRetryer{}
			o.RetryMaxAttempts = 1
		})
	})
	return []handlers.Handler{&executionHandler{clients}, &jobHandler{clients}}
}

// codeVersion refuses a call whose expectedVersion is not that of the execution.
const codeVersion = "VersionConflictException"

// codes are IoT's own (facts/aws.json: core.iot.operations). ThrottlingException, which IoT
// answers with 400 or 429, means the same from every service.
var codes = handlers.Codes{
	"InvalidStateTransitionException": handlers.Unsettled,
	"ResourceNotFoundException":       handlers.NoSuchTarget,
	codeVersion:                       handlers.VersionMismatch,
	// CancelJob's 410, "A limit has been exceeded": which limit is not documented, and nothing
	// in a cancel can break one but its rate; aws.json lists it among the throttle codes. It
	// costs time, and if it does not pass, RESCIND_GIVE_UP ends the command.
	"LimitExceededException": handlers.Throttled,
}

// cancelCodes are those of the cancelling calls. The fields of a request were all checked before
// it was made, so that its InvalidRequestException may well be a refusal by state, which
// CancelJob documents none of, and CancelJobExecution one: the state tells.
var cancelCodes = func() handlers.Codes {
	c := maps.Clone(codes)
	c["InvalidRequestException"] = handlers.Unsettled
	return c
}()

// refused is the answer to a cancelling call that failed.
func refused(err error) handlers.Answer { return handlers.Refusal(handlers.Classify(err, cancelCodes)) }

// unread is the reading of a call that failed; that IoT does not know the target is not a
// failure.
func unread(err error) handlers.Reading {
	e, id := handlers.Classify(err, codes)
	if e.Class == handlers.NoSuchTarget {
		e = nil
	}
	return handlers.Reading{Err: e, RequestID: id}
}

// read is the reading of a state. An answer without one is none.
func read(state string, metadata middleware.Metadata) handlers.Reading {
	r := handlers.Reading{Found: state != "", State: state, RequestID: requestID(metadata)}
	if !r.Found {
		r.Err = handlers.NoAnswer("IoT's answer has no status")
	}
	return r
}

func requestID(metadata middleware.Metadata) string {
	id, _ := awsmiddleware.GetRequestIDMetadata(metadata)
	return id
}

// key is what a request says besides its target's name: equal requests, equal keys.
func key(request any) (string, error) {
	b, err := json.Marshal(request) // sorts the keys of maps
	if err != nil {
		return "", fmt.Errorf("writing a request's key: %w", err)
	}
	return string(b), nil
}
