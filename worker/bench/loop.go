package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// loops is how many goroutines receive, cancel, publish and delete, each one after the other.
	loops = 64
	// receiveMost is the most that SQS gives, and takes, in one request; also SNS.
	receiveMost = 10
	// longPoll is the longest wait for a message that SQS knows, in seconds.
	longPoll = 20
	action   = "batch:CancelJob"
)

// request is a command, as much of it as a loop cares for.
type request struct {
	ID         string `json:"id"`
	Action     string `json:"action"`
	Parameters struct {
		JobID  string `json:"jobId"`
		Reason string `json:"reason"`
	} `json:"parameters"`
}

// event is what a loop publishes of a command: "accepted", since nothing was seen to stop, or
// "failed" and why.
type event struct {
	CommandID string `json:"commandId"`
	Action    string `json:"action"`
	JobID     string `json:"jobId"`
	Status    string `json:"status"`
	Error     string `json:"error,omitempty"`
}

func (r request) event(err error) event {
	e := event{CommandID: r.ID, Action: r.Action, JobID: r.Parameters.JobID, Status: "accepted"}
	if err != nil {
		e.Status, e.Error = "failed", err.Error()
	}
	return e
}

func decode(body string) (r request, err error) {
	if err = json.Unmarshal([]byte(body), &r); err == nil && (r.Action != action || r.Parameters.JobID == "") {
		err = fmt.Errorf("command %q is not a %s with a jobId", r.ID, action)
	}
	return r, err
}

// loop is the worker that one writes by hand: no ledger, no lease, no pacing, the SDK's own
// retries. A message that something went wrong with comes back when its visibility ends.
type loop struct {
	sqs    *sqs.Client
	sns    *sns.Client
	batch  *batch.Client
	queue  string
	topic  string
	cancel func(*loop, context.Context, []request) []error
}

func prepareLoop(cancel func(*loop, context.Context, []request) []error) func(context.Context, assignment) (func(context.Context) error, error) {
	return func(_ context.Context, a assignment) (func(context.Context) error, error) {
		cfg := a.config()
		l := &loop{
			sqs: sqs.NewFromConfig(cfg), sns: sns.NewFromConfig(cfg), batch: batch.NewFromConfig(cfg),
			queue: a.Place.QueueURL, topic: a.Place.TopicARN, cancel: cancel,
		}
		return l.drain, nil
	}
}

func (l *loop) drain(ctx context.Context) error {
	var running sync.WaitGroup
	for range loops {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := l.once(ctx); err != nil && ctx.Err() == nil {
					log.Print(err)
					time.Sleep(time.Second)
				}
			}
		})
	}
	running.Wait()
	return nil
}

// once takes up to ten commands to their end.
func (l *loop) once(ctx context.Context) error {
	got, err := l.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &l.queue, MaxNumberOfMessages: receiveMost, WaitTimeSeconds: longPoll,
	})
	if err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	ctx = context.WithoutCancel(ctx) // what was taken is finished
	requests := make([]request, 0, len(got.Messages))
	messages := make([]sqstypes.Message, 0, len(got.Messages))
	for _, m := range got.Messages {
		r, err := decode(aws.ToString(m.Body))
		if err != nil {
			log.Print(err)
			continue
		}
		requests, messages = append(requests, r), append(messages, m)
	}
	if len(requests) == 0 {
		return nil
	}
	published, err := l.publish(ctx, requests, l.cancel(l, ctx, requests))
	if err != nil {
		return err
	}
	return l.delete(ctx, messages, published)
}

// cancelSingly makes one call a command.
func (l *loop) cancelSingly(ctx context.Context, requests []request) []error {
	errs := make([]error, len(requests))
	for i, r := range requests {
		_, errs[i] = l.batch.CancelJob(ctx, &batch.CancelJobInput{JobId: &r.Parameters.JobID, Reason: &r.Parameters.Reason})
	}
	return errs
}

// cancelTogether makes one call for the commands that share a reason.
func (l *loop) cancelTogether(ctx context.Context, requests []request) []error {
	errs := make([]error, len(requests))
	byReason := map[string][]int{}
	for i, r := range requests {
		byReason[r.Parameters.Reason] = append(byReason[r.Parameters.Reason], i)
	}
	for reason, members := range byReason {
		jobs := make([]string, len(members))
		of := make(map[string][]int, len(members))
		for n, i := range members {
			jobs[n] = requests[i].Parameters.JobID
			of[jobs[n]] = append(of[jobs[n]], i)
		}
		out, err := l.batch.CancelJobs(ctx, &batch.CancelJobsInput{Jobs: jobs, Reason: &reason})
		if err != nil {
			for _, i := range members {
				errs[i] = err
			}
			continue
		}
		for _, refused := range out.Errors {
			for _, i := range of[aws.ToString(refused.Job)] {
				errs[i] = fmt.Errorf("%s: %s", aws.ToString(refused.Code), aws.ToString(refused.Message))
			}
		}
	}
	return errs
}

// publish publishes what became of the commands, and says which of them SNS took.
func (l *loop) publish(ctx context.Context, requests []request, errs []error) (published []bool, err error) {
	in := &sns.PublishBatchInput{TopicArn: &l.topic}
	for i, r := range requests {
		e := r.event(errs[i])
		body, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("writing an outcome: %w", err)
		}
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, snstypes.PublishBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), Message: aws.String(string(body)),
			MessageAttributes: map[string]snstypes.MessageAttributeValue{
				"action": {DataType: aws.String("String"), StringValue: &r.Action},
				"status": {DataType: aws.String("String"), StringValue: &e.Status},
			},
		})
	}
	out, err := l.sns.PublishBatch(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("publishing: %w", err)
	}
	published = make([]bool, len(requests))
	for _, done := range out.Successful {
		i, err := strconv.Atoi(aws.ToString(done.Id))
		if err != nil || i < 0 || i >= len(published) {
			return nil, fmt.Errorf("publishing: SNS answers for %q, which was not sent", aws.ToString(done.Id))
		}
		published[i] = true
	}
	return published, nil
}

// delete deletes the messages whose outcomes are published.
func (l *loop) delete(ctx context.Context, messages []sqstypes.Message, published []bool) error {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &l.queue}
	for i, m := range messages {
		if published[i] {
			in.Entries = append(in.Entries, sqstypes.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
	}
	if len(in.Entries) == 0 {
		return errors.New("publishing: SNS took no outcome")
	}
	out, err := l.sqs.DeleteMessageBatch(ctx, in)
	if err != nil {
		return fmt.Errorf("deleting: %w", err)
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("deleting: %d of %d failed, first: %s", len(out.Failed), len(in.Entries), aws.ToString(out.Failed[0].Message))
	}
	return nil
}
