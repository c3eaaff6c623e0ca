package dynamodb

import (
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Kind is the type of a value, as the wire has it. The set is closed.
type Kind string

// The kinds that the simulator does (API_AttributeValue).
const (
	String Kind = "S"
	Number Kind = "N"
	Binary Kind = "B"
	List   Kind = "L"
)

// Item is an item, or its key. It must not be changed once it was stored.
type Item map[string]Value

// Value is the value of an attribute. It never changes.
type Value struct {
	kind Kind
	text string  // S; B, its bytes; N, as readNumber writes it
	list []Value // L
}

// equal compares as the = of expressions does. Of numbers, one has one text.
func (v Value) equal(w Value) bool {
	return v.kind == w.kind && v.text == w.text && slices.EqualFunc(v.list, w.list, Value.equal)
}

func (v Value) ordered() bool { return v.kind == String || v.kind == Number || v.kind == Binary }

// compare orders two values of one kind that has an order; ok is false for others.
func (v Value) compare(w Value) (order int, ok bool) {
	switch {
	case v.kind != w.kind || !v.ordered():
		return 0, false
	case v.kind == Number:
		return v.integer().Cmp(w.integer()), true
	}
	return strings.Compare(v.text, w.text), true
}

func (v Value) integer() *big.Int {
	n, _ := new(big.Int).SetString(v.text, 10) // readNumber wrote it
	return n
}

// plus adds to a number, or subtracts from it.
func (v Value) plus(w Value, sign string) (Value, *service.Error) {
	n := w.integer()
	if sign == "-" {
		n.Neg(n)
	}
	text, refusal := readNumber(n.Add(v.integer(), n).String())
	return Value{kind: Number, text: text}, refusal
}

// maxDigits and maxMagnitude bound numbers ("Supported data types and naming rules", Number).
const maxDigits, maxMagnitude = 38, 126

// readNumber brings a whole number into the form that every number has one of.
func readNumber(given string) (string, *service.Error) {
	digits := strings.TrimPrefix(given, "-")
	if digits == given {
		digits = strings.TrimPrefix(given, "+")
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		if _, err := strconv.ParseFloat(given, 64); err == nil || strings.ContainsAny(given, "eE.") {
			return "", undone("the number " + given + ", which has a fraction or an exponent")
		}
		return "", invalid("The parameter cannot be converted to a numeric value: %s", given)
	}
	digits = strings.TrimLeft(digits, "0")
	switch {
	case digits == "":
		return "0", nil
	case len(strings.TrimRight(digits, "0")) > maxDigits:
		return "", invalid("Attempting to store more than 38 significant digits in a Number")
	case len(digits) > maxMagnitude:
		return "", invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case given[0] == '-':
		return "-" + digits, nil
	}
	return digits, nil
}

// size is what a value counts for in an item ("DynamoDB item sizes and formats"). The number's is
// approximate there too: a byte for each two significant digits and one more, and one for a minus.
func (v Value) size() int {
	switch v.kind {
	case String, Binary:
		return len(v.text)
	case Number:
		digits := strings.TrimPrefix(v.text, "-")
		return (len(strings.TrimRight(digits, "0"))+1)/2 + 1 + len(v.text) - len(digits)
	case List:
		n := 3
		for _, e := range v.list {
			n += 1 + e.size()
		}
		return n
	}
	return 0
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
	case List:
		out := make([]any, len(v.list))
		for i, e := range v.list {
			out[i] = e.plain()
		}
		return out
	}
	return nil
}
