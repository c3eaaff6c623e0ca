package worker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

const listThings = "iot:ListJobExecutionsForJob"

// things sends commands for n job executions of one job, which are listed as reads by id are behind.
func (r *rig) things(n int) {
	bodies := make([]string, n)
	for i := range bodies {
		r.sim.PutJobExecutions(awssim.JobExecution{Thing: fmt.Sprintf("t-%d", i), Job: "j"})
		bodies[i] = fmt.Sprintf(`{"id":"i%d","action":"iot:CancelJobExecution","confirm":"30m","parameters":{"thingName":"t-%d","jobId":"j"}}`, i, i)
	}
	r.send(bodies...)
}

// proved checks that each was cancelled, by one call.
func (r *rig) proved(n int, within time.Duration) {
	r.t.Helper()
	for id, d := range r.settled(n, within) {
		if d.Status != handlers.Cancelled {
			r.t.Errorf("%s is %s: %s", id, d.Status, d.Message)
		}
	}
	if c := r.sim.Counts()["iot:CancelJobExecution"]; c.Requests-c.Throttled != int64(n) {
		r.t.Errorf("%d cancelling calls, of which %d were throttled", c.Requests, c.Throttled)
	}
}

// Who may not list reads by id, and does not ask for the listing again before ten minutes have passed.
func TestWhatMayNotBeListedIsReadByID(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.Break(awssim.Failure{Service: "iot", Operation: "ListJobExecutionsForJob", Kind: awssim.Denied})
		r.things(200)
		r.proved(200, 10*time.Minute)
		if n := r.sim.Counts()[listThings].Requests; n != 1 {
			r.t.Errorf("%d listings were asked for", n)
		}
	}, stopsAfter(30*time.Second))
}

// A worker that is stopped while a listing hangs stops in time, and the next one finds the proof.
func TestADrainEndsAListingThatHangs(t *testing.T) {
	var settings worker.Options
	inBubble(t, func(r *rig) {
		mend := r.sim.Break(awssim.Failure{Service: "iot", Operation: "ListJobExecutionsForJob", Kind: awssim.NoAnswer})
		r.things(200)
		for r.sim.Counts()[listThings].Requests == 0 {
			time.Sleep(time.Second)
		}
		asked := time.Now()
		r.must(r.stop())
		if took := time.Since(asked); took > 10*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		mend()
		r.start(settings)
		r.proved(200, 20*time.Minute)
	}, stopsAfter(30*time.Second), func(_ *awssim.Options, o *worker.Options) { settings = *o })
}
