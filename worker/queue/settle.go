package queue

import (
	"errors"
	"time"

	"github.com/aws/smithy-go"
	"go.uber.org/zap"
)

// tend waits for the handler's answer to a message that was handed out, and settles it. One
// goroutine a message is the price of Watermill's Ack, which can only be waited for.
func (s *Subscriber) tend(l *Lease) {
	select {
	case <-l.msg.Acked():
	case <-l.msg.Nacked():
	case <-s.hard:
	}
	l.sub.handed.Done()
	how := settlement{kind: releasing}
	select {
	case <-l.msg.Acked(): // also where it came together with the hard stop
		how = l.recorded()
	default:
	}
	s.settle(l, how)
}

// settle does what is to be done with a message, ends its context and frees its place.
func (s *Subscriber) settle(l *Lease, how settlement) {
	defer s.finish(l)
	l.cancel()

	s.mu.Lock()
	l.settling = how.kind
	s.unplanLocked(l)
	extending := l.extending
	s.mu.Unlock()
	if how.kind == releasing && extending != nil {
		// An extension that arrives after the release would hide the message again.
		<-extending
	}

	r := l.sub.requests
	remove := func(receipt string) error { return result(r.deletes.Do(s.settling, receipt)) }
	switch how.kind {
	case deleting:
		if s.persist(l, "deleting", remove) {
			s.stats.deleted.Add(1)
		}
	case releasing:
		var v visibility
		if s.persist(l, "releasing", func(receipt string) error {
			v = visibility{receipt: receipt, timeout: s.releaseTime(l, how.after)}
			return result(r.visibilities.Do(s.settling, v))
		}) {
			s.stats.released.Add(1)
			if v.timeout > recallable && s.o.Strays == nil {
				s.away.add(released{messageKey{l.QueueURL, l.MessageID}, r, v.receipt, time.Now().Add(v.timeout), how.group})
			}
		}
	case burying:
		s.bury(l, *how.mark, remove)
	}
}

// recallable is the release that is worth taking back: a shorter one is over as soon.
const recallable = 2 * time.Second

// entombedMost bounds what is remembered of burials whose message could not be deleted.
const entombedMost = 100_000

// bury sends a message to the dead-letter queue, and then deletes it where it was. One whose
// deletion fails, as it always does where that is not allowed, comes again, and is not sent again.
func (s *Subscriber) bury(l *Lease, m Mark, remove func(receipt string) error) {
	key := messageKey{l.QueueURL, l.MessageID}
	graves := s.gravesOf(l.QueueURL)
	body, mark := fitMark(l, m)
	s.mu.Lock()
	_, sent := s.entombed[key]
	s.mu.Unlock()
	if !s.persist(l, "burying", func(string) error {
		if sent {
			return nil // nor is a newer receipt handle a reason to send it twice
		}
		err := result(graves.Do(s.settling, grave{body: body, mark: mark}))
		sent = err == nil
		return err
	}) {
		return
	}
	deleted := s.persist(l, "deleting what was buried", remove)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case deleted:
		s.stats.buried.Add(1)
		delete(s.entombed, key)
	case len(s.entombed) < entombedMost:
		s.entombed[key] = struct{}{}
	}
}

// result folds the two errors of a group's Do into one.
func result(answer, ended error) error {
	if ended != nil {
		return ended
	}
	return answer
}

// releaseTime keeps a release within what SQS allows: 12 h from receipt, less some seconds for
// the two clocks.
func (s *Subscriber) releaseTime(l *Lease, after time.Duration) time.Duration {
	s.mu.Lock()
	left := visibilityMax - time.Since(l.since) - 10*time.Second
	s.mu.Unlock()
	return max(min(wholeSeconds(after), left.Truncate(time.Second)), 0)
}

// persist makes one request for a message until it is answered for good, and reports whether it
// was done. It tries again, with full jitter, what may go better next time, for as long
// as the lease stands; then the message comes again by itself, and the ledger answers.
func (s *Subscriber) persist(l *Lease, doing string, request func(receipt string) error) bool {
	for failures := 0; ; failures++ {
		s.mu.Lock()
		receipt, until, lost := l.receipt, l.until, l.lost
		s.mu.Unlock()
		if lost != nil {
			return false
		}
		if !time.Now().Before(until) {
			s.giveUp(l, doing, ErrLeaseOver)
			return false
		}
		err := request(receipt)
		newer := l.Receipt() != receipt
		switch judge(err) {
		case none:
			if !newer {
				return true
			}
			// Received again meanwhile: only the newest handle is sure to work.
		case handleRefused:
			if !newer {
				s.giveUp(l, doing, errors.Join(ErrHandleRefused, err))
				return false
			}
		case refused:
			s.giveUp(l, doing, err)
			return false
		case again:
			pause(fullJitter(settleBackoff, settleBackoffMax, failures), s.settling.Done())
			if s.settling.Err() != nil {
				s.giveUp(l, doing, err)
				return false
			}
		}
	}
}

func (s *Subscriber) giveUp(l *Lease, doing string, why error) {
	s.log.Error("settling given up; the message will come again", zap.String("doing", doing), zap.Error(why),
		zap.String("queue", l.QueueURL), zap.String("message", l.MessageID))
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.lost == nil {
		l.lost = why
		s.stats.lost.Add(1)
	}
}

// finish frees a message's place.
func (s *Subscriber) finish(l *Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, l)
	if key := (messageKey{l.QueueURL, l.MessageID}); s.byID[key] == l {
		delete(s.byID, key)
	}
	close(l.done)
	s.scheduleLocked()
}

// fault says what a failed request means for one message. The set is closed.
type fault int

const (
	none          fault = iota
	again               // may go better next time
	refused             // never will: the sender is at fault
	handleRefused       // the receipt handle is no longer good
)

// entryError is one entry's failure in a batch's answer.
type entryError struct {
	code, text  string
	senderFault bool
}

func (e *entryError) Error() string {
	if e.text == "" {
		return e.code
	}
	return e.code + ": " + e.text
}

// judge reads a message's answer. A request that failed as a whole says nothing against the
// message, and is worth another try even where permissions are missing: those may be mended.
// The codes of a handle that is no longer good are those of "DeleteMessage" and
// "ChangeMessageVisibility" in the SQS API Reference; InvalidParameterValue is what SQS answers
// in practice where a handle has expired, which no page documents.
func judge(err error) fault {
	if err == nil {
		return none
	}
	var entry *entryError
	if !errors.As(err, &entry) {
		return again
	}
	switch entry.code {
	case "ReceiptHandleIsInvalid", "InvalidIdFormat", "InvalidParameterValue",
		"MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight":
		return handleRefused
	}
	if entry.senderFault {
		return refused
	}
	return again
}

// contentFault reports whether a request failed as a whole for what one entry may be to blame
// for.
func contentFault(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
		"InvalidMessageContents", "InvalidParameterValue", "MissingParameter", "InvalidAttributeValue":
		return true
	}
	return false
}
