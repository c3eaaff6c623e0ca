package worker_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// broken is a ledger that fails whole while down is set.
type broken struct {
	failing
}

func (b broken) Progress(ctx context.Context, updates ...ledger.Update) []error {
	if !b.down.Load() {
		return b.Ledger.Progress(ctx, updates...)
	}
	errs := make([]error, len(updates))
	for i := range errs {
		errs[i] = errDown
	}
	return errs
}

func (b broken) Renew(ctx context.Context, lease time.Duration, tokens ...ledger.Token) []error {
	if !b.down.Load() {
		return b.Ledger.Renew(ctx, lease, tokens...)
	}
	errs := make([]error, len(tokens))
	for i := range errs {
		errs[i] = errDown
	}
	return errs
}

func (b broken) Release(ctx context.Context, u ledger.Update) error {
	if b.down.Load() {
		return errDown
	}
	return b.Ledger.Release(ctx, u)
}

// held is how many messages the worker holds, by its own metric.
func (r *rig) held() int {
	registry := prometheus.NewPedanticRegistry()
	r.must(registry.Register(r.w.Metrics()))
	families, err := registry.Gather()
	r.must(err)
	for _, f := range families {
		if f.GetName() == "rescind_messages_in_flight" {
			return int(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	r.t.Fatal("no metric of messages in flight")
	return 0
}

// TestTwoMinutesWithoutAndBackAtFullSpeed takes away for two minutes, under load, what a worker
// cannot do without, and gives it back: nothing is lost, no more is held than the window, and
// ten seconds later commands are done as fast as they come, the backlog too.
func TestTwoMinutesWithoutAndBackAtFullSpeed(t *testing.T) {
	const (
		each   = 40 // commands a second
		window = 1000
		before = 20 * time.Second
		outage = 2 * time.Minute
		after  = 30 * time.Second
	)
	var ledgerDown atomic.Bool
	half := awssim.Faults{"sqs:*": {Broken: 0.25, Lost: 0.25}}
	for _, test := range []struct {
		name string
		down func(r *rig, down bool)
	}{
		{"results topic", func(r *rig, down bool) { r.sim.SetDown("sns", down) }},
		{"ledger", func(_ *rig, down bool) { ledgerDown.Store(down) }},
		{"half of SQS", func(r *rig, down bool) {
			if down {
				r.sim.SetFaults(half)
			} else {
				r.sim.SetFaults(nil)
			}
		}},
		{"Batch", func(r *rig, down bool) { r.sim.SetDown("batch", down) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.must(r.stop())
				r.startOn(worker.Options{MaxInFlight: window}, func(l ledger.Ledger) ledger.Ledger {
					return broken{failing{l, &ledgerDown}}
				})
				bodies := r.fleet(int((before + outage + after) / time.Second * each))
				sent := 0
				feed := func(d time.Duration) {
					for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
						r.send(bodies[sent : sent+each]...)
						sent += each
						if held := r.held(); held > window {
							t.Fatalf("%d messages are held, and the window is %d", held, window)
						}
					}
				}
				feed(before)
				test.down(r, true)
				feed(outage)
				synctest.Wait()
				during := r.sim.Depth(outcomesQueue).Visible
				test.down(r, false)
				feed(10 * time.Second)
				at10 := r.sim.Depth(outcomesQueue).Visible
				feed(10 * time.Second)
				at20 := r.sim.Depth(outcomesQueue).Visible
				if done := at20 - at10; done < 9*each {
					t.Errorf("from 10 s after the outage on %d commands were done in 10 s, and %d came in that time", done, 10*each)
				}
				feed(10 * time.Second)
				// What a lost answer to a receive handed out comes back when its lease ends.
				if left := r.sim.Depth(r.queue).Visible + r.held(); left > 2*each {
					t.Errorf("30 s after the outage %d messages wait or are held", left)
				}
				t.Logf("sent %d; done at the end of the outage %d, 10 s later %d, 20 s later %d", sent, during, at10, at20)
				if got := tally(r.settled(sent, time.Hour)); got != fmt.Sprintf("cancelled:%d", sent) {
					t.Error(got)
				}
				if why := r.w.Ready(); len(why) != 0 {
					t.Errorf("readiness says %v", why)
				}
			}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond; s.History = false })
		})
	}
}
