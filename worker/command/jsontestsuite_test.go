package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rescindhq/rescind/worker/command"
)

// suite are the texts of the JSON Parsing Test Suite, by name; see testdata/jsontestsuite.
func suite(t testing.TB) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/jsontestsuite/*.json")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimSuffix(filepath.Base(path), ".json")] = string(text)
	}
	if len(texts) != 318 {
		t.Fatalf("%d texts, want the suite's 318", len(texts))
	}
	return texts
}

// notJSON are the sentences of a text that is no sound JSON.
var notJSON = regexp.MustCompile(`^(body|Message) must (be JSON;|be UTF-8;|be one JSON object;|not be empty)|must not be given twice$`)

// unlike are the texts that are sound by the suite and not by our contract: no name may be
// given twice, since of two readers each might take another of the two.
var unlike = map[string]bool{"y_object_duplicated_key": true, "y_object_duplicated_key_and_value": true}

// TestHostileJSON: whatever the suite holds, wherever it stands in a message, gives a command
// or one fault that names field and rule, and soon; what no parser may take is refused as JSON,
// and what every parser must take is refused for what it is, if at all.
func TestHostileJSON(t *testing.T) {
	d := command.NewDecoder(services(), own)
	places := map[string]func(text string) string{
		"parameter":      func(text string) string { return run("batch:CancelJob", `{"jobId":`+text+`}`) },
		"parameters":     func(text string) string { return run("batch:CancelJob", text) },
		"in CloudEvents": func(text string) string { return cloud("/a", run("batch:CancelJob", text)) },
		"in EventBridge": func(text string) string { return bridged(run("batch:CancelJob", text)) },
		"in SNS":         func(text string) string { return notification(run("batch:CancelJob", text)) },
		"in EventBridge in SNS": func(text string) string {
			return notification(bridged(run("batch:CancelJob", text)))
		},
		"unknown member": func(text string) string { return job(`"x":` + text) },
		// The suite puts most values into a list: here they come out of it.
		"number": func(text string) string {
			text, _ = strings.CutPrefix(text, "[")
			text, _ = strings.CutSuffix(text, "]")
			return run("iot:CancelJobExecution", `{"thingName":"t","jobId":"j","expectedVersion":`+text+`}`)
		},
	}
	accepted, refused := 0, 0
	for name, text := range suite(t) {
		if fault := judged(t, d, []byte(text)); fault == nil {
			t.Errorf("%s alone is a command", name)
		} else if name[0] == 'y' && notJSON.MatchString(fault.Error()) && !unlike[name] {
			t.Errorf("%s alone: %s", name, fault)
		}
		for place, put := range places {
			if !utf8.ValidString(text) && strings.Contains(place, "SNS") {
				continue // what SNS delivers is UTF-8, and so is a Go string in JSON
			}
			fault := judged(t, d, []byte(put(text)))
			if fault == nil {
				accepted++
			} else {
				refused++
			}
			if place == "number" || place == "unknown member" {
				// Out of its list a text may be another; of a stranger that it stands in is said first.
				continue
			}
			switch broken := fault != nil && notJSON.MatchString(fault.Error()); {
			case name[0] == 'n' && !broken:
				t.Errorf("%s as %s: %v, want a fault of JSON", name, place, fault)
			case name[0] == 'y' && broken != unlike[name]:
				t.Errorf("%s as %s: %v, want a fault of JSON: %t", name, place, fault, unlike[name])
			}
		}
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	if accepted == 0 || refused < 2000 {
		t.Error("the places are not what they should be")
	}
}

// TestHostileSizes: the largest message that SQS brings, 1 MiB, is judged soon whatever is
// written large in it. (FuzzLarge looks for others.)
func TestHostileSizes(t *testing.T) {
	d := command.NewDecoder(services(), own)
	for _, l := range larges() {
		judged(t, d, l.body(1<<20))
		judged(t, d, []byte(notification(string(l.body(1<<18)))))
	}
}

// large is a text with one part of it repeated.
type large struct{ head, unit, tail string }

// body is the text of about n bytes.
func (l large) body(n int) []byte {
	times := max(0, n-len(l.head)-len(l.tail)) / max(1, len(l.unit))
	return append(append([]byte(l.head), bytes.Repeat([]byte(l.unit), times)...), l.tail...)
}

func larges() []large {
	return []large{
		{"", "[", ""}, {"", `{"a":`, ""}, {"", " ", ""}, {"", "\xff", ""}, {"", "-", ""},
		{`{"action":`, `[{"a":`, ""},
		{`{"x":`, "9", "}"}, {`{"x":0.`, "0", "1}"}, {`{"x":1e`, "9", "}"},
		{`{`, `"a":1,`, `"b":1}`}, {`{"`, "a", `":1}`}, {`{"parameters":{"jobId":"`, `\u0061`, `"},"action":"batch:CancelJob"}`},
		{`{"action":"`, "batch:CancelJob", `","parameters":{}}`}, {`{"action":"x:`, "é", `","parameters":{}}`},
		{`{"expiresAt":"2026-11-21T12:00:00.`, "0", `Z"}`}, {`{"confirm":"`, "0h", `"}`}, {`{"confirm":"0.`, "0", `s"}`},
		{`{"id":"`, "a", `"}`}, {`{"region":"`, "a-", `a"}`}, {`{"reason":"`, `\ud83d\ude00`, `"}`},
		{`{"action":"emr:CancelSteps","parameters":{"ClusterId":"j","StepIds":[`, `"s",`, `"t"]}}`},
		{`{"action":"emr:CancelSteps","parameters":{"ClusterId":"j","StepIds":["`, `s`, `"]}}`},
		{`{"action":"iot:CancelJobExecution","parameters":{"thingName":"t","jobId":"j","expectedVersion":`, "1", `}}`},
		{`{"action":"iot:CancelJobExecution","parameters":{"thingName":"t","jobId":"j","statusDetails":{"`, "a", `":"b"}}}`},
		{`{"action":"iot:CancelJobExecution","parameters":{"thingName":"t","jobId":"j","statusDetails":{"a":"`, "b", `"}}}`},
		{`{"action":"batch:CancelJob","parameters":{`, `"":{},`, `"jobId":"j"}}`},
		{`{"specversion":"1.0","type":"io.rescind.command.v1","id":"`, "a", `","source":"s","data":{}}`},
		{`{"specversion":"1.0","datacontenttype":"`, `a/json;b=c;`, `","data":{}}`},
		{`{"detail-type":"x","resources":[`, `"arn:aws:events:a:b:rule/c",`, `""],"detail":{}}`},
		{`{"Type":"Notification","TopicArn":"`, `é`, `","Message":"{}"}`},
		{`{"Type":"Notification","Message":"`, `\u007b`, `"}`},
		{`{"Type":"Notification","MessageAttributes":{`, `"a":{},`, `"traceparent":{"Value":7}},"Message":"{}"}`},
	}
}
