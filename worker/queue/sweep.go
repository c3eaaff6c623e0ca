package queue

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.uber.org/zap"
)

// A dead-letter queue holds many messages that are to stay there, and SQS receives what it likes:
// to find the few that are wanted, all are received. A sweep does so once: what it leaves alone
// stays hidden for as long as the sweep may last, so that nothing is met twice, and shows again
// by itself, which costs no request and no memory. Sweeps are few: one when there are more messages
// than at the last one, and one an hour in case the count has misled. A sweep of n messages is
// n/10 receives, and adds one to the receive count of each.
const (
	// lookEvery is the time between two looks at the count, drawn from three to five quarters of
	// it, so that a fleet does not look all at once: one request a look. SQS's counts are right
	// a minute after the last change ("GetQueueAttributes", SQS API Reference).
	lookEvery = time.Minute
	// sweepEvery is the longest time between two sweeps of a queue that is not empty.
	sweepEvery = time.Hour
	// hideLeast and hideEach are how long a sweep hides what it receives: 10 s, and 1 ms for
	// each message there, which leaves a receive of ten by one of eight polls 80 ms.
	hideLeast, hideEach = 10 * time.Second, time.Millisecond
	// sweepMost is the most messages that a sweep hides. SQS receives no more from a standard
	// queue while about 120,000 of its messages are hidden ("Amazon SQS message quotas", SQS
	// Developer Guide).
	sweepMost = 100_000
	// pollFor is the number of messages for which a sweep has one poll more, up to sweepPolls.
	pollFor, sweepPolls = 5_000, 8
	// sweepWait makes polls long ones: a short one may come back empty though there are messages.
	sweepWait = time.Second
	// complainEvery is how often a dead-letter queue that cannot be read is told of.
	complainEvery = time.Hour
)

// lookout is what is known of a dead-letter queue between sweeps. It belongs to one goroutine.
type lookout struct {
	counted    int           // the least count since the last sweep began
	rest       time.Time     // no sweep before: what the last one hid has been visible for a while
	next       time.Time     // sweep then, whatever the count
	gap        time.Duration // doubles with each sweep that may have left something and found nothing new
	buried     int64         // Stats.Buried when the last sweep began
	complained time.Time
}

// lookOut looks for strays until the subscription stops.
func (s *Subscriber) lookOut(sub *subscription) {
	var o lookout
	for wait := rand.N(lookEvery); ; wait = lookEvery*3/4 + rand.N(lookEvery/2) {
		pause(wait, sub.stop)
		if sub.isStopped() {
			return
		}
		if s.o.Gate == nil || s.o.Gate.Open() {
			s.look(sub, &o)
		}
	}
}

func (sub *subscription) isStopped() bool {
	select {
	case <-sub.stop:
		return true
	default:
		return false
	}
}

// look counts a dead-letter queue's messages, and sweeps it when that is due.
func (s *Subscriber) look(sub *subscription, o *lookout) {
	ctx, cancel := context.WithTimeout(sub.polls, requestTimeout)
	b, err := s.Backlog(ctx, sub.url)
	cancel()
	if err != nil {
		s.complain(sub, o, err)
		return
	}
	total, now := b.Visible+b.Held+b.Delayed, time.Now()
	risen := total > o.counted
	if due := risen || !now.Before(o.next); !due || b.Visible == 0 || now.Before(o.rest) {
		o.counted = min(o.counted, total)
		return
	}
	buried := s.stats.buried.Load()
	fresh := risen || buried > o.buried // or what was found last time came to its end
	o.counted, o.buried = total, buried
	w := s.sweep(sub, total)
	now = time.Now()
	o.rest = now.Add(2 * w.hide)
	if w.err != nil {
		s.complain(sub, o, w.err)
		o.next = now
		return
	}
	s.recovered(sub, o)
	if total > sweepMost {
		s.log.Warn("the dead-letter queue holds more messages than can be looked through: what SQS moves there may be found late, or never; clear it out",
			zap.String("queue", sub.url), zap.Int("messages", total), zap.Int("most", sweepMost))
	}
	switch {
	case w.strays == 0 && !w.cut && w.found >= total:
		o.gap, o.next = 0, now.Add(sweepEvery)
	case fresh:
		o.gap, o.next = lookEvery, now.Add(lookEvery)
	default:
		// Others hold messages, or some that were taken are released: they may be the same again.
		o.gap = min(max(2*o.gap, lookEvery), sweepEvery)
		o.next = now.Add(o.gap)
	}
}

