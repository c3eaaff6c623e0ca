package emr

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/internal/facts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cluster = "j-2G7RS6DJZE39D"

func TestConformance(t *testing.T) { handlertest.Run(t, suite()) }

func suite() handlertest.Suite {
	return handlertest.Suite{
		New: func(config func(handlers.Location) aws.Config) handlers.Handler { return New(config)[0] },
		Commands: func(n int) []handlers.Parameters {
			steps := make([]string, n)
			for i := range steps {
				steps[i] = fmt.Sprintf("s-%013d", i)
			}
			return []handlers.Parameters{{"ClusterId": cluster, "StepIds": steps, "StepCancellationOption": "SEND_INTERRUPT"}}
		},
		Cancel: handlertest.Peer{
			Asked: asked, Answer: answerCancel, Taken: handlers.Accepted, Gap: handlers.Unsettled,
			Items: []handlertest.Refusal{
				// per_item_result.documented_reasons
				saidTo("Cannot cancel the step. It is already COMPLETED.", handlers.AlreadyEnded),
				saidTo("Cannot cancel the step. It is already CANCELLED.", handlers.AlreadyCancelled),
				saidTo("Cannot cancel the step. It is already FAILED.", handlers.AlreadyEnded),
				saidTo("Cannot cancel the step. It is already RUNNING.", handlers.NotCancellable),
				saidTo("This step cannot be cancelled.", ""),
				// None of these is documented, nor is a step's answer without a reason.
				saidTo("Cannot cancel the step. It is already INTERRUPTED.", ""),
				saidTo("cannot cancel the step. it is already cancelled.", ""),
				saidTo("", ""),
				{Code: "NEVER_HEARD_OF", Text: "Cannot cancel the step. It is already CANCELLED.", Want: handlertest.Want{Class: handlers.Unsettled}},
			},
			Whole: whole("InternalServerError", 400),
		},
		Read: handlertest.Peer{Asked: asked, Answer: answerList, Whole: whole("InternalServerException", 500)},
		States: []handlertest.State{
			{Name: "PENDING"},
			{Name: "CANCEL_PENDING"},
			{Name: "RUNNING"},
			{Name: "COMPLETED", Ended: true},
			{Name: "CANCELLED", Ended: true},
			{Name: "FAILED", Ended: true},
			{Name: "INTERRUPTED", Ended: true},
		},
		Beyond: map[string]string{"StepIds": "API_CancelSteps: at most 256 steps in a request"},
	}
}

func saidTo(reason string, status handlers.Status) handlertest.Refusal {
	return handlertest.Refusal{Code: "FAILED", Text: reason, Want: handlertest.Want{Status: status, Class: handlers.Unsettled}}
}

