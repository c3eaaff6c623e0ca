package batch

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/rescindhq/rescind/handlers"
)

// detail is what a reading tells beside the state.
type detail struct {
	// cancelled and terminated: Batch took a request of that kind, from whomever.
	cancelled, terminated bool
	// reason is Batch's statusReason; of a job that was stopped, the reason that was sent.
	reason string
	// array: it is the parent of an array job.
	array bool
}

func (h *handler) describe(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Reading {
	out, err := h.clients(at).DescribeJobs(ctx, &sdk.DescribeJobsInput{Jobs: handlers.IDs(targets)})
	if err != nil {
		e, id := classify(err)
		return handlers.Fill(len(targets), handlers.Reading{Err: e, RequestID: id})
	}
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	if out.Jobs == nil {
		// Not the empty list by which Batch says that it knows none of them.
		return handlers.Fill(len(targets), handlers.Reading{Err: handlers.NoAnswer("Batch's answer has no list of jobs"), RequestID: id})
	}
	jobs := make(said[handlers.Reading], len(out.Jobs))
	for _, j := range out.Jobs {
		r := handlers.Reading{Found: true, State: string(j.Status), RequestID: id, Detail: detail{
			cancelled:  aws.ToBool(j.IsCancelled),
			terminated: aws.ToBool(j.IsTerminated),
			reason:     aws.ToString(j.StatusReason),
			array:      j.ArrayProperties != nil && aws.ToInt32(j.ArrayProperties.Size) > 0,
		}}
		jobs.put(aws.ToString(j.JobId), r)
	}
	readings := make([]handlers.Reading, len(targets))
	for i, t := range targets {
		r := jobs.of(t.ID)
		r.RequestID = id
		readings[i] = r
	}
	return readings
}
