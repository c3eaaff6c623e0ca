package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

// Names in the box, the same for demo and dev.
const (
	boxQueue = "rescind-commands"
	boxTopic = "rescind-outcomes"
	// boxOutcomes follows the topic for the process itself; other subscribers may stand beside it.
	boxOutcomes = "rescind-outcomes-seen"
	// boxReceives is the redrive policy's maxReceiveCount, as the worker would have it.
	boxReceives = 1000
)

// box is AWS in a box with a worker on it, both in this process: they talk through pipes, with
// the real SDK clients.
type box struct {
	sim      *awssim.Sim
	sqs      *sqs.Client
	queue    string // URL of the queue of commands
	buried   string // URL of its dead-letter queue
	topic    string // ARN of the results topic
	outcomes string // URL of boxOutcomes

	dir    string // temporary; holds the ledger
	ledger *bolt.Ledger
	worker *worker.Worker
}

// longPoll is SQS's own longest wait for a first message, in seconds ("Amazon SQS short and
// long polling", SQS Developer Guide).
const longPoll = 20

// newBox makes the box, and a worker that is not running yet. What o leaves out of queue,
// topic, ledger and AWS is filled in. The caller closes the box, and not before the worker has
// returned.
func newBox(ctx context.Context, sim *awssim.Sim, o worker.Options) (b *box, err error) {
	b = &box{sim: sim, sqs: sqs.NewFromConfig(sim.Config())}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("making AWS in a box: %w", err), b.close())
		}
	}()
	if b.queue, b.buried, err = sim.CreateQueueWithDeadLetters(boxQueue, boxReceives, nil); err != nil {
		return b, err
	}
	if b.outcomes, err = sim.CreateQueue(boxOutcomes, nil); err != nil {
		return b, err
	}
	if b.topic, err = sim.CreateTopic(boxTopic); err != nil {
		return b, err
	}
	if _, err = sim.Subscribe(b.topic, b.outcomes, true); err != nil {
		return b, err
	}
	if b.dir, err = os.MkdirTemp("", "rescind-"); err != nil {
		return b, err
	}
	// What is in the box ends with the process, so there is no power cut to outlive.
	if b.ledger, err = bolt.Open(filepath.Join(b.dir, "ledger.db"), bolt.Options{NoSync: true}); err != nil {
		return b, err
	}
	o.QueueURLs, o.TopicARN, o.Ledger, o.AWS = []string{b.queue}, b.topic, b.ledger, sim.Config()
	b.worker, err = worker.New(ctx, o)
	return b, err
}

// close ends what newBox made, and the simulator.
func (b *box) close() error {
	var errs []error
	if b.ledger != nil {
		errs = append(errs, b.ledger.Close())
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(append(errs, b.sim.Close())...)
}

// longPoll is SQS's own longest wait for a first message.
const longPoll = 20 * time.Second

// follow gives every published outcome to each, until ctx ends, and then what is still there.
func (b *box) follow(ctx context.Context, each func(event string) error) error {
	for ctx.Err() == nil {
		if err := b.take(ctx, each); err != nil && ctx.Err() == nil {
			return err
		}
	}
	// The poll that ctx cut may have taken messages along: they are told all the same.
	for _, m := range b.sim.Messages(b.outcomes) {
		if err := each(m.Body); err != nil {
			return err
		}
	}
	return nil
}

// take receives once, and deletes what was given to each.
func (b *box) take(ctx context.Context, each func(event string) error) error {
	out, err := b.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(b.outcomes), MaxNumberOfMessages: sendBatch, WaitTimeSeconds: longPoll,
	})
	if err != nil {
		return fmt.Errorf("receiving outcomes: %w", err)
	}
	if len(out.Messages) == 0 {
		return nil
	}
	entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
	for i, m := range out.Messages {
		if err := each(aws.ToString(m.Body)); err != nil {
			return err
		}
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
	}
	// Not under ctx, which may end between the two: what was told would be told again.
	_, err = b.sqs.DeleteMessageBatch(context.WithoutCancel(ctx), &sqs.DeleteMessageBatchInput{
		QueueUrl: aws.String(b.outcomes), Entries: entries,
	})
	if err != nil {
		return fmt.Errorf("deleting outcomes: %w", err)
	}
	return nil
}
