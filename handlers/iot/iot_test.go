package iot

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/worker/command"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Run("CancelJobExecution", func(t *testing.T) { handlertest.Run(t, executionSuite()) })
	t.Run("CancelJob", func(t *testing.T) { handlertest.Run(t, jobSuite()) })
}

func executionSuite() handlertest.Suite {
	// Both operations answer about thingName/jobId; the read says so in the body too.
	asked := func(r handlertest.Request) []string {
		part := strings.Split(r.URL.EscapedPath(), "/") // "", "things", thing, "jobs", job, ("cancel")
		thing, err := url.PathUnescape(part[2])
		return []string{thing + "/" + part[4] + errorText(err)}
	}
	return handlertest.Suite{
		New: func(config func(handlers.Location) aws.Config) handlers.Handler { return New(config)[0] },
		Commands: func(n int) []handlers.Parameters {
			commands := make([]handlers.Parameters, n)
			for i := range commands {
				commands[i] = handlers.Parameters{
					"thingName": fmt.Sprintf("fleet:thing_%d", i), "jobId": "firmware-7", "force": true,
					"expectedVersion": int64(3), "statusDetails": map[string]string{"by": "rescind", "at": "noon"},
				}
			}
			return commands
		},
		Cancel: handlertest.Peer{
			Asked: asked, Taken: handlers.Accepted, NoBody: true,
			Answer: func(handlertest.Request, []handlertest.Item) handlertest.Response { return handlertest.Response{} },
			Whole: append(cancelRefusals(),
				handlertest.Refusal{Code: "InvalidStateTransitionException", HTTP: 409, Want: want(handlers.Unsettled)},
				handlertest.Refusal{Code: "VersionConflictException", HTTP: 409, Want: want(handlers.VersionMismatch)},
			),
		},
		Read: handlertest.Peer{
			Asked: asked, Whole: readRefusals(handlertest.Want{Status: handlers.NotFound}),
			Answer: func(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
				if len(items) == 0 {
					return handlertest.Refuse(404, "ResourceNotFoundException", "no such execution")
				}
				thing, job, _ := strings.Cut(items[0].ID, "/")
				number := 3
				if other, is := items[0].Extra.(version); is {
					number = int(other)
				}
				return encode(map[string]any{"execution": map[string]any{
					"jobId": job, "thingArn": "arn:aws:iot:us-east-1:123456789012:thing/" + thing, "status": items[0].State, "versionNumber": number,
				}})
			},
		},
		States: []handlertest.State{
			{Name: "QUEUED"}, {Name: "IN_PROGRESS"}, {Name: "SUCCEEDED", Ended: true}, {Name: "FAILED", Ended: true},
			{Name: "TIMED_OUT", Ended: true}, {Name: "REJECTED", Ended: true}, {Name: "REMOVED", Ended: true},
			{Name: "CANCELED", Ended: true},
		},
		Extras: []any{version(4)}, // not the expectedVersion
		Beyond: map[string]string{"statusDetails": "API_CancelJobExecution; core.iot.limits.statusDetails_pairs"},
	}
}

