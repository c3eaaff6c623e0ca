package queue

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
)

func TestLeaseTellsWhatSQSTells(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		sent := time.Now()
		_, err := w.client.SendMessage(w.Context(), &sqs.SendMessageInput{
			QueueUrl: aws.String(w.url), MessageBody: aws.String("body"), MessageGroupId: aws.String("batch/1/us-east-1"),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-1-2-01")},
				"blob":        {DataType: aws.String("Binary"), BinaryValue: []byte{1, 2}},
			},
		})
		w.must(err)
		_, err = w.client.SetQueueAttributes(w.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: aws.String(w.url),
			Attributes: map[string]string{"RedrivePolicy": `{"maxReceiveCount":"1000",` +
				`"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dead-letters"}`},
		})
		w.must(err)

		s := w.subscriber(w.client, Options{})
		known, err := s.Inspect(w.Context(), w.url)
		w.must(err)
		want := Attributes{
			ARN: "arn:aws:sqs:us-east-1:123456789012:commands", MaxMessageBytes: 1 << 20, MaxReceiveCount: 1000, DeadLetterARN: "arn:aws:sqs:us-east-1:123456789012:dead-letters",
		}
		if known != want {
			t.Errorf("Inspect: %+v, want %+v", known, want)
		}
		url, err := s.DeadLetterURL(w.Context(), known.DeadLetterARN)
		if err != nil || url != w.dlq {
			t.Errorf("DeadLetterURL: %q, %v; want %q", url, err, w.dlq)
		}
		if _, err := s.DeadLetterURL(w.Context(), "arn:aws:sns:us-east-1:1:x"); err == nil {
			t.Error("DeadLetterURL takes the ARN of a topic")
		}

		advance(time.Minute)
		m, l := w.next(w.subscribe(s, w.url))
		if string(m.Payload) != "body" || m.UUID != l.MessageID || m.Metadata.Get("traceparent") != "00-1-2-01" || len(m.Metadata) != 1 {
			t.Errorf("message is %s %q %v", m.UUID, m.Payload, m.Metadata)
		}
		if l.QueueURL != w.url || l.MaxReceives != 1000 || l.ReceiveCount != 1 ||
			l.Body != "body" || l.GroupID != "batch/1/us-east-1" || l.SenderID == "" || string(l.Attributes["blob"].BinaryValue) != "\x01\x02" {
			t.Errorf("lease is %+v", l)
		}
		received := sent.Add(time.Minute)
		if !l.SentAt.Equal(sent) || !l.ReceivedAt.Equal(received) {
			t.Errorf("sent %v, received %v; want %v and %v", l.SentAt, l.ReceivedAt, sent, received)
		}
		m.Ack()
	})
}

func TestLeaseIsExtendedAtHalf(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		s := w.subscriber(w.client, Options{Lease: time.Minute})
		m, l := w.next(w.subscribe(s, w.url))
		for half := int64(1); half <= 20; half++ {
			advance(30*time.Second - time.Millisecond)
			if got := w.requests("ChangeMessageVisibilityBatch"); got != half-1 {
				t.Fatalf("%d extensions just before half-time %d", got, half)
			}
			advance(time.Millisecond)
			if got := w.requests("ChangeMessageVisibilityBatch"); got != half {
				t.Fatalf("%d extensions at half-time %d", got, half)
			}
		}
		m.Ack()
		advance(time.Hour)
		w.wantBacklog(w.url, Backlog{})
		if got := w.requests("ChangeMessageVisibilityBatch"); got != 20 {
			t.Errorf("%d extensions; a settled message was extended", got)
		}
		if st := s.Stats(); l.Err() != nil || st.Extended != 20 || st.Received != 1 || st.Again != 0 || st.Deleted != 1 || st.InFlight != 0 {
			t.Errorf("lease: %v, stats: %+v", l.Err(), st)
		}
	})
}

