package handlers_test

import (
	"encoding/json"
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

// FuzzParameters: whatever parameters hold, the one accessor of a value's kind returns it, and
// the others what they return of an absent one; so a handler that is given what was not checked
// finds nothing there rather than panic.
func FuzzParameters(f *testing.F) {
	for _, text := range []string{
		`{"ClusterId":"j-1","StepIds":["s-1","s-2"]}`, `{"force":true,"expectedVersion":-0,"statusDetails":{"a":"b"}}`,
		`{"jobId":null,"a":1.5,"b":["x",7],"c":{"d":[]},"":""}`, `{"n":9223372036854775807,"f":1e400}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var raw map[string]any
		if json.Unmarshal(text, &raw) != nil {
			return
		}
		p := typed(raw)
		for name := range p {
			n, isNumber := p.Number(name)
			found := 0
			for _, there := range []bool{p.Text(name) != "", p.Texts(name) != nil, p.Flag(name), isNumber, p.Map(name) != nil} {
				if there {
					found++
				}
			}
			want := 1
			switch v := p[name].(type) {
			case string:
				if v == "" {
					want = 0
				}
			case bool:
				if !v {
					want = 0
				}
			case int64:
				if n != v {
					t.Errorf("%q is %d, want %d", name, n, v)
				}
			case []string, map[string]string:
			default:
				want = 0
			}
			if found != want {
				t.Errorf("%q, which is %#v, is found %d times, want %d", name, p[name], found, want)
			}
		}
	})
}

// typed gives values of JSON the types that parameters have, where they have one.
func typed(raw map[string]any) handlers.Parameters {
	p := handlers.Parameters{}
	for name, value := range raw {
		p[name] = value
		switch v := value.(type) {
		case float64:
			if whole := int64(v); float64(whole) == v {
				p[name] = whole
			}
		case []any:
			texts := []string{}
			for _, item := range v {
				if s, ok := item.(string); ok {
					texts = append(texts, s)
				}
			}
			if len(texts) == len(v) {
				p[name] = texts
			}
		case map[string]any:
			texts := map[string]string{}
			for key, item := range v {
				if s, ok := item.(string); ok {
					texts[key] = s
				}
			}
			if len(texts) == len(v) {
				p[name] = texts
			}
		}
	}
	return p
}
