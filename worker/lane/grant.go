package lane

import "time"

const (
	// atOnce is how many requests of a lane at rest may go out at once for tokens that nobody
	// has waited for. Each two that are accepted let three more go, so that a full bucket is spent
	// in a few round trips; and one that others have emptied, or that was never so large, is found
	// out at the price of half of what was there, and not of the whole burst.
	atOnce = 4
	// unknownPace is what goes out beyond that where no rate is known: one call a second, so that
	// calls which are not answered hold up nothing for ever.
	unknownPace = time.Second
)

// grant is a token of each quota, reserved for the lane's next request.
type grant struct {
	since time.Time // when it was reserved
	at    time.Time // when it may be spent; zero: there is none
	blame int8      // index of the quota that a throttle is put down to
	paced bool      // it is spent no sooner than a token was refilled for it
	doubt bool      // the tokens are there, the trust in them is not yet
}

// reserveLocked takes a token of each quota.
//
// Nobody says which quota throttled a call. It is put down to the one that the call had to wait
// longest for, as that is the one whose end is being looked for; without a wait, to the first
// of which a rate is known.
func (l *Lane[T]) reserveLocked(now time.Time) grant {
	g := grant{since: now, at: now, blame: -1}
	var pace time.Duration
	for i, q := range l.o.Quotas {
		wait, each := q.reserve(now)
		pace = max(pace, each)
		if at := now.Add(wait); at.After(g.at) {
			g.at, g.blame, g.paced = at, int8(i), true
		} else if g.blame < 0 && each > 0 {
			g.blame = int8(i)
		}
	}
	g.blame = max(g.blame, 0)
	if g.paced || len(l.o.Quotas) == 0 || l.unpaced < atOnce+l.proven/2 {
		return g
	}
	if pace == 0 {
		pace = unknownPace
	}
	g.at, g.paced, g.doubt = now.Add(pace), true, true
	return g
}

// spendLocked returns the grant if it may be spent now.
func (l *Lane[T]) spendLocked(now time.Time) (grant, bool) {
	if l.inFlight == 0 {
		l.proven = 0
	}
	if l.grant.at.IsZero() {
		l.grant = l.reserveLocked(now)
	}
	if l.grant.doubt && l.unpaced < atOnce+l.proven/2 {
		l.grant.at, l.grant.paced, l.grant.doubt = now, false, false
	}
	g := l.grant
	if g.at.After(now) {
		return g, false
	}
	l.grant = grant{}
	return g, true
}

const (
	// preparedMost is how many requests of a lane may be in Before, or wait for a token after it.
	preparedMost = 16
	// fresh is for how long a token that was taken before a request's Before is good after it: long enough
	// that a store which is slow for hours does not cost every request two.
	fresh = 5 * time.Second
)

// prepare does what has to come before a request. Where that has taken long, as many as had tokens would
// now go out at once: each takes another one and waits for it. It reports whether the request is to be made:
// not when the lane is drained meanwhile.
func (l *Lane[T]) prepare(r *request[T]) bool {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.preparing--
		l.pumpLocked()
	}()
	l.o.Before(l.ctx, r.key.key, r.values)
	now := time.Now()
	if now.Sub(r.began) < fresh {
		return true
	}
	var longest time.Duration
	for _, q := range l.o.Quotas {
		q.stalled(now)
		wait, _ := q.reserve(now)
		longest = max(longest, wait)
	}
	r.reserved = now
	select {
	case <-time.After(longest):
		return true
	case <-l.drained:
		return false
	}
}

// spentLocked tells trust and quotas what a request's answers said, whose token was reserved at
// that time.
func (l *Lane[T]) spentLocked(b *batch[T], reserved, now time.Time, t tally) {
	switch {
	case len(l.o.Quotas) == 0:
	case t.throttled > 0:
		l.proven = 0
		l.o.Quotas[b.blame].throttled(now, reserved)
	case t.answered > 0:
		if !b.paced {
			l.proven++
		}
		for _, q := range l.o.Quotas {
			q.took(now, reserved)
		}
	}
}
