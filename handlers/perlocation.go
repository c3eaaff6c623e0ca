package handlers

import (
	"sync"
	"time"
)

const (
	// locationIdle is after how long a client that nobody asks for is dropped, or after twice that.
	locationIdle = 20 * time.Minute
	// locationsMost is how many others may be made meanwhile until it is dropped earlier.
	locationsMost = 1000
)

// PerLocation makes a client for each location and hands the same one out while it is asked for now and then.
// Commands name locations, so what is idle is dropped, and no more than 2,000 are stored. It is safe for
// concurrent use; build must not block.
func PerLocation[C any](build func(Location) C) func(Location) C {
	return (&perLocation[C]{build: build, recent: make(map[Location]C)}).get
}

// perLocation has two generations: who is not asked for in one is dropped with the next.
type perLocation[C any] struct {
	build func(Location) C

	mu          sync.Mutex
	recent, old map[Location]C
	armed       bool // a timer ends the generation
}

func (p *perLocation[C]) get(at Location) C {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.recent[at]; ok {
		return c
	}
	c, ok := p.old[at]
	if !ok {
		c = p.build(at)
	}
	if len(p.recent) >= locationsMost {
		p.turnLocked()
	}
	p.recent[at] = c
	p.armLocked()
	return c
}

func (p *perLocation[C]) turnLocked() { p.recent, p.old = make(map[Location]C), p.recent }

func (p *perLocation[C]) armLocked() {
	if p.armed {
		return
	}
	p.armed = true
	time.AfterFunc(locationIdle, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.turnLocked()
		if p.armed = false; len(p.old) > 0 {
			p.armLocked()
		}
	})
}
