package dynamodb

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxPage is the most bytes that a page reads before its filter (API_Query, API_Scan).
const maxPage = 1 << 20

type (
	// paged is embedded by Query and Scan.
	paged struct {
		addressed
		expressing
		wanted
		Index      string         `json:"IndexName"`
		Filter     *string        `json:"FilterExpression"`
		Projection *string        `json:"ProjectionExpression"`
		Select     string         `json:"Select"`
		Consistent bool           `json:"ConsistentRead"`
		Limit      *int           `json:"Limit"`
		Start      Item           `json:"ExclusiveStartKey"`
		Legacy     jsontext.Value `json:"AttributesToGet"`
	}
	queryInput struct {
		paged
		KeyCondition *string        `json:"KeyConditionExpression"`
		Forward      *bool          `json:"ScanIndexForward"`
		Conditions   jsontext.Value `json:"KeyConditions"`
		LegacyFilter jsontext.Value `json:"QueryFilter"`
	}
	scanInput struct {
		paged
		Segments     *int           `json:"TotalSegments"`
		LegacyFilter jsontext.Value `json:"ScanFilter"`
	}
	pageOutput struct {
		Items    []Item    `json:"Items,omitempty"`
		Count    int       `json:"Count"`
		Scanned  int       `json:"ScannedCount"`
		Last     Item      `json:"LastEvaluatedKey,omitempty"`
		Consumed *consumed `json:"ConsumedCapacity,omitempty"`
	}
)

// span is what a query looks at: one partition, from low up to, and without, high.
type span struct {
	partition string
	low, high string
	open      bool // there is no high
}

