package dynamodb

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

const (
	// maxItem is the most bytes of an item ("Quotas", item size).
	maxItem = 400 << 10
	// maxPartitionKey and maxSortKey are the most bytes of a key's value ("Quotas").
	maxPartitionKey, maxSortKey = 2048, 1024
	// ttlHorizon is how old a time to live may be and still remove its item ("Using time to
	// live", five years).
	ttlHorizon = 5 * 365 * 24 * time.Hour
)

// schema is the key of a table or an index; sort is "" for none.
type schema struct{ hash, sort string }

func (s schema) names() []string {
	if s.sort == "" {
		return []string{s.hash}
	}
	return []string{s.hash, s.sort}
}

// table is one table; guarded by DynamoDB's lock but for what never changes: all that
// CreateTable says.
type table struct {
	place
	schema
	id          string
	definitions []definition
	kinds       map[string]Kind
	created     time.Time
	active      time.Time // until then it is CREATING
	lag         time.Duration

	items   index
	indexes []*secondary
	late    []change // changes that the indexes do not show yet
	bytes   int

	ttl        string // the attribute; "" for none
	ttlChanged time.Time
	ends       index // by time to live, where there is one
}

// secondary is a global secondary index.
type secondary struct {
	schema
	name       string
	at         int // its place among the table's
	projection projectionInput
	entries    index
}

// record is an item as it is stored. It never changes.
type record struct {
	item    Item
	key     key
	primary string // key.whole()
	size    int
	cell    *cell      // in the table itself
	stands  []standing // one for each of the table's indexes
}

// standing is where a record stands in an index: nowhere if it lacks one of its keys.
type standing struct {
	key
	there bool
	cell  *cell
}

// change is what a write did to one item; nil for none.
type change struct {
	due       time.Time
	old, made *record
}

// keyOf is what an item sorts by in a table or an index; ok is false where it has no key there.
func (s schema) keyOf(item Item) (k key, ok bool) {
	hash, ok := item[s.hash]
	if !ok {
		return k, false
	}
	k.partition = partition(hash)
	if s.sort != "" {
		sort, ok := item[s.sort]
		if !ok {
			return k, false
		}
		k.sort = sort.sortable()
	}
	return k, true
}

// partition is what a partition key sorts by: a hash, so that nobody relies on their order.
func partition(v Value) string {
	text := v.sortable()
	var b strings.Builder
	b.Grow(8 + len(text))
	hash := uint64(14695981039346656037) // FNV-1a, without the copies that hash/fnv would need
	for i := range len(text) {
		hash = (hash ^ uint64(text[i])) * 1099511628211
	}
	for shift := 56; shift >= 0; shift -= 8 {
		b.WriteByte(byte(hash >> shift))
	}
	b.WriteString(text)
	return b.String()
}

// whole is the key as one text that no other key has.
func (k key) whole() string { return strconv.Itoa(len(k.partition)) + ":" + k.partition + k.sort }

// keyed checks a key that was given as such, and returns it.
func (t *table) keyed(given Item) (key, *service.Error) {
	names := t.names()
	if len(given) != len(names) {
		return key{}, invalid("The provided key element does not match the schema")
	}
	for _, name := range names {
		if v, ok := given[name]; !ok || v.kind != t.kinds[name] {
			return key{}, invalid("The provided key element does not match the schema")
		}
	}
	return t.stored(given)
}

// stored checks the key of an item, and returns it.
func (t *table) stored(item Item) (key, *service.Error) {
	for i, name := range t.names() {
		v, ok := item[name]
		switch {
		case !ok:
			return key{}, badValue("Missing the key %s in the item", name)
		case v.kind != t.kinds[name]:
			return key{}, badValue("Type mismatch for key %s expected: %s actual: %s", name, t.kinds[name], v.kind)
		}
		if err := keySized(name, v, i == 0); err != nil {
			return key{}, err
		}
	}
	k, _ := t.keyOf(item)
	return k, nil
}

func keySized(name string, v Value, hash bool) *service.Error {
	switch {
	case v.text == "":
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", map[Kind]string{String: "string", Binary: "binary"}[v.kind], name)
	case hash && len(v.text) > maxPartitionKey:
		return badValue("Size of hashkey has exceeded the maximum size limit of%d bytes", maxPartitionKey)
	case !hash && len(v.text) > maxSortKey:
		return badValue("Aggregated size of all range keys has exceeded the size limit of %d bytes", maxSortKey)
	}
	return nil
}

