package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/ledger"
)

// Where a command asks for proof, what AWS took is looked at until it was seen to end, or confirm has run out.
// Between two looks its message is deferred, unless the next one is near: what waits for proof is in the queue and in the
// ledger, and in no worker's memory. What has not stopped in time is asked for by the stronger action.

const (
	// lookLeast is the shortest time between two looks.
	lookLeast = time.Second
	// lookShare is the part of the time since acceptance after which the next look comes: proof is found at most
	// a fifth late, and 12 hours cost 86 looks.
	lookShare = 5
)

// proofUntil is until when proof is looked for. What AWS has not answered with success, and took all
// the same, counts from now.
func (x *execution) proofUntil(now time.Time) time.Time {
	until := x.firstAccepted(now).Add(x.confirm)
	if x.giveUp.Before(until) {
		return x.giveUp
	}
	return until
}

// firstAccepted is when AWS first took a call; now, where it never said so.
func (x *execution) firstAccepted(now time.Time) time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.acceptedAt.IsZero() {
		x.acceptedAt = now
	}
	return x.acceptedAt
}

// conclude is end, unless the target is to be looked at again, or the stronger action is to be taken.
func (t *target) conclude(a handlers.Answer) {
	x, now := t.execution, time.Now()
	switch {
	case t.isToEscalate(a.Status, now):
		t.isDue = true
	case a.Status == handlers.Accepted && x.confirm > 0 && now.Before(x.proofUntil(now)):
		t.isAwaited = true
	default:
		if a.Status == handlers.Accepted && a.Err == nil {
			a.Err = t.explained()
		}
		t.end(a)
	}
}

// explained is why a target that AWS took has not stopped: the stronger action was refused, or what its service documents.
// nil: nothing is known.
func (t *target) explained() *handlers.Error {
	if t.escalation != "" && t.refusal != nil {
		return &handlers.Error{Class: t.refusal.Class, Code: t.refusal.Code, Message: "the stronger action was refused: " + t.refusal.Message}
	}
	e, ok := t.handler.(handlers.Explainer)
	if !ok {
		return nil
	}
	why := e.Explain(t.Target, t.reading)
	if why == "" {
		return nil
	}
	return &handlers.Error{Class: handlers.Final, Message: why}
}

// isToEscalate reports whether the stronger action is due for a target of that status: AWS took the plain one, and
// it has not stopped in time, or its state is one that the stronger one alone may stop.
func (t *target) isToEscalate(s handlers.Status, now time.Time) bool {
	x := t.execution
	if s != handlers.Accepted && s != handlers.NotCancellable || x.command.Escalate == 0 || t.escalation != "" || x.barred != nil || x.over(now) != nil {
		return false
	}
	if e, ok := t.handler.(handlers.Escalator); ok && e.OnlyStronger(t.reading) {
		return true
	}
	return s == handlers.Accepted && !now.Before(x.firstAccepted(now).Add(x.command.Escalate))
}

// strengthen makes the target that of the stronger action. It reports false, and changes nothing, where this version of
// the worker has none for it: the decoder sees to it that there is one, but another worker may have begun it.
func (t *target) strengthen(all map[handlers.Action]handlers.Handler) bool {
	e, ok := t.handler.(handlers.Escalator)
	if !ok {
		return false
	}
	stronger, _ := e.Stronger(t.Target)
	h := all[stronger.Action]
	if h == nil {
		return false
	}
	stronger.Target.Pin = t.Pin
	t.Target, t.handler = stronger.Target, h
	return true
}

func (t *target) escalationAnswered() {
	if t.escalation != "" {
		t.escalation = ledger.EscalationAnswered
	}
}

// byAction splits targets by the actions whose lanes they go through.
func byAction(targets []*target) map[handlers.Action][]*target {
	groups := make(map[handlers.Action][]*target, 1)
	for _, t := range targets {
		groups[t.handler.Action()] = append(groups[t.handler.Action()], t)
	}
	return groups
}

