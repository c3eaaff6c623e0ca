package peers_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// queue makes a queue and returns its URL.
func (w *world) queue(attributes map[string]string) *string {
	out, err := w.sqs.CreateQueue(w.ctx, &sqs.CreateQueueInput{QueueName: name(), Attributes: attributes})
	w.must(err)
	return out.QueueUrl
}

func (w *world) attributes(url *string) map[string]string {
	out, err := w.sqs.GetQueueAttributes(w.ctx, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"}})
	w.must(err)
	return out.Attributes
}

func (w *world) arn(url *string) string { return w.attributes(url)["QueueArn"] }

// withDeadLetters makes a queue and its dead-letter queue.
func (w *world) withDeadLetters(receives int) (url, dead *string) {
	dead = w.queue(nil)
	policy, err := json.Marshal(map[string]any{"deadLetterTargetArn": w.arn(dead), "maxReceiveCount": receives})
	w.must(err)
	return w.queue(map[string]string{"RedrivePolicy": string(policy)}), dead
}

func (w *world) send(url *string, body string) *sqs.SendMessageOutput {
	out, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: &body})
	w.must(err)
	return out
}

func (w *world) receive(url *string, wait int32) []types.Message {
	out, err := w.sqs.ReceiveMessage(w.ctx, &sqs.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"},
	})
	w.must(err)
	return out.Messages
}

// one wants exactly one message to be there, now or in a moment.
func (w *world) one(url *string) types.Message {
	got := w.receive(url, 5)
	if len(got) != 1 {
		w.fail("received %d messages, want one", len(got))
	}
	return got[0]
}

func (w *world) none(url *string) {
	if got := w.receive(url, 0); len(got) != 0 {
		w.fail("received %q, want nothing", *got[0].Body)
	}
}

func (w *world) visibility(url, receipt *string, seconds int32) error {
	_, err := w.sqs.ChangeMessageVisibility(w.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: receipt, VisibilityTimeout: seconds})
	return err
}

func (w *world) delete(url, receipt *string) error {
	_, err := w.sqs.DeleteMessage(w.ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: receipt})
	return err
}

// depth wants as many messages visible, in flight and delayed.
func (w *world) depth(url *string, visible, inFlight, delayed int) {
	got := w.attributes(url)
	for attribute, want := range map[string]int{"": visible, "NotVisible": inFlight, "Delayed": delayed} {
		same(w, "ApproximateNumberOfMessages"+attribute, got["ApproximateNumberOfMessages"+attribute], strconv.Itoa(want))
	}
}

