package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/trouble"
)

// reported wraps a call so that what becomes of each request is reported to the peer of its operation
// and location, which says so once it does not get through.
// denial is what is said where AWS refuses the caller.
func reported[R any](l *lanes, service string, call handlers.Call[R], at handlers.Location, denial string, errOf func(R) *handlers.Error) func(context.Context, handlers.Location, []handlers.Target) []R {
	name := fmt.Sprintf("%s:%s %s %s", service, call.Operation, at.Account, at.Region)
	peer := l.trouble.Peer(trouble.Lane, name, func() int { return l.heldIn(service, at) })
	do := call.Do
	return func(ctx context.Context, at handlers.Location, targets []handlers.Target) []R {
		asked := peer.Begin()
		returned := false
		defer func() {
			if !returned { // a panic, which is the handler's
				asked.Dropped()
			}
		}()
		results := do(ctx, at, targets)
		returned = true
		if errors.Is(ctx.Err(), context.Canceled) {
			asked.Dropped() // we are stopping
			return results
		}
		report(peer, asked, targets, results, denial, errOf)
		return results
	}
}

// report says what a request's results mean for its peer. Any word of AWS about one target shows
// that the peer is got through to; what did not get through is then that target's own.
func report[R any](peer *trouble.Peer, asked trouble.Attempt, targets []handlers.Target, results []R, denial string, errOf func(R) *handlers.Error) {
	var failed, throttled, denied *handlers.Error
	through := false
	for i, r := range results {
		switch e := errOf(r); hearing(e) {
		case heard:
			through = true
			peer.Item(targets[i].ID, nil)
			if e != nil && e.Class == handlers.NotAuthorized {
				denied = e
			}
		case slowed:
			throttled = e
		case unheard:
			failed = e
			peer.Item(targets[i].ID, e)
		}
	}
	if denied != nil {
		peer.Warn(denial, denied)
	}
	switch {
	case through:
		asked.Through()
	case failed != nil:
		asked.Failed(failed)
	case throttled != nil:
		asked.Throttled(throttled)
	default:
		asked.Dropped()
	}
}

// reach says whether a request was heard. The set is closed.
type reach int

const (
	unheard reach = iota // no answer, or one that says nothing of the target
	slowed               // AWS asks for fewer requests
	heard
)

func hearing(e *handlers.Error) reach {
	if e == nil {
		return heard
	}
	switch e.Class {
	case handlers.Throttled:
		return slowed
	case handlers.Refused, handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch,
		handlers.NotAuthorized, handlers.Final:
		return heard
	case handlers.Unavailable, handlers.Unanswered:
	}
	return unheard
}

// heldIn is how many targets are held here for calls of a service in a location.
func (l *lanes) heldIn(service string, at handlers.Location) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	if loc := l.locations[at]; loc != nil {
		for key, each := range loc.lanes {
			if key.action.Service() == service {
				n += each.Stats().Waiting
			}
		}
	}
	return n
}

// Deferred is how many messages for a service in a location were deferred because its lanes could take no more.
func (p *Pipeline) Deferred(service string, at handlers.Location) (n int) {
	p.lanes.mu.Lock()
	defer p.lanes.mu.Unlock()
	if loc := p.lanes.locations[at]; loc != nil {
		for g, h := range loc.groups {
			if g.action.Service() == service {
				n += h.deferred
			}
		}
	}
	return n
}
