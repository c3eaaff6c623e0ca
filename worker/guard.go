package worker

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/outcome"
)

// codePolicyDenied is the code of what policy, not AWS, denied.
const codePolicyDenied = "PolicyDenied"

// refusal is why a command is not to be called (any more).
type refusal struct {
	status  handlers.Status
	verdict handlers.Verdict
	code    string
	message string
}

func (r *refusal) asError() *handlers.Error {
	return &handlers.Error{Class: handlers.Final, Code: r.code, Message: r.message}
}

func (r *refusal) answer() handlers.Answer {
	if r.code == "" {
		return handlers.Answer{Status: r.status}
	}
	return handlers.Answer{Status: r.status, Err: r.asError()}
}

// guard says whether a command may be called now; nil is yes.
func (r *road) guard(j *journey, now time.Time) *refusal {
	c := j.command
	if kept := r.forbidden(c); kept != nil {
		return kept
	}
	if kept := r.keptBy(j, j.over(now)); kept != nil {
		return kept
	}
	if c.DryRun {
		return &refusal{status: handlers.DryRun, verdict: handlers.NotRun}
	}
	return nil
}

// forbidden says why a command may never be called; nil: it may.
func (r *road) forbidden(c *command.Command) *refusal {
	switch {
	case c.Account != r.home.Account && r.o.Role == "":
		return deniedByPolicy("account", fmt.Sprintf(
			"account %s is not the worker's own (%s) and no role is configured (RESCIND_ROLE)", c.Account, r.home.Account))
	case !slices.Contains(r.o.Regions, c.Region):
		return deniedByPolicy("region", fmt.Sprintf(
			"region %s is not one of those allowed (RESCIND_REGIONS: %v)", c.Region, r.o.Regions))
	}
	return nil
}

// keptBy is the refusal that time running out comes to, or receives running out; nil for every
// other reason.
func (r *road) keptBy(j *journey, why error) *refusal {
	switch {
	case errors.Is(why, errPatience) && lastChance(j.lease):
		return gaveUp(fmt.Sprintf("the queue would have buried the message (receive %d of %d)", j.lease.ReceiveCount, j.lease.MaxReceives))
	case errors.Is(why, errExpired):
		return expired(j.command.ExpiresAt)
	case errors.Is(why, errGaveUp):
		return gaveUp(fmt.Sprintf("the message was %s old (RESCIND_GIVE_UP)", r.giveUps[j.lease.QueueURL]))
	}
	return nil
}

func deniedByPolicy(field, message string) *refusal {
	return &refusal{status: handlers.Denied, verdict: handlers.NotRun, code: codePolicyDenied, message: field + ": " + message}
}

func expired(at time.Time) *refusal {
	return &refusal{
		status: handlers.Expired, verdict: handlers.NotRun, code: "Expired",
		message: "expiresAt (" + at.UTC().Format(time.RFC3339Nano) + ") came before a cancelling call could begin",
	}
}

// gaveUp is what ends a command without its end being known, because of what.
func gaveUp(because string) *refusal {
	return &refusal{status: handlers.Failed, verdict: handlers.NotStopped, code: outcome.CodeGaveUp, message: because}
}
