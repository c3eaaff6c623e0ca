package worker

import (
	"context"
	"maps"
	"sync"
)

// gate is the way in. It is closed while something that every command needs is down, so that
// nothing is received that could not be finished.
type gate struct {
	mu     sync.Mutex
	down   map[string]error
	opened chan struct{} // closed when the gate opens; nil while it is open
}

// set says that what (the ledger, the results topic) is down with err, or up with nil.
func (g *gate) set(what string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		if g.down == nil {
			g.down = make(map[string]error)
		}
		g.down[what] = err
		if g.opened == nil {
			g.opened = make(chan struct{})
		}
		return
	}
	delete(g.down, what)
	if len(g.down) == 0 && g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// Open says whether messages may be taken.
func (g *gate) Open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened == nil
}

// Wait returns nil once messages may be taken, or ctx's error.
func (g *gate) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		opened := g.opened
		g.mu.Unlock()
		if opened == nil {
			return ctx.Err()
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reasons says what is down and why.
func (g *gate) reasons() map[string]error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.down)
}
