package simulation

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

var (
	seeds  = flag.Uint64("seeds", 24, "how many seeds to run, from 1 on")
	first  = flag.Uint64("first", 1, "the first seed")
	one    = flag.Uint64("seed", 0, "one seed to run, and to keep the history of")
	replay = flag.String("replay", "", "a saved history to check again")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runSeed runs one seed in a bubble of its own.
func runSeed(t *testing.T, seed uint64) (h *history) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { h = run(t, newPlan(seed)) })
	return h
}

// again is how often a failing seed is run once more, to say how often it fails.
const again = 5

func TestSeeds(t *testing.T) {
	if *replay != "" || *one != 0 {
		t.Skip("one history is asked for")
	}
	all := tally{counts: map[string]int{}}
	t.Run("seeds", func(t *testing.T) {
		for seed := *first; seed < *first+*seeds; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				h := runSeed(t, seed)
				all.add(h)
				report(t, h)
			})
		}
	})
	t.Run("everything was met", func(t *testing.T) { all.check(t, *seeds) })
}

// report says what a history violates, and how often its seed does.
func report(t *testing.T, h *history) {
	t.Helper()
	found, seed := check(h), h.Plan.Seed
	if len(found) == 0 {
		return
	}
	fails := 1
	for i := range again {
		t.Run(fmt.Sprintf("again%d", i+1), func(t *testing.T) {
			if len(check(runSeed(t, seed))) > 0 {
				fails++
			}
		})
	}
	t.Errorf("seed %d violates, in %d of %d runs:\n%s\nhistory: %s\nrun it again: go test ./worker/simulation -seed %d -v",
		seed, fails, again+1, strings.Join(found, "\n"), h.keep(t), seed)
}

func TestOneSeed(t *testing.T) {
	if *one == 0 {
		t.Skip("no -seed is given")
	}
	h := runSeed(t, *one)
	t.Logf("settled: %t after %s; history: %s", h.Settled, h.Took, h.keep(t))
	for _, v := range check(h) {
		t.Error(v)
	}
}

func TestReplay(t *testing.T) {
	if *replay == "" {
		t.Skip("no -replay is given")
	}
	h, err := load(*replay)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range check(h) {
		t.Error(v)
	}
}

// TestASavedHistoryIsTheOneThatWasChecked: a saved history gets the same verdict.
func TestASavedHistoryIsTheOneThatWasChecked(t *testing.T) {
	h := runSeed(t, 1)
	// Whatever the first one was, and however often it was published, it is missing now.
	gone := h.Outcomes[0].Body
	h.Outcomes = slices.DeleteFunc(h.Outcomes, func(o published) bool { return o.Body == gone })
	want := check(h)
	if len(want) == 0 {
		t.Fatal("an outcome that was taken out is not missed")
	}
	saved, err := load(h.write(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if got := check(saved); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
