package simulation

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// The ledger's operations, as crash points and steps name them.
const (
	opClaim     = "ledger:Claim"
	opRenew     = "ledger:Renew"
	opProgress  = "ledger:Progress"
	opRelease   = "ledger:Release"
	opComplete  = "ledger:Complete"
	opPutEvents = "ledger:PutEvents"
	opEvents    = "ledger:Events"
)

const (
	theLedger  = "ledger"   // in an outage
	ledgerRule = "ledger:*" // the rule for its calls
)

// What may befall a call of a ledger that is a file, in [history.Befell].
const (
	befellDown       = "down"
	befellLate       = "late"
	befellUndone     = "undone"
	befellUnanswered = "unanswered"
)

var errLedger = errors.New("the ledger does not answer")

// journal is what all books write down, and what befalls them together.
type journal struct {
	rule *rule
	seed uint64

	mu       sync.Mutex
	down     bool
	steps    []step
	receipts []receipt
	copies   []copied
	arrived  []arrival
	callers  map[string]string // names of processes, by the keys that they sign with
	forged   map[string]bool   // messages whose attribute of a deferred copy their sender put on
	endings  []ending
	befell   map[string]int
	seen     map[string]uint64
}

func (j *journal) setDown(down bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.down = down
}

// note counts something that befell.
func (j *journal) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.befell[what]++
}

func (j *journal) add(s step) {
	s.At = time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps = append(j.steps, s)
}

// draw says what befalls a call: nothing is done, or it is done and not answered. late delays it.
func (j *journal) draw(operation, key string) (undone, unanswered bool, late time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.down {
		j.befell[befellDown]++
		return true, true, 0
	}
	if j.rule == nil {
		return false, false, 0
	}
	name := operation + key
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	dice := rand.New(rand.NewPCG(j.seed^h.Sum64(), j.seen[name])) //nolint:gosec // repeatable on purpose
	j.seen[name]++
	if dice.Float64() < j.rule.Late {
		late = j.rule.LateBy
		j.befell[befellLate]++
	}
	undone = dice.Float64() < j.rule.Unsent+j.rule.Broken
	unanswered = undone || dice.Float64() < j.rule.Doubtful+j.rule.Lost
	switch {
	case undone:
		j.befell[befellUndone]++
	case unanswered:
		j.befell[befellUnanswered]++
	}
	return undone, unanswered, late
}

// book is the ledger as one process sees it.
type book struct {
	ledger.Ledger
	*process
	*journal
	// skew is by how much the ledger's clock is ahead of the one that the worker's own code reads in
	// the world. Both are one clock outside of it.
	skew time.Duration
}

// call makes one call of the ledger under what befalls process and journal. It returns false
// where the process gets no answer.
func (b book) call(ctx context.Context, operation, key string, do func(silent bool)) bool {
	undone, unanswered, late := b.draw(operation, key)
	if late > 0 {
		select {
		case <-time.After(late):
		case <-ctx.Done():
			return false
		}
	}
	return b.pass(ctx, operation, func() {
		if !undone {
			do(unanswered)
		}
	}) && !unanswered
}

func (b book) Claim(ctx context.Context, e ledger.Entry, lease time.Duration) (c *ledger.Claim, err error) {
	answered := b.call(ctx, opClaim, e.Key, func(silent bool) {
		if c, err = b.Ledger.Claim(ctx, e, lease); err == nil {
			if c.State == ledger.Held {
				c.Until = c.Until.Add(-b.skew)
			}
			s := step{Worker: b.name, Operation: opClaim, Key: e.Key, Number: c.Token.Number, State: c.State, Resumed: c.Resumed, Silent: silent || b.isDead()}
			if c.State == ledger.Claimed && c.Resumed {
				s.Progress = &c.Progress
			}
			s.Outcome = string(c.Outcome)
			b.add(s)
		}
	})
	if !answered {
		return nil, errLedger
	}
	return c, err
}

func (b book) Renew(ctx context.Context, lease time.Duration, tokens ...ledger.Token) (errs []error) {
	answered := b.call(ctx, opRenew, tokens[0].Key, func(silent bool) {
		errs = b.Ledger.Renew(ctx, lease, tokens...)
		for i, token := range tokens {
			if errs[i] != nil { // what was renewed is no news
				b.note(opRenew, token, step{}, errs[i], silent)
			}
		}
	})
	if !answered {
		return slices.Repeat([]error{errLedger}, len(tokens))
	}
	return errs
}

func (b book) Progress(ctx context.Context, updates ...ledger.Update) (errs []error) {
	answered := b.call(ctx, opProgress, updates[0].Token.Key, func(silent bool) {
		errs = b.Ledger.Progress(ctx, updates...)
		for i, u := range updates {
			b.note(opProgress, u.Token, step{Progress: &u.Progress}, errs[i], silent)
		}
	})
	if !answered {
		return slices.Repeat([]error{errLedger}, len(updates))
	}
	return errs
}

func (b book) Release(ctx context.Context, u ledger.Update) (err error) {
	answered := b.call(ctx, opRelease, u.Token.Key, func(silent bool) {
		err = b.Ledger.Release(ctx, u)
		b.note(opRelease, u.Token, step{Progress: &u.Progress}, err, silent)
	})
	if !answered {
		return errLedger
	}
	return err
}

func (b book) Complete(ctx context.Context, t ledger.Token, outcome []byte) (err error) {
	answered := b.call(ctx, opComplete, t.Key, func(silent bool) {
		err = b.Ledger.Complete(ctx, t, outcome)
		b.note(opComplete, t, step{Outcome: string(outcome)}, err, silent)
	})
	if !answered {
		return errLedger
	}
	return err
}

func (b book) PutEvents(ctx context.Context, events ...ledger.Event) (errs []error) {
	if !b.call(ctx, opPutEvents, events[0].Target, func(bool) { errs = b.Ledger.PutEvents(ctx, events...) }) {
		return slices.Repeat([]error{errLedger}, len(events))
	}
	return errs
}

func (b book) Events(ctx context.Context, targets ...string) (found map[string]ledger.Event, err error) {
	if !b.call(ctx, opEvents, targets[0], func(bool) { found, err = b.Ledger.Events(ctx, targets...) }) {
		return nil, errLedger
	}
	return found, err
}

// note writes a step down.
func (b book) note(operation string, t ledger.Token, s step, err error, silent bool) {
	s.Fenced = errors.Is(err, ledger.ErrFenced)
	s.Maybe = err != nil && !s.Fenced
	s.Worker, s.Operation, s.Key, s.Number, s.Silent = b.name, operation, t.Key, t.Number, silent || b.isDead()
	b.add(s)
}
