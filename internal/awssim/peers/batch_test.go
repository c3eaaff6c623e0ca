package peers_test

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func entry(id, body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
}

// entries are as many of the same length, with ids of their own.
func entries(n, length int) []types.SendMessageBatchRequestEntry {
	out := make([]types.SendMessageBatchRequestEntry, n)
	for i := range out {
		out[i] = entry("m-"+strconv.Itoa(i), strings.Repeat("x", length))
	}
	return out
}

func (w *world) sendBatch(url *string, entries []types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	return w.sqs.SendMessageBatch(w.ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
}

// batchRefusals are the bounds that the three batch calls share.
var batchRefusals = []struct {
	name, code string
	ids        []string
}{
	{"no entry", "AWS.SimpleQueueService.EmptyBatchRequest", []string{}},
	{"eleven", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", strings.Split("a b c d e f g h i j k", " ")},
	{"one id twice", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", []string{"a", "b", "a"}},
	{"an id with a space", "AWS.SimpleQueueService.InvalidBatchEntryId", []string{"a", "b c"}},
	{"an id of 81 letters", "AWS.SimpleQueueService.InvalidBatchEntryId", []string{strings.Repeat("a", 81)}},
}

// bounds makes a test of each bound for each batch call.
func bounds() []test {
	var out []test
	for _, bound := range batchRefusals {
		ids := bound.ids
		out = append(out,
			test{"SendMessageBatch of " + bound.name, "API_SendMessageBatch", func(w *world) {
				in := make([]types.SendMessageBatchRequestEntry, len(ids))
				for i, id := range ids {
					in[i] = entry(id, "b")
				}
				_, err := w.sendBatch(w.queue(nil), in)
				w.refused(err, bound.code)
			}},
			test{"DeleteMessageBatch of " + bound.name, "API_DeleteMessageBatch", func(w *world) {
				url := w.queue(nil)
				w.send(url, "b")
				in := make([]types.DeleteMessageBatchRequestEntry, len(ids))
				for i, receipt := 0, w.one(url).ReceiptHandle; i < len(ids); i++ {
					in[i] = types.DeleteMessageBatchRequestEntry{Id: &ids[i], ReceiptHandle: receipt}
				}
				_, err := w.sqs.DeleteMessageBatch(w.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: in})
				w.refused(err, bound.code)
			}},
			test{"ChangeMessageVisibilityBatch of " + bound.name, "API_ChangeMessageVisibilityBatch", func(w *world) {
				url := w.queue(nil)
				w.send(url, "b")
				in := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(ids))
				for i, receipt := 0, w.one(url).ReceiptHandle; i < len(ids); i++ {
					in[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: &ids[i], ReceiptHandle: receipt, VisibilityTimeout: 1}
				}
				_, err := w.sqs.ChangeMessageVisibilityBatch(w.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: in})
				w.refused(err, bound.code)
			}})
	}
	return out
}

var batchCases = append(bounds(),
	test{"ten at a time", "API_SendMessageBatch, API_DeleteMessageBatch", func(w *world) {
		url := w.queue(nil)
		in := entries(10, 1)
		in[3].MessageAttributes = map[string]types.MessageAttributeValue{"k": {DataType: aws.String("String"), StringValue: aws.String("v")}}
		out, err := w.sendBatch(url, in)
		w.must(err)
		same(w, "the number of successes", len(out.Successful), 10)
		ids := map[string]bool{}
		for _, s := range out.Successful {
			ids[*s.MessageId] = true
			same(w, "the MD5 of attributes of "+*s.Id, s.MD5OfMessageAttributes != nil, *s.Id == "m-3")
		}
		same(w, "the number of message ids", len(ids), 10)
		got := w.receive(url, 5)
		same(w, "the number received", len(got), 10)
		gone := make([]types.DeleteMessageBatchRequestEntry, len(got))
		for i, m := range got {
			same(w, "that "+*m.MessageId+" was sent", ids[*m.MessageId], true)
			gone[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
		}
		deleted, err := w.sqs.DeleteMessageBatch(w.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: gone})
		w.must(err)
		same(w, "the number deleted", len(deleted.Successful), 10)
		w.depth(url, 0, 0, 0)
	}},
	test{"a batch of which one message is bad", "API_SendMessageBatch", func(w *world) {
		url := w.queue(nil)
		in := entries(3, 1)
		in[1].MessageBody = aws.String("a\x01b")
		out, err := w.sendBatch(url, in)
		w.must(err)
		same(w, "the number of successes", len(out.Successful), 2)
		same(w, "the number of failures", len(out.Failed), 1)
		f := out.Failed[0]
		same(w, "the failure", *f.Id+" "+*f.Code, "m-1 InvalidMessageContents")
		same(w, "SenderFault", f.SenderFault, true)
		same(w, "the number received", len(w.receive(url, 5)), 2)
	}},
	test{"a batch of which one message is delayed too long", "API_SendMessageBatch", func(w *world) {
		in := entries(2, 1)
		in[1].DelaySeconds = 901
		out, err := w.sendBatch(w.queue(nil), in)
		w.must(err)
		same(w, "the number of failures", len(out.Failed), 1)
		same(w, "the failure", *out.Failed[0].Id+" "+*out.Failed[0].Code, "m-1 InvalidParameterValue")
	}},
	test{"a batch too long in all", "API_SendMessageBatch", func(w *world) {
		url := w.queue(nil)
		_, err := w.sendBatch(url, entries(10, 110_000))
		w.refused(err, "AWS.SimpleQueueService.BatchRequestTooLong")
		w.depth(url, 0, 0, 0)
	}},
	test{"deleting a batch of which one handle is none", "API_DeleteMessageBatch", func(w *world) {
		url := w.queue(nil)
		w.send(url, "b")
		out, err := w.sqs.DeleteMessageBatch(w.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("bad"), ReceiptHandle: aws.String("junk")}, {Id: aws.String("good"), ReceiptHandle: w.one(url).ReceiptHandle},
		}})
		w.must(err)
		same(w, "the number of successes", len(out.Successful), 1)
		same(w, "the success", *out.Successful[0].Id, "good")
		same(w, "the number of failures", len(out.Failed), 1)
		same(w, "the failure", *out.Failed[0].Id+" "+*out.Failed[0].Code, "bad ReceiptHandleIsInvalid")
		same(w, "SenderFault", out.Failed[0].SenderFault, true)
		w.depth(url, 0, 0, 0)
	}},
	test{"releasing a batch of which one handle is none", "API_ChangeMessageVisibilityBatch", func(w *world) {
		url := w.queue(nil)
		w.send(url, "b")
		out, err := w.sqs.ChangeMessageVisibilityBatch(w.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: aws.String("bad"), ReceiptHandle: aws.String("junk")}, {Id: aws.String("good"), ReceiptHandle: w.one(url).ReceiptHandle},
		}})
		w.must(err)
		same(w, "the number of successes", len(out.Successful), 1)
		same(w, "the success", *out.Successful[0].Id, "good")
		same(w, "the number of failures", len(out.Failed), 1)
		same(w, "the failure", *out.Failed[0].Id+" "+*out.Failed[0].Code, "bad ReceiptHandleIsInvalid")
		w.depth(url, 1, 0, 0)
	}},
)
