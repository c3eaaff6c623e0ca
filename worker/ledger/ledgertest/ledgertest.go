// Package ledgertest holds implementations of [ledger.Ledger] to the rules that package
// ledger states. It owns the cases, one for each rule; it knows no implementation. An
// implementation runs them all with one call:
//
//	func TestLedger(t *testing.T) {
//		ledgertest.Run(t, func(t *testing.T) ledgertest.Opened { … })
//	}
package ledgertest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// Opened is a ledger as a case gets it: empty, with the default retention. The case closes it.
type Opened struct {
	Ledger ledger.Ledger
	// Reopen opens what a ledger stored that was closed, as a restarted worker would. Nil
	// where the implementation cannot; the cases that need it are then skipped.
	Reopen func(t *testing.T) ledger.Ledger
	// Second opens another ledger over the same store while the first one is open, as another
	// worker would. Nil where the implementation has its store to itself; as above.
	Second func(t *testing.T) ledger.Ledger
	// LoseReplies makes the store do what it is asked while its replies are lost, for all
	// ledgers over it, until it is called with false. Nil where nothing lies between; as above.
	LoseReplies func(on bool)
	// LongestID is how many characters of four bytes the ids of 256 targets have in the case of the largest
	// record. 0 means 250; a store that counts bytes in another way than DynamoDB takes less.
	LongestID int
}

// lease is what cases claim for, unless they say otherwise.
const lease = time.Minute

// Run runs every case as a subtest, on a ledger of its own and in a [synctest] bubble of its
// own: open is called inside that bubble, so the ledger's clock is the bubble's.
func Run(t *testing.T, open func(t *testing.T) Opened) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"claim", claiming}, {"lease", leasing}, {"fencing", fencing}, {"progress", progressing},
		{"end", ending}, {"lookup", lookups}, {"together", together}, {"bounds", bounds}, {"reopen", reopening}, {"several", several}, {"lost replies", losing}, {"deployment key", deploymentKey}, {"events", events},
	} {
		for _, c := range group.cases {
			t.Run(group.name+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := open(t)
					f := &fixture{T: t, l: o.Ledger, reopener: o.Reopen, seconder: o.Second, loser: o.LoseReplies, longest: o.LongestID}
					defer func() {
						if !f.closed {
							f.close()
						}
					}()
					c.run(f)
				})
			})
		}
	}
}

type testCase struct {
	name string
	run  func(*fixture)
}

// fixture is a case's ledger and the words that cases are written in. Its methods fail the
// case where the answer is not the one they name.
type fixture struct {
	*testing.T
	l        ledger.Ledger
	reopener func(t *testing.T) ledger.Ledger
	seconder func(t *testing.T) ledger.Ledger
	loser    func(on bool)
	longest  int
	closed   bool
}

// entry is what is claimed under a key where only the key matters.
func entry(key string) ledger.Entry {
	return ledger.Entry{Key: key, Fingerprint: ledger.Fingerprint{1, 2, 3}}
}

// other is the key "a" with another content.
func other() ledger.Entry {
	e := entry("a")
	e.Fingerprint[31] ^= 1
	return e
}

func (f *fixture) ask(e ledger.Entry) *ledger.Claim {
	f.Helper()
	c, err := f.l.Claim(f.Context(), e, lease)
	if err != nil {
		f.Fatalf("Claim(%q): %v", e.Key, err)
	}
	return c
}

func (f *fixture) state(e ledger.Entry, want ledger.State) *ledger.Claim {
	f.Helper()
	c := f.ask(e)
	if c.State != want {
		f.Fatalf("Claim(%q) found %s, want %s", e.Key, name(c.State), name(want))
	}
	return c
}

// fresh claims a key that was never claimed.
func (f *fixture) fresh(e ledger.Entry) ledger.Token {
	f.Helper()
	c := f.state(e, ledger.Claimed)
	if c.Resumed || !reflect.DeepEqual(c.Progress, ledger.Progress{}) {
		f.Fatalf("first Claim(%q) = %+v, want nothing to resume", e.Key, c)
	}
	if c.Token.Key != e.Key || c.Token.Number == 0 {
		f.Fatalf("Claim(%q) gave token %+v", e.Key, c.Token)
	}
	return c.Token
}

// resumed claims a key that was claimed before.
func (f *fixture) resumed(e ledger.Entry, want ledger.Progress) ledger.Token {
	f.Helper()
	c := f.state(e, ledger.Claimed)
	if !c.Resumed {
		f.Fatalf("Claim(%q) is not resumed", e.Key)
	}
	f.sameProgress(c.Progress, want)
	return c.Token
}

// ended claims a key that has ended.
func (f *fixture) ended(e ledger.Entry, want []byte) {
	f.Helper()
	if c := f.state(e, ledger.Ended); !bytes.Equal(c.Outcome, want) {
		f.Fatalf("Claim(%q) found outcome %s, want %s", e.Key, clip(c.Outcome), clip(want))
	}
}

