package pipeline

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/trouble"
)

// ClaimLease is for how long a claim holds without being renewed. A worker that dies is taken over after
// this time at most; it equals the lease on the command's message.
const ClaimLease = time.Minute

// claims is the ledger as stages see it: it never fails, it waits. While the ledger is unavailable the gate
// is closed. Errors are ErrFenced, ErrRejected, ErrUnreadable and ctx's own.
type claims struct {
	ledger ledger.Ledger
	gate   *Gate
	peer   *trouble.Peer
	chance *rand.Rand

	events *coalesce.Group[ledger.Event, error]
	looks  *coalesce.Group[[]string, seen]

	failing atomic.Int64 // calls that the ledger has failed, and that are repeated; changed under mu

	mu   sync.Mutex
	held map[string]*execution // by key
}

func newClaims(l ledger.Ledger, g *Gate, peers *trouble.Peers, from *rand.Rand) *claims {
	c := &claims{ledger: l, gate: g, chance: from, held: make(map[string]*execution)}
	c.events = coalesce.New(coalesce.Options[ledger.Event]{Max: eventsMost}, func(events []ledger.Event) []error {
		return l.PutEvents(context.Background(), events...)
	})
	c.looks = coalesce.New(coalesce.Options[[]string]{Max: eventsMost}, c.lookUp)
	c.peer = peers.Peer(trouble.Ledger, "RESCIND_LEDGER", func() int { return int(c.failing.Load()) })
	return c
}

// insist repeats do until it succeeds, its record is at fault, or ctx ends. The gate is closed as long as
// any call is repeated: that another one succeeded says nothing of this one. A record's own fault never
// closes it.
func (c *claims) insist(ctx context.Context, do func() error) error {
	err := c.ask(ctx, do)
	if isSettled(err) {
		return err
	}
	c.repeat(1, nil)
	defer c.repeat(-1, nil)
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.repeat(0, err)
		select {
		case <-time.After(c.retryAfter(n)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err = c.ask(ctx, do); isSettled(err) {
			return err
		}
	}
}

// repeat counts more or fewer calls that are repeated, and closes the gate because of why, or opens it when
// none is left. Both are one step: a call that ends cannot open what another one has just closed.
func (c *claims) repeat(more int64, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.failing.Add(more); why != nil || left == 0 {
		c.gate.Set(TheLedger, why)
	}
}

// ask asks the ledger once, and reports what became of it.
func (c *claims) ask(ctx context.Context, do func() error) error {
	asked := c.peer.Begin()
	err := do()
	switch {
	case isSettled(err):
		asked.Through()
	case ctx.Err() != nil:
		asked.Dropped()
	default:
		asked.Failed(err)
	}
	return err
}

// isSettled reports whether a call need not be repeated.
func isSettled(err error) bool {
	return err == nil || ledger.IsOfRecord(err)
}

// retryAfter is a full-jitter backoff from 200 ms to 5 s.
func (c *claims) retryAfter(n int) time.Duration {
	return chance.Below(c.chance, min(5*time.Second, 200*time.Millisecond<<min(n, 5)))
}

// claimed is what a claim found, and until when it holds by this worker's own clock if it is not renewed.
// That counts from before the ledger was asked: whoever stands still while it answers finds the
// claim over.
type claimed struct {
	*ledger.Claim
	until time.Time
}

func (c *claims) claim(ctx context.Context, e *ledger.Entry) (*claimed, error) {
	found := &claimed{}
	return found, c.insist(ctx, func() (err error) {
		found.until = time.Now().Add(ClaimLease)
		found.Claim, err = c.ledger.Claim(ctx, *e, ClaimLease)
		return err
	})
}

func (c *claims) complete(ctx context.Context, t ledger.Token, outcome []byte) error {
	return c.insist(ctx, func() error { return c.ledger.Complete(ctx, t, outcome) })
}

func (c *claims) release(ctx context.Context, t ledger.Token, p ledger.Progress) error {
	return c.insist(ctx, func() error { return c.ledger.Release(ctx, ledger.Update{Token: t, Progress: p}) })
}

// progress stores several at once and returns an error for each.
func (c *claims) progress(ctx context.Context, updates ...ledger.Update) []error {
	errs := make([]error, len(updates))
	left := make([]int, len(updates))
	for i := range left {
		left[i] = i
	}
	failed := c.insist(ctx, func() error {
		batch := make([]ledger.Update, len(left))
		for i, at := range left {
			batch[i] = updates[at]
		}
		var again []int
		var first error
		for i, err := range c.ledger.Progress(ctx, batch...) {
			at := left[i]
			errs[at] = err
			if !isSettled(err) {
				again, first = append(again, at), err
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

// begin writes down, before a cancelling request is made, that the commands in it have begun. It is also
// where a worker that stood still for longer than a lease finds out that its claims were lost, and that a
// record cannot be stored: their targets are left out of the request.
func (c *claims) begin(ctx context.Context, batch [][]*target) {
	var updates []ledger.Update
	var mine []*execution
	var others []chan struct{}
	now := time.Now()
	for _, same := range batch {
		for _, t := range same {
			x := t.execution
			x.mu.Lock()
			switch {
			case x.begun == nil || isClosed(x.begun) && isOver(now, x.claimedUntil):
				x.begun = make(chan struct{})
				mine = append(mine, x)
				updates = append(updates, ledger.Update{Token: x.token, Progress: x.beginningLocked()})
			case !isClosed(x.begun):
				others = append(others, x.begun)
			}
			x.mu.Unlock()
		}
	}
	if len(updates) > 0 {
		for i, err := range c.progress(ctx, updates...) {
			if err != nil {
				mine[i].lose(err)
			}
			close(mine[i].begun)
		}
	}
	for _, begun := range others {
		<-begun
	}
}

// isOver says whether a time is over by the clock that stands still while the machine is suspended, or by
// the one that does not.
func isOver(now, until time.Time) bool {
	return now.After(until) || now.Round(0).After(until.Round(0))
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// hold keeps an execution's claim renewed until letGo.
func (c *claims) hold(x *execution) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[x.token.Key] = x
}

// holds reports whether this worker is executing the command with a key.
func (c *claims) holds(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held[key] != nil
}

func (c *claims) letGo(x *execution) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[x.token.Key] == x {
		delete(c.held, x.token.Key)
	}
}

// keep renews what is held, each third of a lease, until ctx ends.
func (c *claims) keep(ctx context.Context) {
	tick := time.NewTicker(ClaimLease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.mu.Lock()
		tokens := make([]ledger.Token, 0, len(c.held))
		executions := make([]*execution, 0, len(c.held))
		for _, x := range c.held {
			tokens = append(tokens, x.token)
			executions = append(executions, x)
		}
		c.mu.Unlock()
		if len(tokens) == 0 {
			continue
		}
		until := time.Now().Add(ClaimLease)
		for i, err := range c.ledger.Renew(ctx, ClaimLease, tokens...) {
			switch {
			case err == nil:
				c.peer.Begin().Through()
				executions[i].renewed(until)
			case isSettled(err):
				executions[i].lose(err)
			default:
				// The claim is lost only when somebody else takes it; the next round tries again.
				c.peer.Begin().Failed(err)
			}
		}
	}
}
