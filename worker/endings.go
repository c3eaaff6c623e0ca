package worker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/queue"
)

// told is an outcome: the event as it is stored and published, and what stands in it.
type told struct {
	event []byte
	id    string // of the event
	data  *outcome.Data
}

func (r *road) tell(key string, d *outcome.Data) (*told, error) {
	id := outcome.EventID(key)
	event, err := outcome.Encode(r.o.Name, id, d)
	return &told{event: event, id: id, data: d}, err
}

// describe writes the outcome of a journey whose targets have all ended. internal is set where
// it ended because its handling panicked too often.
func (r *road) describe(j *journey, internal *lane.PanicError) (*told, error) {
	d := r.about(j.lease, j.command)
	d.Targets = make([]outcome.Target, len(j.targets))
	for i, t := range j.targets {
		t.tell(&d.Targets[i])
		if t.byRead {
			d.ConfirmedBy = outcome.ConfirmedByPoll
		}
	}
	d.Status, d.Verdict, d.Counts = outcome.Of(d.Targets)
	d.Resumed = j.resumed
	d.Code, d.Message = common(d.Targets)
	if internal != nil {
		d.Code, d.Message = outcome.CodeInternal, internal.Error()
	}
	j.mu.Lock()
	d.Attempts = outcome.Attempts(j.attempts)
	j.mu.Unlock()
	return r.tell(j.token.Key, d)
}

// common is the code that all targets carry, with the first one's message; none where they differ.
func common(targets []outcome.Target) (code, message string) {
	for _, t := range targets {
		if t.Code == "" || t.Code != targets[0].Code {
			return "", ""
		}
	}
	return targets[0].Code, targets[0].Message
}

// tell writes down what the outcome says of a target.
func (t *target) tell(o *outcome.Target) {
	a := &t.answer
	o.ID, o.Status, o.Before, o.After, o.RequestID, o.Verdict = t.ID, a.Status, a.Before, a.After, a.RequestID, t.verdict
	if a.Err != nil {
		o.Code, o.Message = a.Err.Code, a.Err.Message
	}
}

// about is what every outcome says of a command and its message.
func (r *road) about(l *queue.Lease, c *command.Command) *outcome.Data {
	return &outcome.Data{
		CommandID: c.ID, Action: c.Action, Account: c.Account, Region: c.Region,
		Reason: c.Reason, RequestedBy: c.RequestedBy, Campaign: c.Campaign, DryRun: c.DryRun,
		Sender: sender(l, c.Via), TraceParent: c.TraceParent,
		EnqueuedAt: l.SentAt, ReceivedAt: l.ReceivedAt, FinishedAt: time.Now(), Worker: r.name,
	}
}

// sender is who sent a command, as far as it is known: SQS's SenderId, and the topic or rule it
// came by, since the SenderId then is the service's.
func sender(l *queue.Lease, via string) string {
	switch {
	case via == "":
		return l.SenderID
	case l.SenderID == "":
		return "via " + via
	}
	return l.SenderID + " via " + via
}

// invalid ends a message whose command cannot be read or breaks a rule.
func (r *road) invalid(ctx context.Context, l *queue.Lease, bad *command.Error) {
	r.bury(ctx, l, func(claim *claimed) (*told, *queue.Mark, error) {
		d := r.about(l, &bad.Command)
		d.Status, d.Verdict = handlers.Invalid, handlers.NotRun
		d.Code, d.Message = outcome.CodeInvalid, bad.Error()
		d.Resumed = claim.Resumed
		o, err := r.tell(claim.Token.Key, d)
		return o, &queue.Mark{Reason: bad.Error(), Field: bad.Field, CommandID: bad.Command.ID}, err
	})
}

// broken counts a panic that befell a message before its command was claimed, and ends the
// message when it was the last one allowed.
func (r *road) broken(ctx context.Context, l *queue.Lease, panicked *lane.PanicError) {
	r.log.Error("handling a message panicked", zap.String("message", l.MessageID), zap.Error(panicked), zap.ByteString("stack", panicked.Stack))
	r.bury(ctx, l, func(claim *claimed) (*told, *queue.Mark, error) {
		if claim.Progress.Panics+1 < panicsMost {
			return nil, nil, nil
		}
		d := r.about(l, &command.Command{})
		d.Status, d.Verdict = handlers.Failed, handlers.NotStopped
		d.Code, d.Message = outcome.CodeInternal, panicked.Error()
		d.Resumed = claim.Resumed
		o, err := r.tell(claim.Token.Key, d)
		return o, &queue.Mark{Reason: outcome.CodeInternal + ": " + panicked.Error()}, err
	})
}