// Messages that came one by one are extended together all the same (the first two requests of each
// wave carry one each: nothing is in their way).
func TestExtensionsShareRequests(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		s := w.subscriber(w.client, Options{Lease: time.Minute})
		c := collect(w.subscribe(s, w.url))
		for range 300 {
			w.send(w.url, 1)
			advance(100 * time.Millisecond)
		}
		if got := len(c.take()); got != 300 {
			t.Fatalf("%d messages received", got)
		}
		advance(5 * time.Minute)
		st := s.Stats()
		requests := w.requests("ChangeMessageVisibilityBatch")
		if st.Extended < 2700 || requests*7 > st.Extended {
			t.Errorf("%d extensions in %d requests", st.Extended, requests)
		}
		if st.Again != 0 || st.Lost != 0 || st.InFlight != 300 {
			t.Errorf("stats: %+v", st)
		}
	})
}

func TestHeldForTooLong(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		// A full window: nothing is received again while the message is held.
		s := w.subscriber(w.client, Options{MaxInFlight: 1})
		ch := w.subscribe(s, w.url)
		m, l := w.next(ch)
		advance(11*time.Hour - time.Second)
		w.wantBacklog(w.url, Backlog{Held: 1})
		if l.Err() != nil {
			t.Fatalf("lost before its time: %v", l.Err())
		}
		advance(2 * time.Second)
		w.wantBacklog(w.url, Backlog{Visible: 1})
		if !errors.Is(l.Err(), errTooLong) {
			t.Errorf("lease: %v, want errTooLong", l.Err())
		}
		m.Ack() // too late: it is not ours to delete
		again, l2 := w.next(ch)
		if again.UUID != m.UUID || l2.ReceiveCount != 2 || s.Stats().Lost != 1 || s.Stats().Deleted != 0 {
			t.Errorf("received %s (count %d) after %s; %+v", again.UUID, l2.ReceiveCount, m.UUID, s.Stats())
		}
		again.Ack()
		w.wantBacklog(w.url, Backlog{})
	})
}

// The lease could not be extended: the message comes again, and the lease takes the newer handle.
func TestReceivedAgainWhileHeld(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		s := w.subscriber(w.client, Options{Lease: 10 * time.Second})
		ch := w.subscribe(s, w.url)
		m, l := w.next(ch)
		first := l.handle()
		w.sim.SetFaults(awssim.Faults{"sqs:ChangeMessageVisibilityBatch": {Items: 1}})
		advance(15 * time.Second)
		w.nothing(ch)
		if l.handle() == first {
			t.Error("the receipt handle is still the first one")
		}
		if st := s.Stats(); st.Received != 1 || st.Again != 1 || st.InFlight != 1 || l.Err() != nil {
			t.Errorf("stats: %+v, lease: %v", st, l.Err())
		}
		w.sim.SetFaults(nil)
		advance(time.Minute)
		if st := s.Stats(); st.Again != 1 {
			t.Errorf("the newer handle is not extended: %+v", st)
		}
		m.Ack()
		w.wantBacklog(w.url, Backlog{})
	})
}

// The lease ran out while the delete was on its way, and the message was received again: SQS does
// not delete by the older handle, and says nothing of it.
func TestReceivedAgainWhileDeleting(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		s := w.subscriber(w.client, Options{Lease: 10 * time.Second})
		ch := w.subscribe(s, w.url)
		m, _ := w.next(ch)
		advance(4 * time.Second)
		w.sim.SetFaults(awssim.Faults{"sqs:DeleteMessageBatch": {Late: 1, LateBy: 9 * time.Second, Times: 1}})
		m.Ack()
		w.settled(s)
		w.nothing(ch)
		w.wantBacklog(w.url, Backlog{})
		if st := s.Stats(); st.Again != 1 || st.Received != 1 || st.Deleted != 1 || w.requests("DeleteMessageBatch") != 2 {
			t.Errorf("%d deletes, stats: %+v", w.requests("DeleteMessageBatch"), st)
		}
	})
}

