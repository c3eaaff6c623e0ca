package worker_test

import (
	"context"
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
	"github.com/rescindhq/rescind/handlers/batch"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// fleet puts n RUNNABLE jobs in and returns a command for each.
func (r *rig) fleet(n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		job := fmt.Sprintf("job-%d", i)
		r.sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
		bodies[i] = cancelJob(fmt.Sprintf("c-%d", i), job)
	}
	return bodies
}

// panicking is a handler that panics where it meets the job "boom".
type panicking struct {
	handlers.Handler
	inTargets bool
}

func (p panicking) Targets(params handlers.Parameters) ([]handlers.Target, error) {
	if p.inTargets && params.Text("jobId") == "boom" {
		panic("in Targets")
	}
	return p.Handler.Targets(params)
}

func (p panicking) Cancel() handlers.Call[handlers.Answer] {
	call := p.Handler.Cancel()
	do := call.Do
	call.Do = func(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Answer {
		for _, t := range targets {
			if t.ID == "boom" {
				panic("in Do")
			}
		}
		return do(ctx, at, targets)
	}
	return call
}

func panickingBatch(inTargets bool) setting {
	return func(_ *awssim.Options, w *worker.Options) {
		w.Services = []worker.Service{func(config func(handlers.Location) aws.Config) []handlers.Handler {
			all := batch.New(config)
			for i, h := range all {
				all[i] = panicking{h, inTargets}
			}
			return all
		}}
	}
}

func TestAPanicEndsAfterThreeTriesAndHarmsNoOther(t *testing.T) {
	for _, inTargets := range []bool{false, true} {
		t.Run(fmt.Sprintf("inTargets=%t", inTargets), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.send(append(r.fleet(50), cancelJob("bad", "boom"))...)
				got := r.settled(51, time.Hour)
				var bad []string
				for id, d := range got {
					if d.Status == handlers.Cancelled {
						continue
					}
					bad = append(bad, id)
					if d.Status != handlers.Failed || d.Code != "Internal" || !strings.Contains(d.Message, "panic") || d.Verdict != handlers.NotStopped {
						t.Errorf("%s: got %s %s %q", id, d.Status, d.Code, d.Message)
					}
				}
				if len(bad) != 1 {
					t.Errorf("not cancelled: %v", bad)
				}
				dead := r.sim.Messages(r.deadLetters)
				if len(dead) != 1 || dead[0].Body != cancelJob("bad", "boom") {
					t.Errorf("%d messages are dead-lettered, want the one that panicked", len(dead))
				}
			}, panickingBatch(inTargets))
		})
	}
}

func TestDrainingFinishesCallsAndReleasesTheRestAtOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 1000
		r.send(r.fleet(n)...)
		time.Sleep(12 * time.Second) // 20 calls of up to 50 have begun, 1 a second is answered after 2
		synctest.Wait()
		began := time.Now()
		r.must(r.stop())
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("stopping took %s", took)
		}
		done := len(r.outcomes())
		depth := r.sim.Depth(r.queue)
		if depth.InFlight != 0 || depth.Delayed != 0 || depth.Visible != n-done {
			t.Errorf("%d of %d are done, and on the queue are %+v: want the rest, all visible", done, n, depth)
		}
		if done == 0 || done == n {
			t.Errorf("%d of %d were done before the stop: the test shows nothing", done, n)
		}
		taken := 0
		for _, q := range r.sim.History() {
			if q.Operation == "CancelJobs" && q.Status == http.StatusOK {
				taken += len(q.Items)
			}
		}
		if taken != done {
			t.Errorf("AWS took %d and %d are reported", taken, done)
		}
		r.start(worker.Options{})
		if got := tally(r.settled(n, time.Hour)); got != fmt.Sprintf("cancelled:%d", n) {
			t.Error(got)
		}
	}, func(s *awssim.Options, _ *worker.Options) {
		s.Latency = 500 * time.Millisecond
		s.Quotas = map[string]awssim.Quota{"batch:*": {Rate: 1, Burst: 1}}
	}, func(_ *awssim.Options, w *worker.Options) {
		w.Quotas = worker.Quotas{"batch:*": {Rate: 1, Burst: 1}}
	})
}

func TestAnOutageOfTheTopicStopsReceivingAndLosesNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 3000
		bodies := r.fleet(n)
		r.send(bodies[:500]...)
		time.Sleep(100 * time.Millisecond)
		r.sim.SetDown("sns", true)
		r.send(bodies[500:]...)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		var failed time.Time
		for _, q := range r.sim.History() {
			if q.Operation == "PublishBatch" && q.Status >= 500 && failed.IsZero() {
				failed = q.Ended
			}
			if q.Operation == "ReceiveMessage" && !failed.IsZero() && q.Began.After(failed.Add(2*time.Second)) {
				t.Errorf("a poll began %s after the first failed publish", q.Began.Sub(failed))
			}
		}
		if failed.IsZero() {
			t.Fatal("no publish failed: the test shows nothing")
		}
		if why := r.w.Ready()["results topic"]; why == nil {
			t.Errorf("readiness says %v", r.w.Ready())
		}
		if held := r.sim.Depth(r.queue); held.InFlight == 0 || held.Visible == 0 {
			t.Errorf("on the queue: %+v; want what was done waiting, and the rest visible", held)
		}
		time.Sleep(30 * time.Second)
		r.sim.SetDown("sns", false)
		up := time.Now()
		if got := tally(r.settled(n, time.Hour)); got != fmt.Sprintf("cancelled:%d", n) {
			t.Error(got)
		}
		if took := time.Since(up); took > 30*time.Second {
			t.Errorf("took %s after the topic was back", took)
		}
		if why := r.w.Ready(); len(why) != 0 {
			t.Errorf("readiness still says %v", why)
		}
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
}

