package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/command"
)

// gcPercent is by how much the memory may grow between two collections while targets are listed.
const gcPercent = 40

// maxExamples is how many targets a preview shows.
const maxExamples = 10

// collector takes what a selection finds: it writes a line for each target, and counts. Of a million targets it stores a hash
// each, of 12 bytes, since a listing may show a target twice that changes its state meanwhile.
type collector struct {
	flags   *planFlags
	header  *campaign.Header
	to      *campaign.Writer
	decoder *command.Decoder
	by      map[handlers.Action]handlers.Handler

	seen     map[[12]byte]struct{}
	twice    int
	notes    []string
	sample   []planExample
	chance   *rand.Rand
	groups   map[handlers.Action]map[string]int // targets by what holds them
	weakest  int                                // commands that have nothing stronger, though --escalate asks for it
	complete bool                               // the listing ended by itself

	listed, selected atomic.Int64 // for progress
}

// planExample is a target in a preview.
type planExample struct {
	Target string          `json:"target"`
	Name   string          `json:"name,omitempty"`
	State  string          `json:"state"`
	Began  time.Time       `json:"began,omitzero"`
	Action handlers.Action `json:"action"`
}

func newCollector(c *planFlags, h *campaign.Header, to *campaign.Writer) *collector {
	all := allHandlers()
	h.Counts, h.NotStopped = map[string]int{}, map[string]int{}
	found := &collector{
		flags: c, header: h, to: to, decoder: command.NewDecoder(all, handlers.Location{Account: h.Account, Region: h.Region}),
		by: map[handlers.Action]handlers.Handler{}, seen: map[[12]byte]struct{}{}, groups: map[handlers.Action]map[string]int{},
		chance: rand.New(rand.NewPCG(1, 1)), // the same examples for the same listing
	}
	for _, each := range all {
		found.by[each.Action()] = each
	}
	return found
}

// list lists, and says every few seconds how far it is.
func (f *collector) list(ctx context.Context, s streams, of selection, cfg aws.Config) error {
	// Most of the memory is the set of hashes, which has no pointers: to collect often costs little.
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	var failed atomic.Int64
	cfg.Retryer = patient(&failed)
	before := cmp.Or(f.flags.before, "nothing was stopped")
	onStop(ctx, func() string { return "stopping; nothing is written, and " + before }, "Nothing was written, and "+before+".")
	stopProgress := every(sayEvery, func() {
		again := ""
		if n := failed.Load(); n > 0 {
			again = fmt.Sprintf("; %s throttled or failed, and tried again", count(n, "request"))
		}
		fmt.Fprintf(s.err, "%s listed, %s selected%s\n", grouped(f.listed.Load()), grouped(f.selected.Load()), again)
	})
	err := of.List(ctx, cfg, f)
	stopProgress()
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; nothing was written")
	case err != nil && errors.As(err, new(*handlers.FilterError)), err != nil && errors.As(err, new(misuse)):
		return err
	case err != nil:
		return listingError(err)
	}
	f.complete = true
	if f.twice > 0 {
		f.Note(grouped(f.twice) + " listed twice, since they went on to another state meanwhile; each has one command, that of the first.")
	}
	if f.weakest > 0 {
		f.Note(grouped(f.weakest) + " commands are without --escalate: nothing is stronger than their action.")
	}
	return nil
}

// listingError is a failed listing, with what to do where that is known.
func listingError(err error) error {
	var refused smithy.APIError
	if errors.As(err, &refused) && strings.HasPrefix(refused.ErrorCode(), "AccessDenied") || errors.As(err, &refused) && refused.ErrorCode() == "OperationNotPermittedFault" {
		return fmt.Errorf("%w (these credentials may not list that: deploy/OPERATIONS.md has the permissions of a plan); nothing was written", err)
	}
	return fmt.Errorf("%w; nothing was written", advised(err, ""))
}

// Listed counts.
func (f *collector) Listed(n int) {
	f.header.Listed += n
	f.listed.Store(int64(f.header.Listed))
}

// Note takes a sentence.
func (f *collector) Note(text string) { f.notes = append(f.notes, text) }

// Candidate writes the command of a target, or counts why there is none.
func (f *collector) Candidate(c handlers.Candidate) error {
	hash := sha256.Sum256([]byte(c.Target))
	if _, twice := f.seen[[12]byte(hash[:])]; twice {
		f.twice++
		return nil
	}
	f.seen[[12]byte(hash[:])] = struct{}{}
	if c.Not == "" && f.flags.settled != nil {
		c.Not = f.flags.settled(&c)
	}
	if c.Not != "" {
		f.header.NotStopped[c.Not]++
		return nil
	}
	line, err := f.line(c)
	if err != nil {
		return err
	}
	if err := f.to.Add(line); err != nil {
		return err
	}
	f.header.Counts[c.State]++
	if f.groups[c.Action] == nil {
		f.groups[c.Action] = map[string]int{}
	}
	f.groups[c.Action][c.Holder]++
	f.selected.Store(int64(f.to.Count()))
	f.pick(planExample{c.Target, c.Name, c.State, c.Began, c.Action})
	return nil
}

// pick makes the examples a sample in which every target is as likely.
func (f *collector) pick(e planExample) {
	if len(f.sample) < maxExamples {
		f.sample = append(f.sample, e)
	} else if i := f.chance.IntN(f.to.Count()); i < maxExamples {
		f.sample[i] = e
	}
}

// line makes a target's command, and checks it as the worker will.
func (f *collector) line(t handlers.Candidate) ([]byte, error) {
	c := campaign.Command{
		Action: t.Action, Parameters: []byte(jsonText(t.Parameters)), Account: f.header.Account, Region: f.header.Region,
		Reason: f.flags.Reason, RequestedBy: f.flags.RequestedBy, Campaign: f.header.Campaign, Confirm: f.flags.Confirm,
	}
	if f.flags.ExpiresIn > 0 {
		c.ExpiresAt = f.header.Created.Add(f.flags.ExpiresIn).Format(time.RFC3339)
	}
	line, err := f.checked(&c, t)
	if err != nil || f.flags.Escalate == "" {
		return line, err
	}
	if !f.hasStronger(line) {
		f.weakest++
		return line, nil
	}
	c.Escalate = f.flags.Escalate
	return f.checked(&c, t)
}

func (f *collector) checked(c *campaign.Command, t handlers.Candidate) ([]byte, error) {
	line, err := c.Line()
	if err != nil {
		return nil, err
	}
	_, err = f.decoder.DecodeBare(line, command.Message{ID: "planned"})
	var bad *command.Error
	switch {
	case err == nil:
		return line, nil
	case errors.As(err, &bad) && flagsOfFields[bad.Field] != "":
		return nil, misused("%s %s; nothing was written", flagsOfFields[bad.Field], bad.Rule)
	case errors.As(err, &bad) && c.Reason != "" && strings.HasPrefix(bad.Field, "parameters.") && t.Parameters[strings.TrimPrefix(bad.Field, "parameters.")] == nil:
		return nil, misused("--reason %s; nothing was written", bad.Rule) // it fills the API's own reason
	}
	return nil, fmt.Errorf("the command for %s would be invalid: %w", t.Target, err)
}

// hasStronger reports whether a stronger action is there for a checked command.
func (f *collector) hasStronger(line []byte) bool {
	c, err := f.decoder.DecodeBare(line, command.Message{ID: "planned"})
	if err != nil {
		return false
	}
	escalator, ok := f.by[c.Action].(handlers.Escalator)
	if ok {
		_, ok = escalator.Stronger(c.Targets[0])
	}
	return ok
}
