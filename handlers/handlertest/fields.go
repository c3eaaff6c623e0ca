package handlertest

import (
	"maps"
	"reflect"
	"slices"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/facts"
)

// kinds are aws.json's types as a command's parameters have them.
var kinds = map[string]handlers.Kind{
	"string":  handlers.String,
	"boolean": handlers.Boolean,
	"long":    handlers.Long,
	"integer": handlers.Long,
	"list":    handlers.Strings,
	"map":     handlers.StringMap,
}

// checkFields: the fields are the operation's own, with every documented constraint.
func checkFields(s *subject) []error {
	documented := map[string]facts.Field{}
	for _, f := range s.facts().action.Fields {
		documented[f.Name] = f
	}
	missing := maps.Clone(documented)
	for _, f := range s.h.Fields() {
		if _, ok := missing[f.Name]; !ok {
			s.errorf("field %s: not in aws.json, or there twice", f.Name)
			continue
		}
		delete(missing, f.Name)
		s.checkField(f, documented[f.Name])
	}
	for name := range missing {
		s.errorf("field %s: in aws.json and not among Fields", name)
	}
	for name := range s.Beyond {
		if _, ok := documented[name]; !ok {
			s.errorf("Suite.Beyond names %s, which is no field", name)
		}
	}
	return s.errs
}

func (s *subject) checkField(f handlers.Field, d facts.Field) {
	if f.Kind != kinds[d.Type] {
		s.errorf("field %s: a %s, aws.json says %q", f.Name, f.Kind, d.Type)
	}
	// The worker fills a reason that the command leaves out.
	if f.Required != (d.Required && !f.Reason) {
		s.errorf("field %s: required %v, aws.json says %v", f.Name, f.Required, d.Required)
	}
	if f.Required && f.Kind == handlers.String && f.Text.Min < 1 {
		s.errorf("field %s: required, and may be empty", f.Name)
	}
	if (f.Text.Pattern == nil) != (f.Text.Rule == "") {
		s.errorf("field %s: pattern and rule go together", f.Name)
	}
	text := d
	if d.Type == "list" && d.Item != nil {
		text = *d.Item
	}
	if text.Pattern != "" && f.Text.Pattern == nil && f.Text.Rule == "" {
		s.errorf("field %s: aws.json's pattern %q is not expressed", f.Name, text.Pattern)
	}
	if _, beyond := s.Beyond[f.Name]; beyond {
		return
	}
	if !slices.Equal(f.Text.Enum, text.Enum) {
		s.errorf("field %s: allows %q, aws.json says %q", f.Name, f.Text.Enum, text.Enum)
	}
	s.checkBound(f.Name, "longest text", f.Text.Max, text.Max)
	if !f.Required { // a required one has its least from the rule above
		s.checkBound(f.Name, "shortest text", f.Text.Min, text.Min)
	} else if text.Min != nil && f.Text.Min < *text.Min {
		s.checkBound(f.Name, "shortest text", f.Text.Min, text.Min)
	}
	if d.Type == "list" || d.Type == "map" {
		s.checkBound(f.Name, "most items", f.MaxItems, d.Max)
	}
}

func (s *subject) checkBound(field, bound string, got int, documented *int) {
	want := 0
	if documented != nil {
		want = *documented
	}
	if got != want {
		s.errorf("field %s: %s %d, aws.json says %d; Suite.Beyond names other sources", field, bound, got, want)
	}
}

// checkTargets: parameters come to the same targets each time, in their order, with ids that
// differ and a key that lets them share a request, and are not changed.
func checkTargets(s *subject) []error {
	n := max(s.sides[0].max, s.sides[1].max, 3)
	commands, untouched := s.Commands(n), s.Commands(n)
	ids := map[string]bool{}
	var all []handlers.Target
	for i, p := range commands {
		targets, err := s.h.Targets(p)
		again, errAgain := s.h.Targets(p)
		switch {
		case err != nil || errAgain != nil:
			s.errorf("Targets(%v): %v, %v", p, err, errAgain)
		case len(targets) == 0:
			s.errorf("Targets(%v): none", p)
		case !reflect.DeepEqual(targets, again):
			s.errorf("Targets(%v): %v, then %v", p, targets, again)
		case !reflect.DeepEqual(p, untouched[i]):
			s.errorf("Targets changed its parameters from %v to %v", untouched[i], p)
		}
		s.checkListOrder(p, targets)
		all = append(all, targets...)
	}
	if len(all) != n {
		s.errorf("Commands(%d) came to %d targets", n, len(all))
	}
	for _, t := range all {
		if t.ID == "" || ids[t.ID] {
			s.errorf("target id %q is empty or there twice", t.ID)
		}
		ids[t.ID] = true
		if t.Key != all[0].Key || t.ReadKey != all[0].ReadKey {
			s.errorf("target %s has key %q/%q, the first of the same request %q/%q", t.ID, t.Key, t.ReadKey, all[0].Key, all[0].ReadKey)
		}
		if t.Pin != "" {
			s.errorf("target %s comes with the pin %q, which is Resolve's to find", t.ID, t.Pin)
		}
	}
	return s.errs
}

// checkListOrder: a command that lists its targets has them in the list's order.
func (s *subject) checkListOrder(p handlers.Parameters, targets []handlers.Target) {
	for _, f := range s.h.Fields() {
		list := p.Texts(f.Name)
		if f.Kind != handlers.Strings || !f.Required || len(list) != len(targets) {
			continue
		}
		for i, t := range targets {
			if t.ID != list[i] {
				s.errorf("target %d is %s, %s[%d] is %s", i, t.ID, f.Name, i, list[i])
			}
		}
	}
}
