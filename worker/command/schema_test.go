package command_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/command"
)

// services are the handlers of every service that the worker knows.
func services() []handlers.Handler {
	var all []handlers.Handler
	for _, service := range worker.Services() {
		all = append(all, service(func(handlers.Location) aws.Config { return aws.Config{} })...)
	}
	return all
}

// compile compiles a schema, which the library holds to its meta-schema.
func compile(t testing.TB, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("command.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("command.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// agree holds the schema's word on a body against the decoder's.
func agree(t *testing.T, s *jsonschema.Schema, d *command.Decoder, body []byte, sound bool) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("not JSON: %s", body)
	}
	bySchema := s.Validate(doc)
	_, byDecoder := d.Decode(body, command.Message{ID: "m-1"})
	if (bySchema == nil) != sound || (byDecoder == nil) != sound {
		t.Errorf("%s\nsound: %t\nby the schema: %v\nby the decoder: %v", clip(string(body)), sound, bySchema, byDecoder)
	}
}

func TestSchemaOfValidCommands(t *testing.T) {
	s, d := compile(t, command.Schema(fakes())), decoder()
	for _, body := range []string{
		page, job(""), job(`"confirm":"-0h0.0m"`), job(`"confirm":"0"`), job(`"confirm":"12h"`), oneStep(`"escalate":"6h"`, "SEND_INTERRUPT"), job(`"id":"sqs-1"`), job(`"id":"` + strings.Repeat("a", 128) + `"`),
		job(`"reason":"` + strings.Repeat("é", 1024) + `"`), job(`"region":"us-gov-west-1"`), job(`"expiresAt":"2024-02-29T23:59:59.123456789+23:59"`),
		job(`"expiresAt":"2000-02-29T00:00:00Z"`), job(`"expiresAt":"2026-06-30T00:00:00-00:00"`),
		run("swf:TerminateWorkflowExecution", `{"workflowId":"w1","reason":""}`),
		run("iot:CancelJobExecution", `{"jobId":"j","expectedVersion":-9007199254740991,"statusDetails":{"a":"1"}}`),
		`{"action":"swf:TerminateWorkflowExecution","parameters":{"workflowId":"w","reason":"own"},"reason":"longer than that API takes"}`,
		`{"action":"swf:TerminateWorkflowExecution","parameters":{"workflowId":"w"},"reason":""}`,
	} {
		agree(t, s, d, []byte(body), true)
	}
	for _, at := range []string{
		"2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z",
		"2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01t00:00:00z", "2026-01-01T00:00:00.Z",
	} {
		agree(t, s, d, []byte(job(`"expiresAt":"`+at+`"`)), false)
	}
}

// seeds are so many generated commands and mutations a handler that all kinds come up; a failure
// prints the body.
const seeds = 200

// TestSchemaAgainstDecoder: generated valid commands of every action pass both; whatever breaks
// a rule that a schema can say fails both.
func TestSchemaAgainstDecoder(t *testing.T) {
	for name, hs := range map[string][]handlers.Handler{"made for tests": fakes(), "of the services": services()} {
		s, d := compile(t, command.Schema(hs)), command.NewDecoder(hs, own)
		for _, h := range hs {
			t.Run(name+"/"+string(h.Action()), func(t *testing.T) {
				for seed := range uint64(seeds) {
					g := generator{rand.New(rand.NewPCG(seed, 1)), t}
					agree(t, s, d, marshal(t, g.command(h)), true)
				}
				g := generator{rand.New(rand.NewPCG(seeds, 1)), t}
				for _, mutation := range slices.Concat(ofCommands(), ofParameters(h)) {
					c := g.whole(h)
					mutation.do(c, c["parameters"].(map[string]any))
					t.Run(mutation.name, func(t *testing.T) { agree(t, s, d, marshal(t, c), false) })
				}
			})
		}
	}
}

