package lane

import (
	"math"
	"time"
)

// Stats says what a lane did since it was made, and how it stands.
type Stats struct {
	Requests    int           // requests made
	Items       int           // different ids in them; over Requests, the fill of batches
	Throttled   int           // items that came back throttled
	Unavailable int           // items that came back unavailable
	Waiting     int           // different ids that wait now, those in backoff included
	InFlight    int           // requests under way now
	Oldest      time.Duration // how long the one that waits longest has been waiting; 0: none does
	Allowed     float64       // requests a second that the quotas allow now; 0: no limit
	Used        float64       // requests a second made lately, each fading within about ten seconds
	Down        bool          // the breaker is open
}

// Stats returns the lane's counts. It looks at every key with something waiting.
func (l *Lane[T]) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	s := l.stats
	s.Down = l.breaker.open()
	s.InFlight = l.inFlight
	s.Used = l.used.rate(now)
	s.Allowed, _ = l.allowed()
	sinceMade := now.Sub(l.made)
	since := sinceMade
	look := func(shares []*share[T]) {
		for _, each := range shares {
			if len(each.entries) > 0 {
				s.Waiting++
				since = min(since, each.since)
			}
		}
	}
	for _, k := range l.keys {
		look(k.waiting)
		k.eachBatch(func(b *batch[T]) { b.eachShares(look) })
	}
	for _, b := range l.delayed {
		b.eachShares(look)
	}
	s.Oldest = sinceMade - since
	return s
}

// manyKeys is the number of keys beyond which not each is looked at: so many stand for all.
const manyKeys = 256

// longest bounds what Ahead returns.
const longest = 24 * time.Hour

// Ahead is how long what waits in the lane is expected to take: the requests that it makes, at the rate that the
// quotas allow, and no faster than the lane really went where it has been busy for long enough to tell.
// 0: nothing limits the calls. It is a day at most, and means nothing while the service is down.
func (l *Lane[T]) Ahead() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := l.callsLocked(func(k *keyed[T]) int {
		return (k.live+l.o.Max-1)/l.o.Max + len(k.pieces) + len(k.failed) + k.backing
	})
	var wait float64
	if rate, tokens := l.allowed(); rate > 0 {
		wait = max(0, calls-max(0, tokens)) / rate
	}
	now := time.Now()
	if busy := now.Sub(l.busy); len(l.keys) > 0 && busy > measured {
		wait = max(wait, calls/l.done.since(now, busy))
	}
	return time.Duration(min(wait, longest.Seconds()) * float64(time.Second))
}

// callsLocked is how many calls all keys make.
func (l *Lane[T]) callsLocked(of func(*keyed[T]) int) float64 {
	calls, seen := 0.0, 0
	for _, k := range l.keys {
		if seen++; seen > manyKeys {
			return calls * float64(len(l.keys)) / manyKeys
		}
		calls += float64(of(k))
	}
	return calls
}

// Behind is how long what has not failed waits for its turn: the requests that it makes, at the rate that the quotas allow.
// Unlike Ahead it leaves out what was set aside, and how fast the lane really goes, which that slows down.
func (l *Lane[T]) Behind() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	rate, tokens := l.allowed()
	if rate <= 0 {
		return 0
	}
	calls := l.callsLocked(func(k *keyed[T]) int { return (k.live+l.o.Max-1)/l.o.Max + len(k.pieces) })
	wait := max(0, calls-max(0, tokens)) / rate
	return time.Duration(min(wait, longest.Seconds()) * float64(time.Second))
}

// Outage is what a lane knows of an outage of its service. The zero value is none.
type Outage struct {
	// Lasted is for how long the service has been down: the breaker is open. 0: it is not.
	Lasted time.Duration
	// Seen is when an item that had not failed before found it down last. Those that fail again show no
	// outage: they may be at fault.
	Seen time.Time
	// Answered is when it answered last while it was down.
	Answered time.Time
}

// Outage returns what the lane knows of an outage.
func (l *Lane[T]) Outage() Outage {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.breaker.open() {
		return Outage{}
	}
	return Outage{max(time.Since(l.breaker.since), 1), l.freshAt, l.breaker.closed}
}

// IsIdle reports whether nothing waits, and nothing is under way.
func (l *Lane[T]) IsIdle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.keys) == 0 && l.inFlight == 0
}

// busyLocked begins to measure how fast the lane goes.
func (l *Lane[T]) busyLocked(now time.Time) {
	l.busy, l.done = now, meter{over: steadily}
}

// Allowed is Stats' without looking at what waits.
func (l *Lane[T]) Allowed() float64 {
	rate, _ := l.allowed()
	return rate
}

// allowed returns the lowest rate of the quotas, 0 where none limits, and the tokens of the
// emptiest.
func (l *Lane[T]) allowed() (rate, tokens float64) {
	rate, tokens = math.Inf(1), math.Inf(1)
	for _, q := range l.o.Quotas {
		if r, n := q.state(); r > 0 {
			rate, tokens = math.Min(rate, r), math.Min(tokens, n)
		}
	}
	if math.IsInf(rate, 1) {
		return 0, tokens
	}
	return rate, tokens
}

const (
	// lately is the time in which what is reported as used now loses two thirds of its weight.
	lately = 10 * time.Second
	// measured is the time from which on how fast the lane went is taken for how fast it goes.
	measured = 2 * time.Second
	// steadily is the same for what Ahead measures, where a request a minute is to be seen too.
	steadily = time.Minute
)

// meter measures a rate of events, each of which fades.
type meter struct {
	over time.Duration // in which an event loses two thirds of its weight
	n    float64       // events, faded
	at   time.Time
}

func (m *meter) add(now time.Time) {
	m.n, m.at = m.faded(now)+1, now
}

func (m *meter) faded(now time.Time) float64 {
	return m.n * math.Exp(-now.Sub(m.at).Seconds()/m.over.Seconds())
}

func (m *meter) rate(now time.Time) float64 { return m.faded(now) / m.over.Seconds() }

// since is the rate where nothing was counted before it began so long ago, and at least that of
// one event in this time: none at all says no more.
func (m *meter) since(now time.Time, began time.Duration) float64 {
	over := m.over.Seconds()
	return max(m.faded(now), 1) / (over * (1 - math.Exp(-began.Seconds()/over)))
}
