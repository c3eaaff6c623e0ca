package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Attributes is what the worker must know of a queue.
type Attributes struct {
	ARN  string
	FIFO bool
	// MaxMessageBytes is the largest message that the queue takes (MaximumMessageSize).
	MaxMessageBytes int
	// MaxReceiveCount and DeadLetterARN are the redrive policy; 0 and "" where there is none.
	MaxReceiveCount int
	DeadLetterARN   string
}

// errNotAnswered says that an answer has nothing of what was asked for: a proxy may have given it.
var errNotAnswered = errors.New("the answer is empty: is it SQS that answers?")

// Inspect reads a queue's attributes. Leases of messages that are received from that queue afterwards
// know its limits.
func (s *Subscriber) Inspect(ctx context.Context, queueURL string) (Attributes, error) {
	out, err := s.api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       aws.String(queueURL),
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err == nil && len(out.Attributes) == 0 {
		err = errNotAnswered
	}
	if err != nil {
		return Attributes{}, fmt.Errorf("reading attributes of %s: %w", queueURL, err)
	}
	value := func(name types.QueueAttributeName) string { return out.Attributes[string(name)] }
	a := Attributes{
		ARN:             value(types.QueueAttributeNameQueueArn),
		FIFO:            value(types.QueueAttributeNameFifoQueue) == "true",
		MaxMessageBytes: int(wholeNumber(value(types.QueueAttributeNameMaximumMessageSize), messageMaxBytes)),
	}
	if policy := value(types.QueueAttributeNameRedrivePolicy); policy != "" {
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
	if err == nil && aws.ToString(out.QueueUrl) == "" {
		err = errNotAnswered
	}
	if err != nil {
		return "", fmt.Errorf("finding queue %s: %w", arn, err)
	}
	return *out.QueueUrl, nil
}

// wholeNumber reads a number from 0 to most; what is absent or no such number is zero.
func wholeNumber(text string, most int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0
	}
	return n
}
