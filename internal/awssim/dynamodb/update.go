package dynamodb

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// update is a parsed update expression ("Update expressions"). It never changes: the values of its
// placeholders are given to it each time.
type update struct {
	sets    []assignment
	removes []path
	adds    []delta
	deletes []delta
}

type assignment struct {
	path path
	to   source
}

type delta struct {
	path path
	by   string // the placeholder of a value
}

// source is the right side of a SET; it is worked out from the item as it was.
type source interface {
	from(item, values Item) (Value, *service.Error)
}

type (
	given  struct{ operand }
	orElse struct { // if_not_exists
		path path
		to   source
	}
	joined struct{ a, b source } // list_append
	summed struct {
		a, b  source
		minus bool
	}
)

func (g given) from(item, values Item) (Value, *service.Error) {
	v, ok := g.of(item, values)
	if !ok {
		return v, invalid("The provided expression refers to an attribute that does not exist in the item")
	}
	return v, nil
}

func (o orElse) from(item, values Item) (Value, *service.Error) {
	if v, ok := o.path.find(item); ok {
		return v, nil
	}
	return o.to.from(item, values)
}

// two works out two sources that must be of one kind.
func two(item, values Item, a, b source, kind Kind) (x, y Value, err *service.Error) {
	if x, err = a.from(item, values); err != nil {
		return x, y, err
	}
	if y, err = b.from(item, values); err != nil {
		return x, y, err
	}
	if x.kind != kind || y.kind != kind {
		return x, y, invalid("An operand in the update expression has an incorrect data type")
	}
	return x, y, nil
}

func (j joined) from(item, values Item) (Value, *service.Error) {
	a, b, err := two(item, values, j.a, j.b, List)
	if err != nil {
		return Value{}, err
	}
	return listOf(slices.Concat(a.list(), b.list())), nil
}

func (s summed) from(item, values Item) (Value, *service.Error) {
	a, b, err := two(item, values, s.a, s.b, Number)
	if err != nil {
		return Value{}, err
	}
	sum, err := a.decimal().plus(b.decimal(), s.minus)
	return number(sum), err
}

// paths are all that an update touches.
func (u *update) paths() []path {
	var out []path
	for _, s := range u.sets {
		out = append(out, s.path)
	}
	out = append(out, u.removes...)
	for _, d := range slices.Concat(u.adds, u.deletes) {
		out = append(out, d.path)
	}
	return out
}

// apply returns the item with the update made.
func (u *update) apply(old, values Item) (Item, *service.Error) {
	item := maps.Clone(old)
	if item == nil {
		item = Item{}
	}
	for _, s := range u.sets {
		v, err := s.to.from(old, values)
		if err != nil {
			return nil, err
		}
		if err := item.put(s.path, v); err != nil {
			return nil, err
		}
	}
	for _, d := range u.adds {
		if err := item.add(old, d.path, values[d.by]); err != nil {
			return nil, err
		}
	}
	removes := slices.Clone(u.removes)
	for _, d := range u.deletes {
		gone, err := item.subtract(old, d.path, values[d.by])
		if err != nil {
			return nil, err
		}
		if gone {
			removes = append(removes, d.path)
		}
	}
	// Of a list, the last first: indexes are those of the item as it was.
	slices.SortStableFunc(removes, func(a, b path) int {
		return -slices.CompareFunc(a, b, func(s, t step) int { return cmp.Or(cmp.Compare(s.name, t.name), cmp.Compare(s.index, t.index)) })
	})
	for _, p := range removes {
		if err := item.cut(p); err != nil {
			return nil, err
		}
	}
	return item, nil
}

func badPath() *service.Error {
	return invalid("The document path provided in the update expression is invalid for update")
}

func (i Item) put(p path, v Value) *service.Error {
	if len(p) == 1 {
		i[p[0].name] = v
		return nil
	}
	top, ok := i[p[0].name].put(p[1:], v)
	if !ok {
		return badPath()
	}
	i[p[0].name] = top
	return nil
}

func (i Item) cut(p path) *service.Error {
	if len(p) == 1 {
		delete(i, p[0].name)
		return nil
	}
	top, ok := i[p[0].name].cut(p[1:])
	if !ok {
		return badPath()
	}
	i[p[0].name] = top
	return nil
}

