package batch

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/rescindhq/rescind/handlers"
)

// stop makes one bulk call for jobs of one reason.
type stop func(ctx context.Context, c client, jobs []string, reason string) (bulk, error)

// bulk is what CancelJobs and TerminateJobs both answer.
type bulk struct {
	taken     []string
	refused   []refusal
	requestID string
}

// refusal is one item of a bulk answer's errors.
type refusal struct{ job, code, message *string }

func cancelJobs(ctx context.Context, c client, jobs []string, reason string) (bulk, error) {
	out, err := c.CancelJobs(ctx, &sdk.CancelJobsInput{Jobs: jobs, Reason: &reason})
	if err != nil {
		return bulk{}, err
	}
	b := bulk{taken: out.Successful}
	b.requestID, _ = middleware.GetRequestIDMetadata(out.ResultMetadata)
	for _, e := range out.Errors {
		b.refused = append(b.refused, refusal{e.Job, e.Code, e.Message})
	}
	return b, nil
}

func terminateJobs(ctx context.Context, c client, jobs []string, reason string) (bulk, error) {
	out, err := c.TerminateJobs(ctx, &sdk.TerminateJobsInput{Jobs: jobs, Reason: &reason})
	if err != nil {
		return bulk{}, err
	}
	b := bulk{taken: out.Successful}
	b.requestID, _ = middleware.GetRequestIDMetadata(out.ResultMetadata)
	for _, e := range out.Errors {
		b.refused = append(b.refused, refusal{e.Job, e.Code, e.Message})
	}
	return b, nil
}

// Codes of a request that was refused as a whole: Batch does not say which job was at fault.
var wholeCodes = handlers.Codes{
	"ClientException":     handlers.Refused,
	"ValidationException": handlers.Refused,
}

// Codes of one job's refusal inside a 200 (facts/aws.json: CancelJobs.response). Those that
// are not here mean the same as from every service.
var itemCodes = handlers.Codes{
	"ClientException":     handlers.Unsettled,
	"ValidationException": handlers.Unsettled,
}

func (h *handler) cancel(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Answer {
	b, err := h.stop(ctx, h.clients(at), handlers.IDs(targets), targets[0].Key)
	if err != nil {
		e, id := classify(err)
		return handlers.Fill(len(targets), handlers.Refusal(e, id))
	}
	// By job and not by position: Batch promises no order.
	taken := make(said[bool], len(b.taken))
	for _, job := range b.taken {
		taken.put(job, true)
	}
	refusals := make(said[*handlers.Error], len(b.refused))
	for _, r := range b.refused {
		refusals.put(aws.ToString(r.job), itemError(r))
	}
	answers := make([]handlers.Answer, len(targets))
	for i, t := range targets {
		switch e := refusals.of(t.ID); {
		case e != nil:
			// Rules over a success that stands beside it: to ask again costs a call, to
			// believe the success could report what never happened.
			answers[i] = handlers.Refusal(e, b.requestID)
		case taken.of(t.ID):
			answers[i] = handlers.Answer{RequestID: b.requestID}
		default:
			// The request arrived, and what it did to this job nobody knows: the same as a
			// job whose answer was lost on the way.
			answers[i] = handlers.Refusal(handlers.NoAnswer("Batch's answer does not name the job"), b.requestID)
		}
	}
	return answers
}

func itemError(r refusal) *handlers.Error {
	e := &handlers.Error{Code: aws.ToString(r.code), Message: aws.ToString(r.message)}
	e.Class = handlers.ClassOf(e.Code, itemCodes, 0)
	if e.Class == handlers.Final {
		// A code that is not documented does not say how the job ended; its state does.
		e.Class = handlers.Unsettled
	}
	return e
}

// classify is the class of a request that failed as a whole.
func classify(err error) (*handlers.Error, string) {
	e, id := handlers.Classify(err, wholeCodes)
	if e.Class == handlers.Final {
		// A refusal that is not documented may be one job's fault like one that is.
		e.Class = handlers.Refused
	}
	return e, id
}

// said is what an answer says of jobs, by the name it gives them. A job may be named by its id
// or by its ARN, and an answer may name it otherwise than the request did.
type said[V any] map[string]V

func (s said[V]) put(job string, v V) {
	s[job] = v
	if id := bare(job); id != job {
		if _, named := s[id]; !named {
			s[id] = v
		}
	}
}

// of is what was said of a job; the zero value where nothing was.
func (s said[V]) of(job string) V {
	if v, ok := s[job]; ok {
		return v
	}
	return s[bare(job)]
}

// bare is a job's id without the ARN around it ("arn:…:job/ID"). Nothing else is taken apart:
// a job id is whatever the sender wrote, and "x/ID" is not the job ID.
func bare(job string) string {
	if !strings.HasPrefix(job, "arn:") {
		return job
	}
	if i := strings.LastIndex(job, ":job/"); i >= 0 {
		return job[i+len(":job/"):]
	}
	return job
}
