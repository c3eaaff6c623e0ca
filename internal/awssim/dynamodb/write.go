package dynamodb

import (
	"context"
	"slices"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type (
	// writeInput is a write of one item, alone or in a transaction: a PutItem has an Item, an
	// UpdateItem a Key and an UpdateExpression, a DeleteItem a Key.
	writeInput struct {
		placeholders
		TableName    string  `json:"TableName"`
		Item         Item    `json:"Item"`
		Key          Item    `json:"Key"`
		Update       *string `json:"UpdateExpression"`
		Condition    *string `json:"ConditionExpression"`
		OnFailure    string  `json:"ReturnValuesOnConditionCheckFailure"` // NONE, ALL_OLD
		ReturnValues string  `json:"ReturnValues"`                        // NONE, ALL_OLD, ALL_NEW
	}
	writeOutput struct {
		Attributes Item `json:"Attributes,omitempty"`
	}
)

// writeKind is what a write does. The set is closed.
type writeKind int

const (
	put writeKind = iota + 1
	change
	remove
)

// written is a write under way.
type written struct {
	*writeInput
	kind   writeKind
	update *update   // nil: make the item if it is not there
	when   condition // nil: always

	table     *table
	key       string
	old, made Item // nil: no item
}

// prepare parses the expressions of a write.
func (in *writeInput) prepare(kind writeKind) (w *written, refusal *service.Error) {
	w = &written{writeInput: in, kind: kind}
	if w.update, refusal = parseUpdate(in.Update, &in.placeholders); refusal != nil {
		return nil, refusal
	}
	if w.when, refusal = parseCondition("ConditionExpression", in.Condition, &in.placeholders); refusal != nil {
		return nil, refusal
	}
	if !slices.Contains([]string{"", "NONE", "ALL_OLD"}, in.OnFailure) {
		return nil, invalid("1 validation error detected: Value '%s' at 'returnValuesOnConditionCheckFailure' failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, NONE]", in.OnFailure)
	}
	return w, in.finish()
}

// locate finds the item that a write is about.
func (w *written) locate(d *DynamoDB, c *service.Call) (err error) {
	if w.table, err = d.find(c, w.TableName); err != nil {
		return err
	}
	var refusal *service.Error
	if w.kind == put {
		w.key, refusal = w.table.stored(w.Item)
	} else {
		w.key, refusal = w.table.keyed(w.Key)
	}
	if refusal != nil {
		return refusal
	}
	if slices.Contains(w.update.touched(), w.table.key) {
		return badValue("Cannot update attribute %s. This attribute is part of the key", w.table.key)
	}
	w.old = w.table.items[w.key]
	return nil
}

// try works out what a write makes of its item, and does not store it.
func (w *written) try() (refusal *service.Error) {
	if w.when != nil && !w.when.holds(w.old) {
		refusal := service.Refuse("ConditionalCheckFailedException", "The conditional request failed")
		if w.OnFailure == "ALL_OLD" && w.old != nil {
			refusal.Fields = map[string]any{"Item": w.old}
		}
		return refusal
	}
	switch w.kind {
	case put:
		w.made = w.Item
	case change:
		base := w.old
		if base == nil {
			base = w.Key
		}
		if w.made, refusal = w.update.apply(base); refusal != nil {
			return refusal
		}
	case remove:
		return nil
	}
	return w.table.storable(w.made)
}

// single makes a write an operation of its own.
func (d *DynamoDB) single(kind writeKind) service.Operation {
	names := func(in *writeInput) []string {
		if kind == put {
			return d.itemNames(in.TableName, in.Item)
		}
		return d.itemNames(in.TableName, in.Key)
	}
	return operation(names, func(_ context.Context, c *service.Call, in *writeInput) (*writeOutput, error) {
		switch show := in.ReturnValues; {
		case show == "UPDATED_OLD" || show == "UPDATED_NEW":
			return nil, undone("ReturnValues " + show)
		case show != "" && show != "NONE" && show != "ALL_OLD" && (show != "ALL_NEW" || kind != change):
			return nil, invalid("Return values set to invalid value")
		}
		w, refusal := in.prepare(kind)
		if refusal != nil {
			return nil, refusal
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := w.locate(d, c); err != nil {
			return nil, err
		}
		if failure := c.Fails(w.key); failure != nil {
			return nil, service.Refuse("TransactionConflictException", "%s", failure.Message)
		}
		if refusal := w.try(); refusal != nil {
			return nil, refusal
		}
		w.table.write(w.key, w.made, time.Now())
		switch in.ReturnValues {
		case "ALL_OLD":
			return &writeOutput{w.old}, nil
		case "ALL_NEW":
			return &writeOutput{w.made}, nil
		}
		return &writeOutput{}, nil
	})
}
