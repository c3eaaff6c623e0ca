package dynamodb

import (
	"maps"
	"slices"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// update is a parsed update expression ("Update expressions"). It never changes.
type update struct {
	sets    []set
	adds    []add
	removes []string
}

type (
	// set gives an attribute a term, or the sum or difference of two.
	set struct {
		attribute string
		a         term
		sign      string // "", "+", "-"
		b         term
	}
	// term is an operand, or if_not_exists of an attribute and one.
	term struct {
		first string // the attribute; "" for none
		operand
	}
	add struct {
		attribute string
		by        Value // a number
	}
)

func (t term) from(item Item) (Value, *service.Error) {
	if v, ok := item[t.first]; ok && t.first != "" {
		return v, nil
	}
	v, ok := t.of(item)
	if !ok {
		return v, invalid("The provided expression refers to an attribute that does not exist in the item")
	}
	return v, nil
}

// from works the right side out from the item as it was.
func (s set) from(old Item) (Value, *service.Error) {
	a, refusal := s.a.from(old)
	if refusal != nil || s.sign == "" {
		return a, refusal
	}
	b, refusal := s.b.from(old)
	if refusal != nil {
		return b, refusal
	}
	if a.kind != Number || b.kind != Number {
		return a, invalid("An operand in the update expression has an incorrect data type")
	}
	return a.plus(b, s.sign)
}

// touched are the attributes that an update changes; nil changes none.
func (u *update) touched() []string {
	if u == nil {
		return nil
	}
	out := slices.Clone(u.removes)
	for _, s := range u.sets {
		out = append(out, s.attribute)
	}
	for _, a := range u.adds {
		out = append(out, a.attribute)
	}
	return out
}

// apply returns another item, with the update made; nil changes nothing.
func (u *update) apply(old Item) (Item, *service.Error) {
	if u == nil {
		return old, nil
	}
	item := maps.Clone(old)
	for _, s := range u.sets {
		v, refusal := s.from(old)
		if refusal != nil {
			return nil, refusal
		}
		item[s.attribute] = v
	}
	for _, a := range u.adds {
		sum := a.by // what is not there is zero
		if v, ok := old[a.attribute]; ok && v.kind != Number {
			return nil, invalid("An operand in the update expression has an incorrect data type")
		} else if ok {
			var refusal *service.Error
			if sum, refusal = v.plus(a.by, "+"); refusal != nil {
				return nil, refusal
			}
		}
		item[a.attribute] = sum
	}
	for _, name := range u.removes {
		delete(item, name)
	}
	return item, nil
}

// parseUpdate reads an update expression; nil where there is none.
func parseUpdate(expression *string, s *placeholders) (*update, *service.Error) {
	return parse("UpdateExpression", expression, s, (*parser).update)
}

func (p *parser) update() *update {
	u := &update{}
	seen := map[string]bool{}
	for p.token != "" {
		section := strings.ToUpper(p.token)
		if seen[section] {
			p.refuse("The %q section can only be used once in an update expression;", section)
		}
		seen[section] = true
		switch p.next(); section {
		case "SET":
			p.each(func() { u.sets = append(u.sets, p.set()) })
		case "ADD":
			p.each(func() { u.adds = append(u.adds, p.add()) })
		case "REMOVE":
			p.each(func() { u.removes = append(u.removes, p.attribute()) })
		case "DELETE":
			p.undone(section)
		default:
			p.refuse("Syntax error; token: %q", section)
		}
	}
	names := u.touched()
	if slices.Sort(names); p.refusal == nil && len(slices.Compact(slices.Clone(names))) < len(names) {
		p.refuse("Two document paths overlap with each other; must remove or rewrite one of these paths; all paths: %s", names)
	}
	return u
}

// each reads what has commas between it.
func (p *parser) each(read func()) {
	for more := true; more; more = p.accept(",") {
		read()
	}
}

func (p *parser) set() set {
	s := set{attribute: p.attribute()}
	p.want("=")
	s.a = p.term()
	if p.token != "+" && p.token != "-" {
		return s
	}
	s.sign = p.token
	p.next()
	s.b = p.term()
	for _, t := range []term{s.a, s.b} {
		if t.attribute == "" && t.value.kind != Number {
			p.wrongType(s.sign, t.value.kind)
		}
	}
	return s
}

func (p *parser) term() term {
	if !p.calls() {
		return term{operand: p.operand()}
	}
	_, given := p.function("if_not_exists")
	return term{given[0].attribute, given[1]}
}

func (p *parser) add() add {
	a := add{attribute: p.attribute()}
	by := p.operand()
	if by.attribute != "" {
		p.refuse("Syntax error; ADD takes a value, not the attribute %q", by.attribute)
	} else if by.value.kind != Number {
		p.wrongType("ADD", by.value.kind)
	}
	a.by = by.value
	return a
}
