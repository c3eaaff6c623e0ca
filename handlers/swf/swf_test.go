package swf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/swf"
	"github.com/aws/aws-sdk-go-v2/service/swf/types"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/internal/facts"
	"github.com/rescindhq/rescind/worker/command"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const runID = "94861fda-a714-4126-95d7-55ba847da8ab"

func TestConformance(t *testing.T) {
	for i, action := range []string{"RequestCancelWorkflowExecution", "TerminateWorkflowExecution"} {
		t.Run(action, func(t *testing.T) { handlertest.Run(t, suite(i)) })
	}
}

// suite describes the i-th handler that New returns. Its commands have a run id, so that
// every call can be made for their targets; lifecycle_test.go has those that have none.
func suite(i int) handlertest.Suite {
	s := handlertest.Suite{
		New: func(config func(handlers.Location) aws.Config) handlers.Handler { return New(config)[i] },
		Commands: func(n int) []handlers.Parameters {
			commands := make([]handlers.Parameters, n)
			for j := range commands {
				commands[j] = handlers.Parameters{"domain": "867530901", "workflowId": fmt.Sprintf("20110927-T-%d", j), "runId": runID}
				if i == 1 {
					commands[j]["reason"], commands[j]["details"], commands[j]["childPolicy"] = "over budget", "by hand", "ABANDON"
				}
			}
			return commands
		},
		Cancel: handlertest.Peer{
			Asked: asked, Taken: handlers.Accepted, NoBody: true, Whole: whole(handlertest.Want{Class: handlers.Unsettled}, handlers.Denied),
			Answer: func(handlertest.Request, []handlertest.Item) handlertest.Response { return handlertest.Response{} },
		},
		Read:    handlertest.Peer{Asked: asked, Answer: answerDescribe, Whole: whole(handlertest.Want{Status: handlers.NotFound}, "")},
		Resolve: &handlertest.Peer{Answer: answerOpen, Whole: whole(handlertest.Want{Status: handlers.NotFound}, "")},
		Last:    &handlertest.Peer{Answer: answerClosed, Whole: whole(handlertest.Want{Status: handlers.NotFound}, "")},
		States:  []handlertest.State{{Name: "OPEN"}},
		Extras:  []any{detail{cancelRequested: true}},
	}
	var closes []string
	if err := facts.Raw(&closes, "core", "swf", "close_status"); err != nil {
		panic(err)
	}
	for _, c := range closes {
		s.States = append(s.States, handlertest.State{Name: "CLOSED/" + c, Ended: true})
	}
	return s
}

// whole are the errors that every operation documents, and SWF's throttle under its full name.
func whole(unknown handlertest.Want, denied handlers.Status) []handlertest.Refusal {
	return []handlertest.Refusal{
		{Code: "UnknownResourceFault", HTTP: 400, Want: unknown},
		{Code: "com.amazonaws.swf.base.model#UnknownResourceFault", HTTP: 400, Want: unknown},
		{Code: "OperationNotPermittedFault", HTTP: 400, Want: handlertest.Want{Status: denied, Class: handlers.NotAuthorized}},
		{Code: "com.amazon.coral.availability#ThrottlingException", HTTP: 400, Want: handlertest.Want{Class: handlers.Throttled}},
		{Code: "NeverHeardOfFault", HTTP: 400, Want: handlertest.Want{Class: handlers.Final}},
	}
}

// named is how requests name a run: Describe's in a structure.
type named struct {
	WorkflowID string `json:"workflowId"`
	RunID      string `json:"runId"`
	Execution  *named `json:"execution,omitempty"`
}

func asked(r handlertest.Request) []string {
	var in named
	if err := json.Unmarshal(r.Payload, &in); err != nil {
		return []string{err.Error()}
	}
	if in.Execution != nil {
		in = *in.Execution
	}
	return []string{in.WorkflowID + "/" + in.RunID}
}

func answerDescribe(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
	if len(items) == 0 {
		return handlertest.Refuse(400, "UnknownResourceFault", "Unknown execution")
	}
	return encode(map[string]any{"executionInfo": info(items[0])})
}

// info is a run as SWF describes and lists it.
func info(it handlertest.Item) map[string]any {
	workflow, run, _ := strings.Cut(it.ID, "/")
	status, how, _ := strings.Cut(it.State, "/")
	said := map[string]any{"execution": named{WorkflowID: workflow, RunID: run}, "executionStatus": status, "startTimestamp": 1326592619.474}
	if how != "" {
		said["closeStatus"] = how
	}
	if d, is := it.Extra.(detail); is {
		said["cancelRequested"] = d.cancelRequested
	}
	return said
}

