package ledgertest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// tagged is an entry that lookups can find.
func tagged(key, campaign string, targets ...string) ledger.Entry {
	e := entry(key)
	e.Campaign, e.Targets = campaign, targets
	return e
}

var lookups = []testCase{
	{"what was never named is not found", func(f *fixture) {
		f.fresh(tagged("a", "c", "t"))
		if found := f.byCampaign("C"); len(found) != 0 {
			f.Errorf("by campaign C: %v", keys(found))
		}
		if found := f.byTarget("T"); len(found) != 0 {
			f.Errorf("by target T: %v", keys(found))
		}
		f.fresh(tagged("of no campaign", ""))
		if found := f.byCampaign(""); len(found) != 0 {
			f.Errorf("by no campaign: %v", keys(found))
		}
	}},
	{"commands are found whether they ended or not", func(f *fixture) {
		f.fresh(tagged("claimed", "c", "t", "u"))
		token := f.fresh(tagged("begun", "c", "u", "t"))
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: full()})...)
		token = f.fresh(tagged("released", "c", "t"))
		f.ok("Release", f.release(token, step(2)))
		token = f.fresh(tagged("ended", "c", "t"))
		f.ok("Complete", f.complete(token, []byte("done")))
		f.fresh(tagged("another campaign", "d", "t"))
		f.fresh(tagged("another target", "c", "u"))
		f.fresh(tagged("neither", ""))

		found := f.byCampaign("c")
		if got, want := keys(found), []string{"another target", "begun", "claimed", "ended", "released"}; !slices.Equal(got, want) {
			f.Errorf("by campaign: %v, want %v", got, want)
		}
		f.sameRecord(found["claimed"], ledger.Record{Entry: tagged("claimed", "c", "t", "u")})
		f.sameRecord(found["begun"], ledger.Record{Entry: tagged("begun", "c", "u", "t"), Progress: full()})
		f.sameRecord(found["released"], ledger.Record{Entry: tagged("released", "c", "t"), Progress: step(2)})
		f.sameRecord(found["ended"], ledger.Record{Entry: tagged("ended", "c", "t"), Ended: true, Outcome: []byte("done")})

		found = f.byTarget("t")
		if got, want := keys(found), []string{"another campaign", "begun", "claimed", "ended", "released"}; !slices.Equal(got, want) {
			f.Errorf("by target: %v, want %v", got, want)
		}
		f.sameRecord(found["ended"], ledger.Record{Entry: tagged("ended", "c", "t"), Ended: true, Outcome: []byte("done")})
	}},
	{"many are all found", func(f *fixture) {
		const n = 700
		f.crowd(n, func(i int) {
			c, err := f.l.Claim(f.Context(), tagged(fmt.Sprint("key ", i), "c", fmt.Sprint("t", i%7)), lease)
			if err == nil && i%2 == 0 {
				err = f.complete(c.Token, fmt.Append(nil, "outcome ", i))
			}
			if err != nil {
				f.Errorf("command %d: %v", i, err)
			}
		})
		found := f.byCampaign("c")
		if len(found) != n {
			f.Errorf("by campaign: %d, want %d", len(found), n)
		}
		for i := range n {
			r := found[fmt.Sprint("key ", i)]
			if r.Ended != (i%2 == 0) || r.Ended && string(r.Outcome) != fmt.Sprint("outcome ", i) {
				f.Errorf("command %d: %+v", i, r)
			}
		}
		if got := len(f.byTarget("t3")); got != n/7 {
			f.Errorf("by target: %d, want %d", got, n/7)
		}
	}},
	{"yield can stop, and can use the ledger", func(f *fixture) {
		for i := range 10 {
			token := f.fresh(tagged(fmt.Sprint("key ", i), "c", "t"))
			if i%2 == 0 {
				f.ok("Complete", f.complete(token, []byte("done")))
			} else {
				f.ok("Release", f.release(token, step(1)))
			}
		}
		for what, look := range map[string]func(context.Context, string, func(ledger.Record) bool) error{
			"c": f.l.ByCampaign, "t": f.l.ByTarget,
		} {
			n := 0
			f.ok("lookup", look(f.Context(), what, func(r ledger.Record) bool {
				n++
				if r.Ended {
					f.state(entry(r.Key), ledger.Ended)
				} else {
					token := f.resumed(entry(r.Key), step(1))
					f.ok("Release", f.release(token, step(1)))
				}
				return n < 7
			}))
			if n != 7 {
				f.Errorf("yield was called %d times, want 7", n)
			}
		}
	}},
	{"what has ended is found by its key", func(f *fixture) {
		f.fresh(tagged("claimed", "c", "t"))
		ended := tagged("ended", "c", "t", "u")
		f.ok("Complete", f.complete(f.fresh(ended), []byte("done")))
		f.ok("Complete", f.complete(f.fresh(entry("dry/ended")), []byte("done dry")))
		f.sameRecord(f.endedOf("claimed", "ended", "ended", "unknown", "", "/")["ended"], ledger.Record{Entry: ended, Ended: true, Outcome: []byte("done")})
		if found := f.endedOf("claimed", "ended", "dry/ended"); !slices.Equal(keys(found), []string{"dry/ended", "ended"}) {
			f.Errorf("ended: %v", keys(found))
		}
		if found := f.endedOf(); len(found) != 0 {
			f.Errorf("of no keys: %v", keys(found))
		}
		var many []string
		for i := range 250 {
			many = append(many, fmt.Sprint("key ", i))
			f.ok("Complete", f.complete(f.fresh(entry(many[i])), []byte(many[i])))
		}
		found := f.endedOf(many...)
		for _, key := range many {
			if string(found[key].Outcome) != key {
				f.Errorf("of %s: %+v", key, found[key])
			}
		}
		time.Sleep(ledger.Retention + time.Second)
		if found := f.endedOf(many...); len(found) != 0 {
			f.Errorf("what is forgotten is found: %v", keys(found))
		}
	}},
	{"what is forgotten is not found", func(f *fixture) {
		token := f.fresh(tagged("a", "c", "t"))
		f.ok("Complete", f.complete(token, []byte("done")))
		time.Sleep(ledger.Retention + time.Second)
		if found := f.byCampaign("c"); len(found) != 0 {
			f.Errorf("by campaign: %v", keys(found))
		}
		if found := f.byTarget("t"); len(found) != 0 {
			f.Errorf("by target: %v", keys(found))
		}
	}},
}

