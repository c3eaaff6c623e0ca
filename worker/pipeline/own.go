package pipeline

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/queue"
)

// ownEventsEvery is the time between two lines about own events: there may be thousands.
const ownEventsEvery = time.Minute

const (
	ownEventsSaid = "outcomes come in on the command queue and are deleted (commands are not harmed)"
	ownEventsWhy  = "the results topic is subscribed to the command queue"
	ownEventsDo   = "remove the subscription, or give it a filter policy"
	// ownEventsRecent is for how long after the last one they are warned of.
	ownEventsRecent = 2 * time.Minute
)

// ownEvents counts events of workers' own that came in on a queue of commands. They get no outcome,
// since that would come in too, and go round for ever. Its methods are safe for concurrent use.
type ownEvents struct {
	topic string // ARN of the results topic
	log   *zap.Logger

	mu     sync.Mutex
	seen   int64 // in all
	logged int64 // of them, when the last line was logged
	at     time.Time
	last   time.Time // when one came last
}

// came notes one event of a type, and says what to mend, at most once a minute.
func (o *ownEvents) came(l *queue.Lease, kind string) {
	now := time.Now()
	o.mu.Lock()
	o.seen++
	o.last = now
	due := o.at.IsZero() || now.Sub(o.at) >= ownEventsEvery
	since := o.seen - o.logged
	if due {
		o.at, o.logged = now, o.seen
	}
	o.mu.Unlock()
	if due {
		o.log.Warn(ownEventsSaid, zap.String("why", ownEventsWhy), zap.String("do", ownEventsDo), zap.Int64("events", since),
			zap.String("queue", l.QueueURL), zap.String("topic", o.topic), zap.String("type", kind), zap.String("message", l.MessageID))
	}
}

func (o *ownEvents) count() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}

// Warning is what is amiss that stops nothing: own events that came in during the last two minutes.
// "": nothing.
func (p *Pipeline) Warning() string {
	p.own.mu.Lock()
	defer p.own.mu.Unlock()
	if p.own.last.IsZero() || time.Since(p.own.last) > ownEventsRecent {
		return ""
	}
	return fmt.Sprintf("%s: %s; do: %s; events: %d, the last at %s", ownEventsSaid, ownEventsWhy, ownEventsDo, p.own.seen, p.own.last.UTC().Format(time.RFC3339))
}

// OwnEvents is how many events of workers' own came in on the queues of commands.
func (p *Pipeline) OwnEvents() int64 { return p.own.count() }
