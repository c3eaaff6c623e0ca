package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/terminal"
	"github.com/rescindhq/rescind/worker/campaign"
)

// planReport is what a plan came to; --json prints it.
type planReport struct {
	File string `json:"file,omitempty"` // "": none was written
	campaign.Header
	Estimate estimate          `json:"estimate"`
	Inflow   []handlers.Inflow `json:"inflow"`
	Notes    []string          `json:"notes"`
	Examples []planExample     `json:"examples"`
	Error    string            `json:"error,omitempty"`

	noun string
}

// print shows the plan to people, so that they can say yes or no to it.
func (r *planReport) print(s screen) {
	s.printf("Plan %s: %s of %s listed %ss are to be stopped\n  in account %s, %s%s\n",
		r.Campaign, grouped(r.Count), grouped(r.Listed), r.noun, r.Account, r.Region, r.filters())
	if r.Count > 0 {
		s.printf("\n")
		rows := [][]string{{"state", "to be stopped"}, nil}
		for _, state := range slices.Sorted(maps.Keys(r.Counts)) {
			rows = append(rows, []string{terminal.Clean(state), grouped(r.Counts[state])})
		}
		table(s, 1, rows)
		r.printExamples(s)
	}
	if len(r.NotStopped) > 0 {
		s.printf("\nMatching, but not to be stopped:\n")
		for _, why := range slices.Sorted(maps.Keys(r.NotStopped)) {
			s.printf("  %s %s\n", grouped(r.NotStopped[why]), why)
		}
	}
	if len(r.Notes) > 0 {
		s.printf("\n")
	}
	for _, note := range r.Notes {
		s.printf("Note: %s\n", note)
	}
	if r.Count == 0 {
		s.printf("\nNothing is to be stopped: no file was written.\n")
		return
	}
	s.printf("\nTime: %s. Looks for proof (--confirm) are not counted.\n", r.Estimate.String())
	for _, in := range r.Inflow[:min(len(r.Inflow), maxExamples)] {
		s.printf("\n%s%s\n", in.Why, map[bool]string{true: ".", false: ":"}[in.Command == ""])
		if in.Command != "" {
			s.printShell(strings.Split(terminal.Clean(in.Command), " ")...)
		}
	}
	if more := len(r.Inflow) - maxExamples; more > 0 {
		s.printf("(%d more such; --json lists all)\n", more)
	}
}

// printNext says what was written and what comes next.
func (r *planReport) printNext(s screen) {
	if r.Count == 0 {
		return
	}
	s.printf("\nWritten: %s\nReview it, then send exactly its lines:\n", r.File)
	s.printShell(append([]string{"rescind apply", shellWord(r.File)}, r.limitFlags()...)...)
	if err := r.Limits.Hold(&r.Header); err != nil {
		s.printf("Without the flag it is refused: %v.\n", err)
	}
}

// limitFlags are the flags of apply without which the plan's own limits refuse it.
func (r *planReport) limitFlags() (flags []string) {
	if r.Limits.Hold(&r.Header) == nil {
		return nil
	}
	flags = append(flags, fmt.Sprintf("--max %d", r.Count))
	if r.Limits.MaxPercent > 0 {
		flags = append(flags, "--max-percent 100")
	}
	return flags
}

// printExamples shows some targets.
func (r *planReport) printExamples(s screen) {
	title := fmt.Sprintf("%d of them, by chance:", len(r.Examples))
	if len(r.Examples) == r.Count {
		title = "These are:"
	}
	s.printf("\n%s\n", title)
	rows := [][]string{{"target", "state", "began", "name"}, nil}
	for _, e := range r.Examples {
		began := ""
		if !e.Began.IsZero() {
			began = e.Began.UTC().Format("2006-01-02 15:04Z")
		}
		rows = append(rows, []string{terminal.Clean(shortened(e.Target)), terminal.Clean(e.State), began, terminal.Cut(terminal.Clean(e.Name), min(terminal.Width(terminal.Clean(e.Name)), maxNameShown))})
	}
	table(s, len(rows[0]), rows)
}

// maxNameShown is how many columns a name takes at most.
const maxNameShown = 24

// shortened is a target without the part of an ARN that is the same for all.
func shortened(target string) string {
	if parts := strings.SplitN(target, ":", 7); len(parts) == 7 && parts[0] == "arn" {
		return parts[6]
	}
	return target
}

// filters are the flags of the selection, for people.
func (r *planReport) filters() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Selection)) {
		fmt.Fprintf(&b, "\n  --%s", strings.TrimSpace(name+" "+strings.Join(r.Selection[name], ",")))
	}
	return b.String()
}

// shellWord is a word as a shell takes it.
func shellWord(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[-_./:=,+@%0-9a-zA-Z]+$`)

// grouped is a number with its thousands set apart: "7,200".
func grouped[N int | int64](n N) string {
	text := strconv.FormatInt(int64(n), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// many is count with the number's thousands set apart.
func many[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}
