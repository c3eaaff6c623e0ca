package results

import (
	"context"
	"sync"
)

// turnstile lets every request through while the publisher is up, and one at a time, after a
// backoff, while it is down.
type turnstile struct {
	closing <-chan struct{}
	onDown  func(error)
	onUp    func()
	probe   chan struct{} // holds the one token of the request that probes

	mu       sync.Mutex
	reason   error         // why it is down; nil while it is up
	opened   chan struct{} // closed when it comes up; nil while it is up
	failures int           // probes that failed since it went down
	era      uint64        // grows with every change of state
}

// pass is what a request was let through with.
type pass struct {
	era     uint64
	probing bool
}

// result of a request that was let through. The set is closed.
type result int

const (
	unknown result = iota // no request was made
	succeeded
	failed
)

func newTurnstile(closing <-chan struct{}, onDown func(error), onUp func()) *turnstile {
	return &turnstile{closing: closing, onDown: onDown, onUp: onUp, probe: make(chan struct{}, 1)}
}

func (t *turnstile) health() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reason
}

// enter waits for a request's turn; ok is false where the publisher is closed while down. After
// ok, leave must be called.
func (t *turnstile) enter() (p pass, ok bool) {
	for {
		t.mu.Lock()
		p, opened := pass{era: t.era}, t.opened
		t.mu.Unlock()
		if opened == nil {
			return p, true
		}
		select {
		case <-opened:
		case <-t.closing:
			return pass{}, false
		case t.probe <- struct{}{}:
			if p, ok := t.backOff(); ok {
				return p, true
			}
			<-t.probe
		}
	}
}

// backOff holds the probe's token for a while; ok is false where there is nothing to probe any
// more.
func (t *turnstile) backOff() (p pass, ok bool) {
	t.mu.Lock()
	down, wait := t.reason != nil, fullJitter(t.failures)
	p = pass{era: t.era, probing: true}
	t.mu.Unlock()
	if !down {
		return pass{}, false
	}
	pause(context.Background(), t.closing, wait)
	select {
	case <-t.closing:
		return pass{}, false
	default:
		return p, true
	}
}

// leave says what became of a request.
func (t *turnstile) leave(p pass, r result, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.probing {
		defer func() { <-t.probe }()
	}
	if p.era != t.era {
		return // it began before the last change, and tells of a time that is over
	}
	switch r {
	case unknown:
	case succeeded:
		if p.probing {
			t.reason, t.failures = nil, 0
			t.era++
			close(t.opened)
			t.opened = nil
			t.onUp()
		}
	case failed:
		if p.probing {
			t.failures++
			t.reason = why
			return
		}
		t.reason = why
		t.era++
		t.opened = make(chan struct{})
		t.onDown(why)
	}
}
