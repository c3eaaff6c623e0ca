package command_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// requests are parameters as AWS's own pages show them: the page of the operation in its service's
// API reference (its request syntax also, where every text is "string"; FSx has a list for a text,
// which is a mistake of that page), or in the AWS CLI's, from the command line's options. Of some
// a part is changed so that they break a rule.
var requests = []struct{ action, parameters string }{
	{"emr:CancelSteps", `{ "ClusterId": "j-2G7RS6DJZE39D", "StepIds": [ "s-11B5G7VIKHCZQ", "s-23PUT0NR3XF6O", "s-2NUYMUZ3ADACC", "s-10O5XO5JUY9OE", "s-CS88G2XK4N7X", "s-2M366D3KU4OTZ" ] }`},
	{"emr:CancelSteps", `{ "ClusterId": "string", "StepCancellationOption": "string", "StepIds": [ "string" ] }`},
	{"emr:CancelSteps", `{"ClusterId":"j-1","StepIds":["s-1"],"StepCancellationOption":"SEND_INTERRUPT"}`},
	{"batch:CancelJob", "{\n  \"reason\": \"Cancelling job.\",\n  \"jobId\": \"1d828f65-7a4d-42e8-996d-3b900ed59dc4\"\n}"},
	{"batch:TerminateJob", `{"jobId": "61e743ed-35e4-48da-b2de-5c8333821c84", "reason": "Terminating job."}`},
	{"iot:CancelJobExecution", `{"thingName":"MyThing","jobId":"example-job-01","force":true,"expectedVersion": 2, "statusDetails": { "string" : "string" }}`},
	{"iot:CancelJobExecution", `{"thingName":"MyThing","jobId":"example-job-01","expectedVersion":-0,"statusDetails":{"a":"\ud83d\ude00"}}`},
	{"iot:CancelJob", `{"jobId":"example-job-03","force":false,"reasonCode":"OVER_BUDGET","comment":"string"}`},
	{"swf:RequestCancelWorkflowExecution", `{"domain": "867530901", "workflowId": "20110927-T-1", "runId": "94861fda-a714-4126-95d7-55ba847da8ab"}`},
	{"swf:TerminateWorkflowExecution", `{"domain": "867530901", "workflowId": "20110927-T-1", "runId": "cef6f57d-81d7-4a5f-8d5d-7bf3e0e3d1a5", "reason": "transaction canceled", "details": "customer credit card declined", "childPolicy": "TERMINATE"}`},
	{"fsx:CancelDataRepositoryTask", `{ "TaskId": "task-0123456789abcdef0" }`},
	{"fsx:CancelDataRepositoryTask", `{ "TaskId": ["task-0123456789abcdef0"] }`},
	{"fsx:CancelDataRepositoryTask", `{ "TaskId": "task-0123456789abcdef0x" }`},
	{"iot:CancelJob", `{"jobId":"example-job-03\n"}`},
	{"stepfunctions:StopExecution", `{"executionArn":"arn:aws:states:us-east-1:123456789012:execution:HelloWorld:test","error":"E","cause":"c"}`},
}

// addBodies seeds a target with messages: those requests as commands, in every envelope as AWS
// writes it, what the tests by hand refuse, and the JSON Parsing Test Suite in small.
func addBodies(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(run(r.action, r.parameters)))
	}
	for _, body := range []string{
		page, job(""), cloud("/a", page), bridged(page), notification(page), notification(cloud("/a", page)), notification(bridged(page)),
		job(`"dryRun":true,"confirm":"0s"`), job(`"expiresAt":"9999-12-31T23:59:59-23:59"`), notification(notification(page)),
	} {
		f.Add([]byte(body))
	}
	for _, row := range invalidRows() {
		if len(row.body) < 2000 {
			f.Add([]byte(row.body))
		}
	}
	for _, text := range suite(f) {
		if len(text) < 2000 {
			f.Add([]byte(text))
			f.Add([]byte(run("batch:CancelJob", `{"jobId":`+text+`}`)))
		}
	}
}

// FuzzDecode: whatever comes in is a command that means the same when it is written out and
// read again, or an error that names field and rule.
func FuzzDecode(f *testing.F) {
	addBodies(f)
	d := command.NewDecoder(services(), own)
	f.Fuzz(func(t *testing.T, body []byte) {
		if c, _ := answered(t, d, body); c != nil {
			same(t, d, c)
		}
	})
}

