package worker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/facts"
	"github.com/rescindhq/rescind/worker"
)

// TestBatchStatesToStatuses sends a command for a job in every state that facts/aws.json lists
// (core.batch.states), under both actions, through the whole pipeline.
func TestBatchStatesToStatuses(t *testing.T) {
	known := facts.Core()["batch"]
	for _, slow := range []bool{false, true} {
		for _, action := range []string{"CancelJob", "TerminateJob"} {
			for _, state := range known.States {
				want := handlers.NotCancellable // core.batch.cancellable: not listed, and not ended
				switch {
				case slices.Contains(known.Terminal, state):
					want = handlers.AlreadyEnded
				case slices.Contains(known.CancellableBy(action), state) && slow:
					want = handlers.Accepted
				case slices.Contains(known.CancellableBy(action), state):
					want = handlers.Cancelled
				}
				t.Run(fmt.Sprintf("%s/%s/slow=%t", action, state, slow), func(t *testing.T) {
					outcomeOf(t, action, awssim.Job{ID: "job", State: batch.State(state)}, slow, want)
				})
			}
			// core.batch.confirm: FAILED with a flag and another's reason was stopped before; an
			// id that DescribeJobs leaves out is unknown.
			for _, row := range []struct {
				name string
				job  awssim.Job
				want handlers.Status
			}{
				{"FAILED after another's cancel", awssim.Job{ID: "job", State: "FAILED", Cancelled: true, Reason: "not ours"}, handlers.AlreadyCancelled},
				{"FAILED after another's terminate", awssim.Job{ID: "job", State: "FAILED", Terminated: true, Reason: "not ours"}, handlers.AlreadyCancelled},
				{"unknown", awssim.Job{ID: "another"}, handlers.NotFound},
			} {
				t.Run(fmt.Sprintf("%s/%s/slow=%t", action, row.name, slow), func(t *testing.T) {
					outcomeOf(t, action, row.job, slow, row.want)
				})
			}
		}
	}
}

func outcomeOf(t *testing.T, action string, job awssim.Job, slow bool, want handlers.Status) {
	t.Helper()
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(job)
		r.send(fmt.Sprintf(`{"id":"one","action":"batch:%s","parameters":{"jobId":"job","reason":"over budget"}}`, action))
		d := r.settled(1, time.Minute)["one"]
		if d.Status != want || d.Verdict != want.Verdict() || d.Targets[0].ID != "job" {
			t.Errorf("got %s/%s %+v, want %s", d.Status, d.Verdict, d.Targets, want)
		}
		looks := int64(1)
		if want == handlers.NotFound || want == handlers.NotCancellable {
			looks = 5 // Batch took the request: what contradicts that has to last
		}
		if calls, reads := r.sim.Counts()["batch:"+action+"s"].Requests, r.sim.Counts()["batch:DescribeJobs"].Requests; calls != 1 || reads != looks {
			t.Errorf("%d calls and %d reads, want 1 and %d", calls, reads, looks)
		}
	}, func(s *awssim.Options, _ *worker.Options) {
		if slow {
			s.Batch.StopAfter = 48 * time.Hour
		}
	})
}
