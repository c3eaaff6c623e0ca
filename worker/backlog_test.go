package worker_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// A backlog beyond SQS's 120,000 messages in flight, of a lane that is starved or down, keeps nobody else
// waiting, and ends once it is served.
func TestABacklogBeyondWhatMayBeInFlight(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		n       int
		backlog func(r *rig, i int) string
		starve  func(r *rig, on bool)
		status  handlers.Status
	}{
		{"EMR is starved", size(200_000, 1000), emrStep, func(r *rig, on bool) {
			quota := awssim.Quota{Rate: 0.5, Burst: 10}
			if on {
				quota = awssim.Quota{Rate: 0.02, Burst: 1}
			}
			r.sim.SetQuota("elasticmapreduce:CancelSteps", quota)
		}, handlers.Accepted},
		{"Batch is down", size(150_000, 1000), batchJob("b", "us-east-1"), func(r *rig, on bool) {
			r.sim.SetDown("batch", on)
		}, handlers.Cancelled},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				row.starve(r, true)
				bodies := make([]string, row.n)
				for i := range bodies {
					bodies[i] = row.backlog(r, i)
				}
				r.send(bodies...)
				time.Sleep(time.Minute) // all of it was received once
				began := time.Now()
				for i := range 50 {
					r.send(iotExecution(r, i))
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				_, took := r.latencies("a-")
				if len(took) != 50 {
					t.Fatalf("%d of 50 commands of another service have outcomes after a minute", len(took))
				}
				first, last := took[0], took[0]
				for _, d := range took {
					first, last = min(first, d), max(last, d)
				}
				t.Logf("first %s, last %s after they were sent; in flight %d", first, last, r.sim.Depth(r.queue).InFlight)
				if first > 2*time.Second || last > 10*time.Second {
					t.Errorf("first after %s and last after %s, want 2 s and 10 s", first, last)
				}
				row.starve(r, false)
				for r.sim.Depth(r.queue) != (awssim.Depth{}) {
					time.Sleep(30 * time.Second)
					synctest.Wait()
					if time.Since(began) > 6*time.Hour {
						t.Fatalf("%+v are left six hours later", r.sim.Depth(r.queue))
					}
				}
				t.Logf("the backlog was done after %s", time.Since(began))
				ended := 0
				for id, d := range r.outcomes() { // which checks that each has one
					if strings.HasPrefix(id, "b-") && d.Status == row.status {
						ended++
					}
				}
				if ended != row.n {
					t.Errorf("%d of %d ended as %s", ended, row.n, row.status)
				}
			}, func(s *awssim.Options, w *worker.Options) {
				s.Latency, s.History = 20*time.Millisecond, false
				w.MaxInFlight = size(worker.DefaultMaxInFlight, 150)
			})
		})
	}
}

// A queue that allows three receives, through an hour of throttling, ten minutes of outage and five workers
// that die: nothing is dead-lettered, and every command has one outcome.
func TestThreeReceivesAreEnough(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		var err error
		r.queue, r.deadLetters, err = r.sim.CreateQueueWithDeadLetters("three", 3, nil)
		r.must(err)
		r.sim.SetQuota("batch:*", awssim.Quota{Rate: 0.01, Burst: 1})
		n := size(500, 150)
		bodies := make([]string, n)
		for i := range bodies {
			bodies[i] = batchJob("b", "us-east-1")(r, i)
		}
		r.send(bodies...)
		for i := range 6 {
			o := worker.Options{MaxInFlight: n * 2 / 5}
			cut := &cutOff{HTTPClient: r.sim.Config().HTTPClient}
			o.AWS = r.sim.Config()
			o.AWS.HTTPClient = cut
			r.start(o)
			if i == 5 {
				break
			}
			time.Sleep([]time.Duration{20 * time.Second, 40 * time.Second, 10 * time.Minute, 20 * time.Minute, 29 * time.Minute}[i])
			cut.dead.Store(true) // from here on nothing it does reaches AWS, as when it is killed
			_ = r.stop()         // what it could not settle remains in flight until its leases end
			synctest.Wait()
		}
		r.sim.SetDown("batch", true)
		time.Sleep(10 * time.Minute)
		r.sim.SetDown("batch", false)
		r.sim.SetQuota("batch:*", awssim.Quota{Rate: 50, Burst: 100})
		got := r.settled(n, 2*time.Hour)
		if want := fmt.Sprintf("cancelled:%d", n); tally(got) != want {
			t.Errorf("%s, want %s", tally(got), want)
		}
		if dead := r.sim.Messages(r.deadLetters); len(dead) > 0 {
			t.Errorf("%d messages are in the dead-letter queue", len(dead))
		}
	}, isolated)
}

// cutOff is a client whose requests reach nobody once it is dead.
type cutOff struct {
	aws.HTTPClient
	dead atomic.Bool
}

var errCutOff = errors.New("cut off")

func (c *cutOff) Do(r *http.Request) (*http.Response, error) {
	if c.dead.Load() {
		return nil, errCutOff
	}
	return c.HTTPClient.Do(r)
}
