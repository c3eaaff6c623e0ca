package ledgertest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// bounds are the rules for records as large as they may be, and larger: what the command's fields allow is
// stored; beyond, a ledger stores it or says ErrRejected; and what is written beside it is stored.
var bounds = []testCase{
	{"what is as large as it may be is stored, and found", func(f *fixture) {
		f.beside(func() {
			records := atMost(cmp.Or(f.longest, 250))
			f.crowd(len(records), func(i int) { f.stores(records[i]) })
		})
	}},
	{"what is larger is stored or rejected", func(f *fixture) {
		f.beside(func() {
			records := beyond()
			f.crowd(len(records), func(i int) { f.storesOrRejects(records[i]) })
		})
	}},
}

// record is all that is written of one command.
type record struct {
	ledger.Entry
	progress ledger.Progress
	outcome  []byte
}

// recordOf makes a record under a key of its own.
func recordOf(e ledger.Entry) record {
	if e.Key == "" {
		e.Key = fmt.Sprintf("%s %d/%d", e.Campaign[:min(8, len(e.Campaign))], len(e.Campaign), len(strings.Join(e.Targets, "")))
	}
	e.Fingerprint[0] = 1
	return record{e, step(1), []byte("done")}
}

// The contract's bounds, in bytes, and what is beyond every store's: DynamoDB's keys have 2,048 and its items
// 400 KiB, bbolt's keys 32 KiB.
const (
	mostKey      = len("dry/") + 128
	mostCampaign = 4 * 128
	mostTarget   = 4 * (256 + len("/") + 64) // an SWF workflow's id and its run's
	mostOutcome  = 200 << 10
	tooLong      = 40 << 10
)

func atMost(longestID int) []record {
	many := recordOf(ledger.Entry{Key: "many targets", Campaign: "c", Targets: longTargets(256, longestID)})
	many.progress.Targets = map[string]ledger.TargetProgress{}
	for i, id := range many.Targets {
		many.progress.Targets[id] = ledger.TargetProgress{
			Begun: true, CalledAt: time.Unix(int64(i), 0).UTC(), RefusalCode: "ValidationException",
			RefusalMessage: "Specified step is not in a cancellable state.", Status: "not_cancellable",
			RequestID: fmt.Sprintf("%08x-4a4d-42e8-996d-3b900ed59dc4", i),
		}
	}
	many.outcome = bytes.Repeat([]byte("o"), mostOutcome)
	return []record{
		recordOf(ledger.Entry{Key: strings.Repeat("k", mostKey), Campaign: "c", Targets: []string{"t"}}),
		recordOf(ledger.Entry{Campaign: strings.Repeat("c", mostCampaign), Targets: []string{"t"}}),
		recordOf(ledger.Entry{Campaign: "c", Targets: []string{strings.Repeat("t", mostTarget)}}),
		recordOf(ledger.Entry{Campaign: "c", Targets: []string{strings.Repeat("t", mostTarget), "other"}}),
		many,
	}
}

func beyond() []record {
	var all []record
	for _, long := range []int{2049, tooLong} {
		text := strings.Repeat("x", long)
		all = append(all,
			recordOf(ledger.Entry{Key: text, Targets: []string{"t"}}),
			recordOf(ledger.Entry{Key: "several " + text, Targets: []string{"t", "u"}}),
			recordOf(ledger.Entry{Campaign: text}),
			recordOf(ledger.Entry{Targets: []string{text}}),
			recordOf(ledger.Entry{Targets: []string{text, "t", "u"}}),
		)
	}
	progress := recordOf(ledger.Entry{Key: "progress", Targets: []string{"t"}})
	progress.progress.Targets = map[string]ledger.TargetProgress{}
	for _, id := range longTargets(1000, 250) {
		progress.progress.Targets[id] = ledger.TargetProgress{Begun: true}
	}
	year := recordOf(ledger.Entry{Key: "a time that JSON cannot say"})
	year.progress.AcceptedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	outcome := recordOf(ledger.Entry{Key: "outcome", Targets: []string{"t"}})
	outcome.outcome = make([]byte, 500<<10)
	return append(all,
		recordOf(ledger.Entry{Key: "too many targets", Targets: longTargets(1000, 250)}), progress, year, outcome)
}

// longTargets are ids of so many characters of four bytes, which no compression makes short.
func longTargets(n, characters int) []string {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]string, n)
	for i := range all {
		id := make([]rune, characters)
		for j := range id {
			id[j] = 0x10000 + random.Int32N(0x100000)
		}
		all[i] = string(id)
	}
	return all
}

// beside takes commands their whole way while do runs.
func (f *fixture) beside(do func()) {
	f.Helper()
	const n = 30
	f.crowd(n+1, func(i int) {
		if i == n {
			do()
			return
		}
		f.stores(recordOf(ledger.Entry{Key: fmt.Sprint("beside ", i), Campaign: "beside", Targets: []string{fmt.Sprint("target ", i)}}))
	})
}

// write takes a record from its claim to its end, and says what the first call that failed said. It
// claims it twice, to see the progress.
func (f *fixture) write(r record) error {
	c, err := f.l.Claim(f.Context(), r.Entry, lease)
	if err != nil {
		return err
	}
	u := ledger.Update{Token: c.Token, Progress: r.progress}
	if err := f.progress(u)[0]; err != nil {
		return err
	}
	if err := f.l.Release(f.Context(), u); err != nil {
		return err
	}
	if c, err = f.l.Claim(f.Context(), r.Entry, lease); err != nil {
		return err
	}
	if c.State != ledger.Claimed || !c.Resumed {
		f.Errorf("%.40q: the second claim found %s", r.Key, name(c.State))
	} else if r.progress.AcceptedAt.IsZero() {
		f.sameProgress(c.Progress, r.progress)
	}
	return f.complete(c.Token, r.outcome)
}

func (f *fixture) stores(r record) {
	f.Helper()
	if err := f.write(r); err != nil {
		f.Errorf("%.40q: %.300v", r.Key, err)
		return
	}
	if c, err := f.l.Claim(f.Context(), r.Entry, lease); err != nil || c.State != ledger.Ended || !bytes.Equal(c.Outcome, r.outcome) {
		f.Errorf("%.40q: claimed at its end: %v", r.Key, err)
	}
	for _, target := range []string{r.Targets[0], r.Targets[len(r.Targets)-1]} {
		if got, ok := f.byTarget(target)[r.Key]; !ok || got.Campaign != r.Campaign || !slices.Equal(got.Targets, r.Targets) || !bytes.Equal(got.Outcome, r.outcome) {
			f.Errorf("%.40q is not found by its target %.40q as it was stored", r.Key, target)
		}
	}
	if _, ok := f.byCampaign(r.Campaign)[r.Key]; !ok {
		f.Errorf("%.40q is not found by its campaign", r.Key)
	}
}

func (f *fixture) storesOrRejects(r record) {
	f.Helper()
	if err := f.write(r); err != nil && !errors.Is(err, ledger.ErrRejected) {
		f.Errorf("%.40q: %.300v; want ErrRejected or that it is stored", r.Key, err)
	}
}
