package swf_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/swf"
	"github.com/aws/aws-sdk-go-v2/service/swf/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/internal/facts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble is a simulator in a synctest bubble and a real SDK client for its SWF, which tries once.
type bubble struct {
	*testing.T
	*awssim.Sim
	ctx context.Context
	swf *sdk.Client
}

func inBubble(t *testing.T, o awssim.Options, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(o)
		defer func() {
			if err := sim.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		cfg := sim.Config()
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		test(&bubble{T: t, Sim: sim, ctx: t.Context(), swf: sdk.NewFromConfig(cfg)})
	})
}

func (b *bubble) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// refused checks AWS's code of an error; "" wants none.
func (b *bubble) refused(about string, err error, code string) {
	b.Helper()
	got := ""
	var api smithy.APIError
	if errors.As(err, &api) {
		got = api.ErrorCode()
	}
	if got != code || (err == nil) != (code == "") {
		b.Errorf("%s: got code %q, want %q (error: %v)", about, got, code, err)
	}
}

// stop is one of the two calls, for run "r" of workflow "w", or whichever is open.
func (b *bubble) stop(terminate bool, run *string) error {
	if terminate {
		_, err := b.swf.TerminateWorkflowExecution(b.ctx, &sdk.TerminateWorkflowExecutionInput{Domain: aws.String("d"), WorkflowId: aws.String("w"), RunId: run})
		return err
	}
	_, err := b.swf.RequestCancelWorkflowExecution(b.ctx, &sdk.RequestCancelWorkflowExecutionInput{Domain: aws.String("d"), WorkflowId: aws.String("w"), RunId: run})
	return err
}

func (b *bubble) describe(run string) *types.WorkflowExecutionInfo {
	b.Helper()
	out, err := b.swf.DescribeWorkflowExecution(b.ctx, &sdk.DescribeWorkflowExecutionInput{
		Domain: aws.String("d"), Execution: &types.WorkflowExecution{WorkflowId: aws.String("w"), RunId: &run},
	})
	b.must(err)
	return out.ExecutionInfo
}

func TestCloseStatusesAreThoseOfTheFacts(t *testing.T) {
	var want []swf.CloseStatus
	if err := facts.Raw(&want, "core", "swf", "close_status"); err != nil || !slices.Equal(swf.CloseStatuses(), want) {
		t.Errorf("%v; facts: %v, %v", swf.CloseStatuses(), want, err)
	}
	if states := facts.Core()["swf"].States; !slices.Equal(states, []string{string(swf.Open), string(swf.Closed)}) {
		t.Errorf("facts: %v", states)
	}
}

// Every state × both calls × with and without a run id (facts/aws.json: swf.cancellable,
// swf.second_cancel, swf.pin_runId, swf.confirm).
func TestStops(t *testing.T) {
	for _, how := range append([]swf.CloseStatus{""}, swf.CloseStatuses()...) {
		for _, terminate := range []bool{false, true} {
			for _, run := range []*string{nil, aws.String("r")} {
				inBubble(t, awssim.Options{SWF: swf.Options{ObeyAfter: 10 * time.Second}}, func(b *bubble) {
					about := fmt.Sprintf("closed as %q, terminate %v", how, terminate)
					b.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "r", Close: how})
					err := b.stop(terminate, run)
					info := b.describe("r")
					if how != "" {
						b.refused(about, err, "UnknownResourceFault")
						if string(info.CloseStatus) != string(how) || info.CancelRequested {
							b.Errorf("%s: refused, and now %+v", about, info)
						}
						return
					}
					b.refused(about, err, "")
					if terminate {
						if info.ExecutionStatus != "CLOSED" || info.CloseStatus != "TERMINATED" || info.CloseTimestamp == nil {
							b.Errorf("%s: %+v", about, info)
						}
						return
					}
					if info.ExecutionStatus != "OPEN" || !info.CancelRequested || info.CloseTimestamp != nil {
						b.Errorf("%s, at once: %+v", about, info)
					}
					time.Sleep(5 * time.Second)
					b.refused("a second cancel", b.stop(false, run), "")
					time.Sleep(5 * time.Second)
					if info := b.describe("r"); info.CloseStatus != "CANCELED" {
						b.Errorf("%s, later: %+v", about, info)
					}
					if w, _ := b.Workflow("d", "w", "r"); w.Requests != 2 {
						b.Errorf("%s: %d requests recorded, want 2", about, w.Requests)
					}
				})
			}
		}
	}
}

