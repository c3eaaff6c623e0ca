package worker

import (
	"context"
	"slices"

	"github.com/rescindhq/rescind/worker/ledger"
)

// Ended reads from the ledger which commands among keys have ended, and how. A command's key is its id, and
// "dry/" and its id for a dry run; of a message whose command cannot be run it is "msg:" and SQS's message id.
func (w *Worker) Ended(ctx context.Context, keys ...string) ([]ledger.Record, error) {
	return w.o.Ledger.Ended(ctx, keys...)
}

// Queues are the URLs of the worker's command queues.
func (w *Worker) Queues() []string { return slices.Clone(w.o.QueueURLs) }

// Held is how many messages the worker has received and not yet settled.
func (w *Worker) Held() int { return w.queue.Stats().InFlight }
