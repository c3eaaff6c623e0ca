package sqs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type (
	createInput struct {
		QueueName  string            `json:"QueueName"`
		Attributes map[string]string `json:"Attributes"`
	}
	urlInput struct {
		QueueName              string `json:"QueueName"`
		QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
	}
	urlOutput struct {
		QueueURL string `json:"QueueUrl"`
	}
	attributesInput struct {
		addressed
		AttributeNames []string `json:"AttributeNames"`
	}
	attributesOutput struct {
		Attributes map[string]string `json:"Attributes,omitempty"`
	}
	setAttributesInput struct {
		addressed
		Attributes map[string]string `json:"Attributes"`
	}
)

// waitAfter is how long a deleted queue's name is taken, and the shortest time between two
// purges (API_DeleteQueue, API_PurgeQueue).
const waitAfter = time.Minute

func (s *SQS) createQueue(_ context.Context, c *service.Call, in *createInput) (*urlOutput, error) {
	q, err := s.create(c.Region, c.Account, in.QueueName, in.Attributes)
	if err != nil {
		return nil, err
	}
	return &urlOutput{QueueURL: urlOf(c, q)}, nil
}

// create makes a queue, or returns the one that has the name and no other attributes.
func (s *SQS) create(region, account, name string, attributes map[string]string) (*queue, error) {
	base, dotFIFO := strings.CutSuffix(name, ".fifo")
	if base == "" || len(name) > 80 || strings.IndexFunc(base, func(r rune) bool { return !plain(r) }) >= 0 {
		return nil, invalid(name, "QueueName", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.")
	}
	fifo := attributes["FifoQueue"] == "true"
	if fifo != dotFIFO {
		return nil, invalid(name, "QueueName", "The name of a FIFO queue, and only that, ends with the .fifo suffix.")
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	q := newQueue(region, account, name, now)
	q.fifo = fifo
	var err error
	if q.settings, err = q.settings.with(attributes, s.existsLocked); err != nil {
		return nil, err
	}
	if old := s.queues[q.arn]; old != nil {
		for attribute, value := range attributes {
			if have := old.read()[attribute]; have != value {
				return nil, refusal("QueueNameExists", "QueueAlreadyExists",
					"A queue already exists with the same name and a different value for attribute %s", attribute)
			}
		}
		return old, nil
	}
	if deleted, ok := s.deleted[q.arn]; ok && now.Sub(deleted) < waitAfter {
		return nil, shape("QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	s.queues[q.arn] = q
	delete(s.deleted, q.arn)
	return q, nil
}

func (s *SQS) existsLocked(arn string) bool { return s.queues[arn] != nil }

// deleteQueue deletes at once, where AWS may take a minute; whoever waits for its messages
// waits on in vain.
func (s *SQS) deleteQueue(_ context.Context, c *service.Call, in *queueInput) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	if q.timer != nil {
		q.timer.Stop()
	}
	delete(s.queues, q.arn)
	s.deleted[q.arn] = time.Now()
	return &service.Empty{}, nil
}

func (s *SQS) getQueueURL(_ context.Context, c *service.Call, in *urlInput) (*urlOutput, error) {
	account := c.Account
	if in.QueueOwnerAWSAccountID != "" {
		account = in.QueueOwnerAWSAccountID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[arn(c.Region, account, in.QueueName)]
	if q == nil {
		return nil, noQueue()
	}
	return &urlOutput{QueueURL: urlOf(c, q)}, nil
}

func (s *SQS) listQueues(_ context.Context, c *service.Call, in *listInput) (*listOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.namesLocked(c, func(q *queue) bool { return strings.HasPrefix(q.name, in.QueueNamePrefix) })
	names, next := page(names, in.NextToken, in.MaxResults)
	out := &listOutput{NextToken: next}
	for _, name := range names {
		out.QueueURLs = append(out.QueueURLs, urlOf(c, s.queues[arn(c.Region, c.Account, name)]))
	}
	return out, nil
}

func (s *SQS) listDeadLetterSourceQueues(_ context.Context, c *service.Call, in *queueInput) (*sourcesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dead, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	names := s.namesLocked(c, func(q *queue) bool { return q.settings.redrive != nil && q.settings.redrive.TargetARN == dead.arn })
	names, next := page(names, in.NextToken, in.MaxResults)
	out := &sourcesOutput{NextToken: next}
	for _, name := range names {
		out.QueueURLs = append(out.QueueURLs, urlOf(c, s.queues[arn(c.Region, c.Account, name)]))
	}
	return out, nil
}

// purgeQueue purges at once, where AWS may take a minute.
func (s *SQS) purgeQueue(_ context.Context, c *service.Call, in *queueInput) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if !q.purged.IsZero() && now.Sub(q.purged) < waitAfter {
		return nil, shape("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
	}
	q.purged = now
	for _, m := range q.messages {
		q.remove(m)
	}
	return &service.Empty{}, nil
}

func (s *SQS) getQueueAttributes(_ context.Context, c *service.Call, in *attributesInput) (*attributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	q.advance(time.Now())
	all := q.read()
	if slices.Contains(in.AttributeNames, "All") {
		return &attributesOutput{Attributes: all}, nil
	}
	out := &attributesOutput{Attributes: map[string]string{}}
	for _, name := range in.AttributeNames {
		value, ok := all[name]
		if ok {
			out.Attributes[name] = value
			continue
		}
		if s := defaults(); s.set(name, "", func(string) bool { return true }) != nil {
			return nil, plainError("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	return out, nil
}

// setQueueAttributes changes a queue at once, where AWS may take a minute, or fifteen for the
// retention period.
func (s *SQS) setQueueAttributes(_ context.Context, c *service.Call, in *setAttributesInput) (*service.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.addressLocked(c, in.QueueURL)
	if err != nil {
		return nil, err
	}
	changed, err := q.settings.with(in.Attributes, s.existsLocked)
	if err != nil {
		return nil, err
	}
	q.settings, q.modified = changed, time.Now()
	return &service.Empty{}, nil
}