func jobSuite() handlertest.Suite {
	asked := func(r handlertest.Request) []string { return []string{strings.Split(r.URL.Path, "/")[2]} }
	return handlertest.Suite{
		New: func(config func(handlers.Location) aws.Config) handlers.Handler { return New(config)[1] },
		Commands: func(n int) []handlers.Parameters {
			commands := make([]handlers.Parameters, n)
			for i := range commands {
				commands[i] = handlers.Parameters{
					"jobId": fmt.Sprintf("firmware-%d", i), "comment": "wrong image", "reasonCode": "ROLLBACK_7", "force": true,
				}
			}
			return commands
		},
		Cancel: handlertest.Peer{
			Asked: asked, Taken: handlers.Accepted,
			Answer: func(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
				return encode(map[string]any{"jobId": items[0].ID, "jobArn": "arn:aws:iot:us-east-1:123456789012:job/" + items[0].ID})
			},
			Whole: append(cancelRefusals(),
				handlertest.Refusal{Code: "LimitExceededException", HTTP: 410, Want: want(handlers.Throttled)},
				// Not documented for a job; should IoT say it, the state tells.
				handlertest.Refusal{Code: "InvalidStateTransitionException", HTTP: 409, Want: want(handlers.Unsettled)},
			),
		},
		Read: handlertest.Peer{
			Asked: asked, Whole: readRefusals(handlertest.Want{Status: handlers.NotFound}),
			Answer: func(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
				if len(items) == 0 {
					return handlertest.Refuse(404, "ResourceNotFoundException", "no such job")
				}
				return encode(map[string]any{"job": map[string]any{"jobId": items[0].ID, "status": items[0].State}})
			},
		},
		States: []handlertest.State{
			{Name: "IN_PROGRESS"}, {Name: "CANCELED", Ended: true}, {Name: "COMPLETED", Ended: true},
			{Name: "DELETION_IN_PROGRESS"}, {Name: "SCHEDULED"},
		},
	}
}

func readRefusals(unknown handlertest.Want) []handlertest.Refusal {
	return refusals(unknown, handlers.Final)
}

// cancelRefusals: a request that is called invalid may be one for what has ended.
func cancelRefusals() []handlertest.Refusal {
	return refusals(want(handlers.NoSuchTarget), handlers.Unsettled)
}

// refusals are the errors that every operation here documents, and the throttle's other status.
func refusals(unknown handlertest.Want, invalid handlers.Class) []handlertest.Refusal {
	return []handlertest.Refusal{
		{Code: "InvalidRequestException", HTTP: 400, Want: want(invalid)},
		{Code: "ResourceNotFoundException", HTTP: 404, Want: unknown},
		{Code: "ThrottlingException", HTTP: 400, Want: want(handlers.Throttled)}, // as the SDK's model has it
		{Code: "ThrottlingException", HTTP: 429, Want: want(handlers.Throttled)}, // as the API page has it
		{Code: "ServiceUnavailableException", HTTP: 503, Want: want(handlers.Unavailable)},
		{Code: "NeverHeardOfException", HTTP: 400, Want: want(handlers.Final)},
	}
}

func want(c handlers.Class) handlertest.Want { return handlertest.Want{Class: c} }

