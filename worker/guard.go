package worker

import (
	"fmt"
	"slices"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/outcome"
)

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
	switch {
	case c.Account != r.home.Account && r.o.Role == "":
		return deniedByPolicy("account", fmt.Sprintf(
			"account %s is not the worker's own (%s) and no role is configured (RESCIND_ROLE)", c.Account, r.home.Account))
	case !slices.Contains(r.o.Regions, c.Region):
		return deniedByPolicy("region", fmt.Sprintf(
			"region %s is not one of those allowed (RESCIND_REGIONS: %v)", c.Region, r.o.Regions))
	case r.gaveUp(j, now):
		return gaveUp(r.giveUps[j.lease.QueueURL])
	case !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt):
		return expired(c.ExpiresAt)
	case c.DryRun:
		return &refusal{status: handlers.DryRun, verdict: handlers.NotRun}
	}
	return nil
}

func deniedByPolicy(field, message string) *refusal {
	return &refusal{status: handlers.Denied, verdict: handlers.NotRun, code: "PolicyDenied", message: field + ": " + message}
}

func expired(at time.Time) *refusal {
	return &refusal{
		status: handlers.Expired, verdict: handlers.NotRun, code: "Expired",
		message: "expiresAt (" + at.UTC().Format(time.RFC3339Nano) + ") came before a cancelling call could begin",
	}
}

func gaveUp(after time.Duration) *refusal {
	return &refusal{
		status: handlers.Failed, verdict: handlers.NotStopped, code: outcome.CodeGaveUp,
		message: fmt.Sprintf("no acceptance before the message was %s old (RESCIND_GIVE_UP)", after),
	}
}

func (r *road) gaveUp(j *journey, now time.Time) bool {
	after := r.giveUps[j.lease.QueueURL]
	return after > 0 && !now.Before(j.lease.SentAt.Add(after))
}
