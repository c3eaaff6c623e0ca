package batch

import (
	"github.com/aws/aws-sdk-go-v2/service/batch/types"
	"github.com/rescindhq/rescind/handlers"
)

// Judge says what a job's state shows. Batch has no state for "cancelled": a job that was
// stopped is FAILED, flagged isCancelled or isTerminated, and its reason is the one that was
// sent. Where ours is a reason that others send too (handlers.DefaultReason), ours and theirs
// cannot be distinguished.
//
// An array parent and a multi-node job are judged by their own state: a PENDING parent that
// is flagged remains PENDING until its children have ended, and is accepted until then.
func (h *handler) Judge(t handlers.Target, tried handlers.Tried, r handlers.Reading) handlers.Answer {
	a := handlers.Answer{After: r.State, RequestID: r.RequestID}
	d, _ := r.Detail.(detail)
	switch {
	case r.Err != nil:
		a.Err = r.Err
	case !r.Found:
		a.Status = handlers.NotFound
	default:
		h.judgeState(&a, t, tried, d)
	}
	return a
}

func (h *handler) judgeState(a *handlers.Answer, t handlers.Target, tried handlers.Tried, d detail) {
	switch state := types.JobStatus(a.After); state {
	case types.JobStatusSucceeded:
		a.Status = handlers.AlreadyEnded
	case types.JobStatusFailed:
		a.Status = endedBy(t, tried, d)
	case types.JobStatusStarting, types.JobStatusRunning:
		if !h.stopsRunning {
			a.Status = handlers.NotCancellable
			return
		}
		// CancelJob does not stop a job as far as this: only the other flag is a sign.
		judgeStopping(a, tried, d.terminated)
	case types.JobStatusSubmitted, types.JobStatusPending, types.JobStatusRunnable:
		judgeStopping(a, tried, d.cancelled || d.terminated)
	default: // A state that AWS added since: no end that is known here.
		judgeStopping(a, tried, d.cancelled || d.terminated)
	}
}

// Explain implements handlers.Explainer (API_CancelJob, AWS Batch API Reference).
func (h *handler) Explain(_ handlers.Target, r handlers.Reading) string {
	d, _ := r.Detail.(detail)
	switch {
	case types.JobStatus(r.State) != types.JobStatusPending:
		return ""
	case d.array:
		return "the parent of an array job is PENDING until all of its children have ended; Batch cancels those"
	case !h.stopsRunning:
		return "Batch cancels a PENDING job once the jobs that it depends on have ended"
	}
	return ""
}

// Predict says accepted of a job that Batch would stop: one that it has stopped by the time it is read, right
// after the call, comes to cancelled. How soon that is, Batch does not document.
func (h *handler) Predict(t handlers.Target, r handlers.Reading) handlers.Answer {
	a := handlers.Predict(h, t, r,
		string(types.JobStatusSubmitted), string(types.JobStatusPending), string(types.JobStatusRunnable),
		string(types.JobStatusStarting), string(types.JobStatusRunning))
	if a.Status == handlers.AlreadyCancelled {
		// Batch takes the call all the same, and of a stop with the same reason it is not known whose it was.
		a = h.Judge(t, handlers.Tried{Taken: true}, r)
	}
	return a
}

// endedBy is the status of a FAILED job.
func endedBy(t handlers.Target, tried handlers.Tried, d detail) handlers.Status {
	ours, _ := t.Params.(string)
	switch {
	case !d.cancelled && !d.terminated:
		return handlers.AlreadyEnded
	case tried == (handlers.Tried{}):
		// Nothing was called: whoever sent the reason, it was before.
		return handlers.AlreadyCancelled
	case d.reason == ours:
		return handlers.Cancelled
	default:
		return handlers.AlreadyCancelled
	}
}

// judgeStopping judges a job that has not ended. flagged: its state shows that Batch took a
// request that will stop it.
func judgeStopping(a *handlers.Answer, tried handlers.Tried, flagged bool) {
	switch {
	case tried.Taken:
		a.Status = handlers.Accepted
	case tried.Refusal != nil && (!tried.Unsure || !flagged):
		// Batch's last word. A flag is another's, unless a call of ours may have arrived.
		a.Status, a.Err = handlers.Failed, tried.Refusal
		if a.Err.Class == handlers.NotAuthorized {
			a.Status = handlers.Denied
		}
	case flagged:
		a.Status = handlers.Accepted
	}
}
