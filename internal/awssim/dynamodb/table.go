package dynamodb

import (
	"slices"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

const (
	// maxKey is the most bytes of a partition key's value ("Quotas").
	maxKey = 2048
	// maxItem is the most bytes of an item ("Quotas", item size).
	maxItem = 400 << 10
)

// table is one table; guarded by DynamoDB's lock.
type table struct {
	tableID
	key         string // an attribute
	ttl         string // the attribute; "" for none
	protected   bool   // from being deleted
	recoverable bool   // to a point in time
	definitions []definition
	created     time.Time
	lag         time.Duration
	items       map[string]Item // by the value of key
	indexes     []*index
	late        []late // what the indexes do not show yet
}

// keyed checks a key that was given as such, and returns its value.
func (t *table) keyed(given Item) (string, *service.Error) {
	if len(given) != 1 || given[t.key].kind != String {
		return "", invalid("The provided key element does not match the schema")
	}
	return t.stored(given)
}

// stored checks the key of an item, and returns its value.
func (t *table) stored(item Item) (string, *service.Error) {
	v, there := item[t.key]
	if !there {
		return "", badValue("Missing the key %s in the item", t.key)
	}
	return v.text, checkKey(t.key, v)
}

func checkKey(name string, v Value) *service.Error {
	switch {
	case v.kind != String:
		return badValue("Type mismatch for key %s expected: S actual: %s", name, v.kind)
	case v.text == "":
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
	case len(v.text) > maxKey:
		return badValue("Size of hashkey has exceeded the maximum size limit of%d bytes", maxKey)
	}
	return nil
}

// storable refuses an item that cannot be stored: too large, or with a value that cannot be the key of
// an index.
func (t *table) storable(item Item) *service.Error {
	for _, x := range t.indexes {
		if v, there := item[x.key]; there {
			if refusal := checkKey(x.key, v); refusal != nil {
				refusal.Message += ", IndexName: " + x.name
				return refusal
			}
		}
	}
	if item.size() > maxItem {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	return nil
}

// write stores an item, or removes it where made is nil.
func (t *table) write(key string, made Item, now time.Time) {
	old := t.items[key]
	if t.items[key] = made; made == nil {
		delete(t.items, key)
	}
	if len(t.indexes) > 0 {
		t.late = append(t.late, late{now.Add(t.lag), key, old, made})
		t.showUntil(now)
	}
}

// showUntil brings into the indexes what is due.
func (t *table) showUntil(now time.Time) {
	n := 0
	for ; n < len(t.late) && !t.late[n].due.After(now); n++ {
		for _, x := range t.indexes {
			x.show(t.late[n])
		}
	}
	t.late = slices.Delete(t.late, 0, n)
}

// index returns the index of a name.
func (t *table) index(name string) (*index, *service.Error) {
	for _, x := range t.indexes {
		if x.name == name {
			return x, nil
		}
	}
	return nil, invalid("The table does not have the specified index: %s", name)
}
