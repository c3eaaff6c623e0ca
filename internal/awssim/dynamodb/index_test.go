package dynamodb

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// An index does what a sorted list does.
func TestIndexIsASortedList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	at := func() entry {
		n := strconv.Itoa(random.IntN(4000))
		return entry{key: key{partition: n[:1], sort: n}}
	}
	var x index
	var want []entry
	for round := range 20_000 {
		e := at()
		i, found := slices.BinarySearchFunc(want, e, compareEntries)
		switch {
		case random.IntN(5) < 2+round%2:
			x.put(e)
			if !found {
				want = slices.Insert(want, i, e)
			}
		default:
			x.remove(e)
			if found {
				want = slices.Delete(want, i, i+1)
			}
		}
		if x.n != len(want) {
			t.Fatalf("round %d: %d entries, want %d", round, x.n, len(want))
		}
		if round%500 > 0 {
			continue
		}
		from := at()
		i, _ = slices.BinarySearchFunc(want, from, compareEntries)
		if got := slices.Collect(x.from(from)); !slices.Equal(got, want[i:]) {
			t.Fatalf("round %d: up from %v it is wrong", round, from.key)
		}
		got := slices.Collect(x.before(from))
		slices.Reverse(got)
		if !slices.Equal(got, want[:i]) {
			t.Fatalf("round %d: down from %v it is wrong", round, from.key)
		}
	}
	if len(x.chunks) < 3 {
		t.Errorf("%d chunks: the test has not tried to split", len(x.chunks))
	}
}
