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
		for _, b := range k.pieces {
			look(b.shares)
		}
	}
	for _, b := range l.delayed {
		look(b.shares)
	}
	s.Oldest = sinceMade - since
	return s
}

// longest bounds what Wait returns.
const longest = 24 * time.Hour

// manyKeys is the number of keys beyond which not each is looked at: so many stand for all.
const manyKeys = 256

// Wait says in how long a request would begin that takes an item of this key added now, and 0
// where nothing is in its way: after those that have their turn before, at the rate of the
// emptiest quota; and where the lane has been busy for longer than it takes to measure, not faster
// than it really went, be it for quotas that other lanes use too, or because the service is slow.
// Where nothing has come back for longer, it is that time: the service hangs, or takes its time.
// It is at most a day. While the service is down (Down) nobody knows, and it means nothing.
func (l *Lane[T]) Wait(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	mine, waited := 1, time.Duration(0)
	if k := l.keys[key]; k != nil {
		mine = l.requestsLocked(k, 1)
		if len(k.waiting) > 0 && k.waiting[0] != nil {
			waited = now.Sub(l.made) - k.waiting[0].since
		}
	}
	before, seen := 0.0, 0
	for _, k := range l.keys { // keys take turns
		if seen == manyKeys {
			break
		}
		seen++
		if k.key != key {
			before += float64(min(l.requestsLocked(k, 0), mine))
		}
	}
	if seen > 0 {
		before *= float64(len(l.keys)) / float64(seen)
	}
	before += float64(mine - 1)
	var wait float64
	if rate, tokens := l.allowed(); rate > 0 {
		wait = max(0, before+1-max(0, tokens)) / rate
	}
	if busy := now.Sub(l.busy); min(waited, busy) > measured {
		wait = max(wait, before/l.done.since(now, busy))
	}
	if l.inFlight > 0 {
		// Nothing has come back for as long: it may be as long again.
		wait = max(wait, now.Sub(later(l.ended, l.busy)).Seconds())
	}
	return time.Duration(min(wait, longest.Seconds()) * float64(time.Second))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

const (
	// rounds of full requests, each as many as may be under way, are plenty.
	rounds = 4
	// quick is what a request takes at most in a lane with plenty: its places are free so soon again
	// that thousands of requests are done in a few seconds.
	quick = 60 * time.Millisecond
	// soonDone is the longest that all that is plenty may take.
	soonDone = 5 * time.Second
)

// Plenty reports whether more work would only wait: full requests stand ready, neither tokens nor
// the service keep them back, and those under way make place for all of them within five seconds.
func (l *Lane[T]) Plenty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.breaker.open() || l.grant.at.After(now) || l.took > quick || now.Sub(l.ended) > 2*quick || len(l.keys) > manyKeys {
		return false
	}
	ready := 0
	for _, k := range l.keys {
		ready += k.live / l.o.Max
	}
	return ready >= rounds*l.o.InFlight && time.Duration(ready/l.o.InFlight)*l.took <= soonDone
}

// promptly is the time in which what a lane is prompt with is in a request.
const promptly = time.Second

// Prompt reports whether so many items, of those keys that wait now, would all be in requests within
// a second of having gathered, as far as anybody can tell: the tokens are there, nothing backs off, and
// the service answers.
func (l *Lane[T]) Prompt(items float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.breaker.open() || len(l.delayed) > 0 || l.inFlight > 0 && now.Sub(later(l.ended, l.busy)) > promptly {
		return false
	}
	calls := max(items/float64(l.o.Max), float64(len(l.keys)))
	rate, tokens := l.allowed()
	if rate > 0 && calls > max(tokens, 0)+rate*promptly.Seconds() {
		return false
	}
	return calls/float64(l.o.InFlight)*l.took.Seconds() <= promptly.Seconds()
}

// Outlook says at which pace a lane goes.
type Outlook struct {
	Pace  float64       // items a second; infinite where nothing limits the calls
	Round time.Duration // in which each of the keys has its turn once, at most a day
}

// Outlook says at which pace the lane serves what waits, were it so many times as much: the calls
// that there are, each as full as that makes it. As with Wait it means nothing while the service
// is down.
func (l *Lane[T]) Outlook(times float64) Outlook {
	l.mu.Lock()
	defer l.mu.Unlock()
	rate, _ := l.allowed()
	if rate == 0 {
		rate = math.Inf(1)
	}
	now := time.Now()
	if busy := now.Sub(l.busy); len(l.keys) > 0 && busy > measured {
		rate = min(rate, l.done.since(now, busy))
	}
	most := float64(l.o.Max)
	items, calls, turns, seen := 0.0, 0.0, 0, 0
	for _, k := range l.keys {
		if seen++; seen > manyKeys {
			turns = len(l.ring) // so many are as good as all
			break
		}
		if k.live > 0 {
			turns++
			items += float64(k.live) * times
			// What is left over of a key's last full request joins what comes.
			calls += max(1, float64(k.live)*times/most)
		}
	}
	if calls == 0 { // nobody knows under how many keys it comes
		items, calls = most, 1
	}
	round := min(float64(turns)/rate, longest.Seconds())
	return Outlook{Pace: rate * items / calls, Round: time.Duration(round * float64(time.Second))}
}

// requestsLocked is how many requests are left to be made for a key and so many items more.
func (l *Lane[T]) requestsLocked(k *keyed[T], more int) int {
	return (k.live+more+l.o.Max-1)/l.o.Max + len(k.pieces) + k.backing
}

// Down says for how long the service has been down, 0 while it is not: the breaker is open.
func (l *Lane[T]) Down() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.breaker.open() {
		return 0
	}
	return max(time.Since(l.breaker.since), 1)
}

// busyLocked begins to measure how fast the lane goes.
func (l *Lane[T]) busyLocked(now time.Time) {
	l.busy, l.done = now, meter{over: steadily}
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
	// lately is the time in which what is told as used now loses two thirds of its weight.
	lately = 10 * time.Second
	// measured is the time from which on how fast the lane went is taken for how fast it goes.
	measured = 2 * time.Second
	// steadily is the same for what Wait measures, where a request a minute is to be seen too.
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
