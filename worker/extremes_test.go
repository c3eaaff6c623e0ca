package worker_test

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// widest is a character of four bytes: bounds in characters are met with the most bytes.
const widest = "\U0001F6D1"

// undocumented is how many bytes a text may have of which AWS documents no bound.
const undocumented = 1024

// extreme is a command of which one field is at its maximum, or beyond.
type extreme struct {
	name    string
	command map[string]any
	beyond  bool
}

// extremes are those of an action, made of its fields: each in turn, with the required ones as short as
// they may be.
func extremes(t *testing.T, h handlers.Handler) (all []extreme) {
	t.Helper()
	g := sampler{t, h.Action().Service()}
	least := map[string]any{}
	for _, f := range h.Fields() {
		switch {
		case !f.Required:
		case f.Kind == handlers.Strings:
			least[f.Name] = []string{g.text(f, f.Text, f.Text.Min)}
		default:
			least[f.Name] = g.text(f, f.Text, f.Text.Min)
		}
	}
	for _, f := range h.Fields() {
		add := func(what string, beyond bool, value any) {
			parameters := maps.Clone(least)
			parameters[f.Name] = value
			all = append(all, extreme{f.Name + what, map[string]any{"action": h.Action(), "parameters": parameters}, beyond})
		}
		items := f.MaxItems
		if items == 0 {
			items = 256
		}
		switch f.Kind {
		case handlers.Boolean:
			add("", false, true)
		case handlers.Long:
			add("", false, 1<<53-1)
			add("", true, 1<<53)
		case handlers.String:
			add("", false, g.atMost(f, f.Text))
			add("", true, g.beyond(f, f.Text))
		case handlers.Strings:
			add(", an item", false, []string{g.atMost(f, f.Text)})
			add(", an item", true, []string{g.beyond(f, f.Text)})
			add(", many", false, g.several(f, items, 1))
			if f.MaxItems > 0 {
				add(", many", true, g.several(f, items+1, 1))
			}
			longest := g.atMost(f, f.Text)
			add(", many long", false, g.several(f, min(items, (command.MaxBytes-1024)/(len(longest)+3)), len([]rune(longest))))
		case handlers.StringMap:
			add(", a value", false, map[string]string{g.text(f, f.KeyText, 1): g.atMost(f, f.Text)})
			add(", a value", true, map[string]string{g.text(f, f.KeyText, 1): g.beyond(f, f.Text)})
			add(", a key", false, map[string]string{g.atMost(f, f.KeyText): g.text(f, f.Text, 1)})
			add(", a key", true, map[string]string{g.beyond(f, f.KeyText): g.text(f, f.Text, 1)})
			many := map[string]string{}
			for n := range items {
				many[numbered(g.text(f, f.KeyText, 3), n)] = g.text(f, f.Text, 1)
			}
			add(", many", false, maps.Clone(many))
			if many["one-more"] = "x"; f.MaxItems > 0 {
				add(", many", true, many)
			}
		}
	}
	return all
}

// sampler makes texts of a service's fields.
type sampler struct {
	t       *testing.T
	service string
}

func (g sampler) atMost(f handlers.Field, text handlers.Text) string {
	switch {
	case text.Max > 0:
		return g.text(f, text, text.Max)
	case text.Pattern != nil || f.ARN == handlers.IsARN:
		return g.text(f, text, undocumented)
	}
	return g.text(f, text, undocumented/len(widest))
}

func (g sampler) beyond(f handlers.Field, text handlers.Text) string {
	if len(text.Enum) > 0 {
		return text.Enum[0] + "X"
	}
	return g.text(f, text, max(text.Max+1, 3*undocumented))
}

func (g sampler) several(f handlers.Field, n, long int) []string {
	items := make([]string, n)
	for i := range items {
		items[i] = numbered(g.text(f, f.Text, max(long, 3)), i)
	}
	return items
}

// numbered is a text that ends in a number.
func numbered(s string, n int) string {
	runes, number := []rune(s), []rune(fmt.Sprintf("%03d", n))
	copy(runes[len(runes)-len(number):], number)
	return string(runes)
}

// text is a text of n characters that keeps the field's other rules, or the shortest that does.
func (g sampler) text(f handlers.Field, text handlers.Text, n int) string {
	switch {
	case len(text.Enum) > 0:
		return text.Enum[0]
	case f.ARN == handlers.IsARN:
		arn := "arn:aws:" + g.service + ":us-east-1:123456789012:"
		return arn + strings.Repeat("x", max(n-len(arn), 1))
	case text.Pattern == nil:
		return strings.Repeat(widest, max(n, 1))
	}
	tree, err := syntax.Parse(text.Pattern.String(), syntax.Perl)
	if err != nil {
		g.t.Fatal(err)
	}
	var shortest, b strings.Builder
	extra := 0
	g.match(&shortest, tree, &extra)
	extra = max(0, n-len([]rune(shortest.String())))
	g.match(&b, tree, &extra)
	return b.String()
}

// match writes the shortest text that an expression matches, and extra characters where it may repeat one.
func (g sampler) match(b *strings.Builder, e *syntax.Regexp, extra *int) {
	times := func(n, most int) {
		if more := min(*extra, most-n); more > 0 {
			*extra -= more
			n += more
		}
		for range n {
			g.match(b, e.Sub[0], extra)
		}
	}
	switch e.Op {
	case syntax.OpLiteral:
		b.WriteString(string(e.Rune))
	case syntax.OpCharClass:
		b.WriteRune(e.Rune[len(e.Rune)-1])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteString(widest)
	case syntax.OpStar:
		times(0, 1<<20)
	case syntax.OpPlus:
		times(1, 1<<20)
	case syntax.OpQuest:
		times(0, 1)
	case syntax.OpRepeat:
		if e.Max < 0 {
			e.Max = 1 << 20
		}
		times(e.Min, e.Max)
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range e.Sub {
			g.match(b, sub, extra)
		}
	case syntax.OpAlternate:
		g.match(b, e.Sub[0], extra)
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpEmptyMatch:
	case syntax.OpNoMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		g.t.Fatalf("the sampler does not know %v of %s: teach it", e.Op, e)
	}
}
