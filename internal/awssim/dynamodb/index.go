package dynamodb

import (
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
	*cell
}

// cell is what stands at a place, nil for nothing any more. One item's records have it from one
// another for as long as they stand there, so that the next is put in without a search.
type cell struct{ record *record }

func compareEntries(a, b entry) int { return a.compare(&b) }

// compare is where all of a box's looking up ends: it stops at the first difference.
func (e *entry) compare(with *entry) int {
	if order := compareKeys(e.key, with.key); order != 0 {
		return order
	}
	return strings.Compare(e.primary, with.primary)
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
		return c[len(c)-1].compare(&e) >= 0
	})
	if chunk == len(x.chunks) {
		return chunk, 0, false
	}
	c := x.chunks[chunk]
	at = sort.Search(len(c), func(i int) bool { return c[i].compare(&e) >= 0 })
	return chunk, at, at < len(c) && c[at].compare(&e) == 0
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

// move takes an entry out and puts another in for a record, either of which may be none. Where both
// have the same place, that is one replacement, and where they have the same cell, not even that.
func (x *index) move(was entry, had bool, is entry, has bool, made *record) {
	if had && has && was.cell == is.cell && was.record != nil {
		was.record = made
		return
	}
	if had && (!has || was.compare(&is) != 0) {
		x.remove(was)
		was.record = nil // so that nobody takes it for one that stands there
	}
	if has {
		is.record = made
		x.put(is)
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