func (f *fixture) sameRecord(got, want ledger.Record) {
	f.Helper()
	f.sameProgress(got.Progress, want.Progress)
	got.Progress, want.Progress = ledger.Progress{}, ledger.Progress{}
	if !reflect.DeepEqual(got, want) {
		f.Errorf("record is %+v\nwant %+v", got, want)
	}
}

var reopening = []testCase{
	{"what ended remains", func(f *fixture) {
		token := f.fresh(tagged("a", "c", "t"))
		f.ok("Complete", f.complete(token, []byte("done")))
		f.reopen()
		f.ended(entry("a"), []byte("done"))
		f.state(other(), ledger.OtherContent)
		f.ok("Complete again", f.complete(token, []byte("done")))
		f.fenced("Complete otherwise", f.complete(token, []byte("done otherwise")))
		want := ledger.Record{Entry: tagged("a", "c", "t"), Ended: true, Outcome: []byte("done")}
		f.sameRecord(f.byCampaign("c")["a"], want)
		f.sameRecord(f.byTarget("t")["a"], want)
	}},
	{"what was begun remains, and its old claims are lost when it is claimed", func(f *fixture) {
		last := map[string]ledger.Token{}
		for _, key := range []string{"claimed", "begun", "released"} {
			last[key] = f.fresh(tagged(key, "c", "t"))
		}
		f.ok("Progress", f.progress(ledger.Update{Token: last["begun"], Progress: full()})...)
		f.ok("Release", f.release(last["released"], full()))
		last["released"] = f.resumed(entry("released"), full())
		f.ok("Release", f.release(last["released"], step(9)))
		f.reopen()
		f.sameRecord(f.byTarget("t")["begun"], ledger.Record{Entry: tagged("begun", "c", "t"), Progress: full()})
		time.Sleep(lease) // a ledger that is shared keeps the leases of workers that died
		for key, want := range map[string]ledger.Progress{"claimed": {}, "begun": full(), "released": step(9)} {
			token := f.resumed(entry(key), want)
			if token.Number <= last[key].Number {
				f.Errorf("%s: token number %d after %d", key, token.Number, last[key].Number)
			}
			f.fenced("Complete with the old claim", f.complete(last[key], []byte("stale")))
			f.ok("Complete", f.complete(token, []byte("done")))
		}
	}},
	{"a claim that nothing was stored for counts", func(f *fixture) {
		token := f.fresh(entry("a"))
		time.Sleep(lease)
		again := f.resumed(entry("a"), ledger.Progress{})
		f.reopen()
		time.Sleep(lease)
		third := f.resumed(entry("a"), ledger.Progress{})
		if token.Number >= again.Number || again.Number >= third.Number {
			f.Errorf("token numbers %d, %d, %d do not grow", token.Number, again.Number, third.Number)
		}
		f.fenced("Renew", f.renew(token, again)...)
	}},
}