// query reads a partition of a table or an index in the order of its sort key.
func (d *DynamoDB) query(_ context.Context, c *service.Call, in *queryInput) (*pageOutput, error) {
	if len(in.Conditions) > 0 || len(in.LegacyFilter) > 0 {
		return nil, unsupported("A legacy parameter (KeyConditions, QueryFilter)")
	}
	if in.KeyCondition == nil {
		return nil, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	s := in.scope()
	when, refusal := parseCondition("KeyConditionExpression", in.KeyCondition, s)
	if refusal != nil {
		return nil, refusal
	}
	g, refusal := in.parse(s)
	if refusal != nil {
		return nil, refusal
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := g.open(d, c); err != nil {
		return nil, err
	}
	look, refusal := g.span(when)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := g.filterless(); refusal != nil {
		return nil, refusal
	}
	start, refusal := g.start()
	if refusal != nil {
		return nil, refusal
	}
	if start != nil && (start.partition != look.partition || start.sort < look.low || !look.open && start.sort >= look.high) {
		return nil, invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	return g.read(look.entries(g.entries, start, in.Forward == nil || *in.Forward)), nil
}

// entries goes through a span, after start where there is one.
func (look span) entries(x *index, start *entry, forward bool) iter.Seq[entry] {
	in := func(e entry) bool {
		return e.partition == look.partition && e.sort >= look.low && (look.open || e.sort < look.high)
	}
	all := x.from(entry{key: key{look.partition, look.low}})
	switch {
	case forward && start != nil:
		all = x.from(start.next())
	case !forward && start != nil:
		all = x.before(*start)
	case !forward && look.open:
		all = x.before(entry{key: key{partition: look.partition + "\x00"}})
	case !forward:
		all = x.before(entry{key: key{look.partition, look.high}})
	}
	return func(yield func(entry) bool) {
		for e := range all {
			if !in(e) || !yield(e) {
				return
			}
		}
	}
}

// next is the first place after an entry.
func (e entry) next() entry {
	e.primary += "\x00"
	return e
}

// scan reads a whole table or index.
func (d *DynamoDB) scan(_ context.Context, c *service.Call, in *scanInput) (*pageOutput, error) {
	if len(in.LegacyFilter) > 0 {
		return nil, unsupported("The legacy parameter ScanFilter")
	}
	if in.Segments != nil && *in.Segments > 1 {
		return nil, unsupported("A scan of more than one segment")
	}
	g, refusal := in.parse(in.scope())
	if refusal != nil {
		return nil, refusal
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := g.open(d, c); err != nil {
		return nil, err
	}
	start, refusal := g.start()
	if refusal != nil {
		return nil, refusal
	}
	var from entry
	if start != nil {
		from = start.next()
	}
	return g.read(g.entries.from(from)), nil
}

// gathering is a query or a scan under way.
type gathering struct {
	*paged
	filter condition
	paths  []path

	table   *table
	index   *secondary // nil: the table itself
	keys    schema
	entries *index
}

// parse reads and checks all that needs no table.
func (in *paged) parse(s *scope) (g *gathering, refusal *service.Error) {
	g = &gathering{paged: in}
	if g.filter, refusal = parseCondition("FilterExpression", in.Filter, s); refusal != nil {
		return nil, refusal
	}
	if g.paths, refusal = projection(in.Projection, s); refusal != nil {
		return nil, refusal
	}
	if refusal := s.finish(); refusal != nil {
		return nil, refusal
	}
	switch {
	case len(in.Legacy) > 0:
		return nil, unsupported("The legacy parameter AttributesToGet")
	case in.Limit != nil && *in.Limit < 1:
		return nil, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *in.Limit)
	case in.Index != "" && in.Consistent:
		return nil, invalid("Consistent reads are not supported on global secondary indexes")
	case in.Projection != nil && in.Select != "" && in.Select != "SPECIFIC_ATTRIBUTES":
		return nil, invalid("Cannot specify the ProjectionExpression when choosing to get %s", in.Select)
	case in.Projection == nil && in.Select == "SPECIFIC_ATTRIBUTES":
		return nil, invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
	case in.Index == "" && in.Select == "ALL_PROJECTED_ATTRIBUTES":
		return nil, invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	case !slices.Contains([]string{"", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"}, in.Select):
		return nil, invalid("1 validation error detected: Value '%s' at 'select' failed to satisfy constraint", in.Select)
	}
	return g, in.checked()
}

// open finds the table and the index.
func (g *gathering) open(d *DynamoDB, c *service.Call) (err error) {
	if g.table, err = d.find(c, g.TableName); err != nil {
		return err
	}
	g.keys, g.entries = g.table.schema, &g.table.items
	if g.Index == "" {
		return nil
	}
	x, refusal := g.table.index(g.Index)
	if refusal != nil {
		return refusal
	}
	g.index, g.keys, g.entries = x, x.schema, &x.entries
	if x.projection.Type == "ALL" {
		return nil
	}
	if g.Select == "ALL_ATTRIBUTES" {
		return badValue("Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", x.name)
	}
	held := slices.Concat(g.table.names(), x.names(), x.projection.Include)
	for _, p := range g.paths {
		if !slices.Contains(held, p[0].name) {
			return badValue("Global secondary index %s does not project [%s]", x.name, p[0].name)
		}
	}
	return nil
}

// start reads the ExclusiveStartKey; nil where there is none. What it names need not be there.
func (g *gathering) start() (*entry, *service.Error) {
	if g.Start == nil {
		return nil, nil
	}
	names := g.startNames()
	for name := range names {
		if v, ok := g.Start[name]; !ok || v.kind != g.table.kinds[name] {
			return nil, invalid("The provided starting key is invalid")
		}
	}
	if len(names) != len(g.Start) {
		return nil, invalid("The provided starting key is invalid")
	}
	k, _ := g.keys.keyOf(g.Start)
	e := &entry{key: k}
	if g.index != nil {
		primary, _ := g.table.keyOf(g.Start)
		e.primary = primary.whole()
	}
	return e, nil
}

// startNames are the attributes of an ExclusiveStartKey: of an index, its keys and the table's.
func (g *gathering) startNames() map[string]bool {
	names := map[string]bool{}
	for _, name := range slices.Concat(g.table.names(), g.keys.names()) {
		names[name] = true
	}
	return names
}

// read makes a page: of Limit items, or a megabyte, before the filter.
func (g *gathering) read(entries iter.Seq[entry]) *pageOutput {
	out := &pageOutput{Items: []Item{}}
	size := 0
	for e := range entries {
		item, n := e.record.item, e.record.size
		if g.index != nil && g.index.projection.Type != "ALL" {
			item = g.table.projected(g.index, item)
			n = item.size()
		}
		size += n
		out.Scanned++
		if g.filter == nil || g.filter.holds(item, g.Values) {
			out.Count++
			out.Items = append(out.Items, project(item, g.paths))
		}
		if g.Limit != nil && out.Scanned >= *g.Limit || size >= maxPage {
			out.Last = maps.Clone(item)
			names := g.startNames()
			maps.DeleteFunc(out.Last, func(name string, _ Value) bool { return !names[name] })
			break
		}
	}
	if g.Select == "COUNT" {
		out.Items = nil
	}
	out.Consumed = g.tell(g.table, readUnits(size, g.Consistent))
	return out
}
