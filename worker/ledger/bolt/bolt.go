package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/ledger"
)

// Options of a ledger. The zero value is right for production.
type Options struct {
	// Retention is how long an ended command is remembered; 0 means [ledger.Retention].
	Retention time.Duration
	// NoSync leaves commits to the operating system: faster, and a power cut (not a killed
	// process) loses acknowledged commands or breaks the file. For tests and demonstrations.
	NoSync bool
}

const (
	// lockWait is how long Open waits for another process to let go of the file: long
	// enough for one that is just exiting.
	lockWait = time.Second
	// A commit's cost is mostly its sync, so the bounds only keep memory and the time of one
	// commit in hand: an outcome has 200 KiB at most.
	maxOps   = 1024
	maxBytes = 4 << 20
)

var errClosed = errors.New("the ledger is closed")

// Ledger is a [ledger.Ledger] in one file.
type Ledger struct {
	db        *bbolt.DB
	retention time.Duration
	group     *coalesce.Group[op, error]
	closed    atomic.Bool
	state     state
}

var _ ledger.Ledger = (*Ledger)(nil)

// Open opens the file at path, or makes it in a directory that must exist. It fails after
// one second when another process has the file open.
func Open(path string, o Options) (*Ledger, error) {
	if o.Retention == 0 {
		o.Retention = ledger.Retention
	}
	if err := create(path); err != nil {
		return nil, fmt.Errorf("making the ledger %s: %w", path, err)
	}
	db, err := openDB(path, o.NoSync)
	if err != nil {
		return nil, err
	}
	l := &Ledger{db: db, retention: o.Retention}
	l.group = coalesce.New(coalesce.Options[op]{
		Max: maxOps, MaxBytes: maxBytes, Size: func(o op) int { return o.size },
		PartFilled: 1, InFlight: 1,
	}, l.commit)
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("opening the ledger %s: %w", path, errors.Join(err, db.Close()))
	}
	return l, nil
}

func openDB(path string, noSync bool) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait, NoSync: noSync,
		// The array type searches all free pages one by one, and forgetting frees many.
		FreelistType: bbolt.FreelistMapType,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("opening the ledger %s: another process has it open; stop that one, "+
			"or give this worker a file of its own (a bolt ledger serves one worker; for several "+
			"on one queue use dynamodb:TABLE): %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the ledger %s: %w", path, err)
	}
	return db, nil
}

// create makes the file whole under another name and then links it to path, so that a
// process killed half way leaves no half a file there, and a file that another process
// made meanwhile stands. Where links are not to be had, bbolt makes the file in place.
func create(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := openDB(f.Name(), false)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return nil
	}
	// Without this a power cut could take the name away, and with it what was stored since.
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close waits for the calls under way and closes the file. Calls that come later fail.
func (l *Ledger) Close() error {
	l.closed.Store(true)
	if err := l.group.Wait(context.Background()); err != nil {
		return fmt.Errorf("waiting for the ledger's last commit: %w", err)
	}
	if err := l.db.Close(); err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// do runs an op in the next transaction and returns when it is on disk. An error says that
// the transaction failed or that ctx ended; then what run captured must not be read, for it
// may still be running.
func (l *Ledger) do(ctx context.Context, size int, run func(*batch)) error {
	if l.closed.Load() {
		return errClosed
	}
	failed, err := l.group.Do(ctx, op{size, run})
	if err != nil {
		return err
	}
	return failed
}

// Claim implements [ledger.Ledger].
func (l *Ledger) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (*ledger.Claim, error) {
	var claim *ledger.Claim
	var refused error
	key, fingerprint, entry := e.Key, e.Fingerprint, encodeEntry(e)
	progress, err := firstProgress(e)
	if err == nil {
		err = l.do(ctx, len(entry)+len(progress), func(b *batch) {
			claim, refused = b.claim(key, fingerprint, entry, progress, lease)
		})
	}
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, fmt.Errorf("claiming %q: %w", key, err)
	}
	return claim, nil
}

// Renew implements [ledger.Ledger]. It writes nothing, and waits for at most the commit that
// is under way and its own.
func (l *Ledger) Renew(ctx context.Context, lease time.Duration, tokens ...ledger.Token) []error {
	own := append([]ledger.Token(nil), tokens...)
	return l.each(ctx, "renewing", own, 0, func(b *batch, i int) error {
		return b.renew(own[i], lease)
	})
}

// Progress implements [ledger.Ledger].
func (l *Ledger) Progress(ctx context.Context, updates ...ledger.Update) []error {
	tokens := make([]ledger.Token, len(updates))
	encoded := make([][]byte, len(updates))
	invalid := make([]error, len(updates))
	size := 0
	for i, u := range updates {
		tokens[i] = u.Token
		encoded[i], invalid[i] = encodeProgress(u.Progress)
		size += len(encoded[i])
	}
	return l.each(ctx, "storing progress of", tokens, size, func(b *batch, i int) error {
		if invalid[i] != nil {
			return invalid[i]
		}
		return b.progress(tokens[i], encoded[i])
	})
}

// each runs an op for each token in one transaction, and words their errors. A call without
// tokens does nothing.
func (l *Ledger) each(ctx context.Context, doing string, tokens []ledger.Token, size int,
	run func(*batch, int) error,
) []error {
	errs := make([]error, len(tokens))
	if len(tokens) == 0 {
		return errs
	}
	answers := make([]error, len(tokens))
	failed := l.do(ctx, size, func(b *batch) {
		for i := range tokens {
			answers[i] = run(b, i)
		}
	})
	for i, t := range tokens {
		err := failed
		if err == nil {
			err = answers[i]
		}
		if err != nil {
			errs[i] = fmt.Errorf("%s %q: %w", doing, t.Key, err)
		}
	}
	return errs
}

// Release implements [ledger.Ledger].
func (l *Ledger) Release(ctx context.Context, u ledger.Update) error {
	token := u.Token
	encoded, err := encodeProgress(u.Progress)
	if err == nil {
		err = l.one(ctx, len(encoded), func(b *batch) error { return b.release(token, encoded) })
	}
	if err != nil {
		return fmt.Errorf("releasing %q: %w", token.Key, err)
	}
	return nil
}

// Complete implements [ledger.Ledger].
func (l *Ledger) Complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	own := bytes.Clone(outcome)
	err := l.one(ctx, len(own), func(b *batch) error { return b.complete(t, own) })
	if err != nil {
		return fmt.Errorf("completing %q: %w", t.Key, err)
	}
	return nil
}

func (l *Ledger) one(ctx context.Context, size int, run func(*batch) error) error {
	var refused error
	if err := l.do(ctx, size, func(b *batch) { refused = run(b) }); err != nil {
		return err
	}
	return refused
}
