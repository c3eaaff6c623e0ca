package bolt

import (
	"bytes"
	"context"
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
		var failed error
		err := l.do(t.Context(), 0, func(b *batch) {
			for i := from; i < min(from+512, to) && failed == nil; i++ {
				failed = b.endNew(keyOf(i))
			}
		})
		if err != nil || failed != nil {
			t.Fatal(err, failed)
		}
	}
}

func (b *batch) endNew(key string) error {
	entry := encodeEntry(ledger.Entry{Key: key, Targets: []string{"1d828f65-7a4d-42e8-996d-3b900ed59dc4"}})
	c, err := b.claim(key, ledger.Fingerprint{}, entry, nil, time.Minute)
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

func kept(t testing.TB, l *Ledger) (outcomes, tables int) {
	t.Helper()
	err := l.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketOutcomes).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			outcomes++
		}
		tables = tx.Bucket(bucketTables).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return outcomes, tables
}

// TestALongLife takes a ledger through two full segments and a bit, a restart, the end of
// retention and another life of the same length.
func TestALongLife(t *testing.T) {
	const n = 2*segmentSize + 1000
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
			if _, tables := kept(t, l); tables != 2 || len(l.state.tail) != 1000 {
				t.Errorf("%d tables and %d outcomes after them, want 2 and 1000", tables, len(l.state.tail))
			}
			for _, i := range []int{0, 1, segmentSize - 1, segmentSize, 2*segmentSize - 1, 2 * segmentSize, n - 1} {
				if c := claimKey(t, l, keyOf(i), ledger.Ended); !bytes.Equal(c.Outcome, someOutcome) {
					t.Errorf("outcome %d is %q", i, c.Outcome)
				}
			}
			before := commits(t, l)
			for i := 0; i < n; i += 97 {
				claimKey(t, l, keyOf(i), ledger.Ended)
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
		if outcomes, _ := kept(t, l); outcomes != n+1-forgetStep-2 {
			t.Errorf("a commit left %d outcomes, want %d less than %d", outcomes, forgetStep+2, n+1)
		}
		fill(t, l, 0, n) // the same ids are new commands now
		outcomes, tables := kept(t, l)
		if outcomes != n+1 || tables != 2 {
			t.Errorf("%d outcomes and %d tables are kept, want %d and 2", outcomes, tables, n+1)
		}
		claimKey(t, l, keyOf(0), ledger.Ended)
		claimKey(t, l, keyOf(n), ledger.Ended)
		if grown := fileSize(t, path); float64(grown) > 1.2*float64(size) {
			t.Errorf("the file grew from %d to %d bytes though as much was forgotten as was stored", size, grown)
		}
	})
}

// A key of 64 bits of hash can collide; what is stored is compared, so nothing comes of it.
func TestTablesGiveEveryCandidate(t *testing.T) {
	sequences := map[string]uint64{}
	for i := range segmentSize {
		sequences[keyOf(i)] = 7*segmentSize + uint64(i) + 1
	}
	table := newTable(7, sequences)
	others := 0
	for key, want := range sequences {
		found := false
		for sequence := range candidates(7, table, hashOf(key)) {
			if sequence == want {
				found = true
			} else {
				others++
			}
		}
		if !found {
			t.Fatalf("%s is not in the table", key)
		}
	}
	// A candidate too many costs one look at a record.
	if others > segmentSize/1000 {
		t.Errorf("%d false candidates for %d keys", others, segmentSize)
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
