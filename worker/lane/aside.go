package lane

import (
	"container/heap"
	"slices"
	"time"
)

const (
	// A request that found the service unavailable so often in a row is split: one of its items may be
	// at fault. Where others were answered meanwhile, the second time is enough.
	splitAfter       = 3
	splitAfterOthers = 2
	// It is split in so many parts: to find one of fifty takes as many calls as in halves, and half the time.
	splitIn = 4
	// The breaker opens for so many causes at least, of which nobody knows more than that they failed.
	causesLeast = 4
	// An item that fails alone while others are answered backs off by itself: after the first
	// failure up to backoffBase, and four times as long after each further one, up to asideCap.
	// That is ten calls in RESCIND_PATIENCE (5 minutes).
	asideCap = 2 * time.Minute
	// behind is by how much a key with nothing but such items comes later to its turn than others.
	behind = 20
)

// aside returns the wait of an item that failed alone n times in a row while others were answered.
func (l *Lane[T]) aside(n int) time.Duration {
	most := asideCap
	if n < 7 { // base·4⁶ is above the cap
		most = min(most, backoffBase<<(2*max(n-1, 0)))
	}
	return most/2 + l.below(most/2)
}

// noteLocked tells the breaker what became of a request, and says whether that closed it. A few items that
// fail again and again, and nothing beside them, are no outage.
func (l *Lane[T]) noteLocked(b *batch[T], answered bool, now time.Time) (closed bool) {
	if answered {
		l.answers++
		if l.causes > 0 { // what failed meanwhile need not wait for the service
			l.hastenLocked(now, func(d *batch[T]) bool { return d.failed > 0 && !d.aside })
		}
		l.causes = 0
		return l.breaker.note(now, b.probe, true, l.below)
	}
	if b.fresh {
		l.freshAt = now
	}
	if l.isNewCauseLocked(b) {
		l.causes++
	}
	if !l.breaker.open() && l.breaker.failed+1 >= downAfter && l.causes < causesLeast {
		return false
	}
	return l.breaker.note(now, b.probe, false, l.below)
}

// isNewCauseLocked says whether a request that found the service unavailable failed for a cause that was
// not counted since the service answered last. An item that fails again is none; nor is a request that
// is run again, but each of its parts may be.
func (l *Lane[T]) isNewCauseLocked(b *batch[T]) bool {
	mark, isNew := l.answers+1, false
	for _, s := range b.shares {
		isNew = isNew || s.counted != mark
		s.counted = mark
	}
	return isNew
}

// unavailableLocked lets a request that found the service unavailable as a whole wait before it is
// run again, by itself: what is at fault is to fail no others. Or it splits it.
func (l *Lane[T]) unavailableLocked(b *batch[T], shares []*share[T], now time.Time) {
	shares = l.stillWanted(shares)
	if len(shares) == 0 {
		l.overLocked(b)
		return
	}
	again := &batch[T]{
		key: b.key, shares: shares, piece: b.piece, trial: b.trial,
		failed: b.failed + 1, answers: b.answers,
	}
	tries := int(triesOf(shares)) - 1
	others := l.answers > again.answers
	wait := l.backoff(tries)
	if others {
		wait = 0 // it is not the service, and some of these are waiting for nothing
	}
	switch {
	case len(shares) == 1 && others:
		again.aside = true
		l.delayLocked(again, now.Add(l.aside(again.failed)))
	case len(shares) == 1 || again.failed < splitAfterOthers || !others && again.failed < splitAfter:
		l.delayLocked(again, now.Add(wait))
	default:
		for part := range slices.Chunk(shares, (len(shares)+splitIn-1)/splitIn) {
			l.delayLocked(&batch[T]{
				key: b.key, shares: part, piece: b.piece, failed: splitAfterOthers - 1, answers: again.answers,
			}, now.Add(wait))
			for _, s := range part {
				s.counted = 0
			}
		}
		for _, s := range shares[:(len(shares)+splitIn-1)/splitIn] {
			s.counted = l.answers + 1 // one of the parts is the cause that was counted
		}
	}
}

// triesOf counts one more try of shares, and returns the most that one of them has had.
func triesOf[T any](shares []*share[T]) (tries int32) {
	for _, s := range shares {
		s.tries++
		tries = max(tries, s.tries)
	}
	return tries
}

func (l *Lane[T]) delayLocked(b *batch[T], until time.Time) {
	b.until = until
	b.key.backing++
	heap.Push(&l.delayed, b)
}

// hastenLocked ends backoffs, as the service answers: the quotas pace what comes back.
func (l *Lane[T]) hastenLocked(now time.Time, which func(*batch[T]) bool) {
	for _, b := range l.delayed {
		if which(b) {
			b.until = now
		}
	}
	heap.Init(&l.delayed)
}

// isBehind says whether all that a key has to run has failed alone, and again, while others were answered.
func (k *keyed[T]) isBehind() bool {
	if k.live > 0 || len(k.pieces) > 0 {
		return false
	}
	for _, b := range k.failed {
		if !b.aside || b.failed < splitAfterOthers {
			return false
		}
	}
	return true
}

// leastFailed is the index of that of a key's failed requests which failed the fewest times.
func (k *keyed[T]) leastFailed() int {
	least := 0
	for i, b := range k.failed {
		if b.failed < k.failed[least].failed {
			least = i
		}
	}
	return least
}

// failures is how often the request of a key that is run next has failed. Those that have not are a
// probe's first choice.
func (k *keyed[T]) failures() int {
	if k.live > 0 || len(k.pieces) > 0 || len(k.failed) == 0 {
		return 0
	}
	return k.failed[k.leastFailed()].failed
}
