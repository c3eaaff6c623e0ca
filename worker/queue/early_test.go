package queue

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/rescindhq/rescind/internal/awssim"
)

// hasty answers receives at once with nothing while early says so of their number.
type hasty struct {
	API
	early func(n int64) bool
	n     atomic.Int64
}

func (h *hasty) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, f ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if h.early(h.n.Add(1)) {
		return &sqs.ReceiveMessageOutput{}, nil
	}
	return h.API.ReceiveMessage(ctx, in, f...)
}

// Receives that come back empty at once back off and are a failure; the first that waits ends it.
func TestEmptyAnswersAtOnceBackOff(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		var waits atomic.Bool
		api := &hasty{API: w.client, early: func(int64) bool { return !waits.Load() }}
		s := w.subscriber(api, Options{})
		ch := w.subscribe(s, w.url)
		advance(time.Minute)
		if n := api.n.Load(); n > 5*60 || n < 30 {
			t.Errorf("%d receives in a minute", n)
		}
		if err := s.Health(); err == nil || !strings.Contains(err.Error(), "commands may be waiting there unseen") {
			t.Errorf("health says %v", err)
		}
		waits.Store(true)
		w.send(w.url, 1)
		advance(earlyBackoffMax)
		m, _ := w.next(ch)
		m.Ack()
		if err := s.Health(); err != nil {
			t.Error(err)
		}
	})
}

// An early empty answer now and then is SQS's own: it slows nothing, and is no failure.
func TestAnEmptyAnswerNowAndThenSlowsNothing(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		api := &hasty{API: w.client, early: func(n int64) bool { return n%2 == 0 }}
		s := w.subscriber(api, Options{})
		ch := w.subscribe(s, w.url)
		for range 20 {
			advance(30 * time.Second)
			if err := s.Health(); err != nil {
				t.Fatal(err)
			}
			w.send(w.url, 1)
			advance(earlyBackoff)
			m, _ := w.next(ch)
			m.Ack()
		}
		if n := api.n.Load(); n > 150 {
			t.Errorf("%d receives in ten minutes", n)
		}
	})
}

// A later queue is served while an earlier one's answers are empty at once.
func TestAQueueThatAnswersNothingHoldsBackNoOther(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		s := w.subscriber(onlyFor{w.client, w.url}, Options{})
		w.subscribe(s, w.url)
		ch := w.subscribe(s, w.dlq)
		advance(time.Minute)
		w.send(w.dlq, 1)
		advance(0)
		m, _ := w.next(ch)
		m.Ack()
	})
}

// onlyFor answers the receives of one queue at once with nothing.
type onlyFor struct {
	API
	url string
}

func (o onlyFor) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, f ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if *in.QueueUrl == o.url {
		return &sqs.ReceiveMessageOutput{}, nil
	}
	return o.API.ReceiveMessage(ctx, in, f...)
}

// An answer with nothing in it, as a middlebox gives it, is not believed: a dead-letter queue without a URL would
// take nothing for as long as the worker runs.
func TestEmptyAnswersAboutQueuesAreErrors(t *testing.T) {
	virtual(t, awssim.Options{}, func(w *world) {
		s := w.subscriber(silent{w.client}, Options{})
		if _, err := s.Inspect(w.Context(), w.url); err == nil {
			t.Error("a queue without attributes is believed")
		}
		if url, err := s.DeadLetterURL(w.Context(), "arn:aws:sqs:us-east-1:123456789012:dead"); err == nil {
			t.Errorf("a queue without a URL is believed: %q", url)
		}
	})
}

// silent answers questions about queues with nothing.
type silent struct{ API }

func (silent) GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return &sqs.GetQueueAttributesOutput{}, nil
}

func (silent) GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) { //nolint:revive // the SDK's name
	return &sqs.GetQueueUrlOutput{}, nil
}
