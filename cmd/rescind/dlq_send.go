package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
)

// dlqSendCmd is `rescind dlq send`.
type dlqSendCmd struct {
	dlqFlags
	dlqChoice
	NewID  bool `name:"new-id" help:"Give each command a new id (one.2 after one), so that it is run again whatever became of it."`
	Force  bool `name:"force" help:"Send also what would only come back, or end as expired."`
	DryRun bool `name:"dry-run" help:"Print what would be sent; send and delete nothing."`
}

// Help is printed by "rescind dlq send --help" above the flags.
func (*dlqSendCmd) Help() string {
	return `Sends the chosen messages to the command queue again, with their own attributes, and deletes each from the
dead-letter queue once SQS has accepted the copy. If it ends between the two, a message is on both queues. That is
harmless for a command with an id, of its own or by an envelope: the ledger makes the two one. A bare command
without an id is a new command each time that it is sent.

When does sending again as it is have an effect?
  - What was invalid was never run, and its id is free: it is read anew. While it breaks a rule of this
    version it is refused here, since the worker would dead-letter it again; --force sends it all the same.
  - "id was used before": its id belongs to another command. It needs --new-id.
  - "Internal": it ended as failed under its id. As it is, that outcome would only be published again, for
    as long as the ledger has it. It needs --new-id; one without an id of its own does not.
  - "never settled": if it has ended, its outcome is published again. Otherwise the worker goes on with it.
The time after which the worker gives up (RESCIND_GIVE_UP) begins anew; expiresAt is not changed.

` + dlqReading + `

Exit codes: 0 all chosen were sent, 1 some were not, or an id was not found, 2 misused.`
}

// dlqSent is what became of all messages; --json prints it.
type dlqSent struct {
	DeadLetterQueue string    `json:"deadLetterQueue"`
	Queue           string    `json:"queue,omitempty"`
	DryRun          bool      `json:"dryRun"`
	Sent            int       `json:"sent"`
	Refused         int       `json:"refused"`
	Unsent          int       `json:"unsent"`
	Unknown         int       `json:"unknown"`
	Messages        []*resent `json:"messages"`
	More            int       `json:"more"`   // about: visible, and not read
	Hidden          int       `json:"hidden"` // about: others have received them
	NotFound        []string  `json:"notFound,omitempty"`
	Error           string    `json:"error,omitempty"`
}

// Run sends what is chosen, and prints what became of it.
func (c *dlqSendCmd) Run(ctx context.Context, s streams) error {
	r := &dlqSent{DeadLetterQueue: c.DLQURL, DryRun: c.DryRun}
	err := c.run(ctx, s, r)
	if c.JSON {
		if err != nil {
			r.Error = err.Error()
		}
		return errors.Join(err, printJSON(s.out, r))
	}
	return err
}

func (c *dlqSendCmd) run(ctx context.Context, s streams, r *dlqSent) error {
	if err := c.check(); err != nil {
		return err
	}
	if len(c.QueueURL) == 0 {
		return errNoQueue
	}
	if r.Queue = c.QueueURL[0]; r.Queue == c.DLQURL {
		return misused("--dlq-url and --queue-url are one queue: %s", r.Queue)
	}
	d, err := c.reading(ctx, s, func(d *deadLetters) error {
		chosen, unknown := c.from(d.all)
		r.NotFound = unknown
		r.Messages = newResender(r.Queue, d.region, c).all(chosen)
		if c.DryRun {
			return d.notFound(unknown)
		}
		return errors.Join(r.send(ctx, s, d), d.notFound(unknown))
	})
	r.DeadLetterQueue, r.More, r.Hidden = d.URL, d.left, d.others
	r.count()
	if !c.JSON && !d.began.IsZero() {
		r.print(s, d)
	}
	return errors.Join(err, r.err())
}

// count fills the counts.
func (r *dlqSent) count() {
	for _, m := range r.Messages {
		switch m.State {
		case stateSent:
			r.Sent++
		case stateRefused:
			r.Refused++
		case stateUnsent:
			r.Unsent++
		case stateUnknown:
			r.Unknown++
		}
	}
}

// print reports for people: a line for each message, and the sums; refusals on stderr.
func (r *dlqSent) print(s streams, d *deadLetters) {
	rows, refused := [][]string{{"id", "state", "how"}, nil}, 0
	for _, m := range r.Messages {
		what := string(m.State)
		switch {
		case m.State == stateRefused:
			if refused++; refused <= maxRefusalsPrinted {
				say(s.err, fmt.Sprintf("refused: %s: %s", m.letter.label(), m.Error))
			}
			continue
		case r.DryRun:
			what = "would send"
		}
		rows = append(rows, []string{m.letter.label(), what, cmp.Or(m.Error, m.How)})
	}
	if refused > maxRefusalsPrinted {
		say(s.err, fmt.Sprintf("… and %d more; --json prints all", refused-maxRefusalsPrinted))
	}
	if len(rows) > 2 {
		printRows(screenOf(s.out), rows)
	}
	sent, n := "sent", r.Sent
	if r.DryRun {
		sent, n = "would be sent", r.Unsent
	}
	say(s.out, fmt.Sprintf("%d %s to %s, %d refused; %d of %s chosen", n, sent, r.Queue, r.Refused, len(r.Messages), count(len(d.all), "message")))
	d.sayMore(s)
}

// err says what was not sent, or not deleted, and how to go on.
func (r *dlqSent) err() error {
	var errs []error
	var both []string
	for _, m := range r.Messages {
		if m.State == stateSent && !m.Deleted {
			both = append(both, m.MessageID)
		}
	}
	if r.Refused > 0 {
		errs = append(errs, fmt.Errorf("refused: %d of %s, which remain on the dead-letter queue", r.Refused, count(len(r.Messages), "message")))
	}
	if r.Unsent > 0 && !r.DryRun {
		errs = append(errs, fmt.Errorf("not sent: %s; run it again", count(r.Unsent, "message")))
	}
	if r.Unknown > 0 {
		errs = append(errs, fmt.Errorf("sent or not, which is unknown: %s; run it again: a command with an id is not run twice", count(r.Unknown, "message")))
	}
	if len(both) > 0 {
		errs = append(errs, fmt.Errorf("sent and not deleted: %s; delete them: rescind dlq purge --id %s", count(len(both), "message"), strings.Join(both, " --id ")))
	}
	return errors.Join(errs...)
}
