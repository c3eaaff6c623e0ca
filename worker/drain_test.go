package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// late is a ledger that takes its time to store an outcome, whatever becomes of the context.
type late struct {
	ledger.Ledger
	by time.Duration
}

func (s late) Complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	time.Sleep(s.by)
	return s.Ledger.Complete(ctx, t, outcome)
}

// The router's locks are taken while it closes, and who waits for a mutex stops virtual time: a handler that
// is still at work then would stop this test.
func TestWhatIsAtWorkAtTheEndOfTheDrainEndsBeforeTheRouterCloses(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		r.startOn(worker.Options{Drain: 5 * time.Second}, func(l ledger.Ledger) ledger.Ledger { return late{l, 10 * time.Second} })
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(cancelJob("one", "job"))
		time.Sleep(time.Second)
		began := time.Now()
		r.must(r.stop())
		if took := time.Since(began).Round(time.Second); took != 9*time.Second {
			t.Errorf("stopping took %s, want 9 s: until the handler was through", took)
		}
		if got := r.sim.Depth(r.queue); got.Visible != 1 {
			t.Errorf("on the queue are %+v, want the message, visible", got)
		}
	})
}

// A request that was refused as a whole waits for a read, which is another lane's.
func TestTheEndOfTheDrainEndsACallThatWaitsForAnotherLane(t *testing.T) {
	for range 8 { // which of the two lanes is closed first is chance
		inBubble(t, func(r *rig) {
			r.must(r.stop())
			r.start(worker.Options{Drain: 5 * time.Second})
			r.sim.SetFaults(awssim.Faults{"elasticmapreduce:DescribeStep": {Late: 1, LateBy: time.Hour}, "elasticmapreduce:ListSteps": {Late: 1, LateBy: time.Hour}})
			r.send(cancelSteps("all", append(r.steps(8), "s-UNKNOWN")...))
			time.Sleep(time.Second)
			began := time.Now()
			r.must(r.stop())
			if took := time.Since(began).Round(time.Second); took != 5*time.Second {
				t.Errorf("stopping took %s, want the drain's 5 s", took)
			}
		})
	}
}
