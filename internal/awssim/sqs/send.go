package sqs

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxSize bounds a message and the sum of a batch: 1 MiB ("Amazon SQS message quotas").
const maxSize = 1 << 20

type (
	sendEntry struct {
		ID                      string               `json:"Id"` // of a batch
		MessageBody             string               `json:"MessageBody"`
		DelaySeconds            *int                 `json:"DelaySeconds"`
		MessageAttributes       map[string]Attribute `json:"MessageAttributes"`
		MessageSystemAttributes map[string]Attribute `json:"MessageSystemAttributes"`
		MessageGroupID          string               `json:"MessageGroupId"`
		MessageDeduplicationID  string               `json:"MessageDeduplicationId"`
	}
	sendInput struct {
		addressed
		sendEntry
	}
	sendBatchInput struct {
		addressed
		Entries []sendEntry `json:"Entries"`
	}
	sendOutput struct {
		ID                           string `json:"Id,omitempty"` // of a batch
		MessageID                    string `json:"MessageId"`
		MD5OfMessageBody             string `json:"MD5OfMessageBody"`
		MD5OfMessageAttributes       string `json:"MD5OfMessageAttributes,omitempty"`
		MD5OfMessageSystemAttributes string `json:"MD5OfMessageSystemAttributes,omitempty"`
	}
	batchOutput[T any] struct {
		Successful []T            `json:"Successful,omitempty"`
		Failed     []failedOutput `json:"Failed,omitempty"`
	}
	failedOutput struct {
		ID          string `json:"Id"`
		SenderFault bool   `json:"SenderFault"`
		Code        string `json:"Code"`
		Message     string `json:"Message,omitempty"`
	}
)

// bodyItem names a message that has no id yet.
func bodyItem(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

func sendItems(in *sendInput) []string { return []string{bodyItem(in.MessageBody)} }

func sendBatchItems(in *sendBatchInput) []string {
	items := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		items[i] = bodyItem(e.MessageBody)
	}
	return items
}

func (s *SQS) sendMessage(_ context.Context, c *service.Call, in *sendInput) (*sendOutput, error) {
	m, delay, err := check(c, in.sendEntry)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := s.sendLocked(q, m, delay, time.Now()); err != nil {
		return nil, err
	}
	s.wakeLocked(q, time.Now())
	return sent(m, in.sendEntry), nil
}

// check makes a message of an entry. delay is -1 where the queue's own holds.
func check(c *service.Call, e sendEntry) (*message, time.Duration, error) {
	if e.MessageBody == "" {
		return nil, 0, missing("MessageBody")
	}
	if err := checkText(e.MessageBody); err != nil {
		return nil, 0, err
	}
	if err := checkAttributes(e.MessageAttributes); err != nil {
		return nil, 0, err
	}
	delay, err := seconds(e.DelaySeconds, -1, 900, "DelaySeconds")
	if err != nil {
		return nil, 0, err
	}
	return &message{
		body: e.MessageBody, md5: md5.Sum([]byte(e.MessageBody)), attributes: e.MessageAttributes,
		trace: e.MessageSystemAttributes["AWSTraceHeader"].StringValue,
		group: e.MessageGroupID, sender: senderID(c),
	}, delay, nil
}

// senderID is what SQS records of who sent: here the access key for a key that is no account
// number, else a user of the account. AWS gives the id of the IAM user or role.
func senderID(c *service.Call) string {
	if c.AccessKey == "" || c.AccessKey == c.Account {
		return "AIDA" + c.Account
	}
	return c.AccessKey
}

// sendLocked puts a checked message on a queue.
func (s *SQS) sendLocked(q *queue, m *message, delay time.Duration, now time.Time) error {
	if q.fifo {
		return shape("UnsupportedOperation", "The simulator has no FIFO queues to send to.")
	}
	if size(m.body, m.attributes) > q.settings.maxSize {
		return refusal("InvalidParameterValue", "InvalidParameterValue",
			"One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.settings.maxSize)
	}
	if delay < 0 {
		delay = q.settings.delay
	}
	q.advance(now)
	m.id = NewID(s.seed, q.arn, m.md5, q.occurrence(m.md5))
	m.sent = now
	q.insert(m, delay, now)
	return nil
}

func sent(m *message, e sendEntry) *sendOutput {
	return &sendOutput{
		ID: e.ID, MessageID: m.id.String(), MD5OfMessageBody: hex.EncodeToString(m.md5[:]),
		MD5OfMessageAttributes:       checksum(e.MessageAttributes),
		MD5OfMessageSystemAttributes: checksum(e.MessageSystemAttributes),
	}
}

func (s *SQS) sendMessageBatch(_ context.Context, c *service.Call, in *sendBatchInput) (*batchOutput[sendOutput], error) {
	if err := checkBatch(in.Entries, func(e sendEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	total := 0
	for _, e := range in.Entries {
		total += size(e.MessageBody, e.MessageAttributes)
	}
	if total > maxSize {
		return nil, shape("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxSize, total)
	}
	messages := make([]*message, len(in.Entries))
	delays := make([]time.Duration, len(in.Entries))
	errs := make([]error, len(in.Entries))
	for i, e := range in.Entries {
		messages[i], delays[i], errs[i] = check(c, e)
		if failure := c.Fails(bodyItem(e.MessageBody)); failure != nil && errs[i] == nil {
			errs[i] = failure
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	out := &batchOutput[sendOutput]{}
	for i, e := range in.Entries {
		if errs[i] == nil {
			errs[i] = s.sendLocked(q, messages[i], delays[i], now)
		}
		if errs[i] != nil {
			out.fail(c, e.ID, errs[i])
			continue
		}
		out.Successful = append(out.Successful, *sent(messages[i], e))
	}
	s.wakeLocked(q, now)
	return out, nil
}
