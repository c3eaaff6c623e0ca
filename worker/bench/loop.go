package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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
)

// request is a command, as much of it as a loop cares for.
type request struct {
	ID         string `json:"id"`
	Action     string `json:"action"`
	Parameters struct {
		JobID     string   `json:"jobId"`
		Reason    string   `json:"reason"`
		ClusterID string   `json:"ClusterId"`
		StepIDs   []string `json:"StepIds"`
		ThingName string   `json:"thingName"`
	} `json:"parameters"`
}

// target is what the command is to cancel.
func (r request) target() string {
	p := r.Parameters
	return cmp.Or(p.ThingName, strings.Join(p.StepIDs, ","), p.JobID)
}

// event is what a loop publishes of a command: "accepted", since nothing was seen to stop, or
// "failed" and why.
type event struct {
	CommandID string `json:"commandId"`
	Action    string `json:"action"`
	Target    string `json:"target"`
	Status    string `json:"status"`
	Error     string `json:"error,omitempty"`
}

func (r request) event(err error) event {
	e := event{CommandID: r.ID, Action: r.Action, Target: r.target(), Status: "accepted"}
	if err != nil {
		e.Status, e.Error = "failed", err.Error()
	}
	return e
}

func decode(body string) (r request, err error) {
	if err = json.Unmarshal([]byte(body), &r); err == nil && r.target() == "" {
		err = fmt.Errorf("command %q names no target", r.ID)
	}
	return r, err
}

// loop is the worker that one writes by hand: no ledger, no lease, no pacing, the SDK's own
// retries. A message that something went wrong with comes back when its visibility ends.
type loop struct {
	sqs    *sqs.Client
	sns    *sns.Client
	queue  string
	topic  string
	cancel func(context.Context, []request) []error
}

// prepareLoop makes a loop that cancels singly, or what goes together together.
func prepareLoop(together bool) func(context.Context, assignment) (func(context.Context) error, error) {
	return func(_ context.Context, a assignment) (func(context.Context) error, error) {
		cfg := a.config()
		f, err := fleetOf(a.Fleet)
		if err != nil {
			return nil, err
		}
		one, many := f.calls(cfg)
		l := &loop{
			sqs: sqs.NewFromConfig(cfg), sns: sns.NewFromConfig(cfg),
			queue: a.Place.QueueURL, topic: a.Place.TopicARN, cancel: singly(one),
		}
		if together {
			if l.cancel = many; many == nil {
				return nil, fmt.Errorf("%s takes one target a call", f.action)
			}
		}
		return l.drain, nil
	}
}

// singly makes one call a command.
func singly(call func(context.Context, request) error) func(context.Context, []request) []error {
	return func(ctx context.Context, requests []request) []error {
		errs := make([]error, len(requests))
		for i, r := range requests {
			errs[i] = call(ctx, r)
		}
		return errs
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
	published, err := l.publish(ctx, requests, l.cancel(ctx, requests))
	if err != nil {
		return err
	}
	return l.delete(ctx, messages, published)
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
