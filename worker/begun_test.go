package worker_test

import (
	"context"
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

// counted is a ledger that counts the commands of which it is written that calls begin.
type counted struct {
	ledger.Ledger
	begun atomic.Int64
}

func (c *counted) Progress(ctx context.Context, updates ...ledger.Update) []error {
	c.begun.Add(int64(len(updates)))
	return c.Ledger.Progress(ctx, updates...)
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
		if s.begun.Load() == 0 {
			t.Error("the ledger has no record that a call begins: the test shows nothing")
		}
		if n := r.sim.Counts()["batch:CancelJobs"].Requests; n != 0 {
			t.Errorf("%d calls under a claim that was over, of a command that another worker had ended", n)
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
		if begun := u.begun.Load(); begun != 1 {
			t.Errorf("within its lease %d writes say that calls begin, want one", begun)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if u.begun.Load() < 2 {
			t.Error("nothing was asked of the ledger before calls after the end of the lease")
		}
		r.sim.SetFaults(nil)
		if got := r.settled(1, time.Hour)["one"]; got.Status != handlers.Cancelled {
			t.Errorf("the outcome says %s", got.Status)
		}
	})
}
