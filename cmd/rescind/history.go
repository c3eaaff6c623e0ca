package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/terminal"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
)

type historyCmd struct {
	Target string `arg:"" help:"Id of the target, as outcomes have it: a job's id, a step's, a task's, an execution's ARN."`

	outcomeFlags `embed:""`
	JSON         bool `name:"json" help:"Print one JSON value on stdout."`
}

// Help is printed by "rescind history --help" above the flags.
func (*historyCmd) Help() string {
	return `Lists every command that named a target, by the ledger's records, which are kept for 30 days: when it was sent, by whom, why,
and what came of it. An IoT job execution is named THING/JOB, an SWF workflow execution by its workflow id.

Exit codes: 0 listed; 1 failed, or no command named it; 2 misused.`
}

// pastCommand is a command that named a target. Status is "" while it has no outcome.
type pastCommand struct {
	ID          string          `json:"id"`
	DryRun      bool            `json:"dryRun,omitzero"`
	Action      handlers.Action `json:"action,omitempty"`
	Campaign    string          `json:"campaign,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	RequestedBy string          `json:"requestedBy,omitempty"`
	Sender      string          `json:"sender,omitempty"`
	Status      handlers.Status `json:"status,omitempty"`
	Code        string          `json:"code,omitempty"`
	Message     string          `json:"message,omitempty"`
	Escalated   bool            `json:"escalated,omitzero"`
	Sent        time.Time       `json:"sent,omitzero"`
	Finished    time.Time       `json:"finished,omitzero"`
}

// Run lists.
func (c *historyCmd) Run(ctx context.Context, s streams) error {
	from, name, err := c.records(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = from.close() }() // nothing was written
	var all []pastCommand
	err = from.ByTarget(ctx, c.Target, func(r ledger.Record) bool {
		all = append(all, pastOf(&r, c.Target))
		return true
	})
	if errors.Is(err, ledger.ErrUnreadable) {
		say(s.err, "Some records are left out: "+err.Error())
	} else if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b pastCommand) int { return cmp.Or(a.Sent.Compare(b.Sent), cmp.Compare(a.ID, b.ID)) })
	if c.JSON {
		return printJSON(s.out, all)
	}
	if len(all) == 0 {
		return fmt.Errorf("%s has no record of a command that named %s; records are kept for 30 days", name, c.Target)
	}
	to := screenOf(s.out)
	for i := range all {
		all[i].print(to)
	}
	return nil
}

// pastOf reads a record of a command that named a target.
func pastOf(r *ledger.Record, target string) pastCommand {
	id, isDry := strings.CutPrefix(r.Key, "dry/")
	p := pastCommand{ID: id, DryRun: isDry, Campaign: r.Campaign}
	if !r.Ended {
		return p
	}
	e, err := outcome.Parse(r.Outcome)
	if err != nil {
		p.Status, p.Message = "unreadable", err.Error()
		return p
	}
	d := &e.Data
	p.Action, p.Reason, p.RequestedBy, p.Sender, p.Escalated = d.Action, d.Reason, d.RequestedBy, d.Sender, d.Escalated
	p.Status, p.Code, p.Message, p.Sent, p.Finished = d.Status, d.Code, d.Message, d.EnqueuedAt, d.FinishedAt
	for _, t := range d.Targets {
		if t.ID == target {
			p.Status, p.Code, p.Message = t.Status, cmp.Or(t.Code, p.Code), cmp.Or(t.Message, p.Message)
		}
	}
	return p
}

// print shows a command to people.
func (p *pastCommand) print(s screen) {
	status, when := cmp.Or(string(p.Status), "under way"), "no outcome yet"
	if !p.Sent.IsZero() {
		when = p.Sent.UTC().Format("2006-01-02 15:04:05Z")
		if !p.Finished.IsZero() {
			when += ", ended in " + spent(p.Finished.Sub(p.Sent))
		}
	}
	if p.Escalated {
		status += " (escalated)"
	}
	s.printf("%s  %s\n", terminal.Clean(status), when)
	for _, line := range []struct{ name, text string }{
		{"command", strings.TrimSpace(p.ID + "  " + string(p.Action))},
		{"campaign", p.Campaign},
		{"by", strings.TrimPrefix(p.RequestedBy+", sent by "+p.Sender, ", ")},
		{"reason", p.Reason},
		{"why", strings.TrimSuffix(strings.TrimPrefix(p.Code+": "+p.Message, ": "), ": ")},
	} {
		if line.text != "" && line.text != ", sent by " {
			s.printf("  %-8s  %s\n", line.name, terminal.Clean(line.text))
		}
	}
}
