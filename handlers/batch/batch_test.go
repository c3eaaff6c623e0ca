package batch

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const reason = "Cancelling job."

func TestConformance(t *testing.T) {
	for i, action := range []handlers.Action{"batch:CancelJob", "batch:TerminateJob"} {
		t.Run(string(action), func(t *testing.T) { handlertest.Run(t, suite(i)) })
	}
}

// suite describes the i-th handler that New returns.
func suite(i int) handlertest.Suite {
	return handlertest.Suite{
		New: func(config func(handlers.Location) aws.Config) handlers.Handler { return New(config)[i] },
		Commands: func(n int) []handlers.Parameters {
			commands := make([]handlers.Parameters, n)
			for i := range commands {
				commands[i] = handlers.Parameters{"jobId": jobID(i), "reason": reason}
			}
			return commands
		},
		Cancel: handlertest.Peer{
			Asked:  asked,
			Answer: answerBulk,
			// The codes that CancelJobsErrorDetail and TerminateJobsErrorDetail document, and
			// one that they do not.
			Items: []handlertest.Refusal{
				{Code: "ValidationException", Want: handlertest.Want{Class: handlers.Unsettled}},
				{Code: "ClientException", Want: handlertest.Want{Class: handlers.Unsettled}},
				{Code: "ThrottlingException", Want: handlertest.Want{Class: handlers.Throttled}},
				{Code: "ServerException", Want: handlertest.Want{Class: handlers.Unavailable}},
				{Code: "AccessDenied", Want: handlertest.Want{Status: handlers.Denied, Class: handlers.NotAuthorized}},
				{Code: "NeverHeardOfException", Want: handlertest.Want{Class: handlers.Unsettled}},
			},
			Whole: whole,
		},
		Read: handlertest.Peer{Asked: asked, Answer: answerDescribe, Whole: whole},
		States: []handlertest.State{
			{Name: "SUBMITTED"},
			{Name: "PENDING"},
			{Name: "RUNNABLE"},
			{Name: "STARTING"},
			{Name: "RUNNING"},
			{Name: "SUCCEEDED", Ended: true},
			{Name: "FAILED", Ended: true},
		},
		Extras: []any{
			detail{reason: "Essential container in task exited"},
			detail{cancelled: true, reason: reason},
			detail{cancelled: true, reason: "somebody else's"},
			detail{terminated: true, reason: reason},
			detail{terminated: true, reason: "somebody else's"},
			detail{cancelled: true, terminated: true, reason: reason},
		},
		Beyond: map[string]string{
			"reason": "the bound of CancelJobs and TerminateJobs, which carry it",
		},
	}
}

