// Package coalesce sends items together in requests that take several (outcomes to SNS, deletes and
// lease changes to SQS, ledger writes). An item is sent at once while few requests are under way;
// otherwise it waits for one of them to end, and is sent with the items that wait too. There is no
// timer: at rest nothing is delayed, under load requests are full.
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
	inFlight int           // requests under way; where there are none, nothing waits
	idle     chan struct{} // closed when no request is under way any more; nil while nobody waits for that
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
	if g.inFlight == 0 {
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
	for len(g.waiting) > 0 && g.inFlight < g.o.InFlight {
		n, full := g.cutLocked()
		if !full && g.inFlight >= g.o.PartFilled {
			return
		}
		batch := slices.Clone(g.waiting[:n])
		clear(g.waiting[:n]) // so that the array does not keep alive what is sent
		g.waiting = g.waiting[n:]
		g.inFlight++
		go g.send(batch)
	}
}

// cutLocked returns how many of the waiting items the next request takes, and whether it could take
// no more.
func (g *Group[T, R]) cutLocked() (n int, full bool) {
	most := min(len(g.waiting), g.o.Max)
	if g.o.MaxBytes == 0 {
		return most, most == g.o.Max
	}
	bytes := 0
	for n = range most {
		bytes += g.o.Size(g.waiting[n].item)
		if bytes > g.o.MaxBytes && n > 0 {
			return n, true
		}
	}
	return most, most == g.o.Max || bytes >= g.o.MaxBytes
}

// send makes one request, answers its items, and begins what may begin after it.
func (g *Group[T, R]) send(batch []entry[T, R]) {
	items := make([]T, len(batch))
	for i, e := range batch {
		items[i] = e.item
	}
	results := g.do(items)
	for i, e := range batch {
		e.done(results[i])
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.startLocked()
	if g.inFlight == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}
