package report

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/outcome"
)

// Retry gathers the commands that did not stop their targets for a reason that may pass, so that they are sent again under
// new ids. Make one with NewRetry.
type Retry struct {
	statuses []handlers.Status
	commands map[string]*campaign.Command // by the id that has ended
	counts   map[string]int               // of these, by status
	left     map[string]int               // those that are left out, by reason
}

// RetryDefault are the statuses whose reason may pass: an outage or a throttle, a permission that is granted, time.
func RetryDefault() []handlers.Status {
	return []handlers.Status{handlers.Failed, handlers.Denied, handlers.Expired}
}

// NewRetry gathers commands with a target of one of the statuses.
func NewRetry(statuses []handlers.Status) *Retry {
	return &Retry{statuses: statuses, commands: map[string]*campaign.Command{}, counts: map[string]int{}, left: map[string]int{}}
}

// outcome takes what became of a command. A nil Retry takes nothing.
func (r *Retry) outcome(commandID string, d *outcome.Data) {
	if r == nil {
		return
	}
	statuses := slices.Collect(maps.Keys(d.Counts))
	if len(statuses) == 0 {
		statuses = []handlers.Status{d.Status}
	}
	wanted := slices.ContainsFunc(statuses, func(s handlers.Status) bool { return slices.Contains(r.statuses, s) })
	switch {
	case d.Verdict == handlers.Stopped, d.Verdict == handlers.Pending, d.Status == handlers.DryRun:
	case !wanted:
		r.left[fmt.Sprintf("ended %s, of which the same would come", d.Status)]++
	case d.ParametersOmitted:
		r.left["have parameters that are too long for an outcome"]++
	default:
		r.counts[string(d.Status)]++
		r.commands[commandID] = &campaign.Command{
			Action: d.Action, Parameters: d.Parameters, Account: d.Account, Region: d.Region, Reason: d.Reason, RequestedBy: d.RequestedBy,
		}
	}
}

// planned takes what an outcome does not say of a command from its line in the plan.
func (r *Retry) planned(c *campaign.Command) {
	if r == nil {
		return
	}
	if again := r.commands[c.ID]; again != nil {
		again.Confirm, again.Escalate = c.Confirm, c.Escalate
	}
}

// Count is how many commands there are to send again.
func (r *Retry) Count() int { return len(r.commands) }

// LeftOut counts the commands that were not stopped and are not sent again, by reason.
func (r *Retry) LeftOut() map[string]int { return r.left }

// errMixed says that a plan cannot have all of the commands.
var errMixed = errors.New("the commands are of several services, accounts or regions, and a plan is of one: send them with rescind send")

// Write writes the plan of a campaign that sends them again.
func (r *Retry) Write(to *campaign.Writer, name, of, by string, now time.Time) (*campaign.Header, error) {
	h := &campaign.Header{
		Campaign: name, Created: now.UTC().Truncate(time.Second), By: by, Selection: map[string][]string{"retry-of": {of}},
		Listed: len(r.commands), Counts: r.counts, NotStopped: r.left, Limits: campaign.Limits{Max: campaign.DefaultMax},
	}
	for _, n := range r.left {
		h.Listed += n
	}
	for _, s := range r.statuses {
		h.Selection["retry-status"] = append(h.Selection["retry-status"], string(s))
	}
	for i, old := range slices.Sorted(maps.Keys(r.commands)) {
		c := r.commands[old]
		if i == 0 {
			h.Service, h.Account, h.Region = c.Action.Service(), c.Account, c.Region
		}
		if c.Action.Service() != h.Service || c.Account != h.Account || c.Region != h.Region {
			return nil, errMixed
		}
		c.Campaign = name
		line, err := c.Line()
		if err == nil {
			err = to.Add(line)
		}
		if err != nil {
			return nil, err
		}
	}
	return h, to.Finish(h)
}
