package outcome_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/outcome"
)

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(outcome.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("outcome.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("outcome.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, event []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// dry is a dry run's outcome.
func dry() outcome.Data {
	d := whole()
	d.DryRun, d.Targets = true, []outcome.Target{
		{ID: "s-1", Status: handlers.DryRun, Before: "PENDING", Prediction: handlers.Accepted},
		{ID: "s-2", Status: handlers.DryRun, Code: "NoPrediction", Message: "not documented"},
	}
	d.Status, d.Verdict, d.Counts = outcome.Of(d.Targets)
	return d
}

// TestSchemaTakesWhatEncodeWrites: every status, alone and among others, cut and uncut.
func TestSchemaTakesWhatEncodeWrites(t *testing.T) {
	s := compile(t)
	events := []outcome.Data{
		whole(),
		dry(),
		{Status: handlers.Invalid, Verdict: handlers.NotRun, Code: outcome.CodeInvalid, Message: "body must not be empty"},
		{Status: handlers.Failed, Verdict: handlers.NotStopped, Code: outcome.CodeInternal, Message: "panic"},
		{Status: handlers.Invalid, Verdict: handlers.NotRun, Campaign: strings.Repeat("\x00", outcome.MaxBytes)},
		{Status: handlers.Denied, Verdict: handlers.NotRun, ConfirmedBy: outcome.ConfirmedByEvent,
			TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", FinishedAt: noon.Add(1)},
	}
	for _, status := range handlers.Statuses() {
		if status == handlers.Partial {
			continue
		}
		for _, n := range []int{1, 256} {
			d := whole()
			d.Targets = nil
			for i := range n {
				d.Targets = append(d.Targets, outcome.Target{ID: fmt.Sprint("s-", i), Status: status, Message: strings.Repeat("m", 2000)})
			}
			d.Status, d.Verdict, d.Counts = outcome.Of(d.Targets)
			events = append(events, d)
			d.Targets = append(d.Targets, outcome.Target{ID: strings.Repeat("long", outcome.MaxBytes/4), Status: handlers.Cancelled})
			d.Status, d.Verdict, d.Counts = outcome.Of(d.Targets)
			events = append(events, d)
		}
	}
	omitted := 0
	for _, d := range events {
		event := encode(t, d)
		omitted += parse(t, event).Data.TargetsOmitted
		if err := validate(t, s, event); err != nil {
			t.Errorf("%.300s\n%v", event, err)
		}
	}
	if omitted == 0 {
		t.Error("no event was cut")
	}
}

// TestSchemaRefuses: an outcome that Encode would not write.
func TestSchemaRefuses(t *testing.T) {
	s := compile(t)
	for name, change := range map[string]func(e, data, target map[string]any){
		"no id":                    func(e, _, _ map[string]any) { delete(e, "id") },
		"an id of another making":  func(e, _, _ map[string]any) { e["id"] = "f47ac10b-58cc-4372-a567-0e02b2c3d479" },
		"another type":             func(e, _, _ map[string]any) { e["type"] = "io.rescind.outcome.v2" },
		"another source":           func(e, _, _ map[string]any) { e["source"] = "/other" },
		"no data":                  func(e, _, _ map[string]any) { delete(e, "data") },
		"a time not in UTC":        func(e, _, _ map[string]any) { e["time"] = "2026-11-21T12:00:00+01:00" },
		"a broken trace":           func(e, _, _ map[string]any) { e["traceparent"] = "00" },
		"no status":                func(_, d, _ map[string]any) { delete(d, "status") },
		"an unknown status":        func(_, d, _ map[string]any) { d["status"] = "canceled" },
		"an unknown verdict":       func(_, d, _ map[string]any) { d["verdict"] = "" },
		"a status of another":      func(_, d, _ map[string]any) { d["status"] = "cancelled" },
		"invalid was not run":      func(_, d, _ map[string]any) { d["status"] = "invalid" },
		"no counts":                func(_, d, _ map[string]any) { delete(d, "counts") },
		"a count of nothing":       func(_, d, _ map[string]any) { d["counts"] = map[string]any{"partial": 1} },
		"targets that are none":    func(_, d, _ map[string]any) { d["targets"] = nil },
		"nothing omitted":          func(_, d, _ map[string]any) { d["targetsOmitted"] = 0 },
		"an empty campaign":        func(_, d, _ map[string]any) { d["campaign"] = "" },
		"dryRun as a text":         func(_, d, _ map[string]any) { d["dryRun"] = "false" },
		"an unknown confirmation":  func(_, d, _ map[string]any) { d["confirmedBy"] = "luck" },
		"no attempts":              func(_, d, _ map[string]any) { delete(d, "attempts") },
		"a target without status":  func(_, _, g map[string]any) { delete(g, "status") },
		"a target without id":      func(_, _, g map[string]any) { delete(g, "id") },
		"a target that is partial": func(_, _, g map[string]any) { g["status"] = "partial" },
		"a dry run foretold":       func(_, _, g map[string]any) { g["prediction"] = "dry_run" },
		"nothing foretold":         func(_, _, g map[string]any) { g["prediction"] = "" },
	} {
		t.Run(name, func(t *testing.T) {
			var e map[string]any
			if err := json.Unmarshal(encode(t, whole()), &e); err != nil {
				t.Fatal(err)
			}
			d := e["data"].(map[string]any)
			change(e, d, d["targets"].([]any)[0].(map[string]any))
			event, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if validate(t, s, event) == nil {
				t.Errorf("the schema takes %s", event)
			}
		})
	}
}

func TestSchemaTakesMoreMembers(t *testing.T) {
	event := strings.Replace(string(encode(t, whole())), `"data":{`, `"extension":1,"data":{"proof":{},`, 1)
	if err := validate(t, compile(t), []byte(event)); err != nil {
		t.Error(err)
	}
}

func TestSchemaIsASCII(t *testing.T) {
	if s := string(outcome.Schema()); strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		t.Error("it is not")
	}
}
