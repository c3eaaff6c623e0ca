package pipeline

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/queue"
)

// AWS's own events say that targets have ended. Whoever receives one stores what it shows in the ledger; no message is
// woken for it. The next look of a command that waits for proof finds it there, and makes no call. An event only ever
// ends a target that AWS has taken a cancel of, and only by what a read of its state would show too.

const (
	// readFirst is how long after acceptance AWS is asked all the same where no event has come, and after that each time
	// that twice as long has passed. The last look always asks.
	readFirst = 30 * time.Second
	// eventGrain is what the times of events are cut to: EventBridge's have whole seconds.
	eventGrain = time.Second
	// reasonMost bounds the reason that is kept of an event, in bytes: longer than Batch's, which has 1,024 characters.
	reasonMost = 8 << 10
)

// eventEnvelope is what EventBridge puts around every event ("Events", Amazon EventBridge User Guide).
type eventEnvelope struct {
	Source     string         `json:"source"`
	DetailType string         `json:"detail-type"`
	Account    string         `json:"account"`
	Region     string         `json:"region"`
	Time       time.Time      `json:"time"`
	Detail     jsontext.Value `json:"detail"`
}

// eventKind is what a message of the state queue is. The set is closed.
type eventKind int

const (
	storedEvent    eventKind = iota + 1 // it shows an end
	ignoredEvent                        // nothing to learn from, or of another service
	strangeMessage                      // no event
)

// StateEvents counts the messages of the state queue by what they were.
type StateEvents struct {
	Stored  int64 // events that show an end
	Ignored int64 // other events: nothing to learn from, or of another service
	Strange int64 // no events: they are left on the queue
}

// stateEvents is the part of a Pipeline that reads the state queue.
type stateEvents struct {
	readers map[string]eventReader // by source and detail-type

	mu     sync.Mutex
	counts StateEvents
	said   time.Time // when the last line about a strange one was logged
}

type eventReader struct {
	handlers.EventReader
	service string
}

func newStateEvents(all []handlers.Handler) *stateEvents {
	s := &stateEvents{readers: make(map[string]eventReader)}
	for _, h := range all {
		if r, ok := h.(handlers.EventReader); ok {
			source, detailType := r.EventSource()
			s.readers[source+"\x00"+detailType] = eventReader{r, h.Action().Service()}
		}
	}
	return s
}

// StateEvents returns the counts so far.
func (p *Pipeline) StateEvents() StateEvents {
	p.events.mu.Lock()
	defer p.events.mu.Unlock()
	return p.events.counts
}

// HandleEvent takes in one message of the state queue. It always returns nil: how the message is to be
// settled is recorded on its lease. What is no event of EventBridge's is left on the queue, for its redrive policy or its
// retention: it is not ours to delete.
func (p *Pipeline) HandleEvent(msg *message.Message) error {
	l := queue.LeaseFrom(msg.Context())
	defer func() {
		if v := recover(); v != nil {
			p.log.Error("reading an event panicked; it is left on the state queue", zap.String("message", l.MessageID), zap.Error(newPanic(v)))
			l.Defer(unreadableWait, false)
		}
	}()
	e, kind := p.events.read([]byte(l.Body))
	p.events.note(kind, p.log, l)
	switch kind {
	case strangeMessage:
		l.Defer(unreadableWait, false)
		return nil
	case storedEvent:
		if err := p.claims.putEvent(msg.Context(), e); err != nil && !ledger.IsOfRecord(err) {
			l.Defer(0, false) // this worker is being stopped
			return nil
		}
	case ignoredEvent:
	}
	l.Delete()
	return nil
}

// read returns what a message shows, and of which kind it is.
func (s *stateEvents) read(body []byte) (ledger.Event, eventKind) {
	var envelope eventEnvelope
	if json.Unmarshal(body, &envelope, jsontext.AllowInvalidUTF8(true)) != nil || envelope.Source == "" || envelope.DetailType == "" {
		return ledger.Event{}, strangeMessage
	}
	reader, ok := s.readers[envelope.Source+"\x00"+envelope.DetailType]
	if !ok {
		return ledger.Event{}, ignoredEvent
	}
	ended, ok := reader.ReadEvent(bytes.TrimSpace(envelope.Detail))
	if !ok || envelope.Time.IsZero() {
		return ledger.Event{}, ignoredEvent
	}
	at := handlers.Location{Account: envelope.Account, Region: envelope.Region}
	return ledger.Event{
		Target: eventTarget(reader.service, at, ended.ID), In: ended.In, State: ended.State,
		Reason: strings.ToValidUTF8(ended.Reason[:min(len(ended.Reason), reasonMost)], ""), At: envelope.Time,
	}, storedEvent
}

