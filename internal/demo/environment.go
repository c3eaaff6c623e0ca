package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

// Names in every environment. The dead-letter queue is QueueName with "-dlq".
const (
	QueueName = "rescind-commands"
	TopicName = "rescind-outcomes"
	// outcomesQueue is subscribed to the topic for Follow alone.
	outcomesQueue = "rescind-outcomes-seen"
)

const (
	// maxReceives is the redrive policy's maxReceiveCount.
	maxReceives = 1000
	// longPoll is SQS's longest wait for a first message, in seconds ("Amazon SQS short and long
	// polling", SQS Developer Guide).
	longPoll = 20
	// batchSize is the most messages in one request to SQS.
	batchSize = 10
	// idleConnections is how many idle connections to the simulator remain open. The worker makes
	// hundreds of requests at once.
	idleConnections = 512
)

// Environment is the AWS simulator on a port, with a queue of commands, its dead-letter queue and a
// results topic. It is in memory, except for the ledger of its worker.
type Environment struct {
	Sim           *awssim.Sim
	URL           string // of the endpoint
	QueueURL      string // of the queue of commands
	DeadLetterURL string // of its dead-letter queue
	TopicARN      string // of the results topic

	outcomesURL string // of outcomesQueue
	sqs         *sqs.Client
	transport   *http.Transport
	serving     sync.WaitGroup
	serveErr    error // of the HTTP server; read it after serving.Wait
	dir         string
	ledger      *bolt.Ledger
}

// NewEnvironment serves a simulator on an address; port 0 is any free port. The caller must close the
// environment, after its worker has returned.
func NewEnvironment(ctx context.Context, addr string, o awssim.Options) (_ *Environment, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serving the AWS simulator on %s: %w", addr, err)
	}
	e := &Environment{URL: "http://" + reachable(l.Addr())}
	o.BaseURL = e.URL
	e.Sim = awssim.New(o)
	e.serving.Go(func() { e.serveErr = e.Sim.Serve(l) })
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("setting up the AWS simulator: %w", err), e.Close())
		}
	}()
	if e.QueueURL, e.DeadLetterURL, err = e.Sim.CreateQueueWithDeadLetters(QueueName, maxReceives, nil); err != nil {
		return nil, err
	}
	if e.outcomesURL, err = e.Sim.CreateQueue(outcomesQueue, nil); err != nil {
		return nil, err
	}
	if e.TopicARN, err = e.Sim.CreateTopic(TopicName); err != nil {
		return nil, err
	}
	if _, err = e.Sim.Subscribe(e.TopicARN, e.outcomesURL, true); err != nil {
		return nil, err
	}
	e.transport = &http.Transport{MaxIdleConnsPerHost: idleConnections}
	e.sqs = sqs.NewFromConfig(e.config(), func(o *sqs.Options) { o.RetryMaxAttempts = patient })
	return e, nil
}

// patient is how often the environment's own client asks: the faults of a demo are for the worker, and three
// attempts in a row fail now and then.
const patient = 10

// config returns the configuration of an AWS client on the environment.
func (e *Environment) config() aws.Config {
	cfg := e.Sim.Config()
	cfg.BaseEndpoint, cfg.HTTPClient = aws.String(e.URL), &http.Client{Transport: e.transport}
	return cfg
}

// NewWorker makes the environment's worker, which is not running yet. It sets the options for the
// queue, the topic, the ledger and AWS. Call it once at most.
func (e *Environment) NewWorker(ctx context.Context, o worker.Options) (_ *worker.Worker, err error) {
	if e.dir, err = os.MkdirTemp("", "rescind-"); err != nil {
		return nil, fmt.Errorf("making a folder for the ledger: %w", err)
	}
	// NoSync: the simulator's state ends with the process, so the ledger need not survive a power cut.
	if e.ledger, err = bolt.Open(filepath.Join(e.dir, "ledger.db"), bolt.Options{NoSync: true}); err != nil {
		return nil, err
	}
	o.QueueURLs, o.TopicARN, o.Ledger, o.AWS = []string{e.QueueURL}, e.TopicARN, e.ledger, e.config()
	return worker.New(ctx, o)
}

// reachable returns an address at which this machine reaches a listener: loopback if the listener is
// on every address of the machine.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return a.String()
}

// Close stops the simulator, and closes and removes the ledger.
func (e *Environment) Close() error {
	var errs []error
	if e.ledger != nil {
		errs = append(errs, e.ledger.Close())
	}
	if e.dir != "" {
		errs = append(errs, os.RemoveAll(e.dir))
	}
	errs = append(errs, e.Sim.Close())
	e.serving.Wait()
	if e.transport != nil {
		e.transport.CloseIdleConnections()
	}
	return errors.Join(append(errs, e.serveErr)...)
}

// Follow calls each with every outcome that is published until ctx ends, and then with those that
// were published but not yet received. It returns early if each returns an error.
func (e *Environment) Follow(ctx context.Context, each func(event string) error) error {
	for ctx.Err() == nil {
		if err := e.receive(ctx, each); err != nil && ctx.Err() == nil {
			return err
		}
	}
	// A poll that ctx cut short may have received messages too: they are still on the queue.
	for _, m := range e.Sim.Messages(e.outcomesURL) {
		if err := each(m.Body); err != nil {
			return err
		}
	}
	return nil
}

// receive makes one long poll, calls each with every message, and deletes them.
func (e *Environment) receive(ctx context.Context, each func(event string) error) error {
	out, err := e.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(e.outcomesURL), MaxNumberOfMessages: batchSize, WaitTimeSeconds: longPoll,
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
	// Not under ctx: if it ended before the deletion, Follow would pass these messages on twice.
	_, err = e.sqs.DeleteMessageBatch(context.WithoutCancel(ctx), &sqs.DeleteMessageBatchInput{
		QueueUrl: aws.String(e.outcomesURL), Entries: entries,
	})
	if err != nil {
		return fmt.Errorf("deleting outcomes: %w", err)
	}
	return nil
}
