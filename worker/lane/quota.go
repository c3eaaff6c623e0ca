package lane

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// climb is the seconds that a rate of one call a second takes from a cut back to its plateau;
	// a higher one takes less, by its root: 5 s at 50 a second. A worker alone is throttled about
	// once in twice that time, so 0.2 % of its calls at 50 a second and 1.8 % at one in two
	// seconds; in proportion to the rate it would be either too many there or too slow here. A plateau
	// below the outset's rate takes no longer than that: it is a share of a quota, and were smaller
	// shares slower, they would remain small (of 320 runs of eight workers the least share was 0.46
	// of fair, and the time up to 1.11 of the ideal; it is 0.57, and 1.04).
	climb = 35.0
	// steep is the share of the plateau by which the rate is beyond it after as long again as the
	// way to it took. It grows with the third power of time: hardly anything at first, and the
	// double of the plateau after 2.2 times as long, so that what has changed is soon found.
	steep = 0.1
	// reach is in how many times the way of the outset's rate a rate, however low, has come back
	// to the outset's: 20 s at 50 a second. This growth is the same for all who share a quota,
	// and the cuts of those with more are more: so shares become even. Quicker makes them so
	// sooner, and costs throttles: at 4, 4.3 % of the calls of eight workers, at 6, 3.9 %.
	reach = 4
	// A cut leaves at most gentle of the rate and at least hard of it: less would fall below the
	// goal on the word of one call, more would not let AWS's bucket gather a call or two.
	gentle = 0.85
	hard   = 0.7
	// dip is the share of what seems right that a cut leaves: what AWS's bucket gathers until the
	// plateau pays for the probing beyond it.
	dip = 0.95
	// enough calls since the last cut tell their rate to a tenth.
	enough = 10
	// A rate that has come so far beyond its plateau has found a new quota, or a share that others
	// have left: the average since the cut tells of the way there, and what was accepted within the
	// last second counts, less what of it AWS's bucket gave. Without it one of a hundred doubled
	// quotas was used to 86 % half a minute later.
	far     = 1.5
	lasting = 0.8
	// margin is left in the bucket: calls do not arrive exactly as far apart as they were sent.
	margin = 0.5
	// The allowed rate never falls below slowest: a call in ten seconds, a fifth of the slowest
	// published refill (EMR's, facts/aws.json), so that the end of a throttling is soon seen.
	slowest = 0.1
)

// Quota is a token bucket that mirrors AWS's own and learns: from a configured rate, or from
// none. Lanes that spend one AWS quota share one Quota; workers that share an account know
// nothing of each other and come to even shares. It is safe for concurrent use.
//
// It is in one of three states:
//
//   - unlimited: no rate is configured, and nothing was throttled yet. What was accepted within
//     about a second before the first throttled call becomes the rate.
//   - stocked: the bucket is full, or was and has not been empty since. A throttled call then
//     says that others have emptied AWS's bucket: the stock is gone, and the rate does not change.
//   - paced: calls go out as the rate refills the bucket. A throttled call cuts the rate to
//     below what seems right. From there it climbs to what seems right, the plateau, slower and
//     slower, lingers there, and then probes beyond, faster and faster, until the next cut.
//
// What seems right is what was accepted a second since the last cut: at both ends AWS's bucket
// was empty, so this is its refill, or this worker's share of it, exactly. Who is cut before
// having come back to the plateau shares the quota, and remains below.
//
// Only time for which a call waited for its token counts as climbing: a quota that is not used
// up says nothing about its end.
type Quota struct {
	mu     sync.Mutex
	outset float64 // configured calls a second; 0: none, until the first throttle
	burst  float64 // size of the bucket
	chance *rand.Rand

	rate    float64 // calls a second allowed now; 0: unlimited
	tokens  float64 // may be negative: reserved ahead
	at      time.Time
	stocked bool

	start    float64 // the rate after the cut
	plateau  float64
	way      float64 // seconds from start to plateau
	waited   float64 // seconds since the cut for which calls waited for tokens
	cutAt    time.Time
	accepted float64 // of the calls whose token was reserved since then
	average  float64 // accepted a second between the cuts before; 0: too few to tell

	lately float64 // accepted calls, each fading within about a second
	fadeAt time.Time
}

// NewQuota returns a bucket of burst calls, full, that refills at rate calls a second. With a
// rate of 0 there is no limit until calls are throttled. A burst below 1 counts as 1. Jitter is drawn
// from chance, which is to be safe for concurrent use where it is shared; nil means one of its own.
func NewQuota(rate, burst float64, chance *rand.Rand) *Quota {
	burst = math.Max(burst, 1)
	now := time.Now()
	q := &Quota{outset: rate, burst: burst, chance: orOwn(chance), tokens: burst - margin, at: now, stocked: true, cutAt: now, fadeAt: now}
	if rate > 0 {
		q.set(rate, rate)
	}
	return q
}

