package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/worker/trouble"
)

const (
	// maxPolls is the most polls open at once for one subscription.
	maxPolls = 32
	// backlogWait is the WaitTime of polls after one that came back full: they find the end of a backlog
	// soon, and later queues wait for that.
	backlogWait = time.Second
	// pollGrace is how long open polls may still bring messages when receiving stops: messages in an
	// answer that is not read are invisible until their lease ends.
	pollGrace = time.Second
	// earlyMost is how many polls in a row may come back empty at once before that is a failure: SQS may
	// do so now and then, and what always does so is not SQS.
	earlyMost = 5
	// The backoff after early empty answers is short, since messages wait for it.
	earlyBackoff, earlyBackoffMax     = 100 * time.Millisecond, time.Second
	receiveBackoff, receiveBackoffMax = 200 * time.Millisecond, 10 * time.Second
)

// subscription is one call of Subscribe.
type subscription struct {
	url      string
	requests *requests
	out      chan *message.Message
	values   context.Context // parent of messages' contexts; never ends
	intake   context.Context // ends when nothing more is handed out; ended under Subscriber.mu
	polls    context.Context // of receive requests; ends pollGrace after intake
	polling  sync.WaitGroup
	handed   sync.WaitGroup // messages that were handed out, until they are settled and answered

	// Guarded by Subscriber.mu.
	open     int    // polls under way
	want     int    // polls that the backlog warrants
	full     bool   // the last poll came back full
	turn     uint64 // when it last began a poll
	failures int    // in a row: polls that failed or came back empty at once
	failing  error
}

// scheduleLocked begins the polls that the window, the gate and the order of queues allow. It
// is called whenever one of these may have changed.
func (s *Subscriber) scheduleLocked() {
	if s.intake.Err() != nil || !s.gateOpenLocked() {
		return
	}
	if s.window.size >= 10*batchMax && s.window.free() < batchMax {
		return // a full receive is worth the wait for a few places
	}
	list, idle := s.candidatesLocked()
	for _, sub := range list {
		if sub.open == 0 && s.window.free() > 0 {
			// The long poll of an idle queue must leave places that the other queues could fill.
			s.beginLocked(sub, min(batchMax, max(1, s.window.free()/idle)))
			idle--
		}
		for sub.open > 0 && sub.open < sub.want && s.window.free() >= batchMax {
			s.beginLocked(sub, batchMax)
		}
	}
}

// candidatesLocked lists the subscriptions that may be polled now, and counts those without a poll:
// the first that has a backlog and all before it. Where places are scarce, those that waited longest
// come first.
func (s *Subscriber) candidatesLocked() (list []*subscription, idle int) {
	for _, sub := range s.subs {
		if sub.intake.Err() != nil {
			continue
		}
		list = append(list, sub)
		if sub.open == 0 {
			idle++
		}
		if sub.full {
			break
		}
	}
	if s.window.free() < len(list) {
		slices.SortStableFunc(list, func(a, b *subscription) int { return cmp.Compare(a.turn, b.turn) })
	}
	return list, idle
}

// gateOpenLocked reports whether the gate is open. Where it is not, polls are scheduled when it opens.
func (s *Subscriber) gateOpenLocked() bool {
	if s.o.Gate == nil || s.o.Gate.Open() {
		return true
	}
	if s.gateWatched {
		return false
	}
	s.gateWatched = true
	s.running.Go(func() {
		err := s.o.Gate.Wait(s.intake)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gateWatched = false
		if err == nil {
			s.scheduleLocked()
		}
	})
	return false
}

func (s *Subscriber) beginLocked(sub *subscription, n int) {
	s.turns++
	sub.turn = s.turns
	sub.open++
	s.window.reserved += n
	s.stats.Polls++
	wait := s.o.WaitTime
	if sub.full {
		wait = min(wait, backlogWait)
	}
	sub.polling.Go(func() {
		full := s.poll(sub, n, wait)
		s.mu.Lock()
		defer s.mu.Unlock()
		if full {
			// Only now, when all was handed out, so that a slow reader gets no more than it reads.
			sub.want = min(sub.want+1, maxPolls)
		}
		sub.open--
		s.scheduleLocked()
	})
}

