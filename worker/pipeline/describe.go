package pipeline

import (
	"fmt"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/queue"
)

// Outcome is an outcome as it is stored and published, and what stands in it.
type Outcome struct {
	Event    []byte
	ID       string // of the event
	Data     *outcome.Data
	Repeated bool // it was stored before, and is published again
}

func (p *Pipeline) encode(key string, d *outcome.Data) (*Outcome, error) {
	id := outcome.EventID(key)
	event, err := outcome.Encode(p.o.Name, id, d)
	return &Outcome{Event: event, ID: id, Data: d}, err
}

// describe writes the outcome of an execution whose targets have all ended. code and message, where set,
// say why the command as a whole ended as it did.
func (p *Pipeline) describe(x *execution, code, message string) (*Outcome, error) {
	d := p.about(x.lease, x.command)
	d.Targets = make([]outcome.Target, len(x.targets))
	for i, t := range x.targets {
		t.describe(&d.Targets[i])
		switch {
		case t.byRead:
			d.ConfirmedBy = outcome.ConfirmedByPoll
		case t.byEvent && d.ConfirmedBy != outcome.ConfirmedByPoll:
			d.ConfirmedBy = outcome.ConfirmedByEvent
		}
	}
	d.Status, d.Verdict, d.Counts = outcome.Of(d.Targets)
	d.Resumed = x.resumed
	d.Code, d.Message = common(d.Targets)
	if code != "" {
		d.Code, d.Message = code, message
	}
	if how := x.escalated(); how != "" {
		d.Escalated = true
		d.Message = strings.TrimPrefix(d.Message+"; "+how, "; ")
	}
	x.mu.Lock()
	d.Attempts = outcome.Attempts(x.attempts)
	x.mu.Unlock()
	return p.encode(x.token.Key, d)
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

// describe writes down what the outcome says of a target.
func (t *target) describe(o *outcome.Target) {
	a := &t.answer
	o.ID, o.Status, o.Before, o.After, o.RequestID, o.Verdict = t.ID, a.Status, a.Before, a.After, a.RequestID, t.verdict
	o.Prediction = t.prediction
	if a.Err != nil {
		o.Code, o.Message = a.Err.Code, a.Err.Message
	}
}

// about is what every outcome says of a command and its message.
func (p *Pipeline) about(l *queue.Lease, c *command.Command) *outcome.Data {
	return &outcome.Data{
		CommandID: c.ID, MessageID: l.MessageID, Action: c.Action, Parameters: c.Parameters, Account: c.Account, Region: c.Region,
		Reason: c.Reason, RequestedBy: c.RequestedBy, Campaign: c.Campaign, DryRun: c.DryRun,
		Sender: sender(l, c.Via), TraceParent: c.TraceParent,
		EnqueuedAt: l.SentAt, ReceivedAt: l.ReceivedAt, FinishedAt: time.Now(), Worker: p.o.Worker,
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

// reused is a command whose id stands for another one.
func reused(c *command.Command) *command.Error {
	return &command.Error{
		FieldError: handlers.FieldError{
			Field: "id", Rule: fmt.Sprintf("was used before for a command with another action, parameters, account or region: %q; give this one a new id%s", c.ID, suchAs(c.ID)),
		},
		Command: *c,
	}
}
