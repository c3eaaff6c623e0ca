package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/worker/coalesce"
)

// requests batches what is said to one queue about the messages received from it.
type requests struct {
	deletes      *coalesce.Group[string, error] // receipt handles
	visibilities *coalesce.Group[visibility, error]
}

type visibility struct {
	receipt string
	timeout time.Duration // whole seconds from when SQS is asked
}

// grave is one message for a dead-letter queue.
type grave struct{ body, mark string }

func (s *Subscriber) requestsLocked(queueURL string) *requests {
	r := s.queues[queueURL]
	if r == nil {
		r = &requests{
			// One part-filled delete at a time: nobody waits for it but the window.
			deletes: coalesce.New(coalesce.Options[string]{Max: batchMax, PartFilled: 1, Go: s.o.Go},
				func(receipts []string) []error { return s.deleteBatch(queueURL, receipts) }),
			visibilities: coalesce.New(coalesce.Options[visibility]{Max: batchMax, Go: s.o.Go},
				func(list []visibility) []error { return s.visibilityBatch(queueURL, list) }),
		}
		s.queues[queueURL] = r
	}
	return r
}

// gravesOf batches burials from a queue into its dead-letter queue.
func (s *Subscriber) gravesOf(queueURL string) *coalesce.Group[grave, error] {
	url := s.o.deadLetter(queueURL)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.graves[url]
	if g == nil {
		o := coalesce.Options[grave]{
			Max:      batchMax,
			MaxBytes: messageMaxBytes, // also of a whole batch: "SendMessageBatch", SQS API Reference
			Size:     grave.size,
		}
		g = coalesce.New(o, func(list []grave) []error { return s.buryBatch(url, list) })
		s.graves[url] = g
	}
	return g
}

func (s *Subscriber) deleteBatch(queueURL string, receipts []string) []error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(receipts))
	for i, receipt := range receipts {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: aws.String(receipt)}
	}
	ctx, cancel := context.WithTimeout(s.settling, requestTimeout)
	defer cancel()
	out, err := s.api.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(queueURL), Entries: entries})
	if err != nil {
		return all(len(receipts), fmt.Errorf("deleting from %s: %w", queueURL, err))
	}
	return entryErrors(len(receipts), out.Failed, out.Successful,
		func(r types.DeleteMessageBatchResultEntry) *string { return r.Id })
}

func (s *Subscriber) visibilityBatch(queueURL string, list []visibility) []error {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(list))
	for i, v := range list {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id:                entryID(i),
			ReceiptHandle:     aws.String(v.receipt),
			VisibilityTimeout: int32(v.timeout / time.Second),
		}
	}
	ctx, cancel := context.WithTimeout(s.settling, requestTimeout)
	defer cancel()
	out, err := s.api.ChangeMessageVisibilityBatch(ctx,
		&sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(queueURL), Entries: entries})
	if err != nil {
		return all(len(list), fmt.Errorf("changing visibility in %s: %w", queueURL, err))
	}
	return entryErrors(len(list), out.Failed, out.Successful,
		func(r types.ChangeMessageVisibilityBatchResultEntry) *string { return r.Id })
}

// buryBatch sends to a dead-letter queue. A batch that is refused as a whole for what may be
// one message's fault is sent again in halves, so that only a message alone carries a refusal.
func (s *Subscriber) buryBatch(url string, list []grave) []error {
	if url == "" {
		return all(len(list), &entryError{code: "NoDeadLetterQueue", text: "no dead-letter queue is configured", senderFault: true})
	}
	entries := make([]types.SendMessageBatchRequestEntry, len(list))
	for i, g := range list {
		entries[i] = types.SendMessageBatchRequestEntry{
			Id:          entryID(i),
			MessageBody: aws.String(g.body),
			MessageAttributes: map[string]types.MessageAttributeValue{
				MarkAttribute: {DataType: aws.String(markType), StringValue: aws.String(g.mark)},
			},
		}
	}
	ctx, cancel := context.WithTimeout(s.settling, requestTimeout)
	defer cancel()
	out, err := s.api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: entries})
	switch {
	case err == nil:
		errs := entryErrors(len(list), out.Failed, out.Successful,
			func(r types.SendMessageBatchResultEntry) *string { return r.Id })
		for i, err := range errs {
			errs[i] = notTheHandle(err)
		}
		return errs
	case contentFault(err) && len(list) > 1:
		half := len(list) / 2
		return append(s.buryBatch(url, list[:half]), s.buryBatch(url, list[half:])...)
	case contentFault(err):
		return all(1, &entryError{code: "Refused", text: err.Error(), senderFault: true})
	}
	return all(len(list), fmt.Errorf("burying in %s: %w", url, err))
}

// notTheHandle keeps the codes of a refused message from being read as those of a refused
// receipt handle: a send has none.
func notTheHandle(err error) error {
	var e *entryError
	if errors.As(err, &e) && judge(e) == handleRefused {
		return &entryError{code: "Refused", text: e.Error(), senderFault: true}
	}
	return err
}

func entryID(i int) *string { return aws.String(strconv.Itoa(i)) }

// all gives every entry the same error.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// entryErrors turns a batch's answer into one error for each of n entries, nil for those that
// succeeded. An entry that the answer leaves out is to be tried again.
func entryErrors[S any](n int, failed []types.BatchResultErrorEntry, succeeded []S, id func(S) *string) []error {
	errs := all(n, errors.New("the answer leaves this entry out"))
	at := func(id *string) (int, bool) {
		i, err := strconv.Atoi(aws.ToString(id))
		return i, err == nil && i >= 0 && i < n
	}
	for _, s := range succeeded {
		if i, ok := at(id(s)); ok {
			errs[i] = nil
		}
	}
	for _, f := range failed {
		if i, ok := at(f.Id); ok {
			errs[i] = &entryError{code: aws.ToString(f.Code), text: aws.ToString(f.Message), senderFault: f.SenderFault}
		}
	}
	return errs
}
