package queue

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// attributed answers GetQueueAttributes, and nothing else.
type attributed struct {
	API
	values map[string]string
}

func (a attributed) GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return &sqs.GetQueueAttributesOutput{Attributes: a.values}, nil
}

// FuzzInspect: whatever a queue says of itself, it is understood as far as it has the form of
// what SQS documents, or refused by the queue's name.
func FuzzInspect(f *testing.F) {
	f.Add("arn:aws:sqs:us-east-1:123456789012:commands", "262144", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:commands-dlq","maxReceiveCount":1000}`)
	f.Add("arn:aws:sqs:us-east-1:123456789012:commands.fifo", "1024", `{"maxReceiveCount":"5","deadLetterTargetArn":"a"}`)
	f.Add("", "9223372036854775807", `{}`)
	f.Add("", "99999999999999999999", `{"maxReceiveCount":1e3}`)
	f.Add("", "-1", `{"maxReceiveCount":-5}`)
	f.Fuzz(func(t *testing.T, arn, size, policy string) {
		s := New(attributed{values: map[string]string{"QueueArn": arn, "MaximumMessageSize": size, "RedrivePolicy": policy}}, Options{})
		a, err := s.Inspect(t.Context(), "https://queue")
		if err != nil {
			if a != (Attributes{}) || policy == "" || !strings.Contains(err.Error(), "https://queue") {
				t.Errorf("%+v, %v", a, err)
			}
			if _, known := s.known["https://queue"]; known {
				t.Error("what could not be read is remembered")
			}
			return
		}
		if a.ARN != arn || a.MaxMessageBytes < 0 || a.MaxReceiveCount < 0 || s.known["https://queue"] != a {
			t.Errorf("read as %+v", a)
		}
		if n, err := strconv.Atoi(size); err == nil && n >= 0 && n <= messageMaxBytes && a.MaxMessageBytes != n {
			t.Errorf("maximum size %q is read as %d", size, a.MaxMessageBytes)
		}
	})
}

// FuzzLease: whatever attributes a message has, the worker can reckon with what is read of them,
// and hands them on as they are.
func FuzzLease(f *testing.F) {
	f.Add("m-1", "{}", "1", "1795262400000", "AIDAEXAMPLE", "traceparent", "String", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", []byte(nil))
	f.Add("", "", "", "", "", "", "", "", []byte{0, 255})
	f.Add("m", "\xff", "-1", "9223372036854775807", "\x00", "a", "Binary.x", "", []byte{})
	f.Add("m", "b", "99999999999999999999", "253402300800000", "s", "n", "Number", "7", []byte("x"))
	f.Fuzz(func(t *testing.T, id, body, receives, sent, sender, name, kind, value string, binary []byte) {
		attribute := types.MessageAttributeValue{BinaryValue: binary}
		if kind != "" {
			attribute.DataType = aws.String(kind)
		}
		if value != "" {
			attribute.StringValue = aws.String(value)
		}
		m := types.Message{
			MessageId: aws.String(id), Body: aws.String(body),
			Attributes:        map[string]string{"ApproximateReceiveCount": receives, "SentTimestamp": sent, "SenderId": sender},
			MessageAttributes: map[string]types.MessageAttributeValue{name: attribute, "none": {}},
		}
		now := time.Unix(1795262400, 0)
		l := newLease(New(nil, Options{}), &subscription{url: "https://queue", values: t.Context()}, m, Attributes{MaxReceiveCount: 1000}, now)
		defer l.cancel()
		if l.MessageID != id || l.Body != body || l.SenderID != sender || l.ReceiveCount < 0 || !l.ReceivedAt.Equal(now) || LeaseFrom(l.msg.Context()) != l {
			t.Errorf("lease %+v", l)
		}
		n, err := strconv.ParseInt(sent, 10, 64)
		switch _, unwritable := l.SentAt.UTC().MarshalJSON(); {
		case unwritable != nil:
			t.Errorf("%q is read as %v, which no outcome can say: %v", sent, l.SentAt, unwritable)
		case err == nil && n > 0 && n < 253402300800000 && l.SentAt.UnixMilli() != n:
			t.Errorf("%q is read as %v", sent, l.SentAt)
		}
		want := map[string]string{}
		if value != "" {
			want[name] = value
		}
		if !maps.Equal(map[string]string(l.msg.Metadata), want) || l.msg.UUID != id || string(l.msg.Payload) != body {
			t.Errorf("message %+v", l.msg)
		}
	})
}

// FuzzMark: SQS takes every dead-lettered message, and the mark tells what was cut. Times
// repeats texts, for a fuzzer would take long to find large ones.
func FuzzMark(f *testing.F) {
	f.Add(`{"action":`, "body must be JSON; it ends too early", "body", "c-1", "AIDAEXAMPLE", "traceparent", []byte{0, 255}, uint32(1), uint16(1))
	f.Add("é", "\x01", "<", "\uFFFE", "\"", "", []byte(nil), uint32(1<<20), uint16(128))
	f.Add("😀", "a", "b", "c", "d", "\x00", []byte("x"), uint32(262000), uint16(40000))
	f.Add("", "\xff", "\xff", "\xff", "\xff", "\xff", []byte("x"), uint32(0), uint16(65535))
	f.Add("a", "\x01", "\x01", "\x01", "\x01", "", []byte(nil), uint32(1<<20-1000), uint16(128))
	f.Fuzz(func(t *testing.T, body, reason, field, id, sender, name string, binary []byte, bodies uint32, times uint16) {
		if !utf8.ValidString(body) {
			return // SQS has no such body
		}
		body = strings.Repeat(body, min(int(bodies), messageMaxBytes/max(1, len(body))))
		long := func(s string) string { return strings.Repeat(s, min(int(times), 1<<17/max(1, len(s)))) }
		l := &Lease{Body: body, SenderID: long(sender), Attributes: map[string]types.MessageAttributeValue{
			name: {DataType: aws.String("String"), StringValue: aws.String(long(reason))}, "blob": {DataType: aws.String("Binary"), BinaryValue: binary},
		}}
		given := Mark{Reason: long(reason), Field: long(field), CommandID: long(id), Cut: []string{"a caller's"}, BodyBytes: 7}
		left, text := fitMark(l, given)
		if size := (outgoing{body: left, attribute: text}).size(); size > messageMaxBytes {
			t.Fatalf("%d bytes: SQS takes %d", size, messageMaxBytes)
		}
		if !utf8.ValidString(left) || !utf8.ValidString(text) || strings.ContainsFunc(text, refusedBySQS) {
			t.Errorf("SQS does not take all characters of %q", text)
		}
		var mark Mark
		if err := json.Unmarshal([]byte(text), &mark); err != nil {
			t.Fatalf("the mark is no JSON: %v: %q", err, text)
		}
		whole := !slices.Contains(mark.Cut, "body")
		if whole != (left == body) || !strings.HasPrefix(body, left) || whole && mark.BodyBytes != 0 || !whole && mark.BodyBytes != len(body) {
			t.Errorf("%d bytes of %d are left, the mark says %v of %d", len(left), len(body), mark.Cut, mark.BodyBytes)
		}
		if named := slices.Sorted(slices.Values(mark.Cut)); len(slices.Compact(named)) != len(mark.Cut) {
			t.Errorf("the mark names what was cut twice: %v", mark.Cut)
		}
		if !whole && len(text) > shortMark {
			t.Errorf("the body was cut for a mark of %d bytes", len(text))
		}
		for part, texts := range map[string][2]string{
			"sender": {mark.Sender, l.SenderID}, "commandId": {mark.CommandID, given.CommandID}, "field": {mark.Field, given.Field}, "reason": {mark.Reason, given.Reason},
		} {
			got, want := texts[0], strings.ToValidUTF8(texts[1], "\uFFFD")
			if !utf8.ValidString(texts[1]) {
				continue // JSON has another count of what stands for the bytes
			}
			if shortened := slices.Contains(mark.Cut, part); !strings.HasPrefix(want, got) || shortened == (got == want) {
				t.Errorf("%s is %.100q of %.100q, the mark says %v", part, got, want, mark.Cut)
			}
		}
	})
}

// refusedBySQS are the characters that SQS takes in no message ("SendMessage", SQS API
// Reference).
func refusedBySQS(r rune) bool {
	return r != '\t' && r != '\n' && r != '\r' && r < ' ' || r == 0xFFFE || r == 0xFFFF
}
