package dynamodb

import (
	"context"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

const (
	// maxBatchGet is the most keys of BatchGetItem (API_BatchGetItem).
	maxBatchGet = 100
	// maxBatchBytes is the most bytes that BatchGetItem answers, and BatchWriteItem takes.
	maxBatchBytes = 16 << 20
)

type (
	// choosing is embedded by every read of items.
	choosing struct {
		Names      map[string]string `json:"ExpressionAttributeNames,omitempty"`
		Projection *string           `json:"ProjectionExpression,omitempty"`
		Consistent bool              `json:"ConsistentRead,omitempty"`
		Legacy     jsontext.Value    `json:"AttributesToGet,omitempty"`
	}
	getInput struct {
		addressed
		choosing
		wanted
		Key Item `json:"Key"`
	}
	getOutput struct {
		Item     Item      `json:"Item,omitempty"`
		Consumed *consumed `json:"ConsumedCapacity,omitempty"`
	}
	batchGetKeys struct {
		choosing
		Keys []Item `json:"Keys"`
	}
	batchGetInput struct {
		wanted
		Tables map[string]batchGetKeys `json:"RequestItems"`
	}
	batchGetOutput struct {
		Responses   map[string][]Item       `json:"Responses"`
		Unprocessed map[string]batchGetKeys `json:"UnprocessedKeys"`
		Consumed    []*consumed             `json:"ConsumedCapacity,omitempty"`
	}
)

func (in *getInput) keyGiven() Item { return in.Key }

// paths reads a projection; nil where there is none.
func (c *choosing) paths() ([]path, *service.Error) {
	if len(c.Legacy) > 0 {
		return nil, unsupported("The legacy parameter AttributesToGet")
	}
	s := (&expressing{Names: c.Names}).scope()
	paths, refusal := projection(c.Projection, s)
	if refusal != nil {
		return nil, refusal
	}
	return paths, s.finish()
}

func (d *DynamoDB) getItem(_ context.Context, c *service.Call, in *getInput) (*getOutput, error) {
	paths, refusal := in.paths()
	if refusal != nil {
		return nil, refusal
	}
	if refusal := in.checked(); refusal != nil {
		return nil, refusal
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	k, refusal := t.keyed(in.Key)
	if refusal != nil {
		return nil, refusal
	}
	out, size := &getOutput{}, 0
	if r := t.get(k); r != nil {
		out.Item, size = project(r.item, paths), r.size
	}
	out.Consumed = in.tell(t, readUnits(size, in.Consistent))
	return out, nil
}

func batchGetNames(in *batchGetInput) []string {
	var names []string
	for _, table := range slices.Sorted(maps.Keys(in.Tables)) {
		for _, k := range in.Tables[table].Keys {
			names = append(names, nameOf(k, nil))
		}
	}
	return names
}

// batchGetItem reads items by their keys. What a fault or the size of the answer leaves out is
// an UnprocessedKey.
func (d *DynamoDB) batchGetItem(_ context.Context, c *service.Call, in *batchGetInput) (*batchGetOutput, error) {
	if refusal := in.checked(); refusal != nil {
		return nil, refusal
	}
	n := 0
	for _, keys := range in.Tables {
		n += len(keys.Keys)
	}
	if n == 0 || n > maxBatchGet {
		return nil, invalid("Too many items requested for the BatchGetItem call, or none; the limit is %d", maxBatchGet)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &batchGetOutput{Responses: map[string][]Item{}, Unprocessed: map[string]batchGetKeys{}}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(in.Tables)) {
		if err := d.batchGetTable(c, name, in, out, &size); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (d *DynamoDB) batchGetTable(c *service.Call, name string, in *batchGetInput, out *batchGetOutput, size *int) error {
	keys := in.Tables[name]
	paths, refusal := keys.paths()
	if refusal != nil {
		return refusal
	}
	t, err := d.find(c, name)
	if err != nil {
		return err
	}
	cost, seen := 0.0, map[key]bool{}
	out.Responses[name] = []Item{}
	for _, given := range keys.Keys {
		k, refusal := t.keyed(given)
		if refusal != nil {
			return refusal
		}
		if seen[k] {
			return invalid("Provided list of item keys contains duplicates")
		}
		seen[k] = true
		r, bytes := t.get(k), 0
		if r != nil {
			bytes = r.size
		}
		if c.Fails(nameOf(given, nil)) != nil || *size+bytes > maxBatchBytes {
			c.FailedItems++
			left := out.Unprocessed[name]
			left.choosing, left.Keys = keys.choosing, append(left.Keys, given)
			out.Unprocessed[name] = left
			continue
		}
		*size += bytes
		cost += readUnits(bytes, keys.Consistent)
		if r != nil {
			out.Responses[name] = append(out.Responses[name], project(r.item, paths))
		}
	}
	if in.asked() {
		out.Consumed = append(out.Consumed, in.tell(t, cost))
	}
	return nil
}