// failing is a ledger that fails while down is set.
type failing struct {
	ledger.Ledger
	down *atomic.Bool
}

var errDown = errors.New("the disk is full")

func (f failing) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	if f.down.Load() {
		return nil, errDown
	}
	return f.Ledger.Claim(ctx, e, lease)
}

func (f failing) Complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	if f.down.Load() {
		return errDown
	}
	return f.Ledger.Complete(ctx, t, outcome)
}

func TestAnOutageOfTheLedgerStopsReceivingAndLosesNothing(t *testing.T) {
	var down atomic.Bool
	inBubble(t, func(r *rig) {
		down.Store(true)
		r.must(r.stop())
		wrap := func(l ledger.Ledger) ledger.Ledger { return failing{l, &down} }
		r.startOn(worker.Options{}, wrap)
		const n = 500
		r.send(r.fleet(n)...)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		polls := r.sim.Counts()["sqs:ReceiveMessage"].Requests
		time.Sleep(time.Minute)
		synctest.Wait()
		if more := r.sim.Counts()["sqs:ReceiveMessage"].Requests - polls; more != 0 {
			t.Errorf("%d polls began while the ledger was down", more)
		}
		if why := r.w.Ready()["ledger"]; !errors.Is(why, errDown) {
			t.Errorf("readiness says %v", r.w.Ready())
		}
		down.Store(false)
		if got := tally(r.settled(n, time.Hour)); got != fmt.Sprintf("cancelled:%d", n) {
			t.Error(got)
		}
	})
}

func TestFaultsOfBatchCostTimeAndNothingElse(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 2000
		r.send(r.fleet(n)...)
		got := r.settled(n, 6*time.Hour)
		if tally(got) != fmt.Sprintf("cancelled:%d", n) {
			t.Error(tally(got))
		}
		unavailable := 0
		for _, d := range got {
			unavailable += d.Attempts.Unavailable
		}
		if unavailable == 0 {
			t.Error("no call was unavailable: the test shows nothing")
		}
	}, func(s *awssim.Options, _ *worker.Options) {
		s.Latency = 20 * time.Millisecond
		s.Faults = awssim.Faults{
			"batch:*":          {Broken: 0.1, Doubtful: 0.1, Lost: 0.1, Unsent: 0.05, Items: 0.1, Slow: 0.1, SlowBy: 0},
			"sqs:*":            {Items: 0.05, Broken: 0.05, Lost: 0.02},
			"sns:PublishBatch": {Items: 0.05, Lost: 0.02},
		}
	})
}

func TestAHardStopResumesFromTheLedger(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.sim.SetFaults(awssim.Faults{"batch:CancelJobs": {Lost: 1}})
		r.send(cancelJob("one", "job"))
		time.Sleep(5 * time.Second) // taken by AWS, and never answered
		if err := r.stop(); err != nil {
			t.Logf("stopped hard: %v", err)
		}
		if j, _ := r.sim.Job("job"); j.State != "FAILED" || len(r.outcomes()) != 0 {
			t.Fatalf("the job is %s, and there are %d outcomes", j.State, len(r.outcomes()))
		}
		r.sim.SetFaults(nil)
		r.start(worker.Options{})
		d := r.settled(1, time.Hour)["one"]
		if d.Status != handlers.Cancelled || !d.Resumed {
			t.Errorf("got %s, resumed %t: %+v", d.Status, d.Resumed, d)
		}
	})
}

func TestABegunCommandPastItsExpiryIsReadAndNotCalled(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "reached", State: "RUNNABLE"}, awssim.Job{ID: "unreached", State: "RUNNABLE"})
		expires := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		command := func(id, job string) string {
			return fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":%q,"reason":%q},"expiresAt":%q}`, id, job, job, expires)
		}
		r.sim.SetFaults(awssim.Faults{"batch:CancelJobs": {Lost: 1, Match: func(item string) bool { return item == "reached" }}})
		r.send(command("one", "reached"))
		time.Sleep(time.Second)
		r.sim.SetFaults(awssim.Faults{"batch:CancelJobs": {Unsent: 1}})
		r.send(command("two", "unreached"))
		got := r.settled(2, time.Hour)
		if d := got["one"]; d.Status != handlers.Cancelled {
			t.Errorf("what arrived unanswered: got %s %s %+v", d.Status, d.Code, d.Targets)
		}
		if d := got["two"]; d.Status != handlers.Failed || d.Targets[0].Code != "Expired" || d.Verdict != handlers.NotStopped {
			t.Errorf("what never arrived: got %s %s %+v", d.Status, d.Code, d.Targets)
		}
	})
}
