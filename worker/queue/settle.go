package queue

import (
	"cmp"
	"errors"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/rescindhq/rescind/worker/trouble"
)

// settlementKind is what is done with a message. The set is closed.
type settlementKind int

const (
	undecided settlementKind = iota
	deleting
	deferring
	deadLettering
)

type settlement struct {
	kind   settlementKind
	after  time.Duration // deferring
	byCopy bool          // deferring
	mark   *Mark         // deadLettering
}

// tend waits for the handler's answer to a message that was handed out, and settles it. At the hard
// stop it settles the message first. Watermill's ack can only be waited for, so that every message
// has a goroutine.
func (s *Subscriber) tend(l *Lease) {
	defer l.sub.handed.Done()
	select {
	case <-l.msg.Acked():
	case <-l.msg.Nacked():
	case <-s.hard:
	}
	how := settlement{kind: deferring}
	select {
	case <-l.msg.Acked(): // also where the ack came together with the hard stop
		how = l.recorded()
	default:
	}
	s.settle(l, how)
	select {
	case <-l.msg.Acked():
	case <-l.msg.Nacked():
	case <-s.settling.Done():
	}
}

// settle ends a message's context, makes the requests that settle the message, and frees its place.
func (s *Subscriber) settle(l *Lease, how settlement) {
	l.cancel()
	s.mu.Lock()
	l.settling = how.kind
	extending := l.extending
	s.mu.Unlock()

	switch how.kind {
	case undecided, deleting:
		s.remove(l, "deleting", &s.stats.Deleted)
	case deferring:
		if extending != nil {
			<-extending // an extension that arrived after the release would hide the message again
		}
		s.deferMessage(l, how.after, how.byCopy)
	case deadLettering:
		body, mark := fitMark(l, *how.mark)
		dead := outgoing{body: body, attribute: mark}
		say := func(what string) {
			s.log.Warn(what, zap.String("message", l.MessageID), zap.String("command", trouble.Clean(how.mark.CommandID, saidMost)),
				zap.String("reason", trouble.Clean(how.mark.Reason, saidMost)), zap.String("field", trouble.Clean(how.mark.Field, saidMost)),
				zap.String("sender", trouble.Clean(l.SenderID, saidMost)), zap.String("queue", l.QueueURL))
		}
		failed := func() {
			if l.Receives() <= 1 { // it may come again and again
				say("message to be dead-lettered is held until the dead-letter queue takes it")
			}
		}
		if s.replace(l, "dead-lettering", s.o.DeadLetters[l.QueueURL], dead, &s.stats.DeadLettered, failed) {
			say("message dead-lettered")
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.window.remove(l)
	s.scheduleLocked()
}

// remove deletes a lease's message, and counts it.
func (s *Subscriber) remove(l *Lease, doing string, counter *int64) {
	if s.persist(l, doing, func(receipt string) error {
		return cmp.Or(l.sub.requests.deletes.Do(s.settling, receipt))
	}) {
		s.count(counter)
	}
}

// saidMost bounds what a log line says of a message's own words, in bytes.
const saidMost = 300

// replace sends a message in place of the lease's, then deletes the lease's, and reports whether it was sent. Where
// only that succeeds there are two messages. failed is called when sending fails for the first time.
func (s *Subscriber) replace(l *Lease, doing, url string, by outgoing, counter *int64, failed func()) (sent bool) {
	sends, first := s.sendsTo(url), true
	if s.persist(l, doing, func(string) error {
		if sent {
			return nil // persist asks again for a newer receipt handle; the message is sent once
		}
		err := cmp.Or(sends.Do(s.settling, by))
		if sent = err == nil; !sent && first {
			first = false
			failed()
		}
		return err
	}) {
		s.remove(l, "deleting after "+doing, counter)
	}
	return sent
}

// release makes a message visible after a delay, within the 12 h from receipt that SQS allows, less some
// seconds for the two clocks.
func (s *Subscriber) release(l *Lease, after time.Duration) {
	if s.persist(l, "releasing", func(receipt string) error {
		s.mu.Lock()
		left := visibilityMax - time.Since(l.since) - 10*time.Second
		s.mu.Unlock()
		v := visibility{receipt, max(0, min(wholeSeconds(after), left.Truncate(time.Second)))}
		return cmp.Or(l.sub.requests.visibilities.Do(s.settling, v))
	}) {
		s.count(&s.stats.Released)
	}
}

// persist makes a request for a message until it succeeds, and reports whether it did. It gives up
// when the request is refused for good or the lease is over: then the message comes again by itself.
func (s *Subscriber) persist(l *Lease, doing string, request func(receipt string) error) bool {
	for failures := 0; ; failures++ {
		s.mu.Lock()
		receipt, until, lost := l.receipt, l.until, l.lost
		s.mu.Unlock()
		if lost != nil {
			return false
		}
		if !time.Now().Before(until) {
			return s.giveUp(l, doing, zap.DebugLevel, errLeaseOver)
		}
		err := request(receipt)
		handleRefused := errors.Is(err, errHandleRefused)
		refusal, answered := errors.AsType[*entryError](err)
		switch {
		case (err == nil || handleRefused) && l.handle() != receipt:
			// Received again meanwhile: only the newest handle is sure to work.
		case err == nil:
			return true
		case handleRefused:
			return s.giveUp(l, doing, zap.DebugLevel, err)
		case answered && refusal.senderFault:
			return s.giveUp(l, doing, zap.WarnLevel, err)
		default:
			pause(s.fullJitter(settleBackoff, settleBackoffMax, failures), s.settling.Done())
			if s.settling.Err() != nil {
				return s.giveUp(l, doing, zap.DebugLevel, err)
			}
		}
	}
}

// giveUp leaves a message until it comes again, and returns false.
func (s *Subscriber) giveUp(l *Lease, doing string, level zapcore.Level, why error) bool {
	s.log.Log(level, "settling given up; the message will come again", zap.String("doing", doing), zap.Error(why),
		zap.String("queue", l.QueueURL), zap.String("message", l.MessageID))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseLocked(l, why)
	return false
}

// loseLocked marks a lease as lost, once.
func (s *Subscriber) loseLocked(l *Lease, why error) {
	if l.lost != nil {
		return
	}
	l.lost = why
	s.stats.Lost++
	s.log.Debug("lease lost; the message will come again", zap.Error(why), zap.String("queue", l.QueueURL),
		zap.String("message", l.MessageID), zap.Duration("after", time.Since(l.since)))
}
