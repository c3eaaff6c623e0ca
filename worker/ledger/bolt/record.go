package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// Records on disk. Integers are big endian, a text is its uvarint length and its bytes:
//
//	entry   fingerprint (32) · key · campaign · uvarint count of targets · each target
//	active  version (1) · uvarint length of entry · entry · progress as JSON, or nothing
//	ended   version (1) · ended at, Unix nanoseconds (8) · number of the token that ended it (8) ·
//	        uvarint length of entry · entry · outcome
const recordVersion = 1

// record is a command's record, of either kind. Its slices alias what was decoded.
type record struct {
	entry    ledger.Entry
	rawEntry []byte
	body     []byte // the progress, or the outcome

	at     time.Time // when it ended
	number uint64    // of the token that ended it
}

var (
	errShort = errors.New("the record is cut short")
	errLong  = errors.New("the record has bytes left over")
)

func appendText[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func encodeEntry(e ledger.Entry) []byte {
	b := append([]byte(nil), e.Fingerprint[:]...)
	b = appendText(b, e.Key)
	b = appendText(b, e.Campaign)
	b = binary.AppendUvarint(b, uint64(len(e.Targets)))
	for _, t := range e.Targets {
		b = appendText(b, t)
	}
	return b
}

func encodeActive(entry, progress []byte) []byte {
	return append(appendText([]byte{recordVersion}, entry), progress...)
}

func encodeEnded(at time.Time, number uint64, entry, outcome []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{recordVersion}, uint64(at.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, number)
	return append(appendText(b, entry), outcome...)
}

// mostBytes is the longest entry, progress or outcome that is stored: far more than a command can
// come to, and far less than bbolt's largest value, so that no record breaks a transaction.
const mostBytes = 16 << 20

func fits(size int) error {
	if size > mostBytes {
		return fmt.Errorf("%w: %d bytes, and %d are the most", ledger.ErrRejected, size, mostBytes)
	}
	return nil
}

func encodeProgress(p ledger.Progress) ([]byte, error) {
	b, err := ledger.EncodeProgress(p)
	if err == nil {
		err = fits(len(b))
	}
	return b, err
}

func decodeProgress(b []byte) (ledger.Progress, error) {
	if len(b) == 0 {
		return ledger.Progress{}, nil
	}
	return ledger.DecodeProgress(b)
}

func decodeActive(b []byte) (record, error) {
	r := reader{rest: b}
	r.version()
	return r.record(record{})
}

func decodeEnded(b []byte) (record, error) {
	r := reader{rest: b}
	r.version()
	return r.record(record{at: time.Unix(0, int64(r.uint64())), number: r.uint64()})
}

// recordKey is the key of a record in its bucket.
func recordKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func sequenceOf(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

const indexSize = 16

// indexKey is the beginning of SHA-256: senders choose the keys, and must not make them collide.
func indexKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:indexSize:indexSize]
}

// reader takes a record apart; after its first error it only returns zero values.
type reader struct {
	rest []byte
	err  error
}

// record reads what both kinds end with.
func (r *reader) record(into record) (record, error) {
	into.rawEntry = r.take(r.uvarint())
	into.body = r.rest
	entry := reader{rest: into.rawEntry, err: r.err}
	into.entry = entry.entry()
	if entry.err != nil {
		return record{}, entry.err
	}
	return into, nil
}

func (r *reader) entry() (e ledger.Entry) {
	copy(e.Fingerprint[:], r.take(uint64(len(e.Fingerprint))))
	e.Key = r.text()
	if r.err != nil {
		return e
	}
	e.Campaign = r.text()
	n := r.uvarint()
	// A target takes at least its length's byte: a count that cannot be true is refused
	// before anything is made for it.
	if n > uint64(len(r.rest)) {
		r.fail(errShort)
	} else if n > 0 {
		e.Targets = make([]string, n)
		for i := range e.Targets {
			e.Targets[i] = r.text()
		}
	}
	if len(r.rest) > 0 {
		r.fail(errLong)
	}
	if r.err != nil {
		r.err = fmt.Errorf("of key %q: %w", e.Key, r.err)
	}
	return e
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail(errShort)
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) version() {
	if b := r.take(1); r.err == nil && b[0] != recordVersion {
		r.fail(fmt.Errorf("the record is of version %d, and this worker reads version %d", b[0], recordVersion))
	}
}

func (r *reader) uint64() uint64 {
	b := r.take(8)
	if r.err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (r *reader) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail(errShort)
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }
