// Package breaker is a circuit breaker. While it is closed, every request goes through at once. When
// some requests in a row have failed it opens: then one request at a time goes through, each after a
// full-jitter backoff, until one succeeds and closes it. However many callers wait, a failing peer is
// asked a few times a second at most. The package knows no peer, repeats no request and has no goroutine.
package breaker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rescindhq/rescind/worker/chance"
)

// Options says when a circuit breaker opens, and how long it waits.
type Options struct {
	// After is how many requests in a row must fail before it opens; 0 means 1.
	After int
	// Base bounds the first backoff, doubled for each probe that failed since it opened, up to Most.
	// 0 means 200 ms, and 5 s.
	Base, Most time.Duration
	// OnDown is called with the reason when it opens, OnUp when it closes; in turn, one at a time.
	// They must not block, and must not call the Breaker. Nil: not called.
	OnDown func(error)
	OnUp   func()
	// Chance is where jitter comes from. nil: a source of a seed drawn now.
	Chance *rand.Rand
}

// Breaker lets requests through. Make one with New. Its methods are safe for concurrent use.
type Breaker struct {
	o     Options
	probe chan struct{} // holds one token while a request probes, or waits to

	mu       sync.Mutex
	reason   error         // why it is open; nil while it is closed
	closes   chan struct{} // closed when the breaker closes; nil while it is closed
	failures int           // while closed: requests in a row; while open: probes
	period   uint64        // grows whenever it opens or closes
}

// Pass is what a request was let through with.
type Pass struct {
	period  uint64
	probing bool
}

// Result is what became of a request that was let through. The set is closed.
type Result int

// The results.
const (
	Unknown   Result = iota // no request was made, or its result says nothing of the peer
	Succeeded               // it was answered
	Failed                  // it got nothing of what it asked for
)

// New returns a closed breaker.
func New(o Options) *Breaker {
	o.Chance = chance.Or(o.Chance)
	if o.After <= 0 {
		o.After = 1
	}
	if o.Base <= 0 {
		o.Base = 200 * time.Millisecond
	}
	if o.Most <= 0 {
		o.Most = 5 * time.Second
	}
	return &Breaker{o: o, probe: make(chan struct{}, 1)}
}

// Why is why it is open, nil while it is closed.
func (b *Breaker) Why() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reason
}

// Enter waits until a request may go; ok is false where ctx ended first. After ok, Leave must be
// called, once.
func (b *Breaker) Enter(ctx context.Context) (p Pass, ok bool) {
	for {
		b.mu.Lock()
		p, closes := Pass{period: b.period}, b.closes
		b.mu.Unlock()
		if closes == nil {
			return p, true
		}
		select {
		case <-closes:
		case <-ctx.Done():
			return Pass{}, false
		case b.probe <- struct{}{}:
			if p, ok := b.backOff(ctx); ok {
				return p, true
			}
			<-b.probe
		}
	}
}

// backOff waits before a probe; ok is false where ctx ended first, or the breaker is closed by now.
func (b *Breaker) backOff(ctx context.Context) (p Pass, ok bool) {
	b.mu.Lock()
	open, wait := b.closes != nil, chance.Below(b.o.Chance, min(b.o.Most, b.o.Base<<min(b.failures, 16)))
	p = Pass{period: b.period, probing: true}
	b.mu.Unlock()
	if !open {
		return Pass{}, false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return p, true
	case <-ctx.Done():
		return Pass{}, false
	}
}

// Leave says what became of a request, and where it failed, why. A request that went through before
// the breaker opened or closed the last time changes nothing.
func (b *Breaker) Leave(p Pass, r Result, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.probing {
		defer func() { <-b.probe }()
	}
	if p.period != b.period {
		return
	}
	switch r {
	case Unknown:
	case Succeeded:
		b.failures = 0
		if p.probing {
			b.changeLocked(nil, nil)
			if b.o.OnUp != nil {
				b.o.OnUp()
			}
		}
	case Failed:
		b.failures++
		if p.probing {
			b.reason = why
		} else if b.failures >= b.o.After {
			b.changeLocked(why, make(chan struct{}))
			if b.o.OnDown != nil {
				b.o.OnDown(why)
			}
		}
	}
}

// changeLocked opens the breaker, or closes it where reason and closes are nil.
func (b *Breaker) changeLocked(reason error, closes chan struct{}) {
	if b.closes != nil {
		close(b.closes)
	}
	b.reason, b.closes, b.failures = reason, closes, 0
	b.period++
}
