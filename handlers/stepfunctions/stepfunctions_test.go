package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func arn(i int) string {
	return fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:orders:run-%d", i)
}

func TestConformance(t *testing.T) { handlertest.Run(t, suite()) }

func suite() handlertest.Suite {
	unsettled := handlertest.Want{Class: handlers.Unsettled}
	final := handlertest.Want{Class: handlers.Final}
	throttled := handlertest.Want{Class: handlers.Throttled}
	return handlertest.Suite{
		New: func(config func(handlers.Location) aws.Config) handlers.Handler { return New(config)[0] },
		Commands: func(n int) []handlers.Parameters {
			commands := make([]handlers.Parameters, n)
			for i := range commands {
				commands[i] = handlers.Parameters{"executionArn": arn(i), "error": "Guard", "cause": "over budget"}
			}
			return commands
		},
		Cancel: handlertest.Peer{
			Asked: asked, Taken: handlers.Accepted,
			Answer: func(handlertest.Request, []handlertest.Item) handlertest.Response {
				return handlertest.Response{Body: `{"stopDate": 1795262400.5}`}
			},
			Whole: []handlertest.Refusal{
				{Code: "ExecutionDoesNotExist", HTTP: 400, Want: handlertest.Want{Class: handlers.NoSuchTarget}},
				{Code: "InvalidArn", HTTP: 400, Want: unsettled},
				{Code: "ValidationException", HTTP: 400, Want: unsettled},
				{Code: "KmsAccessDeniedException", HTTP: 400, Want: handlertest.Want{Status: handlers.Denied, Class: handlers.NotAuthorized}},
				{Code: "KmsInvalidStateException", HTTP: 400, Want: unsettled},
				{Code: "KmsThrottlingException", HTTP: 400, Want: throttled},
				{Code: "NeverHeardOfException", HTTP: 400, Want: unsettled},
			},
		},
		Read: handlertest.Peer{
			Asked: asked, Answer: answerDescribe,
			Whole: []handlertest.Refusal{ // of the SDK's model
				{Code: "ExecutionDoesNotExist", HTTP: 400, Want: handlertest.Want{Status: handlers.NotFound}},
				{Code: "InvalidArn", HTTP: 400, Want: final},
				{Code: "KmsAccessDeniedException", HTTP: 400, Want: handlertest.Want{Class: handlers.NotAuthorized}},
				{Code: "KmsInvalidStateException", HTTP: 400, Want: final},
				{Code: "KmsThrottlingException", HTTP: 400, Want: throttled},
				{Code: "NeverHeardOfException", HTTP: 400, Want: final},
			},
		},
		States: []handlertest.State{
			{Name: "RUNNING"},
			{Name: "PENDING_REDRIVE"},
			{Name: "SUCCEEDED", Ended: true},
			{Name: "FAILED", Ended: true},
			{Name: "TIMED_OUT", Ended: true},
			{Name: "ABORTED", Ended: true},
		},
		Extras: []any{record{"Guard", "over budget"}, record{"Guard", "another's"}},
	}
}

// request is what both calls send.
type request struct {
	ARN          string  `json:"executionArn"`
	Error        *string `json:"error"`
	Cause        *string `json:"cause"`
	IncludedData string  `json:"includedData"`
}

func asked(r handlertest.Request) []string {
	var in request
	if err := json.Unmarshal(r.Payload, &in); err != nil {
		return []string{err.Error()}
	}
	return []string{in.ARN}
}

func answerDescribe(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
	if len(items) == 0 {
		return handlertest.Refuse(400, "ExecutionDoesNotExist", "Execution Does Not Exist")
	}
	said := map[string]any{"executionArn": items[0].ID, "status": items[0].State, "startDate": 1795262400.5}
	if r, ok := items[0].Extra.(record); ok {
		said["error"], said["cause"] = r.code, r.cause
	}
	b, err := json.Marshal(said)
	if err != nil {
		panic(err)
	}
	return handlertest.Response{Body: string(b)}
}

func TestQuotasByRegion(t *testing.T) {
	h := New(nil)[0]
	cancel, read := h.Cancel(), h.Read()
	for region, want := range map[string][2]handlers.Quota{
		"us-east-1":    {{Rate: 200, Burst: 1000}, {Rate: 15, Burst: 300}},
		"us-west-2":    {{Rate: 200, Burst: 1000}, {Rate: 15, Burst: 300}},
		"eu-west-1":    {{Rate: 200, Burst: 1000}, {Rate: 15, Burst: 300}},
		"eu-central-1": {{Rate: 25, Burst: 500}, {Rate: 10, Burst: 250}},
	} {
		if got := [2]handlers.Quota{cancel.QuotaAt(region), read.QuotaAt(region)}; got != want {
			t.Errorf("%s: %+v, want %+v", region, got, want)
		}
	}
}

