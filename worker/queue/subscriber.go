package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/coalesce"
)

// Subscriber receives from SQS queues. Its methods are safe for concurrent use.
type Subscriber struct {
	api API
	o   Options
	log *zap.Logger

	// Contexts are kept here because they are the Subscriber's own and outlive every call:
	// intake ends with StopReceiving, settling (all requests but receives) with the bound of
	// the hard stop.
	intake      context.Context
	stopIntake  context.CancelFunc
	settling    context.Context
	cutSettling context.CancelFunc
	closing     chan struct{} // closed: channels close
	hard        chan struct{} // closed: handlers are cut off
	startOnce   sync.Once
	isClosing   atomic.Bool
	closed      chan struct{} // closed when the first Close is done
	closeErr    error         // of the first Close; read after closed
	flowing     atomic.Pointer[time.Time]
	receiving   sync.WaitGroup // subscriptions
	running     sync.WaitGroup // every other goroutine

	mu          sync.Mutex
	subs        []*subscription // in the order of Subscribe: first served first
	queues      map[string]*requests
	graves      map[string]*coalesce.Group[grave, error]
	known       map[string]Attributes
	held        map[*Lease]struct{}
	byID        map[messageKey]*Lease
	reserved    int // places that open polls may fill
	turns       uint64
	room        chan struct{}           // closed when places may have become free; nil: nobody waits
	entombed    map[messageKey]struct{} // buried, and not deleted where they came from
	away        away
	gateWatch   bool // a goroutine waits for the gate
	plentyWatch bool // one waits to ask Options.Plenty again
	due         dueHeap
	sooner      chan struct{} // the head of due has changed

	stats counters
}

type messageKey struct{ queueURL, id string }

var _ message.Subscriber = (*Subscriber)(nil)

// New returns a Subscriber. It starts nothing and calls nothing before Subscribe.
func New(api API, o Options) *Subscriber {
	o = o.withDefaults()
	s := &Subscriber{
		api: api, o: o, log: o.Logger,
		closing: make(chan struct{}), hard: make(chan struct{}), closed: make(chan struct{}),
		queues:   map[string]*requests{},
		graves:   map[string]*coalesce.Group[grave, error]{},
		known:    map[string]Attributes{},
		held:     map[*Lease]struct{}{},
		byID:     map[messageKey]*Lease{},
		entombed: map[messageKey]struct{}{},
		sooner:   make(chan struct{}, 1),
	}
	s.intake, s.stopIntake = context.WithCancel(context.Background())
	s.settling, s.cutSettling = context.WithCancel(context.Background())
	return s
}

// ErrClosed is returned by Subscribe after StopReceiving or Close.
var ErrClosed = errors.New("queue: subscriber is closed")

