package dynamodb

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
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

// Moving an entry is removing the one and putting the other in, whether or not both are there, or
// stand at the same place, or have the same cell.
func TestMoveInAnIndex(t *testing.T) {
	first, next := &record{size: 1}, &record{size: 2}
	for _, c := range []struct {
		name     string
		was, is  string // sort keys; "" for none
		sameCell bool
		gone     bool // the entry was taken out before
		want     string
	}{
		{name: "none", want: "a1"},
		{name: "comes", is: "b", want: "a1 b2"},
		{name: "goes", was: "a"},
		{name: "moves", was: "a", is: "b", want: "b2"},
		{name: "is replaced", was: "a", is: "a", want: "a2"},
		{name: "is replaced in its cell", was: "a", is: "a", sameCell: true, want: "a2"},
		{name: "comes back", was: "a", is: "a", gone: true, want: "a2"},
		{name: "comes back in its cell", was: "a", is: "a", sameCell: true, gone: true, want: "a2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var x index
			a := entry{key: key{sort: "a"}, cell: &cell{}}
			x.move(entry{}, false, a, true, first)
			if c.gone {
				x.move(a, true, entry{}, false, nil)
			}
			is := entry{key: key{sort: c.is}, cell: &cell{}}
			if c.sameCell {
				is.cell = a.cell
			}
			x.move(a, c.was != "", is, c.is != "", next)
			var got []string
			for e := range x.from(entry{}) {
				got = append(got, e.sort+strconv.Itoa(e.record.size))
			}
			if strings.Join(got, " ") != c.want || x.n != len(got) {
				t.Errorf("got %v (%d), want %s", got, x.n, c.want)
			}
		})
	}
}
