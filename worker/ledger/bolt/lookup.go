package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/ledger"
)

// scanStep is how many outcomes a lookup reads in one read transaction. A reader keeps pages
// from being used again and the file's mapping from growing, so each one is short, and none
// is open while yield runs.
const scanStep = 256

// ByCampaign implements [ledger.Ledger]. It reads the whole file, in its order: about a
// second for a million commands.
func (l *Ledger) ByCampaign(ctx context.Context, campaign string, yield func(ledger.Record) bool) error {
	err := l.scan(ctx, func(e ledger.Entry) bool { return campaign != "" && e.Campaign == campaign }, yield)
	if err != nil {
		return fmt.Errorf("looking up campaign %q: %w", campaign, err)
	}
	return nil
}

// ByTarget implements [ledger.Ledger]. It reads the whole file, like ByCampaign.
func (l *Ledger) ByTarget(ctx context.Context, target string, yield func(ledger.Record) bool) error {
	err := l.scan(ctx, func(e ledger.Entry) bool { return slices.Contains(e.Targets, target) }, yield)
	if err != nil {
		return fmt.Errorf("looking up target %q: %w", target, err)
	}
	return nil
}

// Ended implements [ledger.Ledger].
func (l *Ledger) Ended(_ context.Context, keys ...string) (found []ledger.Record, err error) {
	var unreadable []error
	err = l.view(func(tx *bbolt.Tx) error {
		b := newBatch(tx, nil)
		for _, key := range keys {
			r, ok, err := b.find(key)
			if err != nil {
				unreadable = append(unreadable, err)
			}
			if ok {
				found = append(found, ledger.Record{Entry: r.entry, Ended: true, Outcome: bytes.Clone(r.body)})
			}
		}
		return nil
	})
	if err = errors.Join(append(unreadable, err)...); err != nil {
		return found, fmt.Errorf("looking up what has ended: %w", err)
	}
	return found, nil
}

// scan yields the commands that match, each once, as they stood when the scan began: those
// that had not ended, and then the outcomes up to the last one of that moment.
func (l *Ledger) scan(ctx context.Context, match func(ledger.Entry) bool, yield func(ledger.Record) bool) error {
	var found []ledger.Record
	var from, last uint64
	err := l.view(func(tx *bbolt.Tx) (err error) {
		outcomes := tx.Bucket(bucketOutcomes)
		first, _ := outcomes.Cursor().First()
		from, last = sequenceOf(first), outcomes.Sequence()
		found, err = scanActive(ctx, tx.Bucket(bucketActive), match)
		return err
	})
	for {
		if err != nil {
			return err
		}
		for _, r := range found {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !yield(r) {
				return nil
			}
		}
		if from > last {
			return nil
		}
		until := min(from+scanStep-1, last)
		err = l.view(func(tx *bbolt.Tx) (err error) {
			found, err = scanEnded(ctx, tx.Bucket(bucketOutcomes), from, until, match)
			return err
		})
		from = until + 1
	}
}

func (l *Ledger) view(read func(*bbolt.Tx) error) error {
	if l.closed.Load() {
		return errClosed
	}
	return guarded(func() error { return l.db.View(read) })
}

func scanActive(ctx context.Context, bucket *bbolt.Bucket, match func(ledger.Entry) bool) ([]ledger.Record, error) {
	var found []ledger.Record
	err := bucket.ForEach(func(k, v []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		record, err := decodeActive(v)
		if err != nil {
			return fmt.Errorf("active record %x: %w", k, err)
		}
		if !match(record.entry) {
			return nil
		}
		progress, err := decodeProgress(record.body)
		if err != nil {
			return fmt.Errorf("active record of key %q: %w", record.entry.Key, err)
		}
		found = append(found, ledger.Record{Entry: record.entry, Progress: progress})
		return nil
	})
	return found, err
}

func scanEnded(ctx context.Context, bucket *bbolt.Bucket, from, until uint64, match func(ledger.Entry) bool) ([]ledger.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var found []ledger.Record
	oldest := time.Now().Add(-ledger.Retention)
	c := bucket.Cursor()
	for k, v := c.Seek(recordKey(from)); k != nil && sequenceOf(k) <= until; k, v = c.Next() {
		record, err := decodeEnded(v)
		if err != nil {
			return nil, fmt.Errorf("outcome record %x: %w", k, err)
		}
		if match(record.entry) && record.at.After(oldest) {
			found = append(found, ledger.Record{
				Entry: record.entry, Ended: true, Outcome: bytes.Clone(record.body),
			})
		}
	}
	return found, nil
}
