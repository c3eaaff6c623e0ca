package worker

import (
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/defect"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/ledger"
)

// target is one target of a command on its way. Its fields belong to whoever has it: the
// journey, or, between Do and its return, the lane's request.
type target struct {
	handlers.Target
	journey *journey

	begun   bool            // a cancelling call was made, or may have been
	taken   bool            // AWS answered one with success
	unsure  bool            // one may have arrived and was not answered, or with a 5xx
	refusal *handlers.Error // the last final refusal

	answer  handlers.Answer  // of the last call, or the final one once ended
	reading handlers.Reading // of the last read
	halted  error            // why the last request left it out; nil: it did not
	ended   bool
	byRead  bool             // what ended it was a reading of its state
	verdict handlers.Verdict // where it is not the status's own
}

// restore sets a target to what the ledger knows of it.
func (t *target) restore(p ledger.Progress) {
	known, ok := p.Targets[t.ID]
	t.begun = p.Begun && (!ok || known.Begun)
	t.unsure = t.begun && (!ok || known.Unsure)
	if !ok {
		return
	}
	t.taken, t.Pin = known.Taken, known.Pin
	if known.RefusalCode != "" {
		t.refusal = &handlers.Error{
			Class: handlers.Class(known.RefusalClass), Code: known.RefusalCode, Message: known.RefusalMessage,
		}
	}
	if known.Status != "" {
		t.ended = true
		t.byRead = known.ByRead
		t.answer = handlers.Answer{
			Status: handlers.Status(known.Status), Before: known.Before, After: known.After, RequestID: known.RequestID,
		}
		if known.Code != "" {
			t.answer.Err = &handlers.Error{Code: known.Code, Message: known.Message}
		}
		if known.Code == codePolicyDenied {
			t.verdict = handlers.NotRun // policy refused it, not AWS
		}
	}
}

// known is what the ledger is to know of the target.
func (t *target) known() ledger.TargetProgress {
	p := ledger.TargetProgress{Begun: t.begun, Taken: t.taken, Unsure: t.unsure, Pin: t.Pin}
	if t.refusal != nil {
		p.RefusalClass, p.RefusalCode, p.RefusalMessage = int(t.refusal.Class), t.refusal.Code, t.refusal.Message
	}
	if t.ended {
		p.Status, p.Before, p.After, p.RequestID = string(t.answer.Status), t.answer.Before, t.answer.After, t.answer.RequestID
		p.ByRead = t.byRead
		if t.answer.Err != nil {
			p.Code, p.Message = t.answer.Err.Code, t.answer.Err.Message
		}
	}
	return p
}

func (t *target) tried() handlers.Tried {
	return handlers.Tried{Taken: t.taken, Unsure: t.unsure, Refusal: t.refusal}
}

// stands is whether a request is to be made for it.
func (t *target) stands() bool { return t.halted == nil }

// answered takes in the answer of a cancelling call. alone is whether the request named no other
// target: only then is a refusal of the whole request this target's own.
func (t *target) answered(a handlers.Answer, alone bool) lane.Verdict {
	t.answer = a
	if a.Err == nil {
		t.taken, t.refusal = true, nil
		t.journey.accepted()
		return lane.Done
	}
	switch a.Err.Class {
	case handlers.Throttled:
		if defect.Is(defect.ThrottleFails) && t.journey.throttled() >= 3 {
			t.refusal = a.Err
			return lane.Done
		}
		return lane.Throttled
	case handlers.Unavailable, handlers.Unanswered:
		t.unsure = t.unsure || !a.Err.NotRun
		return lane.Unavailable
	case handlers.Refused:
		if alone {
			t.refusal = a.Err
		}
		return lane.Refused
	case handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch, handlers.NotAuthorized, handlers.Final:
		t.refusal = a.Err
		t.unsure = t.unsure || a.Err.MayHaveRun
	}
	return lane.Done
}

