package queue

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
)

var deploymentKey = []byte("0123456789abcdef0123456789abcdef")

// tenAttributes is as many as SQS takes.
func tenAttributes() map[string]types.MessageAttributeValue {
	list := map[string]types.MessageAttributeValue{
		"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-<1>")},
		"count":       {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
		"blob":        {DataType: aws.String("Binary.x"), BinaryValue: []byte{0, 255}},
	}
	for i := len(list); i < 10; i++ {
		list[fmt.Sprint("a", i)] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("\ufffd\"é")}
	}
	return list
}

func (w *world) sendWith(body string, attributes map[string]types.MessageAttributeValue, group string) (id string) {
	w.Helper()
	in := &sqs.SendMessageInput{QueueUrl: aws.String(w.url), MessageBody: aws.String(body), MessageAttributes: attributes}
	if group != "" {
		in.MessageGroupId = aws.String(group)
	}
	out, err := w.client.SendMessage(w.Context(), in)
	w.must(err)
	return aws.ToString(out.MessageId)
}

// A deferred message comes back after its delay as the message that was first sent, however often,
// and is not in flight meanwhile.
func TestDefer(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		sent := time.Now()
		id := w.sendWith(`{"é":1}`, tenAttributes(), "batch/us-east-1")
		s := w.subscriber(w.client, Options{Key: deploymentKey})
		ch := w.subscribe(s, w.url)
		var sender string
		for n := 1; n <= 4; n++ {
			m, l := w.next(ch)
			if n == 1 {
				sender = l.SenderID
			}
			if l.MessageID != id || l.SenderID != sender || !l.SentAt.Equal(sent.Truncate(time.Millisecond)) ||
				l.Body != `{"é":1}` || l.GroupID != "batch/us-east-1" || l.ReceiveCount != 1 || l.Receives() != n {
				t.Fatalf("delivery %d: %+v", n, l)
			}
			if !slices.Equal(slices.Sorted(maps.Keys(l.Attributes)), slices.Sorted(maps.Keys(tenAttributes()))) {
				t.Fatalf("delivery %d has the attributes %v", n, l.Attributes)
			}
			for name, want := range tenAttributes() {
				if got := l.Attributes[name]; !reflect.DeepEqual(got, want) {
					t.Errorf("delivery %d: attribute %s is %v, want %v", n, name, got, want)
				}
			}
			l.Defer(5*time.Minute, false)
			m.Ack()
			w.settled(s)
			w.wantBacklog(w.url, Backlog{Delayed: 1})
			advance(5*time.Minute - time.Second)
			w.nothing(ch)
			advance(2 * time.Second)
		}
		if st := s.Stats(); st.Deferred != 4 || st.Forged != 0 || st.Released != 0 {
			t.Errorf("stats: %+v", st)
		}
	})
}

// Which way a message is deferred.
func TestDeferChoosesTheCheaperWayThatLosesNothing(t *testing.T) {
	for _, row := range []struct {
		name        string
		delay       time.Duration
		body        int
		maxReceives int
		key         []byte
		copied      bool
		back        time.Duration
	}{
		{"a short wait", 59 * time.Second, 10, 0, deploymentKey, false, 59 * time.Second},
		{"a short wait of a message with receives to spare", 20 * time.Second, 10, 5, deploymentKey, false, 20 * time.Second},
		{"a short wait of a message that would be on its last receive", 20 * time.Second, 10, 2, deploymentKey, true, 20 * time.Second},
		{"at once, of a message on its last receive", 0, 10, 1, deploymentKey, true, 0},
		{"a minute", time.Minute, 10, 0, deploymentKey, true, time.Minute},
		{"longer than SQS delays", time.Hour, 10, 0, deploymentKey, true, 15 * time.Minute},
		{"a part of a second", time.Minute + time.Millisecond, 10, 0, deploymentKey, true, 61 * time.Second},
		{"a copy that the queue would not take", 5 * time.Minute, 256<<10 - 100, 0, deploymentKey, false, 5 * time.Minute},
		{"the largest copy", 5 * time.Minute, 256<<10 - 2000, 0, deploymentKey, true, 5 * time.Minute},
		{"no key", 5 * time.Minute, 10, 0, nil, false, 5 * time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				attributes := map[string]string{"MaximumMessageSize": "262144"}
				if row.maxReceives > 0 {
					dead := w.attribute(w.dlq, types.QueueAttributeNameQueueArn)
					attributes["RedrivePolicy"] = fmt.Sprintf(`{"maxReceiveCount":%d,"deadLetterTargetArn":%q}`, row.maxReceives, dead)
				}
				_, err := w.client.SetQueueAttributes(w.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &w.url, Attributes: attributes})
				w.must(err)
				id := w.sendWith(strings.Repeat("x", row.body), nil, "")
				s := w.subscriber(w.client, Options{Key: row.key})
				_, err = s.Inspect(w.Context(), w.url)
				w.must(err)
				ch := w.subscribe(s, w.url)
				m, l := w.next(ch)
				l.Defer(row.delay, false)
				m.Ack()
				if row.back > 0 {
					w.settled(s)
					want := Backlog{Held: 1}
					if row.copied {
						want = Backlog{Delayed: 1}
					}
					w.wantBacklog(w.url, want)
					advance(row.back - time.Second)
					w.nothing(ch)
					advance(2 * time.Second)
				}
				_, l = w.next(ch)
				if l.MessageID != id || l.Receives() != 2 || (l.ReceiveCount == 1) != row.copied {
					t.Errorf("came back as %+v", l)
				}
			})
		})
	}
}

