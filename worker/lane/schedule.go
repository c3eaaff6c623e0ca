package lane

import (
	"container/heap"
	"runtime/debug"
	"slices"
	"time"
)

// pumpLocked starts whatever can be started, and sets the timer for what cannot yet.
func (l *Lane[T]) pumpLocked() {
	if next := l.pumpNextLocked(); next != nil {
		l.wg.Go(func() { l.work(next) })
	}
}

// pumpNextLocked is pumpLocked, but leaves the first of the requests, if there is one, to the
// caller.
func (l *Lane[T]) pumpNextLocked() (first *request[T]) {
	if l.draining {
		return nil
	}
	now := time.Now()
	l.gathers = time.Time{}
	l.wakeLocked(now)
	for l.breaker.allows(now) {
		k := l.nextLocked(now)
		if k == nil {
			break
		}
		g, ok := l.spendLocked(now)
		if !ok {
			break
		}
		l.rotateLocked(now)
		next := l.startLocked(k.cut(l.o.Max), g, now)
		if first == nil {
			first = next
			continue
		}
		l.wg.Go(func() { l.work(next) })
	}
	l.setTimerLocked(now)
	return first
}

const (
	// fullWeighs is how many times as fast the turn of a key with a full request comes as that of
	// one with hardly anything: where tokens are scarce each is worth as much as its request
	// carries, and no key waits for ever.
	fullWeighs = 4
	// candidates is how many keys are compared: those that have waited longest for a turn.
	candidates = 64
)

// nextLocked brings to the front of the ring, and returns, the key whose turn it is among those
// that have a request to make. The turn is not over until the request starts.
func (l *Lane[T]) nextLocked(now time.Time) *keyed[T] {
	var best *keyed[T]
	at, most, able := 0, 0.0, 0
	patience := l.patienceLocked(now)
	for i := 0; i < len(l.ring) && able < candidates; i++ {
		k := l.ring[i]
		k.dropEmptyPieces()
		if k.live == 0 && len(k.pieces) == 0 {
			l.ring = slices.Delete(l.ring, i, i+1)
			k.inRing = false
			l.forgetLocked(k)
			i--
			continue
		}
		full := k.live >= l.o.Max || len(k.pieces) > 0
		if k.inFlight >= l.o.InFlight || !full && k.inFlight >= l.o.PartFilled {
			continue
		}
		if !full && !k.hurry && patience > 0 {
			// Nothing new for a while, or the first one has waited for long enough.
			until := earlier(l.arrived.Add(lull), l.made.Add(k.waiting[0].since+patience))
			if until.After(now) {
				if l.gathers.IsZero() || until.Before(l.gathers) {
					l.gathers = until
				}
				continue
			}
		}
		able++
		if due := k.dueness(full, l.o.Max, now); best == nil || due > most {
			best, at, most = k, i, due
		}
	}
	if best != nil {
		copy(l.ring[1:at+1], l.ring[:at])
		l.ring[0] = best
	}
	return best
}

const (
	// lull is the time without a new item after which a lane takes it that no more are coming: two
	// or three receives, or writes to the ledger.
	lull = 100 * time.Millisecond
	// patient is the longest that a request waits for more, if they keep coming. By then a worker's
	// window is full.
	patient = 2 * time.Second
)

// patienceLocked is how long a request that is not full waits for more items: while they flow, where a
// token takes longer to be refilled than to see whether they do. There each token is worth a full
// request: of a hundred steps of ten clusters the first ten would take a call each, with all
// of EMR's bucket, and the others 18 seconds.
func (l *Lane[T]) patienceLocked(now time.Time) time.Duration {
	if l.o.Max == 1 || l.o.Flowing == nil || now.Sub(l.o.Flowing()) > patient {
		return 0
	}
	rate, _ := l.allowed()
	if rate == 0 || rate*lull.Seconds() >= 1 {
		return 0
	}
	return min(patient, time.Duration(float64(time.Second)/rate))
}

// dueness is how long a key has waited for its turn, weighed by how full its request would be.
func (k *keyed[T]) dueness(full bool, most int, now time.Time) float64 {
	fill := 1.0
	if !full {
		fill = float64(k.live) / float64(most)
	}
	return now.Sub(k.turn).Seconds() * (1 + (fullWeighs-1)*fill)
}

func (l *Lane[T]) rotateLocked(now time.Time) {
	l.ring[0].turn = now
	l.ring = append(l.ring[1:], l.ring[0])
}

// request is a batch that is under way.
type request[T any] struct {
	*batch[T]
	values   [][]T     // by share
	reserved time.Time // when its tokens were
	began    time.Time
}

// startLocked counts a batch as under way.
func (l *Lane[T]) startLocked(b *batch[T], g grant, began time.Time) *request[T] {
	k := b.key
	k.inFlight++
	l.inFlight++
	b.paced, b.blame, b.probe = g.paced, g.blame, l.breaker.begin(began)
	if !b.paced {
		l.unpaced++
	}
	l.used.add(began)
	l.stats.Requests++
	l.stats.Items += len(b.shares)
	values := make([][]T, len(b.shares))
	for i, s := range b.shares {
		s.place = inRequest
		values[i] = make([]T, len(s.entries))
		for j, e := range s.entries {
			values[i][j] = e.value
		}
	}
	return &request[T]{b, values, g.since, began}
}

// work makes a request, and then goes on with the next that can be made: a goroutine that has
// made one has grown the stack that they take.
func (l *Lane[T]) work(r *request[T]) {
	for r != nil {
		verdicts, panicked := l.run(r.key.key, r.values)
		l.mu.Lock()
		l.endLocked(r, verdicts, panicked)
		r = l.pumpNextLocked()
		l.mu.Unlock()
	}
}

