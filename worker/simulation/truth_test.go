package simulation

import (
	"maps"
	"slices"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
)

// order: a message is deleted after its outcome was published, has no second one, and what the
// first says is true.
func (c *checker) order(s sent) {
	o := c.Plan.Commands[s.Order]
	id := c.answer(s)
	if id == "" {
		if !c.ranOut(o.Body) {
			c.fault("%s, message %s: lost, it has no outcome", o.ID, s.Message)
		}
		return
	}
	e := c.events[id][0]
	c.deferred(o, s, e.At)
	for _, other := range c.ids(s) {
		// That of its id may be of the command that has the id by right.
		if other != id && other == outcome.EventID("msg:"+s.Message) && len(c.events[other]) > 0 {
			c.fault("%s, message %s: two outcomes, %s and %s", o.ID, s.Message, e.Data.Status, c.events[other][0].Data.Status)
		}
	}
	if o.Kind == garbage || o.Kind == reuse && e.Data.Status == handlers.Invalid {
		if e.Data.Status != handlers.Invalid {
			c.fault("message %s: %s came to %s", s.Message, o.Body, e.Data.Status)
		}
		return
	}
	if o.Kind == reuse && len(o.Targets) == 0 {
		if e.Data.Status != handlers.NotFound && !c.mayGiveUp(target{}) && !c.denied["other-"+o.ID] {
			c.fault("%s: came to %s, and there is no such job", o.ID, e.Data.Status)
		}
		return
	}
	c.whole(o, e)
	c.prompt(o, s, e)
	c.shown(o, e)
	if len(e.Data.Targets) != len(o.Targets) {
		c.fault("%s: %d targets in the outcome, %d in the command", o.ID, len(e.Data.Targets), len(o.Targets))
		return
	}
	for i, reported := range e.Data.Targets {
		c.truth(o, e, o.Targets[i], reported)
	}
}

// deferred: until its outcome was published, each copy of a message was deleted only when another one was
// on the queue.
func (c *checker) deferred(o order, s sent, published time.Time) {
	ids := []string{s.Message}
	for _, r := range c.Receipts {
		if r.Original == s.Message && !slices.Contains(ids, r.Message) {
			ids = append(ids, r.Message)
		}
	}
	var deleted []time.Time
	for _, id := range ids {
		for _, d := range c.deletes[id] { // of several of one message the first counts
			if carriedOut(d) && d.Began.Before(published) {
				deleted = append(deleted, d.Began)
				break
			}
		}
	}
	slices.SortFunc(deleted, time.Time.Compare)
	for n, at := range deleted {
		copies := 0
		for _, k := range c.Copies {
			if k.Original == s.Message && !k.At.After(at) {
				copies++
			}
		}
		if copies <= n {
			c.fault("%s, message %s: its copy %d was deleted at %s when no other was there, and its outcome was published at %s", o.ID, s.Message, n+1, clock(at), clock(published))
		}
	}
}

// isFrom: the message that an outcome names was sent then, for that command.
func (c *checker) isFrom(o order, e event) bool {
	return slices.ContainsFunc(c.Sent, func(s sent) bool {
		return c.Plan.Commands[s.Order].ID == o.ID && s.Message == e.Data.MessageID && s.At.Truncate(time.Millisecond).Equal(e.Data.EnqueuedAt.Truncate(time.Millisecond))
	})
}

// whole: what the outcome says of the command is what its targets come to, and time ran out where it
// says so.
func (c *checker) whole(o order, e event) {
	status, verdict, counts := outcome.Of(e.Data.Targets)
	if status == handlers.Denied && o.Kind == foreign {
		verdict = handlers.NotRun // a target does not say whether AWS or policy denied it
	}
	if e.Data.Status != status || e.Data.Verdict != verdict || !maps.Equal(e.Data.Counts, counts) {
		c.fault("%s: says %s, %s, %v, and its targets come to %s, %s, %v", o.ID, e.Data.Status, e.Data.Verdict, e.Data.Counts, status, verdict, counts)
	}
	if !c.isFrom(o, e) {
		c.fault("%s: the outcome is of message %q of %s, and no such message was sent", o.ID, e.Data.MessageID, clock(e.Data.EnqueuedAt))
	}
	if e.Data.CommandID != o.ID || e.Data.DryRun != (o.Kind == dry) {
		c.fault("%s (%s): the outcome is of %s, dry run: %t", o.ID, o.Kind, e.Data.CommandID, e.Data.DryRun)
	}
	if e.Data.Status == handlers.Expired && e.Data.FinishedAt.Before(o.Expires) {
		c.fault("%s: expired at %s, and its expiresAt is %s", o.ID, clock(e.Data.FinishedAt), clock(o.Expires))
	}
	age := e.Data.FinishedAt.Sub(e.Data.EnqueuedAt)
	if e.Data.Code == outcome.CodeGaveUp && age < c.Plan.GiveUp {
		c.fault("%s: given up at an age of %s, and the plan says %s", o.ID, age, c.Plan.GiveUp)
	}
	if !o.Kind.calls() && c.mayHaveCalled(keyOf(o)) {
		c.fault("%s (%s): a worker wrote down that it would call", o.ID, o.Kind)
	}
}

