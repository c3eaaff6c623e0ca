package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/demo"
	"github.com/rescindhq/rescind/internal/terminal"
	"github.com/rescindhq/rescind/worker/outcome"
)

// printOutcomes prints every outcome that is published until ctx ends, one per line: for people on a
// terminal, otherwise, and where that is asked for, as JSON.
func printOutcomes(ctx context.Context, env *demo.Environment, out io.Writer, asJSON bool) error {
	s := screenOf(out)
	return env.Follow(ctx, func(event string) error {
		line := terminal.Clean(event)
		if !asJSON && s.width > 0 {
			e, err := outcome.Parse([]byte(event))
			if err != nil {
				return err
			}
			line = outcomeLine(s, &e.Data)
		}
		if _, err := fmt.Fprintln(s, line); err != nil {
			return fmt.Errorf("writing an outcome: %w", err)
		}
		return nil
	})
}

const (
	clockWidth  = len("15:04:05")
	statusWidth = len(handlers.AlreadyCancelled) // the longest
	// widestAction and widestTarget are those that fit where the terminal is wide: the longest action,
	// and a UUID.
	widestAction, widestTarget = len("swf:RequestCancelWorkflowExecution"), 36
)

// outcomeLine writes an outcome for people: when it ended, status, action, target, and why. Where the
// terminal is narrow, action and target are cut to leave space for why.
func outcomeLine(s screen, d *outcome.Data) string {
	rest := max(0, s.width-clockWidth-statusWidth-2*gap)
	share := rest * 3 / 10
	action := terminal.Cut(terminal.Clean(cmp.Or(string(d.Action), "(unreadable)")), min(widestAction, share))
	target, why := terminal.Clean(targetOf(d)), terminal.Clean(whyOf(d))
	rest -= terminal.Width(action) + gap
	if space := max(share, rest-gap-terminal.Width(why)); space >= widestTarget {
		target = terminal.Cut(target, widestTarget)
	} else {
		target = strings.TrimRight(terminal.Cut(target, space), " ")
	}
	line := strings.Join([]string{
		d.FinishedAt.Local().Format(time.TimeOnly),
		s.colour(d.Verdict, terminal.Cut(string(d.Status), statusWidth)),
		action, target, terminal.Cut(why, rest-gap-terminal.Width(target)),
	}, strings.Repeat(" ", gap))
	return strings.TrimRight(terminal.Cut(line, s.width), " ")
}

// targetOf names the target of an outcome, the first where there are several, or the command if none is
// known.
func targetOf(d *outcome.Data) string {
	if len(d.Targets) == 0 {
		return cmp.Or(d.CommandID, d.MessageID)
	}
	if all := len(d.Targets) + d.TargetsOmitted; all > 1 {
		return fmt.Sprintf("%d targets: %s", all, d.Targets[0].ID)
	}
	return d.Targets[0].ID
}

// whyOf says why an outcome is what it is: how many targets have which status where these differ, what a dry run
// predicts, a message, or the state that AWS shows.
func whyOf(d *outcome.Data) string {
	if len(d.Counts) > 1 {
		return statusesText(d.Counts)
	}
	if predicted := predictionOf(d); predicted != "" {
		return predicted
	}
	message := cmp.Or(d.Message, d.Code)
	for _, t := range d.Targets {
		message = cmp.Or(message, t.Message, t.Code)
	}
	if message == "" && len(d.Targets) > 0 {
		if state := cmp.Or(d.Targets[0].After, d.Targets[0].Before); state != "" {
			message = "state " + state
		}
	}
	return message
}

// predictionOf says what a dry run predicts; "" if it predicts nothing.
func predictionOf(d *outcome.Data) string {
	predictions := map[handlers.Status]int{}
	for _, t := range d.Targets {
		if t.Prediction != "" {
			predictions[t.Prediction]++
		}
	}
	switch {
	case len(predictions) == 0:
		return ""
	case len(d.Targets) == 1:
		return fmt.Sprintf("would be %s, state %s", d.Targets[0].Prediction, cmp.Or(d.Targets[0].Before, "unknown"))
	}
	return "would be " + statusesText(predictions)
}

// statusesText says how many there are of each status.
func statusesText(counts map[handlers.Status]int) string {
	var parts []string
	for _, status := range handlers.Statuses() {
		if n := counts[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	return strings.Join(parts, ", ")
}
