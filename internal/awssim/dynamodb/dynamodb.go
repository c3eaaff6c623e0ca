// Package dynamodb is Amazon DynamoDB in the box: on-demand tables with global secondary
// indexes, time to live, conditional writes and transactions, as the API reference
// (DynamoDB_20120810) and the developer guide describe them; pages are named where a number or
// a rule comes from. Parameters that AWS calls legacy (AttributesToGet, Expected, …), local
// indexes, streams and parallel scans are refused aloud.
//
// What AWS leaves open is settled like this. One lock guards all tables, so that every read is
// consistent and no two transactions ever overlap: TransactionConflict arises by faults alone.
// Reads of an index see every write at once, where AWS's see it a little later, unless
// [Options].IndexLag says otherwise. An item whose time to live has passed stays, as AWS allows
// for some days, until [Options].TTLAfter is over or [DynamoDB.Expire] is called. Scans go in
// the order of a hash of the partition key. Texts of refusals are close to AWS's, and are no
// contract there either.
//
// # Faults
//
// An item is named by its key: the partition key's value, and after a | the sort key's. Faults
// of single items make it an UnprocessedItem or UnprocessedKey of a batch; in a transaction,
// they cancel the whole of it, with TransactionConflict (or the rule's code) as the item's
// reason; a single write is refused by TransactionConflictException.
//
// # Expressions
//
// A lexer and a parser make conditions, updates, key conditions and projections of texts
// (lexer.go, parser.go, condition.go, update.go, path.go); names are put in while parsing, values
// when they are worked out, so that what was made of a text serves again (expressions.go). Items
// never change: a write makes another.
package dynamodb

import (
	"slices"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Options say what AWS does not.
type Options struct {
	// IndexLag is how long a write takes to show in global secondary indexes. Default 0.
	IndexLag time.Duration
	// TTLAfter is how long after its time to live an item is removed ("within a few days", says
	// the developer guide); default 0 is never, unless [DynamoDB.Expire] is called.
	TTLAfter time.Duration
	// CreateLag is how long a new table is CREATING, and no item of it can be read or written.
	// Default 0: it is ACTIVE when its creation was answered.
	CreateLag time.Duration
}

// DynamoDB is all tables of all accounts and regions. Its methods are safe for concurrent use.
type DynamoDB struct {
	options Options
	known   expressions

	mu     sync.Mutex
	tables map[place]*table
	tokens tokens
}

// place is what addresses a table.
type place struct{ account, region, name string }

// New returns DynamoDB with no table.
func New(o Options) *DynamoDB {
	return &DynamoDB{options: o, tables: map[place]*table{}, tokens: tokens{seen: map[tokenKey]seenToken{}}}
}

// Service says how DynamoDB is called ("Error handling with DynamoDB").
func (d *DynamoDB) Service() *service.Service {
	return &service.Service{
		Name: "dynamodb", Protocol: service.JSON10, Target: "DynamoDB_20120810", Shapes: "com.amazonaws.dynamodb.v20120810",
		Throttled: service.Refuse("ProvisionedThroughputExceededException",
			"The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."),
		Denied: service.Refuse("AccessDeniedException", "User is not authorized to perform this action."),
		Broken: []*service.Error{
			{Status: 500, Code: "InternalServerError", Message: "The request could not be processed by DynamoDB."},
			{Status: 503, Code: "ServiceUnavailable", Message: "DynamoDB is currently unavailable."},
		},
		ItemErrors: []*service.Error{service.Refuse(conflict, "Transaction is ongoing for the item")},
		Operations: map[string]service.Operation{
			"CreateTable":        service.JSON(tableItem[createInput], d.createTable),
			"DescribeTable":      service.JSON(tableItem[tableInput], d.describeTable),
			"DeleteTable":        service.JSON(tableItem[tableInput], d.deleteTable),
			"ListTables":         service.JSON(nil, d.listTables),
			"UpdateTimeToLive":   service.JSON(tableItem[ttlInput], d.updateTimeToLive),
			"DescribeTimeToLive": service.JSON(tableItem[tableInput], d.describeTimeToLive),
			"PutItem":            service.JSON(d.putName, d.putItem),
			"UpdateItem":         service.JSON(keyItem[updateInput], d.updateItem),
			"DeleteItem":         service.JSON(keyItem[deleteInput], d.deleteItem),
			"GetItem":            service.JSON(keyItem[getInput], d.getItem),
			"Query":              service.JSON(tableItem[queryInput], d.query),
			"Scan":               service.JSON(tableItem[scanInput], d.scan),
			"BatchGetItem":       service.JSON(batchGetNames, d.batchGetItem),
			"BatchWriteItem":     service.JSON(d.batchWriteNames, d.batchWriteItem),
			"TransactWriteItems": service.JSON(d.transactNames, d.transactWriteItems),
		},
	}
}

// addressed is embedded by every request that addresses a table.
type addressed struct {
	TableName string `json:"TableName"`
}

func (a *addressed) tableName() string { return a.TableName }

// tableItem names a request by its table.
func tableItem[I any, P interface {
	*I
	tableName() string
}](in *I,
) []string {
	return []string{P(in).tableName()}
}

// Items returns the items of a table in the order of their keys, as Go's own types: strings,
// json.Number, []byte, bool, nil, map[string]any, []any; sets are []string, or [][]byte. It is
// nil where there is no such table.
func (d *DynamoDB) Items(account, region, name string) []map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[place{account, region, name}]
	if t == nil {
		return nil
	}
	d.catchUp(t, time.Now())
	var records []*record
	for e := range t.items.from(entry{}) {
		records = append(records, e.record)
	}
	slices.SortFunc(records, func(a, b *record) int { return compareKeys(a.key, b.key) })
	out := make([]map[string]any, len(records))
	for i, r := range records {
		out[i] = r.item.plain()
	}
	return out
}

// Expire removes every item of a table whose time to live has passed, and returns how many.
func (d *DynamoDB) Expire(account, region, name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[place{account, region, name}]
	if t == nil {
		return 0
	}
	now := time.Now()
	return d.expire(t, now, now)
}

// find returns a table whose items can be used, brought up to date.
func (d *DynamoDB) find(c *service.Call, name string) (*table, error) {
	t, err := d.described(c, name)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if now.Before(t.active) {
		return nil, noTable()
	}
	d.catchUp(t, now)
	return t, nil
}

// described returns a table in whatever state.
func (d *DynamoDB) described(c *service.Call, name string) (*table, error) {
	name, err := tableNamed(name)
	if err != nil {
		return nil, err
	}
	t := d.tables[place{c.Account, c.Region, name}]
	if t == nil {
		return nil, noTable()
	}
	return t, nil
}

// catchUp does what time has done to a table.
func (d *DynamoDB) catchUp(t *table, now time.Time) {
	if d.options.TTLAfter > 0 {
		d.expire(t, now.Add(-d.options.TTLAfter), now)
	}
	t.showIn(now)
}
