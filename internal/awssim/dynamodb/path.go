package dynamodb

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// path is where a value stands in an item. Its first step is a name.
type path []step

// step is into a map by a name or into a list by an index; an attribute has no empty name.
type step struct {
	name  string
	index int
}

func (p path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		if parts[i] = s.name; s.name == "" {
			parts[i] = "[" + strconv.Itoa(s.index) + "]"
		}
	}
	return strings.Join(parts, ", ")
}

// find returns what stands at a path.
func (p path) find(item Item) (Value, bool) {
	v, ok := item[p[0].name]
	for _, s := range p[1:] {
		if !ok {
			return Value{}, false
		}
		v, ok = v.child(s)
	}
	return v, ok
}

func (v Value) child(s step) (Value, bool) {
	if s.name != "" {
		child, ok := v.fields[s.name]
		return child, ok
	}
	if s.index >= len(v.list) {
		return Value{}, false
	}
	return v.list[s.index], true
}

// put returns v with another value at a path below it; ok is false where the path leads
// nowhere. An index beyond a list's end appends ("Update expressions", SET).
func (v Value) put(below path, leaf Value) (_ Value, ok bool) {
	if len(below) == 0 {
		return leaf, true
	}
	s := below[0]
	child, _ := v.child(s)
	if child, ok = child.put(below[1:], leaf); !ok {
		return v, false
	}
	switch {
	case s.name != "" && v.kind == Map:
		v.fields = maps.Clone(v.fields)
		v.fields[s.name] = child
	case s.name == "" && v.kind == List:
		v.list = slices.Clone(v.list)
		if s.index < len(v.list) {
			v.list[s.index] = child
		} else {
			v.list = append(v.list, child)
		}
	default:
		return v, false
	}
	return v, true
}

// cut returns v without what stands at a path below it, which is one step at least; ok is false
// where the path's parent is not there.
func (v Value) cut(below path) (_ Value, ok bool) {
	s := below[0]
	child, there := v.child(s)
	if len(below) > 1 {
		if !there {
			return v, false
		}
		if child, ok = child.cut(below[1:]); !ok {
			return v, false
		}
		return v.put(below[:1], child)
	}
	switch {
	case s.name != "" && v.kind == Map:
		v.fields = maps.Clone(v.fields)
		delete(v.fields, s.name)
	case s.name == "" && v.kind == List:
		if there {
			v.list = slices.Delete(slices.Clone(v.list), s.index, s.index+1)
		}
	default:
		return v, false
	}
	return v, true
}

// chosen is a tree of what a projection leaves in.
type chosen struct {
	below map[step]*chosen // empty: all of it
}

func choose(paths []path) *chosen {
	root := &chosen{}
	for _, p := range paths {
		at := root
		for _, s := range p {
			if at.below[s] == nil {
				if at.below == nil {
					at.below = map[step]*chosen{}
				}
				at.below[s] = &chosen{}
			}
			at = at.below[s]
		}
	}
	return root
}

// project returns the parts of an item at paths; nil paths are all of it. What is chosen of a
// list moves together.
func project(item Item, paths []path) Item {
	if paths == nil || item == nil {
		return item
	}
	whole, _ := choose(paths).of(Value{kind: Map, fields: item})
	if whole.fields == nil {
		return Item{}
	}
	return whole.fields
}

func (c *chosen) of(v Value) (_ Value, ok bool) {
	if len(c.below) == 0 {
		return v, true
	}
	out := Value{kind: v.kind}
	for s, below := range c.below {
		child, there := v.child(s)
		if there && s.name != "" {
			if child, there = below.of(child); there {
				if out.fields == nil {
					out.fields = map[string]Value{}
				}
				out.fields[s.name] = child
			}
		}
	}
	if v.kind == List {
		for i, child := range v.list {
			if below := c.below[step{index: i}]; below != nil {
				if child, ok = below.of(child); ok {
					out.list = append(out.list, child)
				}
			}
		}
	}
	return out, out.fields != nil || out.list != nil
}