func (w *world) attribute(url string, name types.QueueAttributeName) string {
	w.Helper()
	out, err := w.client.GetQueueAttributes(w.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	w.must(err)
	return out.Attributes[string(name)]
}

// An attribute that no worker of this deployment wrote for this body changes nothing.
func TestForgedAttributesAreIgnored(t *testing.T) {
	c := carried{MessageID: "another", Sender: "root", SentAt: 1, Receives: 3}
	sealed := c.seal(deploymentKey, "body")
	for name, text := range map[string]string{
		"no HMAC":            asText(c),
		"another body's":     c.seal(deploymentKey, "other"),
		"another key's":      c.seal([]byte("another"), "body"),
		"another id":         strings.Replace(sealed, "another", "changed", 1),
		"another time":       strings.Replace(sealed, `"sentAt":1`, `"sentAt":2`, 1),
		"a field more":       strings.Replace(sealed, "{", `{"more":1,`, 1),
		"something after it": sealed + "{}",
		"a field twice":      strings.Replace(sealed, "{", `{"messageId":"x",`, 1)[:20],
		"a mark":             Mark{Reason: "is not JSON"}.text(),
		"no JSON":            "x",
		"empty base64":       strings.Replace(asText(c), "}", `,"mac":""}`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				id := w.sendWith("body", map[string]types.MessageAttributeValue{
					MarkAttribute: {DataType: aws.String("String"), StringValue: aws.String(text)},
				}, "")
				s := w.subscriber(w.client, Options{Key: deploymentKey})
				_, l := w.next(w.subscribe(s, w.url))
				if l.MessageID != id || l.SenderID == "root" || l.Receives() != 1 || l.SentAt.UnixMilli() < 10 {
					t.Errorf("believed: %+v", l)
				}
				if forged := s.Stats().Forged; forged != 1 {
					t.Errorf("%d forged", forged)
				}
			})
		})
	}
	if got, ok, forged := openCarried(deploymentKey, types.Message{
		Body: aws.String("body"), MessageAttributes: map[string]types.MessageAttributeValue{MarkAttribute: {StringValue: &sealed}},
	}); !ok || forged || got.MessageID != "another" {
		t.Errorf("a true one is not read: %+v, %v, %v", got, ok, forged)
	}
}

// A reply that is lost, of the send or of the deletion, may leave two copies and never none.
func TestDeferSurvivesLostReplies(t *testing.T) {
	for _, operation := range []string{"SendMessageBatch", "DeleteMessageBatch"} {
		t.Run(operation, func(t *testing.T) {
			virtual(t, awssim.Options{}, func(w *world) {
				id := w.sendWith("body", nil, "")
				s := w.subscriber(w.client, Options{Key: deploymentKey})
				c := collect(w.subscribe(s, w.url))
				m := c.take()[0]
				w.sim.SetFaults(awssim.Faults{"sqs:" + operation: {Lost: 1, Times: 1}})
				LeaseFrom(m.Context()).Defer(2*time.Minute, false)
				m.Ack()
				w.settled(s)
				advance(3 * time.Minute)
				list := c.take()
				if len(list) == 0 {
					t.Fatal("the message is lost")
				}
				for _, m := range list {
					if l := LeaseFrom(m.Context()); l.MessageID != id {
						t.Errorf("a copy of %s, not of %s", l.MessageID, id)
					}
				}
			})
		})
	}
}