// complain tells, once an hour, that a dead-letter queue cannot be read. The worker goes on: what
// it takes from its own queues comes to its end without this.
func (s *Subscriber) complain(sub *subscription, o *lookout, err error) {
	if sub.isStopped() || time.Since(o.complained) < complainEvery {
		return
	}
	o.complained = time.Now()
	s.log.Warn("the dead-letter queue cannot be read: what SQS moves there gets no outcome until it can be; "+
		"are sqs:GetQueueAttributes, sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:DeleteMessage allowed on it?",
		zap.String("queue", sub.url), zap.Error(err))
}

func (s *Subscriber) recovered(sub *subscription, o *lookout) {
	if !o.complained.IsZero() {
		s.log.Info("the dead-letter queue can be read again", zap.String("queue", sub.url))
		o.complained = time.Time{}
	}
}

// sweep is one pass over a dead-letter queue.
type sweep struct {
	hide time.Duration
	end  time.Time // no receive begins after it: what was hidden first is about to show again

	mu            sync.Mutex
	found, strays int
	cut           bool // it ended before SQS had nothing more to show
	err           error
}

// sweep goes over a queue of about total messages, and hands the strays out. It returns when
// nothing is visible any more, or when it may not go on.
func (s *Subscriber) sweep(sub *subscription, total int) *sweep {
	w := &sweep{hide: wholeSeconds(hideLeast + time.Duration(min(total, sweepMost))*hideEach)}
	w.end = time.Now().Add(w.hide - 2*sweepWait)
	var polls sync.WaitGroup
	for range min(1+total/pollFor, sweepPolls) {
		polls.Go(func() {
			for s.sweepOn(sub, w) {
			}
		})
	}
	polls.Wait()
	return w
}

// sweepOn makes one receive of a sweep, and reports whether another one is to follow.
func (s *Subscriber) sweepOn(sub *subscription, w *sweep) bool {
	n := min(batchMax, s.o.MaxInFlight)
	if !s.reserve(sub, w, n) {
		return w.note(0, 0, true, nil)
	}
	s.stats.polls.Add(1)
	msgs, err := s.receive(sub, n, sweepWait, w.hide)
	if err != nil {
		s.mu.Lock()
		s.reserved -= n
		s.scheduleLocked()
		s.mu.Unlock()
		return w.note(0, 0, true, err)
	}
	var strays []types.Message
	for _, m := range msgs {
		if s.o.Strays(m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)]) {
			strays = append(strays, m)
		}
	}
	s.deliver(sub, s.admit(sub, n, strays, w.hide))
	return w.note(len(msgs), len(strays), false, nil)
}

// note adds up a receive, and reports whether the sweep goes on for the poll that made it.
func (w *sweep) note(found, strays int, cut bool, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found += found
	w.strays += strays
	if err != nil && w.err == nil {
		w.err = err
	}
	if found > 0 && w.found >= sweepMost {
		cut = true
	}
	w.cut = w.cut || cut
	return !cut && found > 0
}

// reserve waits until n places are free, and takes them; false means that the sweep is over.
func (s *Subscriber) reserve(sub *subscription, w *sweep, n int) bool {
	over := time.NewTimer(time.Until(w.end))
	defer over.Stop()
	for {
		if sub.isStopped() || !time.Now().Before(w.end) || s.o.Gate != nil && !s.o.Gate.Open() {
			return false
		}
		s.mu.Lock()
		if s.o.MaxInFlight-len(s.held)-s.reserved >= n {
			s.reserved += n
			s.mu.Unlock()
			return true
		}
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-over.C:
		case <-sub.stop:
		}
	}
}

// roomLocked wakes the sweeps that wait for places.
func (s *Subscriber) roomLocked() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}
