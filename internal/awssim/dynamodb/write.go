package dynamodb

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// guarded is embedded by every write that may depend on a condition.
type guarded struct {
	expressing
	Condition *string `json:"ConditionExpression"`
	OnFailure string  `json:"ReturnValuesOnConditionCheckFailure"` // NONE, ALL_OLD
}

// legacy is embedded by single writes: parameters that AWS keeps for old programs.
type legacy struct {
	Expected jsontext.Value `json:"Expected"`
	Operator jsontext.Value `json:"ConditionalOperator"`
	Updates  jsontext.Value `json:"AttributeUpdates"`
}

func (l *legacy) refused() *service.Error {
	if len(l.Expected) > 0 || len(l.Operator) > 0 || len(l.Updates) > 0 {
		return unsupported("A legacy parameter (Expected, ConditionalOperator, AttributeUpdates)")
	}
	return nil
}

type (
	putInput struct {
		addressed
		guarded
		legacy
		wanted
		Item         Item   `json:"Item"`
		ReturnValues string `json:"ReturnValues"`
	}
	deleteInput struct {
		addressed
		guarded
		legacy
		wanted
		Key          Item   `json:"Key"`
		ReturnValues string `json:"ReturnValues"`
	}
	updateInput struct {
		addressed
		guarded
		legacy
		wanted
		Key          Item    `json:"Key"`
		Update       *string `json:"UpdateExpression"`
		ReturnValues string  `json:"ReturnValues"`
	}
	writeOutput struct {
		Attributes Item      `json:"Attributes,omitempty"`
		Consumed   *consumed `json:"ConsumedCapacity,omitempty"`
	}
)

func (in *updateInput) keyGiven() Item { return in.Key }
func (in *deleteInput) keyGiven() Item { return in.Key }

// keyItem names a request by the key that it gives.
func keyItem[I any, P interface {
	*I
	keyGiven() Item
}](in *I,
) []string {
	return []string{nameOf(P(in).keyGiven(), nil)}
}

