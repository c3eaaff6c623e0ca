package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/queue"
)

const (
	// panicsMost is how often the handling of a command may panic before it ends.
	panicsMost = 3
	// exhaustedMost is how often a message may come to its last allowed receive and be sent again.
	// Workers that die, or another consumer, use up receives; a message that makes workers die does too.
	exhaustedMost = 3
	// manyWait is the wait from which on those that are deferred in numbers wait outside of the queue's
	// messages in flight, of which it may have 120,000: a worker defers some thousands a second.
	manyWait = 10 * time.Second
	// duplicateWait is for how long a duplicate delivery waits for the execution that this worker has
	// under way: most end sooner.
	duplicateWait = 5 * time.Second
	// placeMost is how long a message waits for a place that is expected to be free soon, placeEvery how
	// often it looks.
	placeMost, placeEvery = 2 * time.Second, 100 * time.Millisecond
	// unreadableWait is for how long a message is deferred that this version of the worker cannot
	// handle.
	unreadableWait = 15 * time.Minute
)

// kind is what is done with an execution in the end. The set is closed.
type kind int

const (
	completing kind = iota + 1 // store its outcome, publish it, settle the message
	repeating                  // the outcome is stored: publish it, settle the message
	deferring                  // the message comes back later
	dropping                   // the message is no command: delete it
)

// disposition is what a stage decided. See finish.
type disposition struct {
	kind    kind
	outcome *Outcome    // completing, repeating
	mark    *queue.Mark // completing, repeating: dead-letter the message, and why; nil: delete it
	after   time.Duration
	byCopy  bool // deferring: many are deferred at once, which must not remain in flight
	store   bool // deferring: the execution's progress is stored and its claim ends
}

func deferFor(after time.Duration) *disposition { return &disposition{kind: deferring, after: after} }

// finish is the one exit of the pipeline: it stores, publishes and settles, in that order. Whatever is not
// reached is done again when the message comes back.
func (p *Pipeline) finish(ctx context.Context, x *execution, d *disposition) {
	l := x.lease
	switch d.kind {
	case completing:
		if err := p.claims.complete(ctx, x.token, d.outcome.Event); err != nil && !errors.Is(err, ledger.ErrRejected) {
			// Fenced: another worker has it, and the stored outcome answers when the message comes
			// back. Otherwise this worker is being stopped.
			l.Defer(time.Second, false)
			return
		}
		p.publish(ctx, l, d)
	case repeating:
		p.publish(ctx, l, d)
	case deferring:
		if d.store {
			err := p.claims.release(ctx, x.token, x.progress())
			if errors.Is(err, ledger.ErrRejected) { // nor would it be when the message comes back
				p.finish(ctx, x, p.internal(x, err))
				return
			}
			if err != nil {
				p.log.Debug("progress not stored", zap.String("key", x.token.Key), zap.Error(err))
			}
		}
		l.Defer(d.after, d.byCopy)
	case dropping:
		l.Delete()
	}
}

// publish publishes an outcome and settles its message.
func (p *Pipeline) publish(ctx context.Context, l *queue.Lease, d *disposition) {
	if err := p.o.Publish(ctx, d.outcome); err != nil {
		level := zap.ErrorLevel
		if p.Draining() {
			level = zap.InfoLevel // the topic was down when the worker stopped; the outcome is stored
		}
		p.log.Log(level, "outcome not published; the message will come back", zap.String("message", l.MessageID), zap.Error(err))
		l.Defer(time.Minute, false)
		return
	}
	if d.mark != nil {
		l.DeadLetter(*d.mark)
		return
	}
	l.Delete()
}

// complete ends an execution: all of its targets have ended.
func (p *Pipeline) complete(x *execution) *disposition {
	o, err := p.describe(x, "", "")
	if err != nil {
		panic(err) // an outcome that cannot be written is our fault, and counted as a panic is
	}
	return &disposition{kind: completing, outcome: o}
}

// again publishes a stored outcome once more.
func (p *Pipeline) again(x *execution, event []byte) *disposition {
	e, err := outcome.Parse(event)
	if err != nil {
		p.log.Error("a stored outcome cannot be read; the message will come back", zap.String("message", x.lease.MessageID), zap.Error(err))
		return deferFor(unreadableWait)
	}
	return &disposition{kind: repeating, outcome: &Outcome{Event: event, ID: e.ID, Data: &e.Data, Repeated: true}, mark: markOf(&e.Data)}
}

// stopped is what an error of a call, or of the ledger, comes to. Where time ran out, that refuses the
// rest, and the next stages go on; otherwise the message is deferred.
func (p *Pipeline) stopped(x *execution, err error) *disposition {
	var panicked *lane.PanicError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &panicked):
		panic(panicked)
	case errors.Is(err, ledger.ErrFenced):
		return deferFor(time.Second)
	case errors.Is(err, ledger.ErrRejected):
		return p.internal(x, err)
	}
	now := time.Now()
	if late := p.tooLate(x, err); late != nil {
		x.bar(late)
		return nil
	}
	d := &disposition{kind: deferring, store: true}
	if errors.Is(err, errPatience) {
		d.after = x.within(now, x.place.wait())
		d.byCopy = d.after >= manyWait
	}
	return d
}

// crowded defers a message that there is no place for.
func crowded(after time.Duration) *disposition {
	return &disposition{kind: deferring, after: after, byCopy: after >= manyWait}
}

