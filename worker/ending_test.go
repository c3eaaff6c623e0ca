package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/batch"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
)

// expiring is a command for one job that expires after a while.
func expiring(in time.Duration) string {
	return fmt.Sprintf(`{"id":"one","action":"batch:CancelJob","parameters":{"jobId":"job","reason":"r"},"expiresAt":%q}`,
		time.Now().Add(in).UTC().Format(time.RFC3339))
}

// panickingAfter carries the first call out, and then panics.
type panickingAfter struct {
	handlers.Handler
	calls *atomic.Int64
}

func (p panickingAfter) Cancel() handlers.Call[handlers.Answer] {
	call := p.Handler.Cancel()
	do := call.Do
	call.Do = func(ctx context.Context, at handlers.Location, targets []handlers.Target) []handlers.Answer {
		answers := do(ctx, at, targets)
		if p.calls.Add(1) == 1 {
			panic("after the call")
		}
		return answers
	}
	return call
}

func TestAPanicAfterTheCallForgetsNoCall(t *testing.T) {
	var calls atomic.Int64
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(expiring(time.Second))
		d := r.settled(1, time.Hour)["one"]
		if d.Status != handlers.Cancelled {
			t.Errorf("we cancelled it, panicked, and it expired: got %s/%s %+v", d.Status, d.Verdict, d.Targets)
		}
	}, func(_ *awssim.Options, w *worker.Options) {
		w.Services = []worker.Service{func(config func(handlers.Location) aws.Config) []handlers.Handler {
			all := batch.New(config)
			for i, h := range all {
				all[i] = panickingAfter{h, &calls}
			}
			return all
		}}
	})
}

// stuck is a ledger whose Progress fails while down is set.
type stuck struct {
	ledger.Ledger
	down *atomic.Bool
}

func (s stuck) Progress(ctx context.Context, u ...ledger.Update) []error {
	if !s.down.Load() {
		return s.Ledger.Progress(ctx, u...)
	}
	errs := make([]error, len(u))
	for i := range errs {
		errs[i] = errDown
	}
	return errs
}

func TestNoCallBeginsAfterExpiryHoweverLongTheLedgerTakes(t *testing.T) {
	var down atomic.Bool
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		r.startOn(worker.Options{}, func(l ledger.Ledger) ledger.Ledger { return stuck{l, &down} })
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		down.Store(true)
		r.send(expiring(10 * time.Second))
		time.Sleep(2 * time.Minute)
		down.Store(false)
		d := r.settled(1, time.Hour)["one"]
		if d.Status != handlers.Expired || d.Verdict != handlers.NotRun {
			t.Errorf("got %s/%s %+v", d.Status, d.Verdict, d.Targets)
		}
		if n := r.sim.Counts()["batch:CancelJobs"].Requests; n != 0 {
			t.Errorf("%d cancelling calls began after expiry", n)
		}
	})
}

func TestOfExpiryAndGiveUpTheEarlierCounts(t *testing.T) {
	for _, row := range []struct {
		expires, giveUp time.Duration
		want            handlers.Status
		code            string
	}{
		{10 * time.Second, time.Hour, handlers.Expired, "Expired"},
		{90 * time.Minute, time.Hour, handlers.Failed, "GaveUp"},
	} {
		inBubble(t, func(r *rig) {
			r.must(r.stop())
			r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
			r.send(expiring(row.expires))
			time.Sleep(2 * time.Hour)
			r.start(worker.Options{GiveUp: row.giveUp})
			if d := r.settled(1, time.Hour)["one"]; d.Status != row.want || d.Code != row.code {
				t.Errorf("expiry %s, give-up %s: got %s %s %q", row.expires, row.giveUp, d.Status, d.Code, d.Message)
			}
			if n := r.calls("batch"); n != 0 {
				t.Errorf("%d calls were made", n)
			}
		})
	}
}

