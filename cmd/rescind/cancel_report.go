package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/rescindhq/rescind/handlers"
)

// cancelReport is what became of a cancel; --json prints it.
type cancelReport struct {
	Queue  string         `json:"queue,omitempty"`
	DryRun bool           `json:"dryRun,omitzero"`
	Rounds []*cancelRound `json:"rounds"`
	// Outcomes counts commands that have ended. Counts has the targets by the status of their last command, and
	// Predictions by the status that a dry run predicts; NotStopped are the targets that were not stopped, or not previewed.
	Outcomes    int                     `json:"outcomes"`
	Counts      map[handlers.Status]int `json:"counts"`
	Predictions map[handlers.Status]int `json:"predictions,omitempty"`
	NotStopped  []*cancelResult         `json:"notStopped"`
	// Empty is whether --until-empty has found nothing more, and LeftAlone what it then left alone that matches, by reason.
	Empty     bool           `json:"empty,omitzero"`
	LeftAlone map[string]int `json:"leftAlone,omitempty"`
	Error     string         `json:"error,omitempty"`

	noun string
}

// cancelRound is one plan, and how it was sent.
type cancelRound struct {
	Plan  *planReport  `json:"plan"`
	Apply *applyReport `json:"apply,omitempty"`

	taken int // commands by which a target was stopped, or that AWS has accepted
}

// sent is how many commands the queue has accepted.
func (r *cancelReport) sent() (n int) {
	for _, each := range r.Rounds {
		if each.Apply != nil {
			n += each.Apply.Sent
		}
	}
	return n
}

// count counts the last results of the targets.
func (r *cancelReport) count(results map[targetKey]*cancelResult) {
	r.Counts, r.Predictions = map[handlers.Status]int{}, map[handlers.Status]int{}
	for _, each := range results {
		r.Counts[each.Status]++
		if each.Status == handlers.DryRun {
			r.Predictions[cmp.Or(each.prediction, "unknown")]++
		}
		if !each.went {
			r.NotStopped = append(r.NotStopped, each)
		}
	}
	slices.SortFunc(r.NotStopped, func(a, b *cancelResult) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Why, b.Why), cmp.Compare(a.Target, b.Target))
	})
}

// targets is how many targets have an outcome.
func (r *cancelReport) targets() (n int) {
	for _, each := range r.Counts {
		n += each
	}
	return n
}

// failure is an error where something was not stopped.
func (r *cancelReport) failure() error {
	switch n := len(r.NotStopped); {
	case n == 0:
		return nil
	case r.DryRun:
		return fmt.Errorf("%s of %s could not be previewed", grouped(n), many(r.targets(), r.noun))
	default:
		return fmt.Errorf("%s of %s were not stopped", grouped(n), many(r.targets(), r.noun))
	}
}

// print sums up for people: how many have which status, what was not stopped and why, and what may be done next.
func (r *cancelReport) print(s screen, campaign string) {
	s.printf("\n")
	heading, counts := "status", r.Counts
	if r.DryRun {
		heading, counts = "would be", r.Predictions
	}
	rows := [][]string{{heading, r.noun + "s"}, nil}
	for _, status := range append(handlers.Statuses(), "unreadable", "unknown") {
		if n := counts[status]; n > 0 {
			rows = append(rows, []string{string(status), grouped(n)})
		}
	}
	if len(rows) > 2 {
		table(s, 1, rows)
	}
	if r.DryRun {
		s.printf("A dry run: nothing was cancelled.\n")
	}
	if n := counts[handlers.Accepted]; n > 0 && !r.DryRun {
		s.printf("Pending: %s only accepted by AWS, and not seen to have stopped. --confirm 10m looks for that.\n", are(n))
	}
	r.printNotStopped(s)
	r.printNext(s, campaign)
}

// maxNotStopped is how many targets that were not stopped are printed without --json.
const maxNotStopped = 20

func (r *cancelReport) printNotStopped(s screen) {
	if len(r.NotStopped) == 0 {
		return
	}
	what := "Not stopped:"
	if r.DryRun {
		what = "Not previewed:"
	}
	s.printf("\n%s\n", what)
	for _, each := range r.NotStopped[:min(maxNotStopped, len(r.NotStopped))] {
		s.printf("  %s  %s  %s\n", each.Status, shortened(each.Target), each.Why)
	}
	if more := len(r.NotStopped) - maxNotStopped; more > 0 {
		s.printf("  … and %s more; --json prints all\n", grouped(more))
	}
}

// printNext names the plan files, and says how to go on.
func (r *cancelReport) printNext(s screen, campaign string) {
	last := r.Rounds[len(r.Rounds)-1].Plan
	if r.Empty {
		s.printf("\nListed again after %s: nothing more is to be stopped.\n", many(len(r.Rounds), "round"))
		for _, why := range slices.Sorted(maps.Keys(r.LeftAlone)) {
			s.printf("  Left alone: %s %s\n", grouped(r.LeftAlone[why]), why)
		}
	}
	files := r.Rounds[0].Plan.File
	if len(r.Rounds) > 1 {
		files += " to " + last.File
	}
	s.printf("\nPlan: %s\n", files)
	switch {
	case r.DryRun:
		s.printf("To cancel exactly these:\n")
		s.printShell("rescind apply", shellWord(last.File))
	case len(r.NotStopped) > 0:
		s.printf("To retry what still matches, run the same with --campaign %s: a command that has ended is not run again under its id.\n", nameOfRound(campaign, len(r.Rounds)+1))
	}
}

// are is a number with its verb.
func are(n int) string {
	if n == 1 {
		return "1 is"
	}
	return grouped(n) + " are"
}
