package iot

import (
	"context"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/rescindhq/rescind/handlers"
)

// jobHandler is iot:CancelJob. Its target is the job: one that is CANCELED goes on cancelling
// its executions, about a thousand a minute (facts/aws.json: core.iot.batch.whole_job), and
// without force leaves those that are IN_PROGRESS to their things.
type jobHandler struct {
	clients func(handlers.Location) client
}

// job is a target's Params: the request.
type job struct {
	id string
	jobOptions
}

// jobOptions is what a request says besides which job it means, and its Key.
type jobOptions struct {
	Force      bool   `json:"force"`
	ReasonCode string `json:"reasonCode"` // "": none
	Comment    string `json:"comment"`    // "": none
}

// Action is iot:CancelJob.
func (h *jobHandler) Action() handlers.Action { return "iot:CancelJob" }

// Fields are those of the API. The comment is its reason.
func (h *jobHandler) Fields() []handlers.Field {
	return []handlers.Field{
		{Name: "jobId", Kind: handlers.String, Required: true, Text: jobIDText},
		{Name: "reasonCode", Kind: handlers.String, Text: handlers.Text{
			// Java's \p{Upper} and \p{Digit} are ASCII's.
			Max: 128, Pattern: regexp.MustCompile(`[A-Z0-9_]+`), Rule: "must hold A-Z 0-9 _, one at least, and nothing else",
		}},
		{Name: "comment", Kind: handlers.String, Reason: true, Text: handlers.Text{Max: 2028, Pattern: visible, Rule: visibleRule + ", nor be empty"}},
		{Name: "force", Kind: handlers.Boolean},
	}
}

// Targets returns the one job. Requests that say the same of it share a call.
func (h *jobHandler) Targets(p handlers.Parameters) ([]handlers.Target, error) {
	j := job{id: p.Text("jobId"), jobOptions: jobOptions{
		Force: p.Flag("force"), ReasonCode: p.Text("reasonCode"), Comment: p.Text("comment"),
	}}
	t, err := j.target()
	return []handlers.Target{t}, err
}

func (j job) target() (handlers.Target, error) {
	k, err := key(j.jobOptions)
	return handlers.Target{ID: j.id, Key: k, Params: j}, err
}

// Stronger is force.
func (h *jobHandler) Stronger(t handlers.Target) (handlers.Stronger, bool) {
	j := t.Params.(job)
	isForced := j.Force
	j.Force = true
	stronger, err := j.target()
	return handlers.Stronger{Action: h.Action(), Target: stronger, Name: "CancelJob with force"}, !isForced && err == nil
}

// OnlyStronger is never: a job is CANCELED without force too.
func (h *jobHandler) OnlyStronger(handlers.Reading) bool { return false }

// Cancel is CancelJob.
func (h *jobHandler) Cancel() handlers.Call[handlers.Answer] {
	return handlers.Call[handlers.Answer]{Operation: "CancelJob", Max: 1, Quota: quota, Do: handlers.One(h.cancel)}
}

// Read is DescribeJob.
func (h *jobHandler) Read() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "DescribeJob", Max: 1, Quota: quota, Do: handlers.One(h.describe)}
}

func (h *jobHandler) cancel(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Answer {
	j := t.Params.(job)
	in := &sdk.CancelJobInput{JobId: aws.String(j.id), Force: j.Force}
	if j.ReasonCode != "" {
		in.ReasonCode = aws.String(j.ReasonCode)
	}
	if j.Comment != "" {
		in.Comment = aws.String(j.Comment)
	}
	out, err := h.clients(at).CancelJob(ctx, in)
	if err != nil {
		return refused(err)
	}
	a := handlers.Answer{Status: handlers.Accepted, RequestID: requestID(out.ResultMetadata)}
	if aws.ToString(out.JobId) == "" {
		a.Status, a.Err = "", handlers.NoAnswer("IoT's answer does not name the job")
	}
	return a
}

func (h *jobHandler) describe(ctx context.Context, at handlers.Location, t handlers.Target) handlers.Reading {
	out, err := h.clients(at).DescribeJob(ctx, &sdk.DescribeJobInput{JobId: aws.String(t.ID)})
	if err != nil {
		return unread(err)
	}
	var state string
	if out.Job != nil {
		state = string(out.Job.Status)
	}
	return read(state, out.ResultMetadata)
}

// Judge says what a job's state shows.
func (h *jobHandler) Judge(_ handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	return judge(jobStanding(r.State), tried, r)
}

// Predict is by the job's own state: what its executions come to is not said.
func (h *jobHandler) Predict(t handlers.Target, r handlers.Reading) handlers.Answer {
	return handlers.Predict(h, t, r, string(types.JobStatusInProgress), string(types.JobStatusScheduled))
}

func jobStanding(state string) standing {
	switch types.JobStatus(state) {
	case types.JobStatusInProgress, types.JobStatusScheduled:
		return open
	case types.JobStatusCanceled:
		return cancelled
	case types.JobStatusCompleted:
		return ended
	case types.JobStatusDeletionInProgress:
		// To cancel such a job is an error (API_DeleteJob), and how its executions end is not
		// documented.
		return beyond
	default: // A state that IoT added since.
		return open
	}
}