// recordOf makes an item ready to be stored under its key, in the place of old if there is one.
func (t *table) recordOf(item Item, k key, old *record) (*record, *service.Error) {
	for _, x := range t.indexes {
		for i, name := range x.names() {
			v, ok := item[name]
			if !ok {
				continue
			}
			if v.kind != t.kinds[name] {
				return nil, badValue("Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", name, t.kinds[name], v.kind, x.name)
			}
			if v.text == "" {
				return nil, invalid("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: %s, IndexKey: %s", x.name, name)
			}
			if err := keySized(name, v, i == 0); err != nil {
				return nil, err
			}
		}
	}
	r := &record{item: item, key: k, size: item.size()}
	if r.size > maxItem {
		return nil, invalid("Item size has exceeded the maximum allowed size")
	}
	if old != nil {
		r.key, r.primary, r.cell = old.key, old.primary, old.cell
	} else {
		r.primary, r.cell = k.whole(), &cell{}
	}
	if len(t.indexes) > 0 {
		r.stands = make([]standing, len(t.indexes))
	}
	for i, x := range t.indexes {
		if old != nil && x.same(old.item, item) {
			r.stands[i] = old.stands[i]
			continue
		}
		s := &r.stands[i]
		if s.key, s.there = x.keyOf(item); s.there {
			s.cell = &cell{}
		}
	}
	return r, nil
}

// same reports whether two items have the same key in a table or an index, or lack the same.
func (s schema) same(a, b Item) bool {
	for _, name := range [...]string{s.hash, s.sort} {
		if name == "" {
			continue
		}
		v, inA := a[name]
		w, inB := b[name]
		if inA != inB || inA && !v.equal(w) {
			return false
		}
	}
	return true
}

// get returns what is stored under a key; nil for nothing.
func (t *table) get(k key) *record { return t.items.get(k, "") }

// write puts made in the place of old; either may be nil.
func (t *table) write(old, made *record, now time.Time) {
	was, had := old.entry()
	is, has := made.entry()
	t.items.move(was, had, is, has, made)
	if old != nil {
		t.bytes -= old.size
	}
	if made != nil {
		t.bytes += made.size
	}
	was, had = t.endOf(old)
	is, has = t.endOf(made)
	t.ends.move(was, had, is, has, made)
	if len(t.indexes) == 0 {
		return
	}
	if c := (change{now.Add(t.lag), old, made}); t.lag > 0 {
		t.late = append(t.late, c)
	} else {
		t.show(c)
	}
}

// showIn brings the changes into the indexes that are due.
func (t *table) showIn(now time.Time) {
	n := 0
	for ; n < len(t.late) && !t.late[n].due.After(now); n++ {
		t.show(t.late[n])
	}
	t.late = slices.Delete(t.late, 0, n)
}

func (t *table) show(c change) {
	for _, x := range t.indexes {
		was, had := x.entryOf(c.old)
		is, has := x.entryOf(c.made)
		x.entries.move(was, had, is, has, c.made)
	}
}

// entry is where a record stands in its table; nil stands nowhere.
func (r *record) entry() (entry, bool) {
	if r == nil {
		return entry{}, false
	}
	return entry{key: r.key, cell: r.cell}, true
}

// entryOf is where a record stands in an index: nowhere if it lacks one of its keys.
func (x *secondary) entryOf(r *record) (entry, bool) {
	if r == nil {
		return entry{}, false
	}
	s := r.stands[x.at]
	return entry{key: s.key, primary: r.primary, cell: s.cell}, s.there
}

// endOf is where a record stands among those that have a time to live: a number of seconds
// since 1970.
func (t *table) endOf(r *record) (entry, bool) {
	if r == nil || t.ttl == "" {
		return entry{}, false
	}
	v, ok := r.item[t.ttl]
	if !ok || v.kind != Number {
		return entry{}, false
	}
	return entry{key: key{sort: v.sortable()}, primary: r.primary, cell: &cell{r}}, true
}

// expire removes what ended up to a time, unless that is years ago.
func (d *DynamoDB) expire(t *table, until, now time.Time) (n int) {
	if t.ttl == "" || t.ends.n == 0 {
		return 0
	}
	ended := func(at time.Time) entry {
		return entry{key: key{sort: whole(int(at.Unix())).order() + "\x00"}}
	}
	var gone []*record
	last := ended(until)
	for e := range t.ends.from(ended(now.Add(-ttlHorizon))) {
		if compareEntries(e, last) >= 0 {
			break
		}
		gone = append(gone, e.record)
	}
	for _, r := range gone {
		t.write(r, nil, now)
	}
	return len(gone)
}

// index returns the index of a name.
func (t *table) index(name string) (*secondary, *service.Error) {
	for _, x := range t.indexes {
		if x.name == name {
			return x, nil
		}
	}
	return nil, invalid("The table does not have the specified index: %s", name)
}
