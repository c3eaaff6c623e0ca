package lane

import (
	"slices"
	"time"
)

// waiter is one Do or Each call. Its fields are guarded by the lane's mutex.
type waiter struct {
	left  int
	errs  []error
	ended func(i int, err error) // nil for none
	done  chan struct{}
}

// entry is one item of one Do call.
type entry[T any] struct {
	waiter *waiter
	index  int
	value  T
	share  *share[T]
	ended  bool
	gone   error // set when its Do call no longer wants it run again
}

func (e *entry[T]) finish(err error) {
	if e.ended {
		return
	}
	e.ended = true
	e.waiter.errs[e.index] = err
	if e.waiter.ended != nil {
		e.waiter.ended(e.index, err)
	}
	if e.waiter.left--; e.waiter.left == 0 {
		close(e.waiter.done)
	}
}

// share is the items of one id that go into a request together.
type share[T any] struct {
	id      string
	key     *keyed[T]
	entries []*entry[T]
	since   time.Duration // when the first of them came, by the lane's clock
	tries   int32         // how often it came back to be run again
	counted uint64        // answers of the lane, and one, when its failure counted for the breaker; see isNewLocked
	place   place
}

// place is where a share is. The set is closed.
type place int8

const (
	inWaiting place = iota // among its key's waiting
	inBatch                // in a batch that is to be run again, or backs off
	inRequest              // in a request under way
)

func finish[T any](shares []*share[T], err error) {
	for _, s := range shares {
		for _, e := range s.entries {
			e.finish(err)
		}
	}
}

// batch is shares that go into one request.
type batch[T any] struct {
	key     *keyed[T]
	shares  []*share[T]
	piece   bool      // of a refused request: to be run as it is
	trial   *trial[T] // that it is a pick of
	failed  int       // how often in a row it found the service unavailable: it is run again as it is
	answers uint64    // of the lane, before the first of these
	aside   bool      // what failed while others were answered
	paced   bool      // its token was waited for
	probe   bool      // it began while the breaker was open
	fresh   bool      // none of its items ever came back to be run again
	blame   int8      // index of the quota that a throttle is put down to
	until   time.Time // backs off until then
}

// keyed is what waits under one key.
type keyed[T any] struct {
	key      string
	waiting  []*share[T]          // in order; shares without entries were withdrawn
	live     int                  // those with entries
	byID     map[string]*share[T] // the live ones
	pieces   []*batch[T]          // run before what waits
	failed   []*batch[T]          // have backed off, and are run in turn with what waits
	inFlight int
	again    int       // of them, those that had failed
	backing  int       // batches that back off
	turn     time.Time // when it had its last turn, or came to wait for one
	inRing   bool
}

func (l *Lane[T]) addLocked(it Item[T], e *entry[T]) {
	k := l.keys[it.Key]
	if len(l.keys) == 0 {
		l.busyLocked(time.Now())
	}
	if k == nil {
		k = &keyed[T]{key: it.Key, byID: make(map[string]*share[T])}
		l.keys[it.Key] = k
	}
	s := k.byID[it.ID]
	if s == nil {
		s = &share[T]{id: it.ID, key: k, since: time.Since(l.made)}
		k.waiting = append(k.waiting, s)
		k.byID[it.ID] = s
		k.live++
		l.enterRingLocked(k)
	}
	e.share = s
	s.entries = append(s.entries, e)
}

// withdrawLocked takes an item out because its Do call ended: at once where it waits; where it
// is in a request, as soon as that would have to be run again.
func (l *Lane[T]) withdrawLocked(e *entry[T], cause error) {
	if e.ended {
		return
	}
	s := e.share
	if s.place == inRequest {
		e.gone = cause
		return
	}
	e.finish(cause)
	s.drop(e)
	if len(s.entries) > 0 || s.place != inWaiting {
		return
	}
	s.key.live--
	delete(s.key.byID, s.id)
	l.forgetLocked(s.key)
}

func (s *share[T]) drop(e *entry[T]) {
	for i, other := range s.entries {
		if other == e {
			s.entries = append(s.entries[:i], s.entries[i+1:]...)
			return
		}
	}
}

