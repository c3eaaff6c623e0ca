package ledgertest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

var claiming = []testCase{
	{"a free key is claimed", func(f *fixture) {
		f.fresh(entry("a"))
	}},
	{"a claimed key is held until its lease ends", func(f *fixture) {
		before := time.Now()
		f.fresh(entry("a"))
		after := time.Now()
		c := f.state(entry("a"), ledger.Held)
		if c.Until.Before(before.Add(lease)) || c.Until.After(after.Add(lease)) {
			f.Errorf("held until %v, want %v after the claim", c.Until, lease)
		}
	}},
	{"another content is reported in every state and changes nothing", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.state(other(), ledger.OtherContent)
		f.state(entry("a"), ledger.Held)

		f.ok("Release", f.release(token, step(1)))
		f.state(other(), ledger.OtherContent)
		token = f.resumed(entry("a"), step(1))

		time.Sleep(lease)
		f.state(other(), ledger.OtherContent)
		f.ok("Renew", f.renew(token)...)

		f.ok("Complete", f.complete(token, []byte("done")))
		f.state(other(), ledger.OtherContent)
		f.ended(entry("a"), []byte("done"))
	}},
	{"keys are compared byte by byte", func(f *fixture) {
		all := []string{
			"a", "A", "a ", "a\x00", "aa", "a:b", "msg:a", "dry:a", "ä", "a\u0308",
			strings.Repeat("k", 300), strings.Repeat("k", 301),
		}
		for _, key := range all {
			token := f.fresh(entry(key))
			f.ok("Complete", f.complete(token, []byte("outcome of "+key)))
		}
		for _, key := range all {
			f.ended(entry(key), []byte("outcome of "+key))
		}
	}},
	{"what the first claim wrote stands", func(f *fixture) {
		first := entry("a")
		first.Campaign, first.Targets = "one", []string{"t1"}
		again := entry("a")
		again.Campaign, again.Targets = "two", []string{"t2"}
		token := f.fresh(first)
		f.ok("Release", f.release(token, step(1)))
		token = f.resumed(again, step(1))
		for range 2 {
			if got := f.byCampaign("one"); len(got) != 1 || !slices.Equal(got["a"].Targets, []string{"t1"}) {
				f.Errorf("by the first claim's campaign: %+v", got)
			}
			if got := f.byCampaign("two"); len(got) != 0 {
				f.Errorf("by a later claim's campaign: %+v", got)
			}
			f.ok("Complete", f.complete(token, []byte("done"))) // the second time round: ended
		}
	}},
	{"token numbers grow with every claim of a key", func(f *fixture) {
		last := uint64(0)
		for i := range 5 {
			token := f.state(entry("a"), ledger.Claimed).Token
			if token.Number <= last {
				f.Errorf("token number %d after %d", token.Number, last)
			}
			last = token.Number
			f.ok("Release", f.release(token, step(1)))
			f.fresh(entry(fmt.Sprint("another key ", i)))
		}
	}},
}

var leasing = []testCase{
	{"a lease that ran out can be claimed, not a moment before", func(f *fixture) {
		f.fresh(entry("a"))
		until := f.state(entry("a"), ledger.Held).Until
		time.Sleep(time.Until(until) - time.Millisecond)
		f.state(entry("a"), ledger.Held)
		time.Sleep(time.Millisecond)
		f.resumed(entry("a"), ledger.Progress{})
	}},
	{"a lease that ran out still counts until somebody claims", func(f *fixture) {
		for key, use := range map[string]func(ledger.Token) error{
			"renew":    func(t ledger.Token) error { return f.renew(t)[0] },
			"progress": func(t ledger.Token) error { return f.progress(ledger.Update{Token: t, Progress: step(1)})[0] },
			"release":  func(t ledger.Token) error { return f.release(t, step(1)) },
			"complete": func(t ledger.Token) error { return f.complete(t, []byte("done")) },
		} {
			token := f.fresh(entry(key))
			time.Sleep(2 * lease)
			f.ok(key, use(token))
		}
		f.state(entry("complete"), ledger.Ended)
	}},
	{"renewing counts from now", func(f *fixture) {
		token := f.fresh(entry("a"))
		time.Sleep(lease / 2)
		before := time.Now()
		f.ok("Renew", f.renew(token)...)
		after := time.Now()
		c := f.state(entry("a"), ledger.Held)
		if c.Until.Before(before.Add(lease)) || c.Until.After(after.Add(lease)) {
			f.Errorf("held until %v, want %v after Renew", c.Until, lease)
		}
		time.Sleep(lease - time.Second)
		f.state(entry("a"), ledger.Held)
		time.Sleep(time.Second)
		f.resumed(entry("a"), ledger.Progress{})
	}},
	{"renewing makes a lease whole that ran out", func(f *fixture) {
		token := f.fresh(entry("a"))
		time.Sleep(2 * lease)
		f.ok("Renew", f.renew(token)...)
		f.state(entry("a"), ledger.Held)
	}},
	{"renewing can shorten a lease", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Renew", f.l.Renew(f.Context(), time.Second, token)...)
		time.Sleep(time.Second)
		f.resumed(entry("a"), ledger.Progress{})
	}},
	{"storing progress does not renew", func(f *fixture) {
		token := f.fresh(entry("a"))
		time.Sleep(lease / 2)
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: step(1)})...)
		time.Sleep(lease / 2)
		f.resumed(entry("a"), step(1))
	}},
	{"a released key can be claimed at once, with its progress", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Release", f.release(token, step(3)))
		f.resumed(entry("a"), step(3))
	}},
	{"a repeated release is harmless", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Release", f.release(token, step(1)))
		f.ok("Release again", f.release(token, step(1)))
		f.resumed(entry("a"), step(1))
	}},
	{"who claims after a takeover finds the new lease", func(f *fixture) {
		f.fresh(entry("a"))
		time.Sleep(lease)
		before := time.Now()
		f.resumed(entry("a"), ledger.Progress{})
		if c := f.state(entry("a"), ledger.Held); c.Until.Before(before.Add(lease)) {
			f.Errorf("held until %v, want the new lease's end", c.Until)
		}
	}},
}

