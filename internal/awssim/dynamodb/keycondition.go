package dynamodb

import (
	"slices"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// span makes a key condition what it asks for: the partition key equal to a value and, if
// anything more, one comparison of the sort key ("Key condition expressions for the Query
// operation").
func (g *gathering) span(when condition) (look span, _ *service.Error) {
	var hash, sort condition
	for _, part := range conjuncts(when) {
		name, ok := subject(part)
		switch {
		case !ok:
			return look, g.badCondition("Query key condition not supported")
		case name == g.keys.hash && hash == nil:
			hash = part
		case name == g.keys.sort && sort == nil:
			sort = part
		case name == g.keys.hash || name == g.keys.sort:
			return look, g.badCondition("KeyConditionExpressions must only contain one condition per key")
		default:
			return look, invalid("Query condition missed key schema element: %s", g.missed(hash))
		}
	}
	equal, is := hash.(compared)
	if hash == nil {
		return look, invalid("Query condition missed key schema element: %s", g.keys.hash)
	}
	if !is || equal.operator != "=" {
		return look, invalid("Query key condition not supported")
	}
	if refusal := g.typed(g.keys.hash, g.value(equal.b)); refusal != nil {
		return look, refusal
	}
	look = span{partition: partition(g.value(equal.b)), open: true}
	if sort == nil {
		return look, nil
	}
	return look, g.narrow(&look, sort)
}

// value is what the request gives for a placeholder.
func (g *gathering) value(o operand) Value { return g.Values[o.placeholder] }

func (g *gathering) missed(hash condition) string {
	if hash != nil && g.keys.sort != "" {
		return g.keys.sort
	}
	return g.keys.hash
}

func (g *gathering) badCondition(text string) *service.Error {
	return invalid("Invalid KeyConditionExpression: %s", text)
}

// narrow cuts a span to what the sort key must be.
func (g *gathering) narrow(look *span, sort condition) *service.Error {
	var values []Value
	bound := func(low, high string, open bool) { look.low, look.high, look.open = low, high, open }
	const after = "\x00" // the next text after one is that and this
	switch c := sort.(type) {
	case compared:
		values = []Value{g.value(c.b)}
		at := values[0].sortable()
		switch c.operator {
		case "=":
			bound(at, at+after, false)
		case "<":
			bound("", at, false)
		case "<=":
			bound("", at+after, false)
		case ">":
			bound(at+after, "", true)
		case ">=":
			bound(at, "", true)
		default:
			return invalid("Unsupported operator on KeyCondition: operator: %s", c.operator)
		}
	case between:
		values = []Value{g.value(c.low), g.value(c.high)}
		bound(values[0].sortable(), values[1].sortable()+after, false)
	case called:
		if g.table.kinds[g.keys.sort] == Number {
			return g.badCondition("Incorrect operand type for operator or function; operator or function: begins_with, operand type: N")
		}
		values = []Value{g.value(c.with)}
		prefix := values[0].text
		high, ok := successor(prefix)
		bound(prefix, high, !ok)
	}
	for _, v := range values {
		if refusal := g.typed(g.keys.sort, v); refusal != nil {
			return refusal
		}
	}
	return nil
}

// successor is the first text after all that begin with a prefix; ok is false where there is
// none.
func successor(prefix string) (_ string, ok bool) {
	b := []byte(prefix)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return "", false
	}
	b[len(b)-1]++
	return string(b), true
}

// typed refuses a value that a key cannot have.
func (g *gathering) typed(name string, v Value) *service.Error {
	if v.kind != g.table.kinds[name] {
		return badValue("Condition parameter type does not match schema type")
	}
	if v.text == "" {
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
	}
	return nil
}

// conjuncts are what AND joins.
func conjuncts(c condition) []condition {
	if b, is := c.(both); is {
		return append(conjuncts(b.a), conjuncts(b.b)...)
	}
	return []condition{c}
}

// subject is the attribute that a part of a key condition is about: a bare name, compared with
// values alone.
func subject(c condition) (name string, ok bool) {
	var of operand
	var values []operand
	switch c := c.(type) {
	case compared:
		of, values = c.a, []operand{c.b}
	case between:
		of, values = c.a, []operand{c.low, c.high}
	case called:
		if c.function != "begins_with" {
			return "", false
		}
		of, values = c.of, []operand{c.with}
	default:
		return "", false
	}
	if len(of.path) != 1 || of.size || slices.ContainsFunc(values, func(o operand) bool { return o.path != nil || o.size }) {
		return "", false
	}
	return of.path[0].name, true
}

// filterless refuses a filter on a key, which a query's condition has to say.
func (g *gathering) filterless() *service.Error {
	var refusal *service.Error
	mention(g.filter, func(p path) {
		if slices.Contains(g.keys.names(), p[0].name) {
			refusal = invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", p[0].name)
		}
	})
	return refusal
}

// mention tells of every path in a condition.
func mention(c condition, of func(path)) {
	operands := func(all ...operand) {
		for _, o := range all {
			if o.path != nil {
				of(o.path)
			}
		}
	}
	switch c := c.(type) {
	case both:
		mention(c.a, of)
		mention(c.b, of)
	case either:
		mention(c.a, of)
		mention(c.b, of)
	case negated:
		mention(c.a, of)
	case compared:
		operands(c.a, c.b)
	case between:
		operands(c.a, c.low, c.high)
	case oneOf:
		operands(append(c.list, c.a)...)
	case called:
		operands(c.of, c.with)
	}
}
