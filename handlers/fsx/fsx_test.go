package fsx

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/internal/facts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const task = "task-0123456789abcdef0"

func taskID(i int) string { return fmt.Sprintf("task-%017x", i) }

func TestConformance(t *testing.T) { handlertest.Run(t, suite()) }

func suite() handlertest.Suite {
	unsettled := handlertest.Want{Class: handlers.Unsettled}
	return handlertest.Suite{
		New: func(config func(handlers.Location) aws.Config) handlers.Handler { return New(config)[0] },
		Commands: func(n int) []handlers.Parameters {
			commands := make([]handlers.Parameters, n)
			for i := range commands {
				commands[i] = handlers.Parameters{"TaskId": taskID(i)}
			}
			return commands
		},
		Cancel: handlertest.Peer{
			Asked: func(r handlertest.Request) []string { return []string{decode(r).TaskID} },
			Answer: func(_ handlertest.Request, items []handlertest.Item) handlertest.Response {
				return encode(map[string]any{"TaskId": items[0].ID, "Lifecycle": "CANCELING"})
			},
			Taken: handlers.Accepted,
			Whole: []handlertest.Refusal{
				{Code: "BadRequest", HTTP: 400, Want: unsettled},
				{Code: "UnsupportedOperation", HTTP: 400, Want: unsettled},
				{Code: "DataRepositoryTaskNotFound", HTTP: 400, Want: handlertest.Want{Class: handlers.NoSuchTarget}},
				{Code: "DataRepositoryTaskEnded", HTTP: 400, Want: unsettled},
				{Code: "InternalServerError", HTTP: 500, Want: handlertest.Want{Class: handlers.Unavailable}},
				{Code: "NeverHeardOfException", HTTP: 400, Want: unsettled},
			},
		},
		Read: handlertest.Peer{
			Asked:  func(r handlertest.Request) []string { return decode(r).TaskIDs },
			Answer: answerDescribe,
			Whole: []handlertest.Refusal{
				{Code: "BadRequest", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
				{Code: "FileSystemNotFound", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
				{
					Code: "DataRepositoryTaskNotFound", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused},
					Alone: &handlertest.Want{Status: handlers.NotFound},
				},
				{Code: "InternalServerError", HTTP: 500, Want: handlertest.Want{Class: handlers.Unavailable}},
				{Code: "NeverHeardOfException", HTTP: 400, Want: handlertest.Want{Class: handlers.Refused}},
			},
		},
		States: []handlertest.State{
			{Name: "PENDING"},
			{Name: "EXECUTING"},
			{Name: "FAILED", Ended: true},
			{Name: "SUCCEEDED", Ended: true},
			{Name: "CANCELED", Ended: true},
			{Name: "CANCELING"},
		},
	}
}

type input struct {
	TaskID  string   `json:"TaskId"`
	TaskIDs []string `json:"TaskIds"`
}

func decode(r handlertest.Request) (in input) {
	if err := json.Unmarshal(r.Payload, &in); err != nil {
		in.TaskID = err.Error()
	}
	return in
}

// answerDescribe refuses the whole request where one task is not known.
func answerDescribe(r handlertest.Request, items []handlertest.Item) handlertest.Response {
	tasks := make([]map[string]any, len(items))
	known := make([]string, len(items))
	for i, it := range items {
		known[i] = it.ID
		tasks[i] = map[string]any{"TaskId": it.ID, "Lifecycle": it.State, "Type": "EXPORT_TO_REPOSITORY", "CreationTime": 1.5}
	}
	for _, id := range decode(r).TaskIDs {
		if !slices.Contains(known, id) {
			return handlertest.Refuse(400, "DataRepositoryTaskNotFound", "could not be found")
		}
	}
	return encode(map[string]any{"DataRepositoryTasks": tasks})
}

func encode(v any) handlertest.Response {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return handlertest.Response{Body: string(b)}
}

// Both calls start slowly, since nothing is published.
func TestQuotasAreAGuess(t *testing.T) {
	if published := facts.Core()["fsx"].Quotas; len(published) != 0 {
		t.Fatalf("aws.json has rates for FSx now: %v", published)
	}
	h := New(nil)[0]
	if q := (handlers.Quota{Rate: 5, Burst: 5}); h.Cancel().Quota != q || h.Read().Quota != q {
		t.Errorf("%+v and %+v, want %+v", h.Cancel().Quota, h.Read().Quota, q)
	}
}

// What a success says, in all the ways in which it may be said.
func TestSuccess(t *testing.T) {
	for _, row := range []struct {
		id, lifecycle string
		want          handlers.Status
		class         handlers.Class
		source        string
	}{
		{task, "CANCELING", handlers.Accepted, 0, "API_CancelDataRepositoryTask, Lifecycle"},
		{task, "PENDING", handlers.Accepted, 0, "API_CancelDataRepositoryTask, Lifecycle"},
		{task, "EXECUTING", handlers.Accepted, 0, "API_CancelDataRepositoryTask, Lifecycle"},
		{task, "CANCELED", handlers.Cancelled, 0, "confirm: Lifecycle==CANCELED"},
		{task, "SUCCEEDED", handlers.AlreadyEnded, 0, "terminal; that it comes with a success is not documented"},
		{task, "FAILED", handlers.AlreadyEnded, 0, "terminal; that it comes with a success is not documented"},
		{task, "NEVER_HEARD_OF", handlers.Accepted, 0, "not documented"},
		{"", "CANCELING", handlers.Accepted, 0, "the model requires no member"},
		{task, "", "", 0, "doc_conflict: the member may be called Status"},
		{"", "", "", handlers.Unanswered, "says nothing"},
		{taskID(1), "CANCELING", "", handlers.Unanswered, "says nothing of this task"},
	} {
		out := &sdk.CancelDataRepositoryTaskOutput{Lifecycle: types.DataRepositoryTaskLifecycle(row.lifecycle)}
		if row.id != "" {
			out.TaskId = &row.id
		}
		a := judgeOutput(task, out)
		var class handlers.Class
		if a.Err != nil {
			class = a.Err.Class
		}
		if a.Status != row.want || class != row.class {
			t.Errorf("%q %q: %+v, want status %q class %v (%s)", row.id, row.lifecycle, a, row.want, row.class, row.source)
		}
		if class == 0 && a.After != row.lifecycle {
			t.Errorf("%q %q: after is %q", row.id, row.lifecycle, a.After)
		}
	}
}

// peer answers with what the test says.
type peer struct {
	client // panics where a test forgot an answer
	tasks  *sdk.DescribeDataRepositoryTasksOutput
}

func (p peer) DescribeDataRepositoryTasks(context.Context, *sdk.DescribeDataRepositoryTasksInput, ...func(*sdk.Options)) (*sdk.DescribeDataRepositoryTasksOutput, error) {
	return p.tasks, nil
}

// A task that a first page leaves out may stand on the next one: half of them are asked for
// again. The others have their answer.
func TestMorePages(t *testing.T) {
	p := peer{tasks: &sdk.DescribeDataRepositoryTasksOutput{
		DataRepositoryTasks: []types.DataRepositoryTask{{TaskId: aws.String(taskID(0)), Lifecycle: "CANCELED"}},
		NextToken:           aws.String("MQ=="),
	}}
	h := &handler{clients: func(handlers.Location) client { return p }}
	rs := h.describe(t.Context(), handlers.Location{}, []handlers.Target{{ID: taskID(0)}, {ID: taskID(1)}})
	if rs[0].Err != nil || rs[0].State != "CANCELED" {
		t.Errorf("the task on the page: %+v", rs[0])
	}
	if rs[1].Err == nil || rs[1].Err.Class != handlers.Refused {
		t.Errorf("the task beyond it: %+v, want refused", rs[1])
	}
	p.tasks.NextToken = nil
	if r := h.describe(t.Context(), handlers.Location{}, []handlers.Target{{ID: taskID(1)}})[0]; r.Err != nil || r.Found {
		t.Errorf("the task on no page: %+v, want not found", r)
	}
}

// A task without a lifecycle was not read, whatever the answer says of others.
func TestTaskWithoutLifecycle(t *testing.T) {
	p := peer{tasks: &sdk.DescribeDataRepositoryTasksOutput{DataRepositoryTasks: []types.DataRepositoryTask{
		{TaskId: aws.String(taskID(0))}, {TaskId: aws.String(taskID(1)), Lifecycle: "CANCELED"},
	}}}
	h := &handler{clients: func(handlers.Location) client { return p }}
	rs := h.describe(t.Context(), handlers.Location{}, []handlers.Target{{ID: taskID(0)}, {ID: taskID(1)}})
	if rs[0].Err == nil || rs[0].Err.Class != handlers.Unanswered || rs[0].Found {
		t.Errorf("without a lifecycle: %+v, want unanswered", rs[0])
	}
	if rs[1].Err != nil || rs[1].State != "CANCELED" {
		t.Errorf("the other: %+v", rs[1])
	}
}