// wasRead takes in the reading of its state.
func (t *target) wasRead(r handlers.Reading) lane.Verdict {
	t.reading = r
	if r.Err == nil {
		return lane.Done
	}
	switch r.Err.Class {
	case handlers.Throttled:
		return lane.Throttled
	case handlers.Unavailable, handlers.Unanswered:
		return lane.Unavailable
	case handlers.Refused:
		return lane.Refused
	case handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch, handlers.NotAuthorized, handlers.Final:
	}
	return lane.Done
}

// end is the target's last word.
func (t *target) end(a handlers.Answer) {
	t.answer = a
	t.ended = true
}

// judgeAnswer ends the target where the call's answer is enough to tell what became of it.
func (t *target) judgeAnswer() {
	a := t.answer
	if a.Err == nil {
		if a.Status != "" {
			t.end(a)
		}
		return
	}
	switch a.Err.Class {
	case handlers.NoSuchTarget:
		// After a call that may have arrived, this may be the echo of our own cancel.
		if t.unsure {
			return
		}
	case handlers.NotAuthorized:
	case handlers.Final:
		if t.unsure {
			return
		}
	case handlers.Unsettled:
		if a.Status == "" || t.unsure {
			return
		}
	case handlers.Throttled, handlers.Unavailable, handlers.Unanswered, handlers.Refused, handlers.VersionMismatch:
		return
	}
	if a.Status == "" {
		a.Status = refusalStatus(a.Err.Class)
	}
	t.end(a)
}

// refusalStatus is what a final refusal means where nothing else is known.
func refusalStatus(c handlers.Class) handlers.Status {
	switch c {
	case handlers.NoSuchTarget:
		return handlers.NotFound
	case handlers.VersionMismatch:
		return handlers.Conflict
	case handlers.NotAuthorized:
		return handlers.Denied
	case handlers.Throttled, handlers.Unavailable, handlers.Unanswered, handlers.Refused,
		handlers.Unsettled, handlers.Final:
	}
	return handlers.Failed
}

// judgeReading ends the target by what its state shows, else by what its calls showed, else by
// the refusal that kept it from being called.
func (t *target) judgeReading(h handlers.Handler, kept *refusal) {
	var a handlers.Answer
	if t.reading.Err == nil {
		a = h.Judge(t.Target, t.tried(), t.reading)
		t.byRead = a.Status != ""
	} else {
		a.Err = t.reading.Err
	}
	if t.answer.RequestID != "" {
		a.RequestID = t.answer.RequestID // of the cancelling call, which is what AWS's own records have
	}
	if a.Status != "" {
		t.end(a)
		return
	}
	switch {
	case t.taken:
		a.Status = handlers.Accepted
	case t.refusal != nil:
		a.Status, a.Err = refusalStatus(t.refusal.Class), t.refusal
	case kept != nil:
		a.Status, a.Err = handlers.Failed, kept.asError()
	default:
		a.Status = handlers.Failed
	}
	t.end(a)
}

// judgePin takes in what was resolved: the pin, or none, where there is nothing to cancel.
func (t *target) judgePin() {
	switch r := t.reading; {
	case r.Err != nil:
		t.end(handlers.Answer{Status: refusalStatus(r.Err.Class), Err: r.Err, RequestID: r.RequestID})
	case r.Found:
		t.Pin = r.State
	}
}

// judgeLast ends a target of which nothing is left to cancel by how the last one ended. No call
// was ever made for it: a pin is stored before the first.
func (t *target) judgeLast(h handlers.Handler) {
	a := handlers.Answer{Err: t.reading.Err, RequestID: t.reading.RequestID}
	if a.Err != nil {
		a.Status = refusalStatus(a.Err.Class)
	} else {
		a = h.Judge(t.Target, handlers.Tried{}, t.reading)
		t.byRead = true
	}
	if a.Status == "" {
		a.Status, a.Err = handlers.Failed, &handlers.Error{
			Class: handlers.Final, Code: "Unresolved", Message: "nothing is open to be cancelled, and what was last has not ended",
		}
	}
	t.end(a)
}
