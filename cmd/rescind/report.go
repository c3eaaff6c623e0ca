package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/campaign/report"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/ledger"
)

type reportCmd struct {
	Campaign string `arg:"" help:"Name of the campaign."`

	outcomeFlags `embed:""`
	Plan         string            `name:"plan" placeholder:"FILE" help:"Plan file that the campaign was sent by, so that commands without any record are found (default: CAMPAIGN.plan.jsonl, if it is here)."`
	DryRun       bool              `name:"dry-run" help:"Report the campaign's dry run, by what it predicts."`
	CSV          bool              `name:"csv" xor:"form" help:"Print a row for each target on stdout, as CSV."`
	JSON         bool              `name:"json" xor:"form" help:"Print one JSON value on stdout."`
	HTML         string            `name:"html" placeholder:"FILE" help:"Write one page that needs no other file, with the drain drawn. FILE is overwritten."`
	Retry        string            `name:"retry" placeholder:"FILE" help:"Write a plan of the commands whose failure may pass, under new ids."`
	RetryStatus  []handlers.Status `name:"retry-status" placeholder:"STATUS" help:"Statuses that --retry takes (default: failed,denied,expired)."`
	RetryName    string            `name:"retry-campaign" placeholder:"NAME" help:"Campaign of the --retry plan (default: the next number, as in CAMPAIGN.2)."`

	retry *report.Retry
}

// Help is printed by "rescind report --help" above the flags.
func (*reportCmd) Help() string {
	return `Sums up what became of a campaign, from the ledger's records of its commands, which are kept for 30 days: counts by service
and status, every target that was not stopped and why, commands without an outcome, the slowest. With the plan file it also
finds commands that were never sent, or of which no worker knows: these wait on the queue, or were dead-lettered. It changes
nothing on AWS. A campaign that is not over may be reported too.

Exit codes: 0 every target was stopped, or accepted by AWS; 1 something was not, has no outcome, or failed; 2 misused.`
}

// Run reports.
func (c *reportCmd) Run(ctx context.Context, s streams) error {
	if err := c.check(); err != nil {
		return err
	}
	from, name, err := c.records(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = from.close() }() // nothing was written
	r, err := c.build(ctx, s, from, name)
	if err != nil {
		return err
	}
	if r.Commands.Ended+r.Commands.UnderWay+r.Commands.NoRecord == 0 {
		return c.unknown(name, r.Commands.NotSent)
	}
	if err := c.write(ctx, s, r); err != nil {
		return err
	}
	return c.failure(r)
}

// check checks the flags.
func (c *reportCmd) check() error {
	for _, status := range c.RetryStatus {
		if !slices.Contains(handlers.Statuses(), status) {
			return misused("--retry-status %q is no status", status)
		}
	}
	if c.Retry == "" {
		if c.RetryName != "" || len(c.RetryStatus) > 0 {
			return misused("--retry-campaign and --retry-status are for --retry FILE")
		}
		return nil
	}
	if c.DryRun {
		return misused("--retry and --dry-run cannot be used together: a dry run has failed nothing")
	}
	if c.RetryName == "" {
		c.RetryName = nextName(c.Campaign)
	}
	if err := campaign.CheckName(c.RetryName); err != nil {
		return misused("--retry-campaign %w", err)
	}
	if len(c.RetryStatus) == 0 {
		c.RetryStatus = report.RetryDefault()
	}
	c.retry = report.NewRetry(c.RetryStatus)
	return nil
}

// nextName is a campaign's name with the next number: NAME, NAME.2, NAME.3.
func nextName(name string) string {
	if at := strings.LastIndexByte(name, '.'); at > 0 {
		var n int
		if _, err := fmt.Sscanf(name[at:], ".%d", &n); err == nil && n > 1 && name == nameOfRound(name[:at], n) {
			return nameOfRound(name[:at], n+1)
		}
	}
	return nameOfRound(name, 2)
}

