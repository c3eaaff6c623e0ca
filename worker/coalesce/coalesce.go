// Package coalesce sends together what waits together. One rule serves every request that
// takes several items (outcomes to SNS, deletes and lease changes to SQS, ledger writes): a
// request goes out at once when nothing is in its way, and otherwise carries what came to
// wait beside it. There is no timer: at rest nothing is delayed, under load requests are full.
//
// It knows nothing of what it sends, and has no quota and no retry; those are lane's.
package coalesce

import (
	"context"
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

// startLocked begins the requests that may begin.
func (g *Group[T, R]) startLocked() {
	for batch := g.takeLocked(); batch != nil; batch = g.takeLocked() {
		go g.send(batch)
	}
}

// takeLocked takes what waits for the next request, if one may begin, and counts it as under way.
func (g *Group[T, R]) takeLocked() []entry[T, R] {
	if len(g.waiting) == 0 || g.inFlight >= g.o.InFlight {
		return nil
	}
	n, full := g.cutLocked()
	if !full && g.inFlight >= g.o.PartFilled {
		return nil
	}
	batch := slices.Clone(g.waiting[:n])
	// What is sent must not be kept alive from here; append makes a new array in time.
	clear(g.waiting[:n])
	g.waiting = g.waiting[n:]
	g.cut, g.cutBytes = 0, 0
	g.inFlight++
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

// send makes requests one after the other, the first for batch, for as long as there is another
// one to make: a goroutine that has made one has grown the stack that requests take.
func (g *Group[T, R]) send(batch []entry[T, R]) {
	for batch != nil {
		items := make([]T, len(batch))
		for i, e := range batch {
			items[i] = e.item
		}
		results := g.do(items)
		for i, e := range batch {
			e.done(results[i])
		}
		g.mu.Lock()
		g.inFlight--
		batch = g.takeLocked()
		g.startLocked()
		if g.inFlight == 0 && g.idle != nil { // so nothing waits either
			close(g.idle)
			g.idle = nil
		}
		g.mu.Unlock()
	}
}