// same holds a command to what it is when it is written out canonically and read again.
func same(t *testing.T, d *command.Decoder, c *command.Command) {
	t.Helper()
	again, err := d.Decode(written(t, c), command.Message{ID: "m-2"})
	if err != nil {
		t.Fatalf("written out, it is invalid: %v", err)
	}
	if again.Fingerprint() != c.Fingerprint() {
		t.Error("written out, its fingerprint is another")
	}
	if text := canonical(t, c); sha256.Sum256(text) != c.Fingerprint() {
		t.Errorf("its fingerprint is not that of %s", text)
	}
	want := *c
	want.ID = again.ID                  // see written
	want.Parameters = again.Parameters  // equal by their fingerprints
	want.Via, want.TraceParent = "", "" // the envelope's, which is off
	if !strings.HasSuffix(c.ID, again.ID[4:]) || !reflect.DeepEqual(*again, want) {
		t.Errorf("written out and read again:\n%+v\nwas\n%+v", *again, want)
	}
}

// canonical is what the fingerprint is the hash of.
func canonical(t *testing.T, c *command.Command) jsontext.Value {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"account": c.Account, "action": c.Action, "parameters": json.RawMessage(c.Parameters), "region": c.Region,
	})
	whole := jsontext.Value(text)
	if err = errors.Join(err, whole.Canonicalize()); err != nil {
		t.Fatal(err)
	}
	return whole
}

// written is a command as a sender would write it, its parameters in canonical JSON. An id that
// the decoder made would be refused, so that its beginning is written otherwise.
func written(t *testing.T, c *command.Command) []byte {
	t.Helper()
	parameters := jsontext.Value(slices.Clone(c.Parameters))
	if err := parameters.Canonicalize(); err != nil {
		t.Fatalf("the parameters are no JSON: %v", err)
	}
	id := c.ID
	for _, made := range []string{"ce:", "eb:", "sns:", "sqs:"} {
		if rest, found := strings.CutPrefix(id, made); found {
			id = strings.Repeat("x", len(made)) + rest
		}
	}
	if len(id) < 4 {
		id = "xxxx"[len(id):] + id
	}
	m := map[string]any{
		"id": id, "action": c.Action, "parameters": json.RawMessage(parameters), "account": c.Account,
		"region": c.Region, "reason": c.Reason, "requestedBy": c.RequestedBy, "campaign": c.Campaign, "dryRun": c.DryRun,
	}
	if !c.ExpiresAt.IsZero() {
		m["expiresAt"] = c.ExpiresAt.Format(time.RFC3339Nano)
	}
	if c.Confirm != nil {
		m["confirm"] = c.Confirm.String()
	}
	if c.Escalate > 0 {
		m["escalate"] = c.Escalate.String()
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatalf("writing the command: %v", err)
	}
	return body
}

// FuzzEnvelopes: a text in an envelope is the command, or the fault, that it is by itself.
func FuzzEnvelopes(f *testing.F) {
	addBodies(f)
	d := command.NewDecoder(services(), own)
	f.Fuzz(func(t *testing.T, text []byte) {
		alone, fault := answered(t, d, text)
		_, bare := d.DecodeBare(text, command.Message{ID: "m-1"})
		if (fault == nil) != (bare == nil) || fault != nil && fault.Error() != bare.Error() || len(text) > command.MaxBytes {
			return // an envelope already, or of a size that white space around it decides
		}
		if text := string(text); utf8.ValidString(text) {
			alike(t, d, "Message", snsID, notification(text), alone, fault)
		}
		if value := jsontext.Value(text); !value.IsValid() || value.Kind() == jsontext.KindNull {
			return // it would break the envelope, or be left out of it
		}
		alike(t, d, "data", costGuard, cloud("/cost-guard", string(text)), alone, fault)
		alike(t, d, "detail", ebID, bridged(string(text)), alone, fault)
		alike(t, d, "data", costGuard, notification(cloud("/cost-guard", string(text))), alone, fault)
		alike(t, d, "detail", ebID, notification(bridged(string(text))), alone, fault)
	})
}

