package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Attributes is what the worker must know of a queue.
type Attributes struct {
	ARN               string
	FIFO              bool
	VisibilityTimeout time.Duration
	Retention         time.Duration
	// MaxReceiveCount and DeadLetterARN are the redrive policy; 0 and "" where there is none.
	MaxReceiveCount int
	DeadLetterARN   string
}

// Inspect reads a queue's attributes. What it finds stands on the leases of messages received
// from that queue afterwards.
func (s *Subscriber) Inspect(ctx context.Context, queueURL string) (Attributes, error) {
	values, err := s.attributes(ctx, queueURL, types.QueueAttributeNameAll)
	if err != nil {
		return Attributes{}, err
	}
	a := Attributes{
		ARN:               values[string(types.QueueAttributeNameQueueArn)],
		FIFO:              values[string(types.QueueAttributeNameFifoQueue)] == "true",
		VisibilityTimeout: seconds(values[string(types.QueueAttributeNameVisibilityTimeout)]),
		Retention:         seconds(values[string(types.QueueAttributeNameMessageRetentionPeriod)]),
	}
	if policy := values[string(types.QueueAttributeNameRedrivePolicy)]; policy != "" {
		var redrive struct {
			// SQS returns the number as it was set: with quotes or without.
			MaxReceiveCount     json.Number `json:"maxReceiveCount"`
			DeadLetterTargetARN string      `json:"deadLetterTargetArn"`
		}
		if err := json.Unmarshal([]byte(policy), &redrive); err != nil {
			return Attributes{}, fmt.Errorf("reading the redrive policy of %s: %w", queueURL, err)
		}
		n, err := strconv.Atoi(redrive.MaxReceiveCount.String())
		if err != nil {
			return Attributes{}, fmt.Errorf("reading maxReceiveCount of %s: %w", queueURL, err)
		}
		if n < 1 {
			return Attributes{}, fmt.Errorf("reading maxReceiveCount of %s: it is %d, and must be 1 at least", queueURL, n)
		}
		a.MaxReceiveCount, a.DeadLetterARN = n, redrive.DeadLetterTargetARN
	}
	s.mu.Lock()
	s.known[queueURL] = a
	s.mu.Unlock()
	return a, nil
}

// DeadLetterURL finds the URL of a queue by its ARN.
func (s *Subscriber) DeadLetterURL(ctx context.Context, arn string) (string, error) {
	// arn:aws:sqs:REGION:ACCOUNT:NAME
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[2] != "sqs" {
		return "", fmt.Errorf("finding queue %q: not the ARN of an SQS queue", arn)
	}
	out, err := s.api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{
		QueueName:              aws.String(parts[5]),
		QueueOwnerAWSAccountId: aws.String(parts[4]),
	})
	if err != nil {
		return "", fmt.Errorf("finding queue %s: %w", arn, err)
	}
	return aws.ToString(out.QueueUrl), nil
}

// Backlog is how many messages a queue has, by SQS's own approximate count.
type Backlog struct {
	Visible int // waiting to be received
	Held    int // received by somebody and not settled, or released for later
	Delayed int // sent with a delay that is not over
}

// Backlog counts a queue's messages.
func (s *Subscriber) Backlog(ctx context.Context, queueURL string) (Backlog, error) {
	values, err := s.attributes(ctx, queueURL,
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	if err != nil {
		return Backlog{}, err
	}
	count := func(name types.QueueAttributeName) int {
		return int(wholeNumber(values[string(name)], math.MaxInt))
	}
	return Backlog{
		Visible: count(types.QueueAttributeNameApproximateNumberOfMessages),
		Held:    count(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible),
		Delayed: count(types.QueueAttributeNameApproximateNumberOfMessagesDelayed),
	}, nil
}

func (s *Subscriber) attributes(ctx context.Context, queueURL string, names ...types.QueueAttributeName) (map[string]string, error) {
	out, err := s.api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       aws.String(queueURL),
		AttributeNames: names,
	})
	if err != nil {
		return nil, fmt.Errorf("reading attributes of %s: %w", queueURL, err)
	}
	return out.Attributes, nil
}

// seconds reads a number of seconds; what is absent or no such number is zero.
func seconds(text string) time.Duration {
	return time.Duration(wholeNumber(text, int64(math.MaxInt64/time.Second))) * time.Second
}

// wholeNumber reads a number from 0 to most; what is absent or no such number is zero.
func wholeNumber(text string, most int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0
	}
	return n
}