// keyOf is what the ledger has a command under.
func keyOf(o order) string {
	if o.Kind == dry {
		return "dry/" + o.ID
	}
	return o.ID
}

// mayGiveUp: the plan lets time run out; or this target's time, since it always fails.
func (c *checker) mayGiveUp(t target) bool {
	return c.Plan.GiveUp > 0 && c.Plan.GiveUp < lateGiveUp || t.Fails
}

// truth: a target's status is one that its fate allows, and claims no more than was done.
func (c *checker) truth(o order, e event, at int, reported outcome.Target) {
	t, end := c.Plan.Targets[at], c.Ends[at]
	calls := c.callsOf(t)
	done := slices.ContainsFunc(calls, carriedOut)
	// Nobody called it for this command, as far as is known.
	spared := t.Shared || len(calls) == 0
	// What AWS denied to be read, nobody knows.
	denied := c.wasDenied(t)
	ok := false
	switch reported.Status {
	case handlers.Cancelled:
		// After a call that was never answered, or was only about to be made when its worker died,
		// the target of somebody else's cancel cannot be distinguished from one of ours: it was seen to have
		// stopped by a cancel.
		ok = done && (t.Fate == alive || c.mayEscalate(t)) && end.Stopped || t.Fate == cancelled && c.mayHaveCalled(o.ID)
	case handlers.Accepted:
		ok = c.accepted(o, e, t, end, done)
	case handlers.AlreadyCancelled:
		ok = t.Fate == cancelled || (t.Fate == alive || c.mayEscalate(t)) && t.Shared && end.Stopped
	case handlers.AlreadyEnded:
		ok = t.Fate == ended
	case handlers.NotCancellable:
		// With escalate it is stopped all the same, unless the stronger call may not be made, or is refused.
		ok = t.Fate == running && (o.Escalate == 0 || o.Kind == expires || c.mayGiveUp(t) || denied)
	case handlers.NotFound:
		ok = t.Fate == unknown
	case handlers.Conflict:
		// What has ended has not the version either, which only its state shows. The right one does
		// not match any more once a call was carried out, and that too may be denied to be read.
		ok = (t.Fate == alive || t.Fate == running || denied) && t.Version == wrongVersion || t.Version == rightVersion && done && denied
	case handlers.Expired:
		ok = o.Kind == expires && spared
	case handlers.DryRun:
		ok = o.Kind == dry && spared && c.foretold(reported, t, end, denied)
	case handlers.Denied:
		ok = denied && reported.Code != policyDenied || o.Kind == foreign && reported.Code == policyDenied && spared
	case handlers.Failed:
		ok = denied || o.Kind == expires && reported.Code == "Expired" || c.mayGiveUp(t) && reported.Code == outcome.CodeGaveUp ||
			c.Plan.MaxReceives < fewReceives && reported.Code == outcome.CodeInternal ||
			// EMR has no code for what passes.
			t.Action == cancelSteps && reported.Code == "FAILED" && slices.ContainsFunc(calls, func(r awssim.Record) bool { return r.FailedItems > 0 })
	case handlers.Invalid, handlers.Aborted, handlers.Partial:
	}
	// Of a target that always fails AWS never said anything.
	ok = ok && (!t.Fails || slices.Contains([]handlers.Status{handlers.Failed, handlers.Expired, handlers.DryRun}, reported.Status) ||
		reported.Status == handlers.Denied && reported.Code == policyDenied)
	switch spares := reported.Status == handlers.DryRun || reported.Status == handlers.Denied && reported.Code == policyDenied; {
	case o.Kind != dry && o.Kind != foreign:
	case !spared, !spares && reported.Code != outcome.CodeGaveUp:
		ok = false
	}
	switch reported.Status {
	case handlers.Denied, handlers.Failed, handlers.Conflict, handlers.Expired:
		if c.knewTaken(keyOf(o), t) || !t.Shared && c.sawTaken(keyOf(o), e, calls) {
			c.fault("%s: %s is reported as %s %s, and the worker that reported it knew that AWS took the request", o.ID, t.ID, reported.Status, reported.Code)
		}
	case handlers.Cancelled, handlers.Accepted, handlers.AlreadyCancelled, handlers.AlreadyEnded, handlers.NotCancellable,
		handlers.NotFound, handlers.Invalid, handlers.Aborted, handlers.DryRun, handlers.Partial:
	}
	if !ok {
		c.fault("%s (%s): %s %s was %s, is %q (stopped: %t), calls: %d, carried out: %t, denied: %t, and the outcome says %s %s %q",
			o.ID, o.Kind, t.Action, t.ID, t.Fate, end.State, end.Stopped, len(calls), done, denied, reported.Status, reported.Code, reported.Message)
	}
}

