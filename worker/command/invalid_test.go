package command_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// invalidRow is a command, and the sentence that an engineer sees. A star stands for words that
// are the JSON library's own.
type invalidRow struct{ body, sentence string }

// invalidRows read like the contract.
func invalidRows() []invalidRow {
	const known = "batch:CancelJob, emr:CancelSteps, iot:CancelJobExecution, swf:TerminateWorkflowExecution"
	batch := func(parameters string) string { return run("batch:CancelJob", parameters) }
	emr := func(members string) string { return run("emr:CancelSteps", `{"ClusterId":"j",`+members+`}`) }
	iot := func(members string) string { return run("iot:CancelJobExecution", `{"jobId":"j",`+members+`}`) }
	return []invalidRow{
		// The body.
		{``, `body must not be empty`},
		{" \n", `body must not be empty`},
		{`not json`, `body must be JSON; at byte 1: *`},
		{`[]`, `body must be a JSON object, not a list`},
		{`"batch:CancelJob"`, `body must be a JSON object, not a string`},
		{`null`, `body must be a JSON object, not null`},
		{`{"action":"batch:CancelJob"`, `body must be JSON; it ends too early, at byte 27`},
		{job("") + ` {}`, `body must be one JSON object; something follows it`},
		{job("") + `x`, `body must be one JSON object; something follows it`},
		{job("\"reason\":\"\xff\""), `body must be UTF-8; it is not at byte 67`},
		{job("\"re\xffason\":\"\""), `body must be UTF-8; it is not at byte 60`},
		{job(`"reason":"\ud800"`), `body must be JSON; at byte 67: *`},
		{strings.Repeat(" ", 1+command.MaxBytes-len(job(""))) + job(""), `body must have at most 262144 bytes (256 KiB), not 262145`},
		{job(`"x":` + strings.Repeat("[", 100_000)), `body must be JSON; at byte 10060: *`},
		{job(`"reason":` + strings.Repeat("[", 100_000)), `body must be JSON; at byte 10065: *`},

		// Of a job's id AWS says no length.
		{batch(`{"jobId":"` + strings.Repeat("j", 1025) + `"}`), `parameters.jobId must have at most 1024 bytes, not 1025`},
		{batch(`{"jobId":"` + strings.Repeat("é", 513) + `"}`), `parameters.jobId must have at most 1024 bytes, not 1026`},

		// Members that nothing knows, or that come twice.
		{job(`"reasons":"x"`), `reasons is not a field of a command; did you mean reason?`},
		{`{"version":"1.0","action":"batch:CancelJob","parameters":{"jobId":"j"}}`, `version is not a field of a command; its fields: id, action, account, region, reason, requestedBy, campaign, expiresAt, confirm, dryRun, escalate, parameters`},
		{job(`"versions":null`), `versions is not a field of a command; its fields: id, action, account, region, reason, requestedBy, campaign, expiresAt, confirm, dryRun, escalate, parameters`},
		{job(`"Campaign":"x"`), `Campaign is not a field of a command; did you mean campaign?`},
		{job(`"requested_by":"x"`), `requested_by is not a field of a command; did you mean requestedBy?`},
		{job(`"":"x"`), `"" is not a field of a command; its fields: id, action, account, region, reason, requestedBy, campaign, expiresAt, confirm, dryRun, escalate, parameters`},
		{job(`"re\nason":"x"`), `"re\nason" is not a field of a command; did you mean reason?`},
		{batch(`{"jobID":"j"}`), `parameters.jobID is not a field of batch:CancelJob; did you mean parameters.jobId?`},
		{batch(`{"jobId":"j","priority":1}`), `parameters.priority is not a field of batch:CancelJob; its fields: jobId, reason`},
		{job(`"action":"x"`), `action must not be given twice`},
		{job(`"\u0061ction":"x"`), `action must not be given twice`},
		{batch(`{"jobId":"j","jobId":"k"}`), `parameters.jobId must not be given twice`},
		{iot(`"statusDetails":{"a":"1","a":"2"}`), `parameters.statusDetails.a must not be given twice`},

		// The command's own members.
		{`{"parameters":{"jobId":"j"}}`, `action is required`},
		{`{"action":"batch:CancelJob"}`, `parameters is required`},
		{run("batch:CancelJb", `{}`), `action is unknown: "batch:CancelJb"; did you mean "batch:CancelJob"? Known actions: ` + known},
		{run("BATCH:cancelJob", `{}`), `action is unknown: "BATCH:cancelJob"; did you mean "batch:CancelJob"? Known actions: ` + known},
		{run("x:Y", `{}`), `action is unknown: "x:Y"; known actions: ` + known},
		{run("", `{}`), `action must not be empty`},
		{`{"action":7,"parameters":{}}`, `action must be a string, not a number`},
		{batch(`[]`), `parameters must be an object, not a list`},
		{batch(`null`), `parameters is required`},
		{`{"action":null,"parameters":{}}`, `action is required`},
		{job(`"id":""`), `id must not be empty`},
		{job(`"id":"` + strings.Repeat("a", 129) + `"`), `id must have at most 128 characters, not 129`},
		{job(`"id":"a/b"`), `id must hold only A-Z a-z 0-9 . _ : -, not "a/b"`},
		{job(`"id":"é"`), `id must hold only A-Z a-z 0-9 . _ : -, not "é"`},
		{job(`"id":"ce:1"`), `id must not begin with "ce:", which is reserved for ids that Rescind makes`},
		{job(`"id":"eb:1"`), `id must not begin with "eb:", which is reserved for ids that Rescind makes`},
		{job(`"id":"sns:1"`), `id must not begin with "sns:", which is reserved for ids that Rescind makes`},
		{job(`"id":"sqs:1"`), `id must not begin with "sqs:", which is reserved for ids that Rescind makes`},
		{job(`"id":"msg:1"`), `id must not begin with "msg:", which is reserved for ids that Rescind makes`},
		{job(`"account":"12345678901"`), `account must be twelve digits, not "12345678901"`},
		{job(`"account":"12345678901x"`), `account must be twelve digits, not "12345678901x"`},
		{job(`"account":123456789012`), `account must be a string, not a number`},
		{job(`"region":""`), `region must have the form of "us-east-1", not ""`},
		{job(`"region":"US-EAST-1"`), `region must have the form of "us-east-1", not "US-EAST-1"`},
		{job(`"region":"us-east-1.evil.example"`), `region must have the form of "us-east-1", not "us-east-1.evil.example"`},
		{job(`"region":"1us-east"`), `region must have the form of "us-east-1", not "1us-east"`},
		{job(`"region":"us--1"`), `region must have the form of "us-east-1", not "us--1"`},
		{job(`"region":"useast"`), `region must have the form of "us-east-1", not "useast"`},
		{job(`"region":"us-` + strings.Repeat("e", 99) + `"`), `region must have the form of "us-east-1", not "us-` + strings.Repeat("e", 60) + `…"`},
		{job(`"reason":"` + strings.Repeat("é", 1025) + `"`), `reason must have at most 1024 characters, not 1025`},
		{job(`"requestedBy":"` + strings.Repeat("é", 129) + `"`), `requestedBy must have at most 128 characters, not 129`},
		{job(`"campaign":{}`), `campaign must be a string, not an object`},
		{job(`"dryRun":"true"`), `dryRun must be a boolean, not a string`},
		{job(`"expiresAt":1795262400`), `expiresAt must be a string, not a number`},
		{job(`"expiresAt":"tomorrow"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "tomorrow"`},
		{job(`"expiresAt":"2026-11-21T12:00:00"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "2026-11-21T12:00:00"`},
		{job(`"expiresAt":"2026-11-21T1:00:00Z"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "2026-11-21T1:00:00Z"`},
		{job(`"expiresAt":"2026-11-21T12:00:00,5Z"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "2026-11-21T12:00:00,5Z"`},
		{job(`"expiresAt":"2026-02-29T12:00:00Z"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "2026-02-29T12:00:00Z"`},
		{job(`"expiresAt":"2026-11-21T12:00:00+24:00"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "2026-11-21T12:00:00+24:00"`},
		{job(`"expiresAt":"0001-01-01T00:00:00Z"`), `expiresAt must be a time as RFC 3339 writes it, like "2026-11-21T12:00:00Z", not "0001-01-01T00:00:00Z"`},
		{job(`"confirm":600`), `confirm must be a string, not a number`},
		{job(`"confirm":"10 minutes"`), `confirm must be a duration like "90s" or "10m", not "10 minutes"`},
		{job(`"confirm":"-1s"`), `confirm must not be negative, as is "-1s"`},
		{job(`"confirm":"12h1ns"`), `confirm must be at most 12h, not "12h1ns"`},
		{job(`"escalate":"7h"`), `escalate must be at most 6h, not "7h"`},
		{oneStep(`"escalate":"0s"`, "SEND_INTERRUPT"), `escalate must be above 0, like "2m"`},
		{oneStep(`"escalate":"10m","confirm":"10m"`, "SEND_INTERRUPT"), `escalate must be shorter than confirm, which is 10m0s: the worker looks for no proof after that`},
		{oneStep(`"escalate":"1s","confirm":"0s"`, "SEND_INTERRUPT"), `escalate must be shorter than confirm, which is 0s: the worker looks for no proof after that`},
		{oneStep(`"escalate":"1s"`, "TERMINATE_PROCESS"), `escalate asks for a stronger action than emr:CancelSteps with these parameters, and there is none: leave it out`},
		{job(`"escalate":"2m"`), `escalate asks for a stronger action than batch:CancelJob with these parameters, and there is none: leave it out`},

		// Parameters.
		{batch(`{}`), `parameters.jobId is required`},
		{batch(`{"jobId":""}`), `parameters.jobId must not be empty`},
		{batch(`{"jobId":null}`), `parameters.jobId is required`},
		{`{"id":"n-1","action":"batch:CancelJob","parameters":{"jobId":null}}`, `parameters.jobId is required`},
		{batch(`{"jobId":"j","priority":null}`), `parameters.priority is not a field of batch:CancelJob; its fields: jobId, reason`},
		{emr(`"StepIds":null`), `parameters.StepIds is required`},
		{emr(`"StepIds":[null]`), `parameters.StepIds[0] must be a string, not null`},
		{emr(`"StepIds":["a",null]`), `parameters.StepIds[1] must be a string, not null`},
		{iot(`"statusDetails":{"k":null}`), `parameters.statusDetails.k must be a string, not null`},
		{`{"region":"us-east-1",` + iot(`"jobArn":"arn:aws:iot:eu-west-1:210987654321:job/j"`)[1:], `region must be that of parameters.jobArn, "eu-west-1", or be left out, not "us-east-1"`},
		{iot(`"jobArn":"arn:aws:iot:cn-north-1:210987654321:job/j"`), `parameters.jobArn must have a region of its partition: "cn-north-1" is none of "aws"`},
		{iot(`"jobArn":"j"`), `parameters.jobArn must be an ARN that names an account and a region, not "j"`},
		{batch(`{"jobId":["j"]}`), `parameters.jobId must be a string, not a list`},
		{batch(`{"jobId":"arn:aws:batch"}`), `parameters.jobId must be an id, not an ARN`},
		{emr(`"StepIds":"s-1"`), `parameters.StepIds must be a list of strings, not a string`},
		{emr(`"StepIds":[]`), `parameters.StepIds must not be empty`},
		{emr(`"StepIds":["a",7]`), `parameters.StepIds[1] must be a string, not a number`},
		{emr(`"StepIds":["a",""]`), `parameters.StepIds[1] must not be empty`},
		{emr(`"StepIds":["a","b","\u0061"]`), `parameters.StepIds[2] must not repeat "a"`},
		{emr(`"StepIds":[` + steps(257) + `]`), `parameters.StepIds must have at most 256 items, not 257`},
		{emr(`"StepIds":["a"],"StepCancellationOption":"KILL"`), `parameters.StepCancellationOption must be one of SEND_INTERRUPT, TERMINATE_PROCESS, not "KILL"`},
		{run("iot:CancelJobExecution", `{"jobId":"a b"}`), `parameters.jobId must hold only letters, digits, _ and -`},
		{run("iot:CancelJobExecution", `{"jobId":"a\n"}`), `parameters.jobId must hold only letters, digits, _ and -`},
		{run("swf:TerminateWorkflowExecution", `{"workflowId":"w2"}`), `parameters.workflowId must match \A(?:w|w1)\z`},
		{iot(`"force":1`), `parameters.force must be a boolean, not a number`},
		{iot(`"expectedVersion":"1"`), `parameters.expectedVersion must be a whole number, not a string`},
		{iot(`"expectedVersion":1.0`), `parameters.expectedVersion must be a whole number without fraction or exponent, not 1.0`},
		{iot(`"expectedVersion":1e3`), `parameters.expectedVersion must be a whole number without fraction or exponent, not 1e3`},
		{iot(`"expectedVersion":9007199254740992`), `parameters.expectedVersion must lie between -9007199254740991 and 9007199254740991, within which JSON keeps whole numbers apart, not 9007199254740992`},
		{iot(`"expectedVersion":-9007199254740992`), `parameters.expectedVersion must lie between -9007199254740991 and 9007199254740991, within which JSON keeps whole numbers apart, not -9007199254740992`},
		{iot(`"expectedVersion":99999999999999999999`), `parameters.expectedVersion must lie between -9007199254740991 and 9007199254740991, within which JSON keeps whole numbers apart, not 99999999999999999999`},
		{iot(`"statusDetails":[]`), `parameters.statusDetails must be an object, not a list`},
		{iot(`"statusDetails":{}`), `parameters.statusDetails must not be empty`},
		{iot(`"statusDetails":{"a":1}`), `parameters.statusDetails.a must be a string, not a number`},
		{iot(`"statusDetails":{"a":"123456789"}`), `parameters.statusDetails.a must have at most 8 characters, not 9`},
		{iot(`"statusDetails":{"a b":"1"}`), `parameters.statusDetails has the key "a b", which must hold only letters, digits, _ and -`},

		// A reason that the API does not take is the command's, not the parameters', fault.
		{`{"action":"swf:TerminateWorkflowExecution","parameters":{"workflowId":"w"},"reason":"over budget"}`,
			`reason must have at most 8 characters, not 11, where it stands for parameters.reason`},

		// What is said of a fault is short whatever was sent.
		{job(`"` + strings.Repeat("x", 1000) + `":1`), `"` + strings.Repeat("x", 63) + `…" is not a field of a command; its fields: id, action, account, region, reason, requestedBy, campaign, expiresAt, confirm, dryRun, escalate, parameters`},
	}
}

func TestInvalid(t *testing.T) {
	for _, row := range invalidRows() {
		t.Run(row.sentence, func(t *testing.T) {
			e := invalid(t, row.body)
			start, star := strings.CutSuffix(row.sentence, "*")
			if got := e.Error(); got != row.sentence && (!star || !strings.HasPrefix(got, start) || got == start) {
				t.Errorf("%s\ngot  %s\nwant %s", clip(row.body), got, row.sentence)
			}
			var field *handlers.FieldError
			if !errors.As(error(e), &field) || field.Field != e.Field || field.Rule != e.Rule {
				t.Errorf("errors.As finds %v, want its field and rule", field)
			}
		})
	}
}

// TestWhatCouldBeRead: an outcome names an invalid command by whatever of it is sound.
func TestWhatCouldBeRead(t *testing.T) {
	sound := `"id":"a","account":"210987654321","region":"eu-west-1","reason":"r","requestedBy":"x","campaign":"y","expiresAt":"2026-11-21T12:00:00Z","dryRun":true`
	all := command.Command{
		ID: "a", Action: "batch:CancelJob", Account: "210987654321", Region: "eu-west-1", Reason: "r",
		RequestedBy: "x", Campaign: "y", ExpiresAt: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), DryRun: true,
	}
	unknown := all
	unknown.Action = "batch:CancelJb"
	for _, row := range []struct {
		name, body string
		want       command.Command
	}{
		{"a parameter breaks a rule", `{"action":"batch:CancelJob","parameters":{},` + sound + `}`, all},
		{"an unknown member stands first", `{"x":{},"action":"batch:CancelJob","parameters":{"jobId":"j"},` + sound + `}`, all},
		{"an unknown action is named", `{"action":"batch:CancelJb","parameters":{},` + sound + `}`, unknown},
		{"an action without form is not", run("cancel it, please", `{}`), command.Command{ID: "sqs:m-1", Account: own.Account, Region: own.Region}},
		{"what breaks its own rule is left out", job(`"id":"a/b","account":"1","region":"X","campaign":"y"`),
			command.Command{Action: "batch:CancelJob", Campaign: "y"}},
		{"the body breaks off: nothing stands for what was not seen", `{"campaign":"y","requestedBy":"x","acti`,
			command.Command{Campaign: "y", RequestedBy: "x"}},
		{"of two ids none is believed", `{"campaign":"y","id":"a","id":"b"}`, command.Command{Campaign: "y"}},
		{"too large", job(sound) + strings.Repeat(" ", command.MaxBytes), all},
		{"not JSON", `nonsense`, command.Command{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := invalid(t, row.body).Command; !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %+v\nwant %+v", got, row.want)
			}
		})
	}
}

func TestTwoHandlersForOneAction(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewDecoder took two handlers for one action")
		}
	}()
	h := fake{action: "batch:CancelJob"}
	command.NewDecoder([]handlers.Handler{h, h}, own)
}

// oneStep is a command for a step, with members of its own and an option.
func oneStep(members, option string) string {
	return `{"action":"emr:CancelSteps",` + members + `,"parameters":{"ClusterId":"j","StepIds":["s"],"StepCancellationOption":"` + option + `"}}`
}
