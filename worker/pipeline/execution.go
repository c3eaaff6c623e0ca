package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/queue"
)

// execution is one message, and from decode on one command, while this worker is running it.
type execution struct {
	lease   *queue.Lease
	command *command.Command // nil: not decoded, or not readable
	handler handlers.Handler
	at      handlers.Location
	place   *place
	token   ledger.Token
	claimed bool
	resumed bool
	targets []*target
	barred  *bar // why nothing may be called (any more); nil: it may
	// stored is what the ledger knew of each target when the claim was made, and the pins that were
	// resolved since. Written before any call, by the stages alone.
	stored  map[string]ledger.TargetProgress
	confirm time.Duration // how long to look for proof, from the first acceptance on
	// patience is when it stops waiting here; giveUp is when its command is too old.
	patience, giveUp time.Time

	lost atomic.Pointer[error] // why the ledger stores nothing of it any more; nil: it does

	mu           sync.Mutex
	claimedUntil time.Time
	begun        chan struct{} // closed once the ledger knows that calls begin; nil: not asked yet
	panics       int
	acceptedAt   time.Time
	escalatedAt  time.Time
	nextLook     time.Time // when proof is to be looked for again; zero: it was not put off yet
	readAt       time.Time // when AWS was last asked for proof though events come in
	attempts     ledger.Attempts
}

// begin takes in what a claim found.
func (x *execution) begin(c *claimed, patience time.Time, all map[handlers.Action]handlers.Handler) {
	x.token, x.resumed, x.claimed, x.stored = c.Token, c.Resumed, true, c.Progress.Targets
	x.patience, x.claimedUntil = patience, c.until
	x.panics, x.attempts = c.Progress.Panics, c.Progress.Attempts
	x.acceptedAt, x.escalatedAt = c.Progress.AcceptedAt, c.Progress.EscalatedAt
	x.nextLook, x.readAt = c.Progress.NextLook, c.Progress.ReadAt
	if now := time.Now(); x.acceptedAt.After(now) { // by another worker's clock
		x.acceptedAt = now
	}
	if x.command == nil {
		return
	}
	for _, t := range x.command.Targets {
		made := &target{Target: t, execution: x, handler: x.handler}
		made.restore(c.Progress, all)
		made.calledAt = made.calledBefore(c.Progress, time.Now())
		x.targets = append(x.targets, made)
	}
}

// pick returns the targets that have not ended and that which picks.
func (x *execution) pick(which func(*target) bool) []*target {
	picked := make([]*target, 0, len(x.targets))
	for _, t := range x.targets {
		if !t.ended && which(t) {
			picked = append(picked, t)
		}
	}
	return picked
}

// open are the targets that have not ended.
func (x *execution) open() []*target { return x.pick(func(*target) bool { return true }) }

// unresolved are the targets of which it is not known yet which one is meant.
func (x *execution) unresolved() []*target {
	return x.pick(func(t *target) bool { return t.unresolved })
}

// bar ends the targets that nothing was called for. None of them may be in a lane.
func (x *execution) bar(why *bar) {
	x.barred = why
	for _, t := range x.open() {
		t.endIfNeverCalled(why)
	}
}

// giveUpOn ends what has not ended: accepted where AWS took it, failed where it did not.
func (x *execution) giveUpOn(why *bar) {
	for _, t := range x.open() {
		a := why.answer()
		switch {
		case t.isTaken():
			a.Status = handlers.Accepted
			a.Err.Message = "AWS took the request, and whether it stopped was not seen before " + why.message
		case t.begun:
			a.Err.Message = "no answer shows that AWS took a request before " + why.message
		default:
			a.Err.Message = "no request was made before " + why.message
		}
		if t.refusal != nil {
			a.Err.Message += "; AWS's last refusal was " + t.refusal.Error()
		}
		a.RequestID = t.answer.RequestID
		t.end(a)
	}
}

// over says why no cancelling call may begin any more; nil: one may. Of expiry and give-up the earlier
// one counts.
func (x *execution) over(now time.Time) error {
	at, why := x.giveUp, errGaveUp
	if e := x.command.ExpiresAt; !e.IsZero() && e.Before(at) {
		at, why = e, errExpired
	}
	if lost := x.lostBy(); lost != nil || now.Before(at) {
		return lost
	}
	return why
}

