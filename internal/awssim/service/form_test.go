package service

import (
	"reflect"
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
