package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/rescindhq/rescind/handlers"
)

const (
	// maxBatch and maxBatchBytes bound one request. (AWS accepts 1 MiB since 2025; emulators may not.)
	maxBatch      = 10
	maxBatchBytes = 256 * 1024
	// maxRequests is how many requests may be in progress at the same time.
	maxRequests = 16
	// maxAttempts is how often a message is sent that SQS fails to accept through its own fault.
	maxAttempts = 3
	// requestBound is how long a request may take, with all that is sent again.
	requestBound = 30 * time.Second
)

// sendAll sends the commands that are valid, ten in a request, and notes on each what became of it. Requests
// begin in the order of the input. Once ctx has ended or a request has failed none begins; those
// that have begun are answered, so that it is known of each command whether it was sent.
func sendAll(ctx context.Context, api *sqs.Client, s streams, r *sendReport) error {
	var sent atomic.Int64
	valid := r.in(stateUnsent)
	onStop(ctx, func() string {
		return fmt.Sprintf("stopping; %d of %d commands have been sent, and requests under way are finished", sent.Load(), len(valid))
	}, "What was sent is on the queue and is run. Send the same again to go on: a command that has an id in the input is not run twice.")
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stopProgress := every(2*time.Second, func() { fmt.Fprintf(s.err, "%d of %d sent\n", sent.Load(), len(valid)) })
	free := make(chan struct{}, maxRequests)
	var requests sync.WaitGroup
	for _, batch := range batches(valid) {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		requests.Go(func() {
			defer func() { <-free }()
			if err := sendBatch(context.WithoutCancel(ctx), api, r.Queue, batch); err != nil {
				fail(err) // the first one counts
			}
			for _, c := range batch {
				if c.State == stateSent {
					sent.Add(1)
				}
			}
		})
	}
	requests.Wait()
	stopProgress()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	return err
}

// batches cuts commands into requests, by number and by bytes.
func batches(all []*sending) (cut [][]*sending) {
	size := 0
	for _, c := range all {
		last := len(cut) - 1
		if last < 0 || len(cut[last]) == maxBatch || size+c.size() > maxBatchBytes {
			cut, size, last = append(cut, nil), 0, last+1
		}
		cut[last], size = append(cut[last], c), size+c.size()
	}
	return cut
}

// errRequest wraps the failure of a whole request. The next request would fail too.
var errRequest = errors.New("sending")

// sendBatch sends commands with one request. Those that SQS fails to accept through its own fault are
// sent again. The error is that of a request; unless all of its attempts are known not to have reached the
// queue, it is unknown then whether its commands were sent.
func sendBatch(ctx context.Context, api *sqs.Client, queueURL string, batch []*sending) error {
	ctx, cancel := context.WithTimeout(ctx, requestBound)
	defer cancel()
	left := make([]int, len(batch))
	for i := range batch {
		left[i] = i
	}
	for try := 1; len(left) > 0 && try <= maxAttempts; try++ {
		state := stateUnsent // whatever attempts come to
		out, err := api.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(queueURL), Entries: entriesOf(batch, left)},
			withRetries(func(err error) {
				if !isUnsent(err) {
					state = stateUnknown
				}
			}))
		if err != nil {
			err = fmt.Errorf("%w to %s: %w", errRequest, queueURL, advised(err, "sqs:SendMessage"))
			for _, i := range left {
				batch[i].State, batch[i].Error = state, err.Error()
			}
			return err
		}
		for _, i := range left {
			batch[i].State, batch[i].Error = stateUnknown, "SQS's answer does not mention the message"
		}
		left = left[:0]
		for _, f := range out.Failed {
			if i, ok := indexOf(f.Id, batch); ok {
				batch[i].State, batch[i].Error = stateRefused, fmt.Sprintf("SQS refused it: %s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
				if !f.SenderFault {
					left = append(left, i)
				}
			}
		}
		for _, ok := range out.Successful {
			if i, known := indexOf(ok.Id, batch); known {
				batch[i].State, batch[i].Error, batch[i].messageID = stateSent, "", aws.ToString(ok.MessageId)
			}
		}
	}
	return nil
}

// withRetries makes the SDK try a request several times, and tells failed the error of each attempt.
func withRetries(failed func(error)) func(*sqs.Options) {
	return func(o *sqs.Options) {
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = maxAttempts
			r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				failed(err)
				return aws.UnknownTernary // the others decide
			})}, r.Retryables...)
		})
	}
}

// isUnsent reports whether an attempt is known not to have put messages on the queue: AWS refused it, or there
// was no connection.
func isUnsent(err error) bool {
	var answered interface{ HTTPStatusCode() int }
	var network *net.OpError
	if handlers.OriginOf(err) == handlers.FromService && errors.As(err, &answered) && answered.HTTPStatusCode()/100 == 4 {
		return true // also of errors that the SDK has no type for, such as AccessDenied
	}
	return errors.As(err, &network) && network.Op == "dial"
}

func entriesOf(batch []*sending, left []int) []types.SendMessageBatchRequestEntry {
	entries := make([]types.SendMessageBatchRequestEntry, len(left))
	for n, i := range left {
		entries[n] = types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(batch[i].body), MessageAttributes: batch[i].attributes,
		}
		if batch[i].group != "" {
			entries[n].MessageGroupId = aws.String(batch[i].group)
		}
	}
	return entries
}

// indexOf returns the index in the batch of an entry in SQS's answer.
func indexOf(id *string, batch []*sending) (i int, ok bool) {
	i, err := strconv.Atoi(aws.ToString(id))
	return i, err == nil && i >= 0 && i < len(batch)
}

// advised adds to an error from AWS what the user can do about it. permission is the one that the request needs on its
// queue; "" is none.
func advised(err error, permission string) error {
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
			if permission != "" {
				advice = "these credentials need " + permission + " on the queue"
			}
		case "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException":
			advice = "are the AWS credentials right and not expired?"
		}
	case errors.As(err, &name), errors.As(err, &network):
		advice = "nothing answers at that address: are AWS_ENDPOINT_URL and AWS_REGION right, and is it running?"
	}
	if advice == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, advice)
}