// Targets that would send something else, or have something else read, have other keys.
func TestKeysTellRecordsApart(t *testing.T) {
	h := New(nil)[0]
	seen := map[string]record{}
	for _, r := range []record{{}, {"a", ""}, {"", "a"}, {"a", "b"}, {`a""b`, ""}, {`a"`, `"b`}, {"", `a""b`}} {
		targets, err := h.Targets(handlers.Parameters{"executionArn": arn(0), "error": r.code, "cause": r.cause})
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[targets[0].Key]; twice {
			t.Errorf("%+v and %+v have the key %s", r, other, targets[0].Key)
		}
		seen[targets[0].Key] = r
		if (targets[0].ReadKey == readRecord) != (r != record{}) {
			t.Errorf("%+v: read key %q", r, targets[0].ReadKey)
		}
	}
}

// What goes over the wire: neither error nor cause where nobody gave one, as documented for
// executions whose key the caller may not use, and then a reading that needs no key either.
func TestOnlyWhatWasGivenIsSent(t *testing.T) {
	for _, row := range []struct {
		code, cause string
		want        request
	}{
		{"", handlers.DefaultReason, request{IncludedData: "METADATA_ONLY"}},
		{"", "", request{IncludedData: "METADATA_ONLY"}},
		{"Guard", handlers.DefaultReason, request{Error: aws.String("Guard"), IncludedData: "ALL_DATA"}},
		{"", "over budget", request{Cause: aws.String("over budget"), IncludedData: "ALL_DATA"}},
		{"Guard", "over budget", request{Error: aws.String("Guard"), Cause: aws.String("over budget"), IncludedData: "ALL_DATA"}},
	} {
		p := &peer{}
		h := &handler{clients: func(handlers.Location) client { return p }}
		targets, err := h.Targets(handlers.Parameters{"executionArn": arn(0), "error": row.code, "cause": row.cause})
		if err != nil {
			t.Fatal(err)
		}
		h.stop(t.Context(), handlers.Location{}, targets)
		h.describe(t.Context(), handlers.Location{}, targets)
		row.want.ARN = arn(0)
		if !reflect.DeepEqual(p.got, row.want) {
			t.Errorf("error %q, cause %q: sent %+v, want %+v", row.code, row.cause, p.got, row.want)
		}
	}
}

// peer keeps what both calls sent, and refuses them.
type peer struct {
	client // panics where a test forgot an answer
	got    request
}

func (p *peer) StopExecution(_ context.Context, in *sdk.StopExecutionInput, _ ...func(*sdk.Options)) (*sdk.StopExecutionOutput, error) {
	p.got.ARN, p.got.Error, p.got.Cause = *in.ExecutionArn, in.Error, in.Cause
	return nil, errors.New("no answer")
}

func (p *peer) DescribeExecution(_ context.Context, in *sdk.DescribeExecutionInput, _ ...func(*sdk.Options)) (*sdk.DescribeExecutionOutput, error) {
	p.got.IncludedData = string(in.IncludedData)
	return nil, errors.New("no answer")
}

// Whose stop an ABORTED execution shows, after a call that was taken: what was not sent is not
// compared, whatever stands there.
func TestWhoseStop(t *testing.T) {
	h := New(nil)[0]
	for _, row := range []struct {
		sent, read record
		want       handlers.Status
	}{
		{record{}, record{}, handlers.Cancelled},
		{record{}, record{"E", "C"}, handlers.Cancelled},
		{record{"E", ""}, record{"E", "C"}, handlers.Cancelled},
		{record{"", "C"}, record{"E", "C"}, handlers.Cancelled},
		{record{"E", "C"}, record{"E", "C"}, handlers.Cancelled},
		{record{"E", "C"}, record{"E", "another's"}, handlers.AlreadyCancelled},
		{record{"E", "C"}, record{"Theirs", "C"}, handlers.AlreadyCancelled},
		{record{"E", "C"}, record{}, handlers.AlreadyCancelled},
	} {
		r := handlers.Reading{Found: true, State: "ABORTED", Detail: row.read}
		for _, tried := range []handlers.Tried{{Taken: true}, {Unsure: true}} {
			if a := h.Judge(handlers.Target{Params: row.sent}, tried, r); a.Status != row.want {
				t.Errorf("sent %+v, read %+v: %s, want %s", row.sent, row.read, a.Status, row.want)
			}
		}
		if a := h.Judge(handlers.Target{Params: row.sent}, handlers.Tried{}, r); a.Status != handlers.AlreadyCancelled {
			t.Errorf("read %+v, and nothing called: %s", row.read, a.Status)
		}
	}
}