// A decider of its own: one ignores, one takes longer, one is overtaken by the run's own end.
func TestDeciders(t *testing.T) {
	for _, c := range []struct {
		about string
		run   awssim.Workflow
		want  types.CloseStatus
	}{
		{"obeys at once", awssim.Workflow{}, "CANCELED"},
		{"ignores", awssim.Workflow{Ignores: true}, ""},
		{"takes an hour", awssim.Workflow{ObeyAfter: time.Hour}, ""},
		{"takes seconds", awssim.Workflow{ObeyAfter: time.Second}, "CANCELED"},
		{"ends before it obeys", awssim.Workflow{ObeyAfter: 10 * time.Second, Then: &awssim.WorkflowEnding{After: 5 * time.Second, Close: swf.Completed}}, "COMPLETED"},
		{"obeys before it ends", awssim.Workflow{ObeyAfter: 5 * time.Second, Then: &awssim.WorkflowEnding{After: 10 * time.Second, Close: swf.Completed}}, "CANCELED"},
		{"ignores and ends", awssim.Workflow{Ignores: true, Then: &awssim.WorkflowEnding{After: 10 * time.Second, Close: swf.TimedOut}}, "TIMED_OUT"},
	} {
		inBubble(t, awssim.Options{}, func(b *bubble) {
			c.run.Domain, c.run.WorkflowID, c.run.RunID = "d", "w", "r"
			b.PutWorkflows(c.run)
			b.must(b.stop(false, nil))
			time.Sleep(time.Minute)
			if info := b.describe("r"); info.CloseStatus != c.want || !info.CancelRequested {
				b.Errorf("%s: %+v, want closed as %q", c.about, info, c.want)
			}
		})
	}
}

// A run that is continued as new leaves an open one, which is not asked to cancel; without a
// run id that one is hit, with the old one's nothing is.
func TestContinuesAsNew(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		b.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "1", Ignores: true, Then: &awssim.WorkflowEnding{After: time.Minute, Close: swf.ContinuedAsNew, NextRun: "2"}})
		b.must(b.stop(false, nil))
		time.Sleep(time.Minute)
		b.refused("the old run", b.stop(true, aws.String("1")), "UnknownResourceFault")
		if info := b.describe("2"); info.ExecutionStatus != "OPEN" || info.CancelRequested {
			b.Errorf("the new run: %+v", info)
		}
		b.must(b.stop(true, nil))
		if one, two := b.describe("1"), b.describe("2"); one.CloseStatus != "CONTINUED_AS_NEW" || two.CloseStatus != "TERMINATED" {
			b.Errorf("%s and %s", one.CloseStatus, two.CloseStatus)
		}
	})
}

func TestLists(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		now := time.Now()
		for i := range 5 {
			b.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: fmt.Sprint("w", i), RunID: "r", Started: now.Add(-time.Duration(i) * time.Hour), Tags: []string{fmt.Sprint("tag", i%2)}})
		}
		b.PutWorkflows(
			awssim.Workflow{Domain: "d", WorkflowID: "done", RunID: "r", Close: swf.Completed, Closed: now.Add(-time.Hour), Started: now.Add(-2 * time.Hour)},
			awssim.Workflow{Domain: "d", WorkflowID: "stopped", RunID: "r", Close: swf.Terminated, Started: now.Add(-3 * time.Hour)},
			awssim.Workflow{Domain: "elsewhere", WorkflowID: "w0", RunID: "r"},
		)
		all := &types.ExecutionTimeFilter{OldestDate: aws.Time(time.Unix(0, 0))}
		open := func(change func(*sdk.ListOpenWorkflowExecutionsInput)) string {
			in := &sdk.ListOpenWorkflowExecutionsInput{Domain: aws.String("d"), StartTimeFilter: all}
			change(in)
			out, err := b.swf.ListOpenWorkflowExecutions(b.ctx, in)
			b.must(err)
			if out.NextPageToken != nil {
				in.NextPageToken = out.NextPageToken
				more, err := b.swf.ListOpenWorkflowExecutions(b.ctx, in)
				b.must(err)
				return ids(out.ExecutionInfos) + " | " + ids(more.ExecutionInfos)
			}
			return ids(out.ExecutionInfos)
		}
		closed := func(in *sdk.ListClosedWorkflowExecutionsInput) string {
			in.Domain = aws.String("d")
			out, err := b.swf.ListClosedWorkflowExecutions(b.ctx, in)
			b.must(err)
			return ids(out.ExecutionInfos)
		}
		type in = sdk.ListOpenWorkflowExecutionsInput
		for about, c := range map[string][2]string{
			"all":      {open(func(*in) {}), "w0 w1 w2 w3 w4"},
			"reversed": {open(func(i *in) { i.ReverseOrder = true }), "w4 w3 w2 w1 w0"},
			"pages":    {open(func(i *in) { i.MaximumPageSize = 3 }), "w0 w1 w2 | w3 w4"},
			"one":      {open(func(i *in) { i.ExecutionFilter = &types.WorkflowExecutionFilter{WorkflowId: aws.String("w2")} }), "w2"},
			"tag":      {open(func(i *in) { i.TagFilter = &types.TagFilter{Tag: aws.String("tag1")} }), "w1 w3"},
			"type":     {open(func(i *in) { i.TypeFilter = &types.WorkflowTypeFilter{Name: aws.String("another")} }), ""},
			"since":    {open(func(i *in) { i.StartTimeFilter = &types.ExecutionTimeFilter{OldestDate: aws.Time(now.Add(-time.Hour))} }), "w0 w1"},
			"until": {open(func(i *in) {
				i.StartTimeFilter = &types.ExecutionTimeFilter{OldestDate: all.OldestDate, LatestDate: aws.Time(now.Add(-4 * time.Hour))}
			}), "w4"},
			"closed":          {closed(&sdk.ListClosedWorkflowExecutionsInput{StartTimeFilter: all}), "done stopped"},
			"closed, by end":  {closed(&sdk.ListClosedWorkflowExecutionsInput{CloseTimeFilter: all}), "stopped done"},
			"closed, until":   {closed(&sdk.ListClosedWorkflowExecutionsInput{CloseTimeFilter: &types.ExecutionTimeFilter{OldestDate: all.OldestDate, LatestDate: aws.Time(now.Add(-time.Minute))}}), "done"},
			"closed, by kind": {closed(&sdk.ListClosedWorkflowExecutionsInput{CloseTimeFilter: all, CloseStatusFilter: &types.CloseStatusFilter{Status: "TERMINATED"}}), "stopped"},
		} {
			if c[0] != c[1] {
				b.Errorf("%s: %q, want %q", about, c[0], c[1])
			}
		}
		count, err := b.swf.CountOpenWorkflowExecutions(b.ctx, &sdk.CountOpenWorkflowExecutionsInput{Domain: aws.String("d"), StartTimeFilter: all})
		b.must(err)
		if count.Count != 5 || count.Truncated {
			b.Errorf("counted %+v", count)
		}
		_, err = b.swf.ListOpenWorkflowExecutions(b.ctx, &in{Domain: aws.String("d"), StartTimeFilter: all, TagFilter: &types.TagFilter{Tag: aws.String("t")}, ExecutionFilter: &types.WorkflowExecutionFilter{WorkflowId: aws.String("w")}})
		b.refused("two filters", err, "ValidationException")
		_, err = b.swf.ListClosedWorkflowExecutions(b.ctx, &sdk.ListClosedWorkflowExecutionsInput{Domain: aws.String("d")})
		b.refused("no time", err, "ValidationException")
		_, err = b.swf.ListOpenWorkflowExecutions(b.ctx, &in{Domain: aws.String("nowhere"), StartTimeFilter: all})
		b.refused("unknown domain", err, "UnknownResourceFault")
	})
}

