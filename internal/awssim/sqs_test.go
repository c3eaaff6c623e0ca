package awssim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/internal/awssim"
)

func (b *bubble) receive(url *string, n, wait int32) []types.Message {
	b.Helper()
	out, err := b.sqs.ReceiveMessage(b.ctx, &sqs.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: n, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"},
	})
	b.must(err)
	return out.Messages
}

func (b *bubble) one(url *string) types.Message {
	b.Helper()
	got := b.receive(url, 1, 0)
	if len(got) != 1 {
		b.Fatalf("received %d messages, want 1", len(got))
	}
	return got[0]
}

func (b *bubble) none(url *string) {
	b.Helper()
	if got := b.receive(url, 10, 0); len(got) != 0 {
		b.Fatalf("received %q, want nothing", *got[0].Body)
	}
}

func (b *bubble) visibility(url *string, m types.Message, seconds int32) error {
	_, err := b.sqs.ChangeMessageVisibility(b.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds})
	return err
}

func (b *bubble) delete(url *string, m types.Message) error {
	_, err := b.sqs.DeleteMessage(b.ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle})
	return err
}

func (b *bubble) depth(url *string, want awssim.Depth) {
	b.Helper()
	if got := b.Depth(*url); got != want {
		b.Errorf("depth is %+v, want %+v", got, want)
	}
}

// SQS developer guide, "Amazon SQS visibility timeout".
func TestVisibilityTimeout(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url := b.queue("q", map[string]string{"VisibilityTimeout": "60"})
		b.must(b.Send(*url, "hello"))
		first := b.one(url)
		b.none(url)
		b.depth(url, awssim.Depth{InFlight: 1})
		time.Sleep(60*time.Second - time.Nanosecond)
		b.none(url)
		time.Sleep(time.Nanosecond)
		b.depth(url, awssim.Depth{Visible: 1})
		second := b.one(url)
		if *second.MessageId != *first.MessageId || *second.ReceiptHandle == *first.ReceiptHandle {
			b.Error("the same message must come with another receipt handle")
		}
		if got := second.Attributes["ApproximateReceiveCount"]; got != "2" {
			b.Errorf("receive count %s, want 2", got)
		}
		if second.Attributes["ApproximateFirstReceiveTimestamp"] != first.Attributes["ApproximateFirstReceiveTimestamp"] {
			b.Error("the first receive is reported anew")
		}
		// An older handle succeeds and deletes nothing (API_DeleteMessage); it changes nothing.
		b.must(b.delete(url, first))
		b.depth(url, awssim.Depth{InFlight: 1})
		refused(b, b.visibility(url, first, 0), "InvalidParameterValue")

		b.must(b.visibility(url, second, 0))
		third := b.one(url)
		time.Sleep(61 * time.Second)
		refused(b, b.visibility(url, third, 30), "AWS.SimpleQueueService.MessageNotInflight")
		b.must(b.delete(url, third)) // visible again, and still its newest handle
		b.must(b.delete(url, third)) // gone: succeeds
		b.depth(url, awssim.Depth{})
		refused(b, b.visibility(url, third, 30), "InvalidParameterValue")
		refused(b, b.delete(url, types.Message{ReceiptHandle: aws.String("junk")}), "ReceiptHandleIsInvalid")
	})
}

// The twelve hours count from the receive, whatever was extended since.
func TestVisibilityCeiling(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url := b.queue("q", nil)
		b.must(b.Send(*url, "hello"))
		m := b.one(url)
		b.must(b.visibility(url, m, 43200))
		time.Sleep(time.Hour)
		refused(b, b.visibility(url, m, 11*3600+1), "InvalidParameterValue")
		b.must(b.visibility(url, m, 11*3600))
		refused(b, b.visibility(url, m, 43201), "InvalidParameterValue")
	})
}

func TestLongPoll(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url := b.queue("q", map[string]string{"VisibilityTimeout": "5"})
		start := time.Now()
		after := func(want time.Duration, what string) {
			b.Helper()
			if got := time.Since(start); got != want {
				b.Errorf("%s came after %v, want %v", what, got, want)
			}
			start = time.Now()
		}
		if got := b.receive(url, 10, 20); len(got) != 0 {
			b.Error("an empty queue gave a message")
		}
		after(20*time.Second, "nothing")
		go func() {
			time.Sleep(3 * time.Second)
			_ = b.Send(*url, "sent")
		}()
		b.receive(url, 10, 20)
		after(3*time.Second, "a sent message")
		b.receive(url, 10, 20)
		after(5*time.Second, "a message whose visibility ran out")
		_, err := b.sqs.SendMessage(b.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("later"), DelaySeconds: 2})
		b.must(err)
		b.depth(url, awssim.Depth{InFlight: 1, Delayed: 1})
		if got := b.receive(url, 10, 20); *got[0].Body != "later" {
			b.Errorf("got %q", *got[0].Body)
		}
		after(2*time.Second, "a delayed message")
	})
}

