package command_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// TestNullMeansAbsence: null in an optional field says what leaving it out says, in every envelope, and
// is the same command by its fingerprint.
func TestNullMeansAbsence(t *testing.T) {
	const iot = `"thingName":"t","jobId":"j"`
	for _, row := range []struct{ name, with, without string }{
		{"the case as it was met",
			`{"id":"n-0","action":"batch:CancelJob","parameters":{"jobId":"1d828f65","reason":null},"reason":null,"campaign":null,"region":null,"expiresAt":null}`,
			`{"id":"n-0","action":"batch:CancelJob","parameters":{"jobId":"1d828f65"}}`},
		{"every optional member of a command", job(`"id":null,"account":null,"region":null,"reason":null,"requestedBy":null,"campaign":null,"expiresAt":null,"confirm":null,"escalate":null,"dryRun":null`), job("")},
		{"the API's own reason, for which the command's stands", `{"action":"batch:CancelJob","parameters":{"reason":null,"jobId":"j"},"reason":"r"}`, `{"action":"batch:CancelJob","parameters":{"jobId":"j"},"reason":"r"}`},
		{"a boolean, a number and a map", run("iot:CancelJobExecution", `{"force":null,`+iot+`,"expectedVersion":null,"statusDetails": null }`), run("iot:CancelJobExecution", `{`+iot+`}`)},
		{"one of several, whose text remains as it was sent", run("swf:RequestCancelWorkflowExecution", `{ "domain":"d", "runId" : null,"workflowId":"null"}`), run("swf:RequestCancelWorkflowExecution", `{"domain":"d","workflowId":"null"}`)},
		{"an enumeration", run("emr:CancelSteps", `{"ClusterId":"j-1","StepIds":["s-1"],"StepCancellationOption":null}`), run("emr:CancelSteps", `{"ClusterId":"j-1","StepIds":["s-1"]}`)},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := command.NewDecoder(services(), own)
			s := compile(t, command.Schema(services()))
			agree(t, s, d, []byte(row.with), true)
			for _, wrap := range []func(string) string{
				func(s string) string { return s }, notification, bridged,
				func(s string) string { return cloud("/a", s) },
				func(s string) string { return notification(cloud("/a", s)) },
				func(s string) string { return notification(bridged(s)) },
				func(s string) string {
					return `{"Type":"Notification","MessageId":"m","TopicArn":"` + topic + `","Subject":null,"MessageAttributes":null,"Message":` + quoted(s) + `}`
				},
				func(s string) string {
					return `{"detail-type":"x","id":"e","source":null,"resources":null,"Type":null,"specversion":null,"detail":` + s + `,"version":null}`
				},
			} {
				with, err := d.Decode([]byte(wrap(row.with)), command.Message{ID: "m"})
				if err != nil {
					t.Fatal(err)
				}
				without, err := d.Decode([]byte(wrap(row.without)), command.Message{ID: "m"})
				if err != nil {
					t.Fatal(err)
				}
				if with.Fingerprint() != without.Fingerprint() || with.Key() != without.Key() {
					t.Errorf("%s and %s have fingerprints that differ", with.Parameters, without.Parameters)
				}
				with.Parameters = without.Parameters
				if !reflect.DeepEqual(with, without) {
					t.Errorf("with null    %+v\nwithout null %+v", with, without)
				}
			}
		})
	}
}

const execution = ":execution:m:e"

