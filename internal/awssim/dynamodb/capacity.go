package dynamodb

import (
	"maps"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// wanted is embedded by every request that may ask what it costs.
type wanted struct {
	Capacity string `json:"ReturnConsumedCapacity"` // NONE, TOTAL, INDEXES
}

// consumed is what a request cost on one table, in units. INDEXES is answered as TOTAL is.
type consumed struct {
	Table string  `json:"TableName"`
	Units float64 `json:"CapacityUnits"`
	Read  float64 `json:"ReadCapacityUnits,omitzero"`  // transactions only
	Write float64 `json:"WriteCapacityUnits,omitzero"` // transactions only
}

func (w *wanted) checked() *service.Error {
	switch w.Capacity {
	case "", "NONE", "TOTAL", "INDEXES":
		return nil
	}
	return invalid("1 validation error detected: Value '%s' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]", w.Capacity)
}

// tell returns what a request cost, where it was asked for.
func (w *wanted) tell(t *table, units float64) *consumed {
	if !w.asked() {
		return nil
	}
	return &consumed{Table: t.name, Units: units}
}

func (w *wanted) asked() bool { return w.Capacity == "TOTAL" || w.Capacity == "INDEXES" }

// units is how many of a size begin; what is nothing still costs one ("Read and write
// operations": a write unit is 1 KB, a read unit 4 KB).
func units(size, unit int) float64 { return float64(max(1, (size+unit-1)/unit)) }

// writeUnits is what a write costs: the larger of the item before and after, and what each
// index has to write ("Provisioned throughput considerations for global secondary indexes"): a
// write for an entry that comes, goes or changes, two for one that moves.
func (t *table) writeUnits(old, made *record) float64 {
	size := 0
	for _, r := range [...]*record{old, made} {
		if r != nil {
			size = max(size, r.size)
		}
	}
	n := units(size, 1<<10)
	for _, x := range t.indexes {
		n += x.writeUnits(t, old, made)
	}
	return n
}

func (x *secondary) writeUnits(t *table, old, made *record) float64 {
	was, before := x.entryOf(old)
	is, after := x.entryOf(made)
	var sizes [2]int
	var a, b Item
	if before {
		a = t.projected(x, old.item)
		sizes[0] = a.size()
	}
	if after {
		b = t.projected(x, made.item)
		sizes[1] = b.size()
	}
	switch {
	case before && after && was.key == is.key:
		if maps.EqualFunc(a, b, Value.equal) {
			return 0
		}
		return units(max(sizes[0], sizes[1]), 1<<10)
	case before && after:
		return units(sizes[0], 1<<10) + units(sizes[1], 1<<10)
	case before || after:
		return units(sizes[0]+sizes[1], 1<<10)
	}
	return 0
}

// readUnits is what reading so many bytes costs: half where it may be stale.
func readUnits(size int, consistent bool) float64 {
	n := units(size, 4<<10)
	if !consistent {
		n /= 2
	}
	return n
}

// projected is the part of an item that an index holds.
func (t *table) projected(x *secondary, item Item) Item {
	if x.projection.Type == "ALL" {
		return item
	}
	out := Item{}
	for _, names := range [...][]string{t.names(), x.names(), x.projection.Include} {
		for _, name := range names {
			if v, ok := item[name]; ok {
				out[name] = v
			}
		}
	}
	return out
}
