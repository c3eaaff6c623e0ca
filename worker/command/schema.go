package command

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// keywords are a part of a JSON Schema.
type keywords = map[string]any

// unsaid are the rules that a command must keep and the schema does not say. They stand in its
// $comment.
var unsaid = []string{
	"The text is UTF-8 and one JSON object of at most 262144 bytes (256 KiB); no name is given twice in an object, at any depth.",
	`No escape stands for half a character: \ud83d\ude00 is one, \ud83d alone is none.`,
	"A whole number is written without fraction or exponent: 1, not 1.0 or 1e0.",
	"expiresAt lies, in UTC, in the years 0000 to 9999, and is not the first instant of year 1.",
	"A parameter of whose length AWS says nothing has at most 1024 bytes; its maxLength says 1024 characters.",
	"An action may have rules that join its parameters.",
	"confirm is at most 12h; escalate is above 0, at most 6h, shorter than confirm, and given only where there is a stronger action than what the parameters ask for.",
	"An ARN among the parameters is well formed, its region one of its partition, and account and region are those of the ARN where they are given.",
	"An id is not used again for a command with another action, parameters, account or region.",
	"Account, region, expiry and policy are judged when the command is run.",
}

const (
	// arnPattern says nothing of the resource, which is the service's.
	arnPattern = `^arn:[^:]+:[^:]+:[a-z][a-z0-9]*(?:-[a-z0-9]+)+:[0-9]{12}:`
	// durationPattern is a duration of Go's that is not negative; "-0s" is none. (What Go rounds to nothing,
	// "-0.1ns", is taken too, and the schema refuses it.)
	durationPattern = `^(?:\+?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)` +
		`|-(?:0|(?:(?:0+(?:\.0*)?|\.0+)(?:ns|us|µs|μs|ms|s|m|h))+))$`
)