// build reads the records, and then the plan if there is one.
func (c *reportCmd) build(ctx context.Context, s streams, from records, name string) (*report.Report, error) {
	out := bufio.NewWriter(s.out)
	rows, flush, err := c.rows(out)
	if err != nil {
		return nil, err
	}
	b := report.New(report.Options{Campaign: c.Campaign, DryRun: c.DryRun, Rows: rows, TargetOf: targetOfCommand(), Retry: c.retry})
	var read atomic.Int64
	onStop(ctx, func() string { return "stopping; nothing was changed" }, "Nothing was changed.")
	stopProgress := every(sayEvery, func() { say(s.err, fmt.Sprintf("%s read from %s", many(read.Load(), "record"), name)) })
	defer stopProgress()
	var failed error
	err = from.ByCampaign(ctx, c.Campaign, func(r ledger.Record) bool {
		read.Add(1)
		failed = b.Record(&r)
		return failed == nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, errors.New("interrupted")
	case failed != nil:
		return nil, failed
	case errors.Is(err, ledger.ErrUnreadable):
		say(s.err, "Some records are left out of the report: "+err.Error())
	case err != nil:
		return nil, err
	}
	if err := c.reconcile(s, b); err != nil {
		return nil, err
	}
	return b.Report(time.Now()), flush()
}

// rows is what each row is passed to, and how that ends.
func (c *reportCmd) rows(out *bufio.Writer) (each func(*report.Row) error, flush func() error, err error) {
	if !c.CSV {
		return nil, out.Flush, nil
	}
	table, err := report.NewTable(out)
	return table.Add, func() error { return errors.Join(table.Flush(), out.Flush()) }, err
}

// targetOfCommand returns what names the target of a planned command.
func targetOfCommand() func(*campaign.Command) string {
	decoder := command.NewDecoder(allHandlers(), handlers.Location{})
	return func(c *campaign.Command) string {
		decoded, err := decoder.DecodeBare([]byte(jsonText(c)), command.Message{})
		if err != nil {
			return ""
		}
		ids := make([]string, len(decoded.Targets))
		for i, t := range decoded.Targets {
			ids[i] = t.ID
		}
		return strings.Join(ids, " ")
	}
}

// reconcile goes through the plan, if there is one.
func (c *reportCmd) reconcile(s streams, b *report.Builder) (err error) {
	file := c.Plan
	if file == "" {
		file = c.Campaign + planSuffix
		if _, err := os.Stat(file); err != nil {
			say(s.err, fmt.Sprintf("There is no %s here: commands of which the ledger has no record are not found (--plan FILE).", file))
			return nil
		}
	}
	plan, err := campaign.Open(file)
	if err != nil {
		return misused("%w", err)
	}
	defer func() { err = errors.Join(err, plan.Close()) }()
	if plan.Header.Campaign != c.Campaign {
		return misused("%s is the plan of campaign %s, and not of %s", file, plan.Header.Campaign, c.Campaign)
	}
	sent := func(int) bool { return false }
	apply := applyCmd{File: file, applyFlags: applyFlags{DryRun: c.DryRun}}
	if _, err := os.Stat(apply.journal()); err == nil {
		journal, err := campaign.OpenJournal(apply.journal(), &plan.Header)
		if err != nil {
			return err
		}
		defer func() { _ = journal.Close() }() // nothing was written
		sent = journal.Sent
	}
	b.PlannedBy(file, &plan.Header)
	n := 0
	for line, err := range plan.Lines() {
		if err != nil {
			return err
		}
		n++
		if err := b.PlannedLine(line, sent(n)); err != nil {
			return err
		}
	}
	return nil
}

// unknown says that there is nothing to report.
func (c *reportCmd) unknown(name string, notSent int) error {
	what := "campaign"
	if c.DryRun {
		what = "dry run of a campaign"
	}
	if notSent > 0 {
		return fmt.Errorf("%s has no record of a %s %s, and nothing of its plan was sent from here: rescind apply sends it", name, what, c.Campaign)
	}
	return fmt.Errorf("%s has no record of a %s %s: look at the name (plan, apply and cancel print it), and at --ledger and --admin-addr. Records are kept for 30 days", name, what, c.Campaign)
}

// write writes what was asked for: the files, and one form on stdout.
func (c *reportCmd) write(ctx context.Context, s streams, r *report.Report) error {
	if c.HTML != "" {
		if err := writeFile(c.HTML, func(w io.Writer) error { return report.Page(r).Render(ctx, w) }); err != nil {
			return fmt.Errorf("writing the page: %w", err)
		}
	}
	header, err := c.writeRetry(ctx)
	switch {
	case err != nil:
		return err
	case c.CSV:
		return nil
	case c.JSON:
		return printJSON(s.out, r)
	}
	to := screenOf(s.out)
	printCampaign(to, r)
	if c.HTML != "" {
		to.printf("\nPage: %s\n", c.HTML)
	}
	c.printRetry(to, header)
	return nil
}

// writeFile writes a file and closes it.
func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	to := bufio.NewWriter(f)
	return errors.Join(write(to), to.Flush())
}

// writeRetry writes the plan of what may be tried again; nil: nothing is.
func (c *reportCmd) writeRetry(ctx context.Context) (*campaign.Header, error) {
	if c.retry == nil || c.retry.Count() == 0 {
		return nil, nil
	}
	_, caller, err := callerConfig(ctx)
	if err != nil {
		return nil, err
	}
	to, err := campaign.Create(c.Retry)
	if err != nil {
		return nil, misused("--retry: %w", err)
	}
	h, err := c.retry.Write(to, c.RetryName, c.Campaign, aws.ToString(caller.Arn), time.Now())
	return h, errors.Join(err, to.Discard())
}

// failure is an error where something was not stopped, or is not known.
func (c *reportCmd) failure(r *report.Report) error {
	var parts []string
	if n := len(r.NotStopped); n > 0 {
		what := "were not stopped"
		if c.DryRun {
			what = "could not be previewed"
		}
		parts = append(parts, fmt.Sprintf("%s of %s %s", grouped(n), many(r.Total(), "target"), what))
	}
	if n := len(r.WithoutOutcome); n > 0 {
		parts = append(parts, many(n, "command")+" without an outcome")
	}
	if r.Unreadable > 0 {
		parts = append(parts, many(r.Unreadable, "outcome")+" that cannot be read")
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New(strings.Join(parts, ", "))
}
