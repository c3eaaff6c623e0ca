package queue

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/trouble"
)

func TestWindowIsNotExceeded(t *testing.T) {
	virtual(t, awssim.Options{Latency: 5 * time.Millisecond}, func(w *world) {
		const window = 37
		second := w.create("second")
		w.send(w.url, 200)
		w.send(second, 200)
		var s *Subscriber
		api := &spy{API: w.client}
		api.receive = func(*sqs.ReceiveMessageInput) {
			api.mu.Lock()
			defer api.mu.Unlock()
			if held := s.Stats().InFlight; held+api.asked > window {
				t.Errorf("polls ask for %d beside %d held: over %d", api.asked, held, window)
			}
		}
		s = w.subscriber(api, Options{MaxInFlight: window})
		one, two := collect(w.subscribe(s, w.url)), collect(w.subscribe(s, second))
		total := 0
		for total < 400 {
			advance(time.Minute)
			list := append(one.take(), two.take()...)
			if len(list) == 0 || len(list) > window {
				t.Fatalf("%d messages after %d", len(list), total)
			}
			total += len(list)
			for _, m := range list {
				m.Ack()
			}
		}
		if got := s.Stats().Received; got != 400 {
			t.Errorf("%d received", got)
		}
	})
}

func TestPollsGrowAndShrink(t *testing.T) {
	virtual(t, awssim.Options{Latency: 20 * time.Millisecond}, func(w *world) {
		w.send(w.url, 2000)
		api := &spy{API: w.client}
		s := w.subscriber(api, Options{})
		c := collect(w.subscribe(s, w.url))
		advance(10 * time.Millisecond)
		if api.most() != 1 {
			t.Errorf("%d polls at first, want 1", api.most())
		}
		advance(10 * time.Second)
		if got := len(c.take()); got != 2000 {
			t.Fatalf("%d received", got)
		}
		if api.most() != maxPolls {
			t.Errorf("%d polls at most, want %d", api.most(), maxPolls)
		}
		// Growing costs some polls that ask for nothing, and no more than were open.
		if polls := s.Stats().Polls; polls > 200+maxPolls+1 {
			t.Errorf("%d polls for 2000 messages", polls)
		}
		advance(time.Minute)
		if open := api.polls(); open != 1 {
			t.Errorf("%d polls open on an empty queue, want 1", open)
		}
		before := s.Stats().Polls
		advance(10 * time.Minute)
		if polls := s.Stats().Polls - before; polls < 29 || polls > 31 {
			t.Errorf("%d long polls of 20 s in 10 minutes", polls)
		}
	})
}

func TestFirstServedFirst(t *testing.T) {
	virtual(t, awssim.Options{Latency: 20 * time.Millisecond}, func(w *world) {
		second := w.create("second")
		w.send(w.url, 1000)
		w.send(second, 1000)
		s := w.subscriber(w.client, Options{})
		one, two := collect(w.subscribe(s, w.url)), collect(w.subscribe(s, second))
		early := 0
		for first := 0; first < 1000; {
			advance(20 * time.Millisecond)
			early += len(two.take())
			first += len(one.take())
		}
		// Both are polled once before anything is known, and once more as the first runs dry.
		if early > 4*batchMax {
			t.Errorf("%d messages of the second queue came before the first was empty", early)
		}
		advance(10 * time.Second)
		if got := early + len(two.take()); got != 1000 {
			t.Errorf("%d of the second queue", got)
		}
	})
}

// The long polls of idle queues must not keep the only place from the others.
func TestSmallWindowServesEveryQueue(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		second, third := w.create("second"), w.create("third")
		w.send(third, 3)
		s := w.subscriber(w.client, Options{MaxInFlight: 1})
		w.subscribe(s, w.url)
		w.subscribe(s, second)
		ch := w.subscribe(s, third)
		for range 3 {
			advance(time.Minute)
			m, _ := w.next(ch)
			m.Ack()
		}
		w.wantBacklog(third, Backlog{})
	})
}

func TestGate(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		gate := &switchGate{}
		s := w.subscriber(w.client, Options{Gate: gate})
		ch := w.subscribe(s, w.url)
		synctest.Wait()
		gate.set(false)
		// The poll that is open brings it; it is released at once, and no poll begins.
		w.send(w.url, 1)
		w.nothing(ch)
		w.wantBacklog(w.url, Backlog{Visible: 1})
		advance(time.Hour)
		if st := s.Stats(); st.Polls != 1 || st.Released != 1 || st.InFlight != 0 {
			t.Errorf("stats: %+v", st)
		}
		gate.set(true)
		m, l := w.next(ch)
		if l.ReceiveCount != 2 {
			t.Errorf("received %d times", l.ReceiveCount)
		}
		m.Ack()
		gate.set(false)
		s.StopReceiving() // ends the wait for the gate too
		synctest.Wait()
	})
}