// Schema is the JSON Schema (draft 2020-12) of commands of the handlers' actions: as strict as
// a schema can be, its $comment listing the rules that it does not say. It is ASCII, indented,
// and the same bytes for the same handlers in any order. Its patterns keep to what ECMA-262
// (with flag u) and RE2 read alike, as far as the handlers' own do.
func Schema(hs []handlers.Handler) []byte {
	hs = slices.SortedFunc(slices.Values(hs), func(a, b handlers.Handler) int {
		return strings.Compare(string(a.Action()), string(b.Action()))
	})
	var actions []string
	var rules []keywords
	parameters := keywords{}
	for _, h := range hs {
		name := string(h.Action())
		actions = append(actions, name)
		parameters[name] = parametersOf(h)
		rules = append(rules, keywords{
			"if":   keywords{"properties": keywords{"action": keywords{"const": name}}, "required": []string{"action"}},
			"then": ruleOf(h),
		})
	}
	text, err := json.Marshal(keywords{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"$comment":             "A command must also keep these rules, which this schema does not say. " + strings.Join(unsaid, " "),
		"title":                "Rescind command",
		"description":          "One request to cancel AWS work: the body of a message on the commands queue, or what its envelope holds.",
		"type":                 "object",
		"properties":           properties(actions),
		"required":             []string{"action", "parameters"},
		"additionalProperties": false,
		"allOf":                rules,
		"$defs":                parameters,
	}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil { // not met: texts, numbers and booleans alone
		panic(fmt.Sprintf("command: writing the schema: %v", err))
	}
	return append(escaped(text), '\n')
}

// properties are the command's own members.
func properties(actions []string) keywords {
	text := func(about string, t handlers.Text) keywords {
		o := textOf(t)
		o["description"] = about
		return o
	}
	patterned := func(about, pattern string) keywords {
		return keywords{"type": "string", "description": about, "pattern": pattern}
	}
	id := text("The idempotency key. Absent: made of the innermost envelope's id.", handlers.Text{Min: 1, Max: maxID})
	id["pattern"] = idForm.String()
	id["not"] = keywords{"type": "string", "pattern": "^(?:" + strings.Join(reserved, "|") + ")"}
	region := patterned("Default: that of an ARN in the parameters, else the worker's own.", regionForm.String())
	region["maxLength"] = maxRegion
	expiresAt := patterned("When no cancelling call may begin any more, as RFC 3339 writes it.", timeForm.String())
	expiresAt["format"] = "date-time"
	expiresAt["maxLength"] = maxTime
	own := keywords{
		"id":          id,
		"account":     patterned("Twelve digits. Default: that of an ARN in the parameters, else the worker's own.", accountForm.String()),
		"region":      region,
		"reason":      text("Why. It fills the API's own reason where the parameters have none.", reasonText),
		"requestedBy": text("Who asked.", nameText),
		"campaign":    text("The set of commands that this one belongs to.", nameText),
		"expiresAt":   expiresAt,
		"confirm":     patterned("How long to look for proof that it stopped, from AWS's first acceptance on. 0s: not at all. Default: the worker's.", durationPattern),
		"escalate":    patterned("How long after acceptance to take the stronger action of what has not stopped. Default: never.", durationPattern),
		"dryRun":      keywords{"description": "True: a preview. Every read is made and no cancelling call; each target of the outcome has its state and a prediction.", "type": "boolean"},
	}
	for _, o := range own {
		orNull(o.(keywords))
	}
	own["action"] = keywords{"description": "service:Operation, the AWS API's own name.", "enum": actions}
	own["parameters"] = keywords{"description": "The operation's own request.", "type": "object"}
	return own
}

// orNull lets a value of one type also be null, as which serializers write what is left out.
func orNull(o keywords) {
	o["type"] = []any{o["type"], "null"}
	if enum, ok := o["enum"].([]string); ok {
		all := []any{nil}
		for _, each := range enum {
			all = append(all, each)
		}
		o["enum"] = all
	}
}

// parametersOf is the schema of an action's parameters.
func parametersOf(h handlers.Handler) keywords {
	fields := keywords{}
	required := []string{}
	for _, f := range h.Fields() {
		o := fieldOf(f)
		if f.Required && !f.Reason {
			required = append(required, f.Name)
		} else {
			orNull(o)
		}
		fields[f.Name] = o
	}
	return keywords{"type": "object", "properties": fields, "required": required, "additionalProperties": false}
}

// ruleOf is what an action demands of a command: its parameters, and of the command's reason,
// where that stands for the API's own, what the API takes.
func ruleOf(h handlers.Handler) keywords {
	own := keywords{"parameters": keywords{"$ref": "#/$defs/" + string(h.Action())}}
	if _, ok := h.(handlers.Escalator); !ok {
		own["escalate"] = keywords{"type": "null"}
	}
	rule := keywords{"properties": own}
	for _, f := range h.Fields() {
		if f.Reason {
			said := keywords{"required": []string{f.Name}, "properties": keywords{f.Name: keywords{"not": keywords{"type": "null"}}}}
			rule["if"] = keywords{"properties": keywords{"parameters": keywords{"not": said}}}
			rule["then"] = keywords{"properties": keywords{"reason": keywords{"anyOf": []keywords{{"maxLength": 0}, textOf(f.Text)}}}}
		}
	}
	return rule
}

// fieldOf is the schema of one parameter.
func fieldOf(f handlers.Field) keywords {
	var o keywords
	switch f.Kind {
	case handlers.String:
		if o = textOf(f.Text); f.ARN == handlers.IsARN {
			o["pattern"] = arnPattern
		}
	case handlers.Boolean:
		o = keywords{"type": "boolean"}
	case handlers.Long:
		o = keywords{"type": "integer", "minimum": -maxWhole, "maximum": maxWhole}
	case handlers.Strings:
		o = keywords{"type": "array", "items": textOf(f.Text)}
		bound(o, "minItems", f.MinItems)
		bound(o, "maxItems", f.MaxItems)
		if f.Unique {
			o["uniqueItems"] = true
		}
	case handlers.StringMap:
		o = keywords{"type": "object", "propertyNames": textOf(f.KeyText), "additionalProperties": textOf(f.Text)}
		bound(o, "minProperties", f.MinItems)
		bound(o, "maxProperties", f.MaxItems)
	}
	return o
}

// textOf is the schema of a string.
func textOf(t handlers.Text) keywords {
	o := keywords{"type": "string"}
	bound(o, "minLength", t.Min)
	if len(t.Enum) == 0 {
		bound(o, "maxLength", cmp.Or(t.Max, maxUndocumented))
	}
	switch {
	case len(t.Enum) > 0:
		o["enum"] = t.Enum
	case t.Pattern != nil:
		o["pattern"] = "^(?:" + portable(t.Pattern) + ")$"
		if t.Rule != "" {
			o["$comment"] = t.Rule
		}
	}
	return o
}

// bound says a bound where there is one.
func bound(o keywords, keyword string, n int) {
	if n > 0 {
		o[keyword] = n
	}
}

// hexEscape is how RE2 alone writes a character by its number.
var hexEscape = regexp.MustCompile(`\\x\{([0-9A-Fa-f]+)\}`)

// portable is a pattern with its characters written as themselves, which every dialect reads,
// where RE2 writes their numbers. Those that a dialect could take for syntax keep a backslash.
func portable(p *regexp.Regexp) string {
	return hexEscape.ReplaceAllStringFunc(p.String(), func(escape string) string {
		n, _ := strconv.ParseUint(escape[3:len(escape)-1], 16, 32) // RE2 has read it
		return regexp.QuoteMeta(string(rune(n)))
	})
}

// escaped writes every character of a JSON text that is not ASCII by its number, so that no
// terminal or editor makes something else of the patterns.
func escaped(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}
