package sqs

import (
	"encoding/binary"
	"time"
)

// maxInFlight is how many messages of a standard queue can be in flight ("Amazon SQS message
// quotas").
const maxInFlight = 120_000

// queue is one queue. All of it is guarded by SQS's lock, but for what never changes: arn,
// account, region, name, tag, fifo, created.
type queue struct {
	arn, account, region, name string
	tag                        uint32 // of its receipt handles

	fifo    bool
	created time.Time

	settings settings
	modified time.Time
	purged   time.Time

	messages map[ID]*message
	visible  list
	later    *timeHeap // delayed and in flight, by when they become visible
	ages     *timeHeap // all, by when they were sent
	inFlight int
	serial   uint64
	// again is what was handed out and shall be handed out once more, while it is in flight.
	again []handle
	// bodies counts how often a body was sent, by the first bytes of its MD5.
	bodies map[uint64]uint32

	pollers pollers
	timer   *time.Timer // nil until somebody first has to wait
}

func newQueue(region, account, name string, now time.Time) *queue {
	return &queue{
		arn: arn(region, account, name), tag: queueTag(arn(region, account, name)), account: account, region: region, name: name,
		created: now, modified: now, settings: defaults(),
		messages: map[ID]*message{}, bodies: map[uint64]uint32{},
		later: newTimeHeap(0, byUntil), ages: newTimeHeap(1, bySent),
	}
}

// occurrence counts a body and returns the how-manieth it is.
func (q *queue) occurrence(body [16]byte) uint32 {
	key := binary.BigEndian.Uint64(body[:8])
	q.bodies[key]++
	return q.bodies[key]
}

// insert puts a message on the queue, visible after a delay.
func (q *queue) insert(m *message, delay time.Duration, now time.Time) {
	q.serial++
	m.serial = q.serial
	q.messages[m.id] = m
	q.ages.add(m)
	if delay > 0 {
		m.state, m.until = delayed, now.Add(delay)
		q.later.add(m)
		return
	}
	q.show(m)
}

func (q *queue) show(m *message) {
	m.state = visible
	q.visible.push(m)
}

// hide puts a message that stands nowhere in flight.
func (q *queue) hide(m *message, until time.Time) {
	m.state, m.until = inFlight, until
	q.later.add(m)
	q.inFlight++
}

// take takes a message from where it stands; it remains on the queue.
func (q *queue) take(m *message) {
	switch m.state {
	case visible:
		q.visible.remove(m)
	case inFlight:
		q.inFlight--
		q.later.remove(m)
	case delayed:
		q.later.remove(m)
	}
}

// remove takes a message off the queue.
func (q *queue) remove(m *message) {
	q.take(m)
	q.ages.remove(m)
	delete(q.messages, m.id)
}

// advance does what time has done: messages become visible, and expire.
func (q *queue) advance(now time.Time) {
	for m := q.ages.first(); m != nil && !m.sent.Add(q.settings.retention).After(now); m = q.ages.first() {
		q.remove(m)
	}
	for m := q.later.first(); m != nil && !m.until.After(now); m = q.later.first() {
		q.take(m)
		q.show(m)
	}
}

// deadLetters returns the queue that a redrive moves messages to; nil for none. That a queue
// whose dead-letter queue was deleted keeps its messages is not documented.
func (s *SQS) deadLettersLocked(q *queue) *queue {
	if q.settings.redrive == nil {
		return nil
	}
	target := s.queues[q.settings.redrive.TargetARN]
	if target == q {
		return nil
	}
	return target
}

// wanting says how a receive wants its messages.
type wanting struct {
	n          int
	visibility time.Duration
	twice      func(item string, delivery uint32) bool // of service.Call; nil: nothing does
}

// receiveLocked takes visible messages, and before them those that come twice ("Amazon SQS
// at-least-once delivery"). What was received too often is moved to the
// dead-letter queue in passing, which is when AWS does it too.
func (s *SQS) receiveLocked(q *queue, w wanting, now time.Time) []received {
	got := q.receiveAgain(w, now)
	var doubled []handle
	dead := s.deadLettersLocked(q)
	moved := false
	for len(got) < w.n && q.visible.n > 0 && q.inFlight < maxInFlight {
		m := q.visible.head
		if dead != nil && m.count >= q.settings.redrive.MaxReceives {
			q.remove(m)
			m.source = q.arn
			dead.insert(m, 0, now)
			moved = true
			continue
		}
		q.take(m)
		q.hide(m, now.Add(w.visibility))
		r := q.hand(m, now)
		got = append(got, r)
		if w.twice != nil && w.twice(m.id.String(), m.receipt) {
			doubled = append(doubled, r.handle)
		}
	}
	q.again = append(q.again, doubled...) // not for the same receive
	if moved {
		s.wakeLocked(dead, now)
	}
	return got
}

// hand gives out a message that is in flight.
func (q *queue) hand(m *message, now time.Time) received {
	m.count++
	m.receipt++
	m.received = now
	if m.count == 1 {
		m.first = now
	}
	return received{
		message: m, count: m.count, first: m.first, source: m.source,
		handle: handle{id: m.id, number: m.receipt, queue: q.tag},
	}
}

// receiveAgain gives out what shall come twice, unless it was settled since. The visibility
// timeout begins anew, and the older handle is not the newest any more.
func (q *queue) receiveAgain(w wanting, now time.Time) (got []received) {
	for len(got) < w.n && len(q.again) > 0 {
		m, number := q.messages[q.again[0].id], q.again[0].number
		q.again = q.again[1:]
		if m == nil || m.state != inFlight || m.receipt != number {
			continue
		}
		m.until = now.Add(w.visibility)
		q.later.move(m)
		got = append(got, q.hand(m, now))
	}
	return got
}

// received is a message as one receive found it; message is read only for what never changes.
type received struct {
	message *message
	handle  handle
	count   int
	first   time.Time
	source  string
}

// giveBackLocked undoes a receive whose caller was known to be gone before it was answered.
// That AWS does so is not documented; neither is that it does not.
func (q *queue) giveBackLocked(got []received) {
	for i := len(got) - 1; i >= 0; i-- {
		m := got[i].message
		if q.messages[m.id] != m || m.state != inFlight || m.receipt != got[i].handle.number {
			continue
		}
		q.take(m)
		m.count--
		m.state = visible
		q.visible.pushFront(m)
	}
}
