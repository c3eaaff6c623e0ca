package results

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/breaker"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/trouble"
)

// API is what is called of SNS. Retries are owned here: give it a client of one attempt
// (aws.NopRetryer), or an outage is noticed only after the SDK's own retries.
type API interface {
	PublishBatch(context.Context, *sns.PublishBatchInput, ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

// Options says how a Publisher publishes. The zero value of each field means its default.
type Options struct {
	// OnDown is called with the reason when the publisher goes down, OnUp when it is up again;
	// in turn, one at a time. They must not block, and must not call the Publisher.
	OnDown func(error)
	OnUp   func()
	// Chance is where jitter comes from. nil: a source of a seed drawn now.
	Chance *rand.Rand
	// Trouble takes note of what became of each request, by topic. Default: none.
	Trouble *trouble.Peers
	// Logger has a line, at level debug, for each rejection. Default: nothing is logged.
	Logger *zap.Logger
}

// InternalPrefix begins the keys of metadata that are only for this process: they do not become SNS
// message attributes.
const InternalPrefix = "_"

const (
	// batchMax and batchMaxBytes are the most that one PublishBatch takes, body and attributes
	// counted ("PublishBatch", SNS API Reference). A topic may be set to take up to 1 MiB;
	// a message that is larger than 256 KiB alone is sent alone, and SNS judges it.
	batchMax      = 10
	batchMaxBytes = 262_144

	// requestTimeout bounds one request: SNS answers in tens of milliseconds.
	requestTimeout = 5 * time.Second

	backoffBase, backoffMax = 200 * time.Millisecond, 5 * time.Second
)

// ErrClosed is returned by Publish after Close, and for messages that wait for a publisher
// that is down when Close is called.
var ErrClosed = errors.New("results: publisher is closed")

// RejectedError is SNS's refusal of one message for a fault of its own: sending it again would
// not help.
type RejectedError struct {
	Code    string // SNS's error code
	Message string // SNS's own words
}

func (e *RejectedError) Error() string { return "rejected by SNS: " + e.Code + ": " + e.Message }

// Publisher publishes to SNS topics. Its methods are safe for concurrent use.
type Publisher struct {
	api     API
	o       Options
	closing context.Context // ends with Close
	end     context.CancelFunc
	breaker *breaker.Breaker
	waiting atomic.Int64 // messages that are to be published

	mu     sync.Mutex
	active sync.WaitGroup // calls of Publish; none is added once closing has ended
	topics map[string]*coalesce.Group[*entry, error]
}

var _ message.Publisher = (*Publisher)(nil)

// New returns a Publisher.
func New(api API, o Options) *Publisher {
	o.Chance = chance.Or(o.Chance)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Trouble == nil {
		o.Trouble = trouble.New(nil)
	}
	p := &Publisher{api: api, o: o, topics: map[string]*coalesce.Group[*entry, error]{}}
	p.closing, p.end = context.WithCancel(context.Background())
	p.breaker = breaker.New(breaker.Options{Base: backoffBase, Most: backoffMax, OnDown: o.OnDown, OnUp: o.OnUp, Chance: o.Chance})
	return p
}

// Publish publishes to the topic with the ARN topic and returns when every message was accepted
// by SNS, was rejected, or saw its context end. The errors of messages are joined, each with
// its UUID. A message whose context ended may still be published: its request may be under way.
// Metadata becomes message attributes of type String, except keys that begin with
// InternalPrefix and empty values, which SNS does not take.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.Lock()
	if p.closing.Err() != nil {
		p.mu.Unlock()
		return ErrClosed
	}
	p.active.Add(1)
	group := p.groupLocked(topic)
	p.mu.Unlock()
	defer p.active.Done()

	errs := make([]error, len(messages))
	var others sync.WaitGroup
	for i, m := range messages {
		if i == len(messages)-1 {
			errs[i] = p.publish(group, m)
		} else {
			others.Go(func() { errs[i] = p.publish(group, m) })
		}
	}
	others.Wait()
	return errors.Join(errs...)
}

// publish sends one message until SNS accepts or rejects it, its context ends, or the Publisher closes.
func (p *Publisher) publish(group *coalesce.Group[*entry, error], m *message.Message) error {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	ctx := m.Context()
	e := newEntry(m)
	for failures := 0; ; failures++ {
		answer, ended := group.Do(ctx, e)
		err := cmp.Or(ended, answer)
		var again *againError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &again):
			return fmt.Errorf("publishing %s: %w", m.UUID, err)
		case p.closing.Err() != nil:
			return fmt.Errorf("publishing %s: %w", m.UUID, errors.Join(ErrClosed, again.why))
		case again.alone:
			// The request as a whole succeeded: only this message waits. The breaker spaces the others.
			pause(ctx, p.closing.Done(), chance.Below(p.o.Chance, min(backoffMax, backoffBase<<min(failures, 16))))
		}
	}
}

// Health is why the publisher is down, nil while it is up.
func (p *Publisher) Health() error { return p.breaker.Why() }

// Close refuses new messages and waits for those under way. While the publisher is down it does
// not wait for it to come up: what waits ends with ErrClosed. It may be called repeatedly.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.end()
	groups := slices.Collect(maps.Values(p.topics))
	p.mu.Unlock()
	p.active.Wait()
	for _, g := range groups {
		// Requests of messages whose contexts ended; bounded by requestTimeout.
		_ = g.Wait(context.Background())
	}
	return nil
}

func (p *Publisher) groupLocked(topic string) *coalesce.Group[*entry, error] {
	g := p.topics[topic]
	if g == nil {
		o := coalesce.Options[*entry]{
			PartFilled: 1, Max: batchMax, MaxBytes: batchMaxBytes, Size: func(e *entry) int { return e.bytes },
		}
		g = coalesce.New(o, func(list []*entry) []error { return p.send(topic, list) })
		p.topics[topic] = g
	}
	return g
}

func pause(ctx context.Context, stop <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-stop:
	}
}
