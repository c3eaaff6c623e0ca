package queue

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Why a lease is lost; see [Lease.Err].
var (
	// ErrHeldTooLong: the message was held for Options.MaxHold.
	ErrHeldTooLong = errors.New("queue: message held for too long")
	// ErrLeaseOver: the lease ran out before SQS could be reached.
	ErrLeaseOver = errors.New("queue: lease ran out")
	// ErrHandleRefused: SQS no longer takes the receipt handle.
	ErrHandleRefused = errors.New("queue: receipt handle refused")
)

// Lease is one message held here: what SQS says of it, and how it is to be settled. The fields
// are what was so when the message was handed out; they must not be changed. The methods are
// safe for concurrent use.
type Lease struct {
	MessageID string
	QueueURL  string
	// QueueARN and MaxReceives (the redrive policy's maxReceiveCount) are known once the
	// queue was inspected, else "" and 0; MaxReceives is 0 also where there is no policy.
	QueueARN    string
	MaxReceives int
	// MovedFrom is the ARN of the queue that SQS moved the message from, where it was found in a
	// dead-letter queue (Options.Strays), else "".
	MovedFrom string
	// ReceiveCount is how often SQS handed the message out, this time included. Approximate.
	ReceiveCount int
	// SentAt and FirstReceivedAt are SQS's times; ReceivedAt is ours.
	SentAt, FirstReceivedAt, ReceivedAt time.Time
	// SenderID is the principal that sent it: for an SNS subscription or an EventBridge rule,
	// the service.
	SenderID string
	GroupID  string // MessageGroupId, "" for none
	Body     string
	// Attributes are the message attributes, of every type.
	Attributes map[string]types.MessageAttributeValue

	s      *Subscriber
	sub    *subscription
	msg    *message.Message
	cancel context.CancelFunc // ends the message's context
	done   chan struct{}      // closed when the message is settled, or given up

	recordMu sync.Mutex
	record   settlement

	// Guarded by Subscriber.mu.
	receipt   string
	since     time.Time     // when the receipt handle was received
	until     time.Time     // when SQS ends the lease, as far as we know
	next      time.Time     // when to extend it
	index     int           // in Subscriber.due; -1 when not there
	extending chan struct{} // open while an extension is under way
	settling  settlementKind
	lost      error
}

// settlementKind is what is done with a message. The set is closed; zero is undecided.
type settlementKind int

const (
	deleting settlementKind = iota + 1
	releasing
	burying
)

type settlement struct {
	kind  settlementKind
	after time.Duration // releasing
	group any           // releasing; see PutOff
	mark  *Mark         // burying
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

// Release records that the message is to become visible again after a delay, in whole seconds
// (rounded up), and within 12 h of its receipt, which is SQS's limit. Zero is at once.
func (l *Lease) Release(after time.Duration) {
	l.set(settlement{kind: releasing, after: max(after, 0)})
}

// PutOff records a release that Subscriber.Recall takes back for the group, any comparable value.
func (l *Lease) PutOff(after time.Duration, group any) {
	l.set(settlement{kind: releasing, after: max(after, 0), group: group})
}

// Bury records that the message is to be sent to the dead-letter queue with a mark, and then
// deleted. The mark's Sender, Attributes and Cut fields are filled here.
func (l *Lease) Bury(mark Mark) { l.set(settlement{kind: burying, mark: &mark}) }

func (l *Lease) set(how settlement) {
	l.recordMu.Lock()
	l.record = how
	l.recordMu.Unlock()
}

func (l *Lease) recorded() settlement {
	l.recordMu.Lock()
	defer l.recordMu.Unlock()
	if l.record.kind == 0 {
		return settlement{kind: deleting}
	}
	return l.record
}

// Err says why the lease is lost, nil while it stands: one of ErrHeldTooLong, ErrLeaseOver
// and ErrHandleRefused. A lost lease stands again if the message is received again here.
func (l *Lease) Err() error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.lost
}

// Receipt is the newest receipt handle.
func (l *Lease) Receipt() string {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.receipt
}

// answered reports whether the message was acked or nacked.
func (l *Lease) answered() bool {
	select {
	case <-l.msg.Acked():
		return true
	case <-l.msg.Nacked():
		return true
	default:
		return false
	}
}

func newLease(s *Subscriber, sub *subscription, m types.Message, known Attributes, now time.Time) *Lease {
	system := func(name types.MessageSystemAttributeName) string { return m.Attributes[string(name)] }
	l := &Lease{
		MessageID:       aws.ToString(m.MessageId),
		QueueURL:        sub.url,
		QueueARN:        known.ARN,
		MaxReceives:     known.MaxReceiveCount,
		ReceiveCount:    int(wholeNumber(system(types.MessageSystemAttributeNameApproximateReceiveCount), math.MaxInt)),
		SentAt:          milliseconds(system(types.MessageSystemAttributeNameSentTimestamp)),
		FirstReceivedAt: milliseconds(system(types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)),
		ReceivedAt:      now,
		SenderID:        system(types.MessageSystemAttributeNameSenderId),
		GroupID:         system(types.MessageSystemAttributeNameMessageGroupId),
		Body:            aws.ToString(m.Body),
		Attributes:      m.MessageAttributes,

		s: s, sub: sub, done: make(chan struct{}), index: -1,
	}
	if s.o.Strays != nil {
		l.MovedFrom = system(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)
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
