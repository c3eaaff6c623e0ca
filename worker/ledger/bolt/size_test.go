package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/ledger"
)

var someOutcome = bytes.Repeat([]byte("outcome "), 60) // 480 bytes: an outcome of one target

func keyOf(i int) string { return "6f1c0a52-0000-4000-8000-" + strconv.Itoa(i) }

// fill ends the commands [from, to), 512 to a transaction.
func fill(t testing.TB, l *Ledger, from, to int) {
	t.Helper()
	for ; from < to; from += 512 {
		err := l.do(t.Context(), 0, func(b *batch) error {
			for i := from; i < min(from+512, to); i++ {
				if err := b.endNew(keyOf(i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (b *batch) endNew(key string) error {
	entry := encodeEntry(ledger.Entry{Key: key, Targets: []string{"1d828f65-7a4d-42e8-996d-3b900ed59dc4"}})
	c, err := b.claim(key, ledger.Fingerprint{}, entry, time.Minute)
	if err != nil {
		return err
	}
	if c.State != ledger.Claimed {
		return fmt.Errorf("%s is in state %d", key, c.State)
	}
	return b.complete(c.Token, someOutcome)
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	s, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return s.Size()
}

func stored(t testing.TB, l *Ledger) (outcomes, keys int) {
	t.Helper()
	count := func(b *bbolt.Bucket) (n int) {
		c := b.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			n++
		}
		return n
	}
	err := l.db.View(func(tx *bbolt.Tx) error {
		outcomes, keys = count(tx.Bucket(bucketOutcomes)), count(tx.Bucket(bucketIndex))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return outcomes, keys
}

// TestALongLife takes a ledger through many commands, a restart, the end of retention and another
// life of the same length.
func TestALongLife(t *testing.T) {
	const n = 50_000
	path := filepath.Join(t.TempDir(), "ledger.db")
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(path, Options{NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		fill(t, l, 0, n)
		check := func() {
			t.Helper()
			before := commits(t, l)
			for i := 0; i < n; i += 97 {
				if c := claimKey(t, l, keyOf(i), ledger.Ended); !bytes.Equal(c.Outcome, someOutcome) {
					t.Errorf("outcome %d is %q", i, c.Outcome)
				}
			}
			if got := commits(t, l) - before; got != 0 {
				t.Errorf("looking at ended keys took %d commits", got)
			}
		}
		check()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if l, err = Open(path, Options{NoSync: true}); err != nil {
			t.Fatal(err)
		}
		check()

		size := fileSize(t, path)
		time.Sleep(ledger.Retention)
		fill(t, l, n, n+1) // one command, one small step of forgetting
		if outcomes, keys := stored(t, l); outcomes != n+1-forgetStep-2 || keys != outcomes {
			t.Errorf("a commit left %d outcomes and %d keys, want %d less than %d", outcomes, keys, forgetStep+2, n+1)
		}
		fill(t, l, 0, n) // the same ids are new commands now
		if outcomes, keys := stored(t, l); outcomes != n+1 || keys != n+1 {
			t.Errorf("%d outcomes and %d keys are stored, want %d", outcomes, keys, n+1)
		}
		claimKey(t, l, keyOf(0), ledger.Ended)
		claimKey(t, l, keyOf(n), ledger.Ended)
		if grown := fileSize(t, path); float64(grown) > 1.2*float64(size) {
			t.Errorf("the file grew from %d to %d bytes though as much was forgotten as was stored", size, grown)
		}
	})
}

// TestFormat1 opens a file of the format without an index: it had hash tables in a bucket of their own.
func TestFormat1(t *testing.T) {
	l, path := newLedger(t)
	fill(t, l, 0, 1000)
	active := claimKey(t, l, "active", ledger.Claimed).Token
	if err := l.Release(t.Context(), ledger.Update{Token: active, Progress: ledger.Progress{Begun: true}}); err != nil {
		t.Fatal(err)
	}
	err := l.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("tables"))
		return errors.Join(err, tx.DeleteBucket(bucketIndex), tx.Bucket(bucketMeta).Put(keyFormat, []byte("1")))
	})
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	for i := range 1000 {
		claimKey(t, again, keyOf(i), ledger.Ended)
	}
	if c := claimKey(t, again, "active", ledger.Claimed); !c.Resumed || !c.Progress.Begun {
		t.Errorf("claim = %+v", c)
	}
	if !bytes.Equal(again.key, l.key) {
		t.Error("the deployment's key is another")
	}
}

// BenchmarkCommand takes commands their whole way (claim, progress, complete) on many
// goroutines, with so many ended before. Its time is per command.
func BenchmarkCommand(b *testing.B) {
	for _, ended := range []int{20_000, 1_000_000} {
		path := filepath.Join(b.TempDir(), "ledger.db")
		var next atomic.Int64
		for _, noSync := range []bool{true, false} {
			b.Run(fmt.Sprintf("ended=%d/nosync=%t", ended, noSync), func(b *testing.B) {
				start := time.Now()
				l, err := Open(path, Options{NoSync: true})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				opened := time.Since(start)
				if next.Load() == 0 {
					fill(b, l, 0, ended)
					next.Store(int64(ended))
				}
				l.db.NoSync = noSync
				if err := l.db.Sync(); err != nil {
					b.Fatal(err)
				}
				before := l.db.Stats()
				tx := commits(b, l)
				b.SetParallelism(256)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := wholeWay(b.Context(), l, keyOf(int(next.Add(1)))); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.StopTimer()
				after := l.db.Stats()
				n := float64(b.N)
				b.ReportMetric(float64(after.TxStats.GetPageCount()-before.TxStats.GetPageCount())/n, "pages/op")
				b.ReportMetric(n/float64(commits(b, l)-tx), "ops/commit")
				b.ReportMetric(float64(opened.Microseconds())/1000, "ms-to-open")
				b.ReportMetric(float64(fileSize(b, path))/(1<<20), "MiB-file")
			})
		}
	}
}

func wholeWay(ctx context.Context, l *Ledger, key string) error {
	e := ledger.Entry{Key: key, Targets: []string{"1d828f65-7a4d-42e8-996d-3b900ed59dc4"}}
	c, err := l.Claim(ctx, e, time.Minute)
	if err != nil {
		return err
	}
	u := ledger.Update{Token: c.Token, Progress: ledger.Progress{Begun: true}}
	if err := l.Progress(ctx, u)[0]; err != nil {
		return err
	}
	return l.Complete(ctx, c.Token, someOutcome)
}