// What was called before its expiresAt, and whose state cannot be read ever after, is given up too.
func TestExpiredAndUnreadableIsGivenUp(t *testing.T) {
	for _, expires := range []time.Duration{0, 10 * time.Second, 40 * time.Minute, 59 * time.Minute} {
		inBubble(t, func(r *rig) {
			r.must(r.stop())
			r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
			r.sim.Break(awssim.Failure{Service: "batch", Item: "job", Kind: awssim.Broken})
			r.start(worker.Options{GiveUp: time.Hour})
			if expires == 0 {
				r.send(cancelJob("one", "job"))
			} else {
				r.send(expiring(expires))
			}
			began := time.Now()
			d := r.settled(1, 2*time.Hour)["one"]
			if d.Status != handlers.Failed || d.Code != "GaveUp" || time.Since(began) < time.Hour {
				t.Errorf("expires after %s: after %s got %s %s %q", expires, time.Since(began), d.Status, d.Code, d.Message)
			}
		})
	}
}

// poisoned is a ledger in which one record cannot be read.
type poisoned struct{ ledger.Ledger }

func (p poisoned) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	if e.Key == "poison" {
		return nil, fmt.Errorf("claiming: %w: %w", ledger.ErrUnreadable, errors.New("unknown member"))
	}
	return p.Ledger.Claim(ctx, e, lease)
}

func TestOneUnreadableRecordStopsNobodyElse(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		r.startOn(worker.Options{GiveUp: time.Hour}, func(l ledger.Ledger) ledger.Ledger { return poisoned{l} })
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNABLE"})
		r.send(cancelJob("poison", "job"))
		time.Sleep(time.Second)
		r.send(r.fleet(100)...)
		time.Sleep(time.Minute)
		if got := tally(r.outcomes()); got != "cancelled:100" {
			t.Errorf("after a minute: %s, want the others cancelled and the one held back", got)
		}
		d := r.settled(101, 2*time.Hour)["poison"]
		if d.Status != handlers.Failed || d.Code != "Internal" || d.Action != "batch:CancelJob" {
			t.Errorf("got %s %s %q of %q", d.Status, d.Code, d.Message, d.Action)
		}
		if n := len(r.sim.Messages(r.deadLetters)); n != 1 {
			t.Errorf("%d messages are dead-lettered, want the one whose record cannot be read", n)
		}
	})
}

func TestWhatWasBegunIsReadBeforeItIsGivenUp(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		r.start(worker.Options{GiveUp: time.Hour})
		const n = 300
		r.sim.SetFaults(awssim.Faults{"batch:CancelJobs": {Lost: 1}})
		r.send(r.fleet(n)...)
		time.Sleep(10 * time.Second)
		r.must(r.stop())
		cancelled := 0
		for _, j := range r.sim.Jobs() {
			if j.State == "FAILED" {
				cancelled++
			}
		}
		r.sim.SetFaults(nil)
		time.Sleep(2 * time.Hour)
		r.start(worker.Options{GiveUp: time.Hour})
		want := fmt.Sprintf("cancelled:%d failed:%d", cancelled, n-cancelled)
		if cancelled == n {
			want = fmt.Sprintf("cancelled:%d", n)
		}
		if got := tally(r.settled(n, time.Hour)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 50 * time.Millisecond })
}

func TestQueuesThatWouldLoseCommandsAreRefused(t *testing.T) {
	inBubble(t, func(r *rig) {
		alone, err := r.sim.CreateQueue("alone", nil)
		r.must(err)
		fifo, err := r.sim.CreateQueue("line.fifo", map[string]string{"FifoQueue": "true"})
		r.must(err)
		for _, row := range []struct {
			o    worker.Options
			says string
		}{
			{worker.Options{QueueURLs: []string{alone}}, "RESCIND_DLQ_URL"},
			{worker.Options{QueueURLs: []string{fifo}}, "FIFO"},
			{worker.Options{QueueURLs: []string{r.queue, r.queue}}, "twice"},
		} {
			row.o.TopicARN, row.o.Ledger, row.o.AWS = r.topic, r.ledger, r.sim.Config()
			if _, err := worker.New(r.t.Context(), row.o); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v: got %v, want an error with %q", row.o.QueueURLs, err, row.says)
			}
		}
	})
}
