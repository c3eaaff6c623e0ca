package service

import (
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// Form is the parameters of a Query request: a tree, cut at the dots of the parameter names.
// The zero value is empty.
type Form struct {
	value string
	set   bool
	inner map[string]*Form
}

// ParseForm reads a form body.
func ParseForm(body []byte) (Form, error) {
	var root Form
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return root, fmt.Errorf("reading the request's form: %w", err)
	}
	for name, vs := range values {
		at := &root
		for part := range strings.SplitSeq(name, ".") {
			if at.inner == nil {
				at.inner = map[string]*Form{}
			}
			next := at.inner[part]
			if next == nil {
				next = &Form{}
				at.inner[part] = next
			}
			at = next
		}
		at.value, at.set = vs[len(vs)-1], true
	}
	return root, nil
}

// At returns the form under a name, which may have dots; never nil.
func (f *Form) At(name string) *Form {
	at := f
	for part := range strings.SplitSeq(name, ".") {
		next := at.inner[part]
		if next == nil {
			return &Form{}
		}
		at = next
	}
	return at
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
	var numbers []int
	word := "member"
	if list.inner[word] == nil {
		word = "entry"
	}
	members := list.At(word).inner
	for n := range members {
		if i, err := strconv.Atoi(n); err == nil && strconv.Itoa(i) == n {
			numbers = append(numbers, i)
		}
	}
	sort.Ints(numbers)
	out := make([]*Form, len(numbers))
	for i, n := range numbers {
		out[i] = members[strconv.Itoa(n)]
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
