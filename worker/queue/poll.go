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
	"go.uber.org/zap"
)

// subscription is one call of Subscribe.
type subscription struct {
	url         string
	requests    *requests
	out         chan *message.Message
	values      context.Context // parent of messages' contexts; never ends
	stop        chan struct{}   // closed: hand out nothing more
	polls       context.Context // of receive requests
	cancelPolls context.CancelFunc
	polling     sync.WaitGroup
	handed      sync.WaitGroup // messages that were handed out and not answered

	// Guarded by Subscriber.mu.
	stopped  bool
	open     int    // polls under way
	want     int    // polls that the backlog warrants
	full     bool   // the last poll came back full
	turn     uint64 // when it last began a poll
	failing  error
	failures int
}

// watch ends a subscription: stop polling, let open polls come back, and close the channel, which
// waits for the handlers. Watermill's router takes a closed channel for the end of the
// work, and holds its locks from then on until the handlers are through.
func (s *Subscriber) watch(ctx context.Context, sub *subscription) {
	select {
	case <-ctx.Done():
	case <-s.intake.Done():
	}
	s.mu.Lock()
	sub.stopped = true
	close(sub.stop)
	s.mu.Unlock()

	grace := time.AfterFunc(pollGrace, sub.cancelPolls)
	sub.polling.Wait()
	grace.Stop()
	sub.cancelPolls()

	s.mu.Lock()
	s.subs = slices.DeleteFunc(s.subs, func(x *subscription) bool { return x == sub })
	s.scheduleLocked() // its places, and its rank, are free for the others
	s.mu.Unlock()

	select {
	case <-ctx.Done():
	case <-s.closing:
	}
	answered := make(chan struct{})
	s.running.Go(func() {
		sub.handed.Wait()
		close(answered)
	})
	drain := time.NewTimer(s.o.Drain)
	defer drain.Stop()
	select {
	case <-answered:
	case <-drain.C:
	case <-s.hard:
	}
	close(sub.out)
}

// scheduleLocked begins the polls that the window, the gate and the order of queues allow. It
// is called whenever one of these may have changed.
func (s *Subscriber) scheduleLocked() {
	if s.o.Strays != nil {
		s.roomLocked()
		return
	}
	if s.intake.Err() != nil || !s.gateOpenLocked() || s.plentyLocked() {
		return
	}
	if s.o.MaxInFlight >= wide && s.o.MaxInFlight-len(s.held)-s.reserved < batchMax {
		return // a full receive is worth the wait for a few places
	}
	candidates, unpolled := s.candidatesLocked()
	for _, sub := range candidates {
		for sub.open < sub.want {
			n := min(batchMax, s.o.MaxInFlight-len(s.held)-s.reserved)
			if sub.open == 0 {
				// An idle queue's long poll must not sit on the last places that the other
				// queues could fill.
				n = min(n, max(1, (s.o.MaxInFlight-len(s.held)-s.reserved)/unpolled))
				unpolled--
			} else if n < batchMax {
				// Near the window's edge one poll a queue is enough: many small receives
				// would cost more than they bring.
				break
			}
			if n <= 0 {
				return
			}
			s.beginLocked(sub, n)
		}
	}
}

// candidatesLocked lists the subscriptions that may be polled now, and counts those that have
// no poll open: the first that has a backlog and all before it. Where places are scarce, those
// that waited longest come first.
func (s *Subscriber) candidatesLocked() (list []*subscription, unpolled int) {
	for _, sub := range s.subs {
		if sub.stopped {
			continue
		}
		list = append(list, sub)
		if sub.open == 0 {
			unpolled++
		}
		if sub.full {
			break
		}
	}
	if s.o.MaxInFlight-len(s.held)-s.reserved < len(list) {
		slices.SortStableFunc(list, func(a, b *subscription) int { return cmp.Compare(a.turn, b.turn) })
	}
	return list, unpolled
}

func (s *Subscriber) gateOpenLocked() bool {
	if s.o.Gate == nil || s.o.Gate.Open() {
		return true
	}
	if s.gateWatch {
		return false
	}
	s.gateWatch = true
	s.running.Go(func() {
		err := s.o.Gate.Wait(s.intake)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gateWatch = false
		if err == nil {
			s.scheduleLocked()
		}
	})
	return false
}

// plentyLocked asks Options.Plenty, and sees to it that it is asked again.
func (s *Subscriber) plentyLocked() bool {
	if s.o.Plenty == nil || !s.o.Plenty(len(s.held)) {
		return false
	}
	if !s.plentyWatch {
		s.plentyWatch = true
		s.running.Go(func() {
			pause(plentyAgain, s.intake.Done())
			s.mu.Lock()
			defer s.mu.Unlock()
			s.plentyWatch = false
			s.scheduleLocked()
		})
	}
	return true
}

