package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

func TestACommandComesToItsOutcome(t *testing.T) {
	inBubble(t, func(r *rig) {
		const job = "1d828f65-7a4d-42e8-996d-3b900ed59dc4" // as on the API page of CancelJob
		r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
		r.send(cancelJob("one", job))
		d := r.settled(1, time.Minute)["one"]
		if d.Status != handlers.Cancelled || d.Verdict != handlers.Stopped || d.ConfirmedBy != "poll" {
			t.Errorf("got %s, %s by %s: want cancelled, stopped, by poll: %+v", d.Status, d.Verdict, d.ConfirmedBy, d)
		}
		if d.Attempts.Calls != 2 {
			t.Errorf("%d calls, want CancelJobs and DescribeJobs", d.Attempts.Calls)
		}
		if got, _ := r.sim.Job(job); got.Reason != "over budget" {
			t.Errorf("the job's reason is %q", got.Reason)
		}
	})
}

func TestTheSameCommandTwiceIsOneSetOfCalls(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		// At once, so that one finds the other held; and later, when it has ended.
		r.send(cancelJob("one", "job"), cancelJob("one", "job"))
		r.settled(1, 2*time.Minute)
		r.send(cancelJob("one", "job"))
		time.Sleep(time.Minute)
		synctest.Wait()
		bodies := r.published()
		if len(bodies) != 3 || bodies[0] != bodies[1] || bodies[1] != bodies[2] {
			t.Errorf("want three times the same outcome, got:\n%s", strings.Join(bodies, "\n"))
		}
		if n := r.sim.Counts()["batch:CancelJobs"].Requests; n != 1 {
			t.Errorf("%d cancelling calls, want 1", n)
		}
	})
}

func TestThousandsShareTheirRequests(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 2000
		bodies := make([]string, n)
		for i := range bodies {
			job := fmt.Sprintf("job-%d", i)
			r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
			bodies[i] = cancelJob(fmt.Sprintf("c-%d", i), job)
		}
		r.send(bodies...)
		if got := tally(r.settled(n, time.Hour)); got != fmt.Sprintf("cancelled:%d", n) {
			t.Error(got)
		}
		t.Logf("requests: %+v", r.sim.Counts())
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 5 * time.Millisecond })
}