var fencing = []testCase{
	{"every call with a lost claim is refused and changes nothing", func(f *fixture) {
		old := f.fresh(entry("a"))
		f.ok("Progress", f.progress(ledger.Update{Token: old, Progress: step(1)})...)
		time.Sleep(lease)
		token := f.resumed(entry("a"), step(1))
		time.Sleep(lease / 2)
		until := f.state(entry("a"), ledger.Held).Until

		f.fenced("Renew", f.renew(old)...)
		f.fenced("Progress", f.progress(ledger.Update{Token: old, Progress: step(66)})...)
		f.fenced("Release", f.release(old, step(66)))
		f.fenced("Complete", f.complete(old, []byte("stale")))

		if c := f.state(entry("a"), ledger.Held); !c.Until.Equal(until) {
			f.Errorf("held until %v, and before the refused calls until %v", c.Until, until)
		}
		f.ok("Release", f.release(token, step(2)))
		token = f.resumed(entry("a"), step(2))
		f.ok("Complete", f.complete(token, []byte("done")))
		f.ended(entry("a"), []byte("done"))
	}},
	{"a released claim is lost when somebody claims", func(f *fixture) {
		old := f.fresh(entry("a"))
		f.ok("Release", f.release(old, step(1)))
		f.resumed(entry("a"), step(1))
		f.fenced("Release", f.release(old, step(66)))
		f.fenced("Renew", f.renew(old)...)
	}},
	{"every call on an ended key is refused", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Complete", f.complete(token, []byte("done")))
		f.fenced("Renew", f.renew(token)...)
		f.fenced("Progress", f.progress(ledger.Update{Token: token, Progress: step(66)})...)
		f.fenced("Release", f.release(token, step(66)))
		f.fenced("Complete", f.complete(token, []byte("another outcome")))
		f.ended(entry("a"), []byte("done"))
	}},
	{"an outcome from a lost claim is refused even where it is the same", func(f *fixture) {
		old := f.fresh(entry("a"))
		f.ok("Release", f.release(old, step(1)))
		token := f.resumed(entry("a"), step(1))
		f.ok("Complete", f.complete(token, []byte("done")))
		f.fenced("Complete", f.complete(old, []byte("done")))
	}},
	{"tokens that no claim gave are refused", func(f *fixture) {
		token := f.fresh(entry("a"))
		for _, t := range []ledger.Token{
			{}, {Key: "a"}, {Key: "a", Number: token.Number + 1}, {Key: "b", Number: token.Number},
			{Key: "never claimed", Number: 1},
		} {
			f.fenced("Renew", f.renew(t)...)
			f.fenced("Progress", f.progress(ledger.Update{Token: t, Progress: step(66)})...)
			f.fenced("Release", f.release(t, step(66)))
			f.fenced("Complete", f.complete(t, []byte("no")))
		}
		f.ok("Release", f.release(token, step(1)))
		f.resumed(entry("a"), step(1))
		f.fresh(entry("b"))
	}},
}
