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
// record who cancelled: after a call that was taken, or may have been, it was ours. That the
// version did not match counts where the target has not ended: whether IoT looks at the version
// or at the state first is not documented.
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
	case open:
		handlers.JudgeAlive(&a, tried)
	case beyond:
		handlers.JudgeAlive(&a, tried)
		if a.Status == "" || a.Status == handlers.Failed {
			a.Status = handlers.NotCancellable
		}
	}
	return a
}
