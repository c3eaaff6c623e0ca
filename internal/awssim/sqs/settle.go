package sqs

import (
	"context"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxHold is the longest that a message can be in flight, counted from its receive
// ("Amazon SQS visibility timeout").
const maxHold = 12 * time.Hour

type (
	deleteInput struct {
		addressed
		ReceiptHandle string `json:"ReceiptHandle"`
	}
	deleteEntry struct {
		ID            string `json:"Id"`
		ReceiptHandle string `json:"ReceiptHandle"`
	}
	deleteBatchInput struct {
		addressed
		Entries []deleteEntry `json:"Entries"`
	}
	visibilityInput struct {
		addressed
		ReceiptHandle     string `json:"ReceiptHandle"`
		VisibilityTimeout *int   `json:"VisibilityTimeout"`
	}
	visibilityEntry struct {
		ID                string `json:"Id"`
		ReceiptHandle     string `json:"ReceiptHandle"`
		VisibilityTimeout *int   `json:"VisibilityTimeout"`
	}
	visibilityBatchInput struct {
		addressed
		Entries []visibilityEntry `json:"Entries"`
	}
	settledOutput struct {
		ID string `json:"Id"`
	}
)

func (in *deleteInput) receipt() string     { return in.ReceiptHandle }
func (in *visibilityInput) receipt() string { return in.ReceiptHandle }

// handleItem names a request by the message that its handle belongs to.
func handleItem[I any, P interface {
	*I
	receipt() string
}](in *I,
) []string {
	return []string{receiptItem(P(in).receipt())}
}

func receiptItem(receipt string) string {
	h, ok := parseHandle(receipt)
	if !ok {
		return receipt
	}
	return h.id.String()
}

func deleteBatchItems(in *deleteBatchInput) []string {
	items := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		items[i] = receiptItem(e.ReceiptHandle)
	}
	return items
}

func visibilityBatchItems(in *visibilityBatchInput) []string {
	items := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		items[i] = receiptItem(e.ReceiptHandle)
	}
	return items
}

func (s *SQS) deleteMessage(_ context.Context, c *service.Call, in *deleteInput) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := s.deleteLocked(q, in.ReceiptHandle, time.Now()); err != nil {
		return nil, err
	}
	return &service.Empty{}, nil
}

// deleteLocked deletes by a receipt handle. API_DeleteMessage: a message is deleted even while
// it is visible again, as long as the handle is its newest; an older handle succeeds and may
// not delete (here it never does); deleting what is gone succeeds.
func (s *SQS) deleteLocked(q *queue, receipt string, now time.Time) error {
	h, ok := parseHandle(receipt)
	if !ok || h.queue != q.tag {
		return badHandle()
	}
	q.advance(now)
	if m := q.messages[h.id]; m != nil && m.receipt == h.number {
		q.remove(m)
		s.wakeLocked(q, now) // at the in-flight limit, a place is free now
	}
	return nil
}

func (s *SQS) deleteMessageBatch(_ context.Context, c *service.Call, in *deleteBatchInput) (*batchOutput[settledOutput], error) {
	if err := checkBatch(in.Entries, func(e deleteEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	out := &batchOutput[settledOutput]{}
	for _, e := range in.Entries {
		out.settle(c, e.ID, e.ReceiptHandle, func() error { return s.deleteLocked(q, e.ReceiptHandle, time.Now()) })
	}
	return out, nil
}

// settle does one entry of a batch, unless a fault says that it fails.
func (b *batchOutput[T]) settle(c *service.Call, id, receipt string, do func() error) {
	if failure := c.Fails(receiptItem(receipt)); failure != nil {
		do = func() error { return failure }
	}
	if err := do(); err != nil {
		b.fail(c, id, err)
		return
	}
	if ok, is := any(b).(*batchOutput[settledOutput]); is {
		ok.Successful = append(ok.Successful, settledOutput{ID: id})
	}
}

func (s *SQS) changeVisibility(_ context.Context, c *service.Call, in *visibilityInput) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := q.changeVisibility(in.ReceiptHandle, in.VisibilityTimeout, now); err != nil {
		return nil, err
	}
	s.wakeLocked(q, now)
	return &service.Empty{}, nil
}

func (s *SQS) changeVisibilityBatch(_ context.Context, c *service.Call, in *visibilityBatchInput) (*batchOutput[settledOutput], error) {
	if err := checkBatch(in.Entries, func(e visibilityEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	out := &batchOutput[settledOutput]{}
	for _, e := range in.Entries {
		out.settle(c, e.ID, e.ReceiptHandle, func() error { return q.changeVisibility(e.ReceiptHandle, e.VisibilityTimeout, now) })
	}
	s.wakeLocked(q, now)
	return out, nil
}

// changeVisibility lets a message in flight become visible after a while, counted from now. A
// message that is not in flight is refused (API_ChangeMessageVisibility). What AWS says to a
// handle that is not the newest is not documented: here it is what AWS is seen to answer for
// a message that is gone.
func (q *queue) changeVisibility(receipt string, timeout *int, now time.Time) error {
	h, ok := parseHandle(receipt)
	if !ok || h.queue != q.tag {
		return badHandle()
	}
	if timeout == nil {
		return missing("VisibilityTimeout")
	}
	wait, err := seconds(timeout, 0, 43200, "VisibilityTimeout")
	if err != nil {
		return err
	}
	q.advance(now)
	m := q.messages[h.id]
	if m == nil || m.receipt != h.number {
		return invalid(receipt, "ReceiptHandle", "Message does not exist or is not available for visibility timeout change.")
	}
	if m.state != inFlight {
		return shape("MessageNotInflight", "The specified message isn't in flight.")
	}
	if now.Add(wait).Sub(m.received) > maxHold {
		return invalid(*timeout, "VisibilityTimeout", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	m.until = now.Add(wait)
	q.later.move(m)
	q.advance(now)
	return nil
}
