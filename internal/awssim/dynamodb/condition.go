package dynamodb

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// condition is a parsed condition ("Condition and filter expressions, operators, and
// functions"); an item that is not there is an empty one. It never changes: the values of its
// placeholders are given to it each time.
type condition interface {
	holds(item, values Item) bool
}

type (
	both    struct{ a, b condition }
	either  struct{ a, b condition }
	negated struct{ a condition }
	// compared is a comparison by = <> < <= > >=.
	compared struct {
		operator string
		a, b     operand
	}
	between struct{ a, low, high operand }
	oneOf   struct {
		a    operand
		list []operand
	}
	// called is a function that says yes or no.
	called struct {
		function string
		of       operand
		with     operand // the second argument, where there is one
	}
)

// operand is a path or the placeholder of a value, or the size of one.
type operand struct {
	path        path
	placeholder string
	size        bool
}

// of is what an operand stands for in an item.
func (o operand) of(item, values Item) (Value, bool) {
	var v Value
	ok := true
	if o.path != nil {
		v, ok = o.path.find(item)
	} else {
		v = values[o.placeholder]
	}
	if !o.size || !ok {
		return v, ok
	}
	n, ok := length(v)
	if !ok {
		return Value{}, false
	}
	return number(whole(n)), true
}

// length is what size() says: of a text, its letters (that AWS counts bytes instead is not
// documented), of anything else bytes or members; numbers and booleans have none.
func length(v Value) (int, bool) {
	switch v.kind {
	case String:
		return utf8.RuneCountInString(v.text), true
	case Binary:
		return len(v.text), true
	case StringSet, NumberSet, BinarySet:
		return len(v.set()), true
	case List:
		return len(v.list()), true
	case Map:
		return len(v.fields()), true
	case Number, Bool, Null:
	}
	return 0, false
}

func (c both) holds(item, values Item) bool {
	return c.a.holds(item, values) && c.b.holds(item, values)
}

func (c either) holds(item, values Item) bool {
	return c.a.holds(item, values) || c.b.holds(item, values)
}

func (c negated) holds(item, values Item) bool { return !c.a.holds(item, values) }

func (c compared) holds(item, values Item) bool {
	a, okA := c.a.of(item, values)
	b, okB := c.b.of(item, values)
	equal := okA && okB && a.equal(b)
	switch c.operator {
	case "=":
		return equal
	case "<>":
		return !equal // also where one is not there
	}
	order, ok := a.compare(b)
	if !ok || !okA || !okB {
		return false
	}
	switch c.operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}

func (c between) holds(item, values Item) bool {
	return compared{">=", c.a, c.low}.holds(item, values) && compared{"<=", c.a, c.high}.holds(item, values)
}

func (c oneOf) holds(item, values Item) bool {
	return slices.ContainsFunc(c.list, func(o operand) bool { return compared{"=", c.a, o}.holds(item, values) })
}

func (c called) holds(item, values Item) bool {
	v, ok := c.of.of(item, values)
	switch c.function {
	case "attribute_exists":
		return ok
	case "attribute_not_exists":
		return !ok
	}
	with, there := c.with.of(item, values)
	if !ok || !there {
		return false
	}
	switch c.function {
	case "attribute_type":
		return string(v.kind) == with.text
	case "begins_with":
		return v.kind == with.kind && (v.kind == String || v.kind == Binary) && strings.HasPrefix(v.text, with.text)
	default:
		return contains(v, with)
	}
}

// contains is the function of that name: part of a text, member of a set or a list.
func contains(v, with Value) bool {
	switch {
	case v.kind == String || v.kind == Binary:
		return with.kind == v.kind && strings.Contains(v.text, with.text)
	case v.isSet():
		return with.kind == v.member() && slices.Contains(v.set(), with.text)
	case v.kind == List:
		return slices.ContainsFunc(v.list(), with.equal)
	}
	return false
}

// parseCondition reads a condition; nil where there is none.
func parseCondition(what string, expression *string, s *scope) (condition, *service.Error) {
	return parsed(what, expression, s, func(p *parser) (condition, *service.Error) {
		c, _, err := p.or()
		if err != nil {
			return nil, err
		}
		return c, p.end()
	})
}

// or reads what OR joins; wrapped says that it was in parentheses altogether.
func (p *parser) or() (c condition, wrapped bool, err *service.Error) {
	if c, wrapped, err = p.and(); err != nil {
		return nil, false, err
	}
	for p.accept("OR") {
		next, _, err := p.and()
		if err != nil {
			return nil, false, err
		}
		c, wrapped = either{c, next}, false
	}
	return c, wrapped, nil
}

func (p *parser) and() (c condition, wrapped bool, err *service.Error) {
	if c, wrapped, err = p.not(); err != nil {
		return nil, false, err
	}
	for p.accept("AND") {
		next, _, err := p.not()
		if err != nil {
			return nil, false, err
		}
		c, wrapped = both{c, next}, false
	}
	return c, wrapped, nil
}

func (p *parser) not() (c condition, wrapped bool, err *service.Error) {
	if p.accept("NOT") {
		if c, _, err = p.not(); err != nil {
			return nil, false, err
		}
		return negated{c}, false, nil
	}
	if !p.accept("(") {
		c, err = p.simple()
		return c, false, err
	}
	if c, wrapped, err = p.or(); err != nil {
		return nil, false, err
	}
	if err := p.want(")"); err != nil {
		return nil, false, err
	}
	if wrapped {
		return nil, false, p.refuse("The expression has redundant parentheses;")
	}
	return c, true, nil
}

// arguments is how many each function of conditions takes.
var arguments = map[string]int{
	"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2,
}

