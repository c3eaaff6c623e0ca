package lane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Verdict is what one request meant for one of its items. The set is closed.
type Verdict int

const (
	// Done says that the item has its answer, whatever it is.
	Done Verdict = iota + 1
	// Throttled says that the item is to be run again, and the quota was exceeded.
	Throttled
	// Unavailable says that the item is to be run again; there was no answer, or a 5xx.
	Unavailable
	// Refused says that the request as a whole was refused for what may be one item's fault. It is
	// run again in parts; for an item alone it is as good as Done, and for all items of a request
	// that proves to be refused for itself. Where it only seems so, Do returns ErrUnproven.
	Refused
	// Skipped says that the item was left out of the request: it has its answer, and the
	// service has said nothing.
	Skipped
)

// ErrDraining is returned for items that had not begun when the lane was drained.
var ErrDraining = errors.New("lane: draining")

// ErrUnproven is returned for items that were never refused alone: their request was refused as a whole,
// and so were two others of it, alone, of which nobody knows whether their targets exist. So it may
// have been for those two alone.
var ErrUnproven = errors.New("lane: refused together with others")

// PanicError is returned for an item alone in a request that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in a call: %v", e.Value) }

// Options says how a lane runs its requests.
type Options[T any] struct {
	// Max is the most different ids of one request; at least 1.
	Max int
	// PartFilled is how many requests of a key may be under way before one that is not full
	// has to wait; 0 means 2.
	PartFilled int
	// InFlight is the most requests of a key that are under way; 0 means 64.
	InFlight int
	// Quotas are what each request takes a token from: first its operation's own, which slows
	// when requests are throttled, then those that it shares with other lanes.
	Quotas []*Quota
	// Gather is how long an item may wait for others to fill its request. 0: not at all.
	Gather time.Duration
	// Before does what a request must wait for, and returns once it is done; Run is called after it. Where
	// that takes longer than five seconds, the request waits for another token then; 16 at most are in
	// Before, or wait so. nil: there is nothing to do.
	Before func(ctx context.Context, key string, batch [][]T)
	// Run makes one request. Each element of batch holds the items of one id: they are the
	// same target, asked for by several callers, and share its verdict. It returns as many
	// verdicts as elements, in order. It is called on many goroutines.
	Run func(ctx context.Context, key string, batch [][]T) []Verdict
	// Why says with which code the items of one id were refused last, and whether their target is known
	// to exist. A request all of whose items were refused with one code may have been refused for
	// itself: see the package's comment. nil, or "", is no code: such a request is run in halves.
	Why func(same []T) (code string, known bool)
	// Chance is where jitter comes from, to be safe for concurrent use where it is shared. nil: one of
	// the lane's own.
	Chance *rand.Rand
}

// Item is one thing to be run.
type Item[T any] struct {
	Key   string // what may share a request
	ID    string // items of equal Key and ID are the same target
	Value T
}

// Lane paces and coalesces. Its methods are safe for concurrent use.
type Lane[T any] struct {
	o      Options[T]
	made   time.Time
	ctx    context.Context // of requests; ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// drained is closed when the drain begins.
	drained chan struct{}

	mu        sync.Mutex
	keys      map[string]*keyed[T]
	ring      []*keyed[T] // keys with something waiting, in the order of their turns
	delayed   delayed[T]  // what backs off
	inFlight  int         // requests under way
	preparing int         // of them, those in Before or that wait for a token after it
	unpaced   int         // of them, those whose tokens were there
	proven    int         // of those that ended since nothing was under way or one was throttled
	grant     grant       // for the next request
	gathers   time.Time   // when the first of the requests that gather stops; zero: none does
	timer     *time.Timer
	draining  bool
	stats     Stats
	used      meter     // requests begun
	done      meter     // requests that were answered and not throttled, since busy
	busy      time.Time // since when there is work, and the service was not down for long
	breaker   breaker
	answers   uint64    // requests that the service answered, a throttle too
	causes    int       // for which requests found it unavailable since
	freshAt   time.Time // when a request of items that had not failed found it unavailable last
}

// New returns a lane. Close it to end its requests and its timer.
func New[T any](o Options[T]) *Lane[T] {
	if o.PartFilled == 0 {
		o.PartFilled = 2
	}
	if o.InFlight == 0 {
		o.InFlight = 64
	}
	o.Chance = orOwn(o.Chance)
	l := &Lane[T]{o: o, made: time.Now(), keys: make(map[string]*keyed[T]), used: meter{over: lately}, done: meter{over: steadily}}
	l.drained = make(chan struct{})
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Do runs items and returns an error for each, in order, once every one of them is done. The
// error is nil for an item that came back Done (or Refused alone); ctx's cause for one that
// was not in a request when ctx ended; ErrDraining; ErrUnproven; or a *PanicError.
func (l *Lane[T]) Do(ctx context.Context, items ...Item[T]) []error {
	return l.Each(ctx, nil, items...)
}

// Each does the same and calls ended with each item's index and error once that item is done. ended may be
// nil; it must not block nor call the lane, which waits for it.
func (l *Lane[T]) Each(ctx context.Context, ended func(i int, err error), items ...Item[T]) []error {
	w := &waiter{left: len(items), errs: make([]error, len(items)), ended: ended, done: make(chan struct{})}
	if len(items) == 0 {
		return w.errs
	}
	if ctx.Err() != nil {
		for i := range w.errs {
			w.errs[i] = context.Cause(ctx)
			if ended != nil {
				ended(i, w.errs[i])
			}
		}
		return w.errs
	}
	entries := make([]entry[T], len(items))
	l.mu.Lock()
	for i, it := range items {
		entries[i] = entry[T]{waiter: w, index: i, value: it.Value}
		if l.draining {
			entries[i].finish(ErrDraining)
			continue
		}
		l.addLocked(it, &entries[i])
	}
	l.pumpLocked()
	l.mu.Unlock()
	select {
	case <-w.done:
		return w.errs
	case <-ctx.Done():
	}
	l.mu.Lock()
	for i := range entries {
		l.withdrawLocked(&entries[i], context.Cause(ctx))
	}
	l.pumpLocked()
	l.mu.Unlock()
	<-w.done
	return w.errs
}

// Drain makes every item that is not in a request return ErrDraining, now and from now on.
// Requests under way go on; what would have to be run again returns ErrDraining.
func (l *Lane[T]) Drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.draining {
		close(l.drained)
	}
	l.draining = true
	drop := func(shares []*share[T]) { finish(shares, ErrDraining) }
	for _, k := range l.keys {
		finish(k.waiting, ErrDraining)
		k.eachBatch(func(b *batch[T]) { b.eachShares(drop) })
		k.waiting, k.pieces, k.failed, k.live = nil, nil, nil, 0
		clear(k.byID)
	}
	for _, b := range l.delayed {
		b.eachShares(drop)
	}
	l.delayed, l.ring = nil, nil
	if l.timer != nil {
		l.timer.Stop()
	}
}

// Close drains, ends the requests under way, and waits for them.
func (l *Lane[T]) Close() {
	l.Drain()
	l.cancel()
	l.wg.Wait()
}
