// Package eventbridge simulates Amazon EventBridge as far as one rule goes: it sends AWS services' events of state
// changes to an SQS queue, whole, as they are. Delivery is at least once and in no order, and mostly quick; events may
// be lost, late or doubled where that is asked for, drawn from the seed and the event.
package eventbridge

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/sqs"
)

// Options say where events go. The zero value is no rule: no event is made.
type Options struct {
	// Queue is the ARN of the queue that the rule sends to; "" is none.
	Queue string
	// Delay is from a change to its event on the queue. AWS documents no bound; default is at once.
	Delay time.Duration
	// Lost, Doubled and Late are the chances of an event to be dropped, to come twice (the second time LateBy later), and
	// to come LateBy later.
	Lost, Doubled, Late float64
	LateBy              time.Duration
}

// Change is a change of state that has happened.
type Change struct {
	Source, DetailType string
	Account, Region    string
	Resource           string // its ARN; "" where the service names none
	At                 time.Time
	Item               string // tells changes apart, for chance
	Detail             any
}

// Bus takes changes and delivers events. A nil Bus has no rule. Its methods are safe for concurrent use, and may be
// called under a service's lock.
type Bus struct {
	seed   uint64
	o      Options
	queues *sqs.SQS

	mu     sync.Mutex
	closed bool
	number uint64
	timers map[uint64]*time.Timer
	run    sync.WaitGroup
}

// New returns a Bus; nil where there is no rule.
func New(seed uint64, o Options, queues *sqs.SQS) *Bus {
	if o.Queue == "" {
		return nil
	}
	return &Bus{seed: seed, o: o, queues: queues, timers: map[uint64]*time.Timer{}}
}

// Due runs advance at a time, so that a change that a target makes by itself is noticed then.
func (b *Bus) Due(at time.Time, advance func()) {
	if b != nil {
		b.after(time.Until(at), advance)
	}
}

// after runs do later, unless the bus is closed before.
func (b *Bus) after(wait time.Duration, do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.number++
	number := b.number
	b.run.Add(1)
	b.timers[number] = time.AfterFunc(max(wait, 0), func() {
		defer b.run.Done()
		b.mu.Lock()
		delete(b.timers, number)
		closed := b.closed
		b.mu.Unlock()
		if !closed {
			do()
		}
	})
}

// Changed has an event made of a change.
func (b *Bus) Changed(c *Change) {
	if b == nil || b.happens(b.o.Lost, "lost", c) {
		return
	}
	body := b.event(c)
	wait := b.o.Delay
	if b.happens(b.o.Late, "late", c) {
		wait += b.o.LateBy
	}
	deliver := func() {
		_, _ = b.queues.Deliver(b.o.Queue, sqs.Delivery{Body: body, MD5: md5.Sum([]byte(body)), SenderID: senderID})
	}
	b.after(wait, deliver)
	if b.happens(b.o.Doubled, "doubled", c) {
		b.after(wait+b.o.LateBy, deliver)
	}
}

// senderID is what SQS records as the sender of what EventBridge delivers; AWS has an id of its own for the service.
const senderID = "AIDAEVENTBRIDGEDELIVERS"

// event is an event as EventBridge writes it ("Events", Amazon EventBridge User Guide): its time has whole seconds.
func (b *Bus) event(c *Change) string {
	resources := []string{}
	if c.Resource != "" {
		resources = append(resources, c.Resource)
	}
	roll := b.roll("id", c)
	body, err := json.Marshal(struct {
		Version    string   `json:"version"`
		ID         string   `json:"id"`
		DetailType string   `json:"detail-type"`
		Source     string   `json:"source"`
		Account    string   `json:"account"`
		Time       string   `json:"time"`
		Region     string   `json:"region"`
		Resources  []string `json:"resources"`
		Detail     any      `json:"detail"`
	}{
		"0", fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(roll), uint16(roll>>32), roll>>48&0xfff, b.seed&0xfff, roll>>16),
		c.DetailType, c.Source, c.Account, c.At.UTC().Format(time.RFC3339), c.Region, resources, c.Detail,
	})
	if err != nil {
		panic(fmt.Sprintf("writing an event: %v", err)) // services' details are plain structs
	}
	return string(body)
}

func (b *Bus) happens(chance float64, question string, c *Change) bool {
	return chance > 0 && float64(b.roll(question, c)>>11)/(1<<53) < chance
}

// roll is a number of 64 even bits for one change and one question.
func (b *Bus) roll(question string, c *Change) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s\xff%s\xff%s\xff%s\xff%s", question, c.Source, c.Account, c.Region, c.Item)
	x := h.Sum64() ^ b.seed*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Close drops what was not delivered yet, and returns when nothing is under way.
func (b *Bus) Close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.closed = true
	for number, timer := range b.timers {
		if timer.Stop() {
			delete(b.timers, number)
			b.run.Done()
		}
	}
	b.mu.Unlock()
	b.run.Wait()
}
