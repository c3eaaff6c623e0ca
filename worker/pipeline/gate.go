package pipeline

import (
	"context"
	"maps"
	"sync"
)

// Gate is open while new messages may be received. It is closed while something that every command
// needs (the ledger, the results topic) is unavailable, so that nothing is received that could not be
// finished. The zero value is open. Its methods are safe for concurrent use.
type Gate struct {
	mu     sync.Mutex
	down   map[string]error
	opened chan struct{} // closed when the gate opens; nil while it is open
}

// TheLedger names the ledger among the reasons of a Gate.
const TheLedger = "ledger"

// Set says that what is unavailable because of err, or with nil that it is available.
func (g *Gate) Set(what string, err error) {
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

// Open says whether messages may be received.
func (g *Gate) Open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened == nil
}

// Wait returns nil once messages may be received, or ctx's error.
func (g *Gate) Wait(ctx context.Context) error {
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

// Reasons says what is unavailable and why.
func (g *Gate) Reasons() map[string]error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.down)
}
