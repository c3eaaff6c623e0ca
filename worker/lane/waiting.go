package lane

import (
	"slices"
	"time"
)

// waiter is one Do call. Its fields are guarded by the lane's mutex.
type waiter struct {
	left int
	errs []error
	done chan struct{}
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
	place   place
}

// place is where a share is. The set is closed.
type place int8

const (
	inWaiting place = iota // among its key's waiting
	inBatch                // in a piece, or backing off
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
	key    *keyed[T]
	shares []*share[T]
	piece  bool      // half of a refused request: to be run as it is
	paced  bool      // its token was waited for
	probe  bool      // it began while the breaker was open
	blame  int8      // index of the quota that a throttle is put down to
	until  time.Time // backs off until then
}

// keyed is what waits under one key.
type keyed[T any] struct {
	key      string
	waiting  []*share[T]          // in order; shares without entries were withdrawn
	live     int                  // those with entries
	byID     map[string]*share[T] // the live ones
	pieces   []*batch[T]          // run before what waits
	inFlight int
	backing  int       // batches that back off
	turn     time.Time // when it had its last turn, or came to wait for one
	inRing   bool
	hurry    bool // among what waits is, or was, an item in a hurry
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
		l.arrived = time.Now()
		s = &share[T]{id: it.ID, key: k, since: l.arrived.Sub(l.made)}
		k.waiting = append(k.waiting, s)
		k.byID[it.ID] = s
		k.live++
		l.enterRingLocked(k)
	}
	k.hurry = k.hurry || it.Hurry
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

// putBackLocked makes shares wait again, ahead of those that came later. A share whose id has
// come to wait anew in the meantime joins it.
func (l *Lane[T]) putBackLocked(k *keyed[T], shares []*share[T]) {
	front := make([]*share[T], 0, len(shares)+len(k.waiting))
	for _, s := range shares {
		if len(s.entries) == 0 {
			continue
		}
		if twin := k.byID[s.id]; twin != nil {
			for _, e := range s.entries {
				e.share = twin
			}
			twin.entries = append(twin.entries, s.entries...)
			twin.since = s.since // it came first
			continue
		}
		s.place = inWaiting
		k.byID[s.id] = s
		k.live++
		front = append(front, s)
	}
	k.waiting = append(front, k.waiting...)
	if k.live > 0 {
		l.enterRingLocked(k)
	}
}

// dropEmptyPieces drops the pieces at the head of which everything was withdrawn.
func (k *keyed[T]) dropEmptyPieces() {
	for len(k.pieces) > 0 {
		b := k.pieces[0]
		b.shares = slices.DeleteFunc(b.shares, func(s *share[T]) bool { return len(s.entries) == 0 })
		if len(b.shares) > 0 {
			return
		}
		k.pieces[0] = nil
		k.pieces = k.pieces[1:]
	}
}

// cut takes the next request's shares, up to most of them. There are some.
func (k *keyed[T]) cut(most int) *batch[T] {
	if len(k.pieces) > 0 {
		b := k.pieces[0]
		k.pieces[0] = nil
		k.pieces = k.pieces[1:]
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
	k.hurry = k.hurry && k.live > 0
	return b
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
	if k.live > 0 || len(k.pieces) > 0 {
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
