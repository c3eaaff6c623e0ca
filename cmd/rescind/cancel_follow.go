package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/outcome"
)

// followed makes of a line that was sent what follow needs. The rest would take memory while the outcomes are awaited.
func followed(sent *sending) *sending {
	var line struct {
		campaign.Command
		DryRun bool `json:"dryRun"`
	}
	_ = json.Unmarshal([]byte(sent.body), &line) // apply has verified it
	c := &sending{ID: line.ID, State: sent.State, messageID: sent.messageID, statesAccount: true, statesRegion: true, command: command.Command{
		ID: line.ID, DryRun: line.DryRun, Action: line.Action, Parameters: line.Parameters, Account: line.Account, Region: line.Region,
	}}
	if confirm, err := time.ParseDuration(line.Confirm); err == nil {
		c.command.Confirm = &confirm
	} else if escalate, err := time.ParseDuration(line.Escalate); err == nil {
		confirm = 2 * escalate
		c.command.Confirm = &confirm
	}
	return c
}

// idle is how long no outcome may come until waiting ends.
func (c *cancelling) idle(longest time.Duration) time.Duration {
	return cmp.Or(c.WaitFor, shortWait+longest)
}

// waiting counts outcomes by verdict while they are awaited, for the progress.
type waiting struct {
	ended   atomic.Int64
	mu      sync.Mutex
	by      map[string]int
	reading error // of the last read
}

// String is the progress besides the number.
func (w *waiting) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var parts []string
	for _, word := range []string{"previewed", "stopped", "pending", "not stopped", "not run"} {
		if n := w.by[word]; n > 0 {
			parts = append(parts, grouped(n)+" "+word)
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "no outcome yet") + because(w.reading)
}

// follow waits for the outcomes of a round's commands, and takes each of them as the last of its target.
func (c *cancelling) follow(ctx context.Context, r *cancelRound, commands []*sending) error {
	longest := longestConfirm(commands)
	began, w := time.Now(), &waiting{by: map[string]int{}}
	onStop(ctx, func() string {
		return fmt.Sprintf("waiting no longer; %s were sent, and %s have ended", many(len(commands), "command"), grouped(w.ended.Load()))
	}, "The commands are on the queue and are run.")
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	patience := time.AfterFunc(c.idle(longest), cancel)
	defer patience.Stop()
	stopProgress := showCount(c.streams, c.JSON, len(commands), "ended", &w.ended, w.String)
	left := follow(bounded, c.from, commands, func(each *sending, event []byte) {
		if c.WaitFor == 0 {
			patience.Reset(c.idle(longest))
		}
		result := resultOf(each, event, began)
		c.results[keyOfTarget(each.command.Parameters)] = result
		c.report.Outcomes++
		if result.verdict == handlers.Stopped || result.verdict == handlers.Pending {
			r.taken++
		}
		w.mu.Lock()
		w.by[result.word()]++
		w.mu.Unlock()
		w.ended.Add(1)
	}, func(_ int, err error) {
		w.mu.Lock()
		w.reading = err
		w.mu.Unlock()
	})
	stopProgress()
	if left == 0 {
		return nil
	}
	why := "none has come for " + short(c.idle(longest))
	switch {
	case ctx.Err() != nil:
		why = "interrupted"
	case c.WaitFor > 0:
		why = short(c.WaitFor) + " (--wait-for) are over"
	}
	dry := ""
	if c.DryRun {
		dry = " --dry-run"
	}
	return fmt.Errorf("%s: %s of %s have no outcome yet%s. All %d were sent: what has none is on the queue and is run. To see them all, and run none twice:\n  tail -n +2 %s | rescind send - --wait%s",
		why, grouped(left), many(len(commands), "command"), because(w.reading), len(commands), shellWord(r.Plan.File), dry)
}

// cancelResult is what became of a command.
type cancelResult struct {
	ID     string          `json:"id"`
	Target string          `json:"target"`
	Status handlers.Status `json:"status"`
	Why    string          `json:"why,omitempty"`

	verdict    handlers.Verdict
	prediction handlers.Status // of a dry run
	action     handlers.Action
	went       bool // as it was wanted
}

// word is its verdict, or that it is a preview.
func (r *cancelResult) word() string {
	if r.Status == handlers.DryRun {
		return "previewed"
	}
	return strings.ReplaceAll(string(r.verdict), "_", " ")
}

func resultOf(c *sending, event []byte, began time.Time) *cancelResult {
	e, err := outcome.Parse(event)
	if err != nil {
		e.Data = outcome.Data{Status: "unreadable", Verdict: handlers.NotStopped, Message: err.Error()}
	}
	d := &e.Data
	r := &cancelResult{ID: c.ID, Target: targetOf(d), Status: d.Status, Why: strings.TrimSpace(reasonOf(d, began)), verdict: d.Verdict, action: c.command.Action, went: went(d)}
	if len(d.Targets) > 0 {
		r.prediction = d.Targets[0].Prediction
	}
	return r
}