// note counts a message, and says at most once a minute that one is strange.
func (s *stateEvents) note(kind eventKind, log *zap.Logger, l *queue.Lease) {
	s.mu.Lock()
	say := false
	switch kind {
	case storedEvent:
		s.counts.Stored++
	case ignoredEvent:
		s.counts.Ignored++
	case strangeMessage:
		s.counts.Strange++
		if now := time.Now(); s.said.IsZero() || now.Sub(s.said) >= ownEventsEvery {
			s.said, say = now, true
		}
	}
	s.mu.Unlock()
	if say {
		log.Warn("a message on the state queue is no event of EventBridge's; it is left there", zap.String("why", "the queue of RESCIND_STATE_QUEUE_URL has other senders"),
			zap.String("do", "let only the EventBridge rule send to it, with the whole event as its input, or name the right queue"),
			zap.String("queue", l.QueueURL), zap.String("message", l.MessageID))
	}
}

// eventTarget names a target in the ledger's record of events.
func eventTarget(service string, at handlers.Location, id string) string {
	return service + "/" + at.Account + "/" + at.Region + "/" + id
}

// fromEvents answers looks for proof by what events have shown, and returns the targets of which AWS is to be asked.
func (c *cancellation) fromEvents(targets []*target) (left []*target) {
	x := c.x
	waiting := make(map[*target]string) // the names that events have
	names := make([]string, 0, len(targets))
	for _, t := range targets {
		if _, ok := t.handler.(handlers.EventReader); ok && c.p.o.StateEvents && t.isLookedAt() {
			waiting[t] = eventTarget(t.handler.Action().Service(), x.at, t.ID)
			names = append(names, waiting[t])
		}
	}
	if len(waiting) == 0 {
		return targets
	}
	seen, err := c.p.claims.eventsOf(c.reads, names)
	if err != nil { // the time for reads is over, which their lane says
		return targets
	}
	now := time.Now()
	for _, t := range targets {
		name, isWaiting := waiting[t]
		e, isSeen := seen[name]
		isSeen = isSeen && !e.At.Add(eventGrain).Before(t.calledAt)
		switch {
		case !isWaiting:
			left = append(left, t)
		case isSeen && t.endByEvent(e):
		case isSeen, x.isReadDue(t, now):
			x.asked(now)
			left = append(left, t)
		default:
			t.isAwaited = true
			c.look(t)
		}
	}
	return left
}

// isLookedAt reports whether a reading of a target is a look for proof: AWS has taken it, and it was put off before. One
// whose listing did not answer is on its way to AWS already.
func (t *target) isLookedAt() bool {
	x := t.execution
	return t.taken && !t.isByID && x.confirm > 0 && (t.isAwaited || !x.nextLook.IsZero())
}

// asked notes that AWS is asked for proof.
func (x *execution) asked(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.readAt = now
}

// isReadDue reports whether AWS is to be asked for a target's state though no event has come.
func (x *execution) isReadDue(t *target, now time.Time) bool {
	accepted := x.firstAccepted(now)
	isToEscalate := x.command.Escalate > 0 && t.escalation == "" && !now.Before(accepted.Add(x.command.Escalate))
	after := readFirst
	if !x.readAt.IsZero() {
		after = max(after, 2*x.readAt.Sub(accepted))
	}
	return x.barred != nil || isToEscalate || !now.Before(x.proofUntil(now)) || now.Sub(accepted) >= after
}

// endByEvent ends a target by what an event shows, where that is enough.
func (t *target) endByEvent(e ledger.Event) bool {
	r, ok := t.handler.(handlers.EventReader).Shows(t.Target, handlers.Ended{ID: t.ID, In: e.In, State: e.State, Reason: e.Reason})
	if !ok {
		return false
	}
	a := t.handler.Judge(t.Target, t.tried(), r)
	if a.Status.Verdict() != handlers.Stopped {
		return false
	}
	a.RequestID = t.answer.RequestID // of the cancelling call
	t.reading, t.byRead, t.byEvent = r, false, true
	t.end(a)
	return true
}

// eventsMost is how many events one write of the ledger takes, and of how many targets one read of it asks.
const eventsMost = 25

func (c *claims) putEvent(ctx context.Context, e ledger.Event) error {
	return c.insist(ctx, func() error {
		failed, err := c.events.Do(ctx, e)
		if err != nil {
			return err
		}
		return failed
	})
}

// seen is what the ledger has of the targets of one look.
type seen struct {
	events map[string]ledger.Event
	err    error
}

func (c *claims) eventsOf(ctx context.Context, targets []string) (found map[string]ledger.Event, err error) {
	err = c.insist(ctx, func() error {
		s, err := c.looks.Do(ctx, targets)
		if err != nil {
			return err
		}
		found = s.events
		return s.err
	})
	return found, err
}

// lookUp asks the ledger once for the targets of several looks.
func (c *claims) lookUp(looks [][]string) []seen {
	var all []string
	for _, targets := range looks {
		all = append(all, targets...)
	}
	var s seen
	s.events, s.err = c.ledger.Events(context.Background(), all...)
	answers := make([]seen, len(looks))
	for i := range answers {
		answers[i] = s
	}
	return answers
}
