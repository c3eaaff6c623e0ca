package dynamodb

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Options say what AWS does not. The zero value is ready.
type Options struct {
	// IndexLag is how long a write takes to show in global secondary indexes. Default 0.
	IndexLag time.Duration
}

// DynamoDB is all tables of all accounts and regions. Its methods are safe for concurrent use.
type DynamoDB struct {
	options Options

	mu     sync.Mutex
	tables map[tableID]*table
	tokens tokens
}

// tableID is what addresses a table.
type tableID struct{ account, region, name string }

// New returns DynamoDB with no table.
func New(o Options) *DynamoDB {
	return &DynamoDB{options: o, tables: map[tableID]*table{}, tokens: tokens{seen: map[tokenID]seenToken{}}}
}

// Service says how DynamoDB is called ("Error handling with DynamoDB").
func (d *DynamoDB) Service() *service.Service {
	s := &service.Service{
		Name: "dynamodb", Protocol: service.JSON10, Target: "DynamoDB_20120810", Shapes: "com.amazonaws.dynamodb.v20120810",
		Throttled: service.Refuse("ProvisionedThroughputExceededException",
			"The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."),
		Denied: service.Refuse("AccessDeniedException", "User is not authorized to perform this action."),
		Broken: []*service.Error{
			{Status: 500, Code: "InternalServerError", Message: "The request could not be processed by DynamoDB."},
			{Status: 503, Code: "ServiceUnavailable", Message: "DynamoDB is currently unavailable."},
		},
		ItemErrors: []*service.Error{service.Refuse("TransactionConflict", "Transaction is ongoing for the item")},
		Operations: map[string]service.Operation{
			"CreateTable":        operation(func(in *createInput) []string { return []string{in.TableName} }, d.createTable),
			"DescribeTable":      operation(func(in *tableInput) []string { return []string{in.TableName} }, d.describeTable),
			"UpdateTimeToLive":   operation(func(in *ttlInput) []string { return []string{in.TableName} }, d.updateTimeToLive),
			"UpdateTable":        operation(func(in *updateInput) []string { return []string{in.TableName} }, d.updateTable),
			"DescribeTimeToLive": operation(func(in *tableInput) []string { return []string{in.TableName} }, d.describeTimeToLive),

			"UpdateContinuousBackups":   operation(func(in *backupsInput) []string { return []string{in.TableName} }, d.updateContinuousBackups),
			"DescribeContinuousBackups": operation(func(in *tableInput) []string { return []string{in.TableName} }, d.describeContinuousBackups),

			"PutItem":            d.single(put),
			"UpdateItem":         d.single(change),
			"DeleteItem":         d.single(remove),
			"GetItem":            operation(func(in *getInput) []string { return d.itemNames(in.TableName, in.Key) }, d.getItem),
			"Query":              operation(func(in *queryInput) []string { return []string{in.TableName} }, d.query),
			"BatchGetItem":       operation(d.batchGetNames, d.batchGetItem),
			"BatchWriteItem":     operation(d.batchWriteNames, d.batchWriteItem),
			"TransactWriteItems": operation(d.transactNames, d.transactWriteItems),
		},
	}
	for _, name := range refusedOperations {
		s.Operations[name] = service.Operation{Decode: func(*service.Request) (any, error) { return nil, undone(name) }}
	}
	return s
}

// itemNames is what faults and the history call items of a table. A request that is not yet known by
// account and region is named by any table of its name.
func (d *DynamoDB) itemNames(name string, items ...Item) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, t := range d.tables {
		if id.name != name {
			continue
		}
		out := make([]string, len(items))
		for i, item := range items {
			out[i] = item[t.key].text
		}
		return out
	}
	return nil
}

// Items returns the items of a table in the order of their keys, as Go's own types: string, json.Number,
// []byte and []any. It is nil where there is no such table.
func (d *DynamoDB) Items(account, region, name string) []map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[tableID{account, region, name}]
	if t == nil {
		return nil
	}
	out := make([]map[string]any, 0, len(t.items))
	for _, key := range slices.Sorted(maps.Keys(t.items)) {
		out = append(out, t.items[key].plain())
	}
	return out
}

// ttlHorizon is how old a time to live may be and still remove its item ("Using time to live", five
// years).
const ttlHorizon = 5 * 365 * 24 * time.Hour

// Expire removes every item of a table whose time to live has passed, and returns how many.
func (d *DynamoDB) Expire(account, region, name string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[tableID{account, region, name}]
	if t == nil || t.ttl == "" {
		return 0
	}
	now := time.Now()
	for key, item := range t.items {
		v := item[t.ttl]
		ends, err := strconv.ParseInt(v.text, 10, 64)
		if v.kind != Number || err != nil || ends > now.Unix() || ends < now.Add(-ttlHorizon).Unix() {
			continue
		}
		t.write(key, nil, now)
		n++
	}
	return n
}

// find returns a table, with its indexes brought up to date.
func (d *DynamoDB) find(c *service.Call, name string) (*table, error) {
	if refusal := checkTableName(name); refusal != nil {
		return nil, refusal
	}
	t := d.tables[tableID{c.Account, c.Region, name}]
	if t == nil {
		return nil, service.Refuse("ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
	}
	t.showUntil(time.Now())
	return t, nil
}
