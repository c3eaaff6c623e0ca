package bolt

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/ledger"
)

var (
	bucketMeta     = []byte("meta")
	bucketActive   = []byte("active")
	bucketOutcomes = []byte("outcomes")
	bucketIndex    = []byte("index")
	bucketEvents   = []byte("events")

	keyFormat = []byte("format")
	keySecret = []byte("deployment key")
)

// format is the version of the layout that doc.go describes. Version 1 had no index.
const format = "2"

// op is one call, or one part of the work of a transaction.
type op struct {
	size int // bytes that it will write, roughly
	// run returns an error of its record alone, or one of the store: that ends the whole transaction,
	// because it may have come between two writes.
	run func(*batch) error
}

// state is what is held in memory. It belongs to the goroutine that runs a transaction, of
// which there is one at a time.
type state struct {
	// claims holds every key that was claimed and has not ended.
	claims map[string]claim
	// unsure is set when a commit failed: it may be on disk all the same, so memory is read
	// again from there before anything else is decided.
	unsure bool
	// swept is how far the round has come that forgets events: the next one is at or after this target.
	swept []byte
}

// claim is what is held in memory of a key that has not ended.
type claim struct {
	record      uint64 // its key in the bucket of active commands
	fingerprint ledger.Fingerprint
	number      uint64    // of the newest token; 0 where this process gave none
	until       time.Time // the lease's end; zero: released, or claimed by an earlier process
	released    bool      // the token was released, and is fenced
}

// batch is one transaction.
type batch struct {
	now time.Time

	active, outcomes, index, events *bbolt.Bucket

	swept []byte // the state's

	claims  map[string]claim // the state's
	pending map[string]claim // what they become with the commit; no record: the key ended
	changed bool             // there is something to commit
	ended   int              // outcomes that were added
}

