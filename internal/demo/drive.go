package demo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// stalled is how long the demo goes on without a new outcome. A message whose deletion was lost
	// comes back after the worker's lease of a minute, but its outcome is there by then.
	stalled = time.Minute
	// emptyBound is how long the deletion of the last messages may take once their outcomes are
	// published. A request takes milliseconds; some fail and are made again.
	emptyBound = 10 * time.Second
	// pollEvery is how often a condition is looked at that a wait is for.
	pollEvery = 20 * time.Millisecond
	// sendInFlight is how many requests send commands at the same time.
	sendInFlight = 16
)

// drive sends the commands and waits for their outcomes, sends some of them again and waits for
// those, and waits until the queue is empty.
func (d *Demo) drive(ctx context.Context) error {
	var all, repeated []*command
	for i := range d.commands {
		all = append(all, &d.commands[i])
		if d.commands[i].repeat {
			repeated = append(repeated, &d.commands[i])
		}
	}
	if err := d.send(ctx, all); err != nil {
		return err
	}
	err := d.await(ctx, func() bool { n, _ := d.outcomes.count(); return n >= len(all) })
	if err != nil {
		return err
	}
	if err := d.sendAgain(ctx, repeated); err != nil {
		return err
	}
	return d.awaitEmpty(ctx)
}

// sendAgain sends commands a second time and waits until their outcomes were published again.
func (d *Demo) sendAgain(ctx context.Context, commands []*command) error {
	before := make([]int, len(commands))
	for i, c := range commands {
		before[i] = d.outcomes.times(c.eventID)
	}
	calls := d.Progress().Total().Calls
	if err := d.send(ctx, commands); err != nil {
		return err
	}
	err := d.await(ctx, func() bool {
		for i, c := range commands {
			if d.outcomes.times(c.eventID) == before[i] {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if more := d.Progress().Total().Calls - calls; more > 0 {
		d.problems = append(d.problems, fmt.Sprintf("commands that were sent a second time caused more calls: %d", more))
	}
	return nil
}

// send puts commands on the queue. It returns when every request has ended.
func (d *Demo) send(ctx context.Context, commands []*command) error {
	var sending sync.WaitGroup
	slots := make(chan struct{}, sendInFlight)
	var mu sync.Mutex
	var errs []error
	for batch := range slices.Chunk(commands, batchSize) {
		slots <- struct{}{}
		sending.Go(func() {
			defer func() { <-slots }()
			if err := d.sendBatch(ctx, batch); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	sending.Wait()
	if len(errs) > 0 {
		return errs[0] // the others say the same
	}
	return nil
}

// sendBatch sends commands with one request and records their message ids.
func (d *Demo) sendBatch(ctx context.Context, batch []*command) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(batch))
	for i, c := range batch {
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(c.body)}
	}
	out, err := d.env.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(d.env.QueueURL), Entries: entries})
	if err != nil {
		return fmt.Errorf("sending commands: %w", err)
	}
	for _, ok := range out.Successful {
		i, err := strconv.Atoi(aws.ToString(ok.Id))
		if err != nil || i < 0 || i >= len(batch) {
			return fmt.Errorf("sending commands: SQS answered for an entry %q that was not sent", aws.ToString(ok.Id))
		}
		batch[i].sent(aws.ToString(ok.MessageId))
		d.outcomes.expect(batch[i].eventID, batch[i].service)
	}
	if len(out.Failed) > 0 {
		first := out.Failed[0]
		return fmt.Errorf("sending commands: %s: %s", aws.ToString(first.Code), aws.ToString(first.Message))
	}
	return nil
}

// await waits until done returns true. It gives up when no outcome has come for too long, which the
// report then says.
func (d *Demo) await(ctx context.Context, done func() bool) error {
	began := time.Now()
	for !done() {
		_, last := d.outcomes.count()
		if last.Before(began) {
			last = began
		}
		if time.Since(last) > stalled {
			d.problems = append(d.problems, fmt.Sprintf("no outcome came for %s", stalled))
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// awaitEmpty waits until no message is left on the queue. It gives up after emptyBound, which the
// report then says.
func (d *Demo) awaitEmpty(ctx context.Context) error {
	end := time.Now().Add(emptyBound)
	for {
		left := messages(d.env.Sim.Depth(d.env.QueueURL))
		switch {
		case left == 0:
			return nil
		case time.Now().After(end):
			d.problems = append(d.problems, fmt.Sprintf("messages left on the queue: %d", left))
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits for pollEvery, or returns the cause of the end of ctx.
func pause(ctx context.Context) error {
	select {
	case <-time.After(pollEvery):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
