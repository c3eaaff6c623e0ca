package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/chance"
)

// Subscriber receives from SQS queues. Its methods are safe for concurrent use.
type Subscriber struct {
	api API
	o   Options
	log *zap.Logger

	// Contexts are fields because they are the Subscriber's own and outlive every call.
	intake      context.Context // ends with StopReceiving
	stopIntake  context.CancelFunc
	settling    context.Context // of all requests but receives; ends closeBound after the hard stop
	cutSettling context.CancelFunc
	hard        chan struct{} // closed at the hard stop
	isDraining  atomic.Bool
	drained     chan struct{}   // closed when the first Drain is done
	drainErr    error           // of the first Drain; read after drained
	closing     context.Context // ends with Close
	close       context.CancelFunc

	receiving sync.WaitGroup // subscriptions, until their polls have ended
	tending   sync.WaitGroup // messages that are handed out or settled; none is added once receiving is done
	running   sync.WaitGroup // other goroutines that a drain waits for
	channels  sync.WaitGroup // subscriptions, until their channels are closed

	mu          sync.Mutex
	subs        []*subscription // in the order of Subscribe: first served first
	queues      map[string]*requests
	known       map[string]Attributes
	window      window
	turns       uint64
	isExtending bool
	gateWatched bool // a goroutine waits for the gate
	stats       Stats
}

var _ message.Subscriber = (*Subscriber)(nil)

// New returns a Subscriber. It starts nothing and calls nothing before Subscribe.
func New(api API, o Options) *Subscriber {
	o = o.withDefaults()
	s := &Subscriber{
		api: api, o: o, log: o.Logger,
		hard: make(chan struct{}), drained: make(chan struct{}),
		queues: map[string]*requests{},
		known:  map[string]Attributes{},
		window: window{size: o.MaxInFlight, leases: map[*Lease]struct{}{}, newest: map[messageKey]*Lease{}},
	}
	s.intake, s.stopIntake = context.WithCancel(context.Background())
	s.settling, s.cutSettling = context.WithCancel(context.Background())
	s.closing, s.close = context.WithCancel(context.Background())
	return s
}

// ErrClosed is returned by Subscribe after StopReceiving or Close.
var ErrClosed = errors.New("queue: subscriber is closed")

// Subscribe receives from the queue with the URL queueURL. Queues are served in the order of
// Subscribe: a later one is polled only while the last poll of every earlier one did not come
// back full. When ctx ends, or on Close, nothing more is handed out, and the channel closes as
// soon as every message that was handed out is settled, or after Options.Drain. Messages'
// contexts carry ctx's values and a *Lease, but do not end with ctx: they end when the
// message is acked or nacked, or with the hard stop.
func (s *Subscriber) Subscribe(ctx context.Context, queueURL string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.intake.Err() != nil {
		return nil, fmt.Errorf("subscribing to %s: %w", queueURL, ErrClosed)
	}
	if !s.isExtending {
		s.isExtending = true
		s.running.Go(s.extend)
	}
	sub := &subscription{
		url: queueURL, requests: s.requestsLocked(queueURL), out: make(chan *message.Message),
		values: context.WithoutCancel(ctx), want: 1,
	}
	sub.requests.isReceived = true
	var stop, cancelPolls context.CancelFunc
	sub.intake, stop = context.WithCancel(sub.values)
	sub.polls, cancelPolls = context.WithCancel(sub.values)
	s.subs = append(s.subs, sub)
	s.receiving.Go(func() { s.watch(ctx, sub, stop, cancelPolls) })
	s.scheduleLocked()
	return sub.out, nil
}

// watch ends a subscription: no new polls, time for open ones to return, and then the channel.
func (s *Subscriber) watch(ctx context.Context, sub *subscription, stop, cancelPolls context.CancelFunc) {
	select {
	case <-ctx.Done():
	case <-s.intake.Done():
	}
	s.mu.Lock()
	stop()
	s.mu.Unlock()

	within(pollGrace, &sub.polling)
	cancelPolls()
	sub.polling.Wait()

	s.mu.Lock()
	s.subs = slices.DeleteFunc(s.subs, func(x *subscription) bool { return x == sub })
	s.scheduleLocked() // its places, and its rank, are free for the others
	s.mu.Unlock()
	s.channels.Go(func() { s.closeChannel(ctx, sub) })
}

