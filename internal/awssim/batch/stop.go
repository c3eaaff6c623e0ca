package batch

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/internal/awssim/service"
	"github.com/rescindhq/rescind/internal/facts"
)

var (
	facet = facts.Core()["batch"]
	// maxStop and maxDescribe are the most ids of a bulk call and of DescribeJobs.
	maxStop     = facet.Batch["cancel_max"]
	maxDescribe = facet.Batch["describe_ids_max"]
)

// maxReason is the longest reason, in characters (API_CancelJobs; for the single calls AWS
// says the same).
const maxReason = 1024

type (
	stopInput struct {
		JobID  string `json:"jobId"`
		Reason string `json:"reason"`
	}
	bulkInput struct {
		Jobs   []string `json:"jobs"`
		Reason string   `json:"reason"`
	}
	bulkOutput struct {
		Successful []string    `json:"successful"`
		Errors     []bulkError `json:"errors"`
	}
	bulkError struct {
		Job     string `json:"job"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
)

func oneItem(in *stopInput) []string   { return []string{in.JobID} }
func bulkItems(in *bulkInput) []string { return in.Jobs }

func checkReason(reason string) error {
	if reason == "" {
		return refuse("reason must not be empty")
	}
	if utf8.RuneCountInString(reason) > maxReason {
		return refuse("reason must be of at most %d characters", maxReason)
	}
	return nil
}

// nothing is answered as {}, as the samples of API_CancelJob and API_TerminateJob show it.
type nothing struct{}

// stopOne is CancelJob or TerminateJob. It succeeds whatever the job's state is, and for ids
// that nobody knows (facts/aws.json: batch.second_cancel).
func (b *Batch) stopOne(a action) func(context.Context, *service.Call, *stopInput) (*nothing, error) {
	return func(_ context.Context, c *service.Call, in *stopInput) (*nothing, error) {
		if in.JobID == "" {
			return nil, refuse("jobId must not be empty")
		}
		if err := checkReason(in.Reason); err != nil {
			return nil, err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.stopLocked(a, c, in.JobID, in.Reason)
		return &nothing{}, nil
	}
}

// stopBulk is CancelJobs or TerminateJobs: the same for up to 50 ids, each with an answer of
// its own. What becomes of an id that stands twice is not documented: here it is answered
// twice.
func (b *Batch) stopBulk(a action) func(context.Context, *service.Call, *bulkInput) (*bulkOutput, error) {
	return func(_ context.Context, c *service.Call, in *bulkInput) (*bulkOutput, error) {
		if len(in.Jobs) == 0 || len(in.Jobs) > maxStop {
			return nil, refuse("jobs must hold 1 to %d job ids, not %d", maxStop, len(in.Jobs))
		}
		if err := checkReason(in.Reason); err != nil {
			return nil, err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		out := &bulkOutput{Successful: []string{}, Errors: []bulkError{}}
		for _, id := range in.Jobs {
			failure := c.Fails(id)
			if id == "" { // which ids are malformed is not documented; this one must be
				failure = service.Refuse("ValidationException", "A job identifier in the request is malformed or isn't valid.")
			}
			if failure != nil {
				c.FailedItems++
				out.Errors = append(out.Errors, bulkError{id, failure.Code, failure.Message})
				continue
			}
			b.stopLocked(a, c, id, in.Reason)
			out.Successful = append(out.Successful, id)
		}
		return out, nil
	}
}

func (b *Batch) stopLocked(a action, c *service.Call, id, reason string) {
	if j := b.jobs[key{location{c.Account, c.Region}, id}]; j != nil {
		j.stop(a, reason, b.options.StopAfter+c.Slow(id), time.Now())
	}
}
