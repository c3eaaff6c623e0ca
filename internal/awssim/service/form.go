package service

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Form is the parameters of a Query request, whose names are paths: those under one path, and the
// one that has the path itself as its name. The zero value is empty.
type Form struct {
	under  []parameter // in the order of their names, no name twice
	cut    int         // how much of each name is the path, with the dot after it
	own    *parameter  // nil for none
	number int         // of a member of a list
}

type parameter struct {
	name  []byte // of the request's body, where it is not escaped there
	value string
}

const (
	// maxParameters is how many parameters url.ParseQuery reads, and so this does.
	maxParameters = 10_000
	// fewMembers is what the lists of real requests come to.
	fewMembers = 10
)

// ParseForm reads a form body as url.ParseQuery does; of parameters of one name the last counts.
// The body must not change while the form is in use.
func ParseForm(body []byte) (Form, error) {
	n := bytes.Count(body, []byte("&")) + 1
	if n > maxParameters || bytes.IndexByte(body, ';') >= 0 {
		return Form{}, malformed(body)
	}
	parameters, values := make([]parameter, 0, n), make([][]byte, 0, n)
	for rest, more := body, true; more; {
		var name, value []byte
		name, rest, more = cut(rest, '&')
		if len(name) == 0 {
			continue
		}
		name, value, _ = cut(name, '=')
		if escaped(name) {
			plain, err := url.QueryUnescape(string(name))
			if err != nil {
				return Form{}, malformed(body)
			}
			name = []byte(plain)
		}
		parameters, values = append(parameters, parameter{name: name}), append(values, value)
	}
	if !setValues(parameters, values) {
		return Form{}, malformed(body)
	}
	return Form{under: sortByName(parameters)}, nil
}

// sortByName merges the runs of parameters that are in the order of their names already, of which
// real requests have one or a few; of one name it keeps the last.
func sortByName(parameters []parameter) []parameter {
	var runs [][]parameter
	for begin, i := 0, 1; i <= len(parameters); i++ {
		if i == len(parameters) || bytes.Compare(parameters[i-1].name, parameters[i].name) >= 0 {
			runs, begin = append(runs, parameters[begin:i]), i
		}
	}
	for len(runs) > 1 {
		merged := runs[:0]
		for pair := range slices.Chunk(runs, 2) {
			if len(pair) == 2 {
				pair[0] = merge(pair[0], pair[1])
			}
			merged = append(merged, pair[0])
		}
		runs = merged
	}
	if len(runs) == 0 {
		return nil
	}
	return runs[0]
}

// merge merges two runs; of parameters of one name it takes b's.
func merge(a, b []parameter) []parameter {
	merged := make([]parameter, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch bytes.Compare(a[0].name, b[0].name) {
		case -1:
			merged, a = append(merged, a[0]), a[1:]
		case 0:
			a = a[1:]
		case 1:
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	return append(append(merged, a...), b...)
}

// malformed is the error that url.ParseQuery has for a body.
func malformed(body []byte) error {
	_, err := url.ParseQuery(string(body))
	if err == nil {
		err = errors.New("it is malformed")
	}
	return fmt.Errorf("reading the request's form: %w", err)
}

// cut is bytes.Cut around a single character, which costs less.
func cut(s []byte, at byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(s, at); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, nil, false
}

func escaped(s []byte) bool {
	return bytes.IndexByte(s, '%') >= 0 || bytes.IndexByte(s, '+') >= 0
}

// setValues gives parameters their values, unescaped; ok is false where one is malformed. The
// values are cut from one text, which holds nothing else: values live as long as the messages
// that are made of them, and the names with their many dots shall not live with them.
func setValues(parameters []parameter, values [][]byte) (ok bool) {
	size := 0 // of well-formed ones
	for _, value := range values {
		size += len(value) - 2*bytes.Count(value, []byte("%"))
	}
	var text strings.Builder
	text.Grow(max(size, 0))
	var plain []byte
	for i, value := range values {
		if escaped(value) {
			if plain, ok = appendUnescaped(slices.Grow(plain[:0], len(value)), value); !ok {
				return false
			}
			value = plain
		}
		begin := text.Len()
		text.Write(value)
		parameters[i].value = text.String()[begin:]
	}
	return true
}

// appendUnescaped writes a value out; ok is false where it is malformed.
func appendUnescaped(to, value []byte) (_ []byte, ok bool) {
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(value) {
				return to, false
			}
			high, low := unhex(value[i+1]), unhex(value[i+2])
			if high > 15 || low > 15 {
				return to, false
			}
			c = high<<4 | low
			i += 2
		}
		to = append(to, c)
	}
	return to, true
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

// search returns the place of the first parameter whose name is not before this one.
func (f *Form) search(name string) int {
	return sort.Search(len(f.under), func(i int) bool { return string(f.under[i].name[f.cut:]) >= name })
}

// find returns the parameter of a name; nil for none.
func (f *Form) find(name string) *parameter {
	i := f.search(name)
	if i == len(f.under) || string(f.under[i].name[f.cut:]) != name {
		return nil
	}
	return &f.under[i]
}

// At returns the form under a name, which may have dots.
func (f *Form) At(name string) Form {
	under := f.under[f.search(name+"."):f.search(name+"/")] // the slash is the character after the dot
	return Form{under: under, cut: f.cut + len(name) + len("."), own: f.find(name)}
}

// Text returns the parameter of that name, "" where absent.
func (f *Form) Text(name string) string {
	if p := f.find(name); p != nil {
		return p.value
	}
	return ""
}

// Has reports whether the parameter was sent.
func (f *Form) Has(name string) bool { return f.find(name) != nil }

// Value is the value of this form itself.
func (f *Form) Value() string {
	if f.own == nil {
		return ""
	}
	return f.own.value
}

// List returns the members of a list, in order: "Entries.member.1", "Entries.member.2".
// The word between is the protocol's, "member" or "entry".
func (f *Form) List(name string) []Form {
	members := f.At(name + ".member")
	if members.own == nil && len(members.under) == 0 {
		members = f.At(name + ".entry")
	}
	list := make([]Form, 0, min(len(members.under), fewMembers))
	begin, part := 0, []byte(nil) // of the member that is last in the list: where what is under it begins, its number
	for i := range members.under {
		p := &members.under[i]
		first, _, under := cut(p.name[members.cut:], '.')
		if !bytes.Equal(first, part) || len(list) == 0 {
			number, err := strconv.Atoi(string(first))
			if err != nil || strconv.Itoa(number) != string(first) {
				continue // this may stand between "1" and "1.Name"; another number may not
			}
			list = append(list, Form{cut: members.cut + len(first) + len("."), number: number})
			part = first
		}
		member := &list[len(list)-1]
		if !under {
			member.own = p
			continue
		}
		if member.under == nil {
			begin = i
		}
		member.under = members.under[begin : i+1]
	}
	slices.SortFunc(list, func(a, b Form) int { return cmp.Compare(a.number, b.number) })
	return list
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