// closeChannel closes a subscription's channel once its messages are settled. Watermill's router takes a
// closed channel for the end of the work, and then waits for its own locks while it closes.
func (s *Subscriber) closeChannel(ctx context.Context, sub *subscription) {
	select {
	case <-ctx.Done():
	case <-s.closing.Done():
	}
	within(s.o.Drain, &sub.handed)
	close(sub.out)
}

// StopReceiving begins no new poll, releases what is not handed out yet, and returns at once;
// open polls have a second to return. Channels remain open until their subscription's
// context ends or Close is called.
func (s *Subscriber) StopReceiving() {
	s.mu.Lock() // so that a Subscribe is either before this or refused
	defer s.mu.Unlock()
	s.stopIntake()
}

// Drain stops receiving, waits up to Options.Drain until every message is settled, and then stops hard:
// it ends the contexts of the remaining messages, releases them, and waits for their handlers. It takes
// five seconds more than Options.Drain at most. Channels remain open. Every call waits for the first one.
func (s *Subscriber) Drain() {
	// Not a sync.Once: a second caller would wait on its mutex, and virtual time would stand still.
	if s.isDraining.Swap(true) {
		<-s.drained
		return
	}
	defer close(s.drained)
	until := time.Now().Add(s.o.Drain)
	s.StopReceiving()
	s.receiving.Wait()
	within(time.Until(until), &s.tending)
	close(s.hard)
	if !within(closeBound, &s.tending) {
		if left := s.Stats().InFlight; left > 0 {
			s.drainErr = fmt.Errorf("draining queue: %d messages could not be settled; they become visible when their leases end", left)
		}
	}
	s.cutSettling()
	s.tending.Wait()
	s.running.Wait()
}

// Close drains and closes all channels. It returns an error if messages are left that could not be
// settled in time. It may be called repeatedly.
func (s *Subscriber) Close() error {
	s.Drain()
	s.close()
	s.channels.Wait()
	return s.drainErr
}

// Health is why receiving fails, nil while it does not.
func (s *Subscriber) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if sub.failing != nil {
			return sub.failing
		}
	}
	return nil
}

// Stats counts what a Subscriber did since it was made.
type Stats struct {
	Received     int64 // messages that were received and not in flight here already
	Again        int64 // messages that were received while in flight here
	Deleted      int64 // messages deleted, deferred and dead-lettered ones not counted
	Released     int64 // messages made visible again, at once or after a delay
	Deferred     int64 // messages replaced by a delayed copy
	DeadLettered int64 // messages sent to the dead-letter queue and deleted
	Extended     int64 // extensions of leases
	Lost         int64 // leases lost, and settlements given up
	Polls        int64 // receive requests begun
	// DeadLetterFailures counts requests to a dead-letter queue that failed as a whole.
	DeadLetterFailures int64
	// Forged counts messages with an attribute of a deferred copy that no worker of this
	// deployment wrote. It is ignored. What was sent back from a dead-letter queue has one too.
	Forged   int64
	InFlight int // messages in flight now
}

// Stats returns a snapshot.
func (s *Subscriber) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.InFlight = len(s.window.leases)
	return st
}

// count adds one to a counter of stats.
func (s *Subscriber) count(counter *int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*counter++
}

// within waits for a group, for d at most, and reports whether it is done.
func within(d time.Duration, group *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// pause waits, or returns early when stop closes.
func pause(d time.Duration, stop <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stop:
	}
}

// fullJitter is a random time up to base doubled for every failure before this one, or up to
// most.
func (s *Subscriber) fullJitter(base, most time.Duration, failures int) time.Duration {
	return chance.Below(s.o.Chance, min(most, base<<min(failures, 16)))
}
