package peers_test

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// waiting is what a wait in real time may take longer than it should, on a busy machine, and
// shorter where a peer counts in whole seconds.
const waiting = 5 * time.Second

// woken wants a long poll of 20 s to bring one message, no earlier than it may and not at the
// end of its time.
func (w *world) woken(url *string, least time.Duration) {
	began := time.Now()
	got := w.receive(url, 20)
	took := time.Since(began)
	if len(got) != 1 || took < least || took > least+waiting {
		w.fail("a poll of 20 s brought %d messages after %v, want one after %v", len(got), took, least)
	}
}

// waitCases pass real time.
var waitCases = []test{
	{"the visibility timeout", "sqs-visibility-timeout", func(w *world) {
		url := w.queue(map[string]string{"VisibilityTimeout": "2"})
		w.send(url, "b")
		first := w.one(url)
		w.none(url)
		second := w.one(url) // waits until it is visible
		same(w, "the message id", *second.MessageId, *first.MessageId)
		same(w, "the receive count", second.Attributes["ApproximateReceiveCount"], "2")
		same(w, "the first receive", second.Attributes["ApproximateFirstReceiveTimestamp"], first.Attributes["ApproximateFirstReceiveTimestamp"])
		if *second.ReceiptHandle == *first.ReceiptHandle {
			w.fail("two receives gave the same receipt handle")
		}
	}},
	{"the visibility timeout of a receive", "API_ReceiveMessage", func(w *world) {
		url := w.queue(nil)
		w.send(url, "b")
		_, err := w.sqs.ReceiveMessage(w.ctx, &sqs.ReceiveMessageInput{QueueUrl: url, VisibilityTimeout: 1})
		w.must(err)
		w.none(url)
		same(w, "the receive count", w.one(url).Attributes["ApproximateReceiveCount"], "2")
	}},
	{"released at once", "API_ChangeMessageVisibility", func(w *world) {
		url := w.queue(nil)
		w.send(url, "b")
		w.must(w.visibility(url, w.one(url).ReceiptHandle, 0))
		w.depth(url, 1, 0, 0)
		same(w, "the receive count", w.one(url).Attributes["ApproximateReceiveCount"], "2")
	}},
	{"extended", "API_ChangeMessageVisibility", func(w *world) {
		url := w.queue(map[string]string{"VisibilityTimeout": "1"})
		w.send(url, "b")
		w.must(w.visibility(url, w.one(url).ReceiptHandle, 60))
		same(w, "the number that a poll of 3 s brings", len(w.receive(url, 3)), 0)
		w.depth(url, 0, 1, 0)
	}},
	{"extended beyond twelve hours", "API_ChangeMessageVisibility", func(w *world) {
		url := w.queue(nil)
		w.send(url, "b")
		w.refused(w.visibility(url, w.one(url).ReceiptHandle, 43201), "InvalidParameterValue")
	}},
	{"released twice", "API_ChangeMessageVisibility", func(w *world) {
		url := w.queue(nil)
		w.send(url, "b")
		got := w.one(url)
		w.must(w.visibility(url, got.ReceiptHandle, 0))
		w.refused(w.visibility(url, got.ReceiptHandle, 0), "AWS.SimpleQueueService.MessageNotInflight")
	}},
	{"released by a handle that is none", "API_ChangeMessageVisibility", func(w *world) {
		w.refused(w.visibility(w.queue(nil), aws.String("junk"), 0), "ReceiptHandleIsInvalid")
	}},
	{"a handle that is not the newest deletes nothing", "API_DeleteMessage", func(w *world) {
		url := w.queue(nil)
		w.send(url, "b")
		first := w.one(url)
		w.must(w.visibility(url, first.ReceiptHandle, 0))
		w.one(url)
		w.must(w.delete(url, first.ReceiptHandle))
		w.depth(url, 0, 1, 0)
	}},
	{"deleted while it is visible again", "API_DeleteMessage", func(w *world) {
		url := w.queue(nil)
		w.send(url, "b")
		got := w.one(url)
		w.must(w.visibility(url, got.ReceiptHandle, 0))
		w.must(w.delete(url, got.ReceiptHandle))
		w.depth(url, 0, 0, 0)
	}},
	{"received too often", "sqs-dead-letter-queues", func(w *world) {
		url, dead := w.withDeadLetters(2)
		sent := w.send(url, "poison")
		for range 2 {
			w.must(w.visibility(url, w.one(url).ReceiptHandle, 0))
		}
		w.none(url) // the third receive moves it
		w.depth(url, 0, 0, 0)
		got := w.one(dead)
		same(w, "the body", *got.Body, "poison")
		same(w, "the message id", *got.MessageId, *sent.MessageId)
	}},
	{"a dead letter names its source", "API_ReceiveMessage", func(w *world) {
		url, dead := w.withDeadLetters(1)
		w.send(url, "poison")
		w.must(w.visibility(url, w.one(url).ReceiptHandle, 0))
		w.none(url)
		same(w, "DeadLetterQueueSourceArn", w.one(dead).Attributes["DeadLetterQueueSourceArn"], w.arn(url))
	}},
	{"the sources of a dead-letter queue", "API_ListDeadLetterSourceQueues", func(w *world) {
		url, dead := w.withDeadLetters(3)
		out, err := w.sqs.ListDeadLetterSourceQueues(w.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead})
		w.must(err)
		same(w, "the number of sources", len(out.QueueUrls), 1)
		same(w, "the source", out.QueueUrls[0], *url)
	}},
	{"a long poll that nothing ends", "sqs-short-and-long-polling", func(w *world) {
		url, began := w.queue(nil), time.Now()
		same(w, "the number received", len(w.receive(url, 2)), 0)
		if took := time.Since(began); took < 1900*time.Millisecond || took > 2*time.Second+waiting {
			w.fail("a poll of 2 s took %v", took)
		}
	}},
	{"a long poll wakes for a message that is sent", "sqs-short-and-long-polling", func(w *world) {
		url := w.queue(nil)
		sent := make(chan error, 1)
		time.AfterFunc(time.Second, func() { // while the poll is open
			_, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("b")})
			sent <- err
		})
		defer func() { w.must(<-sent) }()
		w.woken(url, 900*time.Millisecond)
	}},
	{"a long poll wakes for a message that becomes visible", "sqs-short-and-long-polling", func(w *world) {
		url := w.queue(map[string]string{"VisibilityTimeout": "3"})
		w.send(url, "b")
		w.one(url)
		w.woken(url, time.Second)
	}},
	{"a queue that polls long by itself", "API_SetQueueAttributes", func(w *world) {
		url, began := w.queue(map[string]string{"ReceiveMessageWaitTimeSeconds": "2"}), time.Now()
		out, err := w.sqs.ReceiveMessage(w.ctx, &sqs.ReceiveMessageInput{QueueUrl: url})
		w.must(err)
		if took := time.Since(began); len(out.Messages) != 0 || took < 1900*time.Millisecond {
			w.fail("a poll brought %d messages after %v, want none after 2 s", len(out.Messages), took)
		}
	}},
	{"a message that is sent for later", "sqs-message-timers", func(w *world) {
		url := w.queue(nil)
		_, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("b"), DelaySeconds: 3})
		w.must(err)
		w.none(url)
		w.depth(url, 0, 0, 1)
		w.woken(url, time.Second)
	}},
	{"a queue of messages for later", "sqs-delay-queues", func(w *world) {
		url := w.queue(map[string]string{"DelaySeconds": "3"})
		w.send(url, "b")
		w.none(url)
		w.woken(url, time.Second)
	}},
}