// invalid ends a message whose command cannot be read or breaks a rule, under the message's own key.
func (p *Pipeline) invalid(ctx context.Context, x *execution, bad *command.Error) *disposition {
	if d := p.claimMessage(ctx, x); d != nil {
		return d
	}
	d := p.about(x.lease, &bad.Command)
	d.Status, d.Verdict = handlers.Invalid, handlers.NotRun
	d.Code, d.Message = outcome.CodeInvalid, bad.Error()
	d.Resumed = x.resumed
	return p.ended(x, d, queue.Mark{Reason: bad.Error(), Field: bad.Field, CommandID: bad.Command.ID})
}

// internal ends an execution because of a fault of ours: its targets are accepted where AWS took them, and failed where it did not.
func (p *Pipeline) internal(x *execution, why error) *disposition {
	for _, t := range x.targets {
		if !t.ended {
			a := handlers.Answer{
				Status: handlers.Failed, RequestID: t.answer.RequestID,
				Err: &handlers.Error{Class: handlers.Final, Code: outcome.CodeInternal, Message: why.Error()},
			}
			if t.isTaken() {
				a.Status, a.Err.Message = handlers.Accepted, "AWS took the request, and whether it stopped was not seen: "+a.Err.Message
			}
			t.end(a)
		}
	}
	mark := queue.Mark{Reason: outcome.CodeInternal + ": " + why.Error()}
	if x.command == nil {
		d := p.about(x.lease, &command.Command{})
		d.Status, d.Verdict = handlers.Failed, handlers.NotStopped
		d.Code, d.Message = outcome.CodeInternal, why.Error()
		d.Resumed = x.resumed
		return p.ended(x, d, mark)
	}
	mark.CommandID = x.command.ID
	o, err := p.describe(x, outcome.CodeInternal, why.Error()+runAgain(x.command.ID))
	if err != nil {
		return p.unwritten(x, err)
	}
	return &disposition{kind: completing, outcome: o, mark: &mark}
}

// ended completes an execution with what d says.
func (p *Pipeline) ended(x *execution, d *outcome.Data, mark queue.Mark) *disposition {
	o, err := p.encode(x.token.Key, d)
	if err != nil {
		return p.unwritten(x, err)
	}
	return &disposition{kind: completing, outcome: o, mark: &mark}
}

func (p *Pipeline) unwritten(x *execution, err error) *disposition {
	p.log.Error("outcome not written; the message will come back", zap.String("message", x.lease.MessageID), zap.Error(err))
	return deferFor(time.Minute)
}

// unclaimed is what becomes of a command that the ledger did not claim because of an error.
func (p *Pipeline) unclaimed(x *execution, key string, err error) *disposition {
	l := x.lease
	isRejected := errors.Is(err, ledger.ErrRejected)
	switch {
	case !isRejected && !errors.Is(err, ledger.ErrUnreadable):
		return deferFor(0) // this worker is being stopped
	case !isRejected && time.Since(l.SentAt) < p.o.GiveUp:
		// Another version of the worker may be able to read it: the newer one that wrote it.
		p.log.Error("the ledger's record of a command cannot be read", zap.String("message", l.MessageID), zap.String("key", key), zap.Error(err))
		return deferFor(unreadableWait)
	}
	c := x.command
	if c == nil {
		c = &command.Command{}
	}
	d := p.about(l, c)
	d.Status, d.Verdict = handlers.Failed, handlers.NotStopped
	d.Code, d.Message = outcome.CodeInternal, err.Error()
	o, failed := p.encode(key, d)
	if failed != nil {
		return p.unwritten(x, failed)
	}
	return &disposition{kind: repeating, outcome: o, mark: &queue.Mark{Reason: outcome.CodeInternal + ": " + err.Error(), CommandID: c.ID}}
}

// claimMessage claims a message under its own id, for what has no command's. Where the message is not ours
// to end, it returns what is to be done.
func (p *Pipeline) claimMessage(ctx context.Context, x *execution) *disposition {
	l := x.lease
	key := "msg:" + l.MessageID
	found, err := p.claims.claim(ctx, &ledger.Entry{Key: key, Fingerprint: sha256.Sum256([]byte(l.Body))})
	if err != nil {
		return p.unclaimed(x, key, err)
	}
	switch found.State {
	case ledger.Ended:
		return p.again(x, found.Outcome)
	case ledger.Held:
		return deferFor(untilFree(found.Until))
	case ledger.OtherContent:
		// SQS gives no two messages one id, so this is not the body that was claimed before.
		p.log.Error("message came back with another body", zap.String("message", l.MessageID))
		return deferFor(time.Minute)
	case ledger.Claimed:
	}
	x.command, x.targets = nil, nil
	x.begin(found, time.Now().Add(p.o.Patience), p.handlers)
	p.claims.hold(x)
	return nil
}

// panicked counts a panic that befell an execution, under the command's key or, before that was claimed,
// the message's, and ends the command when it was the last one allowed.
func (p *Pipeline) panicked(ctx context.Context, x *execution, panicked *lane.PanicError) *disposition {
	p.log.Error("handling a message panicked", zap.String("message", x.lease.MessageID), zap.Error(panicked), zap.ByteString("stack", panicked.Stack))
	if !x.claimed {
		if d := p.claimMessage(ctx, x); d != nil {
			return d
		}
	}
	if panics := x.countPanic(); panics < panicsMost {
		// 2 s, then 4 s: what made it panic may pass.
		return &disposition{kind: deferring, after: time.Second << panics, store: true}
	}
	return p.internal(x, panicked)
}

func newPanic(v any) *lane.PanicError {
	if p, ok := v.(*lane.PanicError); ok {
		return p
	}
	return &lane.PanicError{Value: v, Stack: debug.Stack()}
}

// untilFree is the time until a holder's lease ends, and a second at least: its clock may be another
// one.
func untilFree(until time.Time) time.Duration { return max(time.Until(until), time.Second) }