// foretold: a dry run's prediction is of a state that its target was in when it was read; a stale read may show a time
// at which it was not there yet.
func (c *checker) foretold(reported outcome.Target, t target, end end, denied bool) bool {
	switch reported.Prediction {
	case "":
		return reported.Code != ""
	case handlers.Accepted:
		return t.Fate == alive || t.Fate == stubborn
	case handlers.Cancelled, handlers.AlreadyCancelled:
		return t.Fate == cancelled || (t.Fate == alive || c.mayEscalate(t)) && t.Shared && end.Stopped
	case handlers.AlreadyEnded:
		return t.Fate == ended
	case handlers.NotCancellable:
		return t.Fate == running
	case handlers.NotFound:
		return t.Fate == unknown || slices.ContainsFunc(c.Plan.Rules, func(r rule) bool { return r.Stale > 0 })
	case handlers.Conflict:
		return t.Fate == alive && (t.Version == wrongVersion || t.Shared)
	case handlers.Denied:
		return denied
	case handlers.Failed, handlers.Invalid, handlers.Expired, handlers.Aborted, handlers.DryRun, handlers.Partial:
	}
	return false
}

// policyDenied is the code of what policy, not AWS, denied.
const policyDenied = "PolicyDenied"

// accepted: AWS took a request, and where that could stop the target, it stopped.
func (c *checker) accepted(o order, e event, t target, end end, done bool) bool {
	switch {
	case !done:
		return false
	case !c.lookedFor(o, e, t):
		return false
	case t.Fate == stubborn, t.Fate == running && o.Escalate > 0:
		return true
	case t.Fate == alive:
		over := begin.Add(c.Took)
		return end.Stopped || e.At.Add(c.Plan.StopAfter).After(over)
	case t.Action == stopExecution && t.Fate != unknown && !c.Plan.RefuseEnded:
		return true // Step Functions answers as for what runs
	}
	// Batch takes what it cannot stop, and its state was not to be read.
	return o.Kind == expires || c.mayGiveUp(t) || c.wasDenied(t)
}

// mayEscalate: a stronger action than the target's own is what stops it, and a command asks for it.
func (c *checker) mayEscalate(t target) bool {
	return (t.Fate == running || t.Fate == stubborn) && slices.ContainsFunc(c.Plan.Commands, func(o order) bool {
		return o.Escalate > 0 && slices.ContainsFunc(o.Targets, func(at int) bool { return c.Plan.Targets[at].ID == t.ID })
	})
}

// lookedFor: proof was looked for as long as the command asks, from the first acceptance on, which is no sooner
// than the first call.
func (c *checker) lookedFor(o order, e event, t target) bool {
	first := c.callsOf(t)[0].Began
	for _, at := range o.Targets { // confirm counts from the command's first acceptance
		if calls := c.callsOf(c.Plan.Targets[at]); len(calls) > 0 && calls[0].Began.Before(first) {
			first = calls[0].Began
		}
	}
	tooOld := c.Plan.GiveUp > 0 && e.Data.FinishedAt.Sub(e.Data.EnqueuedAt) >= c.Plan.GiveUp
	return o.Confirm == 0 || t.Shared || tooOld || !e.Data.FinishedAt.Before(first.Add(o.Confirm))
}