func (s *Subscriber) beginLocked(sub *subscription, n int) {
	s.turns++
	sub.turn = s.turns
	sub.open++
	s.reserved += n
	s.stats.polls.Add(1)
	wait := s.o.WaitTime
	if sub.full {
		// While there is a backlog, polls find its end soon: later queues wait for that.
		wait = min(wait, backlogWait)
	}
	sub.polling.Add(1)
	s.o.Go(func() {
		defer sub.polling.Done()
		full := s.poll(sub, n, wait)
		s.mu.Lock()
		if full {
			// Only now, when all was handed out: a slow reader is not buried in messages.
			sub.want = min(sub.want+1, s.o.MaxPolls)
		}
		sub.open--
		s.scheduleLocked()
		s.mu.Unlock()
	})
}

// poll receives up to n messages and hands them out, and reports whether it came back full.
// Until the last message is taken the poll counts as open.
func (s *Subscriber) poll(sub *subscription, n int, wait time.Duration) (full bool) {
	msgs, err := s.receive(sub, n, wait, s.o.Lease)
	if err != nil {
		pause(s.failed(sub, n, err), sub.stop)
		return false
	}
	if len(msgs) > 1 {
		now := time.Now()
		s.flowing.Store(&now)
	}
	s.deliver(sub, s.admit(sub, n, msgs, s.o.Lease))
	return len(msgs) >= n
}

// deliver hands out what was admitted, or releases it where nothing is to be handed out any more.
func (s *Subscriber) deliver(sub *subscription, leases []*Lease) {
	open := s.o.Gate == nil || s.o.Gate.Open()
	for _, l := range leases {
		if open && s.hand(sub, l) {
			sub.handed.Add(1)
			s.running.Go(func() { s.tend(l) })
		} else {
			s.running.Go(func() { s.settle(l, settlement{kind: releasing}) })
		}
	}
}

func (s *Subscriber) receive(sub *subscription, n int, wait, lease time.Duration) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(sub.polls, wait+requestTimeout)
	defer cancel()
	out, err := s.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    aws.String(sub.url),
		MaxNumberOfMessages:         int32(n),
		WaitTimeSeconds:             int32(wait / time.Second),
		VisibilityTimeout:           int32(lease / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("receiving from %s: %w", sub.url, err)
	}
	return out.Messages, nil
}

// failed notes a failed poll and returns how long to wait before the next.
func (s *Subscriber) failed(sub *subscription, n int, err error) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved -= n
	sub.want, sub.full = 1, false
	if sub.stopped {
		return 0 // cancelled by us, most likely
	}
	if sub.failing == nil {
		s.log.Error("receiving fails; going on trying", zap.String("queue", sub.url), zap.Error(err))
	}
	sub.failing = err
	sub.failures++
	return fullJitter(receiveBackoff, receiveBackoffMax, sub.failures-1)
}

// admit takes the messages of a poll for n into the window, and returns those to hand out. lease
// is the visibility timeout that they were received with.
func (s *Subscriber) admit(sub *subscription, n int, msgs []types.Message, lease time.Duration) []*Lease {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved -= n
	sub.full = len(msgs) >= n
	if len(msgs) == 0 {
		sub.want = 1
	}
	if sub.failing != nil {
		s.log.Info("receiving again", zap.String("queue", sub.url), zap.Int("failures", sub.failures))
		sub.failing, sub.failures = nil, 0
	}
	var leases []*Lease
	for _, m := range msgs {
		key := messageKey{sub.url, aws.ToString(m.MessageId)}
		l := s.byID[key]
		if l == nil || l.settling == releasing {
			l = newLease(s, sub, m, s.known[sub.url], now)
			s.held[l] = struct{}{}
			s.byID[key] = l
			leases = append(leases, l)
			s.stats.received.Add(1)
		} else {
			s.stats.again.Add(1)
		}
		l.receipt = aws.ToString(m.ReceiptHandle)
		l.since, l.until, l.lost = now, now.Add(lease), nil
		s.planLocked(l, now.Add(lease/2))
	}
	s.scheduleLocked() // what was reserved and not brought is free
	return leases
}

// hand gives a message to the subscription's reader; false means that it stopped first.
func (s *Subscriber) hand(sub *subscription, l *Lease) bool {
	if s.intake.Err() != nil {
		return false
	}
	select {
	case <-sub.stop:
		return false
	default:
	}
	select {
	case sub.out <- l.msg:
		return true
	case <-sub.stop:
		return false
	}
}