func TestHandleRefused(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		api := &spy{API: w.client, refuse: func(operation string) (string, bool) {
			if operation == "visibility" {
				return "ReceiptHandleIsInvalid", true
			}
			return "", false
		}}
		s := w.subscriber(api, Options{MaxInFlight: 1})
		m, l := w.next(w.subscribe(s, w.url))
		advance(30 * time.Second)
		if !errors.Is(l.Err(), errHandleRefused) {
			t.Fatalf("lease: %v, want errHandleRefused", l.Err())
		}
		if m.Context().Err() != nil {
			t.Error("the handler was interrupted")
		}
		m.Ack()
		synctest.Wait()
		if got := w.requests("DeleteMessageBatch"); got != 0 {
			t.Errorf("%d deletes for a message whose lease is lost", got)
		}
	})
}

func TestSettlements(t *testing.T) {
	for _, row := range []struct {
		name   string
		settle func(*Lease) (ack bool)
		after  Backlog // at once
		delay  time.Duration
		then   Backlog // after delay
	}{
		{"nothing recorded", func(*Lease) bool { return true }, Backlog{}, 0, Backlog{}},
		{"delete", func(l *Lease) bool { l.Delete(); return true }, Backlog{}, 0, Backlog{}},
		{"release at once", func(l *Lease) bool { l.Defer(0, false); return true }, Backlog{Visible: 1}, 0, Backlog{Visible: 1}},
		{
			"release for later", func(l *Lease) bool { l.Defer(15*time.Minute, false); return true },
			Backlog{Held: 1}, 15 * time.Minute, Backlog{Visible: 1},
		},
		{"release, rounded up", func(l *Lease) bool { l.Defer(time.Millisecond, false); return true }, Backlog{Held: 1}, time.Second, Backlog{Visible: 1}},
		{
			"release, for longer than SQS allows", func(l *Lease) bool { l.Defer(48*time.Hour, false); return true },
			Backlog{Held: 1}, 12 * time.Hour, Backlog{Visible: 1},
		},
		{"dead-letter", func(l *Lease) bool { l.DeadLetter(Mark{Reason: "no"}); return true }, Backlog{}, 0, Backlog{}},
		{"the last one counts", func(l *Lease) bool { l.Defer(0, false); l.Delete(); return true }, Backlog{}, 0, Backlog{}},
		{"nack, whatever is recorded", func(l *Lease) bool { l.Delete(); return false }, Backlog{Visible: 1}, 0, Backlog{Visible: 1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				w.send(w.url, 1)
				s := w.subscriber(w.client, Options{DeadLetters: map[string]string{w.url: w.dlq}})
				ch := w.subscribe(s, w.url)
				m, l := w.next(ch)
				s.StopReceiving() // so that what becomes visible remains so
				advance(2 * time.Second)
				if row.settle(l) {
					m.Ack()
				} else {
					m.Nack()
				}
				w.settled(s)
				w.wantBacklog(w.url, row.after)
				if m.Context().Err() == nil {
					t.Error("the message's context goes on")
				}
				advance(row.delay)
				w.wantBacklog(w.url, row.then)
				dead := 0
				if row.name == "dead-letter" {
					dead = 1
				}
				w.wantBacklog(w.dlq, Backlog{Visible: dead})
			})
		})
	}
}

