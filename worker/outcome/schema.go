package outcome

import (
	"fmt"

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
	text, err := json.Marshal(keywords{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$comment":    unsaid,
		"title":       "Rescind outcome",
		"description": "What became of one command: a CloudEvents 1.0 event in structured JSON, the body of a message on the results topic.",
		"type":        "object",
		"properties": keywords{
			"specversion":     keywords{"const": "1.0"},
			"id":              matching(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`),
			"source":          matching(`^/rescind/`),
			"type":            keywords{"const": Type},
			"subject":         texts(),
			"time":            times(),
			"datacontenttype": keywords{"const": "application/json"},
			"traceparent":     matching(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`),
			"data":            dataSchema(),
		},
		"required": []string{"specversion", "id", "source", "type", "datacontenttype", "data"},
		"$defs":    keywords{"target": targetSchema()},
	}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil { // not met: texts and numbers alone
		panic(fmt.Sprintf("outcome: writing the schema: %v", err))
	}
	return append(text, '\n')
}

func dataSchema() keywords {
	counts := keywords{}
	var verdicts []keywords
	for _, s := range handlers.Statuses() {
		counts[string(s)] = keywords{"type": "integer", "minimum": 1}
		// Policy's denial is no run, AWS's is no stop; of several targets it is the worst.
		allowed := []handlers.Verdict{s.Verdict()}
		switch s {
		case handlers.Denied:
			allowed = append(allowed, handlers.NotRun)
		case handlers.Partial:
			allowed = []handlers.Verdict{handlers.Stopped, handlers.Pending, handlers.NotStopped, handlers.NotRun}
		case handlers.Cancelled, handlers.AlreadyCancelled, handlers.AlreadyEnded, handlers.Accepted, handlers.NotCancellable,
			handlers.NotFound, handlers.Conflict, handlers.Failed, handlers.Invalid, handlers.Expired, handlers.Aborted, handlers.DryRun:
		}
		verdicts = append(verdicts, keywords{"properties": keywords{"status": keywords{"const": s}, "verdict": keywords{"enum": allowed}}})
	}
	delete(counts, string(handlers.Partial)) // no target's status
	return keywords{
		"type": "object",
		"properties": keywords{
			"commandId":      texts(),
			"action":         texts(),
			"status":         keywords{"enum": handlers.Statuses()},
			"verdict":        texts(),
			"counts":         keywords{"type": "object", "description": "The number of targets by status.", "properties": counts, "additionalProperties": false},
			"targets":        keywords{"type": "array", "items": keywords{"$ref": "#/$defs/target"}},
			"targetsOmitted": keywords{"type": "integer", "minimum": 1},
			"code":           texts(),
			"message":        texts(),
			"account":        texts(),
			"region":         texts(),
			"reason":         texts(),
			"requestedBy":    texts(),
			"sender":         texts(),
			"campaign":       texts(),
			"dryRun":         keywords{"type": "boolean"},
			"resumed":        keywords{"type": "boolean"},
			"escalated":      keywords{"type": "boolean"},
			"confirmedBy":    keywords{"enum": []Confirmation{ConfirmedByNone, ConfirmedByPoll, ConfirmedByEvent}},
			"attempts":       attemptsSchema(),
			"enqueuedAt":     times(),
			"receivedAt":     times(),
			"finishedAt":     times(),
			"worker":         texts(),
		},
		"required": []string{"status", "verdict", "counts", "targets", "dryRun", "resumed", "escalated", "confirmedBy", "attempts"},
		"oneOf":    verdicts,
	}
}

func targetSchema() keywords {
	var statuses []handlers.Status
	for _, s := range handlers.Statuses() {
		if s != handlers.Partial {
			statuses = append(statuses, s)
		}
	}
	return keywords{
		"type": "object",
		"properties": keywords{
			"id": keywords{"type": "string"}, "status": keywords{"enum": statuses}, "before": texts(), "after": texts(),
			"code": texts(), "message": texts(), "requestId": texts(),
		},
		"required": []string{"id", "status"},
	}
}

func attemptsSchema() keywords {
	count := keywords{"type": "integer", "minimum": 0}
	return keywords{
		"type":       "object",
		"properties": keywords{"calls": count, "throttled": count, "unavailable": count, "firstError": texts(), "lastError": texts()},
		"required":   []string{"calls", "throttled", "unavailable"},
	}
}

// texts are left out where they would be empty.
func texts() keywords { return keywords{"type": "string", "minLength": 1} }

func matching(pattern string) keywords { return keywords{"type": "string", "pattern": pattern} }

// times are RFC 3339's, in UTC.
func times() keywords {
	o := matching(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z$`)
	o["format"] = "date-time"
	return o
}
