package bolt

import (
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/ledger"
)

// FuzzFile: whatever bytes stand where a record should, the ledger says so when it is opened, or
// of the one command that they stand for; other commands are claimed and ended as ever.
func FuzzFile(f *testing.F) {
	newer := sampleActive()
	newer[0] = 2
	for _, record := range [][]byte{
		nil, {1}, sampleActive(), sampleEnded(), newer, sampleEnded()[:40],
		encodeActive(encodeEntry(sampleEntry), []byte(`{"begun":true,"fromTheFuture":1}`)),
		encodeEnded(time.Now(), 1, encodeEntry(sampleEntry), []byte("outcome")),
		encodeEnded(time.Unix(0, math.MinInt64), math.MaxUint64, encodeEntry(ledger.Entry{}), nil),
	} {
		for place := range uint8(3) {
			f.Add(place, record)
		}
	}
	path := filepath.Join(f.TempDir(), "ledger.db")
	f.Fuzz(func(t *testing.T, place uint8, record []byte) {
		write(t, path, place, record)
		l, err := Open(path, Options{NoSync: true})
		if err != nil {
			if s := err.Error(); !strings.Contains(s, path) || !strings.Contains(s, " record ") || !utf8.ValidString(s) {
				t.Errorf("what is wrong with the file is not said: %v", err)
			}
			return
		}
		defer func() { _ = l.Close() }()
		claimed, err := l.Claim(t.Context(), sampleEntry, time.Minute)
		if err != nil && !errors.Is(err, ledger.ErrUnreadable) {
			t.Errorf("claiming the command that stood there: %v", err)
		}
		if err == nil && claimed.State == ledger.Claimed {
			if errs := l.Progress(t.Context(), ledger.Update{Token: claimed.Token, Progress: claimed.Progress}); errs[0] != nil {
				t.Errorf("storing its progress: %v", errs[0])
			}
		}
		lookup := l.ByTarget(t.Context(), "three", func(r ledger.Record) bool {
			if !slices.Contains(r.Targets, "three") || !r.Ended && r.Outcome != nil {
				t.Errorf("found %+v", r)
			}
			return true
		})
		if lookup != nil && !strings.Contains(lookup.Error(), "record ") {
			t.Errorf("looking it up: %v", lookup)
		}
		finish(t, l)
	})
}

// other is a command beside the one that is broken.
var other = ledger.Entry{Key: "another", Fingerprint: ledger.Fingerprint{7}, Targets: []string{"another"}}

// finish claims another command and ends it.
func finish(t *testing.T, l *Ledger) {
	t.Helper()
	c, err := l.Claim(t.Context(), other, time.Minute)
	if err != nil {
		t.Fatalf("claiming another command: %v", err)
	}
	if c.State != ledger.Claimed {
		return // the bytes stood for its key
	}
	if err := l.Complete(t.Context(), c.Token, []byte("its outcome")); err != nil {
		t.Fatalf("ending another command: %v", err)
	}
	if c, err = l.Claim(t.Context(), other, time.Minute); err != nil || c.State != ledger.Ended || string(c.Outcome) != "its outcome" {
		t.Errorf("claimed again, another command is %+v, %v", c, err)
	}
}

// write makes a ledger's file that holds one record: of a command that has not ended, of an
// outcome, or of one in a file of format 1.
func write(t *testing.T, path string, place uint8, record []byte) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketActive, bucketOutcomes, bucketIndex} {
			if err := tx.DeleteBucket(name); err != nil && tx.Bucket(name) != nil {
				return err
			}
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		outcomes := tx.Bucket(bucketOutcomes)
		errs := []error{tx.Bucket(bucketMeta).Put(keyFormat, []byte(format))}
		switch place % 3 {
		case 0:
			active := tx.Bucket(bucketActive)
			errs = append(errs, active.Put(recordKey(1), record), active.SetSequence(1))
		case 1:
			errs = append(errs, outcomes.Put(recordKey(1), record), outcomes.SetSequence(1), tx.Bucket(bucketIndex).Put(indexKey(sampleEntry.Key), recordKey(1)))
		case 2:
			_, err := tx.CreateBucketIfNotExists([]byte("tables"))
			errs = append(errs, outcomes.Put(recordKey(1), record), outcomes.SetSequence(1), err,
				tx.DeleteBucket(bucketIndex), tx.Bucket(bucketMeta).Put(keyFormat, []byte("1")))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzProgress: what is stored of a command's progress is what comes back, bytes that are no
// text aside.
func FuzzProgress(f *testing.F) {
	f.Add("s-1", "r-1", "ThrottlingException", "Rate exceeded", int64(1795262400000000000), 3, true)
	f.Add("", "\x00", "\xff", "\uFFFE😀", int64(-1), -1, false)
	f.Fuzz(func(t *testing.T, id, pin, code, words string, nanos int64, n int, flag bool) {
		p := ledger.Progress{
			Begun: flag, Panics: n, AcceptedAt: time.Unix(0, nanos).UTC(), NextLook: time.Unix(0, nanos).UTC(),
			Targets: map[string]ledger.TargetProgress{
				id: {Begun: flag, Taken: !flag, Pin: pin, RefusalClass: n, RefusalCode: code, RefusalMessage: words, Status: code, RequestID: pin, ByRead: flag},
			},
			Attempts: ledger.Attempts{Calls: n, Throttled: n, FirstError: words, LastError: code},
		}
		b, err := encodeProgress(p)
		if err != nil || !utf8.Valid(b) {
			t.Fatalf("%+v cannot be stored: %q, %v", p, b, err)
		}
		got, err := decodeProgress(b)
		if err != nil {
			t.Fatalf("%q cannot be read: %v", b, err)
		}
		for _, s := range []string{id, pin, code, words} {
			if !utf8.ValidString(s) {
				return
			}
		}
		if !reflect.DeepEqual(got, p) {
			t.Errorf("%+v became %+v", p, got)
		}
	})
}