// TestAnARNSaysWhere: account and region of an ARN among the parameters are the command's, where it
// names none.
func TestAnARNSaysWhere(t *testing.T) {
	stop := func(arn, members string) string {
		return `{"action":"stepfunctions:StopExecution","parameters":{"executionArn":"` + arn + `"}` + members + `}`
	}
	d := command.NewDecoder(services(), own)
	const elsewhere = "arn:aws:states:eu-west-1:210987654321" + execution
	there := handlers.Location{Account: "210987654321", Region: "eu-west-1"}
	for _, row := range []struct {
		body string
		want handlers.Location
	}{
		{stop(elsewhere, ""), there},
		{stop(elsewhere, `,"region":"eu-west-1"`), there},
		{stop(elsewhere, `,"account":"210987654321","region":null`), there},
		{stop("arn:aws:states:us-east-1:123456789012"+execution, ""), own},
		{stop("arn:aws-cn:states:cn-north-1:123456789012"+execution, ""), handlers.Location{Account: own.Account, Region: "cn-north-1"}},
		{stop("arn:aws-us-gov:states:us-gov-west-1:123456789012"+execution, ""), handlers.Location{Account: own.Account, Region: "us-gov-west-1"}},
		{run("batch:CancelJob", `{"jobId":"arn:aws:batch:eu-west-1:210987654321:job/j"}`), there},
		{run("batch:TerminateJob", `{"jobId":"arnold"}`), own},
		{run("iot:CancelJob", `{"jobId":"j","comment":"arn:aws:iot:eu-west-1:210987654321:job/j"}`), own}, // what is no name of the target says nothing
	} {
		c, err := d.Decode([]byte(row.body), command.Message{ID: "m"})
		if err != nil {
			t.Errorf("%s: %v", row.body, err)
			continue
		}
		if c.Location() != row.want {
			t.Errorf("%s: %v, want %v", row.body, c.Location(), row.want)
		}
		if named, err := d.Decode([]byte(strings.TrimSuffix(row.body, "}")+`,"account":"`+row.want.Account+`","region":"`+row.want.Region+`"}`), command.Message{ID: "m"}); err == nil && named.Fingerprint() != c.Fingerprint() {
			t.Errorf("%s: another fingerprint than that of the command that says where", row.body)
		}
	}

	for _, row := range []invalidRow{
		{`{"id":"a-0","action":"stepfunctions:StopExecution","region":"us-east-1","parameters":{"executionArn":"arn:aws:states:eu-west-1:123456789012:execution:m:e"}}`,
			`region must be that of parameters.executionArn, "eu-west-1", or be left out, not "us-east-1"`},
		{stop(elsewhere, `,"account":"123456789012"`), `account must be that of parameters.executionArn, "210987654321", or be left out, not "123456789012"`},
		{stop(elsewhere, `,"account":"123456789012","region":"eu-west-1"`), `account must be that of parameters.executionArn, "210987654321", or be left out, not "123456789012"`},
		{`{"action":"batch:CancelJob","region":"us-west-2","parameters":{"jobId":"arn:aws:batch:eu-west-1:210987654321:job/j"}}`,
			`region must be that of parameters.jobId, "eu-west-1", or be left out, not "us-west-2"`},
		{stop("arn:aws-cn:states:us-east-1:123456789012"+execution, ""), `parameters.executionArn must have a region of its partition: "us-east-1" is none of "aws-cn"`},
		{stop("arn:aws:states:us-gov-west-1:123456789012"+execution, ""), `parameters.executionArn must have a region of its partition: "us-gov-west-1" is none of "aws"`},
		{stop("m:e", ""), `parameters.executionArn must be an ARN that names an account and a region, not "m:e"`},
		{stop("arn:aws:states::123456789012"+execution, ""), `parameters.executionArn must be an ARN that names an account and a region, not "arn:aws:states::123456789012:execution:m:e"`},
		{stop("arn:aws:states:us-east-1:12345"+execution, ""), `parameters.executionArn must be an ARN that names an account and a region, not "arn:aws:states:us-east-1:12345:execution:m:e"`},
		{stop("arn:aws:states:US-EAST-1:123456789012"+execution, ""), `parameters.executionArn must be an ARN that names an account and a region, not "arn:aws:states:US-EAST-1:123456789012:execution:m:e"`},
		{stop("arn:aws:states:us-east-1:12345678901x"+execution, ""), `parameters.executionArn must be an ARN that names an account and a region, not "arn:aws:states:us-east-1:12345678901x:execution:m:e"`},
		{stop("arn:aws-xx:states:us-east-1:123456789012"+execution, ""), `parameters.executionArn must have a region of its partition: "us-east-1" is none of "aws-xx"`},
		{stop(" arn:aws:states:us-east-1:123456789012"+execution, ""), `parameters.executionArn must be an ARN that names an account and a region, not " arn:aws:states:us-east-1:123456789012:execution:m:e"`},
		{stop("ARN:aws:states:us-east-1:123456789012"+execution, ""), `parameters.executionArn must be an ARN that names an account and a region, not "ARN:aws:states:us-east-1:123456789012:execution:m:e"`},
		{stop("arn:aws:states:us-east-1:123456789012:", ""), `parameters.executionArn must be an ARN that names an account and a region, not "arn:aws:states:us-east-1:123456789012:"`},
		{stop("arn:aws:states:us-east-1.evil.example:123456789012"+execution, ""), `parameters.executionArn must be an ARN that names an account and a region, not "arn:aws:states:us-east-1.evil.example:123456789012:execution:m:e"`},
		{stop(elsewhere, `,"region":"EU-WEST-1"`), `region must have the form of "us-east-1", not "EU-WEST-1"`},
		{stop(elsewhere, `,"account":"210987654321","region":"eu-west-2"`), `region must be that of parameters.executionArn, "eu-west-1", or be left out, not "eu-west-2"`},
		{`{"action":"stepfunctions:StopExecution","parameters":{"executionArn":null},"account":null,"region":null}`, `parameters.executionArn is required`},
		{`{"id":null,"action":null,"parameters":null,"reason":null}`, `action is required`},
		{`{"action":"batch:CancelJob","parameters":null}`, `parameters is required`},
		{`{"action":"batch:CancelJob","parameters":{"jobId":"j"},"Region":null}`, `Region is not a field of a command; did you mean region?`},
		{run("batch:CancelJob", `{"jobId":"arn:aws:batch:eu-west-1"}`), `parameters.jobId must be an ARN that names an account and a region, not "arn:aws:batch:eu-west-1"`},
	} {
		_, err := d.Decode([]byte(row.body), command.Message{ID: "m"})
		if err == nil || err.Error() != row.sentence {
			t.Errorf("%s\ngot  %v\nwant %s", row.body, err, row.sentence)
		}
	}
}