// unreadable holds a message back whose record in the ledger this worker cannot read: another
// one may, such as the newer version that wrote it. When no time is left, the command ends
// without the ledger.
func (r *road) unreadable(ctx context.Context, l *queue.Lease, c *command.Command, why error) {
	r.log.Error("the ledger's record of a command cannot be read", zap.String("command", c.ID), zap.String("message", l.MessageID), zap.Error(why))
	age := r.giveUpAge(l)
	if !lastChance(l) && (age <= 0 || time.Since(l.SentAt) < age) {
		l.Release(releaseMost)
		return
	}
	key := c.Key()
	if c.ID == "" {
		key = "msg:" + l.MessageID
	}
	d := r.about(l, c)
	d.Status, d.Verdict = handlers.Failed, handlers.NotStopped
	d.Code, d.Message = outcome.CodeInternal, why.Error()
	o, err := r.tell(key, d)
	if err != nil {
		l.Release(releaseMost)
		return
	}
	r.report(ctx, l, o, &queue.Mark{Reason: outcome.CodeInternal + ": " + why.Error(), CommandID: c.ID})
}

// bury claims a message under its own id, and ends it as last says. Where last has no outcome
// yet, the message has panicked once more and is released.
func (r *road) bury(ctx context.Context, l *queue.Lease, last func(*claimed) (*told, *queue.Mark, error)) {
	key := "msg:" + l.MessageID
	claim, err := r.memory.claim(ctx, &ledger.Entry{Key: key, Fingerprint: sha256.Sum256([]byte(l.Body))})
	if errors.Is(err, ledger.ErrUnreadable) {
		r.unreadable(ctx, l, &command.Command{}, err)
		return
	}
	if err != nil {
		l.Release(0)
		return
	}
	switch claim.State {
	case ledger.Ended:
		r.again(ctx, l, claim.Outcome)
		return
	case ledger.Held:
		l.Release(untilFree(claim))
		return
	case ledger.OtherContent:
		// SQS gives no two messages one id, so this is not the body that was claimed before.
		r.log.Error("message came back with another body", zap.String("message", l.MessageID))
		l.Release(time.Minute)
		return
	case ledger.Claimed:
	}
	o, mark, err := last(claim)
	switch {
	case err != nil:
		r.log.Error("outcome not written; the message will come back", zap.String("message", l.MessageID), zap.Error(err))
		l.Release(time.Minute)
	case o == nil:
		p := claim.Progress
		p.Panics++
		_ = r.memory.release(ctx, claim.Token, p) // a lost count costs one more try
		l.Release(panicDelay(p.Panics))
	default:
		r.conclude(ctx, l, claim.Token, o, mark)
	}
}

// panicked counts a panic that befell a claimed command, and ends the command when it was the
// last one allowed.
func (r *road) panicked(ctx context.Context, j *journey, panicked *lane.PanicError) {
	r.log.Error("handling a command panicked", zap.String("command", j.command.ID), zap.Error(panicked), zap.ByteString("stack", panicked.Stack))
	j.mu.Lock()
	j.panics++
	panics := j.panics
	j.mu.Unlock()
	if panics < panicsMost {
		_ = r.memory.release(ctx, j.token, j.progress()) // a lost count costs one more try
		j.lease.Release(panicDelay(panics))
		return
	}
	for _, t := range j.targets {
		if !t.ended {
			t.end(handlers.Answer{
				Status: handlers.Failed, RequestID: t.answer.RequestID,
				Err: &handlers.Error{Class: handlers.Final, Code: outcome.CodeInternal, Message: panicked.Error()},
			})
		}
	}
	o, err := r.describe(j, panicked)
	if err != nil {
		r.log.Error("outcome not written; the message will come back", zap.String("command", j.command.ID), zap.Error(err))
		j.lease.Release(time.Minute)
		return
	}
	r.conclude(ctx, j.lease, j.token, o, &queue.Mark{Reason: outcome.CodeInternal + ": " + panicked.Error(), CommandID: j.command.ID})
}

// panicDelay lets what made a command panic pass, if it passes: 2 s, then 4 s.
func panicDelay(panics int) time.Duration { return time.Second << panics }

// markOf is the mark of the message that a stored outcome belongs to, nil where that is to be
// deleted.
func markOf(d *outcome.Data) *queue.Mark {
	if d.Status == handlers.Invalid {
		return &queue.Mark{Reason: d.Message, CommandID: d.CommandID}
	}
	if d.Code == outcome.CodeInternal {
		return &queue.Mark{Reason: outcome.CodeInternal + ": " + d.Message, CommandID: d.CommandID}
	}
	return nil
}

// publish publishes an outcome as it was stored.
func (w *Worker) publish(ctx context.Context, o *told) error {
	m := message.NewMessageWithContext(ctx, o.id, o.event)
	m.Metadata = outcome.Attributes(o.data)
	if err := w.publisher.Publish(w.o.TopicARN, m); err != nil {
		return err
	}
	w.metrics.published(o.data)
	return nil
}

// reused is a command whose id stands for another one.
func reused(c *command.Command) *command.Error {
	return &command.Error{
		FieldError: handlers.FieldError{
			Field: "id", Rule: fmt.Sprintf("was used before for a command with another action, parameters, account or region: %q; give this one a new id", c.ID),
		},
		Command: *c,
	}
}