// answerOpen lists runs whose ids are the items' states, since a pin is what a resolving
// reading has for a state.
func answerOpen(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
	infos := make([]any, len(items))
	for i, it := range items {
		workflow, _, _ := strings.Cut(it.ID, "/")
		infos[i] = info(handlertest.Item{ID: workflow + "/" + it.State, State: "OPEN"})
	}
	return encode(map[string]any{"executionInfos": infos})
}

func answerClosed(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
	infos := make([]any, len(items))
	for i, it := range items {
		infos[i] = info(it)
	}
	return encode(map[string]any{"executionInfos": infos})
}

func encode(v any) handlertest.Response {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return handlertest.Response{Body: string(b)}
}

// What a command's text must be for its parameters to be sent (facts/aws.json: the fields of
// the two operations), and what it comes to.
func TestRulesOfTheParameters(t *testing.T) {
	decoder := command.NewDecoder(New(func(handlers.Location) aws.Config { return aws.Config{} }), location)
	const requestCancel, terminate = "swf:RequestCancelWorkflowExecution", "swf:TerminateWorkflowExecution"
	const run = `"domain":"d","workflowId":"w"`
	long := func(n int) string { return strings.Repeat("é", n) }
	for _, row := range []struct{ action, parameters, reason, field, id string }{
		{requestCancel, run, "", "", "w"},
		{requestCancel, run + `,"runId":""`, "", "", "w"},
		{requestCancel, run + `,"runId":"r"`, "", "", "w/r"},
		{requestCancel, run + `,"runId":"` + long(65) + `"`, "", "parameters.runId", ""},
		{requestCancel, `"workflowId":"w"`, "", "parameters.domain", ""},
		{requestCancel, `"domain":"","workflowId":"w"`, "", "parameters.domain", ""},
		{requestCancel, `"domain":"d","workflowId":""`, "", "parameters.workflowId", ""},
		{requestCancel, `"domain":"d","workflowId":"` + long(257) + `"`, "", "parameters.workflowId", ""},
		{requestCancel, run + `,"reason":"r"`, "", "parameters.reason", ""}, // not its to take
		{requestCancel, run, long(1024), "", "w"},                           // has no reason to fill
		{terminate, run, "over budget", "", "w"},
		{terminate, run, long(257), "reason", ""},
		{terminate, run + `,"reason":"r"`, long(257), "", "w"},
		{terminate, run + `,"reason":"` + long(257) + `"`, "", "parameters.reason", ""},
		{terminate, run + `,"details":"` + long(32768) + `"`, "", "", "w"},
		{terminate, run + `,"details":"` + long(32769) + `"`, "", "parameters.details", ""},
		{terminate, run + `,"childPolicy":"REQUEST_CANCEL"`, "", "", "w"},
		{terminate, run + `,"childPolicy":"abandon"`, "", "parameters.childPolicy", ""},
	} {
		body := `{"id":"c","action":"` + row.action + `","parameters":{` + row.parameters + `},"reason":"` + row.reason + `"}`
		c, err := decoder.Decode([]byte(body), command.Message{ID: "m"})
		var bad *command.Error
		switch {
		case errors.As(err, &bad) && bad.Field != row.field:
			t.Errorf("%.160s: %v, want it to name %q", body, bad, row.field)
		case err == nil && row.field != "":
			t.Errorf("%.160s is read, want %s named", body, row.field)
		case err == nil && c.Targets[0].ID != row.id:
			t.Errorf("%.160s: the target is %q, want %q", body, c.Targets[0].ID, row.id)
		}
	}
}

