package dynamodb

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type (
	definition struct {
		Name string `json:"AttributeName"`
		Kind Kind   `json:"AttributeType"`
	}
	keyElement struct {
		Name string `json:"AttributeName"`
		Type string `json:"KeyType"` // HASH
	}
	indexInput struct {
		Name       string       `json:"IndexName"`
		Keys       []keyElement `json:"KeySchema"`
		Projection struct {
			Type string `json:"ProjectionType"` // KEYS_ONLY
		} `json:"Projection"`
	}
	createInput struct {
		TableName   string       `json:"TableName"`
		Definitions []definition `json:"AttributeDefinitions"`
		Keys        []keyElement `json:"KeySchema"`
		Indexes     []indexInput `json:"GlobalSecondaryIndexes"`
		BillingMode string       `json:"BillingMode"`
	}
	tableInput struct {
		TableName string `json:"TableName"`
	}
	timeToLive struct {
		Attribute string `json:"AttributeName"`
		Enabled   bool   `json:"Enabled"`
	}
	ttlInput struct {
		TableName     string     `json:"TableName"`
		Specification timeToLive `json:"TimeToLiveSpecification"`
	}
	// answer is a JSON object.
	answer map[string]any
)

var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

func checkTableName(name string) *service.Error {
	switch {
	case tableName.MatchString(name):
		return nil
	case strings.HasPrefix(name, "arn:"):
		return undone("tables named by their ARN")
	}
	return invalid("1 validation error detected: Value '%s' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+, and be 3 to 255 characters long", name)
}

// createTable makes a table (API_CreateTable). It is ACTIVE at once, where AWS takes some seconds.
func (d *DynamoDB) createTable(_ context.Context, c *service.Call, in *createInput) (*answer, error) {
	if refusal := checkTableName(in.TableName); refusal != nil {
		return nil, refusal
	}
	t := &table{tableID: tableID{c.Account, c.Region, in.TableName}, items: map[string]Item{}, definitions: in.Definitions, created: time.Now(), lag: d.options.IndexLag}
	if refusal := t.define(in); refusal != nil {
		return nil, refusal
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tables[t.tableID] != nil {
		return nil, service.Refuse("ResourceInUseException", "Table already exists: %s", in.TableName)
	}
	d.tables[t.tableID] = t
	return &answer{"TableDescription": t.describe("CREATING")}, nil
}

// define reads keys and indexes.
func (t *table) define(in *createInput) *service.Error {
	if in.BillingMode != "PAY_PER_REQUEST" {
		return undone("provisioned capacity: BillingMode must be PAY_PER_REQUEST")
	}
	var defined []string
	for _, def := range in.Definitions {
		if def.Kind != String {
			return undone("keys of type " + string(def.Kind))
		}
		defined = append(defined, def.Name)
	}
	var refusal *service.Error
	if t.key, refusal = keyOf(in.Keys, defined); refusal != nil {
		return refusal
	}
	used := map[string]bool{t.key: true}
	for _, given := range in.Indexes {
		x := &index{name: given.Name, partitions: map[string][]entry{}}
		if _, missing := t.index(x.name); missing == nil || x.name == "" {
			return badValue("Duplicate or empty index name: %q", x.name)
		}
		if given.Projection.Type != "KEYS_ONLY" {
			return undone("ProjectionType " + given.Projection.Type)
		}
		if x.key, refusal = keyOf(given.Keys, defined); refusal != nil {
			return refusal
		}
		used[x.key] = true
		t.indexes = append(t.indexes, x)
	}
	if len(used) != len(defined) {
		return badValue("Some AttributeDefinitions are not used, or given twice: %s", defined)
	}
	return nil
}

// keyOf reads a key schema.
func keyOf(schema []keyElement, defined []string) (string, *service.Error) {
	switch {
	case len(schema) == 0 || schema[0].Type != "HASH":
		return "", badValue("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	case len(schema) > 1:
		return "", undone("sort keys (KeyType RANGE)")
	case !slices.Contains(defined, schema[0].Name):
		return "", badValue("Some index key attributes are not defined in AttributeDefinitions. Keys: [%s]", schema[0].Name)
	}
	return schema[0].Name, nil
}

// describe describes a table. ItemCount is exact, where AWS's is of the last six hours.
func (t *table) describe(status string) answer {
	arn := "arn:aws:dynamodb:" + t.region + ":" + t.account + ":table/" + t.name
	out := answer{
		"TableName": t.name, "TableArn": arn, "TableStatus": status, "CreationDateTime": float64(t.created.UnixMilli()) / 1000,
		"AttributeDefinitions": t.definitions, "KeySchema": []keyElement{{t.key, "HASH"}}, "ItemCount": len(t.items),
		"BillingModeSummary": answer{"BillingMode": "PAY_PER_REQUEST"}, "DeletionProtectionEnabled": t.protected,
	}
	var indexes []answer
	for _, x := range t.indexes {
		indexes = append(indexes, answer{
			"IndexName": x.name, "IndexArn": arn + "/index/" + x.name, "IndexStatus": status, "KeySchema": []keyElement{{x.key, "HASH"}},
			"Projection": answer{"ProjectionType": "KEYS_ONLY"},
		})
	}
	if len(indexes) > 0 {
		out["GlobalSecondaryIndexes"] = indexes
	}
	return out
}

func (d *DynamoDB) describeTable(_ context.Context, c *service.Call, in *tableInput) (*answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	return &answer{"Table": t.describe("ACTIVE")}, nil
}

// updateTimeToLive sets the attribute (API_UpdateTimeToLive). It is ENABLED at once, where AWS's is
// ENABLING for up to an hour.
func (d *DynamoDB) updateTimeToLive(_ context.Context, c *service.Call, in *ttlInput) (*answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	attribute := in.Specification.Attribute
	switch {
	case !in.Specification.Enabled:
		return nil, undone("disabling time to live")
	case attribute == "" || len(attribute) > 255:
		return nil, invalid("1 validation error detected: Value '%s' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member must have length between 1 and 255", attribute)
	case t.ttl != "":
		return nil, invalid("TimeToLive is already enabled")
	}
	t.ttl = attribute
	return &answer{"TimeToLiveSpecification": in.Specification}, nil
}

func (d *DynamoDB) describeTimeToLive(_ context.Context, c *service.Call, in *tableInput) (*answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	said := answer{"TimeToLiveStatus": "DISABLED"}
	if t.ttl != "" {
		said = answer{"TimeToLiveStatus": "ENABLED", "AttributeName": t.ttl}
	}
	return &answer{"TimeToLiveDescription": said}, nil
}
