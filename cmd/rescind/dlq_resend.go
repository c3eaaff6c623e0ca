package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/outcome"
)

// resent is one message that is to be sent again, and what became of it.
type resent struct {
	MessageID string `json:"messageId"`
	CommandID string `json:"commandId,omitempty"`
	NewID     string `json:"newId,omitempty"`
	State     state  `json:"state"`
	Deleted   bool   `json:"deleted"`       // from the dead-letter queue
	How       string `json:"how,omitempty"` // it was sent, and what comes of that
	Error     string `json:"error,omitempty"`

	letter *deadLetter
	out    *sending // nil: it is refused
}

// resender decides how messages are sent again.
type resender struct {
	decoder      *command.Decoder
	newID, force bool
}

// newResender returns a resender to a queue.
func newResender(queueURL, region string, c *dlqSendCmd) *resender {
	return &resender{
		decoder: command.NewDecoder(allHandlers(), handlers.Location{Account: accountOf(queueURL), Region: region}),
		newID:   c.NewID, force: c.Force,
	}
}

func (p *resender) all(letters []*deadLetter) (all []*resent) {
	for _, l := range letters {
		m := &resent{MessageID: l.MessageID, CommandID: l.CommandID, State: stateUnsent, letter: l}
		if err := p.prepare(m); err != nil {
			m.State, m.Error, m.NewID, m.How = stateRefused, err.Error(), "", ""
		}
		all = append(all, m)
	}
	return all
}

// prepare makes the message that is to be sent; its error says why there is none.
func (p *resender) prepare(m *resent) error {
	l := m.letter
	if slices.Contains(l.Cut, "body") {
		return errors.New("its body did not fit when it was dead-lettered, and was cut: send the command from where it was made")
	}
	attributes, err := l.sqsAttributes()
	if err != nil {
		return err
	}
	m.out = &sending{State: stateUnsent, body: l.Body, group: l.group, attributes: attributes}
	c, err := p.decoder.Decode([]byte(l.Body), command.Message{ID: l.OriginalMessageID})
	switch {
	case err != nil && (p.newID || !p.force):
		return fmt.Errorf("still invalid: %w", err)
	case err != nil:
		m.How = "as it is, though invalid"
		return nil //nolint:nilerr // it was asked for with --force
	}
	if err := p.withoutEffect(l, c); err != nil && !p.force {
		return err
	}
	if m.out.group == "" {
		m.out.group = groupOf(c)
	}
	if m.How = asItIs(l, c); p.newID {
		return p.rename(m, c)
	}
	return nil
}

// withoutEffect says why sending a command again would have none; nil: it would, or may.
func (p *resender) withoutEffect(l *deadLetter, c *command.Command) error {
	if !c.ExpiresAt.IsZero() && time.Now().After(c.ExpiresAt) {
		return fmt.Errorf("its expiresAt has passed (%s), so that it would end as expired: send it by itself, with a later one", c.ExpiresAt.Format(time.RFC3339))
	}
	switch {
	case p.newID || !l.marked || isMade(c):
		return nil
	case strings.HasPrefix(l.Reason, "id was used before"):
		return errors.New("its id belongs to another command, so that it would be invalid again: use --new-id")
	case strings.HasPrefix(l.Reason, outcome.CodeInternal+": "):
		return errors.New("it ended as failed under its id, so that this outcome would only be published again: use --new-id")
	}
	return nil
}

// isMade reports whether a command has its id by its message: sent again it has another one.
func isMade(c *command.Command) bool { return strings.HasPrefix(c.ID, "sqs:") }

// asItIs says what comes of sending a command as it is.
func asItIs(l *deadLetter, c *command.Command) string {
	switch {
	case isMade(c):
		return "as it is; without an id, it is a new command"
	case !l.marked:
		return "as it is; if it has ended, its outcome is repeated"
	}
	return "as it is"
}

// rename gives the command a new id.
func (p *resender) rename(m *resent, c *command.Command) error {
	id, err := newIDOf(c)
	if err != nil {
		return err
	}
	body, err := withID([]byte(m.letter.Body), id)
	if err != nil {
		return fmt.Errorf("giving it the id %s: %w", id, err)
	}
	renamed, err := p.decoder.Decode(body, command.Message{ID: m.letter.OriginalMessageID})
	if err != nil || renamed.ID != id || renamed.Fingerprint() != c.Fingerprint() {
		return fmt.Errorf("it cannot be given the id %s: send the command by itself", id)
	}
	m.NewID, m.How, m.out.body = id, "as "+id, string(body)
	return nil
}

// send sends what is not refused, ten in a request, and deletes what SQS has accepted before it goes on. Once ctx has
// ended, or a request has failed, none begins.
func (r *dlqSent) send(ctx context.Context, s streams, d *deadLetters) error {
	of := map[*sending]*resent{}
	var outs []*sending
	for _, m := range r.Messages {
		if m.State == stateUnsent {
			of[m.out], outs = m, append(outs, m.out)
		}
	}
	said := progressOf("sent", len(outs))
	defer said.on(s)()
	onStop(ctx, func() string {
		return fmt.Sprintf("stopping; %d of %d have been sent, and the request under way is finished", said.done.Load(), len(outs))
	}, fmt.Sprintf("What was sent is run; the rest is on the dead-letter queue, hidden for %s at most.", minutes(d.hidden)))
	for _, batch := range batches(outs) {
		if ctx.Err() != nil {
			return errInterrupted
		}
		err := sendBatch(context.WithoutCancel(ctx), d.api, r.Queue, batch)
		var accepted []*deadLetter
		for _, out := range batch {
			m := of[out]
			if m.State, m.Error = out.State, out.Error; m.State == stateSent {
				accepted = append(accepted, m.letter)
			}
		}
		failed := d.remove(accepted)
		for _, out := range batch {
			m := of[out]
			if m.Deleted = m.State == stateSent && failed[m.letter] == nil; failed[m.letter] != nil {
				m.Error = "it was sent, and is on the dead-letter queue too: " + failed[m.letter].Error()
			}
		}
		said.done.Add(int64(len(accepted)))
		if err != nil {
			return err
		}
	}
	return nil
}
