package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

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

// box is AWS in a box, served on a port. A worker on it in the same process is employed.
type box struct {
	sim      *awssim.Sim
	url      string // of the endpoint
	serving  sync.WaitGroup
	served   error
	client   *http.Transport
	sqs      *sqs.Client
	queue    string // URL of the queue of commands
	buried   string // URL of its dead-letter queue
	topic    string // ARN of the results topic
	outcomes string // URL of boxOutcomes

	dir    string // temporary; holds the ledger; "" where no worker was employed
	ledger *bolt.Ledger
	worker *worker.Worker
}

// longPoll is SQS's own longest wait for a first message, in seconds ("Amazon SQS short and
// long polling", SQS Developer Guide).
const longPoll = 20

// newBox serves a box on an address. The caller closes it, and not before its worker has
// returned.
func newBox(ctx context.Context, addr string, simulated awssim.Options) (b *box, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("serving AWS on %s: %w; stop what has it, or choose another address: --addr 127.0.0.1:0 is any free port", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("serving AWS on %s: %w", addr, err)
	}
	b = &box{url: "http://" + reachable(l.Addr())}
	simulated.BaseURL = b.url
	b.sim = awssim.New(simulated)
	b.serving.Go(func() { b.served = b.sim.Serve(l) })
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("making AWS in a box: %w", err), b.close())
		}
	}()
	if b.queue, b.buried, err = b.sim.CreateQueueWithDeadLetters(boxQueue, boxReceives, nil); err != nil {
		return nil, err
	}
	if b.outcomes, err = b.sim.CreateQueue(boxOutcomes, nil); err != nil {
		return nil, err
	}
	if b.topic, err = b.sim.CreateTopic(boxTopic); err != nil {
		return nil, err
	}
	if _, err = b.sim.Subscribe(b.topic, b.outcomes, true); err != nil {
		return nil, err
	}
	b.client = &http.Transport{MaxIdleConnsPerHost: connections}
	b.sqs = sqs.NewFromConfig(b.config())
	return b, nil
}

// config is that of every client of the box.
func (b *box) config() aws.Config {
	cfg := b.sim.Config()
	cfg.BaseEndpoint, cfg.HTTPClient = aws.String(b.url), &http.Client{Transport: b.client}
	return cfg
}

// employ makes a worker on the box, which is not running yet. What its options leave out of
// queue, topic, ledger and AWS is filled in.
func (b *box) employ(ctx context.Context, o worker.Options) (err error) {
	if b.dir, err = os.MkdirTemp("", "rescind-"); err != nil {
		return fmt.Errorf("making a folder for the ledger: %w", err)
	}
	// What is in the box ends with the process, so there is no power cut to outlive.
	if b.ledger, err = bolt.Open(filepath.Join(b.dir, "ledger.db"), bolt.Options{NoSync: true}); err != nil {
		return err
	}
	o.QueueURLs, o.TopicARN, o.Ledger, o.AWS = []string{b.queue}, b.topic, b.ledger, b.config()
	b.worker, err = worker.New(ctx, o)
	return err
}

// reachable is an address by which this machine reaches a listener on any of its own.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return a.String()
}

// close ends what newBox began.
func (b *box) close() error {
	var errs []error
	if b.ledger != nil {
		errs = append(errs, b.ledger.Close())
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	errs = append(errs, b.sim.Close())
	b.serving.Wait()
	if b.client != nil {
		b.client.CloseIdleConnections()
	}
	return errors.Join(append(errs, b.served)...)
}

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

// tell writes every published outcome as a line, as follow gives them.
func (b *box) tell(ctx context.Context, out io.Writer) error {
	return b.follow(ctx, func(event string) error {
		if _, err := fmt.Fprintln(out, event); err != nil {
			return fmt.Errorf("writing an outcome: %w", err)
		}
		return nil
	})
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