// endLocked takes in what became of a request.
func (l *Lane[T]) endLocked(r *request[T], verdicts []Verdict, panicked *PanicError) {
	r.key.inFlight--
	l.inFlight--
	now := time.Now()
	t := l.judgeLocked(r.batch, verdicts, panicked, now)
	l.spentLocked(r.batch, r.reserved, now, t)
	if t.asked > 0 && l.breaker.note(now, r.probe, t.unavailable < t.asked) {
		if now.Sub(l.breaker.opened) > measured { // a shorter pause is part of how fast the lane goes
			l.busyLocked(now)
		}
		l.hastenLocked(now)
	}
	if t.answered > 0 {
		l.answeredLocked(now, now.Sub(r.began))
	}
	l.forgetLocked(r.key)
}

// answeredLocked takes in that a request was answered, and how long that took.
func (l *Lane[T]) answeredLocked(now time.Time, took time.Duration) {
	l.done.add(now)
	if l.ended.IsZero() {
		l.took = took
	}
	l.ended = now
	l.took += (took - l.took) / 8
}

func (l *Lane[T]) run(key string, values [][]T) (verdicts []Verdict, panicked *PanicError) {
	defer func() {
		if v := recover(); v != nil {
			panicked = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return l.o.Run(l.ctx, key, values), nil
}

// tally counts the shares of a request by what the service said to them.
type tally struct {
	asked, throttled, unavailable int
	answered                      int // those that were neither
}

// judgeLocked does with each share of a request what its verdict asks for.
func (l *Lane[T]) judgeLocked(b *batch[T], verdicts []Verdict, panicked *PanicError, now time.Time) tally {
	var again, halve []*share[T]
	t := tally{asked: len(b.shares)}
	for i, s := range b.shares {
		verdict := Refused
		if panicked == nil {
			verdict = verdicts[i]
		}
		switch verdict {
		case Done:
			finish(b.shares[i:i+1], nil)
		case Skipped:
			t.asked--
			finish(b.shares[i:i+1], nil)
		case Throttled:
			t.throttled++
			again = append(again, s)
		case Unavailable:
			t.unavailable++
			again = append(again, s)
		case Refused:
			halve = append(halve, s)
		}
	}
	t.answered = t.asked - t.throttled - t.unavailable
	l.stats.Throttled += t.throttled
	l.stats.Unavailable += t.unavailable
	switch {
	case len(halve) == 1 && panicked != nil:
		finish(halve, panicked)
	case len(halve) == 1:
		finish(halve, nil)
	default:
		l.halveLocked(b.key, halve)
	}
	l.backOffLocked(b, again, now)
	return t
}

// halveLocked makes two pieces of what was refused as a whole.
func (l *Lane[T]) halveLocked(k *keyed[T], shares []*share[T]) {
	shares = l.stillWanted(shares)
	for middle := (len(shares) + 1) / 2; len(shares) > 0; middle = len(shares) {
		k.pieces = append(k.pieces, &batch[T]{key: k, shares: shares[:middle:middle], piece: true})
		shares = shares[middle:]
	}
	if len(k.pieces) > 0 {
		l.enterRingLocked(k)
	}
}

// backOffLocked lets shares wait before they are run again.
func (l *Lane[T]) backOffLocked(b *batch[T], shares []*share[T], now time.Time) {
	shares = l.stillWanted(shares)
	if len(shares) == 0 {
		return
	}
	var tries int32
	for _, s := range shares {
		tries = max(tries, s.tries)
		s.tries++
	}
	b.key.backing++
	heap.Push(&l.delayed, &batch[T]{
		key: b.key, shares: shares, piece: b.piece, until: now.Add(backoff(int(tries))),
	})
}

// stillWanted keeps what is to be run again and answers for the rest.
func (l *Lane[T]) stillWanted(shares []*share[T]) []*share[T] {
	if l.draining {
		finish(shares, ErrDraining)
		return nil
	}
	kept := shares[:0:0]
	for _, s := range shares {
		entries := s.entries[:0:0]
		for _, e := range s.entries {
			if e.gone != nil {
				e.finish(e.gone)
				continue
			}
			entries = append(entries, e)
		}
		s.entries = entries
		if len(entries) > 0 {
			s.place = inBatch
			kept = append(kept, s)
		}
	}
	return kept
}

// wakeLocked puts back what has backed off for long enough.
func (l *Lane[T]) wakeLocked(now time.Time) {
	for len(l.delayed) > 0 && !l.delayed[0].until.After(now) {
		b := heap.Pop(&l.delayed).(*batch[T])
		b.key.backing--
		if b.piece {
			b.key.pieces = append(b.key.pieces, b)
			l.enterRingLocked(b.key)
			continue
		}
		l.putBackLocked(b.key, b.shares)
		l.forgetLocked(b.key)
	}
}

// hastenLocked ends every backoff, as the service answers again: the quotas pace what comes back.
func (l *Lane[T]) hastenLocked(now time.Time) {
	for _, b := range l.delayed {
		b.until = now
	}
}

// setTimerLocked sets the timer for the next moment at which something can be started. What
// only waits for a request under way needs none: its end pumps.
func (l *Lane[T]) setTimerLocked(now time.Time) {
	var at time.Time
	earliest := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	earliest(l.grant.at)
	earliest(l.gathers)
	if len(l.delayed) > 0 {
		earliest(l.delayed[0].until)
	}
	if len(l.ring) > 0 {
		earliest(l.breaker.probeAt)
	}
	if at.IsZero() {
		return
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(at.Sub(now), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.pumpLocked()
		})
		return
	}
	l.timer.Reset(at.Sub(now))
}
