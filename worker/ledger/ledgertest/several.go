package ledgertest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// several are the rules for more than one ledger over the same store, as several workers have.
var several = []testCase{
	{"what one claims is held for the other, until the same moment", func(f *fixture) {
		other := f.second()
		f.fresh(entry("a"))
		here := f.state(entry("a"), ledger.Held)
		there := other.state(entry("a"), ledger.Held)
		if !here.Until.Equal(there.Until) {
			f.Errorf("held until %v here and %v there", here.Until, there.Until)
		}
		time.Sleep(time.Until(there.Until) - time.Millisecond)
		other.state(entry("a"), ledger.Held)
		time.Sleep(time.Millisecond)
		other.resumed(entry("a"), ledger.Progress{})
	}},
	{"a renewal here counts there", func(f *fixture) {
		other := f.second()
		token := f.fresh(entry("a"))
		time.Sleep(lease - time.Second)
		f.ok("Renew", f.renew(token)...)
		time.Sleep(lease - time.Second)
		other.state(entry("a"), ledger.Held)
		time.Sleep(time.Second)
		other.resumed(entry("a"), ledger.Progress{})
	}},
	{"who was taken over is refused in every call, and changes nothing", func(f *fixture) {
		other := f.second()
		old := f.fresh(entry("a"))
		f.ok("Progress", f.progress(ledger.Update{Token: old, Progress: full()})...)
		time.Sleep(lease)
		token := other.resumed(entry("a"), full())
		if token.Number <= old.Number {
			f.Errorf("token number %d after %d", token.Number, old.Number)
		}
		f.fenced("Renew", f.renew(old)...)
		f.fenced("Progress", f.progress(ledger.Update{Token: old, Progress: step(66)})...)
		f.fenced("Release", f.release(old, step(66)))
		f.fenced("Complete", f.complete(old, []byte("stale")))
		other.ok("Release", other.release(token, step(2)))
		token = f.resumed(entry("a"), step(2))
		f.ok("Complete", f.complete(token, []byte("done")))
		other.ended(entry("a"), []byte("done"))
		other.fenced("Complete", other.complete(old, []byte("done")))
	}},
	{"another content is reported there too", func(f *fixture) {
		second := f.second()
		token := f.fresh(entry("a"))
		second.state(other(), ledger.OtherContent)
		f.ok("Complete", f.complete(token, []byte("done")))
		second.state(other(), ledger.OtherContent)
	}},
	{"a token can be used by another ledger", func(f *fixture) {
		other := f.second()
		token := f.fresh(entry("a"))
		for n := range 3 {
			f.ok("Progress here", f.progress(ledger.Update{Token: token, Progress: step(2 * n)})...)
			other.ok("Progress there", other.progress(ledger.Update{Token: token, Progress: step(2*n + 1)})...)
		}
		other.ok("Release", other.release(token, step(7)))
		f.resumed(entry("a"), step(7))
	}},
	{"of many claims by several one wins", func(f *fixture) {
		const keys, claims = 20, 16
		var winners [keys]atomic.Int64
		both := []*fixture{f, f.second()}
		for n := range int64(3) { // free keys first, then keys whose leases ran out
			f.crowd(keys*claims, func(i int) {
				c, err := both[i/keys%2].l.Claim(f.Context(), entry(fmt.Sprint("key ", i%keys)), lease)
				switch {
				case err != nil:
					f.Errorf("claim %d: %v", i, err)
				case c.State == ledger.Claimed:
					winners[i%keys].Add(1)
				case c.State != ledger.Held:
					f.Errorf("claim %d found %s", i, name(c.State))
				}
			})
			for i := range keys {
				if got := winners[i].Load(); got != n+1 {
					f.Errorf("round %d: key %d was won %d times in all", n, i, got)
				}
			}
			time.Sleep(lease)
		}
	}},
	{"a takeover knows what was stored before it, however close", func(f *fixture) {
		const n = 60
		other := f.second()
		var tokens [n]ledger.Token
		for i := range n {
			tokens[i] = f.fresh(entry(fmt.Sprint("key ", i)))
		}
		time.Sleep(lease)
		var stored [n]error
		var claims [n]*ledger.Claim
		f.crowd(2*n, func(i int) {
			if k := i / 2; i%2 == 0 {
				stored[k] = f.progress(ledger.Update{Token: tokens[k], Progress: step(k + 1)})[0]
			} else {
				var err error
				if claims[k], err = other.l.Claim(f.Context(), entry(fmt.Sprint("key ", k)), lease); err != nil {
					f.Errorf("claim %d: %v", k, err)
				}
			}
		})
		for i := range n {
			knows := claims[i].Progress.Attempts.Calls == i+1
			switch {
			case claims[i].State != ledger.Claimed || !claims[i].Resumed:
				f.Errorf("claim %d: %+v", i, claims[i])
			case stored[i] == nil && !knows:
				f.Errorf("key %d: what was stored is missing from the takeover", i)
			case stored[i] != nil && (knows || !errors.Is(stored[i], ledger.ErrFenced)):
				f.Errorf("key %d: %v, and the takeover knows it: %v", i, stored[i], knows)
			}
		}
	}},
	{"of outcomes by several one stands", func(f *fixture) {
		const n = 40
		other := f.second()
		var old [n]ledger.Token
		for i := range n {
			old[i] = f.fresh(entry(fmt.Sprint("key ", i)))
		}
		time.Sleep(lease)
		var won sync.Map
		f.crowd(2*n, func(i int) {
			k := i / 2
			e := entry(fmt.Sprint("key ", k))
			if i%2 == 0 {
				if err := f.complete(old[k], []byte("old")); err == nil {
					won.Store(k, []byte("old"))
				} else if !errors.Is(err, ledger.ErrFenced) {
					f.Errorf("key %d, by its old claim: %v", k, err)
				}
				return
			}
			c, err := other.l.Claim(f.Context(), e, lease)
			if err != nil || c.State == ledger.Ended && bytes.Equal(c.Outcome, []byte("old")) {
				f.ok("Claim", err)
				return
			}
			if err := other.complete(c.Token, []byte("new")); err != nil {
				f.Errorf("key %d, by its new claim: %v", k, err)
			} else if _, twice := won.Swap(k, []byte("new")); twice {
				f.Errorf("key %d: two outcomes were taken", k)
			}
		})
		for i := range n {
			outcome, _ := won.Load(i)
			f.ended(entry(fmt.Sprint("key ", i)), outcome.([]byte))
		}
	}},
	{"lookups find what another wrote", func(f *fixture) {
		other := f.second()
		token := f.fresh(tagged("a", "c", "t", "u"))
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: full()})...)
		want := ledger.Record{Entry: tagged("a", "c", "t", "u"), Progress: full()}
		f.sameRecord(other.byCampaign("c")["a"], want)
		f.sameRecord(other.byTarget("u")["a"], want)
	}},
}

