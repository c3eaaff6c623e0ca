package queue

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/trouble"
)

// API is what is called of SQS. This package repeats requests, since it knows when a lease ends:
// give it a client of one attempt (aws.NopRetryer). Its HTTP client must allow as many connections to
// one host as there are polls.
type API interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// Gate pauses receiving. While it is closed no poll begins, and messages that open polls bring are
// released at once. Its methods must be safe for concurrent use, and Open must neither block
// nor call back into the Subscriber.
type Gate interface {
	Open() bool
	// Wait returns nil when the gate is open, and ctx's error when ctx ends first.
	Wait(ctx context.Context) error
}

// Options says how a Subscriber receives. The zero value of each field means its default.
type Options struct {
	// Lease is the visibility timeout asked for with each receive and each extension, in
	// whole seconds (rounded up), 2 s to 12 h. Default 60 s.
	Lease time.Duration
	// MaxInFlight is the most messages in flight at once, over all subscriptions; it bounds memory
	// together with the size of messages. Default 5000.
	MaxInFlight int
	// WaitTime is how long a poll waits for a first message, in whole seconds (rounded up),
	// up to SQS's own limit of 20 s. Default 20 s.
	WaitTime time.Duration
	// Drain is how long a drain, and the end of a subscription's context, wait for messages that
	// were handed out. Default 25 s.
	Drain time.Duration
	// Gate pauses receiving. Default: always open.
	Gate Gate
	// DeadLetters are the URLs of the queues that Lease.DeadLetter sends to, by the URL of the queue
	// received from. Without one, dead-lettering is given up with a line in the log, and the message
	// comes again.
	DeadLetters map[string]string
	// Key is the secret that the deployment's workers share. Without one no copy is made or trusted;
	// messages are deferred by a longer visibility timeout.
	Key []byte
	// Unmarshal makes Watermill's message. Default: the SQS message id is its UUID, the body
	// its payload, and string attributes its metadata. It must not return nil.
	Unmarshal func(types.Message) *message.Message
	// Chance is where jitter comes from. nil: a source of a seed drawn now.
	Chance *rand.Rand
	// Trouble takes note of what became of each request, by queue and by what is done. Default: none.
	Trouble *trouble.Peers
	// Logger has a line for each message that SQS refuses to settle, and, at level debug, for each lost
	// lease. Default: nothing is logged.
	Logger *zap.Logger
}

const (
	// batchMax is the most entries that any SQS batch request takes, and the most messages
	// that one receive brings ("Amazon SQS message quotas", SQS Developer Guide).
	batchMax = 10
	// visibilityMax counts from receipt ("ChangeMessageVisibility", SQS API Reference).
	visibilityMax = 12 * time.Hour
	// waitMax is the longest long poll ("Amazon SQS short and long polling", SQS Developer
	// Guide).
	waitMax = 20 * time.Second

	// requestTimeout bounds every request; a poll has its WaitTime on top. SQS answers in tens
	// of milliseconds, so ten seconds without an answer is a broken connection.
	requestTimeout = 10 * time.Second
	// closeBound is how long the hard stop tries to release messages, and waits for handlers.
	closeBound = 5 * time.Second

	settleBackoff, settleBackoffMax = 200 * time.Millisecond, 5 * time.Second
)

func (o Options) withDefaults() Options {
	o.Chance = chance.Or(o.Chance)
	if o.Lease == 0 {
		o.Lease = 60 * time.Second
	}
	o.Lease = min(max(wholeSeconds(o.Lease), 2*time.Second), visibilityMax)
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 5000
	}
	if o.WaitTime <= 0 {
		o.WaitTime = waitMax
	}
	// Zero seconds would not be sent by the SDK and leave the wait to the queue's own setting.
	o.WaitTime = min(wholeSeconds(o.WaitTime), waitMax)
	if o.Drain <= 0 {
		o.Drain = 25 * time.Second
	}
	if o.Unmarshal == nil {
		o.Unmarshal = unmarshal
	}
	if o.Trouble == nil {
		o.Trouble = trouble.New(nil)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

func unmarshal(m types.Message) *message.Message {
	msg := message.NewMessage(aws.ToString(m.MessageId), []byte(aws.ToString(m.Body)))
	for name, value := range m.MessageAttributes {
		if value.StringValue != nil {
			msg.Metadata.Set(name, *value.StringValue)
		}
	}
	return msg
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
