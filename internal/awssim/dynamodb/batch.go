package dynamodb

import (
	"context"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxBatchWrite is the most writes of BatchWriteItem, maxBatchGet the most keys of BatchGetItem, and
// maxBatchBytes the most bytes that it answers (API_BatchWriteItem, API_BatchGetItem).
const maxBatchWrite, maxBatchGet, maxBatchBytes = 25, 100, 16 << 20

type (
	batchPut struct {
		Put struct {
			Item Item `json:"Item"`
		} `json:"PutRequest"`
	}
	batchWriteInput struct {
		Tables map[string][]batchPut `json:"RequestItems"`
	}
	batchKeys struct {
		Keys       []Item `json:"Keys"`
		Consistent bool   `json:"ConsistentRead,omitempty"`
	}
	batchGetInput struct {
		Tables map[string]batchKeys `json:"RequestItems"`
	}
)

func (d *DynamoDB) batchWriteNames(in *batchWriteInput) []string {
	name, puts, _ := theTable(in.Tables)
	items := make([]Item, len(puts))
	for i, p := range puts {
		items[i] = p.Put.Item
	}
	return d.itemNames(name, items...)
}

// batchWriteItem puts items, each for itself. What a fault leaves out is an UnprocessedItem; a request
// that is wrong anywhere is refused whole.
func (d *DynamoDB) batchWriteItem(_ context.Context, c *service.Call, in *batchWriteInput) (*answer, error) {
	name, puts, refusal := theTable(in.Tables)
	if refusal == nil && (len(puts) == 0 || len(puts) > maxBatchWrite) {
		refusal = invalid("Too many items requested for the BatchWriteItem call, or none; the limit is %d", maxBatchWrite)
	}
	if refusal != nil {
		return nil, refusal
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, name)
	if err != nil {
		return nil, err
	}
	keys, seen := make([]string, len(puts)), map[string]bool{}
	for i, p := range puts {
		if keys[i], refusal = t.stored(p.Put.Item); refusal == nil {
			refusal = t.storable(p.Put.Item)
		}
		if refusal == nil && seen[keys[i]] {
			refusal = invalid("Provided list of item keys contains duplicates")
		}
		if refusal != nil {
			return nil, refusal
		}
		seen[keys[i]] = true
	}
	unprocessed := map[string][]batchPut{}
	for i, p := range puts {
		if c.Fails(keys[i]) != nil {
			c.FailedItems++
			unprocessed[name] = append(unprocessed[name], p)
			continue
		}
		t.write(keys[i], p.Put.Item, time.Now())
	}
	return &answer{"UnprocessedItems": unprocessed}, nil
}

func (d *DynamoDB) batchGetNames(in *batchGetInput) []string {
	name, given, _ := theTable(in.Tables)
	return d.itemNames(name, given.Keys...)
}

// batchGetItem reads items by their keys. What a fault or the size of the answer leaves out is an
// UnprocessedKey.
func (d *DynamoDB) batchGetItem(_ context.Context, c *service.Call, in *batchGetInput) (*answer, error) {
	name, given, refusal := theTable(in.Tables)
	if refusal == nil && (len(given.Keys) == 0 || len(given.Keys) > maxBatchGet) {
		refusal = invalid("Too many items requested for the BatchGetItem call, or none; the limit is %d", maxBatchGet)
	}
	if refusal != nil {
		return nil, refusal
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, name)
	if err != nil {
		return nil, err
	}
	found, left := []Item{}, batchKeys{Consistent: given.Consistent}
	size, seen := 0, map[string]bool{}
	for _, one := range given.Keys {
		key, refusal := t.keyed(one)
		if refusal == nil && seen[key] {
			refusal = invalid("Provided list of item keys contains duplicates")
		}
		if refusal != nil {
			return nil, refusal
		}
		seen[key] = true
		item := t.items[key]
		if c.Fails(key) != nil || size+item.size() > maxBatchBytes {
			c.FailedItems++
			left.Keys = append(left.Keys, one)
			continue
		}
		if size += item.size(); item != nil {
			found = append(found, item)
		}
	}
	unprocessed := map[string]batchKeys{}
	if len(left.Keys) > 0 {
		unprocessed[name] = left
	}
	return &answer{"Responses": map[string][]Item{name: found}, "UnprocessedKeys": unprocessed}, nil
}
