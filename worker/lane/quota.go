package lane

import (
	"math"
	"sync"
	"time"
)

const (
	// On a throttle the allowed rate falls to this share of itself, the factor that the SDK's
	// adaptive mode uses too (facts/aws.json, sdk_retry.adaptive.beta).
	decrease = 0.7
	// And no more often than this, so that the answers of requests that were under way
	// together count once.
	decreaseEvery = 500 * time.Millisecond
	// Each second without a throttle gives back this share of the configured rate.
	increasePerSecond = 0.1
	// Where no rate is configured, the learned one grows by this factor each second.
	growthPerSecond = 1.25
	// A learned rate above this is no limit any more.
	noLimit = 1e6
	// The allowed rate never falls below this share of the configured one, nor below slowest:
	// a call in ten seconds, a fifth of the slowest published refill (EMR's, facts/aws.json).
	floor   = 1.0 / 64
	slowest = 0.1
)

// Quota is a token bucket that learns: it starts from a configured rate, or from none, slows
// when calls are throttled and speeds up again when they are not. Lanes that spend one AWS
// quota share one Quota. It is safe for concurrent use.
type Quota struct {
	mu       sync.Mutex
	limit    float64 // configured calls a second; 0: none is known
	rate     float64 // calls a second allowed now; 0: no limit, as long as nothing is throttled
	burst    float64 // size of the bucket
	tokens   float64 // may be negative: reserved ahead
	at       time.Time
	slowedAt time.Time

	// What was spent: calls since windowAt, and calls a second in the window before that.
	windowAt time.Time
	window   float64
	spent    float64
}

// NewQuota returns a bucket of burst calls, full, that refills at rate calls a second. With a
// rate of 0 there is no limit until calls are throttled. A burst below 1 counts as 1.
func NewQuota(rate, burst float64) *Quota {
	burst = math.Max(burst, 1)
	now := time.Now()
	return &Quota{limit: rate, rate: rate, burst: burst, tokens: burst, at: now, windowAt: now}
}

// Rate returns the calls a second that are allowed now; 0 is no limit.
func (q *Quota) Rate() float64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refill(time.Now())
	return q.rate
}

// reserve takes a token and returns when it may be spent.
func (q *Quota) reserve(now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refill(now)
	q.window++
	if q.rate == 0 {
		return now
	}
	q.tokens--
	if q.tokens >= 0 {
		return now
	}
	return now.Add(time.Duration(-q.tokens / q.rate * float64(time.Second)))
}

// refill brings tokens, rate and what was spent up to now.
func (q *Quota) refill(now time.Time) {
	if passed := now.Sub(q.windowAt); passed >= time.Second {
		q.spent = q.window / passed.Seconds()
		q.windowAt, q.window = now, 0
	}
	passed := now.Sub(q.at).Seconds()
	if passed <= 0 {
		return
	}
	q.at = now
	if q.rate == 0 {
		return
	}
	q.tokens = math.Min(q.burst, q.tokens+passed*q.rate)
	switch {
	case q.limit == 0:
		// Nothing says where to stop; that nothing is throttled does. From a low estimate the
		// way up must not take minutes.
		q.rate = math.Max(q.rate*math.Pow(growthPerSecond, math.Min(passed, 10)), q.rate+passed)
		if q.rate > noLimit {
			q.rate = 0
		}
	case q.rate < q.limit:
		q.rate = math.Min(q.limit, q.rate+passed*increasePerSecond*q.limit)
	}
}

// slow is told of a throttled call.
func (q *Quota) slow(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refill(now)
	// AWS's bucket was empty a moment ago, whatever ours says.
	q.tokens = math.Min(q.tokens, 0)
	if now.Sub(q.slowedAt) < decreaseEvery {
		return
	}
	q.slowedAt = now
	rate := q.rate
	// What was used is told by a quarter of a second at least: less says too little.
	used := math.Max(q.spent, q.window/math.Max(now.Sub(q.windowAt).Seconds(), 0.25))
	if rate == 0 || used < rate && used > 0 {
		rate = used
	}
	q.rate = math.Max(rate*decrease, math.Max(q.limit*floor, slowest))
}
