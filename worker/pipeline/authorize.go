package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/outcome"
)

// Why an execution stops before its end.
var (
	errPatience = errors.New("waited for longer than RESCIND_PATIENCE")
	errExpired  = errors.New("expiresAt has come")
	errGaveUp   = errors.New("older than RESCIND_GIVE_UP")
)

const (
	codeGaveUp = outcome.CodeGaveUp
	// codePolicyDenied is the code of what policy, not AWS, denied.
	codePolicyDenied = "PolicyDenied"
)

// bar is why nothing is called for a command (any more): the worker's own decision. What AWS refuses is a
// target's refusal.
type bar struct {
	status  handlers.Status
	verdict handlers.Verdict
	code    string
	message string
}

func (b *bar) asError() *handlers.Error {
	return &handlers.Error{Class: handlers.Final, Code: b.code, Message: b.message}
}

func (b *bar) answer() handlers.Answer {
	if b.code == "" {
		return handlers.Answer{Status: b.status}
	}
	return handlers.Answer{Status: b.status, Err: b.asError()}
}

// forbidden says why a command may never be called; nil: it may.
func (p *Pipeline) forbidden(c *command.Command) *bar {
	switch {
	case c.Account != p.o.Home.Account && !p.o.OtherAccounts:
		return deniedByPolicy(fmt.Sprintf(
			"account: account %s is not the worker's own (%s) and no role is configured (RESCIND_ROLE)%s", c.Account, p.o.Home.Account, runAgain(c.ID)))
	case !slices.Contains(p.o.Regions, c.Region):
		return deniedByPolicy(fmt.Sprintf(
			"region: region %s is not one of those allowed (RESCIND_REGIONS: %v)%s", c.Region, p.o.Regions, runAgain(c.ID)))
	}
	return nil
}

// tooLate is the bar that time running out comes to; nil for every other reason.
func (p *Pipeline) tooLate(x *execution, why error) *bar {
	switch {
	case errors.Is(why, errExpired):
		return &bar{
			status: handlers.Expired, verdict: handlers.NotRun, code: "Expired",
			message: "expiresAt (" + x.command.ExpiresAt.UTC().Format(time.RFC3339Nano) + ") came before AWS took a cancelling call" + runAgain(x.command.ID),
		}
	case errors.Is(why, errGaveUp):
		return &bar{
			status: handlers.Failed, verdict: handlers.NotStopped, code: codeGaveUp,
			message: fmt.Sprintf("the command was %s old (RESCIND_GIVE_UP)%s", p.o.GiveUp, runAgain(x.command.ID)),
		}
	}
	return nil
}

func deniedByPolicy(message string) *bar {
	return &bar{status: handlers.Denied, verdict: handlers.NotRun, code: codePolicyDenied, message: message}
}

func dryRun() *bar { return &bar{status: handlers.DryRun, verdict: handlers.NotRun} }

// runAgain ends the text of a refusal that sticks to a command's id: the same command would have the same outcome
// again, whatever has been mended since.
func runAgain(id string) string {
	return "; to run it again, give it a new id" + suchAs(id)
}

// suchAs proposes an id for a command to be run again; "" for one that Rescind made or that is too long to
// be added to.
func suchAs(id string) string {
	if next := command.NextID(id); next != "" {
		return ", such as " + next
	}
	return ""
}
