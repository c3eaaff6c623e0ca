package sqs

import (
	"context"
	"slices"
	"time"
)

// pollers wait for messages, first come, first served.
type pollers []*poller

// poller is one long poll.
type poller struct {
	wanting
	got chan []received // buffered: whoever answers never waits
}

// wakeLocked gives what is visible to those who wait, and sets the timer for the next
// message that will be. It is called after whatever may have made a message visible.
func (s *SQS) wakeLocked(q *queue, now time.Time) {
	if len(q.pollers) == 0 {
		return
	}
	q.advance(now)
	for len(q.pollers) > 0 && (q.visible.n > 0 || len(q.again) > 0) {
		// Out of the line first: a redrive may come back here, where two queues are each
		// other's dead-letter queue.
		p := q.pollers[0]
		q.pollers = slices.Delete(q.pollers, 0, 1)
		got := s.receiveLocked(q, p.wanting, now)
		if len(got) == 0 { // in-flight limit, or all went to the dead-letter queue
			q.pollers = slices.Insert(q.pollers, 0, p)
			break
		}
		p.got <- got
	}
	s.setTimerLocked(q, now)
}

func (s *SQS) setTimerLocked(q *queue, now time.Time) {
	next := q.later.first()
	if len(q.pollers) == 0 || next == nil {
		if q.timer != nil {
			q.timer.Stop()
		}
		return
	}
	wait := next.until.Sub(now)
	if q.timer != nil {
		q.timer.Reset(wait)
		return
	}
	q.timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wakeLocked(q, time.Now())
	})
}

// waitLocked waits, with the lock given back meanwhile, until there are messages, the wait is
// over, or ctx ends.
func (s *SQS) waitLocked(ctx context.Context, q *queue, w wanting, wait time.Duration, now time.Time) []received {
	p := &poller{wanting: w, got: make(chan []received, 1)}
	q.pollers = append(q.pollers, p)
	s.setTimerLocked(q, now)
	s.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	var got []received
	select {
	case got = <-p.got:
	case <-t.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	if got == nil {
		if i := slices.Index(q.pollers, p); i >= 0 {
			q.pollers = slices.Delete(q.pollers, i, i+1)
			s.setTimerLocked(q, time.Now())
			return nil
		}
		got = <-p.got // answered in the very moment
	}
	if ctx.Err() != nil {
		q.giveBackLocked(got)
		s.wakeLocked(q, time.Now())
		return nil
	}
	return got
}
