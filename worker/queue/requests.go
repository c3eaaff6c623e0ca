package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/breaker"
	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/trouble"
)

// requests batches the requests to one queue.
type requests struct {
	url          string
	isReceived   bool                           // it is a queue of commands, not one of dead letters
	deletes      *coalesce.Group[string, error] // receipt handles
	visibilities *coalesce.Group[visibility, error]
	sends        *coalesce.Group[outgoing, error]
}

type visibility struct {
	receipt string
	timeout time.Duration // whole seconds from when SQS is asked
}

func (s *Subscriber) requestsLocked(url string) *requests {
	r := s.queues[url]
	if r == nil {
		r = &requests{url: url}
		// One part-filled delete at a time: only the window waits for it.
		r.deletes = coalesce.New(coalesce.Options[string]{Max: batchMax, PartFilled: 1}, spaced(s, r, s.deleteBatch))
		r.visibilities = coalesce.New(coalesce.Options[visibility]{Max: batchMax}, spaced(s, r, s.visibilityBatch))
		r.sends = coalesce.New(coalesce.Options[outgoing]{
			Max: batchMax, MaxBytes: messageMaxBytes, Size: outgoing.size, // the bound of a whole batch too: "SendMessageBatch", SQS API Reference
		}, spaced(s, r, s.sendBatch))
		s.queues[url] = r
	}
	return r
}

func (s *Subscriber) sendsTo(url string) *coalesce.Group[outgoing, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requestsLocked(url).sends
}

// nothingMost is how many requests of one kind in a row may fail before they go one at a time.
const nothingMost = 3

// spaced puts a circuit breaker before requests of one kind. A batch that waits longer than a backoff
// fails as the last one did, so that each of its messages checks its lease.
func spaced[T any](s *Subscriber, r *requests, do func(*requests, []T) []error) func([]T) []error {
	b := breaker.New(breaker.Options{After: nothingMost, Base: settleBackoff, Most: settleBackoffMax, Chance: s.o.Chance})
	return func(list []T) []error {
		ctx, cancel := context.WithTimeout(s.settling, settleBackoffMax)
		defer cancel()
		pass, ok := b.Enter(ctx)
		if !ok {
			return all(len(list), fmt.Errorf("waiting for others that fail: %w", errors.Join(b.Why(), s.settling.Err())))
		}
		errs := do(r, list)
		if slices.ContainsFunc(errs, func(err error) bool {
			_, answered := errors.AsType[*entryError](err)
			return err == nil || answered
		}) {
			b.Leave(pass, breaker.Succeeded, nil)
		} else {
			b.Leave(pass, breaker.Failed, errs[0])
		}
		return errs
	}
}

func (s *Subscriber) deleteBatch(r *requests, receipts []string) []error {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &r.url}
	for i, receipt := range receipts {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: aws.String(receipt)})
	}
	var out *sqs.DeleteMessageBatchOutput
	err := s.ask(trouble.Queue, r.url, "deleting", func(ctx context.Context) (err error) {
		out, err = s.api.DeleteMessageBatch(ctx, in)
		return err
	})
	if err != nil {
		return all(len(receipts), err)
	}
	return handleErrors(entryErrors(len(receipts), out.Failed, out.Successful,
		func(r types.DeleteMessageBatchResultEntry) *string { return r.Id }))
}

func (s *Subscriber) visibilityBatch(r *requests, list []visibility) []error {
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &r.url}
	for i, v := range list {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: entryID(i), ReceiptHandle: aws.String(v.receipt), VisibilityTimeout: int32(v.timeout / time.Second),
		})
	}
	var out *sqs.ChangeMessageVisibilityBatchOutput
	err := s.ask(trouble.Queue, r.url, "changing visibility", func(ctx context.Context) (err error) {
		out, err = s.api.ChangeMessageVisibilityBatch(ctx, in)
		return err
	})
	if err != nil {
		return all(len(list), err)
	}
	return handleErrors(entryErrors(len(list), out.Failed, out.Successful,
		func(r types.ChangeMessageVisibilityBatchResultEntry) *string { return r.Id }))
}

