package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/worker/campaign"
)

type applyCmd struct {
	File string `arg:"" help:"Plan file, as \"rescind plan\" writes it."`

	applyFlags `embed:""`
	Max        *int     `name:"max" placeholder:"N" help:"Most commands that the plan may have; 0 is no limit (default: the plan's own limit, 1000 unless it was planned with another)."`
	MaxPercent *float64 `name:"max-percent" placeholder:"N" help:"Most commands in percent of what was listed; 0 is no limit (default: the plan's own limit)."`
	JSON       bool     `name:"json" help:"Print one JSON value on stdout, also where sending fails."`

	// onSent is called for each command that the queue has accepted, by one goroutine at a time; nil: nobody follows them.
	onSent func(*sending)
	goOn   string // how to go on after a stop; "": by the same command line
}

// applyFlags are the flags by which a plan is sent, by apply or by cancel.
type applyFlags struct {
	QueueURL []string `name:"queue-url" env:"RESCIND_QUEUE_URL" help:"Queue to send to; if several are named, the first. Required."`
	Rate     rate     `name:"rate" placeholder:"N/s" help:"Most commands sent in a second, such as 50/s; 30/m is a minute's (default: no limit)."`
	Yes      bool     `name:"yes" short:"y" help:"Do not ask. Required where there is no terminal."`
	DryRun   bool     `name:"dry-run" xor:"dry" help:"Send each command as a preview: the worker reads its target and predicts, but cancels nothing."`
}

// Help is printed by "rescind apply --help" above the flags.
func (*applyCmd) Help() string {
	return `Sends the commands of a plan file to the worker's queue: exactly its lines, and none of a file that was edited, is
damaged, or is beyond a limit. At a terminal it asks first; of more than 100 commands the count is to be typed.

What the queue has accepted is recorded in FILE.sent, next to the plan. After a stop, a crash or a failure, run the same
again: it goes on with the rest. A command may then be sent twice if the record of it was lost; the worker runs it
once, since both have the same id. A dry run has a record of its own, FILE.dryrun.sent.

Exit codes: 0 all are sent, now or before; 1 some are not; 2 misused, or the plan is refused.`
}

// applyReport is what became of a plan; --json prints it.
type applyReport struct {
	File       string `json:"file"`
	Campaign   string `json:"campaign,omitempty"`
	Queue      string `json:"queue,omitempty"`
	DryRun     bool   `json:"dryRun,omitzero"`
	Commands   int    `json:"commands"`   // of the plan
	SentBefore int    `json:"sentBefore"` // by earlier runs
	Sent       int    `json:"sent"`
	Refused    int    `json:"refused"` // by SQS
	Left       int    `json:"left"`    // not known to be sent, refused ones among them
	Error      string `json:"error,omitempty"`
}

// Run applies a plan.
func (c *applyCmd) Run(ctx context.Context, s streams) error {
	r := &applyReport{File: c.File, DryRun: c.DryRun}
	err := c.run(ctx, s, r)
	if c.JSON {
		if err != nil {
			r.Error = err.Error()
		}
		return errors.Join(err, printJSON(s.out, r))
	}
	switch {
	case err != nil:
	case r.Sent == 0:
		say(s.out, fmt.Sprintf("All %s of campaign %s were sent before: nothing is left to send.", many(r.Commands, "command"), r.Campaign))
	default:
		r.print(s)
	}
	return err
}

// print says what was sent and what comes next.
func (r *applyReport) print(s streams) {
	say(s.out, fmt.Sprintf("Sent %s of campaign %s to %s.", many(r.Sent, "command"), r.Campaign, r.Queue))
	dry := ""
	if r.DryRun {
		dry = " --dry-run"
	}
	say(s.err, "Next: rescind report "+r.Campaign+dry+" says what has become of them.")
}

