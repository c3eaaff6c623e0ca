package worker_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// stalling is a ledger whose writes that calls begin are not answered until stalled is over.
type stalling struct {
	ledger.Ledger
	until atomic.Pointer[time.Time]
	begun atomic.Int64 // commands written while it stalled
}

func (s *stalling) Progress(ctx context.Context, updates ...ledger.Update) []error {
	if until := s.until.Load(); time.Now().Before(*until) {
		s.begun.Add(int64(len(updates)))
		time.Sleep(time.Until(*until))
	}
	return s.Ledger.Progress(ctx, updates...)
}

// After a time in which the ledger did not answer calls are as far apart as ever.
func TestTheQuotaIsNotExceededWhenTheLedgerHasStalled(t *testing.T) {
	const (
		n           = 100
		rate, burst = 1, 5
	)
	for name, stallAt := range map[string]time.Duration{"from the start": 0, "midway": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				s := &stalling{}
				from := time.Now().Add(stallAt)
				never := from.Add(-time.Hour)
				s.until.Store(&never)
				time.AfterFunc(stallAt, func() { until := time.Now().Add(time.Minute); s.until.Store(&until) })
				r.must(r.stop())
				r.sim.SetQuota("iot:CancelJobExecution", awssim.Quota{Rate: 1000, Burst: 1000}) // the worker paces, not AWS
				bodies := make([]string, n)
				for i := range bodies {
					bodies[i] = iotExecution(r, i)
				}
				r.send(bodies...)
				time.Sleep(time.Nanosecond) // the stall from the start has begun
				r.startOn(worker.Options{Quotas: worker.Quotas{"iot:CancelJobExecution": {Rate: rate, Burst: burst}}},
					func(l ledger.Ledger) ledger.Ledger { s.Ledger = l; return s })
				if got := tally(r.settled(n, time.Hour)); got != fmt.Sprintf("accepted:%d", n) {
					t.Errorf("outcomes: %s", got)
				}
				var calls []time.Time
				for _, each := range r.sim.History() {
					if each.Operation == "CancelJobExecution" {
						calls = append(calls, each.Began)
					}
				}
				slices.SortFunc(calls, time.Time.Compare)
				if len(calls) != n {
					t.Fatalf("%d calls, want %d", len(calls), n)
				}
				// The rate is probed upwards, by little in half a minute.
				after := slices.DeleteFunc(slices.Clone(calls), func(at time.Time) bool { return at.Sub(from) > 90*time.Second })
				for i := range after {
					for j := i; j < len(after); j++ {
						if span := after[j].Sub(after[i]); float64(j-i+1) > burst+1.2*rate*span.Seconds() {
							t.Fatalf("%d calls within %s, %s after the stall began", j-i+1, span, after[i].Sub(from))
						}
					}
				}
				if begun := s.begun.Load(); begun > 16 {
					t.Errorf("of %d commands was written in the stall that calls begin, want 16 at most", begun)
				}
			})
		})
	}
}