// poll receives up to n messages and hands them out, and reports whether it came back full. It counts
// as open until the last message is taken, or until its backoff is over.
func (s *Subscriber) poll(sub *subscription, n int, wait time.Duration) (full bool) {
	began := time.Now()
	asked := s.peer(trouble.Queue, sub.url, receiving).Begin()
	msgs, err := s.receive(sub, n, wait)
	took := time.Since(began)

	s.mu.Lock()
	s.window.reserved -= n
	sub.full = len(msgs) >= n
	if len(msgs) == 0 {
		sub.want = 1
	}
	var leases []*Lease
	var backoff time.Duration
	switch {
	case err != nil:
		sub.failing = err
		backoff = s.fullJitter(receiveBackoff, receiveBackoffMax, sub.failures)
		sub.failures++
	case len(msgs) == 0 && took < wait/2:
		backoff = s.fullJitter(earlyBackoff, earlyBackoffMax, sub.failures)
		sub.failures++
		if sub.failures >= earlyMost {
			err = fmt.Errorf("receiving from %s: %w", sub.url, errEarly)
			sub.failing = err
		}
	default:
		sub.failing, sub.failures = nil, 0
		leases = s.admitLocked(sub, msgs)
	}
	s.scheduleLocked() // places that were reserved and not filled are free
	s.mu.Unlock()

	if err != nil && sub.polls.Err() != nil {
		asked.Dropped() // we ended it
	} else {
		asked.Answered(err)
	}
	if backoff > 0 {
		pause(backoff, sub.intake.Done())
	}
	s.deliver(sub, leases)
	return len(msgs) >= n
}

func (s *Subscriber) receive(sub *subscription, n int, wait time.Duration) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(sub.polls, wait+requestTimeout)
	defer cancel()
	out, err := s.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    aws.String(sub.url),
		MaxNumberOfMessages:         int32(n),
		WaitTimeSeconds:             int32(wait / time.Second),
		VisibilityTimeout:           int32(s.o.Lease / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("receiving from %s: %w", sub.url, err)
	}
	return out.Messages, nil
}

var errEarly = &trouble.Error{
	Fails: "gives nothing",
	Why:   "the endpoint answers long polls at once and empty, which SQS does not do; commands may be waiting there unseen",
	Do:    "look at RESCIND_QUEUE_URL, AWS_ENDPOINT_URL and the queue's ApproximateNumberOfMessages",
}

// admitLocked takes received messages into the window, and returns those to hand out.
func (s *Subscriber) admitLocked(sub *subscription, msgs []types.Message) (leases []*Lease) {
	now := time.Now()
	for _, m := range msgs {
		key := messageKey{sub.url, aws.ToString(m.MessageId)}
		l := s.window.newest[key]
		if l == nil || l.settling == deferring {
			l = newLease(s, sub, m, s.known[sub.url], now)
			s.window.add(key, l)
			leases = append(leases, l)
			s.stats.Received++
		} else {
			s.stats.Again++
		}
		l.receipt = aws.ToString(m.ReceiptHandle)
		l.since, l.until, l.lost = now, now.Add(s.o.Lease), nil
	}
	return leases
}

// deliver hands out what was admitted, or releases it where receiving has stopped or the gate is closed.
func (s *Subscriber) deliver(sub *subscription, leases []*Lease) {
	open := s.o.Gate == nil || s.o.Gate.Open()
	for _, l := range leases {
		if open && s.hand(sub, l) {
			sub.handed.Add(1)
			s.tending.Go(func() { s.tend(l) })
		} else {
			s.tending.Go(func() { s.settle(l, settlement{kind: deferring}) })
		}
	}
}

// hand gives a message to the subscription's reader; false means that receiving stopped first.
func (s *Subscriber) hand(sub *subscription, l *Lease) bool {
	if s.intake.Err() != nil || sub.intake.Err() != nil {
		return false
	}
	select {
	case sub.out <- l.msg:
		return true
	case <-sub.intake.Done():
		return false
	}
}
