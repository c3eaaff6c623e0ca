package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxIndexes is the most global secondary indexes of a table ("Quotas").
const maxIndexes = 20

type (
	definition struct {
		Name string `json:"AttributeName"`
		Kind Kind   `json:"AttributeType"`
	}
	keyElement struct {
		Name string `json:"AttributeName"`
		Type string `json:"KeyType"` // HASH, RANGE
	}
	projectionInput struct {
		Type    string   `json:"ProjectionType"` // ALL, KEYS_ONLY, INCLUDE
		Include []string `json:"NonKeyAttributes,omitempty"`
	}
	throughput struct {
		Read  int64 `json:"ReadCapacityUnits"`
		Write int64 `json:"WriteCapacityUnits"`
	}
	indexInput struct {
		Name       string          `json:"IndexName"`
		Keys       []keyElement    `json:"KeySchema"`
		Projection projectionInput `json:"Projection"`
	}
	// createInput: tags, table class, encryption, deletion protection and provisioned throughput
	// are taken and say nothing: the box has no quota unless it is asked for.
	createInput struct {
		addressed
		Definitions []definition   `json:"AttributeDefinitions"`
		Keys        []keyElement   `json:"KeySchema"`
		Indexes     []indexInput   `json:"GlobalSecondaryIndexes"`
		Local       jsontext.Value `json:"LocalSecondaryIndexes"`
		Stream      *struct {
			Enabled bool `json:"StreamEnabled"`
		} `json:"StreamSpecification"`
		BillingMode string      `json:"BillingMode"`
		Provisioned *throughput `json:"ProvisionedThroughput"`
	}
	tableInput struct{ addressed }
	billing    struct {
		Mode string `json:"BillingMode"`
	}
	indexDescription struct {
		indexInput
		Status     string     `json:"IndexStatus"`
		ARN        string     `json:"IndexArn"`
		Items      int        `json:"ItemCount"`
		Throughput throughput `json:"ProvisionedThroughput"`
	}
	description struct {
		Name        string             `json:"TableName"`
		ARN         string             `json:"TableArn"`
		ID          string             `json:"TableId"`
		Status      string             `json:"TableStatus"`
		Created     float64            `json:"CreationDateTime"`
		Definitions []definition       `json:"AttributeDefinitions"`
		Keys        []keyElement       `json:"KeySchema"`
		Indexes     []indexDescription `json:"GlobalSecondaryIndexes,omitempty"`
		Items       int                `json:"ItemCount"` // exact; AWS's is of the last six hours
		Bytes       int                `json:"TableSizeBytes"`
		Billing     billing            `json:"BillingModeSummary"`
		Throughput  throughput         `json:"ProvisionedThroughput"`
	}
	createOutput struct {
		Table description `json:"TableDescription"`
	}
	describeOutput struct {
		Table description `json:"Table"`
	}
	listInput struct {
		Start string `json:"ExclusiveStartTableName"`
		Limit *int   `json:"Limit"`
	}
	listOutput struct {
		Names []string `json:"TableNames"`
		Last  string   `json:"LastEvaluatedTableName,omitempty"`
	}
	ttlSpecification struct {
		Attribute string `json:"AttributeName"`
		Enabled   bool   `json:"Enabled"`
	}
	ttlInput struct {
		addressed
		Specification ttlSpecification `json:"TimeToLiveSpecification"`
	}
	ttlOutput struct {
		Specification ttlSpecification `json:"TimeToLiveSpecification"`
	}
	ttlDescription struct {
		Status    string `json:"TimeToLiveStatus"`
		Attribute string `json:"AttributeName,omitempty"`
	}
	describeTTLOutput struct {
		Description ttlDescription `json:"TimeToLiveDescription"`
	}
)

var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// tableNamed returns the name of a table that is given by name or ARN.
func tableNamed(given string) (string, *service.Error) {
	name := given
	if _, after, is := strings.Cut(given, ":table/"); is && strings.HasPrefix(given, "arn:") {
		name = after
	}
	if !tableName.MatchString(name) {
		return "", invalid("1 validation error detected: Value '%s' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+, and be 3 to 255 characters long", given)
	}
	return name, nil
}

