package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/ledger"
)

var errMissing = errors.New("the record is missing")

// claim decides what a claim of key finds, and takes it where it is free or its lease has
// run out.
func (b *batch) claim(key string, fingerprint ledger.Fingerprint, entry []byte, lease time.Duration) (*ledger.Claim, error) {
	if c, ok := b.claimed(key); ok {
		return b.claimAgain(key, c, fingerprint, lease)
	}
	if e, ok, err := b.find(key); err != nil {
		return nil, err
	} else if ok {
		if e.entry.Fingerprint != fingerprint {
			return &ledger.Claim{State: ledger.OtherContent}, nil
		}
		return &ledger.Claim{State: ledger.Ended, Outcome: bytes.Clone(e.body)}, nil
	}
	number, err := b.next(b.active)
	if err != nil {
		return nil, err
	}
	if err := b.put(b.active, recordKey(number), encodeActive(entry, nil)); err != nil {
		return nil, err
	}
	b.pending[key] = claim{record: number, fingerprint: fingerprint, number: number, until: b.now.Add(lease)}
	return &ledger.Claim{State: ledger.Claimed, Token: ledger.Token{Key: key, Number: number}}, nil
}

// claimAgain claims a key that was claimed before and has not ended.
func (b *batch) claimAgain(key string, c claim, fingerprint ledger.Fingerprint, lease time.Duration) (*ledger.Claim, error) {
	if c.fingerprint != fingerprint {
		return &ledger.Claim{State: ledger.OtherContent}, nil
	}
	if b.now.Before(c.until) {
		return &ledger.Claim{State: ledger.Held, Until: c.until}, nil
	}
	record, err := b.record(c)
	if err != nil {
		return nil, err
	}
	progress, err := decodeProgress(record.body)
	if err != nil {
		return nil, fmt.Errorf("active record %d: %w: %w", c.record, ledger.ErrUnreadable, err)
	}
	if c.number, err = b.next(b.active); err != nil {
		return nil, err
	}
	c.until, c.released = b.now.Add(lease), false
	b.pending[key] = c
	return &ledger.Claim{
		State: ledger.Claimed, Token: ledger.Token{Key: key, Number: c.number},
		Resumed: true, Progress: progress,
	}, nil
}

// held returns the claim that a token names, while it is its key's newest and the key has
// not ended.
func (b *batch) held(t ledger.Token) (claim, error) {
	c, ok := b.claimed(t.Key)
	if !ok || c.number != t.Number || t.Number == 0 || c.released {
		return claim{}, ledger.ErrFenced
	}
	return c, nil
}

func (b *batch) renew(t ledger.Token, lease time.Duration) error {
	c, err := b.held(t)
	if err != nil {
		return err
	}
	c.until = b.now.Add(lease)
	b.pending[t.Key] = c
	return nil
}

func (b *batch) progress(t ledger.Token, progress []byte) error {
	c, err := b.held(t)
	if err != nil {
		return err
	}
	record, err := b.record(c)
	if err != nil {
		return err
	}
	return b.put(b.active, recordKey(c.record), encodeActive(record.rawEntry, progress))
}

func (b *batch) release(t ledger.Token, progress []byte) error {
	if c, ok := b.claimed(t.Key); ok && c.released && c.number == t.Number {
		return nil // a repeated call
	}
	if err := b.progress(t, progress); err != nil {
		return err
	}
	c, _ := b.claimed(t.Key)
	c.until, c.released = time.Time{}, true
	b.pending[t.Key] = c
	return nil
}

func (b *batch) complete(t ledger.Token, outcome []byte) error {
	c, err := b.held(t)
	if err != nil {
		// A repeated call whose first try ended the key.
		e, ok, findErr := b.find(t.Key)
		if findErr != nil {
			return findErr
		}
		if ok && e.number == t.Number && bytes.Equal(e.body, outcome) {
			return nil
		}
		return err
	}
	record, err := b.record(c)
	if err != nil {
		return err
	}
	sequence, err := b.next(b.outcomes)
	if err != nil {
		return err
	}
	at := recordKey(sequence)
	if err := b.put(b.outcomes, at, encodeEnded(b.now, t.Number, record.rawEntry, outcome)); err != nil {
		return err
	}
	if err := b.put(b.index, indexKey(t.Key), at); err != nil {
		return err
	}
	if err := b.active.Delete(recordKey(c.record)); err != nil {
		return fmt.Errorf("deleting the active record: %w", err)
	}
	b.pending[t.Key] = claim{}
	b.ended++
	return nil
}

// find returns the record of the key's end, unless it is to be forgotten.
func (b *batch) find(key string) (record, bool, error) {
	at := b.index.Get(indexKey(key))
	if at == nil {
		return record{}, false, nil
	}
	v := b.outcomes.Get(at)
	if v == nil {
		return record{}, false, nil
	}
	r, err := decodeEnded(v)
	if err != nil {
		return record{}, false, fmt.Errorf("outcome record %x: %w: %w", at, ledger.ErrUnreadable, err)
	}
	return r, r.entry.Key == key && !b.forgets(r.at), nil
}

func (b *batch) forgets(ended time.Time) bool { return !b.now.Before(ended.Add(ledger.Retention)) }

// forgetStep is how many outcomes a commit forgets at most, beside two for each that it
// adds: enough to catch up, few enough that no commit is held up by it.
const forgetStep = 128

// forget deletes the oldest outcomes that are over their time. bbolt uses the pages again.
func (b *batch) forget() error {
	var over [][]byte
	c := b.outcomes.Cursor()
	for k, v := c.First(); k != nil && len(over) < forgetStep+2*b.ended; k, v = c.Next() {
		r, err := decodeEnded(v)
		if err != nil {
			continue // it remains: it may be what prevents a command from running again
		}
		if !b.forgets(r.at) {
			break
		}
		over = append(over, k)
		// The key may have ended again since.
		if at := indexKey(r.entry.Key); bytes.Equal(b.index.Get(at), k) {
			if err := b.index.Delete(at); err != nil {
				return fmt.Errorf("forgetting a key: %w", err)
			}
		}
	}
	for _, k := range over {
		if err := b.outcomes.Delete(k); err != nil {
			return fmt.Errorf("forgetting an outcome: %w", err)
		}
	}
	return nil
}

// record reads the record of a key that has not ended.
func (b *batch) record(c claim) (r record, err error) {
	if v := b.active.Get(recordKey(c.record)); v == nil {
		err = errMissing
	} else {
		r, err = decodeActive(v)
	}
	if err != nil {
		return record{}, fmt.Errorf("active record %d: %w: %w", c.record, ledger.ErrUnreadable, err)
	}
	return r, nil
}

func (b *batch) next(bucket *bbolt.Bucket) (uint64, error) {
	b.changed = true
	n, err := bucket.NextSequence()
	if err != nil {
		return 0, fmt.Errorf("drawing a number: %w", err)
	}
	return n, nil
}

func (b *batch) put(bucket *bbolt.Bucket, key, value []byte) error {
	b.changed = true
	if err := bucket.Put(key, value); err != nil {
		return fmt.Errorf("writing record %x: %w", key, err)
	}
	return nil
}