// Rate returns the calls a second that are allowed now; 0 is no limit.
func (q *Quota) Rate() float64 {
	rate, _ := q.state()
	return rate
}

// state returns the rate allowed now, 0 where there is no limit, and the tokens there.
func (q *Quota) state() (rate, tokens float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refill(time.Now())
	return q.rate, q.tokens
}

// IsFull reports whether the bucket is full, or nothing limits it. What was learned of its rate does not count.
func (q *Quota) IsFull() bool {
	rate, tokens := q.state()
	return rate == 0 || tokens >= q.burst-margin
}

// reserve takes a token and returns in how long it will be there, and how long the rate takes to
// refill one: 0 where there is no limit.
func (q *Quota) reserve(now time.Time) (wait, each time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refill(now)
	if q.rate == 0 {
		return 0, 0
	}
	q.tokens--
	second := float64(time.Second)
	return time.Duration(math.Max(0, -q.tokens) / q.rate * second), time.Duration(second / q.rate)
}

// stalled records that nothing could be called for a while: what was probed meanwhile was not shown to be
// right.
func (q *Quota) stalled(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refill(now)
	if q.rate > 0 && q.waited > q.way {
		q.waited = q.way
		q.rate = q.curve()
	}
}

// refill brings tokens and rate up to now.
func (q *Quota) refill(now time.Time) {
	passed := now.Sub(q.at).Seconds()
	if passed <= 0 {
		return
	}
	q.at = now
	if q.rate == 0 {
		return
	}
	if q.tokens < 0 {
		if q.stocked { // the stock is spent, on both sides: from here on the average counts
			q.stocked = false
			q.measure(now)
		}
		q.waited += math.Min(passed, -q.tokens/q.rate)
	}
	q.tokens += passed * q.rate
	if q.tokens >= q.burst-margin {
		q.tokens, q.stocked = q.burst-margin, true
	}
	q.rate = q.curve()
}

// curve is the rate after having waited since the cut.
func (q *Quota) curve() float64 {
	beyond := q.waited - q.way
	x := beyond / q.way
	if x < 0 {
		return q.plateau + (q.plateau-q.start)*x*x*x
	}
	y := beyond / (reach * way(q.outset))
	return q.plateau + q.plateau*steep*x*x*x + q.outset*y*y*y
}

func way(rate float64) float64 { return climb / math.Sqrt(rate) }

// set begins a curve.
func (q *Quota) set(start, plateau float64) {
	q.start = math.Max(start, slowest)
	q.plateau = math.Max(plateau, q.start)
	q.rate = q.start
	// Workers that were throttled together do not come back together.
	q.way = way(math.Max(q.plateau, q.outset)) * (0.75 + q.chance.Float64()/2)
	q.waited = 0
	if q.start == q.plateau {
		q.waited = q.way
	}
}

// took records a call, whose token was reserved at that time, that was answered and not throttled.
func (q *Quota) took(now, reserved time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lately = 1 + q.lately*math.Exp(-now.Sub(q.fadeAt).Seconds())
	q.fadeAt = now
	if !reserved.Before(q.cutAt) {
		q.accepted++
	}
}

// recently is what was accepted a second within about the last one.
func (q *Quota) recently(now time.Time) float64 {
	return q.lately * math.Exp(-now.Sub(q.fadeAt).Seconds())
}

// throttled records a call, whose token was reserved at that time, that was throttled.
func (q *Quota) throttled(now, reserved time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refill(now)
	// AWS's bucket was empty a moment ago, whatever ours says.
	q.tokens = math.Min(q.tokens, 0)
	stocked := q.stocked
	q.stocked = false
	switch {
	case q.rate == 0:
		q.outset = math.Max(q.recently(now), 1)
		q.set(q.outset, q.outset)
		q.measure(now)
	case reserved.Before(q.cutAt): // the last cut has answered for it
	case stocked:
		q.measure(now)
	default:
		q.cut(now, reserved)
	}
}

// measure begins an average.
func (q *Quota) measure(now time.Time) {
	q.cutAt, q.accepted = now, 0
}

// cut records a throttled call that nothing explains but the rate.
func (q *Quota) cut(now, reserved time.Time) {
	var right float64
	if q.accepted >= enough {
		right = q.accepted / reserved.Sub(q.cutAt).Seconds()
		if q.rate > far*q.plateau {
			right = math.Max(right, lasting*q.recently(now))
		}
		q.average = right
	} else {
		right = math.Max(q.average, q.rate*q.accepted/(q.accepted+1))
	}
	start := math.Max(hard*q.rate, math.Min(gentle*q.rate, dip*right))
	plateau := right
	if q.waited < q.way && q.accepted >= enough {
		plateau = start
	}
	q.set(start, math.Min(plateau, q.rate))
	q.measure(now)
}
