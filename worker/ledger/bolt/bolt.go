package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/ledger"
)

// Options of a ledger. The zero value is right for production.
type Options struct {
	// NoSync leaves commits to the operating system: faster, and a power cut (not a killed
	// process) loses acknowledged commands or breaks the file. For tests and demonstrations.
	NoSync bool
}

const (
	// A commit's cost is mostly its sync, so the bounds only keep memory and the time of one
	// commit in hand: an outcome has 200 KiB at most.
	maxOps   = 1024
	maxBytes = 4 << 20
)

var errClosed = errors.New("the ledger is closed")

// Ledger is a [ledger.Ledger] in one file.
type Ledger struct {
	db     *bbolt.DB
	group  *coalesce.Group[op, error]
	closed atomic.Bool
	key    []byte // the deployment's
	state  state
}

var _ ledger.Ledger = (*Ledger)(nil)

// Open opens the file at path, or makes it in a directory that must exist. It fails after
// one second when another process has the file open.
func Open(path string, o Options) (*Ledger, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("making the ledger %s: %w", path, advise(err))
	}
	if err := checkSize(path); err != nil {
		return nil, err
	}
	db, err := openDB(path, bbolt.Options{NoSync: o.NoSync})
	if err != nil {
		return nil, err
	}
	l := &Ledger{db: db}
	l.group = coalesce.New(coalesce.Options[op]{
		Max: maxOps, MaxBytes: maxBytes, Size: func(o op) int { return o.size },
		PartFilled: 1, InFlight: 1,
	}, l.commit)
	if err := guarded(l.load); err != nil {
		return nil, fmt.Errorf("opening the ledger %s: %w", path, errors.Join(err, db.Close()))
	}
	return l, nil
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

// do runs an op in the next transaction and returns when it is on disk. After the error of a
// transaction or of ctx what run captured must not be read, for it may still be running.
func (l *Ledger) do(ctx context.Context, size int, run func(*batch) error) error {
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
	key, fingerprint, entry := e.Key, e.Fingerprint, encodeEntry(e)
	err := fits(len(entry))
	if err == nil {
		err = l.do(ctx, len(entry), func(b *batch) (err error) {
			claim, err = b.claim(key, fingerprint, entry, lease)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("claiming %q: %w", key, err)
	}
	return claim, nil
}

// change is what the holder of a token asks for.
type change struct {
	token ledger.Token
	size  int
	run   func(*batch) error
}

// apply makes changes in one transaction, and words their errors.
func (l *Ledger) apply(ctx context.Context, doing string, changes ...change) []error {
	errs := make([]error, len(changes))
	if len(changes) == 0 {
		return errs
	}
	answers := make([]error, len(changes))
	size := 0
	for _, c := range changes {
		size += c.size
	}
	failed := l.do(ctx, size, func(b *batch) error {
		for i, c := range changes {
			if answers[i] = c.run(b); ofStore(answers[i]) {
				return answers[i]
			}
		}
		return nil
	})
	for i, c := range changes {
		err := failed
		if err == nil {
			err = answers[i]
		}
		if err != nil {
			errs[i] = fmt.Errorf("%s %q: %w", doing, c.token.Key, err)
		}
	}
	return errs
}

// Renew implements [ledger.Ledger]. It writes nothing, and waits for at most the commit that
// is under way and its own.
func (l *Ledger) Renew(ctx context.Context, lease time.Duration, tokens ...ledger.Token) []error {
	changes := make([]change, len(tokens))
	for i, t := range tokens {
		changes[i] = change{token: t, run: func(b *batch) error { return b.renew(t, lease) }}
	}
	return l.apply(ctx, "renewing", changes...)
}

// Progress implements [ledger.Ledger].
func (l *Ledger) Progress(ctx context.Context, updates ...ledger.Update) []error {
	changes := make([]change, len(updates))
	for i, u := range updates {
		changes[i] = storing(u, (*batch).progress)
	}
	return l.apply(ctx, "storing progress of", changes...)
}

// Release implements [ledger.Ledger].
func (l *Ledger) Release(ctx context.Context, u ledger.Update) error {
	return l.apply(ctx, "releasing", storing(u, (*batch).release))[0]
}

func storing(u ledger.Update, store func(*batch, ledger.Token, []byte) error) change {
	encoded, err := encodeProgress(u.Progress)
	return change{u.Token, len(encoded), func(b *batch) error {
		if err != nil {
			return err
		}
		return store(b, u.Token, encoded)
	}}
}

// Complete implements [ledger.Ledger].
func (l *Ledger) Complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	own := bytes.Clone(outcome)
	return l.apply(ctx, "completing", change{t, len(own), func(b *batch) error {
		if err := fits(len(own)); err != nil {
			return err
		}
		return b.complete(t, own)
	}})[0]
}

// DeploymentKey implements [ledger.Ledger].
func (l *Ledger) DeploymentKey(context.Context) ([]byte, error) { return bytes.Clone(l.key), nil }