func (c *applyCmd) run(ctx context.Context, s streams, r *applyReport) (err error) {
	if len(c.QueueURL) == 0 {
		return errNoQueue
	}
	r.Queue = c.QueueURL[0]
	onStop(ctx, func() string { return "stopping; nothing is sent" }, "Nothing was sent.")
	stopSaying := every(sayEvery, func() { fmt.Fprintln(s.err, "reading and verifying the plan") })
	plan, err := campaign.Open(c.File)
	stopSaying()
	if err != nil {
		return misused("%w; nothing was sent", err)
	}
	defer func() { err = errors.Join(err, plan.Close()) }()
	r.Campaign, r.Commands = plan.Header.Campaign, plan.Header.Count
	if err := c.limits(&plan.Header); err != nil {
		return err
	}
	if !plan.Expires.IsZero() && time.Now().After(plan.Expires) {
		return misused("its commands have expired at %s: plan again; nothing was sent", plan.Expires.Format(time.RFC3339))
	}
	journal, err := campaign.OpenJournal(c.journal(), &plan.Header)
	if err != nil {
		return fmt.Errorf("%w; nothing was sent", err)
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	r.SentBefore = journal.Count()
	if r.Left = r.Commands - r.SentBefore; r.Left == 0 {
		return nil
	}
	cfg, err := awsConfig(ctx)
	if err != nil {
		return err
	}
	if err := c.confirm(ctx, s, &plan.Header, r); err != nil {
		return err
	}
	err = c.send(ctx, s, sqs.NewFromConfig(cfg), plan, journal, r)
	r.Sent = journal.Count() - r.SentBefore
	r.Left = r.Commands - journal.Count()
	return err
}

// journal is the file that records what was sent.
func (c *applyCmd) journal() string {
	if c.DryRun {
		return c.File + ".dryrun.sent"
	}
	return c.File + ".sent"
}

// limits refuses a plan that is beyond its own limits, or those of flags, which go before.
func (c *applyCmd) limits(h *campaign.Header) error {
	limits := h.Limits
	if c.Max != nil {
		if limits.Max = *c.Max; limits.Max < 0 {
			return misused("--max must not be negative, as is %d; 0 is no limit", limits.Max)
		}
	}
	if c.MaxPercent != nil {
		if limits.MaxPercent = *c.MaxPercent; limits.MaxPercent < 0 || limits.MaxPercent > 100 {
			return misused("--max-percent must be from 0 to 100, not %g", limits.MaxPercent)
		}
	}
	var beyond *campaign.LimitError
	if err := limits.Hold(h); errors.As(err, &beyond) {
		return misused("%w: nothing was sent. If all of it is meant, raise %s", err, beyond.Flag)
	}
	return nil
}

// typeAbove is from how many commands on the count is to be typed, and not only y.
const typeAbove = 100

// confirm asks whether to send, unless --yes says so.
func (c *applyCmd) confirm(ctx context.Context, s streams, h *campaign.Header, r *applyReport) error {
	if c.Yes {
		return nil
	}
	if keyboard(s) == nil {
		return misused("there is no terminal to ask at: add --yes to send %s; nothing was sent", many(r.Left, "command"))
	}
	to := screenOf(s.err)
	to.printf("Campaign %s: %s in account %s, %s,\n  planned %s ago by %s.\n", h.Campaign, many(h.Count, h.Service+" command"),
		h.Account, h.Region, ago(time.Since(h.Created)), h.By)
	if r.SentBefore > 0 {
		to.printf("%s of them were sent before, and %s are left.\n", grouped(r.SentBefore), grouped(r.Left))
	}
	if c.Rate.perSecond > 0 {
		to.printf("Sending takes about %s at this rate.\n", roughly(float64(r.Left)/c.Rate.perSecond))
	}
	what := "Send"
	if c.DryRun {
		what = "Preview, and cancel nothing, by sending"
	}
	return ask(ctx, s, what+" "+many(r.Left, "command"), r.Left)
}

// keyboard is the terminal at which people can be asked; nil: there is none.
func keyboard(s streams) *os.File {
	if in, ok := s.in.(*os.File); ok && terminalWidth(in) > 0 {
		return in
	}
	return nil
}

// ask asks at the keyboard whether to do something with n commands. Its error says that nothing was sent.
func ask(ctx context.Context, s streams, what string, n int) error {
	want, how := "y", "? [y/N] "
	if n > typeAbove {
		want, how = strconv.Itoa(n), "? Type the number to go on: "
	}
	screenOf(s.err).printf("%s", what+how)
	answer, err := readLine(ctx, keyboard(s))
	if err != nil {
		return err
	}
	answer = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(answer), ",", ""))
	if answer == "yes" {
		answer = "y"
	}
	if answer != want {
		return errors.New("not confirmed; nothing was sent")
	}
	return nil
}

// readLine reads a line from a terminal. An interrupt does not wait for it; the read then ends by itself.
func readLine(ctx context.Context, from *os.File) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		var line []byte
		for one := make([]byte, 1); ; {
			if _, err := from.Read(one); err != nil || one[0] == '\n' {
				read <- result{string(line), err}
				return
			}
			line = append(line, one[0])
		}
	}()
	select {
	case <-ctx.Done():
		return "", errors.New("interrupted; nothing was sent")
	case r := <-read:
		if r.err != nil {
			return "", errors.New("no answer; nothing was sent")
		}
		return r.line, nil
	}
}

// ago is a time for people: "12 min", "3.5 h", "2 days".
func ago(d time.Duration) string {
	if d > 48*time.Hour {
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
	return roughly(max(0, d.Seconds()))
}