// escalated: the stronger action was taken of nothing that no command asks it for, and not before its time.
func (c *checker) escalated() {
	for i, t := range c.Plan.Targets {
		if t.Fate == stubborn && c.Ends[i].Stopped && !c.mayEscalate(t) {
			c.fault("%s is stubborn, no command asks for more than %s, and it has stopped", t.ID, t.Action)
		}
	}
	for key, o := range c.orders {
		for _, at := range o.Targets {
			if t := c.Plan.Targets[at]; !t.Shared && stronger[t.Action] != calling[t.Action] {
				c.escalatedInTime(key, o, t)
			}
		}
	}
}

func (c *checker) escalatedInTime(key string, o order, t target) {
	var plain time.Time
	for _, r := range c.callsOf(t) {
		switch {
		case r.Operation == calling[t.Action] && plain.IsZero():
			plain = r.Began
		case r.Operation != stronger[t.Action]:
		case o.Escalate == 0:
			c.fault("%s: %s was called at %s by %s, which nobody asked for", key, t.ID, clock(r.Began), r.Operation)
		case t.Fate != running && r.Began.Before(plain.Add(o.Escalate)):
			c.fault("%s: %s was called at %s by %s, and first at %s: escalate is %s", key, t.ID, clock(r.Began), r.Operation, clock(plain), o.Escalate)
		case slices.ContainsFunc(c.progress[key], func(s step) bool {
			p, ok := progressOf(s, t)
			return ok && p.Escalation == ledger.EscalationAnswered && s.At.Before(r.Began)
		}):
			c.fault("%s: %s was called at %s by %s again, which AWS had answered", key, t.ID, clock(r.Began), r.Operation)
		}
	}
}

// mayHaveCalled: a worker wrote down that it would call.
func (c *checker) mayHaveCalled(key string) bool {
	return slices.ContainsFunc(c.progress[key], func(s step) bool { return s.Progress.Begun })
}

// knewTaken: a worker wrote down that AWS took a request for a target.
func (c *checker) knewTaken(key string, t target) bool {
	return slices.ContainsFunc(c.progress[key], func(s step) bool {
		p, ok := progressOf(s, t)
		return ok && p.Taken
	})
}

// sawTaken: the worker that came to an outcome was itself answered that AWS took a request.
func (c *checker) sawTaken(key string, e event, calls []awssim.Record) bool {
	stored := c.stored[e.ID]
	if len(stored) == 0 {
		return false
	}
	by := stored[0]
	claimed := time.Time{}
	for _, s := range c.Steps {
		if s.Operation == opClaim && s.Worker == by.Worker && s.Key == key && s.Number == by.Number {
			claimed = s.At
		}
	}
	// One that stands still may not hear an answer.
	return !claimed.IsZero() && c.lives[by.Worker].Pause == 0 && slices.ContainsFunc(calls, func(r awssim.Record) bool {
		return r.Caller == by.Worker && !r.Began.Before(claimed) && !r.Ended.After(by.At) &&
			r.Status >= 200 && r.Status < 300 && r.Fault == awssim.NoFault && r.FailedItems == 0
	})
}

// stopped: a worker that is asked to stop does so in time; and where SQS did what it was asked, none
// of its messages is hidden from the others for long.
func (c *checker) stopped() {
	// The drain, then what Worker.Run says: some seconds to settle, of each queue.
	const within = drainFor + 20*time.Second
	// What is deferred for no longer remains in flight, and comes back by itself.
	const soon = time.Minute
	for _, end := range c.Endings {
		if end.Crash != nil || end.Stopped.IsZero() || c.lives[end.Worker].Pause > 0 {
			continue
		}
		if took := end.Stopped.Sub(end.Asked); took > within {
			c.fault("%s was asked to stop at %s and took %s", end.Worker, clock(end.Asked), took)
		}
		if !c.calm(end) {
			continue
		}
		for _, h := range end.Hidden {
			if !h.Until.After(end.Stopped.Add(soon)) {
				continue
			}
			c.fault("%s stopped from %s to %s, and left message %s hidden until %s", end.Worker, clock(end.Asked), clock(end.Stopped), h.Message, clock(h.Until))
		}
	}
}

// calm: while a worker stopped, SQS did what it was asked.
func (c *checker) calm(end ending) bool {
	return !c.troubled(end.Asked, end.Stopped) && !slices.ContainsFunc(c.Plan.Rules, func(r rule) bool { return r.Name == "sqs:*" || r.Name == "sqs:ReceiveMessage" }) &&
		!slices.ContainsFunc(c.Plan.Outages, func(o outage) bool {
			return o.Service == "sqs" && begin.Add(o.At).Before(end.Stopped) && begin.Add(o.At+o.For).After(end.Asked)
		})
}
