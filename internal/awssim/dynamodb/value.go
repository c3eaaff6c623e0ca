package dynamodb

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Kind is the type of a value, as the wire has it. The set is closed.
type Kind string

// The kinds (API_AttributeValue).
const (
	String    Kind = "S"
	Number    Kind = "N"
	Binary    Kind = "B"
	Bool      Kind = "BOOL"
	Null      Kind = "NULL"
	StringSet Kind = "SS"
	NumberSet Kind = "NS"
	BinarySet Kind = "BS"
	List      Kind = "L"
	Map       Kind = "M"
)

// Item is an item, or its key. It must not be changed once it was stored.
type Item map[string]Value

// Value is the value of an attribute. It never changes.
//
// Maps of values are most of what a box holds and makes, so it is small: what few values have is
// behind inner.
type Value struct {
	kind  Kind
	text  string // S; B, its bytes; N, as it is written
	inner any    // of the others: bool, []string of a set, []Value, map[string]Value
}

func text(s string) Value { return Value{kind: String, text: s} }

func number(d decimal) Value { return Value{kind: Number, text: d.String()} }

func setOf(kind Kind, members []string) Value { return Value{kind: kind, inner: members} }
func listOf(elements []Value) Value           { return Value{kind: List, inner: elements} }
func mapOf(fields map[string]Value) Value     { return Value{kind: Map, inner: fields} }

// yes is what a BOOL says.
func (v Value) yes() bool {
	yes, _ := v.inner.(bool)
	return yes
}

// set is the members of a set; nil of anything else. So are list and fields.
func (v Value) set() []string {
	set, _ := v.inner.([]string)
	return set
}

func (v Value) list() []Value {
	list, _ := v.inner.([]Value)
	return list
}

func (v Value) fields() map[string]Value {
	fields, _ := v.inner.(map[string]Value)
	return fields
}

// decimal is the value of a number.
func (v Value) decimal() decimal {
	d, _ := parseDecimal(v.text) // it came from there
	return d
}

// sortable is a text that orders like the value, for those that have an order: S, N, B.
func (v Value) sortable() string {
	if v.kind == Number {
		return v.decimal().order()
	}
	return v.text
}

func (v Value) ordered() bool { return v.kind == String || v.kind == Number || v.kind == Binary }

func (v Value) isSet() bool {
	return v.kind == StringSet || v.kind == NumberSet || v.kind == BinarySet
}

// member is the kind of a set's members.
func (v Value) member() Kind { return v.kind[:1] }

// equal compares as the = of expressions does: numbers by value, sets without their order.
func (v Value) equal(w Value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case String, Binary, Number: // of which one number has one text
		return v.text == w.text
	case Bool:
		return v.yes() == w.yes()
	case Null:
		return true
	case StringSet, NumberSet, BinarySet:
		return len(v.set()) == len(w.set()) && slices.Equal(slices.Sorted(slices.Values(v.set())), slices.Sorted(slices.Values(w.set())))
	case List:
		return slices.EqualFunc(v.list(), w.list(), Value.equal)
	case Map:
		return maps.EqualFunc(v.fields(), w.fields(), Value.equal)
	}
	return false
}

// compare orders two values of one kind that has an order; ok is false for others.
func (v Value) compare(w Value) (order int, ok bool) {
	if v.kind != w.kind || !v.ordered() {
		return 0, false
	}
	return strings.Compare(v.sortable(), w.sortable()), true
}

// size is what a value counts for in an item ("DynamoDB item sizes and formats"). The number's
// is approximate there too.
func (v Value) size() int {
	switch v.kind {
	case String, Binary:
		return len(v.text)
	case Number:
		return numberSize(v.text)
	case Bool, Null:
		return 1
	case StringSet, BinarySet, NumberSet:
		n := 0
		for _, s := range v.set() {
			if v.kind == NumberSet {
				n += numberSize(s)
			} else {
				n += len(s)
			}
		}
		return n
	case List:
		n := 3
		for _, e := range v.list() {
			n += 1 + e.size()
		}
		return n
	case Map:
		n := 3
		for name, e := range v.fields() {
			n += 1 + len(name) + e.size()
		}
		return n
	}
	return 0
}

// numberSize is a byte for each two significant digits and one more, and one for a minus.
func numberSize(text string) int {
	digits := strings.Trim(strings.ReplaceAll(strings.TrimPrefix(text, "-"), ".", ""), "0")
	n := (len(digits)+1)/2 + 1
	if strings.HasPrefix(text, "-") {
		n++
	}
	return n
}

func (i Item) size() int {
	n := 0
	for name, v := range i {
		n += len(name) + v.size()
	}
	return n
}

func (i Item) plain() map[string]any {
	out := make(map[string]any, len(i))
	for name, v := range i {
		out[name] = v.plain()
	}
	return out
}

// plain is the value as one of Go's own types.
func (v Value) plain() any {
	switch v.kind {
	case String:
		return v.text
	case Number:
		return json.Number(v.text)
	case Binary:
		return []byte(v.text)
	case Bool:
		return v.yes()
	case Null:
		return nil
	case StringSet, NumberSet:
		return slices.Clone(v.set())
	case BinarySet:
		out := make([][]byte, len(v.set()))
		for i, s := range v.set() {
			out[i] = []byte(s)
		}
		return out
	case List:
		out := make([]any, len(v.list()))
		for i, e := range v.list() {
			out[i] = e.plain()
		}
		return out
	case Map:
		return Item(v.fields()).plain()
	}
	return nil
}

// key names an item of a table: by what its key attributes sort by.
type key struct{ partition, sort string }

func compareKeys(a, b key) int {
	if order := strings.Compare(a.partition, b.partition); order != 0 {
		return order
	}
	return strings.Compare(a.sort, b.sort)
}
