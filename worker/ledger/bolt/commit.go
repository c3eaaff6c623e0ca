package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/ledger"
)

var (
	bucketMeta     = []byte("meta")
	bucketActive   = []byte("active")
	bucketOutcomes = []byte("outcomes")
	bucketTables   = []byte("tables")

	keyFormat = []byte("format")
)

// format is the version of the layout that doc.go describes.
const format = "1"

// op is one call, or one part of the work of a transaction.
type op struct {
	size int // bytes that it will write, roughly
	run  func(*batch)
}

// state is what is kept in memory. It belongs to the goroutine that runs a transaction, of
// which there is one at a time.
type state struct {
	// claims holds every key that was claimed and has not ended.
	claims map[string]claim
	// tail holds the sequence number of each ended key that no table covers yet.
	tail map[string]uint64
	// unsure is set when a commit failed: it may be on disk all the same, so memory is read
	// again from there before anything else is decided.
	unsure bool
}

// claim is what is kept in memory of a key that has not ended.
type claim struct {
	record      uint64 // its key in the bucket of active commands
	fingerprint ledger.Fingerprint
	number      uint64    // of the newest token; 0 where this process gave none
	until       time.Time // the lease's end; zero: released, or claimed by an earlier process
	released    bool      // the token was released, and is fenced
}

// batch is one transaction.
type batch struct {
	*state
	now       time.Time
	retention time.Duration

	active, outcomes, tables *bbolt.Bucket

	segments []segment        // the tables, newest first; nil: not read yet
	before   map[string]claim // what claims held when the batch began, where it was changed
	changed  bool             // there is something to commit
	ended    int              // outcomes that were added
	err      error            // what broke the transaction as a whole
}

type segment struct {
	number uint64
	table  []byte
}

// commit runs ops in one transaction. All get its error, if it has one.
func (l *Ledger) commit(ops []op) []error {
	errs := make([]error, len(ops))
	if err := l.transact(ops); err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func (l *Ledger) transact(ops []op) error {
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
	b := newBatch(tx, &l.state, l.retention)
	for _, o := range ops {
		o.run(b)
	}
	if b.changed && b.err == nil {
		b.forget()
	}
	if b.err == nil && b.changed {
		b.err = tx.Commit()
	}
	if b.err != nil {
		b.undo()
		return fmt.Errorf("committing: %w", b.err)
	}
	return nil
}

func newBatch(tx *bbolt.Tx, s *state, retention time.Duration) *batch {
	b := &batch{
		state: s, now: time.Now(), retention: retention,
		active:   tx.Bucket(bucketActive),
		outcomes: tx.Bucket(bucketOutcomes),
		tables:   tx.Bucket(bucketTables),
		before:   map[string]claim{},
	}
	// Nothing is ever inserted between outcomes, so their pages can be filled to the brim.
	b.outcomes.FillPercent = 1
	return b
}

// load prepares the file and reads what is kept in memory.
func (l *Ledger) load() error {
	tx, err := l.db.Begin(true)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if tx.Bucket(bucketMeta) == nil {
		if name, _ := tx.Cursor().First(); name != nil {
			return fmt.Errorf("the file is a bbolt file of something else: it has a bucket %q", name)
		}
		for _, name := range [][]byte{bucketMeta, bucketActive, bucketOutcomes, bucketTables} {
			if _, err := tx.CreateBucket(name); err != nil {
				return fmt.Errorf("making bucket %q: %w", name, err)
			}
		}
		if err := tx.Bucket(bucketMeta).Put(keyFormat, []byte(format)); err != nil {
			return fmt.Errorf("writing the format: %w", err)
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("committing the empty ledger: %w", err)
		}
		l.state = state{claims: map[string]claim{}, tail: map[string]uint64{}}
		return nil
	}
	return l.state.read(tx)
}

// read fills the state from the file. Of claims that it knew already, under the same record,
// it keeps token and lease.
func (s *state) read(tx *bbolt.Tx) error {
	if f := tx.Bucket(bucketMeta).Get(keyFormat); string(f) != format {
		return fmt.Errorf("the file has format %q, and this worker reads format %q", f, format)
	}
	for _, name := range [][]byte{bucketActive, bucketOutcomes, bucketTables} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("the file has no bucket %q", name)
		}
	}
	claims := map[string]claim{}
	err := tx.Bucket(bucketActive).ForEach(func(k, v []byte) error {
		record, err := decodeActive(v)
		if err != nil {
			return fmt.Errorf("active record %x: %w", k, err)
		}
		c := claim{record: sequenceOf(k), fingerprint: record.entry.Fingerprint}
		if old, ok := s.claims[record.entry.Key]; ok && old.record == c.record {
			c = old
		}
		claims[record.entry.Key] = c
		return nil
	})
	if err != nil {
		return err
	}
	tail := map[string]uint64{}
	outcomes := tx.Bucket(bucketOutcomes)
	sealed := outcomes.Sequence() / segmentSize * segmentSize
	c := outcomes.Cursor()
	for k, v := c.Seek(recordKey(sealed + 1)); k != nil; k, v = c.Next() {
		record, err := decodeEnded(v)
		if err != nil {
			return fmt.Errorf("outcome record %x: %w", k, err)
		}
		tail[record.entry.Key] = sequenceOf(k)
	}
	*s = state{claims: claims, tail: tail}
	return nil
}

// recordKey is the key of a record in its bucket.
func recordKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func sequenceOf(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// hold and drop change the claim of a key, so that undo can bring back what was.
func (b *batch) hold(key string, c claim) {
	b.remember(key)
	b.claims[key] = c
}

func (b *batch) drop(key string) {
	b.remember(key)
	delete(b.claims, key)
}

func (b *batch) remember(key string) {
	if _, ok := b.before[key]; !ok {
		b.before[key] = b.claims[key]
	}
}

// undo brings the claims back to what they were. Whether the file changed is not known.
func (b *batch) undo() {
	for key, c := range b.before {
		if c.record == 0 {
			delete(b.claims, key)
		} else {
			b.claims[key] = c
		}
	}
	b.unsure = true
}

// broke notes an error of the store itself, which ends the whole transaction: it may have
// come between two writes of one op.
func (b *batch) broke(err error) error {
	b.err = errors.Join(b.err, err)
	return err
}
