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
	// The allowed rate never falls below this share of the configured one.
	floor = 1.0 / 64
)

// Quota is a token bucket that learns: it starts from a configured rate, slows when calls
// are throttled and speeds up again when they are not. Lanes that spend one AWS quota share
// one Quota. It is safe for concurrent use.
type Quota struct {
	mu       sync.Mutex
	limit    float64 // configured calls a second; 0 is no limit
	rate     float64 // calls a second allowed now
	burst    float64 // size of the bucket
	tokens   float64 // may be negative: reserved ahead
	at       time.Time
	slowedAt time.Time
}

// NewQuota returns a bucket of burst calls, full, that refills at rate calls a second. A rate
// of 0 is no limit. A burst below 1 counts as 1.
func NewQuota(rate, burst float64) *Quota {
	burst = math.Max(burst, 1)
	return &Quota{limit: rate, rate: rate, burst: burst, tokens: burst, at: time.Now()}
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
	if q.limit == 0 {
		return now
	}
	q.refill(now)
	q.tokens--
	if q.tokens >= 0 {
		return now
	}
	return now.Add(time.Duration(-q.tokens / q.rate * float64(time.Second)))
}

// refill brings tokens and rate up to now.
func (q *Quota) refill(now time.Time) {
	passed := now.Sub(q.at).Seconds()
	if passed <= 0 || q.limit == 0 {
		return
	}
	q.at = now
	q.tokens = math.Min(q.burst, q.tokens+passed*q.rate)
	if q.rate < q.limit {
		q.rate = math.Min(q.limit, q.rate+passed*increasePerSecond*q.limit)
	}
}

// slow is told of a throttled call.
func (q *Quota) slow(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.limit == 0 {
		return
	}
	q.refill(now)
	// AWS's bucket was empty a moment ago, whatever ours says.
	q.tokens = math.Min(q.tokens, 0)
	if now.Sub(q.slowedAt) < decreaseEvery {
		return
	}
	q.slowedAt = now
	q.rate = math.Max(q.rate*decrease, q.limit*floor)
}