func ids(infos []types.WorkflowExecutionInfo) string {
	all := make([]string, len(infos))
	for i, info := range infos {
		all[i] = *info.Execution.WorkflowId
	}
	return strings.Join(all, " ")
}

func TestBounds(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		b.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "r"})
		for about, in := range map[string]sdk.TerminateWorkflowExecutionInput{
			"long run id":  {RunId: aws.String(strings.Repeat("r", 65))},
			"long reason":  {Reason: aws.String(strings.Repeat("r", 257))},
			"long details": {Details: aws.String(strings.Repeat("r", 32769))},
			"odd policy":   {ChildPolicy: "abandon"},
			"no workflow":  {WorkflowId: aws.String("")},
		} {
			in.Domain = aws.String("d")
			if in.WorkflowId == nil {
				in.WorkflowId = aws.String("w")
			}
			_, err := b.swf.TerminateWorkflowExecution(b.ctx, &in)
			b.refused(about, err, "ValidationException")
		}
	})
}

// Errors on the wire have the names that SWF gives them (facts/aws.json: swf.throttle,
// swf.second_cancel).
func TestErrorsOnTheWire(t *testing.T) {
	sim := awssim.New(awssim.Options{Quotas: map[string]awssim.Quota{"swf:*": {Rate: 1, Burst: 1}}})
	defer func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	}()
	sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "r", Close: swf.Canceled})
	for _, want := range []struct{ kind, message string }{
		{"com.amazonaws.swf.base.model#UnknownResourceFault", "Unknown execution: WorkflowExecution=[workflowId=w, runId=r]"},
		{"com.amazon.coral.availability#ThrottlingException", "Rate exceeded"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"domain":"d","workflowId":"w","runId":"r"}`))
		r.Header.Set("X-Amz-Target", "SimpleWorkflowService.RequestCancelWorkflowExecution")
		w := httptest.NewRecorder()
		sim.Handler().ServeHTTP(w, r)
		body, err := io.ReadAll(w.Result().Body)
		var got struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if err != nil || json.Unmarshal(body, &got) != nil || w.Code != 400 || got.Type != want.kind || got.Message != want.message {
			t.Errorf("%d %s (%v), want 400, %+v", w.Code, body, err, want)
		}
	}
}

// The buckets of facts/aws.json: swf.quotas_per_account_region.
func TestQuota(t *testing.T) {
	inBubble(t, awssim.Options{}, func(b *bubble) {
		b.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "r"})
		list := func() error {
			_, err := b.swf.ListOpenWorkflowExecutions(b.ctx, &sdk.ListOpenWorkflowExecutionsInput{
				Domain: aws.String("d"), StartTimeFilter: &types.ExecutionTimeFilter{OldestDate: aws.Time(time.Unix(0, 0))},
			})
			return err
		}
		for range 200 {
			b.must(list())
		}
		b.refused("beyond the burst", list(), "ThrottlingException")
		b.describe("r") // has a bucket of its own
		time.Sleep(time.Second)
		for range 48 {
			b.must(list())
		}
		b.refused("beyond the rate", list(), "ThrottlingException")
	})
}
