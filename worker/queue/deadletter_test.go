package queue

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
)

func TestDeadLetter(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		_, err := w.client.SendMessage(w.Context(), &sqs.SendMessageInput{
			QueueUrl: aws.String(w.url), MessageBody: aws.String(`{"action":`),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-<1>")},
				"blob":        {DataType: aws.String("Binary.x"), BinaryValue: []byte{0, 255}},
			},
		})
		w.must(err)
		s := w.subscriber(w.client, Options{DeadLetters: map[string]string{w.url: w.dlq}})
		m, l := w.next(w.subscribe(s, w.url))
		l.DeadLetter(Mark{Reason: "is not JSON: unexpected end", Field: "action", CommandID: "c-1"})
		m.Ack()
		w.settled(s)

		w.wantBacklog(w.url, Backlog{})
		list := w.receive(w.dlq)
		if len(list) != 1 {
			t.Fatalf("%d dead-lettered", len(list))
		}
		dead := list[0]
		if aws.ToString(dead.Body) != `{"action":` || len(dead.MessageAttributes) != 1 {
			t.Errorf("dead-lettered %q with %v", aws.ToString(dead.Body), dead.MessageAttributes)
		}
		var mark Mark
		w.must(json.Unmarshal([]byte(aws.ToString(dead.MessageAttributes[MarkAttribute].StringValue)), &mark))
		want := Mark{
			Reason: "is not JSON: unexpected end", Field: "action", CommandID: "c-1", MessageID: l.MessageID, Sender: l.SenderID,
			Attributes: map[string]MarkAttributeValue{
				"traceparent": {Type: "String", Value: "00-<1>"},
				"blob":        {Type: "Binary.x", Binary: []byte{0, 255}},
			},
		}
		if !reflect.DeepEqual(mark, want) {
			t.Errorf("mark is %+v, want %+v", mark, want)
		}
		if st := s.Stats(); st.DeadLettered != 1 || st.Deleted != 0 {
			t.Errorf("stats: %+v", st)
		}
	})
}

// The largest message that SQS takes can be dead-lettered.
func TestDeadLetterTheLargest(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 9)
		_, err := w.client.SendMessage(w.Context(), &sqs.SendMessageInput{
			QueueUrl: aws.String(w.url), MessageBody: aws.String(strings.Repeat("é", messageMaxBytes/2)),
		})
		w.must(err)
		s := w.subscriber(w.client, Options{DeadLetters: map[string]string{w.url: w.dlq}})
		c := collect(w.subscribe(s, w.url))
		for _, m := range c.take() {
			LeaseFrom(m.Context()).DeadLetter(Mark{Reason: "too large"})
			m.Ack()
		}
		w.settled(s)
		w.wantBacklog(w.url, Backlog{})
		w.wantBacklog(w.dlq, Backlog{Visible: 10})
	})
}

func TestDeadLetterWithoutDeadLetterQueue(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		w.send(w.url, 1)
		s := w.subscriber(w.client, Options{MaxInFlight: 1})
		m, l := w.next(w.subscribe(s, w.url))
		l.DeadLetter(Mark{Reason: "no"})
		m.Ack()
		w.settled(s)
		w.wantBacklog(w.url, Backlog{Held: 1}) // until its lease ends
		if l.Err() == nil || s.Stats().Lost != 1 {
			t.Errorf("lease: %v, %+v", l.Err(), s.Stats())
		}
	})
}

func TestMarkFits(t *testing.T) {
	attributes := func(n int) map[string]types.MessageAttributeValue {
		return map[string]types.MessageAttributeValue{
			"a": {DataType: aws.String("String"), StringValue: aws.String(strings.Repeat("x", n))},
		}
	}
	for _, row := range []struct {
		name       string
		body       int
		attributes int
		reason     int
		cut        []string
		whole      bool // the body remains whole
	}{
		{"small", 100, 100, 100, nil, true},
		{"a long reason that fits", 100, 100, 50_000, nil, true},
		{"many attributes that fit", 100, 200_000, 100, nil, true},
		{"just fits", messageMaxBytes - 2000, 100, 100, nil, true},
		{"attributes give way", messageMaxBytes - 2000, 5000, 100, []string{"attributes"}, true},
		{"attributes and reason give way", messageMaxBytes - 2000, 5000, 5000, []string{"attributes", "reason"}, true},
		{"a short mark is not cut for a large body", messageMaxBytes, 100, 100, []string{"body"}, false},
		{"everything gives way", messageMaxBytes, 5000, 5000, []string{"attributes", "reason", "body"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := &Lease{SenderID: "AIDAEXAMPLE", Body: strings.Repeat("é", row.body/2), Attributes: attributes(row.attributes)}
			body, text := fitMark(l, Mark{Reason: strings.Repeat("\uFFFE\x01", row.reason/4), Field: "parameters.jobId"})
			if size := (outgoing{body: body, attribute: text}).size(); size > messageMaxBytes {
				t.Errorf("%d bytes", size)
			}
			var mark Mark
			if err := json.Unmarshal([]byte(text), &mark); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(mark.Cut, row.cut) {
				t.Errorf("cut %v, want %v", mark.Cut, row.cut)
			}
			if len(row.cut) > 0 && len(text) > shortMark && !slices.Equal(row.cut, []string{"body"}) {
				t.Errorf("a mark of %d bytes", len(text))
			}
			if whole := body == l.Body; whole != row.whole || !strings.HasPrefix(l.Body, body) || !utf8.ValidString(body) {
				t.Errorf("body of %d bytes, whole: %v", len(body), whole)
			}
			if !row.whole && (mark.BodyBytes != len(l.Body) || len(body) < messageMaxBytes-shortMark-markOverhead-2) {
				t.Errorf("%d bytes of body left, said to be of %d", len(body), mark.BodyBytes)
			}
			if strings.ContainsAny(text, "\uFFFE\x01\n") {
				t.Error("the mark holds characters that SQS refuses")
			}
		})
	}
}
