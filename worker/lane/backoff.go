package lane

import (
	"math/rand/v2"
	"time"
)

const (
	// backoffBase and backoffCap bound the full-jitter backoff: the n-th wait is drawn evenly
	// from 0 to the lesser of base·2ⁿ and cap. The cap is that of the SDK's standard retryer
	// (facts/aws.json, sdk_retry.max_backoff_s).
	backoffBase = 100 * time.Millisecond
	backoffCap  = 20 * time.Second

	// A service counts as down when so many requests in a row found it unavailable, for distinct causes
	// (see noteLocked). Where one of two fails, that is once in a thousand requests, and costs the first
	// gap.
	downAfter = 10
	// Then it is probed after gaps that double from firstGap to lastGap, of each of which half is
	// left to chance: two dozen probes in an outage of two minutes, and its end is seen
	// within lastGap. So is it where a probe is not answered at all: the next does not wait longer.
	firstGap = 200 * time.Millisecond
	lastGap  = 8 * time.Second
	// An outage is remembered for as long as it lasted, but no longer than this.
	remembered = 15 * time.Minute
)

// orOwn returns r, or where it is nil a source of a seed drawn now.
func orOwn(r *rand.Rand) *rand.Rand {
	if r == nil {
		return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return r
}

// below draws a time from 0 to below most.
func (l *Lane[T]) below(most time.Duration) time.Duration {
	return time.Duration(l.o.Chance.Int64N(int64(most)))
}

// backoff returns the wait before the next try, after n+1 failed ones.
func (l *Lane[T]) backoff(n int) time.Duration {
	most := backoffCap
	if n < 8 { // base·2⁸ is above the cap
		most = min(most, backoffBase<<n)
	}
	return l.below(most + 1)
}

// breaker counts requests in a row that found the service unavailable. It is closed while
// those are few: requests begin as quotas allow. It is open when they are downAfter: one probe
// at a time begins, after growing gaps. Any answer closes it, a throttle too, and what waits
// goes on at the speed of its quotas.
type breaker struct {
	failed  int
	since   time.Time     // when it opened, first of all where the service has not recovered since
	opened  time.Time     // when it opened last
	closed  time.Time     // when it closed last
	better  int           // answered requests over failed ones since, 0 at the least; it ends at downAfter
	gap     time.Duration // before the next probe
	probeAt time.Time
}

func (b *breaker) open() bool { return b.failed >= downAfter }

// allows says whether a request may begin.
func (b *breaker) allows(now time.Time) bool { return !b.open() || !b.probeAt.After(now) }

// begin records each request's begin and says whether it is a probe.
func (b *breaker) begin(now time.Time) bool {
	if b.open() {
		b.probeAt = now.Add(lastGap) // unless it ends before
	}
	return b.open()
}

// note records each request's end, and whether the service answered. It says whether that
// closed the breaker. Requests that were under way when it opened say nothing new, unless they
// were answered. below draws a part of the gap before the next probe.
func (b *breaker) note(now time.Time, probe, answered bool, below func(time.Duration) time.Duration) (closed bool) {
	switch {
	case answered:
		closed = b.open()
		if closed {
			b.closed, b.better = now, 0
		}
		b.better = min(b.better+1, downAfter)
		b.failed, b.gap, b.probeAt = 0, 0, time.Time{}
	case b.open() && !probe:
	default:
		if b.better < downAfter {
			b.better = max(b.better-1, 0)
		}
		if b.failed++; b.failed == downAfter {
			b.opened = now
			if b.recovered(now) {
				b.since = now
			}
		}
		if b.open() {
			b.gap = min(lastGap, max(firstGap, 2*b.gap))
			b.probeAt = now.Add(b.gap/2 + below(b.gap/2))
		}
	}
	return closed
}

// recovered says whether the last outage was over, or is too long ago to say anything of a new one.
func (b *breaker) recovered(now time.Time) bool {
	return b.better >= downAfter || now.Sub(b.closed) > max(lastGap, min(b.closed.Sub(b.since), remembered))
}
