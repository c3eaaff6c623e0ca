package dynamodb

import (
	"cmp"
	"slices"
	"time"
)

// index is a global secondary index, of which only keys can be read.
type index struct {
	name, key  string             // key is an attribute
	partitions map[string][]entry // by the value of key; none is empty; each in the order of primary
}

// entry is an item in an index. primary is its key in the table.
type entry struct {
	primary string
	item    Item
}

// late is what a write did to one item, and when the indexes show it; nil for no item.
type late struct {
	due       time.Time
	primary   string
	old, made Item
}

// show brings a write into the index. An item without the index's key is not in it.
func (x *index) show(l late) {
	was, had := l.old[x.key]
	is, has := l.made[x.key]
	if had && (!has || was.text != is.text) {
		x.remove(was.text, l.primary)
	}
	if has {
		x.put(is.text, entry{l.primary, l.made})
	}
}

// seek returns the entries of a key's value, and where that of a primary key is or would be.
func (x *index) seek(key, primary string) (partition []entry, at int, found bool) {
	partition = x.partitions[key]
	at, found = slices.BinarySearchFunc(partition, primary, func(e entry, primary string) int { return cmp.Compare(e.primary, primary) })
	return partition, at, found
}

// put puts an entry in, or in the place of the one with its keys.
func (x *index) put(key string, e entry) {
	partition, at, found := x.seek(key, e.primary)
	if found {
		partition[at] = e
		return
	}
	x.partitions[key] = slices.Insert(partition, at, e)
}

func (x *index) remove(key, primary string) {
	partition, at, found := x.seek(key, primary)
	if !found {
		return
	}
	if len(partition) == 1 {
		delete(x.partitions, key)
		return
	}
	x.partitions[key] = slices.Delete(partition, at, at+1)
}