// putBackLocked makes shares wait again, ahead of those that came later, or behind all. A share whose
// id has come to wait anew in the meantime joins it.
func (l *Lane[T]) putBackLocked(k *keyed[T], shares []*share[T], behind bool) {
	back := make([]*share[T], 0, len(shares)+len(k.waiting))
	for _, s := range shares {
		if len(s.entries) == 0 {
			continue
		}
		if same := k.byID[s.id]; same != nil {
			for _, e := range s.entries {
				e.share = same
			}
			same.entries = append(same.entries, s.entries...)
			same.since = s.since // it came first
			continue
		}
		s.place = inWaiting
		k.byID[s.id] = s
		k.live++
		back = append(back, s)
	}
	if behind {
		k.waiting = append(k.waiting, back...)
	} else {
		k.waiting = append(back, k.waiting...)
	}
	if k.live > 0 {
		l.enterRingLocked(k)
	}
}

// dropEmptyLocked drops the batches of a key of which everything was withdrawn.
func (l *Lane[T]) dropEmptyLocked(k *keyed[T]) {
	isEmpty := func(b *batch[T]) bool {
		b.shares = slices.DeleteFunc(b.shares, func(s *share[T]) bool { return len(s.entries) == 0 })
		if len(b.shares) == 0 {
			l.overLocked(b)
		}
		return len(b.shares) == 0
	}
	for len(k.pieces) > 0 && isEmpty(k.pieces[0]) {
		k.pieces[0] = nil
		k.pieces = k.pieces[1:]
	}
	var left []*batch[T]
	for _, b := range k.failed {
		if !isEmpty(b) {
			left = append(left, b)
		}
	}
	k.failed = left
}

// cut takes the next request's shares, up to most of them. There are some. What has failed is run in
// turn with what waits; as a probe it comes last, and least what failed often.
func (k *keyed[T]) cut(most int, probe bool, made time.Time) *batch[T] {
	if len(k.pieces) > 0 {
		b := k.pieces[0]
		k.pieces[0] = nil
		k.pieces = k.pieces[1:]
		return b
	}
	if len(k.failed) > 0 && (k.live == 0 || !probe && k.turnOfFailed(made)) {
		i := 0
		if probe {
			i = k.leastFailed()
		}
		b := k.failed[i]
		k.failed = slices.Delete(k.failed, i, i+1)
		return b
	}
	b := &batch[T]{key: k, shares: make([]*share[T], 0, min(most, k.live))}
	taken := 0
	for _, s := range k.waiting {
		if len(b.shares) == most {
			break
		}
		taken++
		if len(s.entries) == 0 {
			continue
		}
		delete(k.byID, s.id)
		k.live--
		b.shares = append(b.shares, s)
	}
	clear(k.waiting[:taken])
	k.waiting = k.waiting[taken:]
	return b
}

// turnOfFailed says whether the first of what has failed came to wait before what waits.
func (k *keyed[T]) turnOfFailed(made time.Time) bool {
	for _, s := range k.waiting {
		if len(s.entries) > 0 {
			return k.failed[0].until.Before(made.Add(s.since))
		}
	}
	return true
}

// eachBatch visits the batches that are to be run as they are and do not back off.
func (k *keyed[T]) eachBatch(visit func(*batch[T])) {
	for _, b := range k.pieces {
		visit(b)
	}
	for _, b := range k.failed {
		visit(b)
	}
}

// eachShares visits what waits with a batch: its shares and those of its trial.
func (b *batch[T]) eachShares(visit func([]*share[T])) {
	visit(b.shares)
	if b.trial != nil {
		visit(b.trial.picks)
		visit(b.trial.rest)
	}
}

func (l *Lane[T]) enterRingLocked(k *keyed[T]) {
	if !k.inRing {
		k.inRing = true
		k.turn = time.Now()
		l.ring = append(l.ring, k)
	}
}

// forgetLocked drops a key that nothing waits under, backs off or is under way.
func (l *Lane[T]) forgetLocked(k *keyed[T]) {
	if k.live > 0 || len(k.pieces) > 0 || len(k.failed) > 0 {
		return
	}
	k.waiting = nil
	if k.inFlight == 0 && k.backing == 0 {
		delete(l.keys, k.key)
	}
}

// delayed is a heap of batches by the time at which they have backed off.
type delayed[T any] []*batch[T]

func (d delayed[T]) Len() int           { return len(d) }
func (d delayed[T]) Less(i, j int) bool { return d[i].until.Before(d[j].until) }
func (d delayed[T]) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *delayed[T]) Push(x any)        { *d = append(*d, x.(*batch[T])) }
func (d *delayed[T]) Pop() any {
	old := *d
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	return last
}
