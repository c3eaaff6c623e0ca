package iot

import (
	"context"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/rescindhq/rescind/handlers"
)

// maxDetails is the most pairs of statusDetails (facts/aws.json: core.iot.limits).
const maxDetails = 10

// executionHandler is iot:CancelJobExecution.
type executionHandler struct {
	clients func(handlers.Place) client
}

// execution is a target's Params: the request.
type execution struct {
	thing, job string
	execOptions
}

// execOptions is what a request says besides which execution it means, and its Key. A nil
// Details leaves the execution's as they are, an empty one need not.
type execOptions struct {
	Force   bool              `json:"force"`
	Version *int64            `json:"expectedVersion"`
	Details map[string]string `json:"statusDetails"`
}

// Action is iot:CancelJobExecution.
func (h *executionHandler) Action() handlers.Action { return "iot:CancelJobExecution" }

// Fields are those of the API; the bounds of statusDetails stand on its page (CancelJobExecution,
// "Request Body").
func (h *executionHandler) Fields() []handlers.Field {
	return []handlers.Field{
		{Name: "thingName", Kind: handlers.String, Required: true, Text: handlers.Text{
			Min: 1, Max: 128, Pattern: regexp.MustCompile(`[a-zA-Z0-9:_-]+`),
			Rule: "must hold only A-Z a-z 0-9 : _ -",
		}},
		{Name: "jobId", Kind: handlers.String, Required: true, Text: jobIDText},
		{Name: "force", Kind: handlers.Boolean},
		{Name: "expectedVersion", Kind: handlers.Long},
		{
			Name: "statusDetails", Kind: handlers.StringMap, MaxItems: maxDetails,
			KeyText: handlers.Text{
				Min: 1, Max: 128, Pattern: regexp.MustCompile(`[a-zA-Z0-9:_-]+`),
				Rule: "must hold only A-Z a-z 0-9 : _ -",
			},
			Text: handlers.Text{Min: 1, Max: 1024, Pattern: visible, Rule: visibleRule},
		},
	}
}

// Targets returns the one execution, thingName/jobId: neither name can hold a slash. Requests
// that say the same of it share a call.
func (h *executionHandler) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	e := execution{thing: p.Text("thingName"), job: p.Text("jobId"), execOptions: execOptions{
		Force: p.Flag("force"), Details: p.Map("statusDetails"),
	}}
	if n, ok := p.Number("expectedVersion"); ok {
		e.Version = &n
	}
	k, err := key(e.execOptions)
	if err != nil {
		return nil, err
	}
	return []handlers.Target{{ID: e.thing + "/" + e.job, Key: k, Params: e}}, nil
}

// Cancel is CancelJobExecution.
func (h *executionHandler) Cancel() handlers.Call[handlers.Answer] {
	return handlers.Call[handlers.Answer]{Operation: "CancelJobExecution", Max: 1, Quota: quota, Do: handlers.One(h.cancel)}
}

// Read is DescribeJobExecution.
func (h *executionHandler) Read() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "DescribeJobExecution", Max: 1, Quota: quota, Do: handlers.One(h.describe)}
}

func (h *executionHandler) cancel(ctx context.Context, at handlers.Place, t handlers.Target) handlers.Answer {
	e := t.Params.(execution)
	out, err := h.clients(at).CancelJobExecution(ctx, &sdk.CancelJobExecutionInput{
		ThingName: aws.String(e.thing), JobId: aws.String(e.job),
		Force: e.Force, ExpectedVersion: e.Version, StatusDetails: e.Details,
	})
	if err != nil {
		return refused(err)
	}
	return handlers.Answer{Status: handlers.Accepted, RequestID: requestID(out.ResultMetadata)}
}

func (h *executionHandler) describe(ctx context.Context, at handlers.Place, t handlers.Target) handlers.Reading {
	e := t.Params.(execution)
	out, err := h.clients(at).DescribeJobExecution(ctx, &sdk.DescribeJobExecutionInput{
		ThingName: aws.String(e.thing), JobId: aws.String(e.job),
	})
	if err != nil {
		return unread(err)
	}
	var state string
	if out.Execution != nil {
		state = string(out.Execution.Status)
	}
	return read(state, out.ResultMetadata)
}

// Judge says what an execution's state shows (facts/aws.json: core.iot.cancellable and
// core.iot.terminal).
func (h *executionHandler) Judge(t handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	return judge(t.Params.(execution).standing(r.State), tried, r)
}

func (e execution) standing(state string) standing {
	switch types.JobExecutionStatus(state) {
	case types.JobExecutionStatusQueued:
		return open
	case types.JobExecutionStatusInProgress:
		if !e.Force {
			return beyond
		}
		return open
	case types.JobExecutionStatusCanceled:
		return cancelled
	case types.JobExecutionStatusSucceeded, types.JobExecutionStatusFailed, types.JobExecutionStatusTimedOut,
		types.JobExecutionStatusRejected, types.JobExecutionStatusRemoved:
		return ended
	default: // A state that IoT added since.
		return open
	}
}
