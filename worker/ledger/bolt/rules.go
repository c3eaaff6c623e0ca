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
func (b *batch) claim(key string, fingerprint ledger.Fingerprint, entry, progress []byte, lease time.Duration) (*ledger.Claim, error) {
	if c, ok := b.claims[key]; ok {
		return b.claimAgain(key, c, fingerprint, lease)
	}
	if e, ok, err := b.find(key); err != nil {
		return nil, err
	} else if ok {
		if e.entry.Fingerprint != fingerprint {
			return &ledger.Claim{State: ledger.OtherContent}, nil
		}
		return &ledger.Claim{State: ledger.Ended, Outcome: bytes.Clone(e.outcome)}, nil
	}
	number, err := b.next(b.active)
	if err != nil {
		return nil, err
	}
	if err := b.put(b.active, number, encodeActive(entry, progress)); err != nil {
		return nil, err
	}
	b.hold(key, claim{record: number, fingerprint: fingerprint, number: number, until: b.now.Add(lease)})
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
	progress, err := decodeProgress(record.progress)
	if err != nil {
		return nil, fmt.Errorf("active record %d: %w: %w", c.record, ledger.ErrUnreadable, err)
	}
	if c.number, err = b.next(b.active); err != nil {
		return nil, err
	}
	c.until, c.released = b.now.Add(lease), false
	b.hold(key, c)
	return &ledger.Claim{
		State: ledger.Claimed, Token: ledger.Token{Key: key, Number: c.number},
		Resumed: true, Progress: progress,
	}, nil
}

// held returns the claim that a token names, while it is its key's newest and the key has
// not ended.
func (b *batch) held(t ledger.Token) (claim, error) {
	c, ok := b.claims[t.Key]
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
	b.hold(t.Key, c)
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
	return b.put(b.active, c.record, encodeActive(record.rawEntry, progress))
}

func (b *batch) release(t ledger.Token, progress []byte) error {
	if c := b.claims[t.Key]; c.released && c.number == t.Number {
		return nil // a repeated call
	}
	if err := b.progress(t, progress); err != nil {
		return err
	}
	c := b.claims[t.Key]
	c.until, c.released = time.Time{}, true
	b.hold(t.Key, c)
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
		if ok && e.number == t.Number && bytes.Equal(e.outcome, outcome) {
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
	if err := b.put(b.outcomes, sequence, encodeEnded(b.now, t.Number, record.rawEntry, outcome)); err != nil {
		return err
	}
	if err := b.active.Delete(recordKey(c.record)); err != nil {
		return b.broke(fmt.Errorf("deleting the active record: %w", err))
	}
	b.drop(t.Key)
	b.tail[t.Key] = sequence
	b.ended++
	if sequence%segmentSize == 0 {
		return b.seal(segmentOf(sequence))
	}
	return nil
}

// seal writes the table of a segment that is full.
func (b *batch) seal(number uint64) error {
	if err := b.put(b.tables, number, newTable(number, b.tail)); err != nil {
		return err
	}
	clear(b.tail)
	b.segments = nil
	return nil
}

// find returns the outcome that a key ended with, unless it is to be forgotten.
func (b *batch) find(key string) (ended, bool, error) {
	if sequence, ok := b.tail[key]; ok {
		if e, ok, err := b.outcomeOf(sequence, key); ok || err != nil {
			return e, ok, err
		}
	}
	if err := b.readSegments(); err != nil {
		return ended{}, false, err
	}
	hash := hashOf(key)
	for _, s := range b.segments {
		for sequence := range candidates(s.number, s.table, hash) {
			if e, ok, err := b.outcomeOf(sequence, key); ok || err != nil {
				return e, ok, err
			}
		}
	}
	return ended{}, false, nil
}

func (b *batch) outcomeOf(sequence uint64, key string) (ended, bool, error) {
	v := b.outcomes.Get(recordKey(sequence))
	if v == nil {
		return ended{}, false, nil // forgotten
	}
	e, err := decodeEnded(v)
	if err != nil {
		return ended{}, false, fmt.Errorf("outcome record %d: %w: %w", sequence, ledger.ErrUnreadable, err)
	}
	return e, e.entry.Key == key && !b.forgets(e.at), nil
}

func (b *batch) readSegments() error {
	if b.segments != nil {
		return nil
	}
	b.segments = []segment{}
	c := b.tables.Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		s := segment{number: sequenceOf(k), table: v}
		if err := checkTable(s.number, v); err != nil {
			return b.broke(err)
		}
		b.segments = append(b.segments, s)
	}
	return nil
}

func (b *batch) forgets(ended time.Time) bool { return !b.now.Before(ended.Add(b.retention)) }

// forgetStep is how many outcomes a commit forgets at most, beside two for each that it
// adds: enough to catch up, few enough that no commit is held up by it.
const forgetStep = 128

// forget deletes the oldest outcomes that are over their time, and the tables that cover
// nothing any more. bbolt uses the pages again.
func (b *batch) forget() {
	var over [][]byte
	c := b.outcomes.Cursor()
	oldest := b.outcomes.Sequence() + 1
	for k, v := c.First(); k != nil; k, v = c.Next() {
		at, err := decodeEndedAt(v)
		if err == nil && !b.forgets(at) || len(over) == forgetStep+2*b.ended {
			oldest = sequenceOf(k)
			break
		}
		if err == nil { // what cannot be read is kept: it may be what keeps a command from running again
			over = append(over, k)
		}
	}
	for _, k := range over {
		if err := b.outcomes.Delete(k); err != nil {
			_ = b.broke(fmt.Errorf("forgetting an outcome: %w", err))
			return
		}
	}
	for {
		k, _ := b.tables.Cursor().First()
		if k == nil || sequenceOf(k) >= segmentOf(oldest) {
			return
		}
		if err := b.tables.Delete(k); err != nil {
			_ = b.broke(fmt.Errorf("forgetting a table: %w", err))
			return
		}
		b.segments = nil
	}
}

func (b *batch) record(c claim) (active, error) {
	v := b.active.Get(recordKey(c.record))
	if v == nil {
		return active{}, fmt.Errorf("active record %d: %w: %w", c.record, ledger.ErrUnreadable, errMissing)
	}
	a, err := decodeActive(v)
	if err != nil {
		return active{}, fmt.Errorf("active record %d: %w: %w", c.record, ledger.ErrUnreadable, err)
	}
	return a, nil
}

func (b *batch) next(bucket *bbolt.Bucket) (uint64, error) {
	b.changed = true
	n, err := bucket.NextSequence()
	if err != nil {
		return 0, b.broke(fmt.Errorf("drawing a number: %w", err))
	}
	return n, nil
}

func (b *batch) put(bucket *bbolt.Bucket, n uint64, record []byte) error {
	b.changed = true
	if err := bucket.Put(recordKey(n), record); err != nil {
		return b.broke(fmt.Errorf("writing record %d: %w", n, err))
	}
	return nil
}
