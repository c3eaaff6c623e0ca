package handlers

import (
	"context"
	"slices"
)

// This file holds what more than one service's handler does in the same way.

// One makes a call of many, as [Call] has it, of a call for one target.
func One[R any](do func(context.Context, Location, Target) R) func(context.Context, Location, []Target) []R {
	return func(ctx context.Context, at Location, targets []Target) []R {
		return []R{do(ctx, at, targets[0])}
	}
}

// NoAnswer is the error of a target of which an answer that did come says nothing readable:
// the request arrived, and what it did nobody knows. message says what was missing.
func NoAnswer(message string) *Error {
	return &Error{Class: Unanswered, Code: "Unanswered", Message: message}
}

// LeftOut is the error of a target that an answer to a request of several leaves out, where its
// state tells more than another call would: the request arrived, and may have stopped it.
func LeftOut(message string) *Error {
	return &Error{Class: Unsettled, Code: "LeftOut", Message: message, MayHaveRun: true}
}

// Refusal is the answer for a target that an error befell: denied where AWS refused for want
// of permission, and otherwise without a status.
func Refusal(e *Error, requestID string) Answer {
	a := Answer{Err: e, RequestID: requestID}
	if e.Class == NotAuthorized {
		a.Status = Denied
	}
	return a
}

// Taken is the answer to a request whose success says nothing in its body. Its request id is all
// that shows that AWS gave it; without one, whatever stands in between may have.
func Taken(s Status, requestID string) Answer {
	if requestID == "" {
		return Answer{Err: NoAnswer("the answer has neither a body nor a request id: is there a proxy or firewall in between?")}
	}
	return Answer{Status: s, RequestID: requestID}
}

// Fill returns n results that all say the same: those of a request that came to one thing as
// a whole.
func Fill[R any](n int, r R) []R {
	rs := make([]R, n)
	for i := range rs {
		rs[i] = r
	}
	return rs
}

// IDs returns the ids of targets, in their order.
func IDs(targets []Target) []string {
	ids := make([]string, len(targets))
	for i, t := range targets {
		ids[i] = t.ID
	}
	return ids
}

// Predict is what most handlers predict: the call is taken for a target in one of the open states, and
// otherwise its state tells what it comes to.
func Predict(h Handler, t Target, r Reading, open ...string) Answer {
	a := h.Judge(t, Tried{}, r)
	switch {
	case r.Err != nil || a.Status != "":
	case slices.Contains(open, r.State):
		a = h.Judge(t, Tried{Taken: true}, r)
	default:
		return NoPrediction(r, "what a call does to a target in this state is not known")
	}
	return a
}

// NoPrediction is the answer of a Predict that cannot know, and why.
func NoPrediction(r Reading, why string) Answer {
	return Answer{After: r.State, RequestID: r.RequestID, Err: &Error{Class: Final, Code: "NoPrediction", Message: why}}
}

// JudgeAlive completes the answer for a target that has not ended and shows no sign of a
// cancel: accepted where AWS took a call, else AWS's refusal as its last word (a conflict where
// expectedVersion did not match), else nothing.
func JudgeAlive(a *Answer, tried Tried) {
	switch {
	case tried.Taken:
		a.Status = Accepted
	case tried.Refusal == nil:
	case tried.Refusal.Class == NotAuthorized:
		a.Status, a.Err = Denied, tried.Refusal
	case tried.Refusal.Class == VersionMismatch:
		a.Status, a.Err = Conflict, tried.Refusal
	default:
		a.Status, a.Err = Failed, tried.Refusal
	}
}
