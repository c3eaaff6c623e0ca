package command_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/worker/command"
)

const (
	topic      = "arn:aws:sns:us-east-1:123456789012:cancels"
	trace      = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	otherTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	snsID      = "sns:22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324"
	ebID       = "eb:6a7e8feb-b491-4cf7-a9f1-bf3703467718"
)

// notification is what SNS delivers to a queue without raw delivery, as its developer guide
// shows it; SQS subscriptions get the same members.
func notification(message string) string {
	return `{
  "Type" : "Notification",
  "MessageId" : "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
  "TopicArn" : "` + topic + `",
  "Subject" : "My First Message",
  "Message" : ` + quoted(message) + `,
  "Timestamp" : "2012-05-02T00:54:06.655Z",
  "SignatureVersion" : "1",
  "Signature" : "EXAMPLEw6JRN...",
  "SigningCertURL" : "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
  "UnsubscribeURL" : "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:us-west-2:123456789012:MyTopic:c9135db0-26c4-47ec-8998-413945fb5a96",
  "MessageAttributes" : {
    "count" : {"Type":"Number","Value":"7"},
    "traceparent" : {"Type":"String","Value":"` + trace + `"}
  }
}`
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// bridged is an event as EventBridge's user guide lists its members.
func bridged(detail string) string {
	return `{
  "version": "0",
  "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
  "detail-type": "Cancel requested",
  "source": "com.example.cost-guard",
  "account": "111122223333",
  "time": "2017-12-22T18:43:48Z",
  "region": "us-west-1",
  "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],
  "detail": ` + detail + `
}`
}

// cloud is a CloudEvents event with every optional attribute and some extensions.
func cloud(source, data string) string {
	return `{
  "specversion": "1.0", "type": "io.rescind.command.v1", "source": "` + source + `", "id": "1",
  "subject": "budget", "time": "2026-11-21T12:00:00Z", "dataschema": "https://example.com/command.json",
  "datacontenttype": "application/json; charset=utf-8", "partitionkey": "7", "action": "an extension", "sequence": 1,
  "traceparent": "` + otherTrace + `", "tracestate": null,
  "data": ` + data + `
}`
}

// edited is a body with one text replaced, which must be there.
func edited(t *testing.T, body, old, with string) string {
	t.Helper()
	if !strings.Contains(body, old) {
		t.Fatalf("no %s in %s", old, body)
	}
	return strings.Replace(body, old, with, 1)
}

// The hashes are Python's hashlib's: sha256(pack(">Q", len(source)) + source + pack(">Q", 1) + b"1").
const (
	costGuard = "ce:5eae0f6564907fb6af451e0be2c1207698d569af900dd792508feb020bf23145"
	janitor   = "ce:365de19f07ea18010960953dbc660c9f65ced5b52da87781324c80b60be5ceea"
)

func TestEnvelopes(t *testing.T) {
	const fromSource = "EventBridge source com.example.cost-guard"
	schedule := edited(t, bridged(job("")), "arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0", "arn:aws:events:us-east-1:123456789012:rule/nightly")
	for _, row := range []struct{ name, body, id, via, trace string }{
		{"bare, or by raw delivery", job(""), "sqs:m-1", "", ""},
		{"CloudEvents", cloud("/cost-guard", job("")), costGuard, "", otherTrace},
		{"CloudEvents of the same id and another source", cloud("/janitor", job("")), janitor, "", otherTrace},
		{"CloudEvents without a trace", edited(t, cloud("/janitor", job("")), otherTrace, "none"), janitor, "", ""},
		{"CloudEvents whose attributes are null where they may be", edited(t, cloud("/janitor", job("")),
			`"application/json; charset=utf-8"`, `null, "data_base64": null`), janitor, "", otherTrace},
		{"SNS", notification(job("")), snsID, topic, trace},
		{"SNS around CloudEvents", notification(cloud("/cost-guard", job(""))), costGuard, topic, otherTrace},
		{"SNS around CloudEvents of another source", notification(cloud("/janitor", job(""))), janitor, topic, otherTrace},
		{"SNS around CloudEvents without a trace", notification(edited(t, cloud("/janitor", job("")), otherTrace, "none")), janitor, topic, trace},
		{"SNS without an id", edited(t, notification(job("")), `"MessageId" : "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",`, ``), "sqs:m-1", topic, trace},
		{"EventBridge", bridged(job("")), ebID, fromSource, ""},
		{"SNS around EventBridge", notification(bridged(job(""))), ebID, topic + " via " + fromSource, trace},
		{"SNS around EventBridge by a schedule", notification(schedule), ebID, topic + " via arn:aws:events:us-east-1:123456789012:rule/nightly", trace},
		{"SNS around EventBridge without an id", notification(edited(t, bridged(job("")), `"id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",`, ``)), snsID, topic + " via " + fromSource, trace},
		{"SNS without a topic around EventBridge", edited(t, notification(bridged(job(""))), `"TopicArn"`, `"Topic"`), ebID, fromSource, trace},
		{"EventBridge with a member that is not known", edited(t, bridged(job("")), `"version": "0"`, `"replay-name": "r"`), ebID, fromSource, ""},
		{"EventBridge by a schedule", schedule, ebID, "arn:aws:events:us-east-1:123456789012:rule/nightly", ""},
		{"the command's own id rules, bare", job(`"id":"own"`), "own", "", ""},
		{"in CloudEvents", cloud("/cost-guard", job(`"id":"own"`)), "own", "", otherTrace},
		{"in SNS", notification(job(`"id":"own"`)), "own", topic, trace},
		{"in EventBridge", bridged(job(`"id":"own"`)), "own", fromSource, ""},
		{"in EventBridge in SNS", notification(bridged(job(`"id":"own"`))), "own", topic + " via " + fromSource, trace},
		{"the mark may stand behind what a command has too", `{"id":"1","source":"/cost-guard","data":` + job("") + `,"type":"io.rescind.command.v1","specversion":"1.0"}`, costGuard, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := decode(t, row.body)
			if c.ID != row.id || c.Via != row.via || c.TraceParent != row.trace {
				t.Errorf("got  %q by %q, trace %q\nwant %q by %q, trace %q", c.ID, c.Via, c.TraceParent, row.id, row.via, row.trace)
			}
			if c.Action != "batch:CancelJob" || c.Params.Text("jobId") != "j-1" || c.Fingerprint() != decode(t, job("")).Fingerprint() {
				t.Errorf("the command in it is %+v", c)
			}
		})
	}
}

