package awssim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/fsx/types"

	"github.com/rescindhq/rescind/internal/awssim"
	simfsx "github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/facts"
)

func withFSx(t *testing.T, o awssim.Options, test func(*bubble, *fsx.Client)) {
	t.Helper()
	inBubble(t, o, func(b *bubble) {
		cfg := once(b.Config())
		test(b, fsx.NewFromConfig(cfg))
	})
}

func taskID(i int) string { return fmt.Sprintf("task-%017x", i) }

func TestFSxStatesAreThoseOfTheFacts(t *testing.T) {
	want := facts.Core()["fsx"]
	states, ended := make([]string, 0, len(want.States)), []string{}
	for _, s := range simfsx.States() {
		states = append(states, string(s))
		if s.Ended() {
			ended = append(ended, string(s))
		}
	}
	slices.Sort(ended)
	terminal := slices.Sorted(slices.Values(want.Terminal))
	if !slices.Equal(states, want.States) || !slices.Equal(ended, terminal) {
		t.Errorf("states %v, ended %v; facts: %v, %v", states, ended, want.States, terminal)
	}
}

// Every state, as facts/aws.json says: fsx.cancellable, fsx.second_cancel.
func TestFSxCancels(t *testing.T) {
	var cancellable []string
	if err := facts.Raw(&cancellable, "core", "fsx", "cancellable"); err != nil {
		t.Fatal(err)
	}
	known := facts.Core()["fsx"]
	for _, state := range known.States {
		withFSx(t, awssim.Options{FSx: simfsx.Options{StopAfter: 10 * time.Second}}, func(b *bubble, c *fsx.Client) {
			b.PutTasks(awssim.Task{ID: taskID(1), State: simfsx.State(state)})
			stops := slices.Contains(cancellable, state)
			for range 2 { // the second while it is stopping
				out, err := c.CancelDataRepositoryTask(b.ctx, &fsx.CancelDataRepositoryTaskInput{TaskId: aws.String(taskID(1))})
				if slices.Contains(known.Terminal, state) {
					refused(b, err, "DataRepositoryTaskEnded")
					continue
				}
				b.must(err)
				if out.Lifecycle != "CANCELING" || *out.TaskId != taskID(1) {
					b.Errorf("cancel of %s: %s", state, out.Lifecycle)
				}
				time.Sleep(5 * time.Second)
			}
			want := state
			if stops {
				want = "CANCELED"
			}
			if got, _ := b.Task(taskID(1)); string(got.State) != want {
				b.Errorf("%s became %s, want %s", state, got.State, want)
			}
		})
	}
}

func TestFSxRefusals(t *testing.T) {
	withFSx(t, awssim.Options{}, func(b *bubble, c *fsx.Client) {
		b.PutTasks(awssim.Task{ID: taskID(1), Type: simfsx.AutoRelease}, awssim.Task{ID: taskID(2), Region: "eu-west-1"})
		for id, code := range map[string]string{
			taskID(1): "UnsupportedOperation", taskID(2): "DataRepositoryTaskNotFound", taskID(3): "DataRepositoryTaskNotFound",
			"task-1": "BadRequest", "task-0123456789ABCDEF0": "BadRequest",
		} {
			_, err := c.CancelDataRepositoryTask(b.ctx, &fsx.CancelDataRepositoryTaskInput{TaskId: aws.String(id)})
			refused(b, err, code)
		}
		if got, _ := b.Task(taskID(1)); got.State != simfsx.Executing {
			b.Errorf("what was refused is %s", got.State)
		}
	})
}

func TestFSxReads(t *testing.T) {
	withFSx(t, awssim.Options{}, func(b *bubble, c *fsx.Client) {
		ids := make([]string, 51)
		for i := range ids {
			ids[i] = taskID(i)
			b.PutTasks(awssim.Task{ID: ids[i], State: simfsx.States()[i%2], FileSystem: "fs-" + fmt.Sprint(i%3)})
		}
		describe := func(in fsx.DescribeDataRepositoryTasksInput) ([]string, error) {
			var got []string
			p := fsx.NewDescribeDataRepositoryTasksPaginator(c, &in)
			for p.HasMorePages() {
				out, err := p.NextPage(b.ctx)
				if err != nil {
					return nil, err
				}
				for _, task := range out.DataRepositoryTasks {
					got = append(got, *task.TaskId)
				}
			}
			return got, nil
		}
		got, err := describe(fsx.DescribeDataRepositoryTasksInput{MaxResults: aws.Int32(20)})
		b.must(err)
		if !slices.Equal(got, ids) {
			b.Errorf("all, page by page: %v", got)
		}
		got, err = describe(fsx.DescribeDataRepositoryTasksInput{TaskIds: ids[:50]})
		b.must(err)
		if !slices.Equal(got, ids[:50]) {
			b.Errorf("50 by id: %v", got)
		}
		_, err = describe(fsx.DescribeDataRepositoryTasksInput{TaskIds: ids})
		refused(b, err, "BadRequest")
		_, err = describe(fsx.DescribeDataRepositoryTasksInput{TaskIds: []string{ids[0], taskID(1000)}})
		refused(b, err, "DataRepositoryTaskNotFound")
		_, err = describe(fsx.DescribeDataRepositoryTasksInput{TaskIds: []string{ids[0], "task-1"}})
		refused(b, err, "BadRequest")
		got, err = describe(fsx.DescribeDataRepositoryTasksInput{Filters: []types.DataRepositoryTaskFilter{
			{Name: "task-lifecycle", Values: []string{"PENDING", "FAILED"}}, {Name: "file-system-id", Values: []string{"fs-0"}},
		}})
		b.must(err)
		if len(got) != 9 || got[1] != taskID(6) {
			b.Errorf("filtered: %v, want every sixth", got)
		}
	})
}

// Tasks change by themselves, and a cancel overtakes what was to come.
func TestFSxTasksLive(t *testing.T) {
	withFSx(t, awssim.Options{FSx: simfsx.Options{StopAfter: time.Second}}, func(b *bubble, c *fsx.Client) {
		life := []awssim.TaskChange{{After: time.Minute, State: simfsx.Executing}, {After: time.Hour, State: simfsx.Succeeded}}
		for i := range 2 {
			b.PutTasks(awssim.Task{ID: taskID(i), State: simfsx.Pending, Then: life})
		}
		time.Sleep(2 * time.Minute)
		_, err := c.CancelDataRepositoryTask(b.ctx, &fsx.CancelDataRepositoryTaskInput{TaskId: aws.String(taskID(0))})
		b.must(err)
		time.Sleep(2 * time.Hour)
		out, err := c.DescribeDataRepositoryTasks(b.ctx, &fsx.DescribeDataRepositoryTasksInput{})
		b.must(err)
		if got := out.DataRepositoryTasks; got[0].Lifecycle != "CANCELED" || got[1].Lifecycle != "SUCCEEDED" || got[1].EndTime.Sub(*got[1].StartTime) != time.Hour {
			b.Errorf("in the end: %+v", got)
		}
	})
}
