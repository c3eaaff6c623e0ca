package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

// inFlight is how many messages the worker holds, by its own metric.
func (r *rig) inFlight() int {
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

// TestTwoMinutesWithoutAndBackAtFullSpeed stops for two minutes, under load, what a worker
// cannot do without: nothing is lost, no more messages are in flight than the window allows, and
// ten seconds later commands are done as fast as they come, the backlog too.
func TestTwoMinutesWithoutAndBackAtFullSpeed(t *testing.T) {
	t.Parallel()
	var (
		each   = size(40, 10) // commands a second
		window = 25 * each
	)
	const (
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
				bodies := r.fleet(int((before+outage+after)/time.Second) * each)
				sent := 0
				feed := func(d time.Duration) {
					for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
						r.send(bodies[sent : sent+each]...)
						sent += each
						if inFlight := r.inFlight(); inFlight > window {
							t.Fatalf("%d messages are in flight, and the window is %d", inFlight, window)
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
				if left := r.sim.Depth(r.queue).Visible + r.inFlight(); left > 2*each {
					t.Errorf("30 s after the outage %d messages wait or are in flight", left)
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

// TestWhatAlwaysFailsIsNoOutageToNewcomers leaves a lane with nothing but targets that fail for ever, more of
// them than are given a place without a question. Its service counts as down, and good commands that
// come then are let in to show that it is not.
func TestWhatAlwaysFailsIsNoOutageToNewcomers(t *testing.T) {
	for _, f := range faultyServices() {
		if f.service != "batch" && f.service != "iot" && f.service != "stepfunctions" {
			continue
		}
		for _, good := range []int{1, 4, 30} {
			if f.service == "batch" && good == 30 {
				continue // the fifth waits for the lane's measured pace, which those that fail make slow
			}
			t.Run(fmt.Sprintf("%s, %d", f.service, good), func(t *testing.T) {
				inBubble(t, func(r *rig) {
					r.sim.SetFaults(awssim.Faults{f.signing + ":*": {Broken: 1, Match: func(item string) bool { return strings.Contains(item, "bad") }}})
					var bad, fine []string
					for i := range 17 {
						bad = append(bad, f.put(r.sim, fmt.Sprintf("bad-%d", i), 1000+i))
					}
					for i := range good {
						fine = append(fine, f.put(r.sim, fmt.Sprintf("good-%d", i), i))
					}
					r.send(bad...)
					time.Sleep(4 * time.Minute) // within the patience
					r.send(fine...)
					// A few come back soon to show that it is no outage; the rest wait a quarter of its length.
					within := 30 * time.Second
					if good > 20 {
						within = 90 * time.Second
					}
					time.Sleep(within)
					_, took := r.latencies("good-")
					if len(took) != good {
						t.Fatalf("after %s %d of %d good ones have outcomes", within, len(took), good)
					}
					t.Logf("took %v at most", slices.Max(took))
				}, func(s *awssim.Options, w *worker.Options) {
					s.Latency, s.History = 20*time.Millisecond, false
					w.GiveUp = 2 * time.Hour
				})
			})
		}
	}
}