// createTable makes a table (API_CreateTable).
func (d *DynamoDB) createTable(_ context.Context, c *service.Call, in *createInput) (*createOutput, error) {
	name, refusal := tableNamed(in.TableName)
	if refusal != nil {
		return nil, refusal
	}
	now := time.Now()
	t := &table{place: place{c.Account, c.Region, name}, definitions: in.Definitions, created: now, active: now.Add(d.options.CreateLag), lag: d.options.IndexLag}
	if refusal := t.define(in); refusal != nil {
		return nil, refusal
	}
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, t.place)
	t.id = fmt.Sprintf("%08x-0000-4000-8000-%012x", h.Sum64()>>32, h.Sum64()&0xffffffff)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tables[t.place] != nil {
		return nil, service.Refuse("ResourceInUseException", "Table already exists: %s", name)
	}
	d.tables[t.place] = t
	out := &createOutput{Table: t.describe(now)}
	out.Table.Status = "CREATING"
	for i := range out.Table.Indexes {
		out.Table.Indexes[i].Status = "CREATING"
	}
	return out, nil
}

// define reads keys and indexes.
func (t *table) define(in *createInput) (refusal *service.Error) {
	switch {
	case len(in.Local) > 0:
		return unsupported("LocalSecondaryIndexes")
	case in.Stream != nil && in.Stream.Enabled:
		return unsupported("StreamSpecification")
	case in.BillingMode == "PAY_PER_REQUEST" && in.Provisioned != nil:
		return badValue("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case in.BillingMode != "PAY_PER_REQUEST" && in.Provisioned == nil:
		return badValue("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	case len(in.Indexes) > maxIndexes:
		return badValue("GlobalSecondaryIndex count exceeds the per-table limit of %d", maxIndexes)
	}
	t.kinds = map[string]Kind{}
	for _, def := range in.Definitions {
		if !slices.Contains([]Kind{String, Number, Binary}, def.Kind) {
			return invalid("1 validation error detected: Value '%s' at 'attributeDefinitions.member.attributeType' failed to satisfy constraint: Member must satisfy enum value set: [B, N, S]", def.Kind)
		}
		t.kinds[def.Name] = def.Kind
	}
	used := map[string]bool{}
	if t.schema, refusal = t.keys(in.Keys, used); refusal != nil {
		return refusal
	}
	for _, x := range in.Indexes {
		made := &secondary{name: x.Name, projection: x.Projection, at: len(t.indexes)}
		switch _, refusal := t.index(x.Name); {
		case refusal == nil:
			return badValue("Duplicate index name: %s", x.Name)
		case !tableName.MatchString(x.Name):
			return invalid("1 validation error detected: Value '%s' at 'globalSecondaryIndexes.member.indexName' failed to satisfy constraint", x.Name)
		case !slices.Contains([]string{"ALL", "KEYS_ONLY", "INCLUDE"}, x.Projection.Type):
			return badValue("Unknown ProjectionType: %s", cmp.Or(x.Projection.Type, "null"))
		case (x.Projection.Type == "INCLUDE") != (len(x.Projection.Include) > 0):
			return badValue("ProjectionType is %s, but NonKeyAttributes is specified or missing", x.Projection.Type)
		}
		if made.schema, refusal = t.keys(x.Keys, used); refusal != nil {
			return refusal
		}
		t.indexes = append(t.indexes, made)
	}
	if len(used) != len(t.kinds) || len(used) != len(in.Definitions) {
		return badValue("Some AttributeDefinitions are not used. AttributeDefinitions: %v, keys used: %v", in.Definitions, used)
	}
	return nil
}

// keys reads a key schema.
func (t *table) keys(elements []keyElement, used map[string]bool) (s schema, _ *service.Error) {
	if len(elements) < 1 || len(elements) > 2 || elements[0].Type != "HASH" || len(elements) == 2 && (elements[1].Type != "RANGE" || elements[1].Name == elements[0].Name) {
		return s, badValue("Invalid KeySchema: The first KeySchemaElement is not a HASH key type, or the second is not a RANGE key type of another name")
	}
	for _, e := range elements {
		if t.kinds[e.Name] == "" {
			return s, badValue("Some index key attributes are not defined in AttributeDefinitions. Keys: [%s]", e.Name)
		}
		used[e.Name] = true
	}
	s.hash = elements[0].Name
	if len(elements) == 2 {
		s.sort = elements[1].Name
	}
	return s, nil
}

func (s schema) elements() []keyElement {
	out := []keyElement{{s.hash, "HASH"}}
	if s.sort != "" {
		out = append(out, keyElement{s.sort, "RANGE"})
	}
	return out
}

func (t *table) arn() string {
	return "arn:aws:dynamodb:" + t.region + ":" + t.account + ":table/" + t.name
}

func (t *table) describe(now time.Time) description {
	out := description{
		Name: t.name, ARN: t.arn(), ID: t.id, Status: "ACTIVE", Created: float64(t.created.UnixMilli()) / 1000,
		Definitions: t.definitions, Keys: t.elements(), Items: t.items.n, Bytes: t.bytes, Billing: billing{"PAY_PER_REQUEST"},
	}
	if now.Before(t.active) {
		out.Status = "CREATING"
	}
	for _, x := range t.indexes {
		out.Indexes = append(out.Indexes, indexDescription{
			indexInput: indexInput{x.name, x.elements(), x.projection}, Status: out.Status, ARN: t.arn() + "/index/" + x.name, Items: x.entries.n,
		})
	}
	return out
}

func (d *DynamoDB) describeTable(_ context.Context, c *service.Call, in *tableInput) (*describeOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.described(c, in.TableName)
	if err != nil {
		return nil, notFound(err, in.TableName)
	}
	now := time.Now()
	d.catchUp(t, now)
	return &describeOutput{Table: t.describe(now)}, nil
}

// notFound names the table, as AWS does where it is all that a request is about.
func notFound(err error, name string) error {
	var refusal *service.Error
	if errors.As(err, &refusal) && refusal.Code == "ResourceNotFoundException" {
		return service.Refuse(refusal.Code, "Requested resource not found: Table: %s not found", name)
	}
	return err
}

// deleteTable deletes at once; AWS takes a while, in which the table is DELETING.
func (d *DynamoDB) deleteTable(_ context.Context, c *service.Call, in *tableInput) (*createOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.described(c, in.TableName)
	if err != nil {
		return nil, notFound(err, in.TableName)
	}
	now := time.Now()
	if now.Before(t.active) {
		return nil, service.Refuse("ResourceInUseException", "Attempt to change a resource which is still in use: Table is being created: %s", t.name)
	}
	delete(d.tables, t.place)
	out := &createOutput{Table: t.describe(now)}
	out.Table.Status = "DELETING"
	return out, nil
}

// listTables lists up to 100 names a page (API_ListTables).
func (d *DynamoDB) listTables(_ context.Context, c *service.Call, in *listInput) (*listOutput, error) {
	most := 100
	if in.Limit != nil {
		most = *in.Limit
	}
	if most < 1 || most > 100 {
		return nil, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and 100", most)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &listOutput{Names: []string{}}
	for at := range d.tables {
		if at.account == c.Account && at.region == c.Region && at.name > in.Start {
			out.Names = append(out.Names, at.name)
		}
	}
	slices.Sort(out.Names)
	if len(out.Names) > most {
		out.Names = out.Names[:most]
		out.Last = out.Names[most-1]
	}
	return out, nil
}

// updateTimeToLive sets or clears the attribute, once an hour (API_UpdateTimeToLive). It is
// ENABLED at once, where AWS's is ENABLING for up to an hour.
func (d *DynamoDB) updateTimeToLive(_ context.Context, c *service.Call, in *ttlInput) (*ttlOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, in.TableName)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s := in.Specification
	switch {
	case s.Attribute == "" || len(s.Attribute) > 255:
		return nil, invalid("1 validation error detected: Value '%s' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member must have length between 1 and 255", s.Attribute)
	case s.Enabled && t.ttl != "":
		return nil, invalid("TimeToLive is already enabled")
	case !s.Enabled && t.ttl == "":
		return nil, invalid("TimeToLive is already disabled")
	case !s.Enabled && t.ttl != s.Attribute:
		return nil, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", t.ttl)
	case !t.ttlChanged.IsZero() && now.Before(t.ttlChanged.Add(time.Hour)):
		return nil, invalid("Time to live has been modified multiple times within a fixed interval")
	}
	t.ttl, t.ttlChanged, t.ends = "", now, index{}
	if s.Enabled {
		t.ttl = s.Attribute
		for e := range t.items.from(entry{}) {
			if at, ok := t.endOf(e.record); ok {
				t.ends.put(at)
			}
		}
	}
	return &ttlOutput{Specification: s}, nil
}

func (d *DynamoDB) describeTimeToLive(_ context.Context, c *service.Call, in *tableInput) (*describeTTLOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.described(c, in.TableName)
	if err != nil {
		return nil, notFound(err, in.TableName)
	}
	out := &describeTTLOutput{Description: ttlDescription{Status: "DISABLED"}}
	if t.ttl != "" {
		out.Description = ttlDescription{"ENABLED", t.ttl}
	}
	return out, nil
}
