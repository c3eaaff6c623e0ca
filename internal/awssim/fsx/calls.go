package fsx

import (
	"context"
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
	"github.com/rescindhq/rescind/internal/facts"
)

var (
	facet = facts.Core()["fsx"]
	// The most ids of DescribeDataRepositoryTasks, its filters, and the values of each.
	maxDescribe = facet.Batch["describe_ids_max"]
	maxFilters  = facet.Batch["filters_max"]
	maxValues   = facet.Batch["values_max"]
)

// taskID is the pattern of TaskId, which may have 128 characters (facts/aws.json).
var taskID = regexp.MustCompile(`^task-[0-9a-f]{17,123}$`)

type (
	cancelInput struct {
		TaskID string `json:"TaskId"`
	}
	cancelOutput struct {
		Lifecycle State  `json:"Lifecycle"`
		TaskID    string `json:"TaskId"`
	}
	describeInput struct {
		TaskIDs    []string `json:"TaskIds"`
		Filters    []filter `json:"Filters"`
		MaxResults int      `json:"MaxResults"`
		NextToken  string   `json:"NextToken"`
	}
	filter struct {
		Name   string   `json:"Name"`
		Values []string `json:"Values"`
	}
	describeOutput struct {
		Tasks     []taskDetail `json:"DataRepositoryTasks"`
		NextToken string       `json:"NextToken,omitempty"`
	}
	// taskDetail has its times in seconds since 1970.
	taskDetail struct {
		TaskID       string  `json:"TaskId"`
		Lifecycle    State   `json:"Lifecycle"`
		Type         string  `json:"Type"`
		CreationTime float64 `json:"CreationTime"`
		StartTime    float64 `json:"StartTime,omitzero"`
		EndTime      float64 `json:"EndTime,omitzero"`
		ResourceARN  string  `json:"ResourceARN"`
		FileSystemID string  `json:"FileSystemId"`
	}
)

func cancelItems(in *cancelInput) []string     { return []string{in.TaskID} }
func describeItems(in *describeInput) []string { return in.TaskIDs }

// cancel stops a task that is PENDING or EXECUTING. What it answers for one that is CANCELING
// already is not documented: here the same as at first, the operation being marked
// idempotent. Which tasks meet UnsupportedOperation is not documented either: here those of
// Amazon File Cache, which the operation's description leaves out.
func (f *FSx) cancel(_ context.Context, c *service.Call, in *cancelInput) (*cancelOutput, error) {
	if !taskID.MatchString(in.TaskID) {
		return nil, refuse("TaskId is malformed.")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tasks[key{location{c.Account, c.Region}, in.TaskID}]
	if t == nil {
		return nil, notFound()
	}
	now := time.Now()
	t.advance(now)
	switch t.State {
	case Failed, Succeeded, Canceled:
		return nil, service.Refuse("DataRepositoryTaskEnded", "The data repository task could not be canceled because the task has already ended.")
	case Pending, Executing:
		if t.Type == AutoRelease {
			return nil, service.Refuse("UnsupportedOperation", "The requested operation is not supported for this resource or API.")
		}
		t.past.Note(t.Task, now)
		t.State = Canceling
		t.Then, t.next = []Change{{State: Canceled}}, now.Add(f.options.StopAfter+c.Slow(in.TaskID))
	case Canceling:
	}
	return &cancelOutput{Lifecycle: Canceling, TaskID: in.TaskID}, nil
}

func notFound() error {
	return service.Refuse("DataRepositoryTaskNotFound", "The data repository task or tasks you specified could not be found.")
}

// describe returns the tasks that are named, or of all that the filters let through, page by
// page where MaxResults says so. One id that is not known refuses the whole request ("the
// data repository task or tasks you specified could not be found"). The order is not
// documented: here that of the request, or that in which they were put in.
func (f *FSx) describe(_ context.Context, c *service.Call, in *describeInput) (*describeOutput, error) {
	from, err := checkDescribe(in)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := location{c.Account, c.Region}
	all := f.lists[at]
	if len(in.TaskIDs) > 0 {
		all = make([]*task, len(in.TaskIDs))
		for i, id := range in.TaskIDs {
			if all[i] = f.tasks[key{at, id}]; all[i] == nil {
				return nil, notFound()
			}
		}
	}
	now, out := time.Now(), &describeOutput{Tasks: []taskDetail{}}
	for i := from; i < len(all); i++ {
		t := all[i]
		t.advance(now)
		item := ""
		if len(in.TaskIDs) > 0 {
			item = t.ID
		}
		if t = t.shown(now, c.Stale(item)); t == nil {
			if item != "" {
				return nil, notFound()
			}
			continue
		}
		if slices.ContainsFunc(in.Filters, func(by filter) bool { return !by.lets(t) }) {
			continue
		}
		if in.MaxResults > 0 && len(out.Tasks) == in.MaxResults {
			out.NextToken = base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(i)))
			break
		}
		out.Tasks = append(out.Tasks, t.detail())
	}
	return out, nil
}

// checkDescribe holds a request to its bounds and reads the token, the place in the list.
func checkDescribe(in *describeInput) (from int, err error) {
	if len(in.TaskIDs) > maxDescribe {
		return 0, refuse("TaskIds must hold at most %d ids, not %d.", maxDescribe, len(in.TaskIDs))
	}
	if slices.ContainsFunc(in.TaskIDs, func(id string) bool { return !taskID.MatchString(id) }) {
		return 0, refuse("TaskIds holds an id that is malformed.")
	}
	if len(in.Filters) > maxFilters {
		return 0, refuse("Filters must hold at most %d filters, not %d.", maxFilters, len(in.Filters))
	}
	if in.MaxResults < 0 {
		return 0, refuse("MaxResults must be greater than zero.")
	}
	for _, by := range in.Filters {
		switch by.Name {
		case "file-system-id", "task-lifecycle":
		case "data-repository-association-id", "file-cache-id":
			return 0, refuse("the simulator has no %s to filter by.", by.Name)
		default:
			return 0, refuse("%q is no filter of DescribeDataRepositoryTasks.", by.Name)
		}
		if len(by.Values) > maxValues {
			return 0, refuse("Values must hold at most %d values, not %d.", maxValues, len(by.Values))
		}
	}
	token, err := base64.StdEncoding.DecodeString(in.NextToken)
	if err == nil {
		from, err = strconv.Atoi("0" + string(token))
	}
	if err != nil {
		return 0, refuse("NextToken is not one of ours.")
	}
	return from, nil
}

// lets reports whether a filter lets a task through.
func (by filter) lets(t *task) bool {
	if by.Name == "file-system-id" {
		return slices.Contains(by.Values, t.FileSystem)
	}
	return slices.Contains(by.Values, string(t.State))
}

func (t *task) detail() taskDetail {
	return taskDetail{
		TaskID: t.ID, Lifecycle: t.State, Type: t.Type, FileSystemID: t.FileSystem,
		ResourceARN:  "arn:aws:fsx:" + t.Region + ":" + t.Account + ":task/" + t.ID,
		CreationTime: seconds(t.Created), StartTime: seconds(t.Started), EndTime: seconds(t.Ended),
	}
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
