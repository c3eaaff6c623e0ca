package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// This file has the requests that delete messages of a dead-letter queue, and that make them visible again.

// release makes visible what was read and not deleted. Ctrl-C does not stop it.
func (d *deadLetters) release() error {
	var held []*deadLetter
	for _, l := range d.all {
		if !l.deleted {
			held = append(held, l)
		}
	}
	failed := inBatches(held, func(ctx context.Context, batch []*deadLetter) (*batchAnswer, error) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &d.URL}
		for i, l := range batch {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(l.receipt), VisibilityTimeout: 0,
			})
		}
		out, err := d.api.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return nil, advised(err, "sqs:ChangeMessageVisibility")
		}
		a := &batchAnswer{failed: out.Failed}
		for _, ok := range out.Successful {
			a.succeeded = append(a.succeeded, ok.Id)
		}
		return a, nil
	})
	for l, err := range failed {
		if errors.As(err, new(*notOursError)) { // visible already, or gone
			delete(failed, l)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%s could not be made visible at once, and will be %s after it was read: %w", count(len(failed), "message"), minutes(d.hidden), anyOf(failed))
}

// remove deletes messages, and returns why it failed for some.
func (d *deadLetters) remove(letters []*deadLetter) map[*deadLetter]error {
	if time.Since(d.began) > d.hidden-requestBound {
		// Others may have received them since: SQS then batchAnswer that it has deleted them, and has not.
		late := map[*deadLetter]error{}
		for _, l := range letters {
			late[l] = fmt.Errorf("not deleted: it was read more than %s ago, and is visible to others again", (d.hidden - requestBound).Truncate(time.Second))
		}
		return late
	}
	failed := inBatches(letters, func(ctx context.Context, batch []*deadLetter) (*batchAnswer, error) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &d.URL}
		for i, l := range batch {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(l.receipt)})
		}
		out, err := d.api.DeleteMessageBatch(ctx, in)
		if err != nil {
			return nil, advised(err, "sqs:DeleteMessage")
		}
		a := &batchAnswer{failed: out.Failed}
		for _, ok := range out.Successful {
			a.succeeded = append(a.succeeded, ok.Id)
		}
		return a, nil
	})
	for _, l := range letters {
		l.deleted = failed[l] == nil
	}
	return failed
}

// batchAnswer is what SQS says of each entry of a request.
type batchAnswer struct {
	succeeded []*string
	failed    []types.BatchResultErrorEntry
}

// notOursError is SQS's refusal of one entry, by which the message is not held here any more.
type notOursError struct{ text string }

func (e *notOursError) Error() string { return e.text }

// inBatches makes a request for each ten messages, and again for those that SQS fails at through its own fault. It
// returns why it failed for some.
func inBatches(letters []*deadLetter, request func(context.Context, []*deadLetter) (*batchAnswer, error)) map[*deadLetter]error {
	failed := map[*deadLetter]error{}
	var mu sync.Mutex
	var requests sync.WaitGroup
	free := make(chan struct{}, maxRequests)
	for batch := range slices.Chunk(letters, maxBatch) {
		free <- struct{}{}
		requests.Go(func() {
			defer func() { <-free }()
			errs := insist(batch, request)
			mu.Lock()
			defer mu.Unlock()
			for i, err := range errs {
				if err != nil {
					failed[batch[i]] = err
				}
			}
		})
	}
	requests.Wait()
	return failed
}

// insist makes one request up to maxAttempts times, and returns an error for each message.
func insist(batch []*deadLetter, request func(context.Context, []*deadLetter) (*batchAnswer, error)) []error {
	ctx, cancel := context.WithTimeout(context.Background(), requestBound)
	defer cancel()
	errs := make([]error, len(batch))
	left := make([]int, len(batch))
	for i := range left {
		left[i] = i
	}
	for try := 1; len(left) > 0 && try <= maxAttempts; try++ {
		asked := make([]*deadLetter, len(left))
		for n, i := range left {
			asked[n], errs[i] = batch[i], errors.New("SQS's answer does not mention the message")
		}
		a, err := request(ctx, asked)
		if err != nil { // the SDK has tried again
			for _, i := range left {
				errs[i] = err
			}
			return errs
		}
		for _, id := range a.succeeded {
			if n, err := strconv.Atoi(aws.ToString(id)); err == nil && n >= 0 && n < len(left) {
				errs[left[n]] = nil
			}
		}
		var again []int
		for _, f := range a.failed {
			n, err := strconv.Atoi(aws.ToString(f.Id))
			if err != nil || n < 0 || n >= len(left) {
				continue
			}
			text := fmt.Sprintf("SQS refused it: %s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
			if errs[left[n]] = errors.New(text); f.SenderFault {
				errs[left[n]] = &notOursError{text}
			} else {
				again = append(again, left[n])
			}
		}
		left = again
	}
	return errs
}

// anyOf returns one of several errors.
func anyOf(failed map[*deadLetter]error) error {
	for _, err := range failed {
		return err
	}
	return nil
}