// simple reads a function or a comparison.
func (p *parser) simple() (condition, *service.Error) {
	if t := p.peek(); t.kind == wordToken && p.tokens[p.at+1].is("(") && t.text != "size" {
		return p.function()
	}
	a, err := p.operand()
	if err != nil {
		return nil, err
	}
	switch t := p.take(); {
	case t.is("BETWEEN"):
		return p.between(a)
	case t.is("IN"):
		return p.in(a)
	case t.kind == signToken && strings.ContainsAny(t.text, "=<>"):
		b, err := p.operand()
		if err != nil {
			return nil, err
		}
		if t.text != "=" && t.text != "<>" {
			if err := p.comparable(t.text, a, b); err != nil {
				return nil, err
			}
		}
		return compared{t.text, a, b}, nil
	default:
		return nil, p.unexpected(t)
	}
}

// comparable refuses values that have no order.
func (p *parser) comparable(operator string, operands ...operand) *service.Error {
	for _, o := range operands {
		if v := p.valueOf(o); o.path == nil && !o.size && !v.ordered() {
			return p.wrongType(operator, v.kind)
		}
	}
	return nil
}

func (p *parser) wrongType(operator string, kind Kind) *service.Error {
	return p.refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", operator, kind)
}

func (p *parser) between(a operand) (condition, *service.Error) {
	low, err := p.operand()
	if err != nil {
		return nil, err
	}
	if err := p.want("AND"); err != nil {
		return nil, err
	}
	high, err := p.operand()
	if err != nil {
		return nil, err
	}
	if err := p.comparable("BETWEEN", a, low, high); err != nil {
		return nil, err
	}
	if low.path == nil && high.path == nil && !low.size && !high.size {
		p.uses.exact = true
		low, high := p.valueOf(low), p.valueOf(high)
		if order, ok := low.compare(high); !ok {
			return nil, p.refuse("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {%s}, upper bound operand: AttributeValue: {%s}", low.kind, high.kind)
		} else if order > 0 {
			return nil, p.refuse("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {%[1]s:%[2]s}, upper bound operand: AttributeValue: {%[1]s:%[3]s}", low.kind, low.text, high.text)
		}
	}
	return between{a, low, high}, nil
}

// maxIn is the most operands of IN ("Quotas", expression parameters).
const maxIn = 100

func (p *parser) in(a operand) (condition, *service.Error) {
	if err := p.want("("); err != nil {
		return nil, err
	}
	c := oneOf{a: a}
	for {
		o, err := p.operand()
		if err != nil {
			return nil, err
		}
		c.list = append(c.list, o)
		if !p.accept(",") {
			break
		}
	}
	if len(c.list) > maxIn {
		return nil, p.refuse("The IN operator is provided with too many operands; number of operands: %d", len(c.list))
	}
	return c, p.want(")")
}

// operand reads a path, a value, or size of either.
func (p *parser) operand() (o operand, err *service.Error) {
	t := p.peek()
	switch {
	case t.kind == valueToken:
		o.placeholder, err = p.value()
	case t.kind == wordToken && p.tokens[p.at+1].is("("):
		if t.text != "size" {
			if _, known := arguments[t.text]; known {
				return o, p.refuse("The function is not allowed to be used this way in an expression; function: %s", t.text)
			}
			return o, p.refuse("Invalid function name; function: %s", t.text)
		}
		p.at += 2
		if o, err = p.operand(); err != nil {
			return o, err
		}
		if o.size {
			return o, p.refuse("The function is not allowed to be used this way in an expression; function: size")
		}
		o.size = true
		v := p.valueOf(o)
		if _, ok := length(v); o.path == nil && !ok {
			return o, p.wrongType("size", v.kind)
		}
		err = p.want(")")
	default:
		o.path, err = p.path()
	}
	return o, err
}

// function reads a function that says yes or no.
func (p *parser) function() (condition, *service.Error) {
	c := called{function: p.take().text}
	want, known := arguments[c.function]
	if !known {
		if c.function == "if_not_exists" || c.function == "list_append" {
			return nil, p.refuse("The function is not allowed in a condition expression; function: %s", c.function)
		}
		return nil, p.refuse("Invalid function name; function: %s", c.function)
	}
	p.at++ // the parenthesis
	var given []operand
	for {
		o, err := p.operand()
		if err != nil {
			return nil, err
		}
		given = append(given, o)
		if !p.accept(",") {
			break
		}
	}
	if err := p.want(")"); err != nil {
		return nil, err
	}
	if len(given) != want {
		return nil, p.refuse("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", c.function, len(given))
	}
	c.of = given[0]
	if want == 2 {
		c.with = given[1]
	}
	return c, p.checkCall(c)
}

// checkCall refuses arguments that a function cannot have.
func (p *parser) checkCall(c called) *service.Error {
	constant := c.with.path == nil && !c.with.size
	with := p.valueOf(c.with)
	p.uses.exact = p.uses.exact || c.function == "attribute_type"
	switch c.function {
	case "attribute_exists", "attribute_not_exists", "attribute_type":
		if c.of.path == nil || c.of.size {
			return p.refuse("Operator or function requires a document path; operator or function: %s", c.function)
		}
	}
	switch {
	case c.function == "begins_with" && constant && with.kind != String && with.kind != Binary:
		return p.wrongType("begins_with", with.kind)
	case c.function == "attribute_type" && (!constant || with.kind != String):
		return p.wrongType("attribute_type", with.kind)
	case c.function == "attribute_type" && !slices.Contains(kinds, Kind(with.text)):
		return p.refuse("Invalid attribute type name found; type: %s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", with.text)
	}
	return nil
}

var kinds = []Kind{String, Number, Binary, Bool, Null, StringSet, NumberSet, BinarySet, List, Map}