// add adds to a number or a set; what is not there is zero or an empty set.
func (i Item) add(old Item, at path, by Value) *service.Error {
	v, ok := at.find(old)
	switch {
	case !ok:
		return i.put(at, by)
	case v.kind != by.kind:
		return invalid("An operand in the update expression has an incorrect data type")
	case v.kind == Number:
		sum, err := v.decimal().plus(by.decimal(), false)
		if err != nil {
			return err
		}
		return i.put(at, number(sum))
	}
	set := slices.Clone(v.set())
	for _, member := range by.set() {
		if !slices.Contains(set, member) {
			set = append(set, member)
		}
	}
	return i.put(at, setOf(v.kind, set))
}

// subtract takes members out of a set; gone says that none is left.
func (i Item) subtract(old Item, at path, by Value) (gone bool, err *service.Error) {
	v, ok := at.find(old)
	switch {
	case !ok:
		return false, nil
	case v.kind != by.kind:
		return false, invalid("An operand in the update expression has an incorrect data type")
	}
	set := slices.DeleteFunc(slices.Clone(v.set()), func(member string) bool { return slices.Contains(by.set(), member) })
	return len(set) == 0, i.put(at, setOf(v.kind, set))
}

// parseUpdate reads an update expression; nil where there is none.
func parseUpdate(expression *string, s *scope) (*update, *service.Error) {
	return parsed("UpdateExpression", expression, s, (*parser).update)
}

func (p *parser) update() (_ *update, err *service.Error) {
	u := &update{}
	seen := map[string]bool{}
	for p.peek().kind != endToken {
		t := p.take()
		section := strings.ToUpper(t.text)
		if t.kind == wordToken && seen[section] {
			return nil, p.refuse("The %q section can only be used once in an update expression;", section)
		}
		seen[section] = true
		switch {
		case t.is("SET"):
			err = p.each(func() *service.Error { return p.assignment(u) })
		case t.is("REMOVE"):
			u.removes, err = p.paths()
		case t.is("ADD"):
			err = p.each(func() *service.Error { return p.delta("ADD", &u.adds) })
		case t.is("DELETE"):
			err = p.each(func() *service.Error { return p.delta("DELETE", &u.deletes) })
		default:
			err = p.unexpected(t)
		}
		if err != nil {
			return nil, err
		}
	}
	return u, p.distinct(u.paths())
}

// each reads what has commas between it.
func (p *parser) each(one func() *service.Error) *service.Error {
	for {
		if err := one(); err != nil {
			return err
		}
		if !p.accept(",") {
			return nil
		}
	}
}

func (p *parser) assignment(u *update) *service.Error {
	to, err := p.path()
	if err != nil {
		return err
	}
	if err := p.want("="); err != nil {
		return err
	}
	from, err := p.source()
	if err != nil {
		return err
	}
	if minus := p.peek().is("-"); minus || p.peek().is("+") {
		sign := p.take().text
		b, err := p.source()
		if err != nil {
			return err
		}
		for _, s := range [...]source{from, b} {
			g, is := s.(given)
			if v := p.valueOf(g.operand); is && g.path == nil && v.kind != Number {
				return p.wrongType(sign, v.kind)
			}
		}
		from = summed{from, b, minus}
	}
	u.sets = append(u.sets, assignment{to, from})
	return nil
}

// source reads a path, a value, or a function of them.
func (p *parser) source() (source, *service.Error) {
	t := p.peek()
	if t.kind == valueToken {
		placeholder, err := p.value()
		return given{operand{placeholder: placeholder}}, err
	}
	if t.kind != wordToken || !p.tokens[p.at+1].is("(") {
		path, err := p.path()
		return given{operand{path: path}}, err
	}
	p.at += 2
	a, err := p.source()
	if err != nil {
		return nil, err
	}
	if err := p.want(","); err != nil {
		return nil, err
	}
	b, err := p.source()
	if err != nil {
		return nil, err
	}
	if err := p.want(")"); err != nil {
		return nil, err
	}
	switch t.text {
	case "if_not_exists":
		first, is := a.(given)
		if !is || first.path == nil {
			return nil, p.refuse("Operator or function requires a document path; operator or function: if_not_exists")
		}
		return orElse{first.path, b}, nil
	case "list_append":
		return joined{a, b}, nil
	}
	return nil, p.refuse("Invalid function name; function: %s", t.text)
}

func (p *parser) delta(section string, to *[]delta) *service.Error {
	path, err := p.path()
	if err != nil {
		return err
	}
	placeholder, err := p.value()
	if err != nil {
		return err
	}
	if by := p.scope.values[placeholder]; !by.isSet() && (section == "DELETE" || by.kind != Number) {
		return p.refuse("Incorrect operand type for operator or function; operator: %s, operand type: %s", section, by.kind)
	}
	*to = append(*to, delta{path, placeholder})
	return nil
}