// A third of all entries fails in passing, each kind of request: everything is settled in the end,
// each dead message once.
func TestPartialFailures(t *testing.T) {
	virtual(t, awssim.Options{Latency: time.Millisecond}, func(w *world) {
		w.send(w.url, 300)
		w.sim.SetFaults(awssim.Faults{
			"sqs:DeleteMessageBatch":           {Items: 0.3},
			"sqs:ChangeMessageVisibilityBatch": {Items: 0.3},
			"sqs:SendMessageBatch":             {Items: 0.3},
		})
		s := w.subscriber(w.client, Options{DeadLetters: map[string]string{w.url: w.dlq}})
		c := collect(w.subscribe(s, w.url))
		advance(10 * time.Second)
		s.StopReceiving()
		advance(2 * time.Second)
		for i, m := range c.take() {
			switch l := LeaseFrom(m.Context()); i % 3 {
			case 0:
				l.Delete()
			case 1:
				l.Defer(time.Hour, false)
			case 2:
				l.DeadLetter(Mark{Reason: "no"})
			}
			m.Ack()
		}
		w.settled(s)
		w.wantBacklog(w.url, Backlog{Held: 100})
		w.wantBacklog(w.dlq, Backlog{Visible: 100})
		if st := s.Stats(); st.Deleted != 100 || st.Released != 100 || st.DeadLettered != 100 || st.Lost != 0 || st.InFlight != 0 {
			t.Errorf("stats: %+v", st)
		}
		for _, operation := range []string{"DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessageBatch"} {
			if w.sim.Counts()["sqs:"+operation].FailedItems == 0 {
				t.Errorf("no entry of %s failed: nothing was tested", operation)
			}
		}
	})
}

func TestSettlingIsGivenUp(t *testing.T) {
	for _, row := range []struct {
		name        string
		code        string
		senderFault bool
		tries       bool // several
		held        time.Duration
	}{
		{"handle refused", "ReceiptHandleIsInvalid", true, false, 0},
		{"sender's fault", "SomethingElse", true, false, 0},
		{"until the lease ends", "InternalError", false, true, time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				w.send(w.url, 1)
				var tries atomic.Int64
				api := &spy{API: w.client, refuse: func(string) (string, bool) {
					tries.Add(1)
					return row.code, row.senderFault
				}}
				s := w.subscriber(api, Options{MaxInFlight: 1})
				ch := w.subscribe(s, w.url)
				m, l := w.next(ch)
				m.Ack()
				began := time.Now()
				w.settled(s)
				if took := time.Since(began); took < row.held-5*time.Second || took > row.held+5*time.Second {
					t.Errorf("gave up after %v, want %v", took, row.held)
				}
				if several := tries.Load() > 1; several != row.tries || l.Err() == nil || s.Stats().Lost != 1 {
					t.Errorf("%d tries, lease %v, %+v", tries.Load(), l.Err(), s.Stats())
				}
				advance(time.Minute)
				if again, _ := w.next(ch); again.UUID != m.UUID {
					t.Errorf("received %s, want %s again", again.UUID, m.UUID)
				}
			})
		})
	}
}

// Settling rides out an outage of SQS that is shorter than the lease.
func TestSettlingRidesOutAnOutage(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 25)
		s := w.subscriber(w.client, Options{})
		c := collect(w.subscribe(s, w.url))
		synctest.Wait()
		w.sim.SetDown("sqs", true)
		for _, m := range c.take() {
			m.Ack()
		}
		advance(40 * time.Second)
		w.sim.SetDown("sqs", false)
		w.settled(s)
		w.wantBacklog(w.url, Backlog{})
		if st := s.Stats(); st.Deleted != 25 || st.Lost != 0 {
			t.Errorf("stats: %+v", st)
		}
	})
}

func TestDeletesShareRequests(t *testing.T) {
	virtual(t, awssim.Options{Latency: 5 * time.Millisecond}, func(w *world) {
		w.send(w.url, 2000)
		s := w.subscriber(w.client, Options{})
		c := collect(w.subscribe(s, w.url))
		advance(10 * time.Second)
		for _, m := range c.take() {
			m.Ack()
		}
		w.settled(s)
		w.wantBacklog(w.url, Backlog{})
		if got := w.requests("DeleteMessageBatch"); got > 210 {
			t.Errorf("2000 messages deleted in %d requests", got)
		}
	})
}
