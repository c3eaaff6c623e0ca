package bolt

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/ledger"
)

// event is an event's record, under its target.
type event struct {
	Event  ledger.Event `json:"event"`
	Stored time.Time    `json:"stored"`
}

func (e *event) isOver(now time.Time) bool { return !now.Before(e.Stored.Add(ledger.EventRetention)) }

// PutEvents implements [ledger.Ledger].
func (l *Ledger) PutEvents(ctx context.Context, events ...ledger.Event) []error {
	changes := make([]change, len(events))
	for i, e := range events {
		changes[i] = change{token: ledger.Token{Key: e.Target}, size: len(e.Target) + len(e.Reason), run: func(b *batch) error {
			value, err := json.Marshal(event{e, b.now}, jsontext.AllowInvalidUTF8(true))
			switch {
			case err != nil:
				return fmt.Errorf("%w: %w", ledger.ErrRejected, err)
			case e.Target == "", len(e.Target) > bbolt.MaxKeySize:
				return fmt.Errorf("%w: the target's name has %d bytes, and 1 to %d are allowed", ledger.ErrRejected, len(e.Target), bbolt.MaxKeySize)
			case len(value) > mostBytes:
				return fits(len(value))
			}
			if err := b.put(b.events, []byte(e.Target), value); err != nil {
				return err
			}
			return b.forgetEvents()
		}}
	}
	return l.apply(ctx, "storing an event of", changes...)
}

// sweepStep is how many events each one that is stored looks at, to forget those that are over their time: all are
// looked at as often as they are added anew.
const sweepStep = 2

// forgetEvents goes on with the round through the events.
func (b *batch) forgetEvents() error {
	c := b.events.Cursor()
	k, v := c.Seek(b.swept)
	for range sweepStep {
		if k == nil {
			b.swept = nil
			return nil
		}
		b.swept = append(bytes.Clone(k), 0)
		var e event
		if err := json.Unmarshal(v, &e); err != nil || e.isOver(b.now) {
			if err := c.Delete(); err != nil {
				return fmt.Errorf("forgetting an event: %w", err)
			}
			k, v = c.Seek(b.swept)
			continue
		}
		k, v = c.Next()
	}
	return nil
}

// Events implements [ledger.Ledger].
func (l *Ledger) Events(_ context.Context, targets ...string) (map[string]ledger.Event, error) {
	found := make(map[string]ledger.Event)
	now := time.Now()
	err := l.view(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketEvents)
		for _, target := range targets {
			var e event
			if v := bucket.Get([]byte(target)); v != nil && json.Unmarshal(v, &e) == nil && !e.isOver(now) {
				found[target] = e.Event
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking up events: %w", err)
	}
	return found, nil
}