// Of many who wait, each message wakes one, and those who leave take nothing.
func TestLongPollsShare(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url := b.queue("q", nil)
		leaving, leave := context.WithCancel(b.ctx)
		var polls sync.WaitGroup
		polls.Go(func() {
			_, err := b.sqs.ReceiveMessage(leaving, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
			if err == nil {
				b.Error("a poll that was given up gave an answer")
			}
		})
		time.Sleep(time.Second)
		got := make([]int, 3)
		for i := range got {
			polls.Go(func() { got[i] = len(b.receive(url, 10, 20)) })
		}
		time.Sleep(time.Second)
		leave()
		time.Sleep(time.Second)
		b.must(b.Send(*url, "a", "b"))
		polls.Wait()
		slices.Sort(got)
		if !slices.Equal(got, []int{0, 1, 1}) {
			b.Errorf("polls got %v messages, want one each for two of them", got)
		}
		b.depth(url, awssim.Depth{InFlight: 2})
	})
}

// SQS developer guide, "Using dead-letter queues in Amazon SQS".
func TestRedrive(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		q, d, err := b.CreateQueueWithDeadLetters("q", 2, nil)
		b.must(err)
		url, dead := &q, &d
		b.must(b.Send(*url, "poison"))
		sent := time.Now()
		for range 2 {
			b.must(b.visibility(url, b.one(url), 0))
		}
		b.depth(url, awssim.Depth{Visible: 1})
		time.Sleep(time.Second)
		b.none(url) // the third receive moves it
		b.depth(url, awssim.Depth{})
		m := b.one(dead)
		if got := m.Attributes["DeadLetterQueueSourceArn"]; got != b.QueueARN(q) {
			b.Errorf("source is %q", got)
		}
		if got := m.Attributes["SentTimestamp"]; got != strconv.FormatInt(sent.UnixMilli(), 10) {
			b.Errorf("sent at %s: a move must not change it", got)
		}
		sources, err := b.sqs.ListDeadLetterSourceQueues(b.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead})
		b.must(err)
		if len(sources.QueueUrls) != 1 || !strings.HasSuffix(sources.QueueUrls[0], "/q") {
			b.Errorf("sources: %v", sources.QueueUrls)
		}
	})
}

// A poll of the dead-letter queue wakes when a poll of the other moves a message there.
func TestRedriveWakes(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		q, d, err := b.CreateQueueWithDeadLetters("q", 1, map[string]string{"VisibilityTimeout": "1"})
		b.must(err)
		var polls sync.WaitGroup
		polls.Go(func() {
			if got := b.receive(&d, 1, 20); len(got) != 1 || time.Now().Nanosecond() != 0 {
				b.Errorf("got %d messages", len(got))
			}
		})
		b.must(b.Send(q, "poison"))
		b.one(&q)
		if got := b.receive(&q, 1, 10); len(got) != 0 {
			b.Error("received once too often")
		}
		polls.Wait()
	})
}

func TestRetention(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url := b.queue("q", map[string]string{"MessageRetentionPeriod": "120", "VisibilityTimeout": "600"})
		b.must(b.Send(*url, "held"))
		b.one(url)
		time.Sleep(time.Minute)
		b.must(b.Send(*url, "young"))
		time.Sleep(time.Minute)
		b.depth(url, awssim.Depth{Visible: 1}) // what was held is gone too
		time.Sleep(time.Minute)
		b.depth(url, awssim.Depth{})
	})
}

func TestAttributesTravel(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url := b.queue("q", nil)
		_, err := b.sqs.SendMessage(b.ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("héllo\n\t€"), MessageGroupId: aws.String("fair"),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-…")},
				"app.bytes":   {DataType: aws.String("Binary.x"), BinaryValue: []byte{0, 255}},
				"app.n":       {DataType: aws.String("Number"), StringValue: aws.String("7")},
			},
			MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
				"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1")},
			},
		})
		b.must(err)
		m := b.one(url)
		if *m.Body != "héllo\n\t€" || string(m.MessageAttributes["app.bytes"].BinaryValue) != "\x00\xff" || len(m.MessageAttributes) != 3 {
			b.Errorf("came as %q with %v", *m.Body, m.MessageAttributes)
		}
		if m.Attributes["MessageGroupId"] != "fair" || m.Attributes["AWSTraceHeader"] != "Root=1" || m.Attributes["SenderId"] == "" {
			b.Errorf("system attributes: %v", m.Attributes)
		}
		b.must(b.visibility(url, m, 0))
		out, err := b.sqs.ReceiveMessage(b.ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MessageAttributeNames: []string{"app.*"}})
		b.must(err)
		if got := out.Messages[0]; len(got.MessageAttributes) != 2 || len(got.Attributes) != 0 {
			b.Errorf("by prefix: %v, %v", got.MessageAttributes, got.Attributes)
		}
	})
}

