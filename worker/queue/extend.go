package queue

import (
	"errors"
	"time"
)

const (
	// looks is how often in the time of a lease all leases are looked at. Those that are due by then
	// share requests.
	looks = 10
	// leaseMax is the longest that a lease is extended: SQS ends every lease 12 h after receipt.
	leaseMax = 11 * time.Hour
)

// extend extends leases, until the hard stop.
func (s *Subscriber) extend() {
	ticker := time.NewTicker(s.o.Lease / looks)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.hard:
			return
		}
		for _, e := range s.due(time.Now()) {
			e.lease.sub.requests.visibilities.Go(e.visibility, func(err error) { s.extended(e, err) })
		}
	}
}

type extension struct {
	lease *Lease
	visibility
	asked time.Time
}

// due lists the extensions to ask for: of leases with half of their time left. A message that is
// being settled has none, so that the end of its lease bounds for how long settling is tried.
func (s *Subscriber) due(now time.Time) (list []extension) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.window.leases {
		end := l.since.Add(leaseMax)
		left := end.Sub(now).Truncate(time.Second)
		switch {
		case l.settling != undecided || l.extending != nil || l.lost != nil:
		case left <= 0:
			s.loseLocked(l, errTooLong)
		case !now.Before(l.until):
			s.loseLocked(l, errLeaseOver)
		case l.until.Sub(now) <= s.o.Lease/2 && l.until.Before(end.Add(-time.Second)):
			l.extending = make(chan struct{})
			list = append(list, extension{l, visibility{l.receipt, min(s.o.Lease, left)}, now})
		}
	}
	return list
}

// extended takes the answer to an extension. One that failed is asked for again at the next look: a
// missing permission or queue may be mended meanwhile.
func (s *Subscriber) extended(e extension, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := e.lease
	close(l.extending)
	l.extending = nil
	switch {
	case e.receipt != l.receipt: // received again meanwhile: this is about the older lease
	case err == nil:
		s.stats.Extended++
		l.until = e.asked.Add(e.timeout)
	case errors.Is(err, errHandleRefused):
		s.loseLocked(l, err)
	}
}
