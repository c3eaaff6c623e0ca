package worker

import (
	"context"
	"time"

	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/queue"
)

// guardFirst is a defect, and no part of a worker that runs: it ends a command that a guard
// refuses without asking the ledger how far it came.
func (r *road) guardFirst(ctx context.Context, l *queue.Lease, c *command.Command) bool {
	j := r.newJourney(l, c, &claimed{Claim: &ledger.Claim{Token: ledger.Token{Key: c.Key()}}}, nil)
	kept := r.guard(j, time.Now())
	if kept == nil {
		return false
	}
	for _, t := range j.targets {
		t.end(kept.answer())
	}
	o, err := r.describe(j, nil)
	if err != nil {
		return false
	}
	r.report(ctx, l, o, nil)
	return true
}

// throttled is how often the journey was throttled, which is nothing to end a command for.
func (j *journey) throttled() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.attempts.Throttled
}