// What the API reference says is refused, under the codes that SDK users see.
func TestSQSRefusals(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		url := b.queue("q", nil)
		fifo := b.queue("q.fifo", map[string]string{"FifoQueue": "true"})
		gone := aws.String(*url + "-gone")
		send := func(url *string, body string, change ...func(*sqs.SendMessageInput)) error {
			in := &sqs.SendMessageInput{QueueUrl: url, MessageBody: &body}
			for _, c := range change {
				c(in)
			}
			_, err := b.sqs.SendMessage(b.ctx, in)
			return err
		}
		batch := func(ids ...string) error {
			in := &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{}}
			for _, id := range ids {
				in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: aws.String("x")})
			}
			_, err := b.sqs.SendMessageBatch(b.ctx, in)
			return err
		}
		big := strings.Repeat("x", 1<<20)
		const prefix = "AWS.SimpleQueueService."
		for what, c := range map[string]struct {
			err  error
			code string
		}{
			"no such queue":         {send(gone, "x"), prefix + "NonExistentQueue"},
			"not a queue URL":       {send(aws.String("q"), "x"), "InvalidAddress"},
			"a FIFO queue":          {send(fifo, "x"), prefix + "UnsupportedOperation"},
			"empty body":            {send(url, ""), "MissingParameter"},
			"control character":     {send(url, "a\x01b"), "InvalidMessageContents"},
			"as large as allowed":   {send(url, big), ""},
			"one byte too large":    {send(url, big+"x"), "InvalidParameterValue"},
			"too long a delay":      {send(url, "x", func(in *sqs.SendMessageInput) { in.DelaySeconds = 901 }), "InvalidParameterValue"},
			"reserved attribute":    {send(url, "x", attribute("AWS.x", "v")), "InvalidParameterValue"},
			"empty attribute":       {send(url, "x", attribute("x", "")), "InvalidParameterValue"},
			"empty batch":           {batch(), prefix + "EmptyBatchRequest"},
			"eleven in a batch":     {batch(strings.Split("a b c d e f g h i j k", " ")...), prefix + "TooManyEntriesInBatchRequest"},
			"the same id twice":     {batch("a", "a"), prefix + "BatchEntryIdsNotDistinct"},
			"an id with a dot":      {batch("a.b"), prefix + "InvalidBatchEntryId"},
			"batch over a MiB":      {b.sendBatch(url, big, "x"), prefix + "BatchRequestTooLong"},
			"eleven at once":        {b.tryReceive(url, 11, 0), "InvalidParameterValue"},
			"waiting too long":      {b.tryReceive(url, 1, 21), "InvalidParameterValue"},
			"purge":                 {b.purge(url), ""},
			"purge within a minute": {b.purge(url), prefix + "PurgeQueueInProgress"},
		} {
			if got := codeOf(c.err); got != c.code {
				b.Errorf("%s: got code %q, want %q (error: %v)", what, got, c.code, c.err)
			}
		}
	})
}

func attribute(name, value string) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) {
		in.MessageAttributes = map[string]types.MessageAttributeValue{name: {DataType: aws.String("String"), StringValue: &value}}
	}
}

func (b *bubble) sendBatch(url *string, bodies ...string) error {
	in := &sqs.SendMessageBatchInput{QueueUrl: url}
	for i, body := range bodies {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body})
	}
	out, err := b.sqs.SendMessageBatch(b.ctx, in)
	if err == nil && len(out.Failed) > 0 {
		return fmt.Errorf("%d entries failed, first %s", len(out.Failed), *out.Failed[0].Code)
	}
	return err
}

func (b *bubble) tryReceive(url *string, n, wait int32) error {
	_, err := b.sqs.ReceiveMessage(b.ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: n, WaitTimeSeconds: wait})
	return err
}

func (b *bubble) purge(url *string) error {
	_, err := b.sqs.PurgeQueue(b.ctx, &sqs.PurgeQueueInput{QueueUrl: url})
	return err
}

