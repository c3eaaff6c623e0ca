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
		{1, 1, 1, 200 * time.Millisecond}, // nothing else is on its way
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
