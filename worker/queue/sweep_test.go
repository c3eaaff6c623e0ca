package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
)

// graveyard is a queue, its dead-letter queue, and a Subscriber that looks for what SQS moved.
type graveyard struct {
	*world
	s    *Subscriber
	got  *collected
	from string // a queue that moves a message at its second receive
	// receives counts receives of the dead-letter queue.
	receives atomic.Int64
}

func (w *world) graveyard(buried int, o Options) *graveyard {
	w.Helper()
	g := &graveyard{world: w, from: w.create("source")}
	w.send(w.dlq, buried)
	_, err := w.client.SetQueueAttributes(w.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: aws.String(g.from),
		Attributes: map[string]string{
			"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":1}`, w.sim.QueueARN(w.dlq)),
		},
	})
	w.must(err)
	o.Strays = func(arn string) bool { return arn == w.sim.QueueARN(g.from) }
	o.DeadLetter = w.dlq
	g.s = w.subscriber(&spy{API: w.client, receive: func(*sqs.ReceiveMessageInput) { g.receives.Add(1) }}, o)
	g.got = collect(w.subscribe(g.s, w.dlq))
	return g
}

// stray has SQS move n messages to the dead-letter queue.
func (g *graveyard) stray(n int) {
	g.Helper()
	g.send(g.from, n)
	for b := g.backlog(g.from); b != (Backlog{}); b = g.backlog(g.from) {
		g.receive(g.from)
		advance(100 * time.Millisecond)
	}
}

// found waits for n strays and buries them.
func (g *graveyard) found(n int, within time.Duration) {
	g.Helper()
	for end := time.Now().Add(within); n > 0; advance(time.Second) {
		for _, m := range g.got.take() {
			n--
			l := LeaseFrom(m.Context())
			if l.MovedFrom != g.sim.QueueARN(g.from) {
				g.Errorf("%s was moved from %q", l.MessageID, l.MovedFrom)
			}
			l.Bury(Mark{Reason: "a stray"})
			m.Ack()
		}
		if time.Now().After(end) {
			g.Fatalf("after %s %d strays were not found", within, n)
		}
	}
}

// atMost checks how many receives were made since its last call.
func (g *graveyard) atMost(receives int64, doing string) {
	g.Helper()
	if n := g.receives.Swap(0); n > receives {
		g.Errorf("%d receives for %s, want %d at most", n, doing, receives)
	}
}

func TestStraysAreFoundAmongManyAndTheRestIsLeftInPeace(t *testing.T) {
	virtual(t, awssim.Options{Latency: 20 * time.Millisecond}, func(w *world) {
		const n = 2000
		g := w.graveyard(n, Options{})
		advance(30 * time.Minute)
		g.atMost(n/10+2, "the first sweep")
		before := w.requests("GetQueueAttributes")
		advance(20 * time.Minute)
		g.atMost(0, "a queue in which nothing changes")
		if looks := w.requests("GetQueueAttributes") - before; looks < 15 || looks > 27 {
			t.Errorf("%d looks in 20 minutes", looks)
		}
		g.stray(25)
		g.found(25, 3*time.Minute)
		advance(15 * time.Second) // 10 s and 1 ms for each message, and the sweep's own time
		w.wantBacklog(w.dlq, Backlog{Visible: n + 25})
		g.atMost((n+25)/10+8, "a sweep that finds some")
		advance(30 * time.Minute)
		g.atMost((n+25)/10+8, "the sweep that makes sure")
		if again := len(g.got.take()); again != 0 {
			t.Errorf("%d of those that were buried again came again", again)
		}
	})
}

func TestAStrayThatIsReleasedIsFoundAgain(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		g := w.graveyard(10, Options{})
		g.stray(1)
		var came []time.Duration
		start := time.Now()
		for time.Since(start) < 12*time.Hour {
			for _, m := range g.got.take() {
				came = append(came, time.Since(start))
				LeaseFrom(m.Context()).Release(30 * time.Second)
				m.Ack()
			}
			advance(time.Second)
		}
		// At gaps that double up to an hour.
		if len(came) < 14 || len(came) > 22 || came[2] > 10*time.Minute {
			t.Errorf("it came %d times: %s", len(came), came)
		}
	})
}

// What was buried and may not be deleted comes again, and must not make a copy each time.
func TestBuryingWithoutLeaveToDeleteMakesOneCopy(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		g := w.graveyard(0, Options{})
		g.stray(1)
		w.sim.SetFaults(awssim.Faults{"sqs:DeleteMessageBatch": {Denied: 1}})
		for range 6 * 60 * 60 {
			for _, m := range g.got.take() {
				LeaseFrom(m.Context()).Bury(Mark{Reason: "a stray"})
				m.Ack()
			}
			advance(time.Second)
		}
		if n := len(w.sim.Messages(w.dlq)); n != 2 {
			t.Errorf("%d messages are there, want the stray and its copy", n)
		}
		w.sim.SetFaults(nil)
		g.found(1, 2*time.Hour)
		advance(time.Second)
		if left := w.sim.Messages(w.dlq); len(left) != 1 || len(left[0].Attributes) != 1 {
			t.Errorf("%+v is left, want the marked copy", left)
		}
	})
}

func TestStraysHaveFewPlaces(t *testing.T) {
	virtual(t, awssim.Options{Latency: 20 * time.Millisecond}, func(w *world) {
		g := w.graveyard(100, Options{MaxInFlight: 20})
		g.stray(200)
		advance(3 * time.Minute)
		held := g.got.take()
		if len(held) == 0 || len(held) > 20 {
			t.Fatalf("%d strays are held, want 20 at most", len(held))
		}
		for _, m := range held {
			LeaseFrom(m.Context()).Bury(Mark{Reason: "a stray"})
			m.Ack()
		}
		g.found(200-len(held), 10*time.Minute)
	})
}

func TestSweepsStopWithTheSubscriber(t *testing.T) {
	for _, row := range []struct {
		name   string
		before time.Duration
		calls  func(s *Subscriber, cancel context.CancelFunc)
	}{
		{"between sweeps", 10 * time.Minute, func(s *Subscriber, _ context.CancelFunc) { s.StopReceiving() }},
		{"by the subscription", 10 * time.Minute, func(_ *Subscriber, cancel context.CancelFunc) { cancel() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				w.send(w.dlq, 10)
				s := w.subscriber(w.client, Options{Strays: func(string) bool { return true }})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				got, err := s.Subscribe(ctx, w.dlq)
				w.must(err)
				strays := collect(got)
				advance(row.before)
				if len(strays.take()) != 10 {
					t.Fatal("nothing was found: the test shows nothing")
				}
				row.calls(s, cancel)
				before := w.requests("GetQueueAttributes")
				advance(time.Hour)
				if more := w.requests("GetQueueAttributes") - before; more != 0 {
					t.Errorf("%d looks after the stop", more)
				}
			})
		})
	}
}

// A stop in the middle of a sweep leaves nothing hidden for longer than the sweep would have.
func TestAStopInTheMiddleOfASweep(t *testing.T) {
	virtual(t, awssim.Options{Latency: 100 * time.Millisecond}, func(w *world) {
		const n = 3000
		g := w.graveyard(n, Options{})
		for g.receives.Load() < 50 {
			advance(50 * time.Millisecond)
		}
		start := time.Now()
		w.must(g.s.Close())
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("closing took %s", took)
		}
		g.atMost(60, "a sweep that was stopped")
		advance(13 * time.Second)
		w.wantBacklog(w.dlq, Backlog{Visible: n})
	})
}

// Several workers look through one queue: nothing is lost between them, and each comes to rest.
func TestSeveralSweepOneQueue(t *testing.T) {
	virtual(t, awssim.Options{Latency: 20 * time.Millisecond}, func(w *world) {
		const n, strays = 500, 30
		g := w.graveyard(n, Options{})
		var all []*collected
		for range 4 {
			o := Options{Strays: g.s.o.Strays, DeadLetter: w.dlq}
			all = append(all, collect(w.subscribe(w.subscriber(w.client, o), w.dlq)))
		}
		all = append(all, g.got)
		g.stray(strays)
		var mu sync.Mutex
		seen := map[string]int{}
		for range 30 * 60 {
			for _, c := range all {
				for _, m := range c.take() {
					mu.Lock()
					seen[m.UUID]++
					mu.Unlock()
					LeaseFrom(m.Context()).Bury(Mark{})
					m.Ack()
				}
			}
			advance(time.Second)
		}
		if len(seen) != strays {
			t.Errorf("%d of %d strays were found", len(seen), strays)
		}
		before := w.requests("ReceiveMessage")
		advance(20 * time.Minute)
		if more := w.requests("ReceiveMessage") - before; more > 5*(n+strays)/10 {
			t.Errorf("%d receives in 20 minutes, long after the last arrival", more)
		}
	})
}

// answering is an SQS of many messages, none of which is ever hidden or a stray.
type answering struct {
	API
	count    int
	receives atomic.Int64
	hidden   atomic.Int64 // the longest visibility timeout, in seconds
}

func (a *answering) GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{"ApproximateNumberOfMessages": fmt.Sprint(a.count)}}, nil
}

func (a *answering) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	a.receives.Add(1)
	a.hidden.Store(max(a.hidden.Load(), int64(in.VisibilityTimeout)))
	select {
	case <-time.After(20 * time.Millisecond):
		return &sqs.ReceiveMessageOutput{Messages: make([]types.Message, in.MaxNumberOfMessages)}, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("answering: %w", ctx.Err())
	}
}

func TestASweepIsBounded(t *testing.T) {
	for _, row := range []struct {
		count    int
		receives int64 // at most, in one sweep
		hidden   int64
	}{
		{1, 9 * 50, 11}, // what SQS counted was wrong: it ends by its time
		{1000, 9 * 50, 11},
		{100_000, sweepMost/batchMax + sweepPolls, 110},
		{5_000_000, sweepMost/batchMax + sweepPolls, 110},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &answering{count: row.count}
			s := New(a, Options{Strays: func(string) bool { return false }})
			defer func() { _ = s.Close() }()
			_, err := s.Subscribe(t.Context(), "http://dead")
			if err != nil {
				t.Fatal(err)
			}
			for a.receives.Load() == 0 {
				advance(time.Second)
			}
			advance(30 * time.Second) // the longest sweep at 20 ms a receive
			first := a.receives.Load()
			if first > row.receives {
				t.Errorf("%d messages: %d receives in a sweep, want %d at most", row.count, first, row.receives)
			}
			if got := a.hidden.Load(); got != row.hidden {
				t.Errorf("%d messages: hidden for %d s, want %d", row.count, got, row.hidden)
			}
			// Ever the same, it is swept less and less often.
			advance(24 * time.Hour)
			before := a.receives.Load()
			advance(6 * time.Hour)
			if sweeps := float64(a.receives.Load()-before) / float64(first); sweeps > 7 {
				t.Errorf("%d messages: %.1f sweeps in six hours", row.count, sweeps)
			}
		})
	}
}