// losing are the rules for calls that took effect while their replies were lost.
var losing = []testCase{
	{"a first claim is known again by who made it", func(f *fixture) {
		f.losing(func() { _, _ = f.l.Claim(f.Context(), entry("a"), lease) })
		f.fresh(entry("a"))
		f.state(entry("a"), ledger.Held)
	}},
	{"and holds everybody else off for its lease", func(f *fixture) {
		f.losing(func() { _, _ = f.l.Claim(f.Context(), entry("a"), lease) })
		other := f.second()
		other.state(entry("a"), ledger.Held)
		time.Sleep(lease)
		other.resumed(entry("a"), ledger.Progress{})
		f.state(entry("a"), ledger.Held)
	}},
	{"a takeover is known again, with what it resumes", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: full()})...)
		time.Sleep(lease)
		f.losing(func() { _, _ = f.l.Claim(f.Context(), entry("a"), lease) })
		again := f.resumed(entry("a"), full())
		f.fenced("Complete by the lost claim", f.complete(token, []byte("stale")))
		f.ok("Complete", f.complete(again, []byte("done")))
	}},
	{"claims beside each other are each known again", func(f *fixture) {
		const n = 150
		claim := func(i int) (*ledger.Claim, error) {
			return f.l.Claim(f.Context(), tagged(fmt.Sprint("key ", i), "c", "t", "u"), lease)
		}
		f.losing(func() { f.crowd(n, func(i int) { _, _ = claim(i) }) })
		f.crowd(n, func(i int) {
			if c, err := claim(i); err != nil || c.State != ledger.Claimed || c.Resumed {
				f.Errorf("claim %d: %+v, %v", i, c, err)
			}
		})
	}},
	{"changes may be repeated", func(f *fixture) {
		token := f.fresh(entry("a"))
		u := ledger.Update{Token: token, Progress: full()}
		f.losing(func() { f.progress(u) })
		f.ok("Progress", f.progress(u)...)
		f.losing(func() { f.renew(token) })
		f.ok("Renew", f.renew(token)...)
		f.losing(func() { _ = f.release(token, step(2)) })
		f.ok("Release", f.release(token, step(2)))
		token = f.resumed(entry("a"), step(2))
		f.losing(func() { _ = f.complete(token, []byte("done")) })
		f.fenced("Complete otherwise", f.complete(token, []byte("done otherwise")))
		f.ok("Complete", f.complete(token, []byte("done")))
		f.ended(entry("a"), []byte("done"))
	}},
}

// second opens another ledger over the same store, with the words of a case. It is closed with
// the case.
func (f *fixture) second() *fixture {
	f.Helper()
	if f.seconder == nil {
		f.Skip("skipped: this ledger's factory has no Second, for a store that one ledger has at a time")
	}
	s := &fixture{T: f.T, l: f.seconder(f.T)}
	f.Cleanup(s.close)
	return s
}

// losing runs do while replies are lost.
func (f *fixture) losing(do func()) {
	f.Helper()
	if f.loser == nil {
		f.Skip("skipped: this ledger's factory has no LoseReplies, for a store that answers in the same process")
	}
	f.loser(true)
	defer f.loser(false)
	do()
}
