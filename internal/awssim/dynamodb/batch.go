package dynamodb

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxBatchWrite is the most writes of BatchWriteItem (API_BatchWriteItem).
const maxBatchWrite = 25

type (
	batchPut struct {
		Item Item `json:"Item"`
	}
	batchDelete struct {
		Key Item `json:"Key"`
	}
	batchWrite struct {
		Put    *batchPut    `json:"PutRequest,omitempty"`
		Delete *batchDelete `json:"DeleteRequest,omitempty"`
	}
	batchWriteInput struct {
		wanted
		Tables map[string][]batchWrite `json:"RequestItems"`
	}
	batchWriteOutput struct {
		Unprocessed map[string][]batchWrite `json:"UnprocessedItems"`
		Consumed    []*consumed             `json:"ConsumedCapacity,omitempty"`
	}
)

// written returns the write that an entry asks for.
func (b batchWrite) written() (*written, *service.Error) {
	switch {
	case b.Put != nil && b.Delete == nil:
		return &written{kind: put, item: b.Put.Item}, nil
	case b.Put == nil && b.Delete != nil:
		return &written{kind: removed, given: b.Delete.Key}, nil
	}
	return nil, invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
}

func (d *DynamoDB) batchWriteNames(in *batchWriteInput) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(in.Tables)) {
		keys := d.keyNames(name)
		for _, b := range in.Tables[name] {
			switch {
			case b.Put != nil:
				names = append(names, nameOf(b.Put.Item, keys))
			case b.Delete != nil:
				names = append(names, nameOf(b.Delete.Key, nil))
			}
		}
	}
	return names
}

// batchWriteItem puts and deletes items, each for itself. What a fault leaves out is an
// UnprocessedItem; a request that is wrong anywhere is refused whole.
func (d *DynamoDB) batchWriteItem(_ context.Context, c *service.Call, in *batchWriteInput) (*batchWriteOutput, error) {
	if refusal := in.checked(); refusal != nil {
		return nil, refusal
	}
	n := 0
	for _, writes := range in.Tables {
		n += len(writes)
	}
	if n == 0 {
		return nil, invalid("The batch write request list for a table cannot be null or empty")
	}
	if n > maxBatchWrite {
		return nil, invalid("Too many items requested for the BatchWriteItem call")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	names := slices.Sorted(maps.Keys(in.Tables))
	lots := make([]lot, len(names))
	for i, name := range names {
		var err error
		if lots[i], err = d.lot(c, name, in.Tables[name]); err != nil {
			return nil, err
		}
	}
	out := &batchWriteOutput{Unprocessed: map[string][]batchWrite{}}
	for i, name := range names {
		cost := 0.0
		for j, w := range lots[i].writes {
			if c.Fails(w.name(lots[i].table)) != nil {
				c.FailedItems++
				out.Unprocessed[name] = append(out.Unprocessed[name], in.Tables[name][j])
				continue
			}
			cost += lots[i].do(j, in.asked())
		}
		if in.asked() {
			out.Consumed = append(out.Consumed, in.tell(lots[i].table, cost))
		}
	}
	return out, nil
}

// lot is the writes of a batch to one table, checked.
type lot struct {
	table  *table
	writes []*written
	made   []*record // nil: a removal
	keys   []key
}

func (d *DynamoDB) lot(c *service.Call, name string, writes []batchWrite) (l lot, err error) {
	if l.table, err = d.find(c, name); err != nil {
		return l, err
	}
	for _, b := range writes {
		w, refusal := b.written()
		if refusal != nil {
			return l, refusal
		}
		k, refusal := w.locate(l.table)
		if refusal != nil {
			return l, refusal
		}
		if slices.Contains(l.keys, k) {
			return l, invalid("Provided list of item keys contains duplicates")
		}
		var made *record
		if w.kind == put {
			if made, refusal = l.table.recordOf(w.item, k, nil); refusal != nil {
				return l, refusal
			}
		}
		l.writes, l.keys, l.made = append(l.writes, w), append(l.keys, k), append(l.made, made)
	}
	return l, nil
}

// do does one write, and says what it costs if that is asked for.
func (l lot) do(j int, cost bool) float64 {
	old := l.table.get(l.keys[j])
	l.table.write(old, l.made[j], time.Now())
	if !cost {
		return 0
	}
	return l.table.writeUnits(old, l.made[j])
}
