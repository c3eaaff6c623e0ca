package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/queue"
)

// A stray is a message that SQS itself moved to a dead-letter queue, because its receives ran
// out: other consumers took it, or workers that died with it. It gets its outcome like any other,
// by the same road: SQS moves a message with its id ("Configure a dead-letter queue using the
// Amazon SQS console", SQS Developer Guide), so that its key is the one that it always had. A
// command that ended gets the stored outcome published again; one that a live worker has is left
// until that ends; any other ends here, as one does that is given up: nothing is called any
// more, and of what was called the state is read. Then the message is buried again, with a mark.
//
// Strays are told by their DeadLetterQueueSourceArn, which names one of our queues. What was sent
// to the dead-letter queue, as buried messages are, has none, and is left alone; and so is what
// came from queues that are not ours. A mark alone would not tell: a buried message that was
// sent to its queue again carries one, and may become a stray.

// straysMost is the most strays held at once. They have places of their own: they take none from
// commands, and an outage that holds them up holds up no command.
const straysMost = 100

// source is a queue of ours, as its strays need it.
type source struct {
	url         string
	maxReceives int
}

// findStrays makes the subscriber for strays, and lists the dead-letter queues to be read: those
// that SQS moves messages of our queues to, which RESCIND_DLQ_URL may not name. What keeps one
// from being read is logged, and no reason not to start.
func (w *Worker) findStrays(ctx context.Context, api queue.API, found []queueFacts) (urls []string, sources map[string]source) {
	sources = make(map[string]source, len(found))
	for _, f := range found {
		sources[f.arn] = source{f.url, f.maxReceives}
	}
	burials := make(map[string]string) // by URL of the dead-letter queue
	w.strays = queue.New(api, queue.Options{
		MaxInFlight: straysMost, Lease: claimLease, Drain: w.o.Drain, Gate: w.gate,
		DeadLetters: burials, Logger: w.o.Log.Named("strays"),
		Strays: func(arn string) bool { _, ours := sources[arn]; return ours },
	})
	for _, f := range found {
		// A queue of ours to which another one's messages are moved is read as the others are.
		if _, ours := sources[f.redriveARN]; ours || f.redriveARN == "" {
			continue
		}
		url := f.deadLetter
		if w.o.DeadLetterURL != "" {
			var err error
			if url, err = w.strays.DeadLetterURL(ctx, f.redriveARN); err != nil {
				w.o.Log.Warn("what SQS moves to its dead-letter queue gets no outcome: its URL is not known; is sqs:GetQueueUrl allowed on it?",
					zap.String("queue", f.url), zap.Error(err))
				continue
			}
		}
		if burials[url] == "" {
			burials[url] = f.deadLetter
			urls = append(urls, url)
			w.inspectDeadLetters(ctx, url, f)
		}
	}
	return urls, sources
}

// inspectDeadLetters warns of what loses messages in a dead-letter queue.
func (w *Worker) inspectDeadLetters(ctx context.Context, url string, f queueFacts) {
	log := w.o.Log.With(zap.String("queue", url))
	a, err := w.strays.Inspect(ctx, url)
	if err != nil {
		log.Warn("the attributes of the dead-letter queue cannot be read; is sqs:GetQueueAttributes allowed on it?", zap.Error(err))
		return
	}
	if a.MaxReceiveCount > 0 {
		log.Warn("the dead-letter queue has a redrive policy of its own: looking through it counts as receiving, and SQS moves on what was received so often; remove the policy",
			zap.Int("maxReceiveCount", a.MaxReceiveCount))
	}
	if a.Retention < f.retention {
		log.Warn("the dead-letter queue keeps messages for a shorter time than the queue: one that SQS moves there keeps its age, and may be gone before it is answered for; raise the retention",
			zap.Duration("retention", a.Retention), zap.Duration("of the queue", f.retention))
	}
}

// takeStrays takes strays down the road until the subscriber for them closes. They do without the
// router, which waits for all of its channels once one has closed: these close at their own time.
func (w *Worker) takeStrays(ctx context.Context) error {
	handle := w.road.recoverer(func(m *message.Message) ([]*message.Message, error) { return nil, w.road.handle(m) })
	for _, url := range w.dead {
		strays, err := w.strays.Subscribe(ctx, url)
		if err != nil {
			return fmt.Errorf("subscribing to dead-letter queue %s: %w", url, err)
		}
		w.straying.Go(func() {
			for m := range strays {
				w.straying.Go(func() {
					_, _ = handle(m) // how it is to be settled is on its lease
					m.Ack()
				})
			}
		})
	}
	return nil
}

// strayed is why a stray's command ends without any further call; nil for what is no stray.
func (r *road) strayed(l *queue.Lease) *refusal {
	if l.MovedFrom == "" {
		return nil
	}
	return gaveUp(movedAway(r.sources[l.MovedFrom]))
}

func movedAway(from source) string {
	return fmt.Sprintf("SQS had moved the message to the dead-letter queue after %d receives (maxReceiveCount of %s)", from.maxReceives, from.url)
}

// markStray is the mark of a message that has its outcome: a stray is buried whatever became of
// its command, since who reads the dead-letter queue is to see that its receives ran out.
func (r *road) markStray(l *queue.Lease, d *outcome.Data, mark *queue.Mark) *queue.Mark {
	if mark != nil || l.MovedFrom == "" {
		return mark
	}
	return &queue.Mark{
		Reason:    fmt.Sprintf("%s; its outcome is %s", movedAway(r.sources[l.MovedFrom]), d.Status),
		CommandID: d.CommandID,
	}
}

// giveUpAge is the age at which a message's command ends, by the queue that it was sent to; 0 is
// never.
func (r *road) giveUpAge(l *queue.Lease) time.Duration {
	if from, stray := r.sources[l.MovedFrom]; stray {
		return r.giveUps[from.url]
	}
	return r.giveUps[l.QueueURL]
}
