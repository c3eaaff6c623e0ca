package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/defect"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/queue"
)

// journey is one command, claimed, on the road.
type journey struct {
	lease   *queue.Lease
	place   *stay // in the window
	command *command.Command
	handler handlers.Handler
	at      handlers.Place
	token   ledger.Token
	resumed bool
	targets []*target
	// stored is what the ledger knew of each target when the claim was made, and the pins that
	// were resolved since. Written before any call, by the road alone.
	stored map[string]ledger.TargetProgress
	// patience is when it stops waiting here; giveUp is when its message is too old, zero for
	// never.
	patience, giveUp time.Time

	left chan struct{} // closed when the journey is over, whatever came of it
	lost atomic.Bool   // the claim was lost to another worker

	mu           sync.Mutex
	claimedUntil time.Time
	begun        chan struct{} // closed once the ledger knows that calls begin; nil: not asked yet
	panics       int
	acceptedAt   time.Time
	attempts     ledger.Attempts
}

func (r *road) newJourney(l *queue.Lease, c *command.Command, claim *claimed, place *stay) *journey {
	j := &journey{
		lease: l, place: place, command: c, handler: r.handlers[c.Action], at: c.Place(),
		token: claim.Token, resumed: claim.Resumed, left: make(chan struct{}),
		stored: claim.Progress.Targets, patience: time.Now().Add(r.o.Patience),
		claimedUntil: claim.until,
		panics:       claim.Progress.Panics, acceptedAt: claim.Progress.AcceptedAt, attempts: claim.Progress.Attempts,
	}
	if claim.begun {
		j.begun = begunByClaim
	}
	j.giveUp = r.giveUp(l)
	for _, t := range c.Targets {
		made := &target{Target: t, journey: j}
		made.restore(claim.Progress)
		j.targets = append(j.targets, made)
	}
	return j
}

// giveUp is when a message is too old; zero: never.
func (r *road) giveUp(l *queue.Lease) time.Time {
	if after := r.giveUps[l.QueueURL]; after > 0 {
		return l.SentAt.Add(after)
	}
	return time.Time{}
}

// over says why no cancelling call may begin for the journey any more; nil: one may. Of
// expiry and give-up the earlier one counts.
func (j *journey) over(now time.Time) error {
	at, why := j.command.ExpiresAt, errExpired
	if at.IsZero() || !j.giveUp.IsZero() && j.giveUp.Before(at) {
		at, why = j.giveUp, errGaveUp
	}
	switch {
	case j.isLost():
		return ledger.ErrFenced
	case !at.IsZero() && !now.Before(at):
		return why
	}
	return nil
}

// progress is what the ledger is to know of the journey. The caller holds no target's fields
// in another goroutine.
func (j *journey) progress() ledger.Progress {
	p := ledger.Progress{Targets: make(map[string]ledger.TargetProgress, len(j.targets))}
	for _, t := range j.targets {
		p.Begun = p.Begun || t.begun
		if known := t.known(); known != (ledger.TargetProgress{}) {
			p.Targets[t.ID] = known
		}
	}
	if p.Begun {
		for _, t := range j.targets {
			p.Targets[t.ID] = t.known()
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	p.Panics, p.AcceptedAt, p.Attempts = j.panics, j.acceptedAt, j.attempts
	return p
}

// count notes one call, and its error if any.
func (j *journey) count(err *handlers.Error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.attempts.Calls++
	if err == nil {
		return
	}
	switch err.Class {
	case handlers.Throttled:
		j.attempts.Throttled++
	case handlers.Unavailable, handlers.Unanswered:
		j.attempts.Unavailable++
	case handlers.Refused, handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch,
		handlers.NotAuthorized, handlers.Final:
	}
	j.attempts.LastError = err.Error()
	if j.attempts.FirstError == "" {
		j.attempts.FirstError = j.attempts.LastError
	}
}

// accepted notes when AWS first took a cancelling request.
func (j *journey) accepted() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.acceptedAt.IsZero() {
		j.acceptedAt = time.Now()
	}
}

func (j *journey) renewed(until time.Time) {
	j.mu.Lock()
	j.claimedUntil = until
	j.mu.Unlock()
}

func (j *journey) lose() { j.lost.Store(true) }

func (j *journey) isLost() bool { return j.lost.Load() && !defect.Is(defect.SkipFence) }

// begin writes down, before a cancelling request is made, that the commands in it have begun.
// It is also where a worker that was stopped for longer than a lease finds out that its
// claims were lost: their targets are marked so and left out of the request.
func (m *memory) begin(ctx context.Context, batch [][]*target) {
	var updates []ledger.Update
	var mine []*journey
	var others []chan struct{}
	now := time.Now()
	for _, same := range batch {
		for _, t := range same {
			j := t.journey
			j.mu.Lock()
			switch {
			case j.begun == nil || isClosed(j.begun) && isOver(now, j.claimedUntil):
				j.begun = make(chan struct{})
				mine = append(mine, j)
				updates = append(updates, ledger.Update{Token: j.token, Progress: j.beginningLocked()})
			case !isClosed(j.begun):
				others = append(others, j.begun)
			}
			j.mu.Unlock()
		}
	}
	if len(updates) > 0 {
		for i, err := range m.progress(ctx, updates...) {
			if err != nil {
				mine[i].lose()
			}
			close(mine[i].begun)
		}
	}
	for _, begun := range others {
		<-begun
	}
}

// beginningLocked is the progress written before a command's first call: every target may have
// been called from then on, those excepted that were ended before. It reads no field that a
// request under way writes.
func (j *journey) beginningLocked() ledger.Progress {
	p := ledger.Progress{Begun: true, Panics: j.panics, AcceptedAt: j.acceptedAt, Attempts: j.attempts}
	for _, t := range j.command.Targets {
		if known, ok := j.stored[t.ID]; ok {
			if p.Targets == nil {
				p.Targets = make(map[string]ledger.TargetProgress)
			}
			known.Begun = true
			// If this worker ends here, nobody will know whether the call arrived.
			known.Unsure = known.Unsure || known.Status == "" && !known.Taken
			p.Targets[t.ID] = known
		}
	}
	return p
}

// isOver says whether a time is over by the clock that stands still while the machine is suspended, or
// by the one that does not.
func isOver(now, until time.Time) bool { return now.After(until) || now.Round(0).After(until.Round(0)) }

// begunByClaim is a journey's begun where its claim said so.
var begunByClaim = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// busyMost is how many messages are on the road at once outside of lanes before no more are received:
// ledger, topic and processor, which all share, are fully used by fewer.
const busyMost = 1000

// busy reports whether of so many messages held those outside of lanes are work enough.
func (r *road) busy(held int) bool { return held-int(r.inLanes.Load()) >= busyMost }
