package dynamodb

import (
	"github.com/rescindhq/rescind/internal/awssim/service"
)

// condition is a parsed condition ("Condition and filter expressions, operators, and functions"); an
// item that is not there is an empty one. It never changes.
type condition interface {
	holds(item Item) bool
}

type (
	conjunction struct{ a, b condition }
	disjunction struct{ a, b condition }
	negation    struct{ a condition }
	grouped     struct{ condition } // in parentheses
	// comparison is by = <> < <= > >=.
	comparison struct {
		operator string
		a, b     operand
	}
	existence struct {
		attribute string
		want      bool
	}
)

func (c conjunction) holds(item Item) bool { return c.a.holds(item) && c.b.holds(item) }
func (c disjunction) holds(item Item) bool { return c.a.holds(item) || c.b.holds(item) }
func (c negation) holds(item Item) bool    { return !c.a.holds(item) }

func (c comparison) holds(item Item) bool {
	a, okA := c.a.of(item)
	b, okB := c.b.of(item)
	equal := okA && okB && a.equal(b)
	switch c.operator {
	case "=":
		return equal
	case "<>":
		return !equal // also where one is not there
	}
	order, ok := a.compare(b)
	if !ok {
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

func (c existence) holds(item Item) bool {
	_, ok := item[c.attribute]
	return ok == c.want
}

// parseCondition reads a condition; nil where there is none.
func parseCondition(what string, expression *string, s *placeholders) (condition, *service.Error) {
	return parse(what, expression, s, (*parser).or)
}

func (p *parser) or() condition {
	c := p.and()
	for p.accept("OR") {
		c = disjunction{c, p.and()}
	}
	return c
}

func (p *parser) and() condition {
	c := p.not()
	for p.accept("AND") {
		c = conjunction{c, p.not()}
	}
	return c
}

func (p *parser) not() condition {
	if p.accept("NOT") {
		return negation{p.not()}
	}
	if !p.accept("(") {
		return p.simple()
	}
	c := p.or()
	p.want(")")
	if _, twice := c.(grouped); twice {
		p.refuse("The expression has redundant parentheses;")
	}
	return grouped{c}
}

// simple reads a function or a comparison.
func (p *parser) simple() condition {
	if p.calls() {
		return p.call()
	}
	a := p.operand()
	operator := p.token
	switch operator {
	case "=", "<>", "<", "<=", ">", ">=":
	default:
		p.unexpected()
	}
	p.next()
	c := comparison{operator, a, p.operand()}
	for _, o := range []operand{c.a, c.b} {
		if operator != "=" && operator != "<>" && o.attribute == "" && !o.value.ordered() {
			p.wrongType(operator, o.value.kind)
		}
	}
	return c
}

// call reads a function that says yes or no.
func (p *parser) call() condition {
	name, given := p.function("attribute_exists", "attribute_not_exists")
	return existence{given[0].attribute, name == "attribute_exists"}
}