// Subscribe receives from the queue with the URL queueURL. Queues are served in the order of
// Subscribe: a later one is polled only while the last poll of every earlier one did not come
// back full. When ctx ends, or on Close, nothing more is handed out, and the channel closes as
// soon as every message that was handed out is acked or nacked, or after Options.Drain. Messages'
// contexts carry ctx's values and a *Lease, but do not end with ctx: they end when the
// message is acked or nacked, or with the hard stop.
func (s *Subscriber) Subscribe(ctx context.Context, queueURL string) (<-chan *message.Message, error) {
	polls, cancelPolls := context.WithCancel(context.WithoutCancel(ctx))
	sub := &subscription{
		url:         queueURL,
		out:         make(chan *message.Message),
		values:      context.WithoutCancel(ctx),
		stop:        make(chan struct{}),
		polls:       polls,
		cancelPolls: cancelPolls,
		want:        1,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.intake.Err() != nil {
		cancelPolls()
		return nil, fmt.Errorf("subscribing to %s: %w", queueURL, ErrClosed)
	}
	s.startOnce.Do(func() { s.running.Go(s.extend) })
	sub.requests = s.requestsLocked(queueURL)
	s.subs = append(s.subs, sub)
	if s.o.Strays != nil {
		sub.polling.Go(func() { s.lookOut(sub) })
	}
	s.receiving.Go(func() { s.watch(ctx, sub) })
	s.scheduleLocked()
	return sub.out, nil
}

// StopReceiving begins no new poll, releases what is not handed out yet, and returns at once;
// polls that are open have a second to come back. Channels stay open until their subscription's
// context ends or Close is called.
func (s *Subscriber) StopReceiving() {
	s.mu.Lock() // so that a Subscribe is either before this or refused
	defer s.mu.Unlock()
	s.stopIntake()
}

// Flush waits until every message that was acked or nacked before the call is settled or given
// up, or until ctx ends.
func (s *Subscriber) Flush(ctx context.Context) error {
	return s.await(ctx, func(l *Lease) bool { return l.settling != 0 || l.answered() })
}

// await waits for those of the messages held now that which picks.
func (s *Subscriber) await(ctx context.Context, which func(*Lease) bool) error {
	s.mu.Lock()
	var waiting []*Lease
	for l := range s.held {
		if which(l) {
			waiting = append(waiting, l)
		}
	}
	s.mu.Unlock()
	for i, l := range waiting {
		select {
		case <-l.done:
		case <-ctx.Done():
			return fmt.Errorf("flushing queue: up to %d messages are not settled: %w", len(waiting)-i, ctx.Err())
		}
	}
	return nil
}

// Close stops receiving, takes back what was released for later, closes all channels, waits up to Options.Drain for the messages that
// were handed out, and then stops hard: it ends the contexts of those still held and releases
// them. It takes five seconds more than the drain at most, and returns an error if
// messages are left that could not be settled in that time; they become visible when
// their leases end. Every call waits for the first one and returns the same.
func (s *Subscriber) Close() error {
	// Not a sync.Once: who waits there waits on a mutex, and virtual time stands still.
	if s.isClosing.Swap(true) {
		<-s.closed
		return s.closeErr
	}
	defer close(s.closed)
	drain, cancel := context.WithTimeout(context.Background(), s.o.Drain)
	defer cancel()
	s.StopReceiving()
	close(s.closing)
	s.running.Go(s.recall)
	// Nothing that is admitted from here on is handed out; what is left after the drain is
	// released next.
	_ = s.await(drain, func(*Lease) bool { return true })
	close(s.hard)
	bound := time.AfterFunc(closeBound, s.cutSettling)
	s.receiving.Wait()
	s.running.Wait()
	s.recall() // what was put off since the first one began
	if cut := !bound.Stop(); cut {
		s.closeErr = errors.New("closing queue: not every message could be settled; the rest becomes visible when its leases end")
	}
	s.cutSettling()
	return s.closeErr
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

// Stats counts what a Subscriber did since it was made, and what it holds now.
type Stats struct {
	Received  int64 // messages that were received and not held here already
	Again     int64 // messages that were received while held here
	Deleted   int64 // messages deleted, buried ones not counted
	Released  int64 // messages made visible again, at once or later
	Buried    int64 // messages sent to the dead-letter queue and deleted
	Extended  int64 // extensions of leases
	Lost      int64 // leases lost, and settlements given up
	Polls     int64 // receive requests begun
	OpenPolls int   // receive requests under way, or handing out what they brought
	InFlight  int   // messages held
}

type counters struct {
	received, again, deleted, released, buried, extended, lost, polls atomic.Int64
}

// Stats returns a snapshot.
func (s *Subscriber) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Received: s.stats.received.Load(), Again: s.stats.again.Load(),
		Deleted: s.stats.deleted.Load(), Released: s.stats.released.Load(), Buried: s.stats.buried.Load(),
		Extended: s.stats.extended.Load(), Lost: s.stats.lost.Load(),
		Polls: s.stats.polls.Load(), InFlight: len(s.held),
	}
	for _, sub := range s.subs {
		st.OpenPolls += sub.open
	}
	return st
}

// Flowing is when a receive last brought several messages; zero: none did yet.
func (s *Subscriber) Flowing() time.Time {
	if at := s.flowing.Load(); at != nil {
		return *at
	}
	return time.Time{}
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
func fullJitter(base, most time.Duration, failures int) time.Duration {
	return rand.N(min(most, base<<min(failures, 16)))
}