func TestTraceOfTheMessage(t *testing.T) {
	for name, row := range map[string]struct{ body, attribute, want string }{
		"the message's": {job(""), trace, trace},
		"an envelope's goes before the message's":  {cloud("/a", job("")), trace, otherTrace},
		"one that is not well formed does not":     {edited(t, cloud("/a", job("")), otherTrace, "00-xx"), trace, trace},
		"the message's is not well formed":         {job(""), "00-xx", ""},
		"an invalid command's outcome has it also": {`{}`, trace, trace},
	} {
		c, err := decoder().Decode([]byte(row.body), command.Message{ID: "m-1", TraceParent: row.attribute})
		var bad *command.Error
		if errors.As(err, &bad) {
			c = &bad.Command
		}
		if c.TraceParent != row.want {
			t.Errorf("%s: got %q, want %q", name, c.TraceParent, row.want)
		}
	}
}

// TestInvalidEnvelopes: what is wrong with an envelope is said of its field, what is wrong with
// the command in it as if it stood alone.
func TestInvalidEnvelopes(t *testing.T) {
	ce, sns, eb := cloud("/a", job("")), notification(job("")), bridged(job(""))
	twice := `{"action":"batch:CancelJob","parameters":{"jobId":"j","jobId":"k"}}`
	large := strings.Repeat(" ", command.MaxBytes)
	confirmation := func(kind string) string { return edited(t, sns, `"Notification"`, `"`+kind+`"`) }
	for _, row := range []struct{ body, sentence string }{
		{edited(t, ce, `"1.0"`, `"0.3"`), `specversion must be "1.0" in a CloudEvents event, not "0.3"`},
		{edited(t, ce, `"1.0"`, `1.0`), `specversion must be a string, not a number`},
		{edited(t, ce, `command.v1`, `command.v2`), `type must be "io.rescind.command.v1" in a CloudEvents event, not "io.rescind.command.v2"`},
		{edited(t, ce, `"type": "io.rescind.command.v1",`, ``), `type must be "io.rescind.command.v1" in a CloudEvents event, not ""`},
		{edited(t, ce, `"id": "1"`, `"id": ""`), `id is required of a CloudEvents event, and must not be empty`},
		{edited(t, ce, `"source": "/a",`, ``), `source is required of a CloudEvents event, and must not be empty`},
		{edited(t, ce, `"application/json; charset=utf-8"`, `"text/xml"`), `datacontenttype must be "application/json" or be left out, not "text/xml"`},
		{edited(t, ce, `"data":`, `"data_base64": "e30=", "x":`), `data_base64 is not taken: put the command into data, as JSON`},
		{edited(t, ce, `"data":`, `"date":`), `data is required of a CloudEvents event: the command`},
		{cloud("/a", `null`), `data is required of a CloudEvents event: the command`},
		{cloud("/a", `"{}"`), `data must be a JSON object, not a string`},
		{cloud("/a", ce), `specversion is not a field of a command; its fields: *`},
		{cloud("/a", `{"action":"batch:CancelJob"}`), `parameters is required`},
		{cloud("/a", job(`"id":"ce:1"`)), `id must not begin with "ce:", which is reserved for ids that Rescind makes`},
		{cloud("/a", twice), `data.parameters.jobId must not be given twice`},
		{cloud("/a", strings.Replace(job(""), ",", ","+large, 1)), `data must have at most 262144 bytes (256 KiB), not 262201`},
		{ce[:len(ce)-3], `body must be JSON; it ends too early, at byte *`},

		{confirmation("SubscriptionConfirmation"), `Type is "SubscriptionConfirmation": the queue's subscription to "` + topic + `" is not confirmed yet, and no command comes by it until it is: ` +
			`open the SubscribeURL of this message, or call sns:ConfirmSubscription with its Token`},
		{confirmation("UnsubscribeConfirmation"), `Type is "UnsubscribeConfirmation": the queue's subscription to "` + topic + `" has ended; if that was not meant, ` +
			`open the SubscribeURL of this message, or call sns:ConfirmSubscription with its Token`},
		{job(`"Type":"x"`), `Type must be "Notification", as in what SNS delivers, not "x"; a command by itself has no such field`},
		{edited(t, sns, `"Notification"`, `[]`), `Type must be a string, not a list`},
		{edited(t, sns, `"22b80b92-`, `"22b80b92/`), `MessageId must hold only A-Z a-z 0-9 . _ : -, not "22b80b92/fdea-4c2c-8f9d-bdfb0c7bf324"`},
		{edited(t, sns, `"22b80b92-`, `"22b80b92-`+strings.Repeat("a", 89)), `MessageId must have at most 124 characters, not 125`},
		{edited(t, sns, `"Message" :`, `"Massage" :`), `Message is required: the command, or a CloudEvents or EventBridge event with one`},
		{edited(t, sns, `"Message" : "`, `"Message" : {}, "x" : "`), `Message must be a string, not an object`},
		{notification(``), `Message must not be empty`},
		{notification(`stop it`), `Message must be JSON; at byte 0: *`},
		{notification(`[]`), `Message must be a JSON object, not a list`},
		{notification(job("") + large), `Message must have at most 262144 bytes (256 KiB), not 262201`},
		{notification(twice), `parameters.jobId must not be given twice`},
		{notification(sns), `Message must be a command, or a CloudEvents or EventBridge event with one, not another notification`},
		{notification(edited(t, eb, `"detail":`, `"details":`)), `detail is required of an EventBridge event: the command`},
		{notification(bridged(ce)), `specversion is not a field of a command; its fields: *`},
		{notification(bridged(twice)), `detail.parameters.jobId must not be given twice`},
		{notification(eb[:len(eb)-3]), `Message must be JSON; it ends too early, at byte *`},
		{notification(edited(t, ce, `command.v1`, `x`)), `type must be "io.rescind.command.v1" in a CloudEvents event, not "io.rescind.x"`},
		{notification(cloud("/a", `[]`)), `data must be a JSON object, not a list`},
		{notification(ce[:len(ce)-3]), `Message must be JSON; it ends too early, at byte *`},

		{edited(t, eb, `"detail":`, `"details":`), `detail is required of an EventBridge event: the command`},
		{bridged(`{}`), `action is required`},
		{bridged(`7`), `detail must be a JSON object, not a number`},
		{bridged(ce), `specversion is not a field of a command; its fields: *`},
		{edited(t, eb, `"id": "6a7e8feb-`, `"id": "a b`), `id must hold only A-Z a-z 0-9 . _ : -, not "a bb491-4cf7-a9f1-bf3703467718"`},
		{edited(t, eb, `"com.example.cost-guard"`, `{}`), `source must be a string, not an object`},
		{bridged(strings.Replace(job(""), ",", ","+large, 1)), `detail must have at most 262144 bytes (256 KiB), not 262201`},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			start, star := strings.CutSuffix(row.sentence, "*")
			if got := invalid(t, row.body).Error(); got != row.sentence && (!star || !strings.HasPrefix(got, start)) {
				t.Errorf("%s\ngot  %s\nwant %s", clip(row.body), got, row.sentence)
			}
		})
	}
}