var sqsCases = []test{
	{"a new queue has the defaults", "API_SetQueueAttributes", func(w *world) {
		got := w.attributes(w.queue(nil))
		for attribute, want := range map[string]string{
			"VisibilityTimeout": "30", "DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0", "MessageRetentionPeriod": "345600",
			"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
		} {
			same(w, attribute, got[attribute], want)
		}
	}},
	{"a new queue takes messages of 1 MiB", "API_SetQueueAttributes", func(w *world) {
		same(w, "MaximumMessageSize", w.attributes(w.queue(nil))["MaximumMessageSize"], "1048576")
	}},
	{"what is set is read", "API_SetQueueAttributes", func(w *world) {
		set := map[string]string{"VisibilityTimeout": "77", "DelaySeconds": "3", "ReceiveMessageWaitTimeSeconds": "4", "MessageRetentionPeriod": "3600", "MaximumMessageSize": "2048"}
		made, changed := w.queue(set), w.queue(nil)
		_, err := w.sqs.SetQueueAttributes(w.ctx, &sqs.SetQueueAttributesInput{QueueUrl: changed, Attributes: set})
		w.must(err)
		for _, url := range []*string{made, changed} {
			got := w.attributes(url)
			for attribute, want := range set {
				same(w, attribute, got[attribute], want)
			}
		}
	}},
	{"only what is asked for is returned", "API_GetQueueAttributes", func(w *world) {
		out, err := w.sqs.GetQueueAttributes(w.ctx, &sqs.GetQueueAttributesInput{QueueUrl: w.queue(nil), AttributeNames: []types.QueueAttributeName{"QueueArn"}})
		w.must(err)
		same(w, "the number of attributes", len(out.Attributes), 1)
	}},
	{"an unknown attribute is refused", "API_GetQueueAttributes", func(w *world) {
		_, err := w.sqs.GetQueueAttributes(w.ctx, &sqs.GetQueueAttributesInput{QueueUrl: w.queue(nil), AttributeNames: []types.QueueAttributeName{"Colour"}})
		w.refused(err, "InvalidAttributeName")
	}},
	{"an attribute out of bounds is refused", "API_SetQueueAttributes", func(w *world) {
		_, err := w.sqs.SetQueueAttributes(w.ctx, &sqs.SetQueueAttributesInput{QueueUrl: w.queue(nil), Attributes: map[string]string{"VisibilityTimeout": "43201"}})
		w.refused(err, "InvalidAttributeValue")
	}},
	{"a queue is made once", "API_CreateQueue", func(w *world) {
		in := &sqs.CreateQueueInput{QueueName: name(), Attributes: map[string]string{"DelaySeconds": "1"}}
		first, err := w.sqs.CreateQueue(w.ctx, in)
		w.must(err)
		again, err := w.sqs.CreateQueue(w.ctx, in)
		w.must(err)
		same(w, "the second URL", *again.QueueUrl, *first.QueueUrl)
		in.Attributes = map[string]string{"DelaySeconds": "2"}
		_, err = w.sqs.CreateQueue(w.ctx, in)
		w.refused(err, "QueueAlreadyExists")
	}},
	{"a queue is found by name", "API_GetQueueUrl", func(w *world) {
		in := &sqs.CreateQueueInput{QueueName: name()}
		made, err := w.sqs.CreateQueue(w.ctx, in)
		w.must(err)
		found, err := w.sqs.GetQueueUrl(w.ctx, &sqs.GetQueueUrlInput{QueueName: in.QueueName})
		w.must(err)
		same(w, "the URL", *found.QueueUrl, *made.QueueUrl)
	}},
	{"no such queue", "API_GetQueueUrl, API_SendMessage", func(w *world) {
		_, err := w.sqs.GetQueueUrl(w.ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("nobody-made-it")})
		w.refused(err, "AWS.SimpleQueueService.NonExistentQueue")
		if typed := new(types.QueueDoesNotExist); !errors.As(err, &typed) {
			w.fail("the SDK does not see QueueDoesNotExist in %v", err)
		}
		_, err = w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(*w.queue(nil) + "-not"), MessageBody: aws.String("b")})
		w.refused(err, "AWS.SimpleQueueService.NonExistentQueue")
	}},
	{"send, receive and delete", "API_SendMessage, API_ReceiveMessage", func(w *world) {
		url, body := w.queue(nil), "héllo\n\t€ <&>"
		began := time.Now().Add(-time.Second).UnixMilli()
		sent := w.send(url, body)
		w.depth(url, 1, 0, 0)
		got := w.one(url) // the SDK has compared the body's MD5 in both answers
		w.depth(url, 0, 1, 0)
		same(w, "the body", *got.Body, body)
		same(w, "the message id", *got.MessageId, *sent.MessageId)
		same(w, "the receive count", got.Attributes["ApproximateReceiveCount"], "1")
		for _, attribute := range []string{"SentTimestamp", "ApproximateFirstReceiveTimestamp"} {
			if at, err := strconv.ParseInt(got.Attributes[attribute], 10, 64); err != nil || at < began || at > time.Now().Add(time.Second).UnixMilli() {
				w.fail("%s is %q", attribute, got.Attributes[attribute])
			}
		}
		if got.Attributes["SenderId"] == "" {
			w.fail("there is no SenderId")
		}
		w.must(w.delete(url, got.ReceiptHandle))
		w.must(w.delete(url, got.ReceiptHandle)) // what is gone is deleted with success
		w.depth(url, 0, 0, 0)
	}},
	{"a body beyond the basic plane", "API_SendMessage", func(w *world) {
		url := w.queue(nil)
		w.send(url, "\U0001F600")
		same(w, "the body", *w.one(url).Body, "\U0001F600")
	}},
	{"deleting by a handle that is none", "API_DeleteMessage", func(w *world) {
		w.refused(w.delete(w.queue(nil), aws.String("junk")), "ReceiptHandleIsInvalid")
	}},
	{"message attributes and their MD5", "sqs-message-metadata", func(w *world) {
		url := w.queue(nil)
		attributes := map[string]types.MessageAttributeValue{
			"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
			"count":       {DataType: aws.String("Number.int"), StringValue: aws.String("42")},
			"bytes":       {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 0xff}},
		}
		// By the rule of that page, as awssim, fauxqs and moto each work it out.
		const md5 = "40ed938b8846c059f7e8a0b3719dc4f1"
		sent, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("b"), MessageAttributes: attributes})
		w.must(err)
		same(w, "the MD5 of what was sent", aws.ToString(sent.MD5OfMessageAttributes), md5)
		got := w.one(url)
		same(w, "the MD5 of what came", aws.ToString(got.MD5OfMessageAttributes), md5)
		same(w, "the number of attributes", len(got.MessageAttributes), len(attributes))
		for attribute, want := range attributes {
			g := got.MessageAttributes[attribute]
			same(w, "the type of "+attribute, aws.ToString(g.DataType), *want.DataType)
			same(w, "the text of "+attribute, aws.ToString(g.StringValue), aws.ToString(want.StringValue))
			same(w, "the bytes of "+attribute, string(g.BinaryValue), string(want.BinaryValue))
		}
	}},
	{"message attributes by prefix", "API_ReceiveMessage", func(w *world) {
		url := w.queue(nil)
		text := types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
		_, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("b"), MessageAttributes: map[string]types.MessageAttributeValue{"trace.a": text, "trace.b": text, "other": text},
		})
		w.must(err)
		out, err := w.sqs.ReceiveMessage(w.ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MessageAttributeNames: []string{"trace.*"}})
		w.must(err)
		same(w, "the number of messages", len(out.Messages), 1)
		same(w, "the number of attributes", len(out.Messages[0].MessageAttributes), 2)
	}},
	{"a group on a standard queue", "sqs-fair-queues", func(w *world) {
		url := w.queue(nil)
		_, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("b"), MessageGroupId: aws.String("batch/1/us-east-1")})
		w.must(err)
		same(w, "MessageGroupId", w.one(url).Attributes["MessageGroupId"], "batch/1/us-east-1")
	}},
	{"a body with a control character", "API_SendMessage", func(w *world) {
		_, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: w.queue(nil), MessageBody: aws.String("a\x01b")})
		w.refused(err, "InvalidMessageContents")
	}},
	{"an empty body", "API_SendMessage, CommonErrors", func(w *world) {
		_, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: w.queue(nil), MessageBody: aws.String("")})
		w.refused(err, "MissingParameter")
	}},
	{"too large for the queue", "API_SetQueueAttributes, quotas-messages", func(w *world) {
		url := w.queue(map[string]string{"MaximumMessageSize": "1024"})
		w.send(url, strings.Repeat("x", 1024))
		_, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String(strings.Repeat("x", 1025))})
		w.refused(err, "InvalidParameterValue")
	}},
	{"the largest message", "quotas-messages", func(w *world) {
		url := w.queue(nil)
		w.send(url, strings.Repeat("x", 1<<20))
		_, err := w.sqs.SendMessage(w.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String(strings.Repeat("x", 1<<20+1))})
		w.refused(err, "InvalidParameterValue")
	}},
	{"purging", "API_PurgeQueue", func(w *world) {
		url := w.queue(nil)
		w.send(url, "a")
		w.send(url, "b")
		_, err := w.sqs.PurgeQueue(w.ctx, &sqs.PurgeQueueInput{QueueUrl: url})
		w.must(err)
		w.depth(url, 0, 0, 0)
		w.none(url)
	}},
	{"a queue that is deleted", "API_DeleteQueue", func(w *world) {
		url := w.queue(nil)
		_, err := w.sqs.DeleteQueue(w.ctx, &sqs.DeleteQueueInput{QueueUrl: url})
		w.must(err)
		_, err = w.sqs.GetQueueAttributes(w.ctx, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"}})
		w.refused(err, "AWS.SimpleQueueService.NonExistentQueue")
	}},
}
