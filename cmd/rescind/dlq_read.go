package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// deadLetters is a dead-letter queue, and what was read of it. What is in all is hidden from other readers until
// it is released or deleted.
type deadLetters struct {
	api    *sqs.Client
	URL    string
	region string
	most   int
	hidden time.Duration // visibility timeout of what is read

	began time.Time // of reading
	all   []*deadLetter
	// left and others are how many more the queue has, about: visible ones, and those that others have received.
	left, others int
}

const (
	// readWait is how long a receive waits. A long poll asks all of SQS's servers, so that an empty answer counts.
	readWait = time.Second
	// emptyReads is how many receives in a row bring nothing before reading ends, although SQS's count, which is an
	// approximate one, says that there is more.
	emptyReads = 3
)

// read receives until the queue has no more, or as many as are wanted, and puts the oldest first. A receive that has
// begun is waited for, even after an interrupt: what it brings would be hidden otherwise.
func (d *deadLetters) read(ctx context.Context, s streams) error {
	d.began = time.Now()
	known := map[string]*deadLetter{}
	decoder := command.NewDecoder(allHandlers(), handlers.Location{Account: accountOf(d.URL), Region: d.region})
	expected, _, err := d.count(ctx)
	if err != nil {
		return err
	}
	defer func() {
		slices.SortStableFunc(d.all, func(a, b *deadLetter) int { return a.SentAt.Compare(b.SentAt) })
	}()
	said := progressOf("read", min(expected, d.most))
	defer said.on(s)()
	// What comes again after its timeout would come for ever.
	for empty := 0; empty < emptyReads && len(d.all) < d.most && time.Since(d.began) < d.hidden; {
		if ctx.Err() != nil {
			d.left, d.others, _ = d.count(ctx)
			return errInterrupted
		}
		got, err := d.receive(ctx)
		if err != nil {
			return err
		}
		if empty++; len(got) > 0 {
			empty = 0
		}
		for _, m := range got {
			if again := known[aws.ToString(m.MessageId)]; again != nil {
				again.receipt = aws.ToString(m.ReceiptHandle) // only the newest handle is sure to work
				continue
			}
			l := readDeadLetter(m, decoder)
			known[l.MessageID], d.all = l, append(d.all, l)
		}
		said.done.Store(int64(len(d.all)))
		if len(d.all) < expected {
			continue
		}
		if d.left, d.others, err = d.count(ctx); err != nil || d.left == 0 {
			return err
		}
		expected = len(d.all) + d.left
	}
	d.left, d.others, err = d.count(ctx)
	return err
}

// receive receives up to ten messages.
func (d *deadLetters) receive(ctx context.Context) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestBound)
	defer cancel()
	out, err := d.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &d.URL, MaxNumberOfMessages: int32(min(maxBatch, d.most-len(d.all))),
		WaitTimeSeconds: int32(readWait / time.Second), VisibilityTimeout: int32(d.hidden / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("receiving from %s: %w", d.URL, advised(err, "sqs:ReceiveMessage"))
	}
	return out.Messages, nil
}

// count returns how many messages are on the queue, about: those that are visible, without those that are not
// but were not read here.
func (d *deadLetters) count(ctx context.Context) (visible, others int, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestBound)
	defer cancel()
	names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}
	out, err := d.api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &d.URL, AttributeNames: names})
	if err != nil {
		return 0, 0, fmt.Errorf("counting messages of %s: %w", d.URL, advised(err, "sqs:GetQueueAttributes"))
	}
	numbers := [2]int{}
	for i, name := range names {
		numbers[i], _ = strconv.Atoi(out.Attributes[string(name)]) // an emulator that does not say: 0
	}
	return numbers[0], max(0, numbers[1]-len(d.all)), nil
}