func (f *fixture) sameProgress(got, want ledger.Progress) {
	f.Helper()
	if !got.AcceptedAt.Equal(want.AcceptedAt) || !got.EscalatedAt.Equal(want.EscalatedAt) {
		f.Errorf("progress has times %v and %v, want %v and %v", got.AcceptedAt, got.EscalatedAt,
			want.AcceptedAt, want.EscalatedAt)
	}
	got.AcceptedAt, got.EscalatedAt = want.AcceptedAt, want.EscalatedAt
	if !reflect.DeepEqual(got, want) {
		f.Errorf("progress is %+v\nwant %+v", got, want)
	}
}

// ok and fenced judge the error of what was done.
func (f *fixture) ok(doing string, errs ...error) {
	f.Helper()
	for i, err := range errs {
		if err != nil {
			f.Fatalf("%s (%d of %d): %v", doing, i+1, len(errs), err)
		}
	}
}

func (f *fixture) fenced(doing string, errs ...error) {
	f.Helper()
	for i, err := range errs {
		if !errors.Is(err, ledger.ErrFenced) {
			f.Errorf("%s (%d of %d): %v, want ErrFenced", doing, i+1, len(errs), err)
		}
	}
}

func (f *fixture) renew(tokens ...ledger.Token) []error {
	return f.answers(f.l.Renew(f.Context(), lease, tokens...), len(tokens))
}

func (f *fixture) progress(updates ...ledger.Update) []error {
	return f.answers(f.l.Progress(f.Context(), updates...), len(updates))
}

func (f *fixture) answers(errs []error, n int) []error {
	f.Helper()
	if len(errs) != n {
		f.Fatalf("%d answers for %d items", len(errs), n)
	}
	return errs
}

func (f *fixture) release(t ledger.Token, p ledger.Progress) error {
	return f.l.Release(f.Context(), ledger.Update{Token: t, Progress: p})
}

func (f *fixture) complete(t ledger.Token, outcome []byte) error {
	return f.l.Complete(f.Context(), t, outcome)
}

func (f *fixture) reopen() {
	f.Helper()
	if f.reopener == nil {
		f.Skip("skipped: this ledger's factory has no Reopen")
	}
	f.close()
	f.l, f.closed = f.reopener(f.T), false
}

func (f *fixture) close() {
	f.Helper()
	f.closed = true
	if err := f.l.Close(); err != nil {
		f.Error("Close:", err)
	}
}

// name is a state's name for messages.
func name(s ledger.State) string {
	switch s {
	case ledger.Claimed:
		return "claimed"
	case ledger.Ended:
		return "ended"
	case ledger.Held:
		return "held"
	case ledger.OtherContent:
		return "other content"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

func clip(b []byte) string {
	if len(b) > 60 {
		return fmt.Sprintf("%q… (%d bytes)", b[:60], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// step is progress that differs from other progress.
func step(n int) ledger.Progress {
	return ledger.Progress{Begun: true, Attempts: ledger.Attempts{Calls: n}}
}

// full is progress with every field set, also those that are added after this was written.
func full() ledger.Progress {
	var p ledger.Progress
	fill(reflect.ValueOf(&p).Elem())
	return p
}

func fill(v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)))
		return
	}
	switch v.Kind() { //nolint:exhaustive // the rest panics: progress has no such field
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.String:
		v.SetString("größer \"than\" \x00 <&>\n")
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	default:
		panic("ledgertest cannot fill a " + v.Type().String() + " yet: teach fill")
	}
}

// records looks up and returns what was yielded, by key; a key yielded twice fails the case.
func (f *fixture) records(look func(yield func(ledger.Record) bool) error) map[string]ledger.Record {
	f.Helper()
	found := map[string]ledger.Record{}
	err := look(func(r ledger.Record) bool {
		if _, twice := found[r.Key]; twice {
			f.Errorf("%q was yielded twice", r.Key)
		}
		found[r.Key] = r
		return true
	})
	f.ok("lookup", err)
	return found
}

func (f *fixture) byCampaign(campaign string) map[string]ledger.Record {
	f.Helper()
	return f.records(func(yield func(ledger.Record) bool) error {
		return f.l.ByCampaign(f.Context(), campaign, yield)
	})
}

func (f *fixture) byTarget(target string) map[string]ledger.Record {
	f.Helper()
	return f.records(func(yield func(ledger.Record) bool) error {
		return f.l.ByTarget(f.Context(), target, yield)
	})
}

// endedOf are the commands among keys that have ended. One key given twice may be found twice, and is the same.
func (f *fixture) endedOf(keys ...string) map[string]ledger.Record {
	f.Helper()
	records, err := f.l.Ended(f.Context(), keys...)
	f.ok("Ended", err)
	found := map[string]ledger.Record{}
	for _, r := range records {
		found[r.Key] = r
	}
	return found
}

func keys(found map[string]ledger.Record) []string {
	ks := make([]string, 0, len(found))
	for k := range found {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}
