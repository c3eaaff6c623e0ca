package bolt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/rescindhq/rescind/worker/ledger"
)

func newLedger(t testing.TB) (l *Ledger, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ledger.db")
	l, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error("Close:", err)
		}
	})
	return l, path
}

// commits returns how many transactions were committed to the file so far.
func commits(t testing.TB, l *Ledger) (n int) {
	t.Helper()
	if err := l.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func claimKey(t testing.TB, l *Ledger, key string, want ledger.State) *ledger.Claim {
	t.Helper()
	c, err := l.Claim(t.Context(), ledger.Entry{Key: key}, time.Minute)
	if err != nil || c.State != want {
		t.Fatalf("Claim(%q) = %+v, %v, want state %d", key, c, err, want)
	}
	return c
}

func TestCallsShareCommits(t *testing.T) {
	l, _ := newLedger(t)
	before := commits(t, l)
	// While the test has the file's one write transaction, calls can only gather.
	tx, err := l.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	const n = 500
	won := 0
	for i := range n {
		key := fmt.Sprint("key ", i)
		l.group.Go(op{1, func(b *batch) error {
			c, err := b.claim(key, ledger.Fingerprint{}, encodeEntry(ledger.Entry{Key: key}), time.Minute)
			if err == nil && c.State == ledger.Claimed {
				won++
			}
			return err
		}}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := l.group.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := commits(t, l) - before; got > 2 || won != n {
		t.Errorf("%d claims were won with %d commits, want %d with at most 2: the first ones, and all that came meanwhile", won, got, n)
	}
}

// A call whose context ended may still be under way: what it stores is what it was given.
func TestAnAbandonedCallKeepsItsBytes(t *testing.T) {
	l, _ := newLedger(t)
	token := claimKey(t, l, "a", ledger.Claimed).Token
	tx, err := l.db.Begin(true) // the call cannot get on before this ends
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	outcome := []byte("done")
	if err := l.Complete(ctx, token, outcome); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Complete = %v, want the context's error", err)
	}
	outcome[0] = 'X'
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := l.group.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := claimKey(t, l, "a", ledger.Ended); string(c.Outcome) != "done" {
		t.Errorf("the outcome is %q", c.Outcome)
	}
}

func TestWhatChangesNothingOnDiskCommitsNothing(t *testing.T) {
	l, _ := newLedger(t)
	held := claimKey(t, l, "held", ledger.Claimed).Token
	done := claimKey(t, l, "ended", ledger.Claimed).Token
	if err := l.Complete(t.Context(), done, []byte("done")); err != nil {
		t.Fatal(err)
	}
	before := commits(t, l)
	claimKey(t, l, "held", ledger.Held)
	claimKey(t, l, "ended", ledger.Ended)
	if err := l.Renew(t.Context(), time.Hour, held)[0]; err != nil {
		t.Error(err)
	}
	if err := l.Complete(t.Context(), done, []byte("done")); err != nil {
		t.Error(err)
	}
	if err := l.Complete(t.Context(), done, []byte("other")); !errors.Is(err, ledger.ErrFenced) {
		t.Error(err)
	}
	if got := commits(t, l) - before; got != 0 {
		t.Errorf("%d commits", got)
	}
}

// full makes every commit fail that needs more pages, as a full disk does; the function that
// it returns frees space again.
func full(l *Ledger) (free func()) {
	l.db.MaxSize = 1
	return func() { l.db.MaxSize = 0 }
}

func TestAFailedCommitFailsAllAndChangesNothing(t *testing.T) {
	l, _ := newLedger(t)
	a := claimKey(t, l, "a", ledger.Claimed).Token
	b := claimKey(t, l, "b", ledger.Claimed).Token
	free := full(l)
	large := make([]byte, 1<<20)
	if err := l.Complete(t.Context(), a, large); !errors.Is(err, bolterrors.ErrMaxSizeReached) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("Complete on a full disk = %v", err)
	}
	// One transaction for what is refused and what cannot be stored.
	errs := l.Progress(t.Context(),
		ledger.Update{Token: b, Progress: ledger.Progress{Attempts: ledger.Attempts{FirstError: string(make([]byte, 1<<20))}}},
		ledger.Update{Token: ledger.Token{Key: "b", Number: 99}})
	for i, err := range errs {
		if err == nil || errors.Is(err, ledger.ErrFenced) {
			t.Errorf("update %d on a full disk = %v, want the disk's error", i, err)
		}
	}
	if c, err := l.Claim(t.Context(), ledger.Entry{Key: "c", Campaign: string(large)}, time.Minute); err == nil {
		t.Errorf("Claim on a full disk = %+v", c)
	}
	free()

	claimKey(t, l, "a", ledger.Held)
	for _, err := range l.Renew(t.Context(), time.Minute, a, b) {
		if err != nil {
			t.Error("after a failed commit:", err)
		}
	}
	if c := claimKey(t, l, "c", ledger.Claimed); c.Resumed {
		t.Error("a claim that was not stored is resumed")
	}
	if err := l.Complete(t.Context(), a, large); err != nil {
		t.Error("again, with space:", err)
	}
	claimKey(t, l, "a", ledger.Ended)
}

// A commit can fail after it reached the disk (its last sync failed, say). Then what is on
// disk counts, and repeating the calls is harmless.
func TestAFailedCommitThatIsOnDisk(t *testing.T) {
	l, _ := newLedger(t)
	done := claimKey(t, l, "ended", ledger.Claimed).Token
	intact := claimKey(t, l, "intact", ledger.Claimed).Token

	before := map[string]claim{}
	for key, c := range l.state.claims {
		before[key] = c
	}
	if err := l.Complete(t.Context(), done, []byte("done")); err != nil {
		t.Fatal(err)
	}
	claimKey(t, l, "new", ledger.Claimed)
	l.state = state{claims: before, unsure: true}

	if err := l.Complete(t.Context(), done, []byte("done")); err != nil {
		t.Error("repeated Complete:", err)
	}
	if err := l.Complete(t.Context(), done, []byte("other")); !errors.Is(err, ledger.ErrFenced) {
		t.Error("Complete with another outcome:", err)
	}
	claimKey(t, l, "ended", ledger.Ended)
	if c := claimKey(t, l, "new", ledger.Claimed); !c.Resumed {
		t.Error("the claim on disk is forgotten")
	}
	claimKey(t, l, "intact", ledger.Held)
	if err := l.Renew(t.Context(), time.Minute, intact)[0]; err != nil {
		t.Error(err)
	}
}

func TestABrokenRecordSpoilsNothingBesideIt(t *testing.T) {
	l, path := newLedger(t)
	for _, key := range []string{"broken", "sound"} {
		token := claimKey(t, l, key, ledger.Claimed).Token
		if err := l.Release(t.Context(), ledger.Update{Token: token}); err != nil {
			t.Fatal(err)
		}
	}
	number := l.state.claims["broken"].record
	err := l.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketActive).Put(recordKey(number), []byte{recordVersion, 0xff})
	})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := l.Claim(t.Context(), ledger.Entry{Key: "broken"}, time.Minute); err == nil || !strings.Contains(err.Error(), `"broken"`) {
		t.Errorf("Claim = %+v, %v, want an error that names the key", c, err)
	}
	claimKey(t, l, "sound", ledger.Claimed)
	if err := l.ByTarget(t.Context(), "t", func(ledger.Record) bool { return true }); err == nil {
		t.Error("a lookup over a broken record succeeded")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%016x", number)) {
		t.Errorf("Open = %v, want an error that names the record", err)
		_ = again.Close()
	}
}

func TestABrokenProgressLeavesTheKeyUnclaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLedger(t)
		token := claimKey(t, l, "a", ledger.Claimed).Token
		err := l.db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketActive).Put(recordKey(token.Number), encodeActive(encodeEntry(ledger.Entry{Key: "a"}), []byte("{]")))
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for range 2 {
			if c, err := l.Claim(t.Context(), ledger.Entry{Key: "a"}, time.Minute); err == nil || !strings.Contains(err.Error(), `"a"`) {
				t.Errorf("Claim = %+v, %v, want an error that names the key", c, err)
			}
		}
		if err := l.Renew(t.Context(), time.Minute, token)[0]; err != nil {
			t.Error("the old claim was lost to one that failed:", err)
		}
	})
}