// look has a target looked at again here if that is soon and nobody waits for the place. Otherwise its message is
// deferred, once nothing else of the command is under way.
func (c *cancellation) look(t *target) {
	now := time.Now()
	if wait := c.untilLook(now); wait <= lookLeast && !c.x.place.isWanted() {
		c.later[t] = now.Add(wait + pauseTick - 1).Truncate(pauseTick)
	}
}

// untilLook is the time to the next look: a part of that since acceptance, and no sooner than the
// reads that wait are expected to be done; but the stronger action and the last look come in time.
func (c *cancellation) untilLook(now time.Time) time.Duration {
	x := c.x
	accepted := x.firstAccepted(now)
	wait := max((now.Sub(accepted) / lookShare).Round(time.Second), lookLeast) // SQS delays by whole seconds
	for action, group := range byAction(x.open()) {
		if !isListed(group[0]) { // those come in time: once reads are behind, a listing answers them
			wait = max(wait, c.p.lanes.behind(action, reading, x.at))
		}
		if r := group[0].handler.Read(); r.Quota == (handlers.Quota{}) && r.ServiceQuota != (handlers.Quota{}) {
			wait = max(wait, c.p.lanes.behind(action, cancelling, x.at)) // they spend the same quota, and come first
		}
	}
	until := x.proofUntil(now)
	isPlain := func(t *target) bool { return t.escalation == "" }
	if at := accepted.Add(x.command.Escalate); x.command.Escalate > 0 && len(x.pick(isPlain)) > 0 && at.After(now) && at.Before(until) {
		until = at
	}
	return max(min(wait, deferMost, until.Sub(now)), 0)
}

// putOff notes when proof is looked for next.
func (x *execution) putOff(until time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.nextLook = until
}

// untilNext is the time to the next look that another copy of the message was deferred until. By this worker's clock it
// is no longer than a look may be away.
func (x *execution) untilNext(now time.Time) time.Duration {
	if x.confirm == 0 || x.acceptedAt.IsZero() {
		return 0
	}
	return min(x.nextLook.Sub(now), max(now.Sub(x.acceptedAt)/lookShare, lookLeast), deferMost)
}

// escalate begins the stronger action of what is due for it, once nothing of the command is under way, or patience with
// the rest is over: the ledger knows before the call.
func (c *cancellation) escalate() bool {
	due := c.x.pick(func(t *target) bool { return t.isDue })
	if len(due) == 0 || c.why != nil && !errors.Is(c.why, errPatience) {
		return false
	}
	if c.why != nil { // another target of the command is not answered, which must not hold these up
		c.readWithin()
		var cancel context.CancelFunc
		c.calls, cancel = c.x.bounded(c.ctx, true)
		c.cancels = append(c.cancels, cancel)
	}
	for _, t := range due {
		t.strengthen(c.p.handlers)
		t.isDue, t.begun, t.escalation, t.refusal = false, true, ledger.EscalationBegun, nil
	}
	c.x.stored = c.x.progress().Targets
	c.x.mu.Lock()
	if c.x.escalatedAt.IsZero() {
		c.x.escalatedAt = time.Now()
	}
	progress := c.x.beginningLocked()
	c.x.mu.Unlock()
	if err := c.p.claims.progress(c.ctx, ledger.Update{Token: c.x.token, Progress: progress})[0]; err != nil {
		c.keepReason(err)
		return false
	}
	c.toCall = due
	c.start()
	return true
}

// escalated says what the stronger action was and when it was first taken; "" where it was not.
func (x *execution) escalated() string {
	if x.escalatedAt.IsZero() {
		return ""
	}
	by := "another worker"
	if e, ok := x.handler.(handlers.Escalator); ok {
		stronger, _ := e.Stronger(x.command.Targets[0])
		by = stronger.Name
	}
	return fmt.Sprintf("escalated by %s at %s", by, x.escalatedAt.UTC().Format(time.RFC3339))
}
