package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// crowd runs do n times at once and waits for all of them.
func (f *fixture) crowd(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

var together = []testCase{
	{"of many claims of a key one wins", func(f *fixture) {
		const keys, claims = 20, 16
		var winners [keys]atomic.Int64
		round := func() {
			f.crowd(keys*claims, func(i int) {
				c, err := f.l.Claim(f.Context(), entry(fmt.Sprint("key ", i%keys)), lease)
				switch {
				case err != nil:
					f.Errorf("claim %d: %v", i, err)
				case c.State == ledger.Claimed:
					winners[i%keys].Add(1)
				case c.State != ledger.Held:
					f.Errorf("claim %d found %s", i, name(c.State))
				}
			})
		}
		for n := range int64(3) { // free keys first, then keys whose leases ran out
			round()
			for i := range keys {
				if got := winners[i].Load(); got != n+1 {
					f.Errorf("round %d: key %d was won %d times in all", n, i, got)
				}
			}
			time.Sleep(lease)
		}
	}},
	{"of many outcomes of a key one stands", func(f *fixture) {
		token := f.fresh(entry("a"))
		var wins atomic.Int64
		var won atomic.Value
		f.crowd(50, func(i int) {
			outcome := fmt.Sprint("outcome ", i)
			switch err := f.complete(token, []byte(outcome)); {
			case err == nil:
				wins.Add(1)
				won.Store(outcome)
			case !errors.Is(err, ledger.ErrFenced):
				f.Errorf("Complete %d: %v", i, err)
			}
		})
		if wins.Load() != 1 {
			f.Fatalf("%d outcomes were taken, want 1", wins.Load())
		}
		f.ended(entry("a"), []byte(won.Load().(string)))
	}},
	{"what is refused spoils nothing beside it", func(f *fixture) {
		const n = 120
		var tokens [n]ledger.Token
		f.crowd(n, func(i int) {
			c, err := f.l.Claim(f.Context(), entry(fmt.Sprint("key ", i)), lease)
			if err != nil || c.State != ledger.Claimed {
				f.Errorf("Claim %d: %+v, %v", i, c, err)
			}
			tokens[i] = c.Token
		})
		f.crowd(n, func(i int) {
			token := tokens[i]
			if i%4 == 3 {
				token.Number += 10 * n
			}
			var err error
			switch i % 3 {
			case 0:
				err = f.complete(token, fmt.Append(nil, "outcome ", i))
			case 1:
				err = f.release(token, step(i))
			case 2:
				err = f.progress(ledger.Update{Token: token, Progress: step(i)})[0]
			}
			if fenced := errors.Is(err, ledger.ErrFenced); fenced != (i%4 == 3) || err != nil && !fenced {
				f.Errorf("item %d: %v", i, err)
			}
		})
		time.Sleep(lease)
		for i := range n {
			e := entry(fmt.Sprint("key ", i))
			switch {
			case i%4 == 3:
				f.resumed(e, ledger.Progress{})
			case i%3 == 0:
				f.ended(e, fmt.Append(nil, "outcome ", i))
			default:
				f.resumed(e, step(i))
			}
		}
	}},
	{"commands go their whole way beside each other", func(f *fixture) {
		f.crowd(60, func(i int) {
			e := entry(fmt.Sprint("key ", i))
			for n := range 4 {
				c, err := f.l.Claim(f.Context(), e, lease)
				if err != nil || c.State != ledger.Claimed || c.Resumed != (n > 0) || c.Progress.Attempts.Calls != 2*n {
					f.Errorf("key %d, claim %d: %+v, %v", i, n, c, err)
				}
				u := ledger.Update{Token: c.Token, Progress: step(2*n + 1)}
				errs := append(f.l.Progress(f.Context(), u), f.l.Renew(f.Context(), lease, c.Token)...)
				u.Progress = step(2*n + 2)
				if n < 3 {
					errs = append(errs, f.l.Release(f.Context(), u))
				} else {
					errs = append(errs, f.complete(c.Token, []byte(e.Key)))
				}
				if err := errors.Join(errs...); err != nil {
					f.Errorf("key %d, claim %d: %v", i, n, err)
				}
			}
		})
		for i := range 60 {
			f.ended(entry(fmt.Sprint("key ", i)), fmt.Append(nil, "key ", i))
		}
	}},
	{"closing lets calls finish", func(f *fixture) {
		const n = 50
		var stored [n]error
		var tokens [n]ledger.Token
		for i := range n {
			tokens[i] = f.fresh(entry(fmt.Sprint("key ", i)))
		}
		f.crowd(n+1, func(i int) {
			if i == n {
				f.close()
				return
			}
			stored[i] = f.complete(tokens[i], []byte("done"))
		})
		if f.reopener == nil {
			return // that nothing hung is all that can be seen
		}
		f.l, f.closed = f.reopener(f.T), false
		for i := range n {
			if stored[i] == nil {
				f.ended(entry(fmt.Sprint("key ", i)), []byte("done"))
			}
		}
	}},
}

// cancelled makes every call with a context that has ended.
func (f *fixture) cancelled(token ledger.Token) {
	before := f.fresh(entry("ended before"))
	f.ok("Complete", f.complete(before, nil))
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	f.failingWith(ctx, "an ended context", token, context.Canceled)
}

func (f *fixture) failing(when string, token ledger.Token, want error) {
	f.failingWith(f.Context(), when, token, want)
}

// failingWith makes every call and checks that each fails, with the wanted error where one
// is named, and that none says that the claim was lost.
func (f *fixture) failingWith(ctx context.Context, when string, token ledger.Token, want error) {
	u := ledger.Update{Token: token, Progress: step(66)}
	never := func(ledger.Record) bool { f.Errorf("%s: a lookup yielded", when); return false }
	_, claimErr := f.l.Claim(ctx, entry("new"), lease)
	for call, err := range map[string]error{
		"Claim":      claimErr,
		"Renew":      f.answers(f.l.Renew(ctx, lease, token), 1)[0],
		"Progress":   f.answers(f.l.Progress(ctx, u), 1)[0],
		"Release":    f.l.Release(ctx, u),
		"Complete":   f.l.Complete(ctx, token, []byte("no")),
		"ByCampaign": f.l.ByCampaign(ctx, "", never),
		"ByTarget":   f.l.ByTarget(ctx, "t", never),
	} {
		if err == nil || errors.Is(err, ledger.ErrFenced) || want != nil && !errors.Is(err, want) {
			f.Errorf("%s on %s: %v", call, when, err)
		}
	}
}
