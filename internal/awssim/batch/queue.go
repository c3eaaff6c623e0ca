package batch

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxQueues is the most queues that one DescribeJobQueues names, and its largest page (API_DescribeJobQueues).
const maxQueues = 100

type (
	queuesInput struct {
		JobQueues  []string `json:"jobQueues"`
		MaxResults int      `json:"maxResults"`
		NextToken  string   `json:"nextToken"`
	}
	queuesOutput struct {
		JobQueues []queueDetail `json:"jobQueues"`
		NextToken string        `json:"nextToken,omitempty"`
	}
	queueDetail struct {
		Name     string     `json:"jobQueueName"`
		Arn      string     `json:"jobQueueArn"`
		State    string     `json:"state"`
		Status   string     `json:"status"`
		Priority int        `json:"priority"`
		Order    []struct{} `json:"computeEnvironmentOrder"`
	}
	updateQueueInput struct {
		JobQueue string `json:"jobQueue"`
		State    string `json:"state"`
	}
	updateQueueOutput struct {
		Name string `json:"jobQueueName"`
		Arn  string `json:"jobQueueArn"`
	}
)

// queueName is the name of a queue that is given by name or ARN.
func queueName(queue string) string { return queue[strings.LastIndex(queue, "/")+1:] }

// describeQueues returns the queues that are named, or all. A queue is there once a job names it. One that is not known is
// left out, which is not documented.
func (b *Batch) describeQueues(_ context.Context, c *service.Call, in *queuesInput) (*queuesOutput, error) {
	if len(in.JobQueues) > maxQueues || in.MaxResults < 0 || in.MaxResults > maxQueues {
		return nil, refuse("jobQueues and maxResults must be at most %d", maxQueues)
	}
	from, err := strconv.Atoi("0" + in.NextToken)
	if err != nil {
		return nil, refuse("nextToken is not one of ours")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, most := location{c.Account, c.Region}, cmp.Or(in.MaxResults, maxQueues)
	out := &queuesOutput{JobQueues: []queueDetail{}}
	for i := from; i < len(b.queues[at]); i++ {
		name := b.queues[at][i]
		if len(in.JobQueues) > 0 && !slices.ContainsFunc(in.JobQueues, func(q string) bool { return queueName(q) == name }) {
			continue
		}
		if len(out.JobQueues) == most {
			out.NextToken = strconv.Itoa(i)
			break
		}
		state := "ENABLED"
		if b.disabled[queueKey{at, name}] {
			state = "DISABLED"
		}
		out.JobQueues = append(out.JobQueues, queueDetail{
			Name: name, Arn: at.queueARN(name), State: state, Status: "VALID", Priority: 1, Order: []struct{}{},
		})
	}
	return out, nil
}

// updateQueue sets whether a queue takes jobs. Jobs that are in it go on (API_UpdateJobQueue).
func (b *Batch) updateQueue(_ context.Context, c *service.Call, in *updateQueueInput) (*updateQueueOutput, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, name := location{c.Account, c.Region}, queueName(in.JobQueue)
	switch {
	case !b.known[queueKey{at, name}]:
		return nil, refuse("job queue %s does not exist", in.JobQueue)
	case in.State == "ENABLED" || in.State == "DISABLED":
		b.disabled[queueKey{at, name}] = in.State == "DISABLED"
	case in.State != "":
		return nil, refuse("state must be ENABLED or DISABLED")
	}
	return &updateQueueOutput{Name: name, Arn: at.queueARN(name)}, nil
}

func (at location) queueARN(name string) string {
	return "arn:aws:batch:" + at.region + ":" + at.account + ":job-queue/" + name
}