// alike decodes a body in whose field at stands what gave c or fault by itself.
func alike(t *testing.T, d *command.Decoder, at, id, body string, c *command.Command, fault *command.Error) {
	t.Helper()
	got, gotFault := answered(t, d, []byte(body))
	if (gotFault == nil) != (fault == nil) {
		t.Fatalf("%s\ngives %v, by itself %v", body, gotFault, fault)
	}
	var want command.Command
	if fault != nil {
		field := fault.Field
		if field == "body" || at != "Message" && strings.HasPrefix(gotFault.Field, at+".") {
			field = gotFault.Field // where in the text
		}
		if gotFault.Field != field || gotFault.Rule != fault.Rule {
			t.Errorf("%s\ngives %v, by itself %v", body, gotFault, fault)
		}
		got, want = &gotFault.Command, fault.Command
	} else {
		want = *c
	}
	if want.ID == "sqs:m-1" {
		want.ID = id
	}
	want.Via, want.TraceParent = got.Via, got.TraceParent
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("%s\ngives %+v\nby itself %+v", body, *got, want)
	}
}

// FuzzParameters: whatever parameters come for an action, they keep every rule of its fields
// and come to targets, or are refused by the name of one.
func FuzzParameters(f *testing.F) {
	hs := services()
	slices.SortFunc(hs, func(a, b handlers.Handler) int { return strings.Compare(string(a.Action()), string(b.Action())) })
	for i, h := range hs {
		for _, r := range requests {
			if r.action == string(h.Action()) {
				f.Add(uint8(i), []byte(r.parameters), "cost guard: queue over budget")
				f.Add(uint8(i), []byte(r.parameters), "")
			}
		}
		f.Add(uint8(i), []byte(`{}`), strings.Repeat("é", 1024))
	}
	d := command.NewDecoder(hs, own)
	f.Fuzz(func(t *testing.T, at uint8, parameters []byte, reason string) {
		h := hs[int(at)%len(hs)]
		var unchecked handlers.Parameters
		if json.Unmarshal(parameters, &unchecked) == nil {
			_, _ = h.Targets(unchecked) // what the fields would refuse is no reason to panic
		}
		text, err := jsontext.AppendQuote(nil, reason)
		if err != nil {
			return // no UTF-8
		}
		c, fault := answered(t, d, []byte(`{"action":"`+string(h.Action())+`","reason":`+string(text)+`,"parameters":`+string(parameters)+`}`))
		if fault != nil {
			return
		}
		obeyed(t, h.Fields(), c.Params)
		same(t, d, c)
		if targets, err := h.Targets(c.Params); err != nil || !reflect.DeepEqual(targets, c.Targets) {
			t.Errorf("asked again, the targets are %v, %v", targets, err)
		}
	})
}

// FuzzLarge: no text of 256 KiB takes long, whatever is large in it.
func FuzzLarge(f *testing.F) {
	for _, l := range larges() {
		f.Add(l.head, l.unit, l.tail)
	}
	d := command.NewDecoder(services(), own)
	f.Fuzz(func(t *testing.T, head, unit, tail string) {
		judged(t, d, large{head, unit, tail}.body(command.MaxBytes))
	})
}

// FuzzSchema: what the decoder takes, the schema takes; what it refuses, the schema refuses, or
// its comment names the rule.
func FuzzSchema(f *testing.F) {
	addBodies(f)
	hs := services()
	s, d := compile(f, command.Schema(hs)), command.NewDecoder(hs, own)
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, ok := parsed(body)
		if !ok {
			return
		}
		bySchema := s.Validate(doc)
		_, byDecoder := d.DecodeBare(body, command.Message{ID: "m-1"})
		switch {
		case byDecoder == nil && bySchema != nil && !roundedToNothing(body):
			t.Errorf("%q\nis refused by the schema alone: %v", body, bySchema)
		case byDecoder != nil && bySchema == nil && unsaidRule(byDecoder.Error()) == "":
			t.Errorf("%q\nis taken by the schema, and its comment does not say that %v", body, byDecoder)
		}
	})
}

// roundedToNothing tells whether confirm is a duration that Go rounds to none, which the schema
// does not know for one.
func roundedToNothing(body []byte) bool {
	var c struct{ Confirm string }
	d, err := time.Duration(0), json.Unmarshal(body, &c)
	if err == nil {
		d, err = time.ParseDuration(c.Confirm)
	}
	return err == nil && d == 0 && strings.HasPrefix(c.Confirm, "-")
}
