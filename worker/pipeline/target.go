package pipeline

import (
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/ledger"
)

// target is one target of an execution. Its fields belong to whoever has it: the stage, or, between
// the lane's Do and its return, the lane's request.
type target struct {
	handlers.Target
	execution *execution
	handler   handlers.Handler // of the stronger action, once that is taken

	begun   bool            // a cancelling call was made, or may have been
	taken   bool            // AWS answered one with success
	unsure  bool            // one may have arrived and was not answered, or with a 5xx
	refusal *handlers.Error // the last final refusal
	// calledAt is when the last cancelling call was answered, or is known to have been over, that had an
	// effect or may have, or when the first was refused for the target's state.
	calledAt time.Time
	pause    time.Duration // the next one between two readings of it

	escalation ledger.Escalation
	isDue      bool // the stronger action is to be taken
	isAwaited  bool // AWS took it, and it is looked at again
	isByID     bool // its next reading is by id, whatever listings there are

	unresolved bool // which one is meant is not known yet
	examined   bool // whose fault the refusal of its request was has been looked for
	exists     bool // then AWS was seen to know it
	keyRefused bool // or to refuse all of its key
	unproven   bool // it was refused together with others, for whose fault it may be
	returned   bool // for that it goes back to be cancelled

	answer     handlers.Answer  // of the last call, or the final one once ended
	prediction handlers.Status  // of a dry run; "": it cannot be known
	reading    handlers.Reading // of the last read
	seenTaken  bool             // it showed that AWS has taken a cancel
	skipped    error            // why the last request left it out; nil: it did not
	ended      bool
	byRead     bool             // what ended it was a reading of its state
	byEvent    bool             // what ended it was an event
	verdict    handlers.Verdict // where it is not the status's own
}

// restore sets a target to what the ledger knows of it.
func (t *target) restore(p ledger.Progress, all map[handlers.Action]handlers.Handler) {
	known, ok := p.Targets[t.ID]
	t.begun = p.Begun && (!ok || known.Begun)
	t.unsure = t.begun && (!ok || known.Unsure)
	if !ok {
		return
	}
	t.taken, t.Pin = known.Taken, known.Pin
	if t.escalation = known.Escalation; t.escalation != "" && !t.strengthen(all) {
		t.escalation = ledger.EscalationAnswered // its state is read, and nothing is called for it
	}
	if known.RefusalCode != "" {
		t.refusal = &handlers.Error{
			Class: handlers.Class(known.RefusalClass), Code: known.RefusalCode, Message: known.RefusalMessage,
		}
	}
	if known.Status != "" {
		t.ended = true
		t.byRead, t.byEvent, t.prediction = known.ByRead, known.ByEvent, handlers.Status(known.Prediction)
		t.answer = handlers.Answer{
			Status: handlers.Status(known.Status), Before: known.Before, After: known.After, RequestID: known.RequestID,
		}
		if known.Code != "" || known.Message != "" {
			t.answer.Err = &handlers.Error{Code: known.Code, Message: known.Message}
		}
		if known.Code == codePolicyDenied {
			t.verdict = handlers.NotRun // policy refused it, not AWS
		}
	}
}

// known is what the ledger is to know of the target.
func (t *target) known() ledger.TargetProgress {
	p := ledger.TargetProgress{Begun: t.begun, Taken: t.taken, Unsure: t.unsure, Pin: t.Pin, Escalation: t.escalation}
	if !t.ended && (t.taken || t.unsure || t.refusal != nil) {
		p.CalledAt = t.calledAt
	}
	if t.refusal != nil && !t.unproven {
		p.RefusalClass, p.RefusalCode, p.RefusalMessage = int(t.refusal.Class), t.refusal.Code, t.refusal.Message
	}
	if t.ended {
		p.Status, p.Before, p.After, p.RequestID = string(t.answer.Status), t.answer.Before, t.answer.After, t.answer.RequestID
		p.ByRead, p.ByEvent, p.Prediction = t.byRead, t.byEvent, string(t.prediction)
		if t.answer.Err != nil {
			p.Code, p.Message = t.answer.Err.Code, t.answer.Err.Message
		}
	}
	return p
}

func (t *target) tried() handlers.Tried {
	tried := handlers.Tried{Taken: t.taken, Unsure: t.unsure, Refusal: t.refusal}
	if t.unproven {
		tried.Refusal = nil // it may be others'
	}
	return tried
}

// isAnswered reports whether AWS has answered a cancelling call for it, the stronger one once that has begun, so
// that only its state is left to be read.
func (t *target) isAnswered() bool {
	return t.escalation != ledger.EscalationBegun && (t.taken || t.refusal != nil && !t.unproven)
}

// isTaken reports whether AWS is known to have taken a cancel of it.
func (t *target) isTaken() bool { return t.taken || t.seenTaken }

// isBack says that it goes back to be cancelled: it was refused for what may be others' fault.
func (t *target) isBack(x *execution) bool { return t.returned && t.unproven && x.barred == nil }

// isWanted is whether a request is to be made for it.
func (t *target) isWanted() bool { return t.skipped == nil }

