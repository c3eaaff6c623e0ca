package lane

import (
	"container/heap"
	"runtime/debug"
	"slices"
	"time"
)

// pumpLocked starts whatever can be started, and sets the timer for what cannot yet.
func (l *Lane[T]) pumpLocked() {
	if l.draining {
		return
	}
	now := time.Now()
	l.gathers = time.Time{}
	l.wakeLocked(now)
	for l.breaker.allows(now) && l.preparing < preparedMost {
		k := l.nextLocked(now)
		if k == nil {
			break
		}
		g, ok := l.spendLocked(now)
		if !ok {
			break
		}
		l.rotateLocked(now)
		next := l.startLocked(k.cut(l.o.Max, l.breaker.open(), l.made), g, now)
		l.wg.Go(func() { l.work(next) })
	}
	l.setTimerLocked(now)
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
	for i := 0; i < len(l.ring) && able < candidates; i++ {
		k := l.ring[i]
		l.dropEmptyLocked(k)
		if k.live == 0 && len(k.pieces) == 0 && len(k.failed) == 0 {
			l.ring = slices.Delete(l.ring, i, i+1)
			k.inRing = false
			l.forgetLocked(k)
			i--
			continue
		}
		full := k.live >= l.o.Max || len(k.pieces) > 0
		ready := full || len(k.failed) > 0
		if k.inFlight >= l.o.InFlight || !ready && k.inFlight-k.again >= l.o.PartFilled {
			continue
		}
		if !ready && l.o.Gather > 0 {
			if until := l.made.Add(k.waiting[0].since + l.o.Gather); until.After(now) {
				if l.gathers.IsZero() || until.Before(l.gathers) {
					l.gathers = until
				}
				continue
			}
		}
		able++
		due := k.dueness(full, l.o.Max, now)
		if l.breaker.open() { // a probe is for who has not failed, or not so often
			due = -float64(k.failures()) + due/(1+due)
		}
		if best == nil || due > most {
			best, at, most = k, i, due
		}
	}
	if best != nil {
		copy(l.ring[1:at+1], l.ring[:at])
		l.ring[0] = best
	}
	return best
}

// dueness is how long a key has waited for its turn, weighed by how full its request would be.
func (k *keyed[T]) dueness(full bool, most int, now time.Time) float64 {
	fill := 1.0
	if !full {
		fill = float64(k.live) / float64(most)
	}
	due := now.Sub(k.turn).Seconds() * (1 + (fullWeighs-1)*fill)
	if k.isBehind() {
		due /= behind
	}
	return due
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
	if l.o.Before != nil {
		l.preparing++
	}
	if b.failed > 0 {
		k.again++
	} else {
		b.answers = l.answers
	}
	b.fresh = true
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
		b.fresh = b.fresh && s.tries == 0
		values[i] = make([]T, len(s.entries))
		for j, e := range s.entries {
			values[i][j] = e.value
		}
	}
	return &request[T]{b, values, g.since, began}
}

// work makes a request.
func (l *Lane[T]) work(r *request[T]) {
	verdicts, panicked, made := l.run(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	r.key.inFlight--
	l.inFlight--
	if r.failed > 0 {
		r.key.again--
	}
	if !r.paced {
		l.unpaced--
	}
	if made {
		l.endLocked(r, verdicts, panicked)
	} else {
		finish(r.shares, ErrDraining)
	}
	l.forgetLocked(r.key)
	l.pumpLocked()
}

// endLocked takes in what became of a request.
func (l *Lane[T]) endLocked(r *request[T], verdicts []Verdict, panicked *PanicError) {
	now := time.Now()
	t := l.judgeLocked(r.batch, verdicts, panicked, now)
	l.spentLocked(r.batch, r.reserved, now, t)
	if t.asked > 0 && l.noteLocked(r.batch, t.unavailable < t.asked, now) {
		if now.Sub(l.breaker.opened) > measured { // a shorter pause is part of how fast the lane goes
			l.busyLocked(now)
		}
		l.hastenLocked(now, func(d *batch[T]) bool { return !d.aside }) // that fails while others are answered
	}
	if t.answered > 0 {
		l.done.add(now)
	}
}

// run makes a request, or does not where the lane is drained before that.
func (l *Lane[T]) run(r *request[T]) (verdicts []Verdict, panicked *PanicError, made bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked, made = &PanicError{Value: v, Stack: debug.Stack()}, true
		}
	}()
	if l.o.Before != nil && !l.prepare(r) {
		return nil, nil, false
	}
	return l.o.Run(l.ctx, r.key.key, r.values), nil, true
}

// tally counts the shares of a request by what the service said to them.
type tally struct {
	asked, throttled, unavailable int
	answered                      int // those that were neither
}

// judgeLocked does with each share of a request what its verdict asks for.
func (l *Lane[T]) judgeLocked(b *batch[T], verdicts []Verdict, panicked *PanicError, now time.Time) tally {
	var throttled, unavailable, refused []*share[T]
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
			throttled = append(throttled, s)
		case Unavailable:
			t.unavailable++
			unavailable = append(unavailable, s)
		case Refused:
			refused = append(refused, s)
		}
	}
	t.answered = t.asked - t.throttled - t.unavailable
	l.stats.Throttled += t.throttled
	l.stats.Unavailable += t.unavailable
	l.refusedLocked(b, refused, panicked)
	switch {
	case t.unavailable > 0 && t.unavailable == t.asked:
		l.unavailableLocked(b, unavailable, now)
	case t.unavailable+t.throttled > 0:
		l.backOffLocked(b, throttled, false, now)
		l.backOffLocked(b, unavailable, true, now)
	default:
		l.overLocked(b)
	}
	return t
}

// backOffLocked lets shares wait before they are run again, with what waits beside them: those that were
// throttled, or that failed in a request of which others were answered.
func (l *Lane[T]) backOffLocked(b *batch[T], shares []*share[T], failed bool, now time.Time) {
	if len(shares) == 0 {
		return
	}
	alone := len(b.shares) == 1
	shares = l.stillWanted(shares)
	if len(shares) == 0 {
		if alone {
			l.overLocked(b)
		}
		return
	}
	again := &batch[T]{key: b.key, shares: shares, piece: b.piece && !failed, aside: failed}
	if alone { // it was throttled, and is what it was
		again.trial, again.failed, again.answers = b.trial, b.failed, b.answers
	}
	tries := int(triesOf(shares))
	if failed {
		l.delayLocked(again, now.Add(l.aside(tries)))
		return
	}
	l.delayLocked(again, now.Add(l.backoff(tries-1)))
}

// stillWanted keeps what is to be run again and answers for the rest.
func (l *Lane[T]) stillWanted(shares []*share[T]) []*share[T] {
	if l.draining {
		finish(shares, ErrDraining)
		return nil
	}
	left := shares[:0:0]
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
			left = append(left, s)
		}
	}
	return left
}

// wakeLocked puts back what has backed off for long enough.
func (l *Lane[T]) wakeLocked(now time.Time) {
	for len(l.delayed) > 0 && !l.delayed[0].until.After(now) {
		b := heap.Pop(&l.delayed).(*batch[T])
		b.key.backing--
		switch {
		case b.failed > 0:
			b.key.failed = append(b.key.failed, b)
			l.enterRingLocked(b.key)
			continue
		case b.piece:
			b.key.pieces = append(b.key.pieces, b)
			l.enterRingLocked(b.key)
			continue
		}
		l.putBackLocked(b.key, b.shares, b.aside)
		l.forgetLocked(b.key)
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