// commit runs ops in one transaction, and returns the error of each. All get the transaction's, if it
// has one.
func (l *Ledger) commit(ops []op) []error {
	errs := make([]error, len(ops))
	if err := guarded(func() error { return l.transact(ops, errs) }); err != nil {
		err = fmt.Errorf("the ledger %s: %w", l.db.Path(), err)
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func (l *Ledger) transact(ops []op, errs []error) error {
	tx, err := l.db.Begin(true)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // has no effect after a commit
	if l.state.unsure {
		if err := l.state.read(tx); err != nil {
			return fmt.Errorf("reading the file again after a failed commit: %w", err)
		}
	}
	b := newBatch(tx, l.state.claims)
	b.swept = l.state.swept
	for i, o := range ops {
		if errs[i] = o.run(b); ofStore(errs[i]) {
			return errs[i]
		}
	}
	if b.changed {
		if err := b.forget(); err != nil {
			return err
		}
		l.state.unsure = true
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("committing: %w", err)
		}
		l.state.unsure = false
	}
	b.settle()
	l.state.swept = b.swept
	return nil
}

func ofStore(err error) bool { return err != nil && !ledger.IsOfRecord(err) }

func newBatch(tx *bbolt.Tx, claims map[string]claim) *batch {
	b := &batch{
		now:      time.Now(),
		active:   tx.Bucket(bucketActive),
		outcomes: tx.Bucket(bucketOutcomes),
		index:    tx.Bucket(bucketIndex),
		events:   tx.Bucket(bucketEvents),
		claims:   claims, pending: map[string]claim{},
	}
	// Nothing is ever inserted between outcomes, so their pages can be filled to the brim.
	b.outcomes.FillPercent = 1
	return b
}

// claimed returns the claim of a key that has not ended.
func (b *batch) claimed(key string) (claim, bool) {
	c, ok := b.pending[key]
	if !ok {
		c = b.claims[key]
	}
	return c, c.record != 0
}

// settle makes what was pending count.
func (b *batch) settle() {
	for key, c := range b.pending {
		if c.record == 0 {
			delete(b.claims, key)
		} else {
			b.claims[key] = c
		}
	}
}

// load prepares the file and reads what is held in memory.
func (l *Ledger) load() error {
	tx, err := l.db.Begin(true)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	changed, err := prepare(tx)
	if err != nil {
		return err
	}
	if err := l.state.read(tx); err != nil {
		return err
	}
	l.key = bytes.Clone(tx.Bucket(bucketMeta).Get(keySecret))
	if !changed {
		return nil
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// prepare gives a file the layout of this format, and says whether it changed the file.
func prepare(tx *bbolt.Tx) (changed bool, err error) {
	first, _ := tx.Cursor().First()
	meta := tx.Bucket(bucketMeta)
	switch {
	case first == nil: // the file is new
		for _, name := range [][]byte{bucketMeta, bucketActive, bucketOutcomes, bucketIndex, bucketEvents} {
			if _, err := tx.CreateBucket(name); err != nil {
				return false, fmt.Errorf("making bucket %q: %w", name, err)
			}
		}
		meta = tx.Bucket(bucketMeta)
	case meta == nil:
		return false, fmt.Errorf("the file is a bbolt file of something else: it has a bucket %q", first)
	case string(meta.Get(keyFormat)) == format:
		return addEvents(tx)
	case string(meta.Get(keyFormat)) == "1":
		if err := addIndex(tx); err != nil {
			return false, fmt.Errorf("making the index of a file of format 1: %w", err)
		}
		if _, err := addEvents(tx); err != nil {
			return false, err
		}
	default:
		return false, fmt.Errorf("the file has format %q, and this worker reads format %q", meta.Get(keyFormat), format)
	}
	err = meta.Put(keyFormat, []byte(format))
	if err == nil && meta.Get(keySecret) == nil {
		secret := make([]byte, ledger.KeyBytes)
		_, _ = rand.Read(secret) // never fails
		err = meta.Put(keySecret, secret)
	}
	if err != nil {
		return false, fmt.Errorf("writing format and key: %w", err)
	}
	return true, nil
}

// addEvents makes the bucket of events in a file of before there were any, and says whether it did.
func addEvents(tx *bbolt.Tx) (changed bool, err error) {
	if tx.Bucket(bucketEvents) != nil {
		return false, nil
	}
	if _, err := tx.CreateBucket(bucketEvents); err != nil {
		return false, fmt.Errorf("making bucket %q: %w", bucketEvents, err)
	}
	return true, nil
}

// addIndex makes the index in place of the tables that format 1 had. It sorts first, because bbolt
// inserts into one long node until it commits.
func addIndex(tx *bbolt.Tx) error {
	if err := tx.DeleteBucket([]byte("tables")); err != nil {
		return err
	}
	index, err := tx.CreateBucket(bucketIndex)
	if err != nil {
		return err
	}
	var pairs [][]byte // index key and sequence number
	c := tx.Bucket(bucketOutcomes).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		r, err := decodeEnded(v)
		if err != nil {
			return fmt.Errorf("outcome record %x: %w", k, err)
		}
		pairs = append(pairs, append(indexKey(r.entry.Key), k...))
	}
	slices.SortFunc(pairs, bytes.Compare)
	for _, p := range pairs {
		if err := index.Put(p[:indexSize], p[indexSize:]); err != nil {
			return err
		}
	}
	return nil
}

// read fills the state from the file. Of claims that it knew already, under the same record,
// it keeps token and lease.
func (s *state) read(tx *bbolt.Tx) error {
	claims := map[string]claim{}
	err := tx.Bucket(bucketActive).ForEach(func(k, v []byte) error {
		r, err := decodeActive(v)
		if err != nil {
			return fmt.Errorf("active record %x: %w", k, err)
		}
		c := claim{record: sequenceOf(k), fingerprint: r.entry.Fingerprint}
		if old := s.claims[r.entry.Key]; old.record == c.record {
			c = old
		}
		claims[r.entry.Key] = c
		return nil
	})
	if err != nil {
		return err
	}
	*s = state{claims: claims}
	return nil
}
