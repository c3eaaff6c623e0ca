package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
)

// prepareRescind makes a worker with its defaults and a ledger on disk. Its one setting says what
// the box says: Batch has no quota here, or it would pace itself by the one AWS publishes.
func prepareRescind(ctx context.Context, a assignment) (func(context.Context) error, error) {
	book, err := bolt.Open(filepath.Join(a.Dir, "ledger.db"), bolt.Options{})
	if err != nil {
		return nil, err
	}
	// As Rescind's own command has it.
	worker.TuneMemory(worker.DefaultMaxInFlight)
	cfg := a.config()
	cfg.HTTPClient = worker.HTTPClient()
	w, err := worker.New(ctx, worker.Options{
		QueueURLs: []string{a.Place.QueueURL}, TopicARN: a.Place.TopicARN, Ledger: book,
		Quotas: worker.Quotas{"batch:*": {}}, AWS: cfg,
	})
	if err != nil {
		return nil, errors.Join(err, book.Close())
	}
	return func(ctx context.Context) error { return errors.Join(w.Run(ctx), book.Close()) }, nil
}
