package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/ledgertest"
)

func open(t testing.TB, path string, o bolt.Options) *bolt.Ledger {
	t.Helper()
	l, err := bolt.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLedger(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) ledgertest.Opened {
		path := filepath.Join(t.TempDir(), "ledger.db")
		again := func(t *testing.T) ledger.Ledger { return open(t, path, bolt.Options{}) }
		return ledgertest.Opened{Ledger: again(t), Reopen: again}
	})
}

// A worker that died leaves nothing held: its successor need not wait for leases.
func TestClaimsOfAnEarlierProcessAreDead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path, bolt.Options{})
	e := ledger.Entry{Key: "a"}
	first, err := l.Claim(t.Context(), e, time.Hour)
	if err != nil || first.State != ledger.Claimed {
		t.Fatalf("Claim = %+v, %v", first, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, path, bolt.Options{})
	defer func() { _ = l.Close() }()
	for _, token := range []ledger.Token{first.Token, {Key: "a"}} {
		if err := l.Complete(t.Context(), token, nil); !errors.Is(err, ledger.ErrFenced) {
			t.Errorf("Complete with %+v = %v, want ErrFenced", token, err)
		}
	}
	second, err := l.Claim(t.Context(), e, time.Hour)
	if err != nil || second.State != ledger.Claimed || !second.Resumed || second.Token.Number <= first.Token.Number {
		t.Errorf("Claim after reopening = %+v, %v", second, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign.db")
	inBbolt(t, foreign, func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("somebody else's"))
		return err
	})
	newer := filepath.Join(dir, "newer.db")
	_ = open(t, newer, bolt.Options{}).Close()
	inBbolt(t, newer, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("3"))
	})
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	taken := filepath.Join(dir, "taken.db")
	holder := open(t, taken, bolt.Options{})
	defer func() { _ = holder.Close() }()

	for name, tt := range map[string]struct{ path, want string }{
		"a file of another program":       {foreign, "somebody else's"},
		"a file of a newer worker":        {newer, `format "3"`},
		"what is no database":             {text, "invalid"},
		"a directory that does not exist": {filepath.Join(dir, "none", "ledger.db"), "no such file"},
		"a directory in place of a file":  {dir, "is a directory"},
		"a file that another has open":    {taken, "stop that one, or give this worker a file of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			l, err := bolt.Open(tt.path, bolt.Options{})
			if err == nil {
				_ = l.Close()
				t.Fatal("Open succeeded")
			}
			if msg := err.Error(); !strings.Contains(msg, tt.want) || !strings.Contains(msg, tt.path) {
				t.Errorf("Open = %q, want it to name the path and say %q", msg, tt.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("Open took %v to say so", took)
			}
		})
	}
}

// A refused file is let go of: what refused it must not keep it locked.
func TestOpenLetsGoOfWhatItRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "foreign.db")
	bucket := func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte("x"))
		return err
	}
	inBbolt(t, path, bucket)
	if _, err := bolt.Open(path, bolt.Options{}); err == nil {
		t.Fatal("Open succeeded")
	}
	inBbolt(t, path, bucket)
}

func TestOpenLeavesNothingBesideTheFile(t *testing.T) {
	dir := t.TempDir()
	l := open(t, filepath.Join(dir, "ledger.db"), bolt.Options{})
	defer func() { _ = l.Close() }()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("the directory holds %v, %v; want the ledger alone", files, err)
	}
}

// A file that a process left empty, or that somebody touched, is as good as none.
func TestOpenTakesAnEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, bolt.Options{}).Close(); err != nil {
		t.Error(err)
	}
}

func inBbolt(t *testing.T, path string, do func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(do); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func Example() {
	dir, err := os.MkdirTemp("", "rescind")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := bolt.Open(filepath.Join(dir, "ledger.db"), bolt.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = l.Close() }()

	ctx := context.Background()
	e := ledger.Entry{Key: "6f1c0a52", Campaign: "over-budget"}
	claim, err := l.Claim(ctx, e, time.Minute)
	if err != nil {
		panic(err)
	}
	if err := l.Complete(ctx, claim.Token, []byte(`{"status":"cancelled"}`)); err != nil {
		panic(err)
	}
	// The same command again, from a redelivery: what became of it is known.
	claim, err = l.Claim(ctx, e, time.Minute)
	fmt.Println(claim.State == ledger.Ended, string(claim.Outcome), err)
	// Output: true {"status":"cancelled"} <nil>
}

// A value that bbolt might refuse would break the transaction that others share.
func TestWhatIsFarTooLargeIsRejectedAndHarmsNoOther(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "ledger.db"), bolt.Options{NoSync: true})
	huge := strings.Repeat("x", 16<<20+1)
	claim := func(key string, targets ...string) (ledger.Token, error) {
		c, err := l.Claim(t.Context(), ledger.Entry{Key: key, Targets: targets}, time.Minute)
		if err != nil {
			return ledger.Token{}, err
		}
		return c.Token, nil
	}
	if _, err := claim("targets", huge); !errors.Is(err, ledger.ErrRejected) {
		t.Errorf("claim: %.300v", err)
	}
	a, errA := claim("a")
	b, errB := claim("b")
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	errs := l.Progress(t.Context(),
		ledger.Update{Token: a, Progress: ledger.Progress{Attempts: ledger.Attempts{FirstError: huge}}}, ledger.Update{Token: b, Progress: ledger.Progress{Begun: true}})
	if !errors.Is(errs[0], ledger.ErrRejected) || errs[1] != nil {
		t.Errorf("progress: %.300v", errs)
	}
	if err := l.Complete(t.Context(), a, []byte(huge)); !errors.Is(err, ledger.ErrRejected) {
		t.Errorf("outcome: %.300v", err)
	}
	if err := errors.Join(l.Complete(t.Context(), a, nil), l.Complete(t.Context(), b, nil), l.Close()); err != nil {
		t.Error(err)
	}
}
