package service

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Form is the parameters of a Query request: a tree, cut at the dots of the parameter names.
// The zero value is empty.
type Form struct {
	name  string // under its parent
	value string
	set   bool

	newest   *Form            // of its children, which are a list from the newest to the oldest
	older    *Form            // the sibling that was made before it
	children int              // how many
	index    map[string]*Form // the children by name, once there are many; nil before
}

const (
	// maxParameters is how many parameters url.ParseQuery reads, and so this does.
	maxParameters = 10_000
	// fewChildren are looked through one by one. What real requests have many of (entries,
	// attributes) comes to ten; an index is for whoever sends more.
	fewChildren = 16
	// maxSlab is how many nodes of a tree are allocated at once.
	maxSlab = 512
)

// nothing is what stands where no parameter is. It is never changed.
var nothing Form

// ParseForm reads a form body as url.ParseQuery does; of parameters of one name the last counts.
func ParseForm(body []byte) (Form, error) {
	text := string(body)
	parameters := strings.Count(text, "&") + 1
	if parameters > maxParameters || strings.Contains(text, ";") {
		return Form{}, malformed(text)
	}
	values, ends, ok := valuesOf(text, parameters)
	if !ok {
		return Form{}, malformed(text)
	}
	tree := growing{slab: make([]Form, 0, min(2*parameters, maxSlab))}
	begin, n := 0, 0 // of values, of ends
	for parameter := range strings.SplitSeq(text, "&") {
		if parameter == "" {
			continue
		}
		name, _, _ := strings.Cut(parameter, "=")
		if strings.ContainsAny(name, "%+") {
			var err error
			if name, err = url.QueryUnescape(name); err != nil {
				return Form{}, malformed(text)
			}
		}
		at := tree.at(name)
		at.value, at.set = values[begin:ends[n]], true
		begin, n = ends[n], n+1
	}
	return tree.root, nil
}

// malformed is the error that url.ParseQuery has for a body.
func malformed(text string) error {
	_, err := url.ParseQuery(text)
	if err == nil {
		err = errors.New("it is malformed")
	}
	return fmt.Errorf("reading the request's form: %w", err)
}

// valuesOf returns the values of all parameters in one text, and where in it each ends; ok is
// false where one is malformed. That text holds nothing else: values live as long as the messages
// that are made of them, and the names with their many dots shall not live with them.
func valuesOf(text string, parameters int) (values string, ends []int, ok bool) {
	size := 0 // of well-formed ones
	for parameter := range strings.SplitSeq(text, "&") {
		_, value, _ := strings.Cut(parameter, "=")
		size += len(value) - 2*strings.Count(value, "%")
	}
	b := make([]byte, 0, max(size, 0))
	ends = make([]int, 0, parameters)
	for parameter := range strings.SplitSeq(text, "&") {
		if parameter == "" {
			continue
		}
		_, value, _ := strings.Cut(parameter, "=")
		if b, ok = appendUnescaped(b, value); !ok {
			return "", nil, false
		}
		ends = append(ends, len(b))
	}
	return string(b), ends, true
}

// appendUnescaped writes a value out; ok is false where it is malformed.
func appendUnescaped(to []byte, value string) (_ []byte, ok bool) {
	done := 0 // of value
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '+':
			to = append(append(to, value[done:i]...), ' ')
		case '%':
			if i+2 >= len(value) {
				return to, false
			}
			high, low := unhex(value[i+1]), unhex(value[i+2])
			if high > 15 || low > 15 {
				return to, false
			}
			to = append(append(to, value[done:i]...), high<<4|low)
			i += 2
		default:
			continue
		}
		done = i + 1
	}
	return append(to, value[done:]...), true
}

// unhex is the value of a hexadecimal digit; above 15 for anything else.
func unhex(digit byte) byte {
	switch {
	case '0' <= digit && digit <= '9':
		return digit - '0'
	case 'a' <= digit && digit <= 'f':
		return digit - 'a' + 10
	case 'A' <= digit && digit <= 'F':
		return digit - 'A' + 10
	}
	return 0xff
}

// growing is a tree that is being made.
type growing struct {
	root Form
	slab []Form // of which the next nodes are made
}

// at returns the node of a name, which it makes where there is none.
func (g *growing) at(name string) *Form {
	at := &g.root
	for {
		part, rest, more := strings.Cut(name, ".")
		next := at.child(part)
		if next == nil {
			next = g.add(at, part)
		}
		if !more {
			return next
		}
		at, name = next, rest
	}
}

func (g *growing) add(to *Form, name string) *Form {
	if len(g.slab) == cap(g.slab) {
		g.slab = make([]Form, 0, min(2*cap(g.slab), maxSlab)) // the full one lives on in the tree
	}
	g.slab = append(g.slab, Form{name: name, older: to.newest})
	made := &g.slab[len(g.slab)-1]
	to.newest = made
	to.children++
	switch {
	case to.index != nil:
		to.index[name] = made
	case to.children > fewChildren:
		to.index = make(map[string]*Form, 2*to.children)
		for c := made; c != nil; c = c.older {
			to.index[c.name] = c
		}
	}
	return made
}

// child returns the child of a name; nil for none. In the sorted bodies of SDKs the child that
// is asked for while the tree is made is nearly always the newest.
func (f *Form) child(name string) *Form {
	if f.newest != nil && f.newest.name == name {
		return f.newest
	}
	if f.index != nil {
		return f.index[name]
	}
	for c := f.newest; c != nil; c = c.older {
		if c.name == name {
			return c
		}
	}
	return nil
}

// At returns the form under a name, which may have dots; never nil.
func (f *Form) At(name string) *Form {
	at := f
	for {
		part, rest, more := strings.Cut(name, ".")
		if at = at.child(part); at == nil {
			return &nothing
		}
		if !more {
			return at
		}
		name = rest
	}
}

// Text returns the parameter of that name, "" where absent.
func (f *Form) Text(name string) string { return f.At(name).value }

// Has reports whether the parameter was sent.
func (f *Form) Has(name string) bool { return f.At(name).set }

// Value is the value of this form itself.
func (f *Form) Value() string { return f.value }

// List returns the members of a list, in order: "Entries.member.1", "Entries.member.2".
// The word between is the protocol's, "member" or "entry".
func (f *Form) List(name string) []*Form {
	list := f.At(name)
	members := list.child("member")
	if members == nil {
		members = list.At("entry")
	}
	type numbered struct {
		*Form
		number int
	}
	in := make([]numbered, 0, members.children)
	for c := members.newest; c != nil; c = c.older {
		if i, err := strconv.Atoi(c.name); err == nil && strconv.Itoa(i) == c.name {
			in = append(in, numbered{c, i})
		}
	}
	slices.SortFunc(in, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	out := make([]*Form, len(in))
	for i, n := range in {
		out[i] = n.Form
	}
	return out
}

// Map returns a map of strings: "Attributes.entry.1.key", "Attributes.entry.1.value".
func (f *Form) Map(name string) map[string]string {
	entries := f.List(name)
	if len(entries) == 0 {
		return nil
	}
	out := make(map[string]string, len(entries))
	for _, e := range entries {
		out[e.Text("key")] = e.Text("value")
	}
	return out
}