// whole are the documented refusals of an operation, and one that is not.
func whole(internal string, status int) []handlertest.Refusal {
	return []handlertest.Refusal{
		{Code: internal, HTTP: status, Want: handlertest.Want{Class: handlers.Unavailable}},
		{Code: "InvalidRequestException", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
		{Code: "NeverHeardOfException", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
	}
}

func asked(r handlertest.Request) []string {
	var in struct {
		StepIDs []string `json:"StepIds"`
	}
	if err := json.Unmarshal(r.Payload, &in); err != nil {
		return []string{err.Error()}
	}
	return in.StepIDs
}

func answerCancel(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
	infos := make([]map[string]string, len(items))
	for i, it := range items {
		infos[i] = map[string]string{"StepId": it.ID, "Status": "SUBMITTED", "Reason": ""}
		if it.Code != "" {
			infos[i]["Status"], infos[i]["Reason"] = it.Code, it.Message
		}
	}
	return encode(map[string]any{"CancelStepsInfoList": infos})
}

func answerList(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
	steps := make([]map[string]any, len(items))
	for i, it := range items {
		steps[i] = map[string]any{"Id": it.ID, "Name": "example", "Status": map[string]any{"State": it.State}}
	}
	return encode(map[string]any{"Steps": steps})
}

func encode(v any) handlertest.Response {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return handlertest.Response{Body: string(b)}
}

// The documented reasons that name a state are all known, by EMR's own words.
func TestReasonsAreThoseOfTheFacts(t *testing.T) {
	var documented []string
	if err := facts.Raw(&documented, "core", "emr", "per_item_result", "documented_reasons"); err != nil {
		t.Fatal(err)
	}
	for _, reason := range documented {
		_, known := reasons[reason]
		if naming := strings.Contains(reason, "already"); known != naming || !naming && reason != "" && reason != uncancellable {
			t.Errorf("%q is known by its state: %v", reason, known)
		}
	}
	for reason := range reasons {
		if !slices.Contains(documented, reason) {
			t.Errorf("%q is not documented", reason)
		}
	}
}

func TestQuotasAreThoseOfTheFacts(t *testing.T) {
	h, published := New(nil)[0], facts.Core()["emr"].Quotas
	for name, got := range map[string]handlers.Quota{
		"CancelSteps": h.Cancel().Quota, "ListSteps": h.Read().Quota,
		"ALL": h.Cancel().ServiceQuota,
	} {
		if handlers.Quota(published[name]) != got {
			t.Errorf("%s: %+v, aws.json says %+v", name, got, published[name])
		}
	}
	if h.Read().ServiceQuota != h.Cancel().ServiceQuota {
		t.Error("reads and cancels do not share the service's quota")
	}
}

// Cluster and option are the key, since a call says both; a read says the cluster alone.
func TestKeys(t *testing.T) {
	keys, reads := map[string]bool{}, map[string]bool{}
	for _, c := range []string{cluster, "j-OTHER"} {
		for _, option := range []string{"", "SEND_INTERRUPT", "TERMINATE_PROCESS"} {
			p := handlers.Parameters{"ClusterId": c, "StepIds": []string{"a", "b"}}
			if option != "" {
				p["StepCancellationOption"] = option
			}
			targets, err := New(nil)[0].Targets(p)
			if err != nil || len(targets) != 2 || targets[0].Key != targets[1].Key {
				t.Fatalf("Targets = %+v, %v, want two of one key", targets, err)
			}
			keys[targets[0].Key], reads[targets[0].ReadKey] = true, true
		}
	}
	if len(keys) != 6 || len(reads) != 2 {
		t.Errorf("%d keys and %d read keys of 2 clusters and 3 options, want 6 and 2", len(keys), len(reads))
	}
}

// The text of an id, as aws.json's pattern has it.
func TestIDText(t *testing.T) {
	for text, ok := range map[string]bool{
		"s-2M366D3KU4OTZ": true, "é😀\t\r\n\ud7ff\ue000\ufffd": true,
		"a\x00b": false, "a\x1f": false, "a\ufffe": false, "a\uffff": false,
	} {
		if got := idText.Pattern.FindString(text) == text; got != ok {
			t.Errorf("%q: %v, want %v", text, got, ok)
		}
	}
}

// peer answers with what the test says.
type peer struct {
	cancel *sdk.CancelStepsOutput
	list   *sdk.ListStepsOutput
	sent   *sdk.CancelStepsInput
}

func (p *peer) CancelSteps(_ context.Context, in *sdk.CancelStepsInput, _ ...func(*sdk.Options)) (*sdk.CancelStepsOutput, error) {
	p.sent = in
	return p.cancel, nil
}

func (p *peer) ListSteps(context.Context, *sdk.ListStepsInput, ...func(*sdk.Options)) (*sdk.ListStepsOutput, error) {
	return p.list, nil
}

func (p *peer) handler() *handler {
	return &handler{clients: func(handlers.Location) client { return p }}
}

// Cluster and option travel as the command says them; no option sends none.
func TestRequestSaysClusterAndOption(t *testing.T) {
	for _, option := range []types.StepCancellationOption{"", "SEND_INTERRUPT", "TERMINATE_PROCESS"} {
		p := &peer{cancel: &sdk.CancelStepsOutput{}}
		p.handler().cancel(t.Context(), handlers.Location{}, []handlers.Target{{ID: "a", Params: request{cluster, string(option)}}})
		if aws.ToString(p.sent.ClusterId) != cluster || p.sent.StepCancellationOption != option {
			t.Errorf("sent %q and %q, want %q and %q", *p.sent.ClusterId, p.sent.StepCancellationOption, cluster, option)
		}
	}
}

// Of a step that stands in the answer twice, the refusal rules, wherever it stands.
func TestRefusalRulesOverSuccess(t *testing.T) {
	infos := []types.CancelStepsInfo{
		{StepId: aws.String("a"), Status: "SUBMITTED"},
		{StepId: aws.String("a"), Status: "FAILED", Reason: aws.String("no")},
	}
	for range 2 {
		slices.Reverse(infos)
		p := &peer{cancel: &sdk.CancelStepsOutput{CancelStepsInfoList: infos}}
		a := p.handler().cancel(t.Context(), handlers.Location{}, []handlers.Target{{ID: "a", Params: request{cluster: cluster}}})[0]
		if a.Status != "" || a.Err == nil || a.Err.Class != handlers.Unsettled {
			t.Errorf("came to %+v, want unsettled", a)
		}
	}
}

// An empty list is EMR's word that it knows none; no list, and a step without a state, is not.
func TestNoListIsNotAnEmptyList(t *testing.T) {
	targets := []handlers.Target{{ID: "a", Params: request{cluster: cluster}}}
	p := &peer{list: &sdk.ListStepsOutput{Steps: []types.StepSummary{}}}
	if r := p.handler().list(t.Context(), handlers.Location{}, targets)[0]; r.Err != nil || r.Found {
		t.Errorf("empty list: %+v, want not found", r)
	}
	p.list = &sdk.ListStepsOutput{}
	if r := p.handler().list(t.Context(), handlers.Location{}, targets)[0]; r.Err == nil || r.Err.Class != handlers.Unanswered {
		t.Errorf("no list: %+v, want unanswered", r)
	}
	p.list = &sdk.ListStepsOutput{Steps: []types.StepSummary{{Id: aws.String("a")}}}
	if r := p.handler().list(t.Context(), handlers.Location{}, targets)[0]; r.Err == nil || r.Err.Class != handlers.Unanswered {
		t.Errorf("a step without a status: %+v, want unanswered", r)
	}
}

// A step that an answer leaves out may have been stopped by that call: its state says so, and
// what still stands has not been shown to be taken.
func TestStepLeftOutIsSettledByItsState(t *testing.T) {
	left := handlers.LeftOut("EMR's answer does not name the step")
	for state, want := range map[string]handlers.Status{
		"PENDING": "failed", "RUNNING": "failed", "CANCEL_PENDING": "accepted",
		"CANCELLED": "cancelled", "COMPLETED": "already_ended", "FAILED": "already_ended", "INTERRUPTED": "already_ended",
	} {
		tried := handlers.Tried{Unsure: left.MayHaveRun, Refusal: left}
		if a := New(nil)[0].Judge(handlers.Target{ID: "a"}, tried, handlers.Reading{Found: true, State: state}); a.Status != want {
			t.Errorf("left out, and %s: %+v, want %s", state, a, want)
		}
	}
}
