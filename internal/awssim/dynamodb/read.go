package dynamodb

import (
	"context"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxPage is the most bytes that a page of a query reads (API_Query).
const maxPage = 1 << 20

type (
	getInput struct {
		TableName  string `json:"TableName"`
		Key        Item   `json:"Key"`
		Consistent bool   `json:"ConsistentRead"`
	}
	getOutput struct {
		Item Item `json:"Item,omitempty"`
	}
	queryInput struct {
		placeholders
		TableName    string  `json:"TableName"`
		Index        string  `json:"IndexName"`
		KeyCondition *string `json:"KeyConditionExpression"`
		Consistent   bool    `json:"ConsistentRead"`
		Limit        *int    `json:"Limit"`
		Start        Item    `json:"ExclusiveStartKey"`
	}
)

func (d *DynamoDB) getItem(_ context.Context, c *service.Call, in *getInput) (*getOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	key, refusal := t.keyed(in.Key)
	if refusal != nil {
		return nil, refusal
	}
	return &getOutput{t.items[key]}, nil
}

// query reads a page of what an index has under one key, in the order of the table's key.
func (d *DynamoDB) query(_ context.Context, c *service.Call, in *queryInput) (*answer, error) {
	when, refusal := parseCondition("KeyConditionExpression", in.KeyCondition, &in.placeholders)
	if refusal == nil {
		refusal = in.finish()
	}
	switch {
	case refusal != nil:
		return nil, refusal
	case in.KeyCondition == nil:
		return nil, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	case in.Index == "":
		return nil, undone("a Query without IndexName")
	case in.Consistent:
		return nil, invalid("Consistent reads are not supported on global secondary indexes")
	case in.Limit != nil && *in.Limit < 1:
		return nil, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *in.Limit)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	x, refusal := t.index(in.Index)
	if refusal != nil {
		return nil, refusal
	}
	key, refusal := x.wanted(when)
	if refusal != nil {
		return nil, refusal
	}
	start, refusal := in.start(t, x, key)
	if refusal != nil {
		return nil, refusal
	}
	return in.page(t, x, x.partitions[key][start:]), nil
}

func (in *queryInput) page(t *table, x *index, entries []entry) *answer {
	items, size := []Item{}, 0
	for _, e := range entries {
		keys := Item{t.key: e.item[t.key], x.key: e.item[x.key]}
		items, size = append(items, keys), size+keys.size()
		if in.Limit != nil && len(items) >= *in.Limit || size >= maxPage {
			return &answer{"Items": items, "Count": len(items), "ScannedCount": len(items), "LastEvaluatedKey": keys}
		}
	}
	return &answer{"Items": items, "Count": len(items), "ScannedCount": len(items)}
}

// start is where a page begins: after the ExclusiveStartKey, which need not be there.
func (in *queryInput) start(t *table, x *index, key string) (int, *service.Error) {
	if in.Start == nil {
		return 0, nil
	}
	primary, at := in.Start[t.key], in.Start[x.key]
	switch {
	case len(in.Start) != 2 || primary.kind != String || at.kind != String:
		return 0, invalid("The provided starting key is invalid")
	case at.text != key:
		return 0, invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	_, n, found := x.seek(key, primary.text)
	if found {
		n++
	}
	return n, nil
}

// wanted is the value that a key condition asks for ("Key condition expressions for the Query
// operation").
func (x *index) wanted(when condition) (string, *service.Error) {
	if in, is := when.(grouped); is {
		when = in.condition
	}
	c, is := when.(comparison)
	if !is || c.a.attribute == "" || c.b.attribute != "" || c.operator != "=" {
		return "", invalid("Query key condition not supported")
	}
	if c.a.attribute != x.key {
		return "", invalid("Query condition missed key schema element: %s", x.key)
	}
	return c.b.value.text, checkKey(x.key, c.b.value)
}
