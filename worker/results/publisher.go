package results

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/coalesce"
)

// API is what is called of SNS. Retries are owned here: give it a client of one attempt
// (aws.NopRetryer), or an outage is noticed only after the SDK's own retries.
type API interface {
	PublishBatch(context.Context, *sns.PublishBatchInput, ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

// Options says how a Publisher publishes. The zero value of each field means its default.
type Options struct {
	// Timeout bounds one request. Default 5 s: SNS answers in tens of milliseconds.
	Timeout time.Duration
	// OnDown is called with the reason when the publisher goes down, OnUp when it is up again;
	// in turn, one at a time. They must not block, and must not call the Publisher.
	OnDown func(error)
	OnUp   func()
	// Go runs a request. Default: on a goroutine of its own.
	Go func(func())
	// Logger is told of both, and of rejections. Default: nothing is logged.
	Logger *zap.Logger
}

// InternalPrefix begins the keys of metadata that stay in the process: they do not become SNS
// message attributes.
const InternalPrefix = "_"

const (
	// batchMax and batchMaxBytes are the most that one PublishBatch takes, body and attributes
	// counted ("PublishBatch", SNS API Reference). A topic may be set to take up to 1 MiB;
	// a message that is larger than 256 KiB alone is sent alone, and SNS judges it.
	batchMax      = 10
	batchMaxBytes = 262_144

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
	closing chan struct{}
	turn    *turnstile

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup // calls of Publish
	topics map[string]*coalesce.Group[*entry, error]
}

var _ message.Publisher = (*Publisher)(nil)

// New returns a Publisher.
func New(api API, o Options) *Publisher {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	p := &Publisher{
		api: api, o: o, closing: make(chan struct{}),
		topics: map[string]*coalesce.Group[*entry, error]{},
	}
	p.turn = newTurnstile(p.closing, p.down, p.up)
	return p
}

// Publish publishes to the topic with the ARN topic and returns when every message was accepted
// by SNS, was rejected, or saw its context end. The errors of messages are joined, each with
// its UUID. A message whose context ended may still be published: its request may be under way.
// Metadata becomes message attributes of type String, except keys that begin with
// InternalPrefix and empty values, which SNS does not take.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	p.active.Add(1)
	group := p.groupLocked(topic)
	p.mu.Unlock()
	defer p.active.Done()

	if len(messages) == 1 {
		return p.publish(group, messages[0])
	}
	errs := make([]error, len(messages))
	var wg sync.WaitGroup
	for i, m := range messages {
		wg.Go(func() { errs[i] = p.publish(group, m) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// publish sends one message until SNS has accepted it or nobody wants it any more.
func (p *Publisher) publish(group *coalesce.Group[*entry, error], m *message.Message) error {
	ctx := m.Context()
	e := newEntry(ctx, m)
	for failures := 0; ; failures++ {
		if ctx.Err() != nil {
			return fmt.Errorf("publishing %s: %w", m.UUID, ctx.Err())
		}
		answer, ended := group.Do(ctx, e)
		if ended != nil {
			answer = ended
		}
		var again *againError
		if !errors.As(answer, &again) {
			if answer != nil {
				return fmt.Errorf("publishing %s: %w", m.UUID, answer)
			}
			return nil
		}
		if p.isClosing() {
			return fmt.Errorf("publishing %s: %w", m.UUID, errors.Join(ErrClosed, again.why))
		}
		if again.alone {
			// The request as a whole succeeded: only this message has to wait.
			pause(ctx, p.closing, fullJitter(failures))
		}
	}
}

// Health is why the publisher is down, nil while it is up.
func (p *Publisher) Health() error { return p.turn.health() }

// Close refuses new messages and waits for those under way. While the publisher is down it does
// not wait for it to come up: what waits ends with ErrClosed. It may be called repeatedly.
func (p *Publisher) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
	}
	groups := make([]*coalesce.Group[*entry, error], 0, len(p.topics))
	for _, g := range p.topics {
		groups = append(groups, g)
	}
	p.mu.Unlock()
	p.active.Wait()
	for _, g := range groups {
		// Requests of messages whose contexts ended; bounded by Options.Timeout.
		_ = g.Wait(context.Background())
	}
	return nil
}

func (p *Publisher) isClosing() bool {
	select {
	case <-p.closing:
		return true
	default:
		return false
	}
}

func (p *Publisher) groupLocked(topic string) *coalesce.Group[*entry, error] {
	g := p.topics[topic]
	if g == nil {
		// With two part-filled requests under way a twentieth more was published than full ones need.
		o := coalesce.Options[*entry]{Max: batchMax, PartFilled: 1, MaxBytes: batchMaxBytes, Size: (*entry).size, Go: p.o.Go}
		g = coalesce.New(o, func(list []*entry) []error { return p.send(topic, list) })
		p.topics[topic] = g
	}
	return g
}

func (p *Publisher) down(why error) {
	p.o.Logger.Error("publishing fails; going on trying", zap.Error(why))
	if p.o.OnDown != nil {
		p.o.OnDown(why)
	}
}

func (p *Publisher) up() {
	p.o.Logger.Info("publishing again")
	if p.o.OnUp != nil {
		p.o.OnUp()
	}
}

// entry is one message on its way.
type entry struct {
	ctx        context.Context // carried with the message, as Watermill's is
	body       string
	attributes []attribute
	bytes      int
}

type attribute struct{ name, value string }

func newEntry(ctx context.Context, m *message.Message) *entry {
	e := &entry{ctx: ctx, body: string(m.Payload), bytes: len(m.Payload), attributes: make([]attribute, 0, len(m.Metadata))}
	for key, value := range m.Metadata {
		if isSent(key, value) {
			e.attributes = append(e.attributes, attribute{key, value})
			e.bytes += len(key) + len(attributeType) + len(value)
		}
	}
	return e
}

// isSent says whether metadata becomes an attribute.
func isSent(key, value string) bool { return value != "" && !strings.HasPrefix(key, InternalPrefix) }

func (e *entry) size() int { return e.bytes }

func pause(ctx context.Context, stop <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-stop:
	}
}

// fullJitter is a random time up to backoffBase doubled for each failure before this one, or up
// to backoffMax.
func fullJitter(failures int) time.Duration {
	return rand.N(min(backoffMax, backoffBase<<min(failures, 16)))
}