// TestSchemaIsPortable: the patterns use nothing that only Go's regexp reads, and the text is
// ASCII and the same for the handlers in any order.
func TestSchemaIsPortable(t *testing.T) {
	hs := services()
	text := command.Schema(hs)
	for _, only := range []string{`\\x{`, `\\A`, `\\z`, `\\Q`, `(?i`, `(?s`, `(?P`, `[[:`, `\\C`, `\\pC`} {
		if bytes.Contains(text, []byte(only)) {
			t.Errorf("a pattern has %s", only)
		}
	}
	if i := slices.IndexFunc(text, func(b byte) bool { return b >= utf8.RuneSelf }); i >= 0 {
		t.Errorf("byte %d is not ASCII", i)
	}
	slices.Reverse(hs)
	if !bytes.Equal(text, command.Schema(hs)) {
		t.Error("the handlers' order changes it")
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// generator makes valid commands from handlers' fields.
type generator struct {
	*rand.Rand
	t *testing.T
}

// command is a valid command with any of the members that may be left out.
func (g generator) command(h handlers.Handler) map[string]any {
	c := g.whole(h)
	p := c["parameters"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if name != "action" && name != "parameters" {
			g.leaveOut(c, name)
		}
	}
	for _, f := range h.Fields() {
		if (!f.Required || f.Reason) && g.leaveOut(p, f.Name) && f.Reason {
			delete(c, "reason")
			if g.IntN(2) == 0 {
				c["reason"] = g.text(f.Text)
			}
		}
	}
	return c
}

// leaveOut leaves a member out, or says null, or leaves it as it is.
func (g generator) leaveOut(of map[string]any, name string) bool {
	switch g.IntN(4) {
	case 0:
		delete(of, name)
	case 1:
		of[name] = nil
	default:
		return false
	}
	return true
}

// whole is a valid command with every member.
func (g generator) whole(h handlers.Handler) map[string]any {
	p := map[string]any{}
	c := map[string]any{
		"id":          g.text(handlers.Text{Min: 1, Max: 128, Pattern: regexp.MustCompile(`x[A-Za-z0-9._:-]*`)}),
		"action":      h.Action(),
		"parameters":  p,
		"account":     g.text(handlers.Text{Pattern: regexp.MustCompile(`[0-9]{12}`)}),
		"region":      g.text(handlers.Text{Max: 32, Pattern: regexp.MustCompile(`[a-z]{2}(-[a-z0-9]{1,9}){1,2}`)}),
		"reason":      g.text(handlers.Text{Max: 1024}),
		"requestedBy": g.text(handlers.Text{Max: 128}),
		"campaign":    g.text(handlers.Text{Max: 128}),
		"expiresAt":   g.text(handlers.Text{Pattern: regexp.MustCompile(`20[0-9]{2}-(0[1-9]|1[0-2])-[01][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])`)}),
		"confirm":     []string{"0", "0s", "0h0m", "+0.0s", "-0s", "90s", "+1h30.5m", ".5ms", "12h"}[g.IntN(9)],
		"dryRun":      g.IntN(2) == 0,
	}
	for _, f := range h.Fields() {
		if p[f.Name] = g.value(f); f.ARN == handlers.IsARN {
			region := c["region"].(string)
			p[f.Name] = fmt.Sprintf("arn:%s:x:%s:%s:y", handlers.PartitionOf(region), region, c["account"])
		}
	}
	return c
}

func (g generator) value(f handlers.Field) any {
	n := max(f.MinItems, 1) + g.IntN(3)
	switch f.Kind {
	case handlers.String:
		return g.text(f.Text)
	case handlers.Boolean:
		return g.IntN(2) == 0
	case handlers.Long:
		return g.Int64N(1<<54-1) - (1<<53 - 1)
	case handlers.Strings:
		items := []string{}
		for len(items) < n {
			if item := g.text(f.Text); !slices.Contains(items, item) {
				items = append(items, item)
			}
		}
		return items
	case handlers.StringMap:
		pairs := map[string]string{}
		for len(pairs) < n {
			pairs[g.text(f.KeyText)] = g.text(f.Text)
		}
		return pairs
	}
	g.t.Fatalf("field %s has a kind that the generator does not know: teach it, and the schema", f.Name)
	return nil
}

// text is a text that keeps the rules.
func (g generator) text(t handlers.Text) string {
	if len(t.Enum) > 0 {
		return t.Enum[g.IntN(len(t.Enum))]
	}
	pattern := "(?s).*"
	if t.Pattern != nil {
		pattern = t.Pattern.String()
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		g.t.Fatal(err)
	}
	for range 10_000 {
		var b strings.Builder
		g.match(&b, tree)
		if n := utf8.RuneCountInString(b.String()); n >= t.Min && (t.Max == 0 || n <= t.Max) {
			return b.String()
		}
	}
	g.t.Fatalf("found no text of %d to %d characters for %s", t.Min, t.Max, pattern)
	return ""
}

// match writes a text that the expression matches.
func (g generator) match(b *strings.Builder, e *syntax.Regexp) {
	times := func(least, most int) {
		for range least + g.IntN(most-least+1) {
			g.match(b, e.Sub[0])
		}
	}
	switch e.Op {
	case syntax.OpLiteral:
		b.WriteString(string(e.Rune))
	case syntax.OpCharClass:
		at := 2 * g.IntN(len(e.Rune)/2)
		b.WriteRune(e.Rune[at] + g.Int32N(e.Rune[at+1]-e.Rune[at]+1))
	case syntax.OpAnyChar:
		b.WriteRune([]rune("aZ9 é\n\"\\/\u2028😀")[g.IntN(11)])
	case syntax.OpStar:
		times(0, 12)
	case syntax.OpPlus:
		times(1, 12)
	case syntax.OpQuest:
		times(0, 1)
	case syntax.OpRepeat:
		if e.Max < 0 { // no bound
			e.Max = e.Min + 3
		}
		times(e.Min, e.Max)
	case syntax.OpAlternate:
		g.match(b, e.Sub[g.IntN(len(e.Sub))])
	case syntax.OpConcat:
		for _, sub := range e.Sub {
			g.match(b, sub)
		}
	case syntax.OpCapture:
		g.match(b, e.Sub[0])
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpEmptyMatch:
	case syntax.OpNoMatch, syntax.OpAnyCharNotNL, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		g.t.Fatalf("the generator does not know %v of %s: teach it", e.Op, e)
	}
}

// mutation breaks one rule of a whole command or of its parameters.
type mutation struct {
	name string
	do   func(c, p map[string]any)
}

// ofCommands are the rules of the command's own members.
func ofCommands() []mutation {
	set := func(name string, values ...any) []mutation {
		var all []mutation
		for _, v := range values {
			all = append(all, mutation{fmt.Sprintf("%s %.40v", name, v), func(c, _ map[string]any) { c[name] = v }})
		}
		return all
	}
	remove := func(name string) []mutation {
		return []mutation{{"no " + name, func(c, _ map[string]any) { delete(c, name) }}}
	}
	var all []mutation
	for _, name := range []string{"id", "action", "account", "region", "reason", "requestedBy", "campaign", "expiresAt", "confirm"} {
		all = append(all, set(name, 7, true, []string{"x"}, map[string]string{})...)
	}
	long := func(n int) string { return strings.Repeat("é", n) }
	return slices.Concat(all,
		set("id", "", "a/b", "é", "a\n", strings.Repeat("a", 129), "ce:1", "eb:1", "sns:1", "sqs:1", "msg:1"),
		set("action", nil, "", "x:Y", "batch:canceljob"), remove("action"), remove("parameters"),
		set("parameters", nil, "x", []string{}), set("extra", 1), set("ID", "x"),
		set("account", "", "12345678901", "1234567890123", "12345678901x"),
		set("region", "", "useast", "US-EAST-1", "us--1", "1us-east", "us-east-", "us-"+strings.Repeat("e", 30)),
		set("reason", long(1025)), set("requestedBy", long(129)), set("campaign", long(129)),
		set("expiresAt", "", "tomorrow", "2026-02-30T00:00:00Z", "2026-11-21T12:00:00", "2026-11-21T1:00:00Z", "2026-11-21T12:00:00+24:00"),
		set("confirm", "", "10", "0 s", "-1s", "1d", "1h m", "."), set("escalate", 5, "x", "-2m"), set("dryRun", "true", 1),
	)
}

// ofParameters are the rules of a handler's fields.
func ofParameters(h handlers.Handler) []mutation {
	all := []mutation{{"parameters.extra", func(_, p map[string]any) { p["extra"] = "x" }}}
	for _, f := range h.Fields() {
		set := func(v any) {
			all = append(all, mutation{fmt.Sprintf("%s %.40v", f.Name, v), func(_, p map[string]any) { p[f.Name] = v }})
		}
		if f.Required && !f.Reason {
			set(nil)
			all = append(all, mutation{"no " + f.Name, func(_, p map[string]any) { delete(p, f.Name) }})
		}
		switch f.Kind {
		case handlers.String:
			for _, v := range brokenTexts(f.Text) {
				set(v)
			}
			set(7)
		case handlers.Boolean:
			set("true")
			set(1)
		case handlers.Long:
			set("1")
			set(1.5)
			set(1 << 53)
			set(-1 << 53)
		case handlers.Strings:
			set("x")
			set([]any{7})
			set([]any{nil})
			for _, v := range brokenTexts(f.Text) {
				set([]string{v})
			}
			if f.MinItems > 0 {
				set([]string{})
			}
			if f.MaxItems > 0 {
				many := make([]string, f.MaxItems+1)
				for i := range many {
					many[i] = fmt.Sprint("s-", i)
				}
				set(many)
			}
			if f.Unique {
				all = append(all, mutation{f.Name + " twice", func(_, p map[string]any) {
					p[f.Name] = append(p[f.Name].([]string), p[f.Name].([]string)[0])
				}})
			}
		case handlers.StringMap:
			set([]string{})
			set(map[string]any{"a": 7})
			set(map[string]any{"a": nil})
			if f.MinItems > 0 {
				set(map[string]any{})
			}
			if f.MaxItems > 0 {
				many := map[string]string{}
				for i := range f.MaxItems + 1 {
					many[fmt.Sprint("k", i)] = "v"
				}
				set(many)
			}
			for _, v := range brokenTexts(f.Text) {
				set(map[string]string{"a": v})
			}
			for _, v := range brokenTexts(f.KeyText) {
				set(map[string]string{v: "a"})
			}
		}
		if f.Reason {
			for _, v := range brokenTexts(f.Text) {
				if v != "" { // an empty reason is none, and the constant one stands in
					all = append(all, mutation{fmt.Sprintf("reason for %s %.40q", f.Name, v), func(c, p map[string]any) {
						delete(p, f.Name)
						c["reason"] = v
					}})
				}
			}
		}
	}
	return all
}

// brokenTexts break one rule of a text each, and perhaps others too.
func brokenTexts(t handlers.Text) []string {
	var all []string
	if t.Min > 0 {
		all = append(all, strings.Repeat("a", t.Min-1))
	}
	if len(t.Enum) == 0 {
		all = append(all, strings.Repeat("a", cmp.Or(t.Max, 1024)+1))
	}
	if len(t.Enum) > 0 {
		all = append(all, t.Enum[0]+"x", strings.ToLower(t.Enum[0]))
	}
	if t.Pattern != nil {
		whole := regexp.MustCompile(`\A(?:` + t.Pattern.String() + `)\z`)
		for _, s := range []string{"", "a b", "a\n", "\x00", "é/", "a\uFFFE"} {
			if !whole.MatchString(s) {
				all = append(all, s)
			}
		}
	}
	return all
}
