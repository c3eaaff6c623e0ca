package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/worker/coalesce"
)

const (
	// sendBatch is the most messages of one SQS request, to send and to receive, and sendBytes
	// what every SQS takes in one (AWS itself takes 1 MiB since 2025; emulators lag behind).
	sendBatch = 10
	sendBytes = 256 * 1024
	// sendInFlight is how many requests are under way at the most.
	sendInFlight = 16
	// sendTries is how often a command is sent that SQS failed to take by its own fault.
	sendTries = 3
)

// letter is one message to send.
type letter struct {
	line int // that it came from; 0: none
	id   string
	body string
	fair string // MessageGroupId, which makes a standard queue a fair one; "": none
}

// posted is what became of it: SQS's message id, or why it has none.
type posted struct {
	messageID string
	err       error
}

// newPost returns a group that sends to a queue, ten to a request. Its requests end with ctx.
func newPost(ctx context.Context, api *sqs.Client, queueURL string) *coalesce.Group[letter, posted] {
	return coalesce.New(coalesce.Options[letter]{
		Max: sendBatch, MaxBytes: sendBytes, Size: func(l letter) int { return len(l.body) }, InFlight: sendInFlight,
	}, func(batch []letter) []posted { return post(ctx, api, queueURL, batch) })
}

// errNotTaken wraps the failure of a whole request, which the next one would meet too.
var errNotTaken = errors.New("sending")

// post makes one request; what SQS failed to take by its own fault is tried again.
func post(ctx context.Context, api *sqs.Client, queueURL string, batch []letter) []posted {
	results := make([]posted, len(batch))
	left := make([]int, len(batch))
	for i := range batch {
		left[i] = i
		results[i].err = errors.New("SQS did not say what became of it")
	}
	for try := 1; len(left) > 0 && try <= sendTries; try++ {
		out, err := api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(queueURL), Entries: entriesOf(batch, left)})
		if err != nil {
			for _, i := range left {
				results[i].err = fmt.Errorf("%w to %s: %w", errNotTaken, queueURL, advised(err))
			}
			return results
		}
		left = left[:0]
		for _, f := range out.Failed {
			if i, ok := place(f.Id, batch); ok {
				results[i].err = fmt.Errorf("SQS refused it: %s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
				if !f.SenderFault {
					left = append(left, i)
				}
			}
		}
		for _, ok := range out.Successful {
			if i, known := place(ok.Id, batch); known {
				results[i] = posted{messageID: aws.ToString(ok.MessageId)}
			}
		}
	}
	return results
}

func entriesOf(batch []letter, left []int) []types.SendMessageBatchRequestEntry {
	entries := make([]types.SendMessageBatchRequestEntry, len(left))
	for n, i := range left {
		entries[n] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(batch[i].body)}
		if batch[i].fair != "" {
			entries[n].MessageGroupId = aws.String(batch[i].fair)
		}
	}
	return entries
}

// place is where in the batch an entry of an answer stands.
func place(id *string, batch []letter) (i int, ok bool) {
	i, err := strconv.Atoi(aws.ToString(id))
	return i, err == nil && i >= 0 && i < len(batch)
}

// advised adds to an error of AWS what the caller can do about it.
func advised(err error) error {
	var refused smithy.APIError
	var network *net.OpError
	var name *net.DNSError
	advice := ""
	switch {
	case errors.As(err, &refused):
		switch refused.ErrorCode() {
		case "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist":
			advice = "is the queue's URL right, and its account and region?"
		case "AccessDenied", "AccessDeniedException":
			advice = "these credentials need sqs:SendMessage on the queue"
		case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException":
			advice = "are the AWS credentials right and not expired?"
		}
	case errors.As(err, &name), errors.As(err, &network):
		advice = "nothing answers there: are AWS_ENDPOINT_URL and AWS_REGION right, and is it running?"
	}
	if advice == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}
