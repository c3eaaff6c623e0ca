package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/rescindhq/rescind/internal/terminal"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/campaign/report"
)

// printCampaign shows a report to people.
func printCampaign(s screen, r *report.Report) {
	head := "Campaign " + r.Campaign + ": " + many(r.Commands.Ended, "command") + " have ended"
	if r.Commands.Ended == 1 {
		head = "Campaign " + r.Campaign + ": 1 command has ended"
	}
	if r.Plan != nil {
		head += " of " + grouped(r.Commands.Planned) + " planned"
	}
	if took := r.Took(); took > 0 {
		head += fmt.Sprintf(", in %s from %s", spent(took), r.FirstSent.UTC().Format("2006-01-02 15:04:05Z"))
	}
	s.printf("%s.\n", head)
	if r.DryRun {
		s.printf("A dry run: nothing was cancelled. Targets are counted by what is predicted.\n")
	}
	if r.Total() > 0 {
		s.printf("\n")
		printTotals(s, r)
	}
	if r.Unlisted > 0 {
		s.printf("%s named by no row: the outcomes of their commands were too long.\n", are(r.Unlisted))
	}
	if len(r.Reasons) > 0 {
		s.printf("\nNot stopped, by reason:\n")
		for _, reason := range r.Reasons[:min(len(r.Reasons), maxNotStopped)] {
			s.printf("  %s %s  %s\n", grouped(reason.Count), reason.Status, reason.Example)
		}
		s.printf("\nNot stopped:\n")
		printTargets(s, r.NotStopped, func(row *report.Row) string { return string(row.Status) })
	}
	if len(r.WithoutOutcome) > 0 {
		s.printf("\nWithout an outcome:\n")
		printTargets(s, r.WithoutOutcome, func(row *report.Row) string { return row.State.Words() })
		if r.Commands.NoRecord > 0 {
			s.printf("(no record: on the queue still, or dead-lettered: rescind dlq list)\n")
		}
	}
	if len(r.Slowest) > 0 && r.Slowest[0].Took() >= time.Second {
		s.printf("\nSlowest, from sending to end:\n")
		printTargets(s, r.Slowest, func(row *report.Row) string { return row.Took().Round(100 * time.Millisecond).String() })
	}
}

// printTotals is the table of targets by service and status.
func printTotals(s screen, r *report.Report) {
	statuses := r.Statuses()
	if len(r.Services()) == 1 { // one service's statuses, below each other
		rows := [][]string{{"status", r.Services()[0] + " targets"}, nil}
		for _, status := range statuses {
			rows = append(rows, []string{string(status), grouped(r.By(status))})
		}
		table(s, 1, rows)
		return
	}
	rows := [][]string{{"service"}, nil}
	for _, status := range statuses {
		rows[0] = append(rows[0], string(status))
	}
	for _, service := range r.Services() {
		row := []string{service}
		for _, status := range statuses {
			row = append(row, strconv.Itoa(r.Targets[service][status]))
		}
		rows = append(rows, row)
	}
	table(s, 1, rows)
}

// printTargets prints the first rows: what a caller says of each, its target, and why.
func printTargets(s screen, rows []report.Row, first func(*report.Row) string) {
	for i := range rows[:min(len(rows), maxNotStopped)] {
		row := &rows[i]
		s.printf("  %s\n", terminal.Clean(fmt.Sprintf("%s  %s  %s", first(row), shortened(row.Target), row.Why())))
	}
	if more := len(rows) - maxNotStopped; more > 0 {
		s.printf("  … and %s more; --csv prints all\n", grouped(more))
	}
}

// printRetry says what the --retry plan has, and what was left out of it.
func (c *reportCmd) printRetry(s screen, h *campaign.Header) {
	if c.retry == nil {
		return
	}
	if h == nil {
		s.printf("\nNothing is to be tried again: no file was written.\n")
	} else {
		s.printf("\nWritten: %s, campaign %s, with %s that may be tried again. Review it, then send it:\n", c.Retry, h.Campaign, many(h.Count, "command"))
		words := []string{"rescind apply", shellWord(c.Retry)}
		if h.Limits.Hold(h) != nil {
			words = append(words, fmt.Sprintf("--max %d", h.Count))
		}
		s.printShell(words...)
	}
	for _, why := range slices.Sorted(maps.Keys(c.retry.LeftOut())) {
		s.printf("  Left out: %s %s\n", grouped(c.retry.LeftOut()[why]), why)
	}
}

// spent is how long something took, for people.
func spent(d time.Duration) string {
	if d < time.Second {
		return "under a second"
	}
	return short(d)
}
