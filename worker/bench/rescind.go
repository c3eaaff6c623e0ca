package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// prepareRescind makes a worker with its defaults and a ledger on disk. Its one setting says what
// the simulator says: the service has no quota here, or it would pace itself by the one AWS publishes.
func prepareRescind(ctx context.Context, a assignment) (func(context.Context) error, error) {
	book, err := bolt.Open(filepath.Join(a.Dir, "ledger.db"), bolt.Options{})
	if err != nil {
		return nil, err
	}
	return prepareOn(ctx, a, book)
}

// prepareShared is prepareRescind with the ledger that any number of workers share.
func prepareShared(ctx context.Context, a assignment) (func(context.Context) error, error) {
	const table = "commands"
	cfg := a.config()
	cfg.HTTPClient = worker.HTTPClient()
	if err := dynamo.CreateTable(ctx, cfg, table); err != nil {
		return nil, err
	}
	book, err := dynamo.Open(ctx, cfg, table, dynamo.Options{})
	if err != nil {
		return nil, err
	}
	return prepareOn(ctx, a, book)
}

func prepareOn(ctx context.Context, a assignment, book ledger.Ledger) (func(context.Context) error, error) {
	f, err := fleetOf(a.Fleet)
	if err != nil {
		return nil, errors.Join(err, book.Close())
	}
	// As Rescind's own command has it.
	worker.TuneMemory(worker.DefaultMaxInFlight)
	cfg := a.config()
	cfg.HTTPClient = worker.HTTPClient()
	w, err := worker.New(ctx, worker.Options{
		QueueURLs: []string{a.Place.QueueURL}, TopicARN: a.Place.TopicARN, Ledger: book,
		Quotas: f.quotas, AWS: cfg,
	})
	if err != nil {
		return nil, errors.Join(err, book.Close())
	}
	return func(ctx context.Context) error { return errors.Join(w.Run(ctx), book.Close()) }, nil
}
