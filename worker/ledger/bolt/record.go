package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/worker/ledger"
)

// Records on disk. Integers are big endian, a text is its uvarint length and its bytes:
//
//	entry   fingerprint (32) · key · campaign · uvarint count of targets · each target
//	active  version (1) · uvarint length of entry · entry · progress as JSON, or nothing
//	ended   version (1) · ended at, Unix nanoseconds (8) · number of the token that ended it (8) ·
//	        uvarint length of entry · entry · outcome
//
// Progress is JSON because its fields will grow; unknown ones are refused, so that an older
// worker says so rather than forget what a newer one stored.
const recordVersion = 1

// active is the record of a command that has not ended. Its slices alias what was decoded.
type active struct {
	entry    ledger.Entry
	rawEntry []byte
	progress []byte
}

// ended is the record of an ended command. Its slices alias what was decoded.
type ended struct {
	entry   ledger.Entry
	at      time.Time
	number  uint64
	outcome []byte
}

var (
	errShort = errors.New("the record is cut short")
	errLong  = errors.New("the record has bytes left over")
)

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func encodeEntry(e ledger.Entry) []byte {
	size := len(e.Fingerprint) + len(e.Key) + len(e.Campaign) + 3*binary.MaxVarintLen16
	for _, t := range e.Targets {
		size += len(t) + binary.MaxVarintLen16
	}
	b := append(make([]byte, 0, size), e.Fingerprint[:]...)
	b = appendText(b, e.Key)
	b = appendText(b, e.Campaign)
	b = binary.AppendUvarint(b, uint64(len(e.Targets)))
	for _, t := range e.Targets {
		b = appendText(b, t)
	}
	return b
}

func encodeActive(entry, progress []byte) []byte {
	b := make([]byte, 0, 1+binary.MaxVarintLen64+len(entry)+len(progress))
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(len(entry)))
	b = append(b, entry...)
	return append(b, progress...)
}

func encodeEnded(at time.Time, number uint64, entry, outcome []byte) []byte {
	b := make([]byte, 0, 1+8+8+binary.MaxVarintLen64+len(entry)+len(outcome))
	b = append(b, recordVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, number)
	b = binary.AppendUvarint(b, uint64(len(entry)))
	b = append(b, entry...)
	return append(b, outcome...)
}

// encodeProgress writes bytes that are not UTF-8 (in AWS's words, say) as U+FFFD: what AWS
// says must not keep a command's progress from being stored.
func encodeProgress(p ledger.Progress) ([]byte, error) {
	b, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("encoding progress: %w", err)
	}
	return b, nil
}

// firstProgress is what a key's first claim stores.
func firstProgress(e ledger.Entry) ([]byte, error) {
	if !e.Begun {
		return nil, nil
	}
	return beginning()
}

// beginning is the progress of which nothing is known but that calls begin.
var beginning = sync.OnceValues(func() ([]byte, error) { return encodeProgress(ledger.Progress{Begun: true}) })

func decodeProgress(b []byte) (ledger.Progress, error) {
	var p ledger.Progress
	if len(b) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(b, &p, json.RejectUnknownMembers(true)); err != nil {
		return ledger.Progress{}, fmt.Errorf("decoding progress: %w", err)
	}
	return p, nil
}

func decodeActive(b []byte) (active, error) {
	r := reader{rest: b}
	r.version()
	var a active
	a.rawEntry = r.take(r.uvarint())
	a.progress = r.rest
	if r.err != nil {
		return active{}, r.err
	}
	var err error
	a.entry, err = decodeEntry(a.rawEntry)
	return a, err
}

func decodeEnded(b []byte) (ended, error) {
	r := reader{rest: b}
	r.version()
	e := ended{at: time.Unix(0, int64(r.uint64())), number: r.uint64()}
	rawEntry := r.take(r.uvarint())
	e.outcome = r.rest
	if r.err != nil {
		return ended{}, r.err
	}
	var err error
	e.entry, err = decodeEntry(rawEntry)
	return e, err
}

// decodeEndedAt reads the time alone, for forgetting.
func decodeEndedAt(b []byte) (time.Time, error) {
	r := reader{rest: b}
	r.version()
	at := time.Unix(0, int64(r.uint64()))
	return at, r.err
}

func decodeEntry(b []byte) (ledger.Entry, error) {
	r := reader{rest: b}
	var e ledger.Entry
	copy(e.Fingerprint[:], r.take(uint64(len(e.Fingerprint))))
	e.Key = r.text()
	if r.err != nil {
		return ledger.Entry{}, r.err
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
	if r.err == nil && len(r.rest) > 0 {
		r.fail(errLong)
	}
	if r.err != nil {
		return ledger.Entry{}, fmt.Errorf("of key %q: %w", e.Key, r.err)
	}
	return e, nil
}

// reader takes a record apart; after its first error it only returns zero values.
type reader struct {
	rest []byte
	err  error
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
