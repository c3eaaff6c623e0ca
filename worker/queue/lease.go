package queue

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Why a lease is lost.
var (
	errTooLong       = errors.New("queue: message in flight for too long")
	errLeaseOver     = errors.New("queue: lease ran out") // SQS could not be reached in time
	errHandleRefused = errors.New("queue: receipt handle refused")
)

// Lease is one message in flight: what SQS says of it, and how it is to be settled. Where the message
// is a deferred copy, MessageID, SentAt, SenderID and Attributes are those of the message that was
// first sent. The fields do not change after the message was handed out, and must not be changed.
// The methods are safe for concurrent use.
type Lease struct {
	MessageID string
	QueueURL  string
	// MaxReceives is the redrive policy's maxReceiveCount; 0 where there is no policy, or the queue
	// was not inspected.
	MaxReceives int
	// ReceiveCount is how often SQS handed out this message, this time included, or this copy of it.
	// Approximate.
	ReceiveCount int
	// SentAt is SQS's time; ReceivedAt is ours.
	SentAt, ReceivedAt time.Time
	// SenderID is the principal that sent it: for an SNS subscription or an EventBridge rule,
	// the service.
	SenderID string
	GroupID  string // MessageGroupId, "" for none
	Body     string
	// Attributes are the message attributes, of every type.
	Attributes map[string]types.MessageAttributeValue

	id        string // SQS's, of the copy
	before    int    // receives of the copies before this one
	exhausted int
	maxBytes  int // the queue's MaximumMessageSize
	s         *Subscriber
	sub       *subscription
	msg       *message.Message
	cancel    context.CancelFunc // ends the message's context

	// Guarded by Subscriber.mu.
	record    settlement // what the handler recorded
	settling  settlementKind
	receipt   string        // the newest receipt handle
	since     time.Time     // when it was received
	until     time.Time     // when SQS ends the lease, as far as we know
	extending chan struct{} // closed when the extension that is under way is answered; nil: none is
	lost      error
}

type leaseKey struct{}

// LeaseFrom returns the lease that a message's context carries, nil where there is none.
func LeaseFrom(ctx context.Context) *Lease {
	l, _ := ctx.Value(leaseKey{}).(*Lease)
	return l
}

// Delete records that the message is to be deleted on Ack, as it is when nothing is recorded.
// What is recorded last counts.
func (l *Lease) Delete() { l.set(settlement{kind: deleting}) }

// Defer records that the message is to come back after a delay, in whole seconds (rounded up) and 15
// minutes at most. Zero is at once. See defer.go for when that takes a copy; with byCopy it
// does wherever one can be made, as it should where many are deferred at once.
func (l *Lease) Defer(after time.Duration, byCopy bool) {
	l.set(settlement{kind: deferring, after: max(after, 0), byCopy: byCopy})
}

// OnLastReceive reports whether SQS will move the message to its dead-letter queue in place of handing it
// out once more. A queue that allows one receive has no other.
func (l *Lease) OnLastReceive() bool { return l.MaxReceives > 1 && l.ReceiveCount >= l.MaxReceives }

// Exhausted is how often a copy of the message had come to its last receive before this one.
func (l *Lease) Exhausted() int { return l.exhausted }

// DeadLetter records that the message is to be sent to the dead-letter queue with a mark, and then
// deleted. What the mark says of the message is filled when that is done; see fitMark.
func (l *Lease) DeadLetter(mark Mark) { l.set(settlement{kind: deadLettering, mark: &mark}) }

// Receives is how often the message was handed out in all, those of the copies before this one
// included. Approximate.
func (l *Lease) Receives() int { return l.before + l.ReceiveCount }

func (l *Lease) set(how settlement) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.record = how
}

func (l *Lease) recorded() settlement {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.record
}

// Err says why the lease is lost, nil while it is not. A lease that was lost is renewed if the message
// is received again here.
func (l *Lease) Err() error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.lost
}

func (l *Lease) handle() string {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.receipt
}

// newLease makes a lease of a received message. The caller holds Subscriber.mu.
func newLease(s *Subscriber, sub *subscription, m types.Message, known Attributes, now time.Time) *Lease {
	system := func(name types.MessageSystemAttributeName) string { return m.Attributes[string(name)] }
	l := &Lease{
		MessageID:    aws.ToString(m.MessageId),
		QueueURL:     sub.url,
		MaxReceives:  known.MaxReceiveCount,
		ReceiveCount: int(wholeNumber(system(types.MessageSystemAttributeNameApproximateReceiveCount), math.MaxInt)),
		SentAt:       milliseconds(system(types.MessageSystemAttributeNameSentTimestamp)),
		ReceivedAt:   now,
		SenderID:     system(types.MessageSystemAttributeNameSenderId),
		GroupID:      system(types.MessageSystemAttributeNameMessageGroupId),
		Body:         aws.ToString(m.Body),
		Attributes:   m.MessageAttributes,

		id: aws.ToString(m.MessageId), maxBytes: cmp.Or(known.MaxMessageBytes, messageMaxDefault), s: s, sub: sub, record: settlement{kind: deleting},
	}
	switch first, ok, forged := openCarried(s.o.Key, m); {
	case ok:
		l.MessageID, l.SenderID, l.SentAt = first.MessageID, first.Sender, time.UnixMilli(first.SentAt)
		l.Attributes, l.before, l.exhausted = first.sqsAttributes(), first.Receives, first.Exhausted
	case forged:
		s.stats.Forged++
	}
	ctx, cancel := context.WithCancel(context.WithValue(sub.values, leaseKey{}, l))
	l.cancel = cancel
	l.msg = s.o.Unmarshal(m)
	l.msg.SetContext(ctx)
	return l
}

// lastMillisecond is that of the year 9999, the last that an outcome can say.
const lastMillisecond = 253402300799999

// milliseconds reads SQS's epoch times; what is absent or no such time is the zero time.
func milliseconds(text string) time.Time {
	n := wholeNumber(text, lastMillisecond)
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
