// Package chance is where jitter comes from: one source for a worker, with a seed where a test gives one.
package chance

import (
	"math/rand/v2"
	"sync"
	"time"
)

// New returns a source that a seed determines. Unlike one of math/rand/v2 it is safe for concurrent use.
func New(seed uint64) *rand.Rand { return rand.New(&locked{from: rand.NewPCG(seed, 0)}) }

// Or returns r, or where it is nil a source with a seed that is drawn now.
func Or(r *rand.Rand) *rand.Rand {
	if r == nil {
		return New(rand.Uint64())
	}
	return r
}

// Below draws a time from 0 to below most, which must be above 0.
func Below(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}

type locked struct {
	mu   sync.Mutex
	from *rand.PCG
}

func (l *locked) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from.Uint64()
}
