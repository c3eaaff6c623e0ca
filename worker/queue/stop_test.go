package queue

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/rescindhq/rescind/internal/awssim"
)

// Stopping with much in hand: what was acked is gone, everything else is visible at once.
func TestStopLeavesEverythingVisible(t *testing.T) {
	virtual(t, awssim.Options{Latency: 5 * time.Millisecond}, func(w *world) {
		w.send(w.url, 1000)
		s := w.subscriber(w.client, Options{Drain: 5 * time.Second})
		ctx, cancel := context.WithCancel(context.Background())
		ch, err := s.Subscribe(ctx, w.url)
		w.must(err)
		c := collect(ch)
		advance(30 * time.Millisecond) // somewhere in the middle
		acked := 0
		for i, m := range c.take() {
			if i%2 == 0 {
				m.Ack()
				acked++
			} else {
				context.AfterFunc(m.Context(), func() { m.Nack() })
			}
		}
		if acked == 0 || acked > 499 {
			t.Fatalf("%d acked: not in the middle", acked)
		}
		s.StopReceiving()
		cancel()
		began := time.Now()
		w.must(s.Close())
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("stopping took %v", took)
		}
		w.wantBacklog(w.url, Backlog{Visible: 1000 - acked})
		for _, m := range c.take() {
			if m.Context().Err() == nil {
				t.Error("a message's context goes on after the hard stop")
			}
		}
	})
}

func TestStopReceiving(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		api := &spy{API: w.client}
		s := w.subscriber(api, Options{})
		ch := w.subscribe(s, w.url)
		synctest.Wait()
		s.StopReceiving()
		// Within the grace an open poll may still bring something: it is released.
		advance(pollGrace / 2)
		w.send(w.url, 3)
		w.nothing(ch)
		w.wantBacklog(w.url, Backlog{Visible: 3})
		advance(time.Minute)
		if st := s.Stats(); st.Polls != 1 || api.polls() != 0 || st.Released != 3 {
			t.Errorf("stats: %+v", st)
		}
		select {
		case <-ch:
			t.Error("the channel closed before the subscription's context ended")
		default:
		}
		w.must(s.Close())
		if _, open := <-ch; open {
			t.Error("the channel is open after Close")
		}
	})
}

// What waits for a reader when receiving stops is released.
func TestStopReleasesWhatWasNotHandedOut(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, batchMax)
		s := w.subscriber(w.client, Options{})
		ch := w.subscribe(s, w.url)
		m, _ := w.next(ch)
		s.StopReceiving()
		w.settled(s)
		w.wantBacklog(w.url, Backlog{Visible: batchMax - 1, Held: 1})
		m.Ack()
	})
}

func TestSubscriptionEndsWithItsContext(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		s := w.subscriber(w.client, Options{})
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), leaseKey{}, "outer"))
		ch, err := s.Subscribe(ctx, w.url)
		w.must(err)
		m, _ := w.next(ch)
		cancel()
		advance(2 * time.Second)
		if _, open := <-ch; open {
			t.Fatal("the channel is open")
		}
		if m.Context().Err() != nil {
			t.Error("the message's context ended with the subscription's")
		}
		m.Nack()
		// The Subscriber itself goes on.
		m, _ = w.next(w.subscribe(s, w.url))
		m.Ack()
	})
}

func TestCloseWaitsForTheDrainAndThenCutsOff(t *testing.T) {
	for _, row := range []struct{ endsAfter, want time.Duration }{
		{0, 10 * time.Second},
		{3 * time.Second, 13 * time.Second},
		{time.Minute, 10*time.Second + closeBound},
	} {
		t.Run(row.endsAfter.String(), func(t *testing.T) { testCutOff(t, row.endsAfter, row.want) })
	}
}