// TestOwnEvents: what workers publish is known by its type, however it was forwarded.
func TestOwnEvents(t *testing.T) {
	outcome := `{"specversion":"1.0","id":"6a96a937","source":"/rescind/default","type":"io.rescind.outcome.v1","subject":"x","data":{"status":"accepted"}}`
	control := `{"type":"io.rescind.control.v1","specversion":"1.0","data":null}`
	d := command.NewDecoder(services(), own)
	own := func(body string) string {
		_, err := d.Decode([]byte(body), command.Message{ID: "m"})
		var bad *command.Error
		if !errors.As(err, &bad) {
			return "" // a command
		}
		return bad.OwnEvent
	}
	forwarded := func(data string) string {
		return `{"specversion":"1.0","id":"1","source":"/forwarder","type":"com.example.forwarded","data":` + data + `}`
	}
	for _, event := range []struct{ body, kind string }{{outcome, "io.rescind.outcome.v1"}, {control, "io.rescind.control.v1"}} {
		for name, body := range map[string]string{
			"alone, as raw delivery has it":          event.body,
			"in a notification":                      notification(event.body),
			"in a notification with nulls":           `{"Type":"Notification","Subject":null,"MessageId":null,"Message":` + quoted(event.body) + `}`,
			"in EventBridge's detail":                bridged(event.body),
			"in EventBridge's detail, as a text":     bridged(quoted(event.body)),
			"by EventBridge's detail-type":           `{"detail-type":"` + event.kind + `","detail":{"status":"accepted"}}`,
			"in a notification of EventBridge's":     notification(bridged(event.body)),
			"in a notification of a notification":    notification(notification(event.body)),
			"in another's CloudEvent":                forwarded(event.body),
			"in another's CloudEvent in EventBridge": bridged(forwarded(event.body)),
			"in EventBridge of a notification":       bridged(notification(event.body)),
			"with its type last, and escaped":        `{"specversion":"1.0","data":null,"type":"io.rescind\u002e` + strings.TrimPrefix(event.kind, "io.rescind.") + `"}`,
			"without its other members":              `{"specversion":"0.3","type":"` + event.kind + `"}`,
			"between white space":                    "\n\t " + event.body + "\r\n",
			"in a Lambda's records of SNS":           `{"Records":[{"EventSource":"aws:sns","Sns":` + notification(event.body) + `}]}`,
			"in a Lambda's records of SQS":           `{"Records":[{"messageId":"m","body":` + quoted(event.body) + `}]}`,
			"in a list, as a pipe has it":            "[" + bridged(`{"a":1}`) + "," + event.body + "]",
			"in an envelope that nobody knows":       `{"event":{"payload":` + event.body + `},"sent":null}`,
			"as a text that is quoted twice":         quoted(quoted(event.body)),
			"as a text in another's CloudEvent":      forwarded(quoted(event.body)),
		} {
			if got := own(body); got != event.kind {
				t.Errorf("%s %s is taken for %q", event.kind, name, got)
			}
		}
	}
	for name, body := range map[string]string{
		"a command that mentions it":             job(`"reason":` + quoted(outcome)),
		"an invalid command that mentions it":    run("batch:CancelJob", `{"jobId":"","reason":`+quoted(outcome)+`}`),
		"an unknown member of a command":         job(`"data":` + outcome),
		"parameters that mention it":             `{"parameters":{"jobId":"j","reason":` + quoted(outcome) + `}}`,
		"an action beside it":                    `{"action":"batch:CancelJob","event":` + outcome + `}`,
		"a quote alone":                          `"`,
		"a list that is not closed":              "[" + outcome,
		"a list too deep":                        strings.Repeat("[", 60) + outcome + strings.Repeat("]", 60),
		"a type in no CloudEvent":                `{"type":"io.rescind.outcome.v1"}`,
		"another version":                        strings.Replace(outcome, ".v1", ".v2", 1),
		"a type that begins so":                  strings.Replace(outcome, ".v1", ".v1x", 1),
		"a command's event":                      cloud("/a", job("")),
		"an event whose data mentions it":        cloud("/a", run("batch:CancelJob", `{"jobId":7,"reason":`+quoted(outcome)+`}`)),
		"a type that is no text":                 `{"specversion":"1.0","type":["io.rescind.outcome.v1"]}`,
		"a type that comes twice":                `{"specversion":"1.0","type":"x","type":"io.rescind.outcome.v1"}`,
		"half of one":                            outcome[:len(outcome)-1],
		"nested deeper than anybody forwards it": strings.Repeat(`{"detail-type":"x","detail":`, 50) + outcome + strings.Repeat("}", 50),
	} {
		if got := own(body); got != "" {
			t.Errorf("%s is taken for %s", name, got)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"id", "region", "requestedBy", "expiresAt", "jobId"}
	for name, want := range map[string]string{
		"version": "", "regions": "region", "rigeon": "region", "Region": "region", "requested_by": "requestedBy", "requested-by": "requestedBy", "REQUESTED_BY": "requestedBy",
		"jobID": "jobId", "job_id": "jobId", "i": "", "di": "", "ids": "id", "x": "", "": "", "expires": "expiresAt", "expiry": "", "_": "",
		strings.Repeat("region", 20): "",
	} {
		if got := command.Nearest(name, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
}
