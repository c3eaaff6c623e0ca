package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/worker/queue"
)

// dlqCmd is `rescind dlq`: list, send and purge.
type dlqCmd struct {
	List  dlqListCmd  `cmd:"" help:"List what was dead-lettered, and why."`
	Send  dlqSendCmd  `cmd:"" help:"Send chosen messages to the command queue again, and delete them from the dead-letter queue."`
	Purge dlqPurgeCmd `cmd:"" help:"Delete chosen messages from the dead-letter queue."`
}

// Help is printed by "rescind dlq --help" above the subcommands.
func (*dlqCmd) Help() string {
	return `The dead-letter queue has what the worker could not read, or what broke a rule, each with the reason; what
the worker failed at by a fault of its own (Internal); and what SQS moved there since it was received
too often and never deleted.

` + dlqReading
}

const dlqReading = `SQS shows a message by receiving it. So what is read is hidden from other readers meanwhile, and made
visible again at the end, also after Ctrl-C; where rescind is killed, after 3 minutes (longer with a larger
--max). Each reading adds one to the receive count of every message: a dead-letter queue must have
no redrive policy of its own, which would move or lose messages that are looked at, and one that has is refused.`

// dlqFlags are those of all three.
type dlqFlags struct {
	DLQURL   string   `name:"dlq-url" env:"RESCIND_DLQ_URL" help:"Dead-letter queue (default: where the command queue's redrive policy moves messages)."`
	QueueURL []string `name:"queue-url" env:"RESCIND_QUEUE_URL" help:"Command queue; if several are named, the first."`
	Max      int      `name:"max" default:"1000" help:"How many messages are read at most."`
	JSON     bool     `name:"json" help:"Print one JSON value on stdout, with each message."`
}

const (
	// mostRead bounds --max: SQS allows 120,000 messages in flight.
	mostRead = 100_000
	// hiddenAtLeast is the visibility timeout of what is read, without the minute for each 1,000 messages of --max.
	hiddenAtLeast = 2 * time.Minute
)

// open finds the dead-letter queue, and refuses one that is not to be read.
func (c *dlqFlags) open(ctx context.Context) (*deadLetters, error) {
	switch {
	case c.DLQURL == "" && len(c.QueueURL) == 0:
		return nil, misused("no queue: set RESCIND_DLQ_URL, or --dlq-url, to the URL of the dead-letter queue, or RESCIND_QUEUE_URL to that of the queue whose redrive policy names it")
	case c.Max < 1 || c.Max > mostRead:
		return nil, misused("--max must be from 1 to %d, not %d", mostRead, c.Max)
	}
	cfg, err := awsConfig(ctx)
	if err != nil {
		return nil, err
	}
	d := &deadLetters{
		api: sqs.NewFromConfig(cfg), URL: c.DLQURL, region: cfg.Region, most: c.Max,
		hidden: hiddenAtLeast + time.Duration((c.Max+999)/1000)*time.Minute,
	}
	ctx, cancel := context.WithTimeout(ctx, requestBound)
	defer cancel()
	inspector := queue.New(d.api, queue.Options{})
	if d.URL == "" {
		if d.URL, err = redriveTarget(ctx, inspector, c.QueueURL[0]); err != nil {
			return nil, err
		}
	}
	its, err := inspector.Inspect(ctx, d.URL)
	switch {
	case err != nil:
		return nil, advised(err, "sqs:GetQueueAttributes")
	case its.DeadLetterARN != "":
		return nil, fmt.Errorf("%s has a redrive policy (to %s after %d receives): reading it would move messages away; "+
			"name the dead-letter queue itself, or remove that policy: aws sqs set-queue-attributes --queue-url %s --attributes RedrivePolicy=",
			d.URL, its.DeadLetterARN, its.MaxReceiveCount, d.URL)
	}
	return d, nil
}

// redriveTarget returns the URL of the queue to which a queue's redrive policy moves messages.
func redriveTarget(ctx context.Context, inspector *queue.Subscriber, queueURL string) (string, error) {
	its, err := inspector.Inspect(ctx, queueURL)
	if err != nil {
		return "", advised(err, "sqs:GetQueueAttributes")
	}
	if its.DeadLetterARN == "" {
		return "", misused("%s has no redrive policy that would name a dead-letter queue: set RESCIND_DLQ_URL, or --dlq-url", queueURL)
	}
	url, err := inspector.DeadLetterURL(ctx, its.DeadLetterARN)
	if err != nil {
		return "", fmt.Errorf("%w; or name it with --dlq-url", advised(err, "sqs:GetQueueUrl"))
	}
	return url, nil
}

// errInterrupted is what a subcommand that Ctrl-C has ended says.
var errInterrupted = errors.New("interrupted")

// reading reads the queue, lets use do its work with what was read, and makes visible what use has not
// deleted, whatever happens. use is not called where not all could be read; what was read is returned in any case.
func (c *dlqFlags) reading(ctx context.Context, s streams, use func(*deadLetters) error) (*deadLetters, error) {
	d, err := c.open(ctx)
	if err != nil {
		return &deadLetters{URL: c.DLQURL}, err
	}
	hidden := fmt.Sprintf("What was read is hidden from others for %s at most.", minutes(d.hidden))
	onStop(ctx, func() string { return "stopping; what was read is made visible again" }, hidden)
	if err = d.read(ctx, s); err == nil && use != nil {
		err = use(d)
	}
	return d, errors.Join(err, d.release())
}

func minutes(d time.Duration) string { return count(int64(d/time.Minute), "minute") }
