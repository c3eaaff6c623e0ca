package sqs

import (
	"context"
	"crypto/md5"
	"fmt"
	"maps"
	"time"
)

// This file is what the process around the simulator may do without a request.

// Create makes a queue as CreateQueue does.
func (s *SQS) Create(region, account, name string, attributes map[string]string) error {
	_, err := s.create(region, account, name, attributes)
	if err != nil {
		return fmt.Errorf("creating queue %s: %w", name, err)
	}
	return nil
}

// Put puts a message on the queue of an ARN, as a service of AWS does. It returns the
// message's id.
func (s *SQS) Put(_ context.Context, arn, body string, attributes map[string]Attribute, sender, group string) (string, error) {
	id, err := s.Deliver(arn, Delivery{Body: body, MD5: md5.Sum([]byte(body)), Attributes: attributes, SenderID: sender, GroupID: group})
	if err != nil {
		return "", err
	}
	return id.String(), nil
}

// Delivery is a message that a service of AWS puts on a queue.
type Delivery struct {
	Body       string
	MD5        [md5.Size]byte // of Body
	Attributes map[string]Attribute
	GroupID    string
	SenderID   string
}

// Deliver is Put for a caller that knows the MD5 of the body.
func (s *SQS) Deliver(arn string, d Delivery) (ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[arn]
	if q == nil {
		return ID{}, noQueue()
	}
	m := &message{body: d.Body, md5: d.MD5, attributes: d.Attributes, sender: d.SenderID, group: d.GroupID}
	now := time.Now()
	if err := s.sendLocked(q, m, -1, now); err != nil {
		return ID{}, err
	}
	s.wakeLocked(q, now)
	return m.id, nil
}

// Message is a message as it lies on a queue.
type Message struct {
	ID         string
	Body       string
	Attributes map[string]Attribute
	GroupID    string
	SenderID   string
	Sent       time.Time
	Receives   int
	InFlight   bool
	// VisibleAt is when it becomes visible; zero where it is visible now.
	VisibleAt time.Time
}

// Messages returns what is on the queue of an ARN, in the order of arrival, without receiving
// it; nil where there is no such queue.
func (s *SQS) Messages(arn string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[arn]
	if q == nil {
		return nil
	}
	q.advance(time.Now())
	bySerial := sortedBySerial(q)
	out := make([]Message, len(bySerial))
	for i, m := range bySerial {
		out[i] = Message{
			ID: m.id.String(), Body: m.body, Attributes: maps.Clone(m.attributes), GroupID: m.group,
			SenderID: m.sender, Sent: m.sent, Receives: m.count, InFlight: m.state == inFlight,
		}
		if m.state != visible {
			out[i].VisibleAt = m.until
		}
	}
	return out
}

// Depth counts what is on a queue.
type Depth struct{ Visible, InFlight, Delayed int }

// Depth counts what is on the queue of an ARN; zero where there is no such queue.
func (s *SQS) Depth(arn string) Depth {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[arn]
	if q == nil {
		return Depth{}
	}
	q.advance(time.Now())
	return Depth{Visible: q.visible.n, InFlight: q.inFlight, Delayed: q.later.Len() - q.inFlight}
}

// EndLeases makes every message in flight on the queue of an ARN visible, as the end of its
// visibility timeout would. Receipt handles that were given out go on meaning what they mean
// then.
func (s *SQS) EndLeases(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[arn]
	if q == nil {
		return
	}
	now := time.Now()
	for _, m := range sortedBySerial(q) {
		if m.state == inFlight {
			m.until = now
			q.later.move(m)
		}
	}
	q.advance(now)
	s.wakeLocked(q, now)
}
