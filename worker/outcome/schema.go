package outcome

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// keywords are a part of a JSON Schema.
type keywords = map[string]any

// unsaid are the rules that outcomes keep and the schema does not say. They stand in its
// $comment.
const unsaid = "Outcomes also keep these rules, which this schema does not say. " +
	"An event is at most 204800 bytes (200 KiB). " +
	"Its id is made of the command's key in the ledger alone, subject is data.commandId and time is data.finishedAt. " +
	"The counts' sum is the number of targets, those of targetsOmitted included; " +
	"a status other than partial is that of all targets, and of partial the worst of their verdicts is the verdict. " +
	"Members that are not named here may come with newer workers: pass over them."

// Schema is the JSON Schema (draft 2020-12) of outcomes: of the whole event, as Encode writes
// it. Members that it does not name are allowed, as newer workers may write them. It is ASCII,
// indented, and always the same bytes.
func Schema() []byte {
	s := objectOf(reflect.TypeFor[Event](), keywords{
		"specversion":     keywords{"const": "1.0"},
		"id":              matching(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`),
		"source":          matching(`^/rescind/`),
		"type":            keywords{"const": Type},
		"datacontenttype": keywords{"const": "application/json"},
		"traceparent":     matching(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`),
		"data":            dataSchema(),
	})
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$comment"] = unsaid
	s["title"] = "Rescind outcome"
	s["description"] = "What became of one command: a CloudEvents 1.0 event in structured JSON, the body of a message on the results topic."
	s["$defs"] = keywords{"target": objectOf(reflect.TypeFor[Target](), keywords{
		"status": keywords{"enum": targetStatuses()},
		"before": described("AWS's state before the call, where it is known; of a dry run the one that was read."),
		"prediction": keywords{
			"description": "Of a dry run: the status that the real command would most likely have. Left out where that cannot be known; the message says why.",
			"enum":        predictions(),
		},
	})}
	text, err := json.Marshal(s, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil { // not met: texts and numbers alone
		panic(fmt.Sprintf("outcome: writing the schema: %v", err))
	}
	return append(text, '\n')
}

func dataSchema() keywords {
	counts := keywords{}
	for _, s := range targetStatuses() {
		counts[string(s)] = keywords{"type": "integer", "minimum": 1}
	}
	s := objectOf(reflect.TypeFor[Data](), keywords{
		"parameters":  keywords{"type": "object", "description": "As sent."},
		"status":      keywords{"enum": handlers.Statuses()},
		"verdict":     texts(),
		"counts":      keywords{"type": "object", "description": "The number of targets by status.", "properties": counts, "additionalProperties": false},
		"targets":     keywords{"type": "array", "items": keywords{"$ref": "#/$defs/target"}},
		"confirmedBy": keywords{"enum": []Confirmation{ConfirmedByNone, ConfirmedByPoll, ConfirmedByEvent}},
		"attempts":    objectOf(reflect.TypeFor[Attempts](), nil),
	})
	s["oneOf"] = verdicts()
	return s
}

// targetStatuses are those that a target can have.
func targetStatuses() []handlers.Status {
	return slices.DeleteFunc(handlers.Statuses(), func(s handlers.Status) bool { return s == handlers.Partial })
}

// predictions are those that a real command's target has where it is run.
func predictions() []handlers.Status {
	return slices.DeleteFunc(targetStatuses(), func(s handlers.Status) bool { return s.Verdict() == handlers.NotRun })
}

// verdicts are the pairs of a command's status and verdict. Policy's denial is no run, AWS's is no stop; of
// several targets it is the worst.
func verdicts() []keywords {
	var pairs []keywords
	for _, s := range handlers.Statuses() {
		allowed := []handlers.Verdict{s.Verdict()}
		if s == handlers.Denied {
			allowed = append(allowed, handlers.NotRun)
		}
		if s == handlers.Partial {
			allowed = []handlers.Verdict{handlers.Stopped, handlers.Pending, handlers.NotStopped, handlers.NotRun}
		}
		pairs = append(pairs, keywords{"properties": keywords{"status": keywords{"const": s}, "verdict": keywords{"enum": allowed}}})
	}
	return pairs
}

// objectOf is the schema of a struct as package json writes it: by the types and tags of its fields, save those
// that are given. A field without an option is always there.
func objectOf(t reflect.Type, given keywords) keywords {
	properties, required := keywords{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if option == "" {
			required = append(required, name)
		}
		if properties[name] = given[name]; given[name] == nil {
			properties[name] = valueOf(f.Type, option != "")
		}
	}
	return keywords{"type": "object", "properties": properties, "required": required}
}

// valueOf is the schema of a text, time, number or boolean. One that may be left out is so where it would be
// empty, zero or false.
func valueOf(t reflect.Type, optional bool) keywords {
	switch {
	case t == reflect.TypeFor[time.Time](): // in UTC
		o := matching(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z$`)
		o["format"] = "date-time"
		return o
	case t.Kind() == reflect.Bool && optional:
		return keywords{"const": true}
	case t.Kind() == reflect.Bool:
		return keywords{"type": "boolean"}
	case t.Kind() == reflect.Int && optional:
		return keywords{"type": "integer", "minimum": 1}
	case t.Kind() == reflect.Int:
		return keywords{"type": "integer", "minimum": 0}
	case t.Kind() == reflect.String && optional:
		return texts()
	case t.Kind() == reflect.String:
		return keywords{"type": "string"}
	}
	panic("outcome: the schema has no word for a " + t.String())
}

func described(text string) keywords {
	s := texts()
	s["description"] = text
	return s
}

// texts are left out where they would be empty.
func texts() keywords { return keywords{"type": "string", "minLength": 1} }

func matching(pattern string) keywords { return keywords{"type": "string", "pattern": pattern} }