func encode(v any) handlertest.Response {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return handlertest.Response{Body: string(b)}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What a command's text must be for its parameters to be sent: each row breaks one rule of the
// API pages, and the error names the field.
func TestRulesOfTheParameters(t *testing.T) {
	decoder := command.NewDecoder(New(func(handlers.Location) aws.Config { return aws.Config{} }), location)
	const execution, job = `"thingName":"t:1","jobId":"j"`, `"jobId":"j"`
	pairs := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`"k%d":"v"`, i)
		}
		return `,"statusDetails":{` + strings.Join(all, ",") + `}`
	}
	for _, row := range []struct{ action, parameters, reason, field string }{
		{"iot:CancelJobExecution", execution, "", ""},
		{"iot:CancelJobExecution", `"jobId":"j"`, "", "parameters.thingName"},
		{"iot:CancelJobExecution", `"thingName":"a/b","jobId":"j"`, "", "parameters.thingName"},
		{"iot:CancelJobExecution", `"thingName":"` + strings.Repeat("t", 129) + `","jobId":"j"`, "", "parameters.thingName"},
		{"iot:CancelJobExecution", `"thingName":"t","jobId":"j:1"`, "", "parameters.jobId"},
		{"iot:CancelJobExecution", execution + `,"force":"true"`, "", "parameters.force"},
		{"iot:CancelJobExecution", execution + `,"expectedVersion":"3"`, "", "parameters.expectedVersion"},
		{"iot:CancelJobExecution", execution + pairs(10), "", ""},
		{"iot:CancelJobExecution", execution + pairs(11), "", "parameters.statusDetails"},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{}`, "", ""},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{"":"v"}`, "", "parameters.statusDetails"},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{"a b":"v"}`, "", "parameters.statusDetails"},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{"` + strings.Repeat("k", 129) + `":"v"}`, "", "parameters.statusDetails"},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{"k":""}`, "", "parameters.statusDetails.k"},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{"k":"` + strings.Repeat("é", 1024) + `"}`, "", ""},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{"k":"` + strings.Repeat("é", 1025) + `"}`, "", "parameters.statusDetails.k"},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{"k":"a\u0007b"}`, "", "parameters.statusDetails.k"},
		{"iot:CancelJobExecution", execution + `,"statusDetails":{"k":"a\u200bb"}`, "", "parameters.statusDetails.k"},
		{"iot:CancelJob", job, "", ""},
		{"iot:CancelJob", job + `,"reasonCode":"OVER_BUDGET_2"`, "", ""},
		{"iot:CancelJob", job + `,"reasonCode":"over"`, "", "parameters.reasonCode"},
		{"iot:CancelJob", job + `,"reasonCode":"ÄRGER"`, "", "parameters.reasonCode"},
		{"iot:CancelJob", job + `,"reasonCode":""`, "", "parameters.reasonCode"},
		{"iot:CancelJob", job + `,"reasonCode":"` + strings.Repeat("A", 129) + `"`, "", "parameters.reasonCode"},
		{"iot:CancelJob", job + `,"comment":""`, "", "parameters.comment"},
		{"iot:CancelJob", job + `,"comment":"` + strings.Repeat("c", 2029) + `"`, "", "parameters.comment"},
		// The command's reason stands for the comment, and must do as one.
		{"iot:CancelJob", job, "over budget", ""},
		{"iot:CancelJob", job, `over\nbudget`, "reason"},
		{"iot:CancelJob", job + `,"comment":"c"`, `over\nbudget`, ""},
		{"iot:CancelJobExecution", execution, `over\nbudget`, ""}, // has no reason to fill
	} {
		body := `{"id":"c","action":"` + row.action + `","parameters":{` + row.parameters + `},"reason":"` + row.reason + `"}`
		c, err := decoder.Decode([]byte(body), command.Message{ID: "m"})
		var bad *command.Error
		switch {
		case errors.As(err, &bad) && bad.Field != row.field:
			t.Errorf("%.160s: %v, want it to name %q", body, bad, row.field)
		case err == nil && row.field != "":
			t.Errorf("%.160s is read, want %s named", body, row.field)
		case err == nil && row.action == "iot:CancelJob" && !strings.Contains(row.parameters, "comment"):
			if comment := c.Params.Text("comment"); comment != row.reason && comment != handlers.DefaultReason {
				t.Errorf("%.160s: the comment is %q", body, comment)
			}
		}
	}
}

// Requests that say the same of one execution share a call, and others do not.
func TestKeys(t *testing.T) {
	h := New(func(handlers.Location) aws.Config { return aws.Config{} })[0]
	target := func(p handlers.Parameters) handlers.Target {
		p["thingName"], p["jobId"] = "t", "j"
		targets, err := h.Targets(p)
		if err != nil || len(targets) != 1 || targets[0].ID != "t/j" || targets[0].ReadKey != "" {
			t.Fatalf("Targets(%v) = %+v, %v, want one t/j, whose reads are shared by all", p, targets, err)
		}
		return targets[0]
	}
	plain := target(handlers.Parameters{}).Key
	if plain != target(handlers.Parameters{"force": false}).Key {
		t.Error("force left out and force false differ")
	}
	seen := map[string]string{plain: "plain"}
	for about, p := range map[string]handlers.Parameters{
		"force":           {"force": true},
		"version":         {"expectedVersion": int64(1)},
		"version 0":       {"expectedVersion": int64(0)},
		"details":         {"statusDetails": map[string]string{"a": "b"}},
		"other details":   {"statusDetails": map[string]string{"a": "c"}},
		"details emptied": {"statusDetails": map[string]string{}},
	} {
		key := target(p).Key
		if other, is := seen[key]; is {
			t.Errorf("%s and %s share the key %s", about, other, key)
		}
		seen[key] = about
	}
}
