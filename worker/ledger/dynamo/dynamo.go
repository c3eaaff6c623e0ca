package dynamo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/ledger"
)

// Options of a ledger. The zero value is right for production.
type Options struct {
	// Retention is how long an ended command is remembered; 0 means [ledger.Retention]. It is
	// written with each end, and so changes nothing for commands that ended before.
	Retention time.Duration
	// Singly sends every write in a request of its own: half the write units, and a hundred
	// times the requests under load. See the package comment.
	Singly bool
	// Now is the clock that leases and expiry are measured by; nil means time.Now.
	Now func() time.Time
	// Log gets a warning where the table never forgets; nil means nowhere.
	Log *zap.Logger
}

var errClosed = errors.New("the ledger is closed")

// Ledger is a [ledger.Ledger] in a DynamoDB table.
type Ledger struct {
	client    *dynamodb.Client
	table     string
	retention time.Duration
	now       func() time.Time
	writer    string        // names this ledger in stamps
	stamped   atomic.Uint64 // the last stamp's number
	group     *coalesce.Group[*write, struct{}]

	once    sync.Once
	closing chan struct{} // closed by Close

	mu     sync.Mutex
	lines  map[string][]*write // by key: there while a write is under way; what waits for it
	losses map[string]lost     // by stamp
}

var _ ledger.Ledger = (*Ledger)(nil)

// Open opens a table that has the layout of [CreateTable]. Its errors say how to make it.
func Open(ctx context.Context, cfg aws.Config, table string, o Options) (*Ledger, error) {
	if o.Retention == 0 {
		o.Retention = ledger.Retention
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	l := &Ledger{
		client: newClient(cfg), table: table, retention: o.Retention, now: o.Now,
		writer: hex.EncodeToString(id[:]), closing: make(chan struct{}),
		lines: map[string][]*write{}, losses: map[string]lost{},
	}
	options := coalesce.Options[*write]{
		// A second part-filled request under way would make 2 % more requests under load.
		PartFilled: 1, Max: maxActions, MaxBytes: maxBytes, Size: func(w *write) int { return w.size },
	}
	if o.Singly {
		options = coalesce.Options[*write]{Max: 1, InFlight: singlyInFlight}
	}
	l.group = coalesce.New(options, func(writes []*write) []struct{} {
		l.send(writes, &backoff{})
		return make([]struct{}, len(writes))
	})
	if err := l.check(ctx, o.Log); err != nil {
		return nil, fmt.Errorf("opening the ledger in table %s: %w", table, err)
	}
	return l, nil
}

// singlyInFlight is how many requests may be under way where writes are sent singly: as
// many as the worker keeps connections to a service.
const singlyInFlight = 512

// newClient makes a client whose requests are attempts: this package repeats them. Checksums of
// answers are left to TLS: what the SDK (v1.73.1) makes of one that differs is a line on stderr,
// and one that is absent, as from some emulators, it takes for 0.
func newClient(cfg aws.Config) *dynamodb.Client {
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.Retryer = aws.NopRetryer{}
		o.DisableValidateResponseChecksum = true
	})
}

// Close waits for the calls under way; those that are being repeated fail. Calls that come
// later fail too. The table stays.
func (l *Ledger) Close() error {
	l.once.Do(func() { close(l.closing) })
	if err := l.group.Wait(context.Background()); err != nil {
		return fmt.Errorf("waiting for the ledger's last writes: %w", err)
	}
	return nil
}

func (l *Ledger) closed() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// usable says what is wrong with a call before it is made.
func (l *Ledger) usable(ctx context.Context, key string) error {
	switch {
	case l.closed():
		return errClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case key == "" || strings.HasPrefix(key, "/"):
		return errors.New("a key must not be empty, nor begin with a slash")
	}
	return nil
}

// do sends a write and waits for its answer. When ctx ends first the write may yet be made.
func (l *Ledger) do(ctx context.Context, w *write) (answer, error) {
	if l.closed() {
		return answer{}, errClosed
	}
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	l.submit(w)
	return l.await(ctx, w)
}

func (l *Ledger) await(ctx context.Context, w *write) (answer, error) {
	select {
	case a := <-w.done:
		return a, nil
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// stampTries is how often a change is made whose stamp alone is in the way: once would do, had
// a token two users at a time.
const stampTries = 3

// change makes several changes beside each other, those of one key in order, and words their
// errors.
func (l *Ledger) change(ctx context.Context, doing string, tokens []ledger.Token, changes []change) []error {
	errs := make([]error, len(tokens))
	writes := make([]*write, len(tokens))
	for i, t := range tokens {
		switch {
		case l.closed():
			errs[i] = errClosed
		case ctx.Err() != nil:
			errs[i] = ctx.Err()
		case t.Key == "" || t.Number == 0:
			errs[i] = ledger.ErrFenced // no claim gave it
		default:
			writes[i] = l.changeOf(t, changes[i])
			l.submit(writes[i])
		}
	}
	for i, t := range tokens {
		if writes[i] != nil {
			errs[i] = l.settle(ctx, t, changes[i], writes[i])
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("%s %q: %w", doing, t.Key, errs[i])
		}
	}
	return errs
}

func (l *Ledger) settle(ctx context.Context, t ledger.Token, c change, w *write) error {
	for n := 1; ; n++ {
		a, err := l.await(ctx, w)
		if err != nil {
			return err
		}
		again, err := verdict(t, c, a)
		if !again {
			return err
		}
		if n == stampTries {
			return fmt.Errorf("the record's stamp %q is ahead of this worker's %q", a.old.stamp, w.stamp)
		}
		l.stampAfter(a.old.stamp)
		w = l.changeOf(t, c)
		l.submit(w)
	}
}

// Renew implements [ledger.Ledger].
func (l *Ledger) Renew(ctx context.Context, lease time.Duration, tokens ...ledger.Token) []error {
	changes := make([]change, len(tokens))
	for i := range changes {
		changes[i] = renewal(lease)
	}
	return l.change(ctx, "renewing", tokens, changes)
}

// Progress implements [ledger.Ledger].
func (l *Ledger) Progress(ctx context.Context, updates ...ledger.Update) []error {
	errs := make([]error, len(updates))
	tokens := make([]ledger.Token, 0, len(updates))
	changes := make([]change, 0, len(updates))
	at := make([]int, 0, len(updates))
	for i, u := range updates {
		encoded, err := encodeProgress(u.Progress)
		if err != nil {
			errs[i] = fmt.Errorf("storing progress of %q: %w", u.Token.Key, err)
			continue
		}
		tokens, changes, at = append(tokens, u.Token), append(changes, progressing(encoded)), append(at, i)
	}
	for i, err := range l.change(ctx, "storing progress of", tokens, changes) {
		errs[at[i]] = err
	}
	return errs
}

// Release implements [ledger.Ledger].
func (l *Ledger) Release(ctx context.Context, u ledger.Update) error {
	encoded, err := encodeProgress(u.Progress)
	if err != nil {
		return fmt.Errorf("releasing %q: %w", u.Token.Key, err)
	}
	return l.change(ctx, "releasing", []ledger.Token{u.Token}, []change{releasing(encoded)})[0]
}

// Complete implements [ledger.Ledger]. The progress is dropped.
func (l *Ledger) Complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	c := completing(bytes.Clone(outcome), l.retention)
	return l.change(ctx, "completing", []ledger.Token{t}, []change{c})[0]
}