// answered takes in the answer of a cancelling call.
func (t *target) answered() lane.Verdict {
	a := t.answer
	if a.Err == nil {
		t.taken, t.refusal, t.calledAt = true, nil, time.Now()
		t.escalationAnswered()
		t.execution.accepted()
		return lane.Done
	}
	switch a.Err.Class {
	case handlers.Throttled:
		return lane.Throttled
	case handlers.Unavailable, handlers.Unanswered:
		if !a.Err.NotRun {
			t.unsure, t.calledAt = true, time.Now()
		}
		return lane.Unavailable
	case handlers.Refused:
		if t.keyRefused {
			return lane.Done
		}
		return lane.Refused
	case handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch, handlers.NotAuthorized, handlers.Final:
		// A refusal says nothing new of an earlier call, unless it is for the target's state: that may be news,
		// which a reading does not show yet. One more refusal says no more.
		if a.Err.MayHaveRun || t.refusal == nil && (!t.unsure || isByState(a.Err)) {
			t.calledAt = time.Now()
		}
		t.refusal = a.Err
		t.unsure = t.unsure || a.Err.MayHaveRun
		t.escalationAnswered()
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

// endIfNeverCalled ends the target if nothing was called for it.
func (t *target) endIfNeverCalled(why *bar) {
	if !t.begun {
		t.end(why.answer())
		t.verdict = why.verdict
	}
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
			t.conclude(a)
		}
		return
	}
	if t.escalation != "" { // the plain action may have had its effect: the state tells
		if a.Err.Class == handlers.Refused {
			t.refusal = a.Err
			t.escalationAnswered()
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
	case handlers.Refused: // the lane has found out that it is the target's own, or its whole request's
		t.refusal = a.Err
		if !t.keyRefused || t.unsure {
			return
		}
	case handlers.Throttled, handlers.Unavailable, handlers.Unanswered, handlers.VersionMismatch:
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
// what prevented it from being called. What was refused for what may be others' fault is left
// as it is, to be cancelled again, unless the read of it is refused as well. asked is when the
// reading was asked for: one that does not count yet leaves the target as it is.
func (t *target) judgeReading(why *bar, asked time.Time) {
	var a handlers.Answer
	t.isAwaited = false
	if t.reading.Err == nil {
		a = t.handler.Judge(t.Target, t.tried(), t.reading)
		t.seenTaken = a.Status == handlers.Accepted
		if t.isDue = t.isToEscalate(a.Status, time.Now()); t.isDue || t.mayBeStale(a.Status, asked) {
			return
		}
		t.byRead = a.Status != ""
	} else {
		a.Err = t.reading.Err
	}
	if t.unproven && why == nil && a.Status == "" && !isRefusedLike(t.reading.Err, t.refusal) {
		t.exists, t.returned = t.reading.Err == nil && t.reading.Found, true
		return
	}
	if t.answer.RequestID != "" {
		a.RequestID = t.answer.RequestID // of the cancelling call, which is what AWS's own records have
	}
	if a.Status != "" {
		t.conclude(a)
		return
	}
	switch {
	case t.taken:
		a.Status = handlers.Accepted
	case t.refusal != nil && (!t.unproven || why == nil):
		a.Status, a.Err = refusalStatus(t.refusal.Class), t.refusal
	case why != nil:
		a.Status, a.Err = handlers.Failed, why.asError()
	default:
		a.Status = handlers.Failed
	}
	t.conclude(a)
}

// judgePin takes in what was resolved: the pin, or none, where there is nothing to cancel.
func (t *target) judgePin() {
	switch r := t.reading; {
	case r.Err != nil:
		t.endUncalled(handlers.Answer{Status: refusalStatus(r.Err.Class), Err: r.Err, RequestID: r.RequestID})
	case r.Found:
		t.Pin, t.unresolved = r.State, false
	}
}

// judgeLast ends a target of which nothing is left to cancel by how the last one ended, and, with final, one
// that is not there. No call was ever made for it: a pin is stored before the first.
func (t *target) judgeLast(final bool) {
	if t.reading.Err == nil && !t.reading.Found && !final {
		return
	}
	a := handlers.Answer{Err: t.reading.Err, RequestID: t.reading.RequestID}
	if a.Err != nil {
		a.Status = refusalStatus(a.Err.Class)
	} else {
		a = t.handler.Judge(t.Target, handlers.Tried{}, t.reading)
		t.byRead = true
	}
	if a.Status == "" {
		a.Status, a.Err = handlers.Failed, &handlers.Error{
			Class: handlers.Final, Code: "Unresolved", Message: "nothing is open to be cancelled, and what was last has not ended",
		}
	}
	t.endUncalled(a)
}

// preview ends a target of a dry run by what its state shows.
func (t *target) preview(all map[handlers.Action]handlers.Handler) {
	if e := t.reading.Err; e != nil {
		t.endUncalled(handlers.Answer{RequestID: t.reading.RequestID, Err: &handlers.Error{
			Class: e.Class, Code: e.Code, Message: "no prediction, as its state could not be read: " + e.Message,
		}})
		return
	}
	if t.execution.command.Escalate > 0 && t.handler.(handlers.Escalator).OnlyStronger(t.reading) {
		t.strengthen(all) // as the real command would
	}
	t.endUncalled(t.handler.Predict(t.Target, t.reading))
}

// endUncalled ends a target that needs no call: by what was read, which in a dry run is the prediction.
func (t *target) endUncalled(a handlers.Answer) {
	if t.execution.command.DryRun {
		t.prediction, t.byRead = a.Status, false
		a = handlers.Answer{Status: handlers.DryRun, Before: a.After, Err: a.Err, RequestID: a.RequestID}
	}
	t.end(a)
}
