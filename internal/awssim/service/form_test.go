package service

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestForm(t *testing.T) {
	f, err := ParseForm([]byte("Action=X&Empty=&L.member.2=two&L.member.10=ten&L.member.1.Id=one&L.member.01=odd&M.entry.1.key=k&M.entry.1.value=v%26"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Text("Action") != "X" || !f.Has("Empty") || f.Has("L") || f.Has("Nothing.at.all") || f.Text("Nothing.at.all") != "" {
		t.Error("single parameters")
	}
	got := make([]string, 0, 3)
	for _, m := range f.List("L") {
		got = append(got, m.Value()+m.Text("Id"))
	}
	if !reflect.DeepEqual(got, []string{"one", "two", "ten"}) {
		t.Errorf("list: %v", got)
	}
	if m := f.Map("M"); len(m) != 1 || m["k"] != "v&" {
		t.Errorf("map: %v", m)
	}
	if f.Map("Nothing") != nil || len(f.List("Nothing")) != 0 {
		t.Error("what is absent is not empty")
	}
}

// flat is all parameters of a form, by their whole names.
func flat(f *Form) map[string]string {
	all := make(map[string]string, len(f.under))
	for _, p := range f.under {
		all[string(p.name)] = p.value
	}
	return all
}

// agree holds ParseForm to what url.ParseQuery makes of a body.
func agree(t *testing.T, body string) {
	t.Helper()
	f, err := ParseForm([]byte(body))
	values, wrong := url.ParseQuery(body)
	if wrong != nil {
		if err == nil || !strings.HasSuffix(err.Error(), wrong.Error()) {
			t.Errorf("%.200q: got %v, want %v", body, err, wrong)
		}
		return
	}
	if err != nil {
		t.Fatalf("%.200q: %v", body, err)
	}
	want := make(map[string]string, len(values))
	for name, vs := range values {
		want[name] = vs[len(vs)-1]
		if !f.Has(name) || f.Text(name) != want[name] {
			t.Errorf("%.200q: %q is %q, want %q", body, name, f.Text(name), want[name])
		}
	}
	if got := flat(&f); len(f.under) != len(want) || !reflect.DeepEqual(got, want) {
		t.Errorf("%.200q: got %v, want %v", body, got, want)
	}
}

var oddForms = []string{
	"", "&", "&&a=1&&", "=", "=x", "a", "a=", "a=b=c", "a=1&a=2", "a.b=1&a.b=2&a=3", ".", "..=x", "a..b=1", "a.=1&.a=2",
	"a;b=1", "a=1;2", "a=1&;&b=2", "%61=%62", "a%2eb=1&a.c=2", "a+b=c+d", "a=%", "a=%4", "a=%4g", "%zz=1", "a=%zz&b=;", "%=1&a=%", "a=%c3%a9", "a=é", "a=%00%ff",
	"L.member.1=x&L.entry.1=y", "L.member.-1=x&L.member.0=y&L.member.+1=z&L.member.99999999999999999999=w",
}

func TestFormsAreReadAsURLsQueriesAre(t *testing.T) {
	for _, body := range oddForms {
		agree(t, body)
	}
}

func FuzzForm(f *testing.F) {
	for _, body := range oddForms {
		f.Add(body)
	}
	f.Fuzz(agree)
}

// Numbers are members in their order, whatever the order of the parameters; anything else is none.
func TestMembersOfLists(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"L.member.2=b&L.member.1=a", "a b"},
		{"L.entry.2=b&L.entry.1=a", "a b"},
		{"L.member.1=a&L.entry.1=b", "a"},
		{"L.member=x&L.entry.1=b", ""},
		{"L.member.1=a&L.member.01=b&L.member.+1=c&L.member.x=d&L.member.=e", "a"},
		{"L.member.10=c&L.member.-1=a&L.member.9=b", "a b c"},
		{"L.member.1=a&L.member.3=b&L.member.1=c", "c b"},
	} {
		f, err := ParseForm([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range f.List("L") {
			got = append(got, m.Value())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.body, got, c.want)
		}
	}
}

// Members are found in whatever order they come, and however many they are.
func TestFormOfManyMembers(t *testing.T) {
	for _, n := range []int{1, 15, 100, maxParameters} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			names := make([]string, n)
			for i := range names {
				names[i] = fmt.Sprintf("L.member.%d.Name=%d", (i*7919)%n, i) // 7,919 is prime
			}
			agree(t, strings.Join(names, "&"))
			f, err := ParseForm([]byte(strings.Join(names, "&")))
			if err != nil {
				t.Fatal(err)
			}
			members := f.List("L")
			if len(members) != n {
				t.Errorf("%d members", len(members))
			}
			for i, m := range members {
				if m.Text("Name") != f.Text(fmt.Sprintf("L.member.%d.Name", i)) {
					t.Errorf("member %d is %q", i, m.Text("Name"))
				}
			}
		})
	}
	agree(t, strings.Repeat("a&", maxParameters-1))
	agree(t, strings.Repeat("a&", maxParameters))
}

// What a parameter's name begins with is a path to it only where a dot follows.
func TestNamesThatBeginAlike(t *testing.T) {
	f, err := ParseForm([]byte("L.member.1=a&L.member.1-x=b&L.member.1.Id=c&L.member.1/=d&L.member.10.Id=e&L.member=f&L.members.1=g&L.member.2.Id.x=h&L.member.2.Id=i"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range f.List("L") {
		got = append(got, m.Value()+" "+m.Text("Id"))
	}
	if want := []string{"a c", " i", " e"}; !reflect.DeepEqual(got, want) {
		t.Errorf("list: %q, want %q", got, want)
	}
	member := f.At("L.member")
	id := member.At("2.Id")
	if member.Value() != "f" || id.Value() != "i" || id.Text("x") != "h" || !id.Has("x") || id.Has("") {
		t.Error("forms under names")
	}
}
