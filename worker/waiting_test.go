package worker_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// Commands that wait for proof, more than may be in flight, slow no other service; of 20,000 each costs at most two SQS
// requests a minute, outlast a restart, and none is called twice.
func TestManyThatWaitForProofSlowNobody(t *testing.T) {
	t.Parallel()
	const span = 40 * time.Second
	n := size(150_000, 500)
	iot := starving{arrival: iotExecution}
	settings := []setting{isolated, stopsAfter(20 * time.Minute), func(_ *awssim.Options, w *worker.Options) {
		w.MaxInFlight = size(worker.DefaultMaxInFlight, 50)
	}}
	var alone time.Duration
	inBubble(t, func(r *rig) { _, alone = r.arrive(iot, span) }, settings...)
	var again worker.Options
	inBubble(t, func(r *rig) {
		bodies := make([]string, n)
		for i := range bodies {
			bodies[i] = asking(batchJob("b", "us-east-1")(r, i), `"confirm":"1h"`)
		}
		r.send(bodies...)
		for r.sim.Counts()["batch:CancelJobs"].Items < int64(n) {
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		time.Sleep(3 * time.Minute)
		before, began := r.calls("sqs"), time.Now()
		_, late := r.arrive(iot, span)
		each := float64(r.calls("sqs")-before) / float64(n) / time.Since(began).Minutes()
		t.Logf("p99 %s, and %s alone; %.2f SQS requests a command and minute; %+v", late, alone, each, r.sim.Depth(r.queue))
		if float64(late) > 1.5*float64(alone) {
			t.Errorf("99 %% of the others took %s, and %s alone", late, alone)
		}
		if each > 2 && n >= 20_000 { // of fewer, not as many share requests
			t.Errorf("%.2f SQS requests a command and minute", each)
		}
		r.must(r.stop())
		r.start(again)
		for r.sim.Depth(r.queue) != (awssim.Depth{}) {
			time.Sleep(time.Minute)
			synctest.Wait()
			if time.Since(began) > 2*time.Hour {
				t.Fatalf("%+v are left two hours later", r.sim.Depth(r.queue))
			}
		}
		ended := 0
		for id, d := range r.outcomes() { // which checks that each has one
			if strings.HasPrefix(id, "b-") && d.Status == handlers.Cancelled {
				ended++
			}
		}
		calls := r.sim.Counts()["batch:CancelJobs"]
		if again := calls.Items - int64(n); ended != n || again > 50*calls.Throttled {
			t.Errorf("%d of %d are cancelled, and %d jobs were called again, in %d throttled calls", ended, n, again, calls.Throttled)
		}
	}, append(settings, func(_ *awssim.Options, w *worker.Options) { again = *w })...)
}
