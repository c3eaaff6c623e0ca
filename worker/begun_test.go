package worker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// counted is a ledger that counts the commands whose claims say that calls begin, and those of
// which that is written afterwards.
type counted struct {
	ledger.Ledger
	byClaim, later atomic.Int64
}

func (c *counted) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (ledger.Claim, error) {
	if e.Begun {
		c.byClaim.Add(1)
	}
	return c.Ledger.Claim(ctx, e, lease)
}

func (c *counted) Progress(ctx context.Context, updates ...ledger.Update) []error {
	c.later.Add(int64(len(updates)))
	return c.Ledger.Progress(ctx, updates...)
}

// on runs a worker whose ledger is counted.
func (c *counted) on(r *rig, o worker.Options) {
	r.must(r.stop())
	r.startOn(o, func(l ledger.Ledger) ledger.Ledger { c.Ledger = l; return c })
}

// Where a call follows its claim at once, the claim says so and nothing else is written before it.
func TestTheClaimSaysThatCallsBeginWhereOneFollowsAtOnce(t *testing.T) {
	for name, row := range map[string]struct {
		command string
		quota   awssim.Quota
		before  int // commands that stand before it
		byClaim bool
	}{
		"an idle lane":                  {command: `{"id":"one","action":"batch:CancelJob","parameters":{"jobId":"job","reason":"r"}}`, byClaim: true},
		"it expires":                    {command: `{"id":"one","action":"batch:CancelJob","expiresAt":"2000-01-01T01:00:00Z","parameters":{"jobId":"job","reason":"r"}}`},
		"its target is to be found out": {command: `{"id":"one","action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":"w"}}`},
		"calls wait for tokens":         {command: cancelJob("one", "job"), quota: awssim.Quota{Rate: 0.1, Burst: 1}, before: 100},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				var c counted
				c.on(r, worker.Options{Quotas: worker.Quotas{"batch:CancelJobs": handlers.Quota{Rate: row.quota.Rate, Burst: float64(row.quota.Burst)}}})
				r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
				r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "run"})
				for i := range row.before {
					r.sim.PutJobs(awssim.Job{ID: fmt.Sprint("job ", i), State: "RUNNABLE"})
					r.send(cancelJob(fmt.Sprint("c-", i), fmt.Sprint("job ", i)))
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				byClaim, later := c.byClaim.Load(), c.later.Load()
				r.send(row.command)
				if got := r.settled(row.before+1, time.Hour)["one"]; got.Status != handlers.Cancelled && got.Status != handlers.Accepted {
					t.Errorf("the outcome says %s %+v", got.Status, got.Targets)
				}
				byClaim, later = c.byClaim.Load()-byClaim, c.later.Load()-later
				if row.byClaim && (byClaim != 1 || later != 0) {
					t.Errorf("%d claims say that a call begins, and %d writes do; want the claim alone", byClaim, later)
				}
				if !row.byClaim && (byClaim != 0 || later == 0) {
					t.Errorf("%d claims say that a call begins, and %d writes do; want a write", byClaim, later)
				}
			}, func(s *awssim.Options, _ *worker.Options) {
				s.Quotas = map[string]awssim.Quota{"batch:CancelJobs": row.quota}
			})
		})
	}
}
