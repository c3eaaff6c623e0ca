package simulation

import (
	"maps"
	"slices"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/outcome"
)

// order: a message is deleted after its outcome was published, has no second one, and what the
// first says is true.
func (c *checker) order(s sent) {
	o := c.Plan.Commands[s.Order]
	id := c.answer(s)
	if id == "" {
		c.fault("%s, message %s: lost, it has no outcome", o.ID, s.Message)
		return
	}
	e := c.events[id][0]
	for _, d := range c.deletes[s.Message] {
		if carriedOut(d) && d.Began.Before(e.At) {
			c.fault("%s, message %s: deleted at %s, and its outcome was published at %s", o.ID, s.Message, clock(d.Began), clock(e.At))
		}
	}
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
		if e.Data.Status != handlers.NotFound && !c.mayGiveUp() && !c.denied["other-"+o.ID] {
			c.fault("%s: came to %s, and there is no such job", o.ID, e.Data.Status)
		}
		return
	}
	c.whole(o, e)
	if len(e.Data.Targets) != len(o.Targets) {
		c.fault("%s: %d targets in the outcome, %d in the command", o.ID, len(e.Data.Targets), len(o.Targets))
		return
	}
	for i, told := range e.Data.Targets {
		c.truth(o, e, o.Targets[i], told)
	}
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
	if e.Data.CommandID != o.ID || e.Data.DryRun != (o.Kind == dry) {
		c.fault("%s (%s): the outcome is of %s, dry run: %t", o.ID, o.Kind, e.Data.CommandID, e.Data.DryRun)
	}
	if e.Data.Status == handlers.Expired && e.Data.FinishedAt.Before(o.Expires) {
		c.fault("%s: expired at %s, and its expiresAt is %s", o.ID, clock(e.Data.FinishedAt), clock(o.Expires))
	}
	age := e.Data.FinishedAt.Sub(e.Data.EnqueuedAt)
	if c.Plan.MaxReceives >= 100 && e.Data.Code == outcome.CodeGaveUp && age < c.Plan.GiveUp {
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

// mayGiveUp: the plan lets time, or receives, run out.
func (c *checker) mayGiveUp() bool {
	return c.Plan.GiveUp > 0 || c.Plan.MaxReceives < 100
}

// truth: a target's status is one that its fate allows, and claims no more than was done.
func (c *checker) truth(o order, e event, at int, told outcome.Target) {
	t, end := c.Plan.Targets[at], c.Ends[at]
	calls := c.callsOf(t)
	done := slices.ContainsFunc(calls, carriedOut)
	// Nobody called it for this command, as far as can be told.
	spared := t.Shared || len(calls) == 0
	// What AWS denied to be read, nobody knows.
	denied := c.wasDenied(t)
	ok := false
	switch told.Status {
	case handlers.Cancelled:
		// After a call that was never answered, or was only about to be made when its worker died,
		// the target of somebody else's cancel cannot be told from one of ours: it was seen to have
		// stopped by a cancel.
		ok = done && t.Fate == alive && end.Stopped || t.Fate == cancelled && c.mayHaveCalled(o.ID)
	case handlers.Accepted:
		ok = c.accepted(o, e, t, end, done)
	case handlers.AlreadyCancelled:
		ok = t.Fate == cancelled || t.Fate == alive && t.Shared && end.Stopped
	case handlers.AlreadyEnded:
		ok = t.Fate == ended
	case handlers.NotCancellable:
		ok = t.Fate == running
	case handlers.NotFound:
		ok = t.Fate == unknown
	case handlers.Conflict:
		// What has ended has not the version either, which only its state tells. The right one does
		// not match any more once a call was carried out, and that too may be denied to be read.
		ok = (t.Fate == alive || t.Fate == running || denied) && t.Version == wrongVersion || t.Version == rightVersion && done && denied
	case handlers.Expired:
		ok = o.Kind == expires && spared
	case handlers.DryRun:
		ok = o.Kind == dry && spared
	case handlers.Denied:
		ok = denied && told.Code != policyDenied || o.Kind == foreign && told.Code == policyDenied && spared
	case handlers.Failed:
		ok = denied || o.Kind == expires && told.Code == "Expired" || c.mayGiveUp() && told.Code == outcome.CodeGaveUp ||
			// EMR has no code for what passes.
			t.Action == cancelSteps && told.Code == "FAILED" && slices.ContainsFunc(calls, func(r awssim.Record) bool { return r.FailedItems > 0 })
	case handlers.Invalid, handlers.Aborted, handlers.Partial:
	}
	switch kept := told.Status == handlers.DryRun || told.Status == handlers.Denied && told.Code == policyDenied; {
	case o.Kind != dry && o.Kind != foreign:
	case !spared, !kept && told.Code != outcome.CodeGaveUp:
		ok = false
	}
	switch told.Status {
	case handlers.Denied, handlers.Failed, handlers.Conflict, handlers.Expired:
		if c.knewTaken(keyOf(o), t) || !t.Shared && c.sawTaken(keyOf(o), e, calls) {
			c.fault("%s: %s is told as %s %s, and who tells it knew that AWS took the request", o.ID, t.ID, told.Status, told.Code)
		}
	case handlers.Cancelled, handlers.Accepted, handlers.AlreadyCancelled, handlers.AlreadyEnded, handlers.NotCancellable,
		handlers.NotFound, handlers.Invalid, handlers.Aborted, handlers.DryRun, handlers.Partial:
	}
	if !ok {
		c.fault("%s (%s): %s %s was %s, is %q (stopped: %t), calls: %d, carried out: %t, denied: %t, and the outcome says %s %s %q",
			o.ID, o.Kind, t.Action, t.ID, t.Fate, end.State, end.Stopped, len(calls), done, denied, told.Status, told.Code, told.Message)
	}
}

// policyDenied is the code of what policy, not AWS, denied.
const policyDenied = "PolicyDenied"

// accepted: AWS took a request, and where that could stop the target, it stopped.
func (c *checker) accepted(o order, e event, t target, end end, done bool) bool {
	switch {
	case !done:
		return false
	case t.Fate == alive:
		over := begin.Add(c.Took)
		return end.Stopped || e.At.Add(c.Plan.StopAfter).After(over)
	case t.Action == stopExecution && t.Fate != unknown && !c.Plan.RefuseEnded:
		return true // Step Functions answers as for what runs
	}
	// Batch takes what it cannot stop, and its state was not to be read.
	return o.Kind == expires || c.mayGiveUp() || c.wasDenied(t)
}

// mayHaveCalled: a worker wrote down that it would call.
func (c *checker) mayHaveCalled(key string) bool {
	return slices.ContainsFunc(c.told[key], func(s step) bool { return s.Progress.Begun })
}

// knewTaken: a worker wrote down that AWS took a request for a target.
func (c *checker) knewTaken(key string, t target) bool {
	return slices.ContainsFunc(c.told[key], func(s step) bool {
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

// stopped: a worker that is told to stop does so in time; and where SQS did what it was asked, none
// of its messages is hidden from the others for long.
func (c *checker) stopped() {
	// The drain, then what Worker.Run says: some seconds to settle, of each queue.
	const within = drainFor + 20*time.Second
	// What is released for no longer is not taken back: it comes back by itself as soon.
	const soon = 2 * time.Second
	for _, end := range c.Endings {
		if end.Crash != nil || end.Stopped.IsZero() || c.lives[end.Worker].Pause > 0 {
			continue
		}
		if took := end.Stopped.Sub(end.Asked); took > within {
			c.fault("%s was told to stop at %s and took %s", end.Worker, clock(end.Asked), took)
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
	return !slices.ContainsFunc(c.Plan.Rules, func(r rule) bool { return r.Name == "sqs:*" || r.Name == "sqs:ReceiveMessage" }) &&
		!slices.ContainsFunc(c.Plan.Outages, func(o outage) bool {
			return o.Service == "sqs" && begin.Add(o.At).Before(end.Stopped) && begin.Add(o.At+o.For).After(end.Asked)
		})
}
