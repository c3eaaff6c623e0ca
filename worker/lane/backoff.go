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

	// breakerOpens is how many requests in a row must find the service unavailable before it
	// counts as down: then there is one probe at a time, after gaps drawn like backoffs.
	breakerOpens = 5
)

// backoff returns the wait before the try after n failed ones.
func backoff(n int) time.Duration {
	most := backoffCap
	if n < 8 { // base·2⁸ is above the cap
		most = min(most, backoffBase<<n)
	}
	return time.Duration(rand.Int64N(int64(most) + 1))
}

// breaker counts requests in a row that found the service unavailable.
type breaker struct {
	failed  int
	probeAt time.Time
}

func (b *breaker) open() bool { return b.failed >= breakerOpens }

// allows says whether a request may begin.
func (b *breaker) allows(now time.Time, inFlight int) bool {
	return !b.open() || inFlight == 0 && !b.probeAt.After(now)
}

// note is told of each request's end.
func (b *breaker) note(now time.Time, unavailable bool) {
	if !unavailable {
		b.failed, b.probeAt = 0, time.Time{}
		return
	}
	b.failed++
	if b.open() {
		b.probeAt = now.Add(backoff(b.failed - breakerOpens + 1))
	}
}
