package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/internal/defect"
	"github.com/rescindhq/rescind/worker/ledger"
)

// claimLease is for how long a claim holds without being renewed. A worker that dies is taken
// over after this time at most; it equals the lease on the command's message.
const claimLease = time.Minute

// memory is the ledger as the road sees it: it never fails, it waits. While the ledger is
// down the gate is closed. Errors are ErrFenced, ErrUnreadable and ctx's own.
type memory struct {
	ledger ledger.Ledger
	gate   *gate
	log    *zap.Logger

	trying atomic.Int64 // calls that the ledger keeps waiting

	mu   sync.Mutex
	held map[string]*journey // by key
}

const theLedger = "ledger"

// insist repeats do until it succeeds, is fenced, or ctx ends.
func (m *memory) insist(ctx context.Context, do func() error) error {
	m.trying.Add(1)
	defer m.trying.Add(-1)
	for n := 0; ; n++ {
		err := do()
		if defect.Is(defect.SkipFence) && errors.Is(err, ledger.ErrFenced) {
			err = nil
		}
		if err == nil || errors.Is(err, ledger.ErrFenced) || errors.Is(err, ledger.ErrUnreadable) {
			m.gate.set(theLedger, nil)
			return err
		}
		if !m.pause(ctx, n, err) {
			return context.Cause(ctx)
		}
	}
}

// pause closes the gate and waits before the ledger is asked again, that failed n times before; false: ctx
// has ended.
func (m *memory) pause(ctx context.Context, n int, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if n == 0 {
		m.log.Warn("ledger is failing; nothing new is received until it answers", zap.Error(err))
	}
	m.gate.set(theLedger, err)
	select {
	case <-time.After(retryAfter(n)):
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter is a full-jitter backoff from 200 ms to 5 s.
func retryAfter(n int) time.Duration {
	most := 5 * time.Second
	if n < 5 {
		most = min(most, 200*time.Millisecond<<n)
	}
	return time.Duration(rand.Int64N(int64(most) + 1))
}

// claimed is what a claim found, and until when it holds by this worker's own clock, if it does and is
// not renewed. That counts from before the ledger was asked: whoever stands still while it answers
// finds the claim over.
type claimed struct {
	*ledger.Claim
	until time.Time
	begun bool // it says that calls begin
}

func (m *memory) claim(ctx context.Context, e *ledger.Entry) (*claimed, error) {
	c := &claimed{}
	return c, m.insist(ctx, func() (err error) {
		c.until = time.Now().Add(claimLease)
		c.Claim, err = m.ledger.Claim(ctx, *e, claimLease)
		return err
	})
}

func (m *memory) complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	return m.insist(ctx, func() error { return m.ledger.Complete(ctx, t, outcome) })
}

func (m *memory) release(ctx context.Context, t ledger.Token, p ledger.Progress) error {
	if defect.Is(defect.ForgetOnRelease) {
		p = ledger.Progress{}
	}
	return m.insist(ctx, func() error {
		return m.ledger.Release(ctx, ledger.Update{Token: t, Progress: p})
	})
}

// progress stores several at once and returns an error for each.
func (m *memory) progress(ctx context.Context, updates ...ledger.Update) []error {
	errs := make([]error, len(updates))
	left := make([]int, len(updates))
	for i := range left {
		left[i] = i
	}
	failed := m.insist(ctx, func() error {
		batch := make([]ledger.Update, len(left))
		for i, at := range left {
			batch[i] = updates[at]
		}
		var again []int
		var first error
		for i, err := range m.ledger.Progress(ctx, batch...) {
			at := left[i]
			errs[at] = err
			if err != nil && !errors.Is(err, ledger.ErrFenced) && !errors.Is(err, ledger.ErrUnreadable) {
				again = append(again, at)
				first = err
			}
		}
		left = again
		return first
	})
	for _, at := range left {
		errs[at] = failed
	}
	return errs
}

// hold keeps a journey's claim renewed until let is called.
func (m *memory) hold(j *journey) (let func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[j.token.Key] = j
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.held[j.token.Key] == j {
			delete(m.held, j.token.Key)
		}
		close(j.left)
	}
}

// twinWait is how long a second copy of a command waits for the first one, where the same
// worker has both, before its message is released: longer than requests gather, call and read (lane).
const twinWait = 5 * time.Second

// awaitTwin waits for this worker's own journey under a key to end, and says whether it did.
func (m *memory) awaitTwin(ctx context.Context, key string) bool {
	m.mu.Lock()
	twin := m.held[key]
	m.mu.Unlock()
	if twin == nil {
		return false
	}
	patience := time.NewTimer(twinWait)
	defer patience.Stop()
	select {
	case <-twin.left:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// keep renews what is held, each third of a lease, until ctx ends.
func (m *memory) keep(ctx context.Context) {
	tick := time.NewTicker(claimLease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.mu.Lock()
		tokens := make([]ledger.Token, 0, len(m.held))
		journeys := make([]*journey, 0, len(m.held))
		for _, j := range m.held {
			tokens = append(tokens, j.token)
			journeys = append(journeys, j)
		}
		m.mu.Unlock()
		if len(tokens) == 0 {
			if m.trying.Load() == 0 {
				// Nobody is left who would find out that the ledger is back: the next message will.
				m.gate.set(theLedger, nil)
			}
			continue
		}
		until := time.Now().Add(claimLease)
		for i, err := range m.ledger.Renew(ctx, claimLease, tokens...) {
			switch {
			case err == nil:
				m.gate.set(theLedger, nil)
				journeys[i].renewed(until)
			case errors.Is(err, ledger.ErrFenced), errors.Is(err, ledger.ErrUnreadable):
				journeys[i].lose()
			default:
				// The claim is lost only when somebody else takes it; the next round tries again.
				m.gate.set(theLedger, err)
			}
		}
	}
}