// sendBatch sends to a queue. A batch that is refused as a whole for what may be one message's fault
// is sent again in halves, so that only a message alone carries a refusal.
func (s *Subscriber) sendBatch(r *requests, list []outgoing) []error {
	if r.url == "" {
		return all(len(list), &entryError{code: "NoDeadLetterQueue", text: "no dead-letter queue is configured", senderFault: true})
	}
	in := &sqs.SendMessageBatchInput{QueueUrl: &r.url}
	for i, o := range list {
		in.Entries = append(in.Entries, o.entry(i))
	}
	kind := trouble.DeadLetterQueue
	if r.isReceived {
		kind = trouble.Queue
	}
	var out *sqs.SendMessageBatchOutput
	var fault error // one message's
	err := s.ask(kind, r.url, "sending", func(ctx context.Context) (err error) {
		out, err = s.api.SendMessageBatch(ctx, in)
		if contentFault(err) {
			fault, err = err, nil
		}
		return err
	})
	switch {
	case err != nil:
		if kind == trouble.DeadLetterQueue {
			s.count(&s.stats.DeadLetterFailures)
		}
		return all(len(list), err)
	case fault != nil && len(list) > 1:
		half := len(list) / 2
		return append(s.sendBatch(r, list[:half]), s.sendBatch(r, list[half:])...)
	case fault != nil:
		return []error{&entryError{code: "Refused", text: fault.Error(), senderFault: true}}
	}
	return entryErrors(len(list), out.Failed, out.Successful,
		func(r types.SendMessageBatchResultEntry) *string { return r.Id })
}

// ask makes one request, within requestTimeout, and notes what became of it.
func (s *Subscriber) ask(kind trouble.Kind, url, doing string, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(s.settling, requestTimeout)
	defer cancel()
	asked := s.peer(kind, url, doing).Begin()
	err := request(ctx)
	if s.settling.Err() != nil {
		asked.Dropped() // we ended it
	} else {
		asked.Answered(err)
	}
	if err != nil {
		return fmt.Errorf("%s at %s: %w", doing, url, err)
	}
	return nil
}

// peer is a queue as one kind of request sees it, since each kind needs its own permission. Where
// receiving fails too, that is reported and the other kinds are not.
func (s *Subscriber) peer(kind trouble.Kind, url, doing string) *trouble.Peer {
	named := func(doing string) *trouble.Peer {
		return s.o.Trouble.Peer(kind, url+" ("+doing+")", func() int { return s.Stats().InFlight })
	}
	if kind == trouble.Queue {
		return named(doing).Under(named(receiving))
	}
	return named(doing)
}

const receiving = "receiving"

func entryID(i int) *string { return aws.String(strconv.Itoa(i)) }

// all gives every entry the same error.
func all(n int, err error) []error { return slices.Repeat([]error{err}, n) }

// entryError is SQS's refusal of one entry of a batch.
type entryError struct {
	code, text  string
	senderFault bool
}

func (e *entryError) Error() string {
	if e.text == "" {
		return e.code
	}
	return e.code + ": " + e.text
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

// handleErrors wraps with errHandleRefused the entries whose receipt handle is no longer good. The codes are
// those of "DeleteMessage" and "ChangeMessageVisibility" in the SQS API Reference; SQS answers
// InvalidParameterValue in practice where a handle has expired, which no page documents.
func handleErrors(errs []error) []error {
	for i, err := range errs {
		if e, answered := errors.AsType[*entryError](err); answered {
			switch e.code {
			case "ReceiptHandleIsInvalid", "InvalidIdFormat", "InvalidParameterValue",
				"MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight":
				errs[i] = fmt.Errorf("%w: %w", errHandleRefused, err)
			}
		}
	}
	return errs
}

// contentFault reports whether SQS refused a request as a whole for what one entry may be to blame
// for.
func contentFault(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) || handlers.OriginOf(err) != handlers.FromService {
		return false
	}
	switch api.ErrorCode() {
	case "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
		"InvalidMessageContents", "InvalidParameterValue", "MissingParameter", "InvalidAttributeValue":
		return true
	}
	return false
}
