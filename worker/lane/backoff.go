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

	// A service counts as down when so many requests in a row found it unavailable, or so many
	// found nothing but throttling: then there is one probe at a time, after gaps drawn like
	// backoffs. A quota that is believed four times too high throttles three of four requests,
	// and twenty in a row once in three hundred: for such the rate is to be learned.
	downAfter      = 5
	throttledAfter = 20
)

// backoff returns the wait before the try after n failed ones.
func backoff(n int) time.Duration {
	most := backoffCap
	if n < 8 { // base·2⁸ is above the cap
		most = min(most, backoffBase<<n)
	}
	return time.Duration(rand.Int64N(int64(most) + 1))
}

// breaker counts requests in a row that came to nothing.
type breaker struct {
	unavailable, throttled int
	probes                 int // since it opened
	probeAt                time.Time
}

func (b *breaker) open() bool {
	return b.unavailable >= downAfter || b.throttled >= throttledAfter
}

// allows says whether a request may begin.
func (b *breaker) allows(now time.Time, inFlight int) bool {
	return !b.open() || inFlight == 0 && !b.probeAt.After(now)
}

// note is told of each request's end: whether it began while the breaker was open, how many
// of its items came back unavailable, and how many throttled. Requests that were under way
// when the breaker opened say nothing new, unless they succeeded.
func (b *breaker) note(now time.Time, probe bool, items, unavailable, throttled int) {
	wasOpen := b.open()
	switch {
	case unavailable+throttled < items:
		*b = breaker{}
		return
	case wasOpen && !probe:
		return
	case unavailable > 0:
		b.unavailable++
	default:
		b.throttled++
	}
	if b.open() {
		b.probes++
		b.probeAt = now.Add(backoff(b.probes))
	}
}
