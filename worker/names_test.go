package worker_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// series is how many metric series the worker has.
func (r *rig) series() (n int) {
	r.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	r.must(registry.Register(r.w.Metrics()))
	families, err := registry.Gather()
	r.must(err)
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}

// heap is how many bytes are in use.
func heap() uint64 {
	synctest.Wait()
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Accounts and regions that commands name make lanes, quotas, clients and metrics while they are in use, and no
// longer; and however many there are, metrics name a bounded number.
func TestMetricsAndMemoryOutlastNoNames(t *testing.T) {
	for _, row := range []struct {
		name string
		set  setting
		// region is that of the i-th command. Each names an account of its own.
		region func(i int) string
		n      int    // commands
		want   string // outcomes
		most   int    // series, at any time
	}{
		{"most are denied", func(*awssim.Options, *worker.Options) {}, func(i int) string { return fmt.Sprintf("eu-west-%d", i) }, size(10_000, 400), "denied", 100},
		{"a role for every account", func(_ *awssim.Options, w *worker.Options) {
			w.Role, w.Regions = "arn:aws:iam::{account}:role/rescind", []string{"us-east-1", elsewhere}
		}, func(i int) string { return []string{"us-east-1", elsewhere}[i%2] }, size(10_000, 400), "not_found", 6000},
		{"a role that no account has", func(_ *awssim.Options, w *worker.Options) {
			w.Role, w.GiveUp, w.Patience = "arn:aws:iam::{account}:role/rescind", 5*time.Minute, time.Minute
		}, func(int) string { return "us-east-1" }, size(300, 100), "failed", 6000},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				if row.want == "failed" {
					r.sim.SetFaults(awssim.Faults{"sts:AssumeRole": {Denied: 1}})
				}
				n := row.n
				command := func(id string, i int) string {
					return fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":"job-1","reason":"r"},"account":"%012d","region":%q}`, id, 500_000_000_000+i, row.region(i))
				}
				wave := func(prefix string, n int) (most int) {
					for i := 0; i < n; i += 100 {
						bodies := make([]string, 100)
						for j := range bodies {
							bodies[j] = command(fmt.Sprint(prefix, i+j), i+j)
						}
						r.send(bodies...)
						time.Sleep(time.Second)
						if i%1000 == 0 {
							most = max(most, r.series())
						}
					}
					for r.sim.Depth(r.queue) != (awssim.Depth{}) {
						time.Sleep(time.Second)
					}
					return max(most, r.series())
				}
				r.sim.PutJobs(awssim.Job{ID: "own", State: "RUNNABLE"})
				r.send(cancelJob("own", "own"))
				wave("first-", 100)
				time.Sleep(time.Hour)
				series, before := r.series(), heap()

				most := wave("c-", n)
				live := heap()
				time.Sleep(time.Hour)
				after := heap()
				t.Logf("%d series before, %d at most, %d after; heap %d KiB before, %d with all, %d after", series, most, r.series(), before>>10, live>>10, after>>10)
				if got := r.series(); got != series {
					t.Errorf("%d series an hour later, and %d before", got, series)
				}
				// The simulator's outcomes and accounts are in it: they take some 3 KiB a command; and there are up to a thousand peers.
				if grown := int(after>>10) - int(before>>10); grown > 8192+6*n {
					t.Errorf("the heap has grown by %d KiB", grown)
				}
				if most > row.most {
					t.Errorf("%d series at once, want at most %d", most, row.most)
				}
				got := r.outcomes()
				if len(got) != n+101 {
					t.Fatalf("%d outcomes, want %d", len(got), n+101)
				}
				if want := fmt.Sprintf("%s:%d", row.want, n+100); !strings.Contains(tally(got), want) {
					t.Errorf("outcomes: %s, want %s", tally(got), want)
				}
			}, row.set, func(s *awssim.Options, _ *worker.Options) { s.History = false })
		})
	}
}