// TestTheEnvelopesSize: the bound is the command's, however large its envelopes are.
func TestTheEnvelopesSize(t *testing.T) {
	full := job("") + strings.Repeat(" ", command.MaxBytes-len(job("")))
	padding := `"partitionkey": "` + strings.Repeat("x", command.MaxBytes) + `"`
	for name, body := range map[string]string{
		"SNS": notification(full), "EventBridge": bridged(full), "SNS around EventBridge": notification(bridged(full)),
		"CloudEvents":            edited(t, cloud("/a", job("")), `"partitionkey": "7"`, padding),
		"SNS around CloudEvents": notification(edited(t, cloud("/a", job("")), `"partitionkey": "7"`, padding)),
	} {
		t.Run(name, func(t *testing.T) { decode(t, body) })
	}
}

// TestWhatCouldBeReadInEnvelopes: an outcome names what it can of an invalid command, and by
// what it came; of a command in a faulty envelope it does not take the envelope's id for its own.
func TestWhatCouldBeReadInEnvelopes(t *testing.T) {
	bad := `{"action":"batch:CancelJob","campaign":"y"}`
	for _, row := range []struct{ name, body, id, via string }{
		{"a command in CloudEvents", cloud("/cost-guard", bad), costGuard, ""},
		{"a command in SNS", notification(bad), snsID, topic},
		{"a command in EventBridge", bridged(bad), ebID, "EventBridge source com.example.cost-guard"},
		{"a command in EventBridge in SNS", notification(bridged(bad)), ebID, topic + " via EventBridge source com.example.cost-guard"},
		{"a faulty CloudEvent", edited(t, cloud("/a", bad), "1.0", "2.0"), "", ""},
		{"a faulty CloudEvent in SNS", notification(edited(t, cloud("/a", bad), "1.0", "2.0")), "", topic},
		{"a broken CloudEvent", cloud("/a", bad) + "}", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := invalid(t, row.body).Command
			if got.ID != row.id || got.Via != row.via || (got.Campaign == "y") != (row.id != "") {
				t.Errorf("got %+v, want id %q by %q", got, row.id, row.via)
			}
		})
	}
}

func TestDecodeBareTakesNoEnvelope(t *testing.T) {
	for body, sentence := range map[string]string{
		job(`"id":"own"`):          "",
		cloud("/a", job("")):       "specversion is not a field of a command",
		bridged(job("")):           "version is not a field of a command",
		notification(job("")):      "Type is not a field of a command",
		job(`"specversion":"1.0"`): "specversion is not a field of a command",
	} {
		c, err := decoder().DecodeBare([]byte(body), command.Message{ID: "m-1"})
		switch {
		case sentence == "" && (err != nil || c.ID != "own"):
			t.Errorf("%s\ngives %+v, %v", body, c, err)
		case sentence != "" && (err == nil || !strings.HasPrefix(err.Error(), sentence)):
			t.Errorf("%s\ngives %v, want %s", clip(body), err, sentence)
		}
	}
}