// The errors of the three operations, and what else a request may be refused with for one
// job's fault.
var whole = []handlertest.Refusal{
	{Code: "ClientException", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
	{Code: "ServerException", HTTP: 500, Want: handlertest.Want{Class: handlers.Unavailable}},
	{Code: "TooManyRequestsException", HTTP: 429, Want: handlertest.Want{Class: handlers.Throttled}},
	{Code: "ValidationException", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
	{Code: "NeverHeardOfException", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
}

func jobID(i int) string {
	const digits = "0123456789abcdef"
	return "1d828f65-7a4d-42e8-996d-3b900ed59d" + string(digits[i/16%16]) + string(digits[i%16])
}

func asked(r handlertest.Request) []string {
	var in struct{ Jobs []string }
	if err := json.Unmarshal(r.Payload, &in); err != nil {
		return []string{err.Error()}
	}
	return in.Jobs
}

func answerBulk(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
	successful, refused := []string{}, []map[string]string{}
	for _, it := range items {
		if it.Code == "" {
			successful = append(successful, it.ID)
		} else {
			refused = append(refused, map[string]string{"job": it.ID, "code": it.Code, "message": it.Message})
		}
	}
	return encode(map[string]any{"successful": successful, "errors": refused})
}

func answerDescribe(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
	jobs := make([]map[string]any, 0, len(items))
	for _, it := range items {
		job := map[string]any{"jobId": it.ID, "jobName": "example", "status": it.State}
		if d, ok := it.Extra.(detail); ok {
			job["isCancelled"], job["isTerminated"], job["statusReason"] = d.cancelled, d.terminated, d.reason
		}
		jobs = append(jobs, job)
	}
	return encode(map[string]any{"jobs": jobs})
}

func encode(v any) handlertest.Response {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return handlertest.Response{Body: string(b)}
}

// peer answers the bulk calls and DescribeJobs with what the test says.
type peer struct {
	client // panics where a test forgot an answer
	bulk   *sdk.CancelJobsOutput
	jobs   *sdk.DescribeJobsOutput
	sent   *sdk.CancelJobsInput
}

func (p *peer) CancelJobs(_ context.Context, in *sdk.CancelJobsInput, _ ...func(*sdk.Options)) (*sdk.CancelJobsOutput, error) {
	p.sent = in
	return p.bulk, nil
}

func (p *peer) DescribeJobs(context.Context, *sdk.DescribeJobsInput, ...func(*sdk.Options)) (*sdk.DescribeJobsOutput, error) {
	return p.jobs, nil
}

func (p *peer) handler() *handler {
	return &handler{action: "batch:CancelJob", operation: "CancelJobs", stop: cancelJobs,
		clients: func(handlers.Location) client { return p }}
}

// The reason travels: it is the key by which jobs share a call, and what the call sends.
func TestReasonIsTheKey(t *testing.T) {
	p := &peer{bulk: &sdk.CancelJobsOutput{Successful: []string{"a"}}}
	targets, err := p.handler().Targets(handlers.Parameters{"jobId": "a", "reason": reason})
	if err != nil || len(targets) != 1 || targets[0].Key != reason || targets[0].ReadKey != "" {
		t.Fatalf("Targets = %+v, %v, want one with the reason as its key and reads shared by all", targets, err)
	}
	p.handler().cancel(t.Context(), handlers.Location{}, targets)
	if aws.ToString(p.sent.Reason) != reason {
		t.Errorf("sent the reason %q, want %q", aws.ToString(p.sent.Reason), reason)
	}
}

// An answer may name a job otherwise than the request did.
func TestJobsAreMatchedWithAndWithoutTheirARN(t *testing.T) {
	const arn = "arn:aws:batch:us-east-1:123456789012:job/"
	p := &peer{
		bulk: &sdk.CancelJobsOutput{
			Successful: []string{arn + "a:1"},
			Errors:     []types.CancelJobsErrorDetail{{Job: aws.String("b"), Code: aws.String("ThrottlingException")}},
		},
		jobs: &sdk.DescribeJobsOutput{Jobs: []types.JobDetail{
			{JobId: aws.String("b"), Status: types.JobStatusRunning},
			{JobId: aws.String("a:1"), Status: types.JobStatusFailed},
		}},
	}
	targets := []handlers.Target{{ID: "a:1"}, {ID: arn + "b"}}
	answers := p.handler().cancel(t.Context(), handlers.Location{}, targets)
	if answers[0].Err != nil {
		t.Errorf("a:1 came to %v, want taken", answers[0].Err)
	}
	if e := answers[1].Err; e == nil || e.Class != handlers.Throttled {
		t.Errorf("b came to %v, want throttled", e)
	}
	readings := p.handler().describe(t.Context(), handlers.Location{}, targets)
	if readings[0].State != "FAILED" || readings[1].State != "RUNNING" {
		t.Errorf("read %q and %q, want FAILED and RUNNING", readings[0].State, readings[1].State)
	}
}

// A job that stands among the successes and among the errors is asked for again.
func TestErrorRulesOverSuccess(t *testing.T) {
	p := &peer{bulk: &sdk.CancelJobsOutput{
		Successful: []string{"a"},
		Errors:     []types.CancelJobsErrorDetail{{Job: aws.String("a"), Code: aws.String("ServerException")}},
	}}
	answers := p.handler().cancel(t.Context(), handlers.Location{}, []handlers.Target{{ID: "a"}})
	if e := answers[0].Err; e == nil || e.Class != handlers.Unavailable {
		t.Errorf("came to %v, want unavailable", e)
	}
}

// An empty list is Batch's word that it knows none; no list is no word.
func TestNoListIsNotAnEmptyList(t *testing.T) {
	p := &peer{jobs: &sdk.DescribeJobsOutput{Jobs: []types.JobDetail{}}}
	if r := p.handler().describe(t.Context(), handlers.Location{}, []handlers.Target{{ID: "a"}})[0]; r.Err != nil || r.Found {
		t.Errorf("empty list: %+v, want not found", r)
	}
	p.jobs = &sdk.DescribeJobsOutput{}
	if r := p.handler().describe(t.Context(), handlers.Location{}, []handlers.Target{{ID: "a"}})[0]; r.Err == nil || r.Err.Class != handlers.Unanswered {
		t.Errorf("no list: %+v, want unanswered", r)
	}
}

// The message of an outcome is Batch's own words, not the SDK's.
func TestRefusalKeepsBatchsWords(t *testing.T) {
	e, _ := classify(&types.ClientException{Message: aws.String("Job id is malformed")})
	if e.Error() != "ClientException: Job id is malformed" {
		t.Errorf("classify = %q", e)
	}
	e, _ = classify(errors.New("dial tcp: refused"))
	if e.Class != handlers.Unanswered || !strings.Contains(e.Message, "refused") {
		t.Errorf("classify = %+v, want unanswered", e)
	}
}
