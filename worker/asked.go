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

// ByCampaign calls yield with the ledger's record of each command of a campaign; see [ledger.Ledger].
func (w *Worker) ByCampaign(ctx context.Context, campaign string, yield func(ledger.Record) bool) error {
	return w.o.Ledger.ByCampaign(ctx, campaign, yield)
}

// ByTarget does the same for the commands that name a target id.
func (w *Worker) ByTarget(ctx context.Context, target string, yield func(ledger.Record) bool) error {
	return w.o.Ledger.ByTarget(ctx, target, yield)
}

// Queues are the URLs of the worker's command queues.
func (w *Worker) Queues() []string { return slices.Clone(w.o.QueueURLs) }

// Held is how many messages the worker has received and not yet settled.
func (w *Worker) Held() int { return w.queue.Stats().InFlight }
