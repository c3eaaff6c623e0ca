package iot

import "github.com/rescindhq/rescind/handlers"

// standing is what a state means to a cancelling request. The set is closed.
type standing int

const (
	// open: the request may still stop it. So may a state that IoT added since be.
	open standing = iota
	// beyond: not ended, and not to be stopped by this request.
	beyond
	// ended: completed, failed, timed out, rejected, removed.
	ended
	// cancelled: ended by a cancel, whosever it was.
	cancelled
)

// judge says what a reading shows of a target whose state has that standing. IoT does not
// record who cancelled: after a call that was taken, or may have been, it was ours.
func judge(s standing, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	a := handlers.Answer{After: r.State, RequestID: r.RequestID}
	switch {
	case r.Err != nil:
		a.Err = r.Err
		return a
	case !r.Found:
		a.Status = handlers.NotFound
		return a
	}
	switch s {
	case cancelled:
		a.Status = handlers.AlreadyCancelled
		if tried.Taken || tried.Unsure {
			a.Status = handlers.Cancelled
		}
	case ended:
		a.Status = handlers.AlreadyEnded
	case open, beyond:
		judgeStanding(&a, s, tried)
	}
	return a
}

// judgeStanding judges a target that has not ended.
func judgeStanding(a *handlers.Answer, s standing, tried handlers.Tried) {
	if tried.Taken {
		a.Status = handlers.Accepted
		return
	}
	a.Err = tried.Refusal
	switch {
	case tried.Refusal != nil && tried.Refusal.Class == handlers.VersionMismatch:
		a.Status = handlers.Conflict
	case tried.Refusal != nil && tried.Refusal.Class == handlers.NotAuthorized:
		a.Status = handlers.Denied
	case s == beyond:
		a.Status = handlers.NotCancellable
	case tried.Refusal != nil:
		// IoT's last word, and the state does not explain it.
		a.Status = handlers.Failed
	}
}
