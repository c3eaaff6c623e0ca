package handlers

// Status is what became of a target or a command. The set is closed.
type Status string

// The statuses. The first nine can come from a handler; the others are the worker's.
const (
	Cancelled        Status = "cancelled"         // seen to have stopped because of a cancel
	AlreadyCancelled Status = "already_cancelled" // known to have been cancelled before
	AlreadyEnded     Status = "already_ended"     // had ended otherwise
	Accepted         Status = "accepted"          // AWS took the request; that it stopped was not seen
	NotCancellable   Status = "not_cancellable"   // in a state that this action does not stop
	NotFound         Status = "not_found"         // AWS knows no such target
	Conflict         Status = "conflict"          // expectedVersion did not match
	Denied           Status = "denied"            // AWS or policy refused
	Failed           Status = "failed"            // a final answer that is none of these, or time ran out, or we broke
	Invalid          Status = "invalid"           // could not be read, or breaks a constraint
	Expired          Status = "expired"           // expiresAt came first
	Aborted          Status = "aborted"           // its campaign was aborted
	DryRun           Status = "dry_run"           // a preview: only read, nothing was called
	Partial          Status = "partial"           // several targets that did not all end alike
)

// Statuses lists all of them in the order of the table above.
func Statuses() []Status {
	return []Status{
		Cancelled, AlreadyCancelled, AlreadyEnded, Accepted, NotCancellable, NotFound, Conflict,
		Denied, Failed, Invalid, Expired, Aborted, DryRun, Partial,
	}
}

// Verdict is the coarse answer to "has it stopped?".
type Verdict string

// The verdicts, best first: of several, the worst one wins.
const (
	Stopped    Verdict = "stopped"
	Pending    Verdict = "pending"
	NotStopped Verdict = "not_stopped" // not shown to have stopped
	NotRun     Verdict = "not_run"
)

// Worst returns the worse of two verdicts. The empty verdict is better than any.
func Worst(a, b Verdict) Verdict {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(v Verdict) int {
	switch v {
	case Stopped:
		return 1
	case Pending:
		return 2
	case NotStopped:
		return 3
	case NotRun:
		return 4
	}
	return 0
}

// Verdict is the verdict of a status. Denied is NotStopped here, AWS having refused; where
// policy refused before any call the worker says NotRun. Partial has none of its own: the
// worst verdict among the targets is the command's.
func (s Status) Verdict() Verdict {
	switch s {
	case Cancelled, AlreadyCancelled, AlreadyEnded:
		return Stopped
	case Accepted:
		return Pending
	case NotCancellable, NotFound, Conflict, Denied, Failed:
		return NotStopped
	case Invalid, Expired, Aborted, DryRun:
		return NotRun
	case Partial:
		return ""
	}
	return ""
}
