package queue

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/zap"
)

// API is what is called of SQS. Retries are owned here, where it is known how long a lease stands:
// give it a client of one attempt (aws.NopRetryer), or every failure is tried again
// twice over. Its HTTP client must allow as many connections to one host as there are polls.
type API interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// Gate holds back receiving. While it is closed no poll begins, and what open polls bring is
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
	// whole seconds (rounded up), 2 s to 12 h. Default 60 s. It is extended at half.
	Lease time.Duration
	// MaxInFlight is the most messages held at once, over all subscriptions; it bounds memory
	// together with the size of messages. Default 5000.
	MaxInFlight int
	// Plenty, where set, says of so many messages held that they are work enough: no poll begins
	// while it does. It is asked again whenever a message is settled, and every tenth of a second. It must be safe for
	// concurrent use, and neither block nor call back into the Subscriber.
	Plenty func(held int) bool
	// WaitTime is how long a poll waits for a first message, in whole seconds (rounded up),
	// up to SQS's own limit of 20 s. Default 20 s.
	WaitTime time.Duration
	// MaxPolls is the most polls open at once for one subscription. Default 32.
	MaxPolls int
	// MaxHold is the longest that a message is held before it is let go. Default 11 h: SQS
	// ends every lease 12 h after receipt, extended or not.
	MaxHold time.Duration
	// Drain is how long Close, and the end of a subscription's context, wait for messages that
	// were handed out. Default 25 s.
	Drain time.Duration
	// Gate holds back receiving. Default: always open.
	Gate Gate
	// DeadLetter is the URL of the queue that Lease.Bury sends to; DeadLetters gives other
	// ones for some queues, by the URL of the queue received from. With neither, burying is
	// given up with an error in the log, and the message comes again.
	DeadLetter  string
	DeadLetters map[string]string
	// Strays, where set, makes every queue subscribed to a dead-letter queue that is searched for
	// what SQS itself moved there, now and then, and otherwise left as it is: handed out are only
	// messages whose DeadLetterQueueSourceArn ("" where there is none) it returns true for.
	Strays func(sourceARN string) bool
	// Unmarshal makes Watermill's message. Default: the SQS message id is its UUID, the body
	// its payload, and string attributes its metadata. It must not return nil.
	Unmarshal func(types.Message) *message.Message
	// Go runs a poll, a delete or a change of visibility. Default: on a goroutine of its own.
	Go func(func())
	// Logger is told of lost leases, failures to settle, and when receiving begins and
	// ceases to fail. Default: nothing is logged.
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

	// backlogWait is the wait of polls beside or after one that came back full.
	backlogWait = time.Second
	// requestTimeout bounds every request; a poll has its WaitTime on top. SQS answers in tens
	// of milliseconds, so ten seconds without an answer is a broken connection.
	requestTimeout = 10 * time.Second
	// wide is the window from which on no poll begins while fewer places than a full batch's are free.
	wide = 10 * batchMax
	// plentyAgain is how soon Plenty is asked again.
	plentyAgain = 100 * time.Millisecond
	// pollGrace lets polls whose answer is on its way bring it: messages in an answer that
	// nobody reads stay invisible until their lease ends.
	pollGrace = time.Second
	// closeBound is how long the hard stop tries to release what is held.
	closeBound = 5 * time.Second

	receiveBackoff, receiveBackoffMax = 200 * time.Millisecond, 10 * time.Second
	settleBackoff, settleBackoffMax   = 200 * time.Millisecond, 5 * time.Second
)

func (o Options) withDefaults() Options {
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
	if o.MaxPolls <= 0 {
		o.MaxPolls = 32
	}
	if o.MaxHold <= 0 {
		o.MaxHold = 11 * time.Hour
	}
	if o.Drain <= 0 {
		o.Drain = 25 * time.Second
	}
	if o.Go == nil {
		o.Go = func(f func()) { go f() }
	}
	if o.Unmarshal == nil {
		o.Unmarshal = unmarshal
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

func (o Options) deadLetter(queueURL string) string {
	if url := o.DeadLetters[queueURL]; url != "" {
		return url
	}
	return o.DeadLetter
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
