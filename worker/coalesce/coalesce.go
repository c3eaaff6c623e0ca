// Package coalesce sends together what waits together. One rule serves every request that
// takes several items (outcomes to SNS, deletes and lease changes to SQS, ledger writes): a
// request goes out at once when nothing is in its way, and otherwise carries what came to
// wait beside it. There is no timer: at rest nothing is delayed, under load requests are full.
//
// It knows nothing of what it sends, and has no quota and no retry; those are lane's.
package coalesce

import (
	"context"
	"runtime"
	"slices"
	"sync"
)

// Options says how items are sent together.
type Options[T any] struct {
	// Max is the most items of one request; at least 1.
	Max int
	// MaxBytes bounds the sum of Size over one request; 0 is no bound. An item that is larger
	// alone is sent alone.
	MaxBytes int
	Size     func(T) int
	// PartFilled is how many requests may be under way before a request that is not full has
	// to wait for one of them; 0 means 2.
	PartFilled int
	// InFlight is the most requests under way; 0 means 64.
	InFlight int
	// Go runs a request; nil means on a goroutine of its own.
	Go func(func())
}

// Group sends items of one kind. Its methods are safe for concurrent use.
type Group[T, R any] struct {
	o  Options[T]
	do func([]T) []R

	mu       sync.Mutex
	waiting  []entry[T, R]
	cut      int // how many of the waiting items are known to fit the next request
	cutBytes int // the sum of their sizes
	inFlight int
	yielding bool          // one of those in flight takes what waits in a moment
	idle     chan struct{} // closed when nothing waits or is under way; nil when nobody asks
}

type entry[T, R any] struct {
	item T
	done func(R)
}

// New returns a group whose requests are made by do: as many results as items, in order. do
// is called on a goroutine of the group and must return; it is never called with no items.
func New[T, R any](o Options[T], do func(items []T) []R) *Group[T, R] {
	if o.PartFilled == 0 {
		o.PartFilled = 2
	}
	if o.InFlight == 0 {
		o.InFlight = 64
	}
	if o.Go == nil {
		o.Go = func(f func()) { go f() }
	}
	return &Group[T, R]{o: o, do: do}
}

// Do sends one item and waits for its result. When ctx ends first it returns ctx's error,
// and the item may yet be sent: no caller's context rules a shared request. When ctx has
// ended before, the item is not sent.
func (g *Group[T, R]) Do(ctx context.Context, item T) (R, error) {
	if err := ctx.Err(); err != nil {
		var none R
		return none, err
	}
	result := make(chan R, 1)
	g.Go(item, func(r R) { result <- r })
	select {
	case r := <-result:
		return r, nil
	case <-ctx.Done():
		var none R
		return none, ctx.Err()
	}
}

// Go sends one item; done is called with its result, once, and must not block.
func (g *Group[T, R]) Go(item T, done func(R)) {
	g.mu.Lock()
	g.waiting = append(g.waiting, entry[T, R]{item, done})
	g.startLocked()
	g.mu.Unlock()
}

// Wait returns when nothing waits and nothing is under way, or when ctx ends.
func (g *Group[T, R]) Wait(ctx context.Context) error {
	g.mu.Lock()
	if len(g.waiting) == 0 && g.inFlight == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startLocked begins the requests that may begin. One that is not full begins as soon as a turn of
// the scheduler brings nothing more: what a burst wakes comes within a few turns, and would else
// find its first items gone ahead in a request, or a commit, of their own.
func (g *Group[T, R]) startLocked() {
	for len(g.waiting) > 0 && g.inFlight < g.o.InFlight {
		n, full := g.cutLocked()
		switch {
		case full:
			g.inFlight++
			batch := g.takeLocked(n)
			g.o.Go(func() { g.send(batch) })
		case g.inFlight < g.o.PartFilled && !g.yielding:
			g.inFlight++
			g.yielding = true
			g.o.Go(g.sendSoon)
			return
		default:
			return
		}
	}
}

func (g *Group[T, R]) sendSoon() {
	for before := 0; ; {
		runtime.Gosched()
		g.mu.Lock()
		waiting := len(g.waiting)
		if waiting == before || waiting >= g.o.Max {
			break
		}
		before = waiting
		g.mu.Unlock()
	}
	g.yielding = false
	n, _ := g.cutLocked()
	batch := g.takeLocked(n)
	if n == 0 { // full requests took all
		g.endLocked()
	}
	g.startLocked()
	g.mu.Unlock()
	g.send(batch)
}

func (g *Group[T, R]) takeLocked(n int) []entry[T, R] {
	batch := slices.Clone(g.waiting[:n])
	// What is sent must not be kept alive from here; append makes a new array in time.
	clear(g.waiting[:n])
	g.waiting = g.waiting[n:]
	g.cut, g.cutBytes = 0, 0
	return batch
}

// cutLocked returns how many of the waiting items the next request takes, and whether it
// could take no more. It goes on from where it stopped the last time, so that an item is
// looked at once however often it is asked.
func (g *Group[T, R]) cutLocked() (n int, full bool) {
	for g.cut < len(g.waiting) && g.cut < g.o.Max {
		if g.o.MaxBytes > 0 {
			size := g.o.Size(g.waiting[g.cut].item)
			if g.cut > 0 && g.cutBytes+size > g.o.MaxBytes {
				return g.cut, true
			}
			g.cutBytes += size
		}
		g.cut++
	}
	return g.cut, g.cut == g.o.Max || g.o.MaxBytes > 0 && g.cutBytes >= g.o.MaxBytes
}

// send makes a request for batch, and then goes on with what is full by then: a goroutine that
// has made a request has grown the stack that requests take.
func (g *Group[T, R]) send(batch []entry[T, R]) {
	for len(batch) > 0 {
		items := make([]T, len(batch))
		for i, e := range batch {
			items[i] = e.item
		}
		results := g.do(items)
		for i, e := range batch {
			e.done(results[i])
		}
		g.mu.Lock()
		batch = nil
		if n, full := g.cutLocked(); full {
			batch = g.takeLocked(n)
		} else {
			g.endLocked()
		}
		g.startLocked()
		g.mu.Unlock()
	}
}

// endLocked counts a request as ended.
func (g *Group[T, R]) endLocked() {
	g.inFlight--
	if g.inFlight == 0 && len(g.waiting) == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}
