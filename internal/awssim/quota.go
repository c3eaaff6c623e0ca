package awssim

import (
	"maps"
	"math"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/facts"
)

// Quota is a token bucket: Rate calls a second, and Burst at once. Rate 0 is no limit; Burst
// 0 is one second's worth, at least 1.
type Quota struct {
	Rate  float64
	Burst int
}

// DefaultQuotas are the rates that AWS publishes, by "service:Operation", and "service:*" for
// all operations of a service together; from internal/facts. AWS publishes no burst for
// Batch: it is taken to be one second's worth. SQS standard queues, SNS and STS are
// unlimited here: their quotas are far above what one simulator serves.
func DefaultQuotas() map[string]Quota {
	quotas := map[string]Quota{}
	for name, service := range facts.Core() {
		if name == "emr" {
			name = "elasticmapreduce" // the simulator knows services by their signing names
		}
		for operation, q := range service.Quotas {
			if operation == "ALL_API" || operation == "ALL" {
				operation = "*"
			}
			quotas[name+":"+operation] = Quota{Rate: q.Rate, Burst: int(q.Burst)}
		}
	}
	return quotas
}

// limiter holds one bucket for each quota, account and region. A bucket is the time at
// which it would be full again (the generic cell rate algorithm): exact to the nanosecond,
// with nothing to refill.
type limiter struct {
	mu     sync.Mutex
	quotas map[string]Quota
	full   map[bucket]time.Time
}

type bucket struct{ quota, account, region string }

func newLimiter(overrides map[string]Quota) *limiter {
	l := &limiter{quotas: DefaultQuotas(), full: map[bucket]time.Time{}}
	maps.Copy(l.quotas, overrides)
	return l
}

// set changes one quota; its buckets start full.
func (l *limiter) set(name string, q Quota) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quotas[name] = q
	maps.DeleteFunc(l.full, func(b bucket, _ time.Time) bool { return b.quota == name })
}

// take takes a token from the operation's bucket and one from its service's, or from neither.
func (l *limiter) take(now time.Time, service, operation, account, region string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := [...]string{service + ":" + operation, service + ":*"}
	var after [len(names)]time.Time
	for i, name := range names {
		q := l.quotas[name]
		if q.Rate <= 0 {
			continue
		}
		interval := time.Duration(math.Round(float64(time.Second) / q.Rate))
		burst := q.Burst
		if burst <= 0 {
			burst = max(1, int(q.Rate))
		}
		full := l.full[bucket{name, account, region}]
		if full.Before(now) {
			full = now
		}
		after[i] = full.Add(interval)
		if after[i].Sub(now) > time.Duration(burst)*interval {
			return false
		}
	}
	for i, name := range names {
		if !after[i].IsZero() {
			l.full[bucket{name, account, region}] = after[i]
		}
	}
	return true
}
