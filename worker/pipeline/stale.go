package pipeline

import (
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/ledger"
)

const (
	// settling is how long after a cancelling call a reading that contradicts the call does not
	// count yet. AWS's reads are eventually consistent, and no service says by how much: jobs
	// were seen to be missing from DescribeJobs for one to five seconds. This is twice that.
	settling = 10 * time.Second
	// firstPause is the time from a reading that does not count to the next one. Each pause
	// after it is twice as long, and the last reading is made once settling is over.
	firstPause = time.Second
	// pauseTick is what pauses end at a multiple of: targets that were called within one are read
	// together.
	pauseTick = 250 * time.Millisecond
)

// mayBeStale reports whether what a reading shows, as the handler judged it, is not to count yet:
// it contradicts what AWS answered or may have done, less than settling before the reading was asked
// for. It is the only place that decides this.
func (t *target) mayBeStale(shown handlers.Status, asked time.Time) bool {
	if !asked.Before(t.calledAt.Add(settling)) {
		return false
	}
	return (t.taken || t.unsure) && contradicts(shown) || t.refusedByState() && !explains(shown)
}

// refusedByState reports whether AWS refused the target for the state that it is in: most often it has
// ended, or changed.
func (t *target) refusedByState() bool { return t.refusal != nil && isByState(t.refusal) }

func isByState(e *handlers.Error) bool {
	return e.Class == handlers.Unsettled || e.Class == handlers.VersionMismatch
}

// explains reports whether a status says why a call was refused for the target's state. One that is not
// found has none; and a target of another version than expected has changed a moment ago, or has ended.
func explains(s handlers.Status) bool {
	return s != handlers.Failed && s != handlers.NotFound && s != handlers.Conflict && s != ""
}

// contradicts reports whether a status says that a call had no effect. An end does not: it is
// never taken back, whoever brought it about. Nor does accepted, which claims no effect.
func contradicts(s handlers.Status) bool {
	switch s {
	case handlers.Cancelled, handlers.AlreadyCancelled, handlers.AlreadyEnded, handlers.Accepted:
		return false
	case handlers.NotCancellable, handlers.NotFound, handlers.Conflict, handlers.Denied, handlers.Failed,
		handlers.Invalid, handlers.Expired, handlers.Aborted, handlers.DryRun, handlers.Partial:
	}
	return true // "" too: the worker would call it failed
}

// calledBefore is when the call of a resumed target was made: what the ledger has stored, or, where AWS
// took this target's, when it took the command's first. When a call was made that was under way as its
// worker ended, nobody knows, nor may the clock of another worker be ours: then now is the latest that it
// can be.
func (t *target) calledBefore(p ledger.Progress, now time.Time) time.Time {
	at := p.Targets[t.ID].CalledAt
	if at.IsZero() && t.taken {
		at = p.AcceptedAt
	}
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

// nextLook is when a target whose reading does not count yet is to be read again: after a pause that
// doubles, at the latest once settling is over.
func (t *target) nextLook(now time.Time) time.Time {
	due := now.Add(min(t.pause, t.calledAt.Add(settling).Sub(now)))
	t.pause *= 2
	return due.Add(pauseTick - 1).Truncate(pauseTick)
}
