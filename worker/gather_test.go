package worker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// EMR takes 256 steps a call, and gives a call in two seconds after the first ten: so many commands
// take as few calls as their clusters need, and no longer than those take.
func TestABurstTakesFewCalls(t *testing.T) {
	for _, row := range []struct {
		commands, clusters int
		calls              int64
		within             time.Duration
	}{
		{1, 1, 1, 700 * time.Millisecond}, // half a second is for others that do not come
		{100, 10, 10, 2 * time.Second},    // the bucket's tenth call is left to its margin
		{2000, 1, 8, time.Second},
		{2000, 10, 10, 2 * time.Second},
	} {
		t.Run(fmt.Sprint(row.commands, " over ", row.clusters), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.must(r.stop()) // so that all commands lie there before the worker begins
				bodies := make([]string, row.commands)
				for i := range bodies {
					cluster, step := fmt.Sprintf("j-%013d", i%row.clusters), fmt.Sprintf("s-%013d", i)
					r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: step})
					bodies[i] = fmt.Sprintf(`{"action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":[%q]}}`, cluster, step)
				}
				r.send(bodies...)
				began := time.Now()
				r.start(worker.Options{})
				r.settled(row.commands, time.Hour)
				took, calls := time.Since(began), r.sim.Counts()["elasticmapreduce:CancelSteps"].Requests
				if calls != row.calls || took > row.within {
					t.Errorf("%d calls and %v, want %d calls within %v", calls, took, row.calls, row.within)
				}
			}, func(s *awssim.Options, _ *worker.Options) { s.Latency, s.History = 20*time.Millisecond, false })
		})
	}
}

// What has little time left goes at once, however many others are on their way: nothing expires, or is put
// off again and again, to wait for others.
func TestWhatHasLittleTimeDoesNotWait(t *testing.T) {
	for name, patience := range map[string]time.Duration{"one expires": 0, "RESCIND_PATIENCE is short": time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				n := 0
				step := func() string {
					id := fmt.Sprintf("s-%013d", n)
					r.sim.PutSteps(awssim.Step{Cluster: "j-MANY", ID: id})
					n++
					return fmt.Sprintf(`{"id":"c-%d","action":"emr:CancelSteps","parameters":{"ClusterId":"j-MANY","StepIds":[%q]}}`, n, id)
				}
				r.sim.PutSteps(awssim.Step{Cluster: "j-ONE", ID: "s-ONE"})
				r.send(step(), step(), step()) // they flow, and the bucket is not empty yet
				time.Sleep(50 * time.Millisecond)
				expiry := ""
				if patience == 0 {
					expiry = fmt.Sprintf(`,"expiresAt":%q`, time.Now().Add(1500*time.Millisecond).UTC().Format(time.RFC3339Nano))
				}
				began := time.Now()
				r.send(fmt.Sprintf(`{"id":"one","action":"emr:CancelSteps"%s,"parameters":{"ClusterId":"j-ONE","StepIds":["s-ONE"]}}`, expiry))
				for range 60 {
					r.send(step(), step(), step())
					time.Sleep(50 * time.Millisecond)
				}
				one := r.settled(n+1, time.Hour)["one"]
				if took := one.FinishedAt.Sub(began); one.Status != "accepted" || took > time.Second {
					t.Errorf("it is %s after %v, want it to be accepted within a second", one.Status, took)
				}
			}, func(s *awssim.Options, w *worker.Options) {
				s.Latency, s.History, w.Patience = 20*time.Millisecond, false, patience
			})
		})
	}
}

// A second copy of a command that gathers ends with it, and not when the claim's lease ends.
func TestADuplicateDoesNotOutlastGathering(t *testing.T) {
	inBubble(t, func(r *rig) {
		step := func(i int) string {
			cluster, id := fmt.Sprintf("j-%013d", i%2), fmt.Sprintf("s-%013d", i)
			r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: id})
			return fmt.Sprintf(`{"id":"c-%d","action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":[%q]}}`, i, cluster, id)
		}
		began := time.Now()
		r.send(step(0), step(2)) // they flow
		time.Sleep(25 * time.Millisecond)
		r.send(step(0))
		for n := 2; time.Since(began) < 3*time.Second; n++ {
			r.send(step(2*n), step(2*n+1))
			time.Sleep(50 * time.Millisecond)
		}
		for r.sim.Depth(r.queue) != (awssim.Depth{}) {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the queue is empty after %v, want at most 10s", took)
		}
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
}
