package worker_test

import (
	"context"
	"fmt"
	"slices"
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

func (c *counted) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
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

// slow is a ledger whose first claim is heard of only after another worker has had the command.
type slow struct {
	counted
	t    *testing.T
	done bool
}

func (s *slow) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	c, err := s.counted.Claim(ctx, e, lease)
	if s.done {
		return c, err
	}
	s.done = true
	time.Sleep(lease + time.Second) // the process stands still
	other, failed := s.Ledger.Claim(ctx, e, lease)
	if failed != nil || other.State != ledger.Claimed || !other.Resumed {
		s.t.Errorf("the other worker's claim: %+v, %v", other, failed)
	}
	if err := s.Complete(ctx, other.Token, []byte(`{}`)); err != nil {
		s.t.Error(err)
	}
	return c, err
}

// Who stands still while a claim is answered calls nothing under it once it is over.
func TestASleeperDoesNotCall(t *testing.T) {
	inBubble(t, func(r *rig) {
		s := &slow{t: t}
		r.must(r.stop())
		r.startOn(worker.Options{}, func(l ledger.Ledger) ledger.Ledger { s.Ledger = l; return s })
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(cancelJob("one", "job"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s.byClaim.Load() == 0 {
			t.Error("no claim said that a call begins: the test shows nothing")
		}
		if n := r.sim.Counts()["batch:CancelJobs"].Requests; n != 0 {
			t.Errorf("%d calls under a claim that was over, of a command that another worker had ended", n)
		}
	})
}

// released is a ledger whose first claim finds that the key was claimed, and released uncalled.
type released struct {
	counted
	done bool
}

func (s *released) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	if !s.done {
		s.done = true
		c, err := s.Ledger.Claim(ctx, ledger.Entry{Key: e.Key, Fingerprint: e.Fingerprint}, lease)
		if err != nil {
			return c, err
		}
		if err := s.Release(ctx, ledger.Update{Token: c.Token}); err != nil {
			return c, err
		}
	}
	return s.counted.Claim(ctx, e, lease)
}

func TestAResumedClaimDoesNotSayThatCallsBegin(t *testing.T) {
	inBubble(t, func(r *rig) {
		var s released
		r.must(r.stop())
		r.startOn(worker.Options{}, func(l ledger.Ledger) ledger.Ledger { s.Ledger = l; return &s })
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(cancelJob("one", "job"))
		if got := r.settled(1, time.Hour)["one"]; got.Status != handlers.Cancelled {
			t.Errorf("the outcome says %s", got.Status)
		}
		if n := s.later.Load(); n != 1 {
			t.Errorf("%d writes say that the resumed command's call begins, want 1", n)
		}
	})
}

// unrenewed is a ledger that renews nothing.
type unrenewed struct{ counted }

func (u *unrenewed) Renew(_ context.Context, _ time.Duration, tokens ...ledger.Token) []error {
	return slices.Repeat([]error{errDown}, len(tokens))
}

// A call under a claim that may be over asks the ledger first, whatever the claim said.
func TestALaterCallUnderAClaimThatIsNotRenewedAsksFirst(t *testing.T) {
	inBubble(t, func(r *rig) {
		var u unrenewed
		r.must(r.stop())
		r.startOn(worker.Options{}, func(l ledger.Ledger) ledger.Ledger { u.Ledger = l; return &u })
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.sim.SetFaults(awssim.Faults{"batch:CancelJobs": {Broken: 1}})
		r.send(cancelJob("one", "job"))
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if byClaim, later := u.byClaim.Load(), u.later.Load(); byClaim != 1 || later != 0 {
			t.Errorf("within its lease %d claims and %d writes say that calls begin, want the claim alone", byClaim, later)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if u.later.Load() == 0 {
			t.Error("nothing was asked of the ledger before calls after the end of the lease")
		}
		r.sim.SetFaults(nil)
		if got := r.settled(1, time.Hour)["one"]; got.Status != handlers.Cancelled {
			t.Errorf("the outcome says %s", got.Status)
		}
	})
}
