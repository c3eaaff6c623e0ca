package dynamodb

import (
	"cmp"
	"iter"
	"slices"
	"sort"
	"strings"
)

// entry is a place in an index: partitions in the order of a hash, and within one by the sort
// key; primary tells apart what has equal keys in a secondary index.
type entry struct {
	key
	primary string
	record  *record
}

func compareEntries(a, b entry) int {
	return cmp.Or(compareKeys(a.key, b.key), strings.Compare(a.primary, b.primary))
}

// index is a sorted list in chunks, so that inserting moves few entries.
type index struct {
	chunks [][]entry // none is empty
	n      int
}

const maxChunk = 128

// seek returns where the first entry stands that is not before e: after the last chunk where
// there is none.
func (x *index) seek(e entry) (chunk, at int, found bool) {
	chunk = sort.Search(len(x.chunks), func(i int) bool {
		c := x.chunks[i]
		return compareEntries(c[len(c)-1], e) >= 0
	})
	if chunk == len(x.chunks) {
		return chunk, 0, false
	}
	at, found = slices.BinarySearchFunc(x.chunks[chunk], e, compareEntries)
	return chunk, at, found
}

// get returns the record of a place; nil where there is none.
func (x *index) get(k key, primary string) *record {
	chunk, at, found := x.seek(entry{key: k, primary: primary})
	if !found {
		return nil
	}
	return x.chunks[chunk][at].record
}

// put puts an entry in, or replaces the one in its place.
func (x *index) put(e entry) {
	chunk, at, found := x.seek(e)
	if found {
		x.chunks[chunk][at] = e
		return
	}
	x.n++
	if len(x.chunks) == 0 {
		x.chunks = append(x.chunks, []entry{e})
		return
	}
	if chunk == len(x.chunks) {
		chunk--
		at = len(x.chunks[chunk])
	}
	c := slices.Insert(x.chunks[chunk], at, e)
	x.chunks[chunk] = c
	if len(c) > maxChunk {
		half := slices.Clone(c[len(c)/2:])
		clear(c[len(c)/2:])
		x.chunks[chunk] = c[:len(c)/2]
		x.chunks = slices.Insert(x.chunks, chunk+1, half)
	}
}

func (x *index) remove(e entry) {
	chunk, at, found := x.seek(e)
	if !found {
		return
	}
	x.n--
	if x.chunks[chunk] = slices.Delete(x.chunks[chunk], at, at+1); len(x.chunks[chunk]) == 0 {
		x.chunks = slices.Delete(x.chunks, chunk, chunk+1)
	}
}

// from goes up from the first entry that is not before e. The index must not change meanwhile.
func (x *index) from(e entry) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for chunk, at, _ := x.seek(e); chunk < len(x.chunks); chunk, at = chunk+1, 0 {
			for _, e := range x.chunks[chunk][at:] {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// before goes down from the last entry that is before e. The index must not change meanwhile.
func (x *index) before(e entry) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		for chunk, at, _ := x.seek(e); chunk >= 0; at = len(x.chunks[chunk]) {
			if chunk < len(x.chunks) {
				for _, e := range slices.Backward(x.chunks[chunk][:at]) {
					if !yield(e) {
						return
					}
				}
			}
			if chunk--; chunk < 0 {
				return
			}
		}
	}
}
