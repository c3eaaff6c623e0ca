package iot

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/rescindhq/rescind/handlers"
)

// maxDetails is the most pairs of statusDetails (facts/aws.json: core.iot.limits).
const maxDetails = 10

// maxListed is the most executions on a page of ListJobExecutionsForJob (facts/aws.json).
const maxListed = 250

// executionHandler is iot:CancelJobExecution.
type executionHandler struct {
	clients func(handlers.Location) client
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
	t, err := e.target()
	return []handlers.Target{t}, err
}

func (e execution) target() (handlers.Target, error) {
	k, err := key(e.execOptions)
	return handlers.Target{ID: e.thing + "/" + e.job, Key: k, Params: e}, err
}

// Stronger is force, of the version that the command expects.
func (h *executionHandler) Stronger(t handlers.Target) (handlers.Stronger, bool) {
	e := t.Params.(execution)
	isForced := e.Force
	e.Force = true
	stronger, err := e.target()
	return handlers.Stronger{Action: h.Action(), Target: stronger, Name: "CancelJobExecution with force"}, !isForced && err == nil
}

// OnlyStronger: what is IN_PROGRESS takes force.
func (h *executionHandler) OnlyStronger(r handlers.Reading) bool {
	return types.JobExecutionStatus(r.State) == types.JobExecutionStatusInProgress
}

// Cancel is CancelJobExecution.
func (h *executionHandler) Cancel() handlers.Call[handlers.Answer] {
	return handlers.Call[handlers.Answer]{Operation: "CancelJobExecution", Max: 1, Quota: quota, Do: handlers.One(h.cancel)}
}

// Read is DescribeJobExecution.
func (h *executionHandler) Read() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "DescribeJobExecution", Max: 1, Quota: quota, Do: handlers.One(h.describe)}
}

func (h *executionHandler) cancel(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Answer {
	e := t.Params.(execution)
	out, err := h.clients(at).CancelJobExecution(ctx, &sdk.CancelJobExecutionInput{
		ThingName: aws.String(e.thing), JobId: aws.String(e.job),
		Force: e.Force, ExpectedVersion: e.Version, StatusDetails: e.Details,
	})
	if err != nil {
		return refused(err)
	}
	return handlers.Taken(handlers.Accepted, requestID(out.ResultMetadata))
}

func (h *executionHandler) describe(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	e := t.Params.(execution)
	out, err := h.clients(at).DescribeJobExecution(ctx, &sdk.DescribeJobExecutionInput{
		ThingName: aws.String(e.thing), JobId: aws.String(e.job),
	})
	if err != nil {
		return unread(err)
	}
	if out.Execution == nil {
		return read("", out.ResultMetadata)
	}
	r := read(string(out.Execution.Status), out.ResultMetadata)
	r.Detail = version(out.Execution.VersionNumber)
	return r
}

// version is an execution's, and what a reading of it tells beside the state.
type version int64

// Judge says what an execution's state shows (facts/aws.json: core.iot.cancellable and
// core.iot.terminal).
func (h *executionHandler) Judge(t handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	return judge(t.Params.(execution).standing(r.State), tried, r)
}

// Predict says conflict of an execution that a call with another expectedVersion would stop.
func (h *executionHandler) Predict(t handlers.Target, r handlers.Reading) handlers.Answer {
	a := handlers.Predict(h, t, r, string(types.JobExecutionStatusQueued), string(types.JobExecutionStatusInProgress))
	e, is := t.Params.(execution).Version, version(0)
	if v, known := r.Detail.(version); known {
		is = v
	}
	switch {
	case e == nil || int64(is) == *e:
	case a.Status == handlers.NotCancellable:
		return handlers.NoPrediction(r, "the execution has not the expectedVersion either, and IoT does not document which of the two it looks at first")
	case a.Status == handlers.Accepted:
		a = h.Judge(t, handlers.Tried{Refusal: &handlers.Error{
			Class: handlers.VersionMismatch, Code: codeVersion, Message: fmt.Sprintf("expectedVersion is %d, and the execution has version %d", *e, is),
		}}, r)
	}
	return a
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

// ListKey is the job.
func (h *executionHandler) ListKey(t handlers.Target) string { return t.Params.(execution).job }

// List is ListJobExecutionsForJob, of those that are CANCELED: 250 a page.
func (h *executionHandler) List() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "ListJobExecutionsForJob", Max: 1, Quota: quota, Do: handlers.One(h.list)}
}

func (h *executionHandler) list(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	listing := t.Params.(handlers.Listing)
	job := listing.Of.Params.(execution).job
	in := &sdk.ListJobExecutionsForJobInput{JobId: &job, Status: types.JobExecutionStatusCanceled, MaxResults: aws.Int32(maxListed)}
	if listing.Page != "" {
		in.NextToken = &listing.Page
	}
	out, err := h.clients(at).ListJobExecutionsForJob(ctx, in)
	if err != nil {
		e, id := handlers.Classify(err, codes)
		return handlers.Reading{Err: e, RequestID: id}
	}
	id := requestID(out.ResultMetadata)
	page := handlers.Page{Readings: make(map[string]handlers.Reading, len(out.ExecutionSummaries)), Next: aws.ToString(out.NextToken)}
	for _, each := range out.ExecutionSummaries {
		// arn:aws:iot:REGION:ACCOUNT:thing/NAME
		_, thing, _ := strings.Cut(aws.ToString(each.ThingArn), ":thing/")
		if s := each.JobExecutionSummary; s != nil && s.Status != "" {
			page.Readings[thing+"/"+job] = handlers.Reading{Found: true, State: string(s.Status), RequestID: id}
		}
	}
	return handlers.Reading{Found: true, Detail: page, RequestID: id}
}