// tooOld says that the command is to be given up; nil: not yet, or another worker has it.
func (x *execution) tooOld(now time.Time) error {
	if lost := x.lostBy(); lost != nil || now.Before(x.giveUp) {
		return lost
	}
	return errGaveUp
}

// within shortens a wait so that it ends no later than the command's time does.
func (x *execution) within(now time.Time, wait time.Duration) time.Duration {
	wait = min(wait, x.giveUp.Sub(now))
	if e := x.command.ExpiresAt; !e.IsZero() {
		wait = min(wait, e.Sub(now))
	}
	return max(wait, 0)
}

// bounded ends a context when the execution has to stop waiting, with why as its cause: after its patience,
// at its give-up age and, for calls, at its expiry.
func (x *execution) bounded(ctx context.Context, forCalls bool) (context.Context, context.CancelFunc) {
	at, why := x.patience, errPatience
	if x.giveUp.Before(at) {
		at, why = x.giveUp, errGaveUp
	}
	if e := x.command.ExpiresAt; forCalls && !e.IsZero() && e.Before(at) {
		at, why = e, errExpired
	}
	if x.barred != nil { // time may have run out: one last look is taken all the same
		at, why = x.patience, errPatience
	}
	return context.WithDeadlineCause(ctx, at, why)
}

// progress is what the ledger is to know of the execution. The caller holds no target's fields in
// another goroutine.
func (x *execution) progress() ledger.Progress {
	p := ledger.Progress{Targets: make(map[string]ledger.TargetProgress, len(x.targets))}
	for _, t := range x.targets {
		p.Begun = p.Begun || t.begun
		if known := t.known(); known != (ledger.TargetProgress{}) {
			p.Targets[t.ID] = known
		}
	}
	if p.Begun {
		for _, t := range x.targets {
			p.Targets[t.ID] = t.known()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	p.Panics, p.AcceptedAt, p.EscalatedAt, p.Attempts = x.panics, x.acceptedAt, x.escalatedAt, x.attempts
	p.NextLook, p.ReadAt = x.nextLook, x.readAt
	return p
}

// beginningLocked is the progress that is written before a command's first call, and before the stronger ones: every
// target may have been called from then on, those excepted that were ended before. It reads no field that a
// request under way writes.
func (x *execution) beginningLocked() ledger.Progress {
	p := ledger.Progress{
		Begun: true, Panics: x.panics, AcceptedAt: x.acceptedAt, EscalatedAt: x.escalatedAt, Attempts: x.attempts,
		NextLook: x.nextLook, ReadAt: x.readAt,
	}
	for _, t := range x.command.Targets {
		if known, ok := x.stored[t.ID]; ok {
			if p.Targets == nil {
				p.Targets = make(map[string]ledger.TargetProgress)
			}
			known.Begun = true
			// If this worker ends here, nobody will know whether and when the call arrived.
			if known.Status == "" && !known.Taken {
				known.Unsure, known.CalledAt = true, time.Time{}
			}
			p.Targets[t.ID] = known
		}
	}
	return p
}

// count notes one call, and its error if any.
func (x *execution) count(err *handlers.Error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.attempts.Calls++
	if err == nil {
		return
	}
	switch err.Class {
	case handlers.Throttled:
		x.attempts.Throttled++
	case handlers.Unavailable, handlers.Unanswered:
		x.attempts.Unavailable++
	case handlers.Refused, handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch,
		handlers.NotAuthorized, handlers.Final:
	}
	x.attempts.LastError = err.Error()
	if x.attempts.FirstError == "" {
		x.attempts.FirstError = x.attempts.LastError
	}
}

// accepted notes when AWS first took a cancelling request.
func (x *execution) accepted() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.acceptedAt.IsZero() {
		x.acceptedAt = time.Now()
	}
}

// lose notes that the ledger stores nothing of the execution any more: another worker has the claim, or the
// record is at fault.
func (x *execution) lose(why error) { x.lost.Store(&why) }

// lostBy is why nothing is stored any more; nil: the claim holds.
func (x *execution) lostBy() error {
	if why := x.lost.Load(); why != nil {
		return *why
	}
	return nil
}

func (x *execution) countPanic() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.panics++
	return x.panics
}

func (x *execution) renewed(until time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.claimedUntil = until
}
