package dynamo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker/breaker"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/ledger"
)

// Options of a ledger. The zero value is right for production.
type Options struct {
	// Now is the clock that leases and expiry are measured by; nil means time.Now.
	Now func() time.Time
	// Chance is where jitter comes from. nil: a source of a seed drawn now.
	Chance *mathrand.Rand
	// Log gets a warning where the table never forgets; nil means nowhere.
	Log *zap.Logger
}

var errClosed = errors.New("the ledger is closed")

// Ledger is a [ledger.Ledger] in a DynamoDB table.
type Ledger struct {
	chance  *mathrand.Rand
	client  *dynamodb.Client
	table   string
	now     func() time.Time
	writer  string        // names this ledger in stamps
	stamped atomic.Uint64 // the last stamp's number
	group   *coalesce.Group[*write, struct{}]
	turn    *breaker.Breaker // of every request

	closing context.Context // ended by Close
	end     context.CancelFunc

	mu     sync.Mutex
	lines  map[string][]*write // by key: there while a write is under way; what waits for it
	losses map[string]lost     // by stamp
}

var _ ledger.Ledger = (*Ledger)(nil)

// Open opens a table that has the layout of [CreateTable]. Its errors say how to make it.
func Open(ctx context.Context, cfg aws.Config, table string, o Options) (*Ledger, error) {
	o.Chance = chance.Or(o.Chance)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	l := &Ledger{
		chance: o.Chance, client: newClient(cfg), table: table, now: o.Now,
		writer: hex.EncodeToString(id[:]),
		lines:  map[string][]*write{}, losses: map[string]lost{},
		turn: breaker.New(breaker.Options{After: nothingMost, Chance: o.Chance}),
	}
	l.closing, l.end = context.WithCancel(context.Background())
	l.group = coalesce.New(coalesce.Options[*write]{
		// A second part-filled request under way would make 2 % more requests under load.
		PartFilled: 1, Max: maxActions, MaxBytes: maxBytes, Size: func(w *write) int { return w.size },
	}, func(writes []*write) []struct{} {
		l.send(writes, &backoff{chance: l.chance})
		return make([]struct{}, len(writes))
	})
	if err := l.check(ctx, o.Log); err != nil {
		l.end()
		return nil, fmt.Errorf("opening the ledger in table %s: %w", table, err)
	}
	return l, nil
}

// newClient makes a client whose requests are attempts: this package repeats them. Checksums of
// answers are left to TLS: what the SDK (v1.73.1) makes of one that differs is a line on stderr,
// and one that is absent, as from some emulators, it takes for 0.
func newClient(cfg aws.Config) *dynamodb.Client {
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.Retryer = aws.NopRetryer{}
		o.DisableValidateResponseChecksum = true
		o.APIOptions = append(o.APIOptions, withProof)
	})
}

// Close waits for the calls under way; those that are being repeated fail. Calls that come
// later fail too. The table remains.
func (l *Ledger) Close() error {
	l.end()
	if err := l.group.Wait(context.Background()); err != nil {
		return fmt.Errorf("waiting for the ledger's last writes: %w", err)
	}
	return nil
}

func (l *Ledger) closed() bool { return l.closing.Err() != nil }

// usable says that a call may be made.
func (l *Ledger) usable(ctx context.Context) error {
	if l.closed() {
		return errClosed
	}
	return ctx.Err()
}

// await waits for the answer to a write. When ctx ends first the write may yet be made.
func await(ctx context.Context, w *write) (answer, error) {
	select {
	case a := <-w.done:
		return a, a.err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// apply makes changes beside each other, those of one key in order, and words their errors.
func (l *Ledger) apply(ctx context.Context, doing string, changes ...change) []error {
	errs := make([]error, len(changes))
	writes := make([]*write, len(changes))
	for i, c := range changes {
		switch {
		case c.err != nil:
			errs[i] = c.err
		case c.token.Key == "" || c.token.Number == 0:
			errs[i] = ledger.ErrFenced // no claim gave it
		default:
			if errs[i] = l.usable(ctx); errs[i] == nil {
				writes[i] = l.writeOf(c)
				l.submit(writes[i])
			}
		}
	}
	for i, c := range changes {
		if writes[i] != nil {
			errs[i] = l.finish(ctx, c, writes[i])
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("%s %q: %w", doing, c.token.Key, errs[i])
		}
	}
	return errs
}

// stampTries is how often a change is made whose stamp alone is in the way: twice would do, had
// a token one user at a time.
const stampTries = 3

// finish waits for a change's answer, and makes it anew where its stamp alone was in the way.
func (l *Ledger) finish(ctx context.Context, c change, w *write) error {
	for n := 1; ; n++ {
		a, err := await(ctx, w)
		if err != nil {
			return err
		}
		again, err := c.verdict(a)
		if !again {
			return err
		}
		if n == stampTries {
			return fmt.Errorf("%w: its stamp %q is ahead of this worker's %q", ledger.ErrUnreadable, a.old.stamp, w.stamp)
		}
		l.overtake(a.old.stamp)
		w = l.writeOf(c)
		l.submit(w)
	}
}

// Renew implements [ledger.Ledger].
func (l *Ledger) Renew(ctx context.Context, lease time.Duration, tokens ...ledger.Token) []error {
	changes := make([]change, len(tokens))
	for i, t := range tokens {
		changes[i] = renewal(t, lease)
	}
	return l.apply(ctx, "renewing", changes...)
}

// Progress implements [ledger.Ledger].
func (l *Ledger) Progress(ctx context.Context, updates ...ledger.Update) []error {
	changes := make([]change, len(updates))
	for i, u := range updates {
		changes[i] = progressing(u)
	}
	return l.apply(ctx, "storing progress of", changes...)
}

// Release implements [ledger.Ledger].
func (l *Ledger) Release(ctx context.Context, u ledger.Update) error {
	return l.apply(ctx, "releasing", releasing(u))[0]
}

// Complete implements [ledger.Ledger]. The progress is dropped.
func (l *Ledger) Complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	return l.apply(ctx, "completing", completing(t, bytes.Clone(outcome)))[0]
}
