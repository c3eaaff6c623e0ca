package queue

import (
	"container/heap"
	"errors"
	"time"

	"go.uber.org/zap"
)

// dueHeap orders leases by when they are to be extended: one timer serves all of them.
type dueHeap []*Lease

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push and Pop are for container/heap.
func (h *dueHeap) Push(x any) {
	l := x.(*Lease)
	l.index = len(*h)
	*h = append(*h, l)
}

func (h *dueHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.index = -1
	return l
}

// planLocked sets when a lease is to be extended. One that is being settled is not, so that the
// lease's end bounds how long settling is tried; one whose extension is under way is planned
// when that is answered.
func (s *Subscriber) planLocked(l *Lease, at time.Time) {
	if l.settling != 0 || l.extending != nil {
		return
	}
	l.next = at
	if l.index >= 0 {
		heap.Fix(&s.due, l.index)
	} else {
		heap.Push(&s.due, l)
	}
	if l.index == 0 {
		select {
		case s.sooner <- struct{}{}:
		default:
		}
	}
}

func (s *Subscriber) unplanLocked(l *Lease) {
	if l.index >= 0 {
		heap.Remove(&s.due, l.index)
	}
}

// extend keeps every held lease alive, until the hard stop.
func (s *Subscriber) extend() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.sooner:
		case <-s.hard:
			return
		}
		now := time.Now()
		s.mu.Lock()
		extensions := s.takeDueLocked(now)
		if len(s.due) > 0 {
			timer.Reset(s.due[0].next.Sub(now))
		} else {
			timer.Stop()
		}
		s.mu.Unlock()
		for _, e := range extensions {
			e.lease.sub.requests.visibilities.Go(e.visibility, func(err error) { s.extended(e, err) })
		}
	}
}

type extension struct {
	lease *Lease
	visibility
	asked time.Time
}

// takeDueLocked takes what is due. When one lease is, those that come due within a tenth of the
// lease go along: it costs an extension a little early, and fills requests that would
// otherwise carry one message each.
func (s *Subscriber) takeDueLocked(now time.Time) []extension {
	if len(s.due) == 0 || s.due[0].next.After(now) {
		return nil
	}
	var list []extension
	horizon := now.Add(s.o.Lease / 10)
	for len(s.due) > 0 && !s.due[0].next.After(horizon) {
		l := heap.Pop(&s.due).(*Lease)
		left := l.since.Add(s.o.MaxHold).Sub(now)
		switch {
		case !now.Before(l.until) && left >= time.Second:
			s.loseLocked(l, ErrLeaseOver)
		case left < time.Second:
			s.loseLocked(l, ErrHeldTooLong)
		default:
			l.extending = make(chan struct{})
			v := visibility{receipt: l.receipt, timeout: min(s.o.Lease, left.Truncate(time.Second))}
			list = append(list, extension{l, v, now})
		}
	}
	return list
}

// extended takes the answer to an extension.
func (s *Subscriber) extended(e extension, err error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := e.lease
	close(l.extending)
	l.extending = nil
	fault := judge(err)
	if e.receipt != l.receipt {
		// Received again meanwhile: what SQS says of the old handle no longer matters.
		s.planLocked(l, l.since.Add(s.o.Lease/2))
		return
	}
	switch fault {
	case none:
		s.stats.extended.Add(1)
		l.until = e.asked.Add(e.timeout)
		next := e.asked.Add(e.timeout / 2)
		if e.timeout < s.o.Lease {
			next = l.until // held for as long as may be: the next look lets it go
		}
		s.planLocked(l, next)
	case handleRefused:
		s.loseLocked(l, errors.Join(ErrHandleRefused, err))
	case refused, again:
		// A refusal of another kind (permissions, a deleted queue) may be mended, and costs
		// no more than the lease.
		s.planLocked(l, now.Add(fullJitter(settleBackoff, settleBackoffMax, 3)))
	}
}

// loseLocked marks a lease as lost, once.
func (s *Subscriber) loseLocked(l *Lease, why error) {
	if l.lost != nil {
		return
	}
	l.lost = why
	s.stats.lost.Add(1)
	s.log.Warn("lease lost; the message will come again", zap.Error(why), zap.String("queue", l.QueueURL),
		zap.String("message", l.MessageID), zap.Duration("held", time.Since(l.since)))
}
