package sqs

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type receiveInput struct {
	addressed
	AttributeNames              []string `json:"AttributeNames"` // the older name of the next
	MessageSystemAttributeNames []string `json:"MessageSystemAttributeNames"`
	MessageAttributeNames       []string `json:"MessageAttributeNames"`
	MaxNumberOfMessages         *int     `json:"MaxNumberOfMessages"`
	VisibilityTimeout           *int     `json:"VisibilityTimeout"`
	WaitTimeSeconds             *int     `json:"WaitTimeSeconds"`
}

type receiveOutput struct {
	Messages []receivedMessage `json:"Messages,omitempty"`
}

type receivedMessage struct {
	MessageID              string               `json:"MessageId"`
	ReceiptHandle          string               `json:"ReceiptHandle"`
	MD5OfBody              string               `json:"MD5OfBody"`
	Body                   string               `json:"Body"`
	Attributes             map[string]string    `json:"Attributes,omitempty"`
	MD5OfMessageAttributes string               `json:"MD5OfMessageAttributes,omitempty"`
	MessageAttributes      map[string]Attribute `json:"MessageAttributes,omitempty"`
}

// seconds reads an optional number of seconds, within bounds.
func seconds(v *int, standard time.Duration, most int, name string) (time.Duration, error) {
	if v == nil {
		return standard, nil
	}
	if *v < 0 || *v > most {
		return 0, invalid(*v, name, "must be between 0 and "+strconv.Itoa(most)+", if provided.")
	}
	return time.Duration(*v) * time.Second, nil
}

func (s *SQS) receiveMessage(ctx context.Context, c *service.Call, in *receiveInput) (*receiveOutput, error) {
	got, err := s.receive(ctx, c, in)
	if err != nil {
		return nil, err
	}
	out := &receiveOutput{Messages: make([]receivedMessage, len(got))}
	system := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	for i, r := range got {
		chosen := choose(r.message.attributes, in.MessageAttributeNames)
		out.Messages[i] = receivedMessage{
			MessageID:              r.message.id.String(),
			ReceiptHandle:          r.handle.String(),
			MD5OfBody:              hex.EncodeToString(r.message.md5[:]),
			Body:                   r.message.body,
			Attributes:             r.system(system),
			MessageAttributes:      chosen,
			MD5OfMessageAttributes: checksum(chosen),
		}
	}
	return out, nil
}

func (s *SQS) receive(ctx context.Context, c *service.Call, in *receiveInput) ([]received, error) {
	n := 1
	if in.MaxNumberOfMessages != nil {
		n = *in.MaxNumberOfMessages
	}
	if n < 1 || n > 10 {
		return nil, invalid(n, "MaxNumberOfMessages", "must be between 1 and 10, if provided.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	visibility, err := seconds(in.VisibilityTimeout, q.settings.visibility, 43200, "VisibilityTimeout")
	if err != nil {
		return nil, err
	}
	wait, err := seconds(in.WaitTimeSeconds, q.settings.wait, 20, "WaitTimeSeconds")
	if err != nil {
		return nil, err
	}
	now := time.Now()
	q.advance(now)
	if q.inFlight >= maxInFlight && wait == 0 {
		// API_ReceiveMessage: a short poll is refused, a long one gets nothing.
		return nil, refusal("OverLimit", "OverLimit", "Too many messages in flight: %d.", q.inFlight)
	}
	// Those who wait already come first.
	w := wanting{n: n, visibility: visibility}
	if c.Draws != nil {
		w.twice = c.Twice
	}
	if len(q.pollers) == 0 || wait == 0 {
		if got := s.receiveLocked(q, w, now); len(got) > 0 || wait == 0 {
			s.wakeLocked(q, now) // what comes twice may be for somebody who waits
			return got, nil
		}
	}
	return s.waitLocked(ctx, q, w, wait, now), nil
}

// system returns the system attributes that were asked for.
func (r received) system(names []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	out := map[string]string{}
	all := slices.Contains(names, "All")
	give := func(name, value string) {
		if value != "" && (all || slices.Contains(names, name)) {
			out[name] = value
		}
	}
	give("SenderId", r.message.sender)
	give("SentTimestamp", millis(r.message.sent))
	give("ApproximateReceiveCount", strconv.Itoa(r.count))
	give("ApproximateFirstReceiveTimestamp", millis(r.first))
	give("MessageGroupId", r.message.group)
	give("AWSTraceHeader", r.message.trace)
	give("DeadLetterQueueSourceArn", r.source)
	return out
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// choose returns the message attributes that were asked for: by name, "All" or ".*" for all,
// "prefix.*" for those that begin so (API_ReceiveMessage).
func choose(attributes map[string]Attribute, names []string) map[string]Attribute {
	if len(attributes) == 0 || len(names) == 0 {
		return nil
	}
	out := map[string]Attribute{}
	for name, a := range attributes {
		if slices.ContainsFunc(names, func(want string) bool {
			prefix, star := strings.CutSuffix(want, ".*")
			return want == "All" || want == name || star && strings.HasPrefix(name, prefix)
		}) {
			out[name] = a
		}
	}
	return out
}
