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
		child, ok := v.fields()[s.name]
		return child, ok
	}
	list := v.list()
	if s.index >= len(list) {
		return Value{}, false
	}
	return list[s.index], true
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
		fields := maps.Clone(v.fields())
		fields[s.name] = child
		return mapOf(fields), true
	case s.name == "" && v.kind == List:
		list := slices.Clone(v.list())
		if s.index < len(list) {
			list[s.index] = child
		} else {
			list = append(list, child)
		}
		return listOf(list), true
	}
	return v, false
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
		fields := maps.Clone(v.fields())
		delete(fields, s.name)
		return mapOf(fields), true
	case s.name == "" && v.kind == List:
		if there {
			v = listOf(slices.Delete(slices.Clone(v.list()), s.index, s.index+1))
		}
		return v, true
	}
	return v, false
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
	whole, _ := choose(paths).of(mapOf(item))
	if whole.fields() == nil {
		return Item{}
	}
	return whole.fields()
}

func (c *chosen) of(v Value) (_ Value, ok bool) {
	if len(c.below) == 0 {
		return v, true
	}
	if v.kind == List {
		return c.ofList(v.list())
	}
	var fields map[string]Value
	for s, below := range c.below {
		child, there := v.child(s)
		if !there || s.name == "" {
			continue
		}
		if child, there = below.of(child); there {
			if fields == nil {
				fields = map[string]Value{}
			}
			fields[s.name] = child
		}
	}
	return mapOf(fields), fields != nil
}

func (c *chosen) ofList(list []Value) (_ Value, ok bool) {
	var left []Value
	for i, child := range list {
		if below := c.below[step{index: i}]; below != nil {
			if child, ok = below.of(child); ok {
				left = append(left, child)
			}
		}
	}
	return listOf(left), left != nil
}