func TestReceivingFails(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		core, logs := observer.New(zap.InfoLevel)
		w.sim.SetDown("sqs", true)
		s := w.subscriber(w.client, Options{Trouble: trouble.New(zap.New(core))})
		ch := w.subscribe(s, w.url)
		synctest.Wait()
		if err := s.Health(); err == nil || !strings.Contains(err.Error(), "receiving from "+w.url) {
			t.Errorf("health: %v", err)
		}
		advance(10 * time.Minute)
		// Full jitter up to 10 s: 5 s on average.
		if polls := s.Stats().Polls; polls < 80 || polls > 200 {
			t.Errorf("%d polls in 10 minutes of outage", polls)
		}
		w.sim.SetDown("sqs", false)
		advance(10 * time.Second)
		w.send(w.url, 1)
		m, _ := w.next(ch)
		m.Ack()
		if err := s.Health(); err != nil {
			t.Errorf("health: %v", err)
		}
		if n := logs.FilterMessage("queue does not get through").Len(); n != 1 {
			t.Errorf("the begin was said %d times", n)
		}
		if n := logs.FilterMessage("queue still does not get through").Len(); n < 8 || n > 10 {
			t.Errorf("%d lines in ten minutes, want one a minute", n)
		}
		if n := logs.FilterMessage("queue gets through again").Len(); n != 1 {
			t.Errorf("the end was said %d times", n)
		}
	})
}

func TestNackComesAgainAtOnce(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		s := w.subscriber(w.client, Options{})
		ch := w.subscribe(s, w.url)
		for i := range 100 {
			m, l := w.next(ch)
			if l.ReceiveCount != i+1 {
				t.Fatalf("received %d times, want %d", l.ReceiveCount, i+1)
			}
			m.Nack()
		}
		synctest.Wait()
		if st := s.Stats(); st.InFlight != 1 || st.Received != 101 {
			t.Errorf("stats: %+v", st)
		}
	})
}

// A request that hangs is cut, and the next one is made.
func TestHangingPollIsCut(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.sim.SetHang("sqs", true)
		s := w.subscriber(w.client, Options{})
		ch := w.subscribe(s, w.url)
		advance(31 * time.Second)
		if s.Health() == nil {
			t.Error("a poll that hangs for 30 s is healthy")
		}
		w.sim.SetHang("sqs", false)
		advance(time.Minute)
		w.send(w.url, 1)
		m, _ := w.next(ch)
		m.Ack()
	})
}

func TestUnreadReaderHoldsBackPolls(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1000)
		s := w.subscriber(w.client, Options{})
		ch := w.subscribe(s, w.url)
		advance(time.Hour)
		if st := s.Stats(); st.Received != batchMax || st.Lost != 0 {
			t.Errorf("stats: %+v; without a reader one poll is enough", st)
		}
		m, l := w.next(ch)
		if l.Err() != nil {
			t.Errorf("what waits to be read is not extended: %v", l.Err())
		}
		m.Ack()
	})
}

func TestSubscribeAfterStop(t *testing.T) {
	s := New(nil, Options{})
	s.StopReceiving()
	if _, err := s.Subscribe(context.Background(), "q"); err == nil {
		t.Error("subscribed after StopReceiving")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestLeaseFromNothing(t *testing.T) {
	if LeaseFrom(context.Background()) != nil {
		t.Error("a lease from nowhere")
	}
}

func TestInspectFIFO(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		out, err := w.client.CreateQueue(w.Context(), &sqs.CreateQueueInput{
			QueueName: aws.String("ordered.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
		})
		w.must(err)
		a, err := New(w.client, Options{}).Inspect(w.Context(), aws.ToString(out.QueueUrl))
		w.must(err)
		if !a.FIFO || a.MaxReceiveCount != 0 || a.DeadLetterARN != "" {
			t.Errorf("%+v", a)
		}
		if _, err := New(w.client, Options{}).Inspect(w.Context(), w.url+"x"); err == nil {
			t.Error("no error for a queue that is not there")
		}
	})
}