// What shares a call: the same request for the same run, and nothing else, whatever the names
// look like when they stand together.
func TestKeys(t *testing.T) {
	type p = handlers.Parameters
	for i, h := range New(func(handlers.Location) aws.Config { return aws.Config{} }) {
		calls, reads := map[string]string{}, map[string]string{}
		for about, p := range map[string]p{
			"a":                {"domain": "d", "workflowId": "a"},
			"a/b":              {"domain": "d", "workflowId": "a/b"},
			"a, run b":         {"domain": "d", "workflowId": "a", "runId": "b"},
			"a/b, run c":       {"domain": "d", "workflowId": "a/b", "runId": "c"},
			"a, run b/c":       {"domain": "d", "workflowId": "a", "runId": "b/c"},
			"a of another":     {"domain": "e", "workflowId": "a"},
			"a, for a reason":  {"domain": "d", "workflowId": "a", "reason": "r"},
			"a, with details":  {"domain": "d", "workflowId": "a", "details": "r"},
			"a, with a policy": {"domain": "d", "workflowId": "a", "childPolicy": "ABANDON"},
		} {
			optional := strings.HasPrefix(about, "a, for") || strings.HasPrefix(about, "a, with")
			if i == 0 && optional {
				continue // parameters that a request to cancel has not
			}
			targets, err := h.Targets(p)
			if err != nil {
				t.Fatal(err)
			}
			call, read := targets[0].Key+"\x00"+targets[0].ID, targets[0].ReadKey+"\x00"+targets[0].ID
			if other, is := calls[call]; is {
				t.Errorf("%s: %s and %s share a call", h.Action(), about, other)
			}
			calls[call] = about
			if optional {
				continue // a read does not depend on what the call would say
			}
			if other, is := reads[read]; is {
				t.Errorf("%s: %s and %s share a read", h.Action(), about, other)
			}
			reads[read] = about
		}
	}
}

// lister answers both listings with what the test says.
type lister struct {
	client // panics where another call is made
	rows   []types.WorkflowExecutionInfo
	more   *string
}

func (l *lister) ListOpenWorkflowExecutions(context.Context, *sdk.ListOpenWorkflowExecutionsInput, ...func(*sdk.Options)) (*sdk.ListOpenWorkflowExecutionsOutput, error) {
	return &sdk.ListOpenWorkflowExecutionsOutput{ExecutionInfos: l.rows, NextPageToken: l.more}, nil
}

func (l *lister) ListClosedWorkflowExecutions(context.Context, *sdk.ListClosedWorkflowExecutionsInput, ...func(*sdk.Options)) (*sdk.ListClosedWorkflowExecutionsOutput, error) {
	return &sdk.ListClosedWorkflowExecutionsOutput{ExecutionInfos: l.rows, NextPageToken: l.more}, nil
}

// Only an empty list, read to its end, says that no run is open, or closed.
func TestResolvingReadsToTheEnd(t *testing.T) {
	at := func(run string, started time.Time) types.WorkflowExecutionInfo {
		return types.WorkflowExecutionInfo{ExecutionStatus: types.ExecutionStatus(run), StartTimestamp: &started, Execution: &types.WorkflowExecution{WorkflowId: aws.String("w"), RunId: &run}}
	}
	now := time.Now()
	row := func(workflow, run string) types.WorkflowExecutionInfo {
		return types.WorkflowExecutionInfo{ExecutionStatus: types.ExecutionStatus(run), Execution: &types.WorkflowExecution{WorkflowId: &workflow, RunId: &run}}
	}
	for _, c := range []struct {
		about string
		rows  []types.WorkflowExecutionInfo
		more  *string
		pin   string
		class handlers.Class
	}{
		{"none", []types.WorkflowExecutionInfo{}, nil, "", 0},
		{"an empty page, and more to come", []types.WorkflowExecutionInfo{}, aws.String("next"), "", handlers.Unanswered},
		{"no list", nil, nil, "", handlers.Unanswered},
		{"strangers only", []types.WorkflowExecutionInfo{row("another", "r"), {}}, nil, "", 0},
		{"a stranger first", []types.WorkflowExecutionInfo{row("another", "r"), row("w", "ours")}, nil, "ours", 0},
		{"the newest, in whatever order", []types.WorkflowExecutionInfo{
			at("older", now.Add(-time.Hour)), at("newest", now), at("old", now.Add(-time.Minute)),
		}, nil, "newest", 0},
		{"found, and more to come", []types.WorkflowExecutionInfo{row("w", "ours")}, aws.String("next"), "ours", 0},
	} {
		h := &handler{clients: func(handlers.Location) client { return &lister{rows: c.rows, more: c.more} }}
		targets, err := h.Targets(handlers.Parameters{"domain": "d", "workflowId": "w"})
		if err != nil {
			t.Fatal(err)
		}
		// Each run's status is its id, so that both calls read the same of it.
		for _, call := range []handlers.Call[handlers.Reading]{h.Resolve(), h.Last()} {
			rd := call.Do(t.Context(), location, targets)[0]
			var class handlers.Class
			if rd.Err != nil {
				class = rd.Err.Class
			}
			if rd.State != c.pin || rd.Found != (c.pin != "") || class != c.class {
				t.Errorf("%s, %s: %+v, want %q and class %v", call.Operation, c.about, rd, c.pin, c.class)
			}
		}
	}
}