func TestQueuesAreManaged(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		create := func(name string, attributes map[string]string) error {
			_, err := b.sqs.CreateQueue(b.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
			return err
		}
		b.must(create("a", map[string]string{"DelaySeconds": "3"}))
		b.must(create("a", nil))
		b.must(create("b", nil))
		refused(b, create("a", map[string]string{"DelaySeconds": "4"}), "QueueAlreadyExists")
		refused(b, create("c", map[string]string{"DelaySeconds": "901"}), "InvalidAttributeValue")
		refused(b, create("c", map[string]string{"Nonsense": "1"}), "InvalidAttributeName")
		refused(b, create("c/d", nil), "InvalidParameterValue")
		refused(b, create("c.fifo", nil), "InvalidParameterValue")

		list, err := b.sqs.ListQueues(b.ctx, &sqs.ListQueuesInput{MaxResults: aws.Int32(1)})
		b.must(err)
		rest, err := b.sqs.ListQueues(b.ctx, &sqs.ListQueuesInput{MaxResults: aws.Int32(1), NextToken: list.NextToken})
		b.must(err)
		if len(list.QueueUrls) != 1 || len(rest.QueueUrls) != 1 || rest.NextToken != nil || list.QueueUrls[0] == rest.QueueUrls[0] {
			b.Errorf("listed %v, then %v", list.QueueUrls, rest.QueueUrls)
		}

		url, err := b.sqs.GetQueueUrl(b.ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("a")})
		b.must(err)
		_, err = b.sqs.SetQueueAttributes(b.ctx, &sqs.SetQueueAttributesInput{QueueUrl: url.QueueUrl, Attributes: map[string]string{"VisibilityTimeout": "7"}})
		b.must(err)
		got, err := b.sqs.GetQueueAttributes(b.ctx, &sqs.GetQueueAttributesInput{QueueUrl: url.QueueUrl, AttributeNames: []types.QueueAttributeName{"VisibilityTimeout", "DelaySeconds", "RedrivePolicy", "QueueArn"}})
		b.must(err)
		if a := got.Attributes; len(a) != 3 || a["VisibilityTimeout"] != "7" || a["DelaySeconds"] != "3" || a["QueueArn"] != "arn:aws:sqs:us-east-1:123456789012:a" {
			b.Errorf("attributes: %v", a)
		}

		_, err = b.sqs.DeleteQueue(b.ctx, &sqs.DeleteQueueInput{QueueUrl: url.QueueUrl})
		b.must(err)
		refused(b, create("a", nil), "AWS.SimpleQueueService.QueueDeletedRecently")
		time.Sleep(time.Minute)
		b.must(create("a", nil))
	})
}

// Whatever consumers do, each message is deleted once, and none is lost.
func TestNothingIsLost(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		const messages, consumers = 300, 8
		url := b.queue("q", map[string]string{"VisibilityTimeout": "30"})
		for i := range messages {
			b.must(b.Send(*url, "m"+strconv.Itoa(i)))
		}
		var mu sync.Mutex
		deleted := map[string]int{}
		var group sync.WaitGroup
		for c := range consumers {
			group.Go(func() {
				dice := rand.New(rand.NewPCG(1, uint64(c)))
				for misses := 0; misses < 3; {
					got := b.receive(url, 10, 20)
					misses++
					if len(got) > 0 {
						misses = 0
					}
					for _, m := range got {
						switch dice.IntN(4) {
						case 0: // let its visibility run out
						case 1:
							b.must(b.visibility(url, m, int32(dice.IntN(10))))
						default:
							b.must(b.delete(url, m))
							mu.Lock()
							deleted[*m.Body]++
							mu.Unlock()
						}
					}
				}
			})
		}
		group.Wait()
		if len(deleted) != messages {
			b.Errorf("%d messages were deleted, want %d", len(deleted), messages)
		}
		for body, n := range deleted {
			if n != 1 {
				b.Errorf("%s was deleted %d times", body, n)
			}
		}
		b.depth(url, awssim.Depth{})
	})
}

// Ids depend on seed, queue, body and the how-manieth of that body, not on the order of sends.
func TestMessageIDs(t *testing.T) {
	ids := func(seed uint64, bodies ...string) map[string]bool {
		sim := awssim.New(awssim.Options{Seed: seed})
		defer sim.Close()
		url, err := sim.CreateQueue("q", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sim.Send(url, bodies...); err != nil {
			t.Fatal(err)
		}
		set := map[string]bool{}
		for _, m := range sim.Messages(url) {
			set[m.Body+" "+m.ID] = true
		}
		return set
	}
	one := ids(1, "a", "b", "a")
	if len(one) != 3 {
		t.Errorf("ids are not distinct: %v", one)
	}
	for id := range ids(1, "b", "a", "a") {
		if !one[id] {
			t.Errorf("%q came of another order", id)
		}
	}
	for id := range ids(2, "a", "b") {
		if one[id] {
			t.Errorf("%q came of another seed", id)
		}
	}
}
