package ledgertest

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

var progressing = []testCase{
	{"every field comes back", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: full()})...)
		time.Sleep(lease)
		f.resumed(entry("a"), full())
	}},
	{"new progress replaces the old", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: full()})...)
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: step(2)})...)
		time.Sleep(lease)
		token = f.resumed(entry("a"), step(2))
		f.ok("Release", f.release(token, ledger.Progress{}))
		f.resumed(entry("a"), ledger.Progress{})
	}},
	{"the last of several updates in one call stands", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: step(1)},
			ledger.Update{Token: token, Progress: step(2)})...)
		time.Sleep(lease)
		f.resumed(entry("a"), step(2))
	}},
	{"each update has its own answer, in order", func(f *fixture) {
		updates := make([]ledger.Update, 0, 30)
		for i := range cap(updates) {
			token := f.fresh(entry(fmt.Sprint("key ", i)))
			if i%3 == 1 {
				token.Number += 1000
			}
			updates = append(updates, ledger.Update{Token: token, Progress: step(i)})
		}
		for i, err := range f.progress(updates...) {
			if fenced := errors.Is(err, ledger.ErrFenced); fenced != (i%3 == 1) || err != nil && !fenced {
				f.Errorf("update %d: %v", i, err)
			}
		}
		time.Sleep(lease)
		for i := range updates {
			want := step(i)
			if i%3 == 1 {
				want = ledger.Progress{}
			}
			f.resumed(entry(fmt.Sprint("key ", i)), want)
		}
	}},
	{"each renewal has its own answer, in order", func(f *fixture) {
		a, b := f.fresh(entry("a")), f.fresh(entry("b"))
		time.Sleep(lease / 2)
		errs := f.renew(a, ledger.Token{Key: "b", Number: b.Number + 1000}, b)
		f.ok("Renew", errs[0], errs[2])
		f.fenced("Renew", errs[1])
		time.Sleep(lease / 2)
		f.state(entry("a"), ledger.Held)
		f.state(entry("b"), ledger.Held)
	}},
	{"nothing is asked, nothing is answered", func(f *fixture) {
		f.renew()
		f.progress()
	}},
}

var ending = []testCase{
	{"an outcome comes back byte for byte", func(f *fixture) {
		for i, outcome := range [][]byte{
			[]byte(`{"status":"cancelled"}`), []byte("{ \"spaces\" : 1.0 }\r\n"), {0, 0xff, 0xfe, '\n'},
			{}, bytes.Repeat([]byte("x"), 200<<10),
		} {
			key := fmt.Sprint("key ", i)
			token := f.fresh(entry(key))
			f.ok("Complete", f.complete(token, outcome))
			f.ended(entry(key), outcome)
			f.ended(entry(key), outcome)
		}
	}},
	{"the caller's bytes are its own", func(f *fixture) {
		token := f.fresh(entry("a"))
		outcome := bytes.Repeat([]byte("done"), 4096) // too large to be copied by chance
		want := bytes.Clone(outcome)
		f.ok("Complete", f.complete(token, outcome))
		outcome[0] = 'X'
		got := f.state(entry("a"), ledger.Ended).Outcome
		if !bytes.Equal(got, want) {
			f.Fatalf("the outcome became %s with the caller's slice", clip(got))
		}
		got[0] = 'Y'
		f.ended(entry("a"), want)
	}},
	{"a repeated complete is harmless", func(f *fixture) {
		token := f.fresh(entry("a"))
		for range 3 {
			f.ok("Complete", f.complete(token, []byte("done")))
		}
		f.ended(entry("a"), []byte("done"))
	}},
	{"a released claim is spent: a late renewal does not bring it back", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Release", f.release(token, step(1)))
		f.fenced("Renew", f.renew(token)...)
		f.fenced("Progress", f.progress(ledger.Update{Token: token, Progress: step(2)})...)
		f.fenced("Complete", f.complete(token, []byte("done")))
		f.resumed(entry("a"), step(1))
	}},
	{"an ended key remains until retention is over, and is free then", func(f *fixture) {
		token := f.fresh(entry("a"))
		time.Sleep(time.Hour) // what counts is when it ended
		f.ok("Complete", f.complete(token, []byte("done")))
		time.Sleep(ledger.Retention - time.Second)
		f.ended(entry("a"), []byte("done"))
		time.Sleep(2 * time.Second)
		again := f.fresh(other())
		f.fenced("Complete", f.complete(token, []byte("done")))
		f.ok("Complete", f.complete(again, []byte("done anew")))
		f.ended(other(), []byte("done anew"))
	}},
	{"a key that has not ended is never forgotten", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.ok("Progress", f.progress(ledger.Update{Token: token, Progress: step(1)})...)
		time.Sleep(2 * ledger.Retention)
		f.fresh(entry("b")) // a write, for ledgers that forget as they write
		f.resumed(entry("a"), step(1))
	}},
	{"a closed ledger answers with errors", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.close()
		f.failing("a closed ledger", token, nil)
	}},
	{"calls return when their context has ended", func(f *fixture) {
		token := f.fresh(entry("a"))
		f.cancelled(token)
		f.ended(entry("ended before"), nil)
	}},
}