// nameOf is what faults and the history call an item: the values of its key. Names are those of
// the key's attributes, where they are known; otherwise all, in their order.
func nameOf(item Item, names []string) string {
	if names == nil {
		for name := range item {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = item[name].text
	}
	return strings.Join(parts, "|")
}

// written is one write, or a mere check, of whatever operation.
type written struct {
	guarded
	kind   writeKind
	item   Item      // put
	given  Item      // the key; others
	update *update   // updated; nil: make the item if it is not there
	when   condition // nil: always
}

// writeKind is what a write does. The set is closed.
type writeKind int

const (
	put writeKind = iota + 1
	updated
	removed
	checked
)

// prepare parses the expressions of a write, unless they are known.
func (w *written) prepare(known *expressions, expression *string) (refusal *service.Error) {
	switch w.OnFailure {
	case "", "NONE", "ALL_OLD":
	default:
		return invalid("1 validation error detected: Value '%s' at 'returnValuesOnConditionCheckFailure' failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, NONE]", w.OnFailure)
	}
	s := w.scope()
	s.known = known
	if w.update, refusal = parseUpdate(expression, s); refusal != nil {
		return refusal
	}
	if w.when, refusal = parseCondition("ConditionExpression", w.Condition, s); refusal != nil {
		return refusal
	}
	return s.finish()
}

// locate returns the key of the item that a write is about.
func (w *written) locate(t *table) (key, *service.Error) {
	if w.kind == put {
		return t.stored(w.item)
	}
	if w.update != nil {
		for _, p := range w.update.paths() {
			if slices.Contains(t.names(), p[0].name) {
				return key{}, badValue("Cannot update attribute %s. This attribute is part of the key", p[0].name)
			}
		}
	}
	return t.keyed(w.given)
}

// try works out what a write makes of what is stored under the key that it was located at, nil
// for nothing, and does not store it.
func (w *written) try(t *table, k key, old *record) (made *record, _ *service.Error) {
	var was Item
	if old != nil {
		was = old.item
	}
	if w.when != nil && !w.when.holds(was, w.Values) {
		if w.OnFailure == "ALL_OLD" {
			return nil, unmet(was)
		}
		return nil, unmet(nil)
	}
	switch w.kind {
	case put:
		return t.recordOf(w.item, k, old)
	case updated:
		base := was
		if base == nil {
			base = w.given
		}
		if w.update == nil {
			return t.recordOf(base, k, old)
		}
		item, refusal := w.update.apply(base, w.Values)
		if refusal != nil {
			return nil, refusal
		}
		return t.recordOf(item, k, old)
	case removed:
		return nil, nil
	case checked:
	}
	return old, nil
}

// effect is what a write that is a request of its own has done.
type effect struct {
	old, made *record
	cost      *consumed // nil where it was not asked for
}

// single does a write that is a request of its own.
func (d *DynamoDB) single(c *service.Call, name string, w *written, expression *string, ask *wanted) (*effect, error) {
	if refusal := w.prepare(&d.known, expression); refusal != nil {
		return nil, refusal
	}
	if refusal := ask.checked(); refusal != nil {
		return nil, refusal
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, err := d.find(c, name)
	if err != nil {
		return nil, err
	}
	k, refusal := w.locate(t)
	if refusal != nil {
		return nil, refusal
	}
	if failure := c.Fails(w.name(t)); failure != nil {
		return nil, service.Refuse("TransactionConflictException", "%s", failure.Message)
	}
	e := &effect{old: t.get(k)}
	if e.made, refusal = w.try(t, k, e.old); refusal != nil {
		return nil, refusal
	}
	t.write(e.old, e.made, time.Now())
	if ask.asked() {
		e.cost = ask.tell(t, t.writeUnits(e.old, e.made))
	}
	return e, nil
}

// name is what faults and the history call the item of a write.
func (w *written) name(t *table) string {
	if w.kind == put {
		return nameOf(w.item, t.sortedNames())
	}
	return nameOf(w.given, nil)
}

// returns checks ReturnValues against what an operation knows.
func returns(asked string, known ...string) *service.Error {
	if asked == "" || asked == "NONE" || slices.Contains(known, asked) {
		return nil
	}
	return invalid("Return values set to invalid value")
}

func (d *DynamoDB) putItem(_ context.Context, c *service.Call, in *putInput) (*writeOutput, error) {
	if refusal := in.refused(); refusal != nil {
		return nil, refusal
	}
	if refusal := returns(in.ReturnValues, "ALL_OLD"); refusal != nil {
		return nil, refusal
	}
	e, err := d.single(c, in.TableName, &written{guarded: in.guarded, kind: put, item: in.Item}, nil, &in.wanted)
	if err != nil {
		return nil, err
	}
	return answer(in.ReturnValues, e), nil
}

func (d *DynamoDB) deleteItem(_ context.Context, c *service.Call, in *deleteInput) (*writeOutput, error) {
	if refusal := in.refused(); refusal != nil {
		return nil, refusal
	}
	if refusal := returns(in.ReturnValues, "ALL_OLD"); refusal != nil {
		return nil, refusal
	}
	e, err := d.single(c, in.TableName, &written{guarded: in.guarded, kind: removed, given: in.Key}, nil, &in.wanted)
	if err != nil {
		return nil, err
	}
	return answer(in.ReturnValues, e), nil
}

func answer(asked string, e *effect) *writeOutput {
	out := &writeOutput{Consumed: e.cost}
	if asked == "ALL_OLD" && e.old != nil {
		out.Attributes = e.old.item
	}
	return out
}

func (d *DynamoDB) updateItem(_ context.Context, c *service.Call, in *updateInput) (*writeOutput, error) {
	if refusal := in.refused(); refusal != nil {
		return nil, refusal
	}
	if refusal := returns(in.ReturnValues, "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"); refusal != nil {
		return nil, refusal
	}
	w := &written{guarded: in.guarded, kind: updated, given: in.Key}
	e, err := d.single(c, in.TableName, w, in.Update, &in.wanted)
	if err != nil {
		return nil, err
	}
	shown := e.made
	if strings.HasSuffix(in.ReturnValues, "_OLD") {
		shown = e.old
	}
	out := &writeOutput{Consumed: e.cost}
	switch {
	case in.ReturnValues == "" || in.ReturnValues == "NONE" || shown == nil:
	case strings.HasPrefix(in.ReturnValues, "ALL_"):
		out.Attributes = shown.item
	case w.update != nil:
		out.Attributes = project(shown.item, w.update.paths())
	}
	return out, nil
}

// putName names a PutItem by its item's key.
func (d *DynamoDB) putName(in *putInput) []string {
	return []string{nameOf(in.Item, d.keyNames(in.TableName))}
}

// keyNames returns the names of the key attributes of a table, sorted. A request that is not
// yet known by account and region is named by any table of its name.
func (d *DynamoDB) keyNames(name string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	name, _ = tableNamed(name)
	for at, t := range d.tables {
		if at.name == name {
			return t.sortedNames()
		}
	}
	return []string{}
}

func (s schema) sortedNames() []string { return slices.Sorted(slices.Values(s.names())) }