func testCutOff(t *testing.T, endsAfter, want time.Duration) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 2)
		s := w.subscriber(w.client, Options{Drain: 10 * time.Second})
		ch := w.subscribe(s, w.url)
		quick, _ := w.next(ch)
		stuck, _ := w.next(ch)
		began := time.Now()
		context.AfterFunc(stuck.Context(), func() {
			<-time.After(endsAfter)
			stuck.Ack() // too late, and harmless
		})
		time.AfterFunc(9*time.Second, func() {
			if quick.Context().Err() != nil {
				t.Error("cut off before the drain was over")
			}
			quick.Ack()
		})
		w.must(s.Close())
		if took := time.Since(began); took != want {
			t.Errorf("Close took %v, want %v", took, want)
		}
		if !errors.Is(stuck.Context().Err(), context.Canceled) {
			t.Error("the stuck handler was not cut off")
		}
		w.wantBacklog(w.url, Backlog{Visible: 1})
		advance(endsAfter)
	})
}

func TestCloseIsBounded(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 5)
		s := w.subscriber(w.client, Options{Drain: 10 * time.Second})
		c := collect(w.subscribe(s, w.url))
		if got := len(c.take()); got != 5 {
			t.Fatalf("%d received", got)
		}
		w.sim.SetHang("sqs", true)
		began := time.Now()
		if err := s.Close(); err == nil {
			t.Error("Close left messages and returned nil")
		}
		if took := time.Since(began); took != 10*time.Second+closeBound {
			t.Errorf("Close took %v", took)
		}
		w.sim.SetHang("sqs", false)
	})
}

// An extension that is under way must not hide a message that was released after it began.
func TestReleaseComesAfterExtension(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		s := w.subscriber(w.client, Options{})
		m, _ := w.next(w.subscribe(s, w.url))
		s.StopReceiving()
		advance(20 * time.Second)
		w.sim.SetFaults(awssim.Faults{"sqs:ChangeMessageVisibilityBatch": {Late: 1, LateBy: 5 * time.Second, Times: 1}})
		advance(11 * time.Second) // the extension is under way
		m.Nack()
		w.settled(s)
		w.wantBacklog(w.url, Backlog{Visible: 1})
		if got := w.requests("ChangeMessageVisibilityBatch"); got != 2 {
			t.Errorf("%d requests, want an extension and a release", got)
		}
	})
}

// The worker's stop under Watermill's router: what runs is finished and settled as recorded,
// what the router still has is released, nothing is lost.
func TestRouterStops(t *testing.T) {
	virtual(t, awssim.Options{Latency: 5 * time.Millisecond}, func(w *world) {
		w.send(w.url, 500)
		s := w.subscriber(w.client, Options{})
		router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Minute}, watermill.NopLogger{})
		w.must(err)
		var draining atomic.Bool
		var done atomic.Int64
		router.AddConsumerHandler("commands", w.url, s, func(m *message.Message) error {
			l := LeaseFrom(m.Context())
			if draining.Load() {
				l.Defer(0, false)
				return nil
			}
			select {
			case <-time.After(3 * time.Second):
				done.Add(1)
				return nil
			case <-m.Context().Done():
				return m.Context().Err()
			}
		})
		ran := make(chan error, 1)
		go func() { ran <- router.Run(context.Background()) }()
		advance(20 * time.Millisecond)

		draining.Store(true)
		s.Drain()
		began := time.Now()
		w.must(router.Close())
		w.must(<-ran)
		w.must(s.Close())
		if took := time.Since(began); took != 0 {
			t.Errorf("after the drain, closing took %v", took)
		}
		if n := done.Load(); n == 0 || n == 500 {
			t.Errorf("%d done: not in the middle", n)
		}
		w.wantBacklog(w.url, Backlog{Visible: 500 - int(done.Load())})
		if st := s.Stats(); st.Deleted != done.Load() || st.InFlight != 0 || st.Lost != 0 {
			t.Errorf("%d done, stats: %+v", done.Load(), st)
		}
	})
}
