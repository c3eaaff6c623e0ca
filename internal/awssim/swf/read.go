package swf

import (
	"context"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
	"github.com/rescindhq/rescind/internal/facts"
)

// maxPage is the largest page of the listings, and the size of one that asks for none.
var maxPage = facts.Core()["swf"].Batch["list_page"]

type (
	describeInput struct {
		Domain    string    `json:"domain"`
		Execution execution `json:"execution"`
	}
	describeOutput struct {
		Info          executionInfo  `json:"executionInfo"`
		Configuration configuration  `json:"executionConfiguration"`
		OpenCounts    map[string]int `json:"openCounts"`
	}
	executionInfo struct {
		Execution       execution    `json:"execution"`
		WorkflowType    workflowType `json:"workflowType"`
		StartTimestamp  float64      `json:"startTimestamp"`
		CloseTimestamp  float64      `json:"closeTimestamp,omitzero"`
		ExecutionStatus Status       `json:"executionStatus"`
		CloseStatus     CloseStatus  `json:"closeStatus,omitempty"`
		TagList         []string     `json:"tagList,omitempty"`
		CancelRequested bool         `json:"cancelRequested"`
	}
	workflowType struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	// configuration has what the API requires of it, and says the same of every run.
	configuration struct {
		TaskTimeout      string            `json:"taskStartToCloseTimeout"`
		ExecutionTimeout string            `json:"executionStartToCloseTimeout"`
		TaskList         map[string]string `json:"taskList"`
		ChildPolicy      string            `json:"childPolicy"`
	}
	listInput struct {
		Domain          string        `json:"domain"`
		StartTime       *timeFilter   `json:"startTimeFilter"`
		CloseTime       *timeFilter   `json:"closeTimeFilter"`
		ExecutionFilter *execution    `json:"executionFilter"`
		TypeFilter      *workflowType `json:"typeFilter"`
		TagFilter       *tagFilter    `json:"tagFilter"`
		CloseFilter     *struct {
			Status CloseStatus `json:"status"`
		} `json:"closeStatusFilter"`
		MaximumPageSize int    `json:"maximumPageSize"`
		NextPageToken   string `json:"nextPageToken"`
		ReverseOrder    bool   `json:"reverseOrder"`
	}
	timeFilter struct {
		OldestDate float64 `json:"oldestDate"`
		LatestDate float64 `json:"latestDate"` // 0 is no end
	}
	tagFilter struct {
		Tag string `json:"tag"`
	}
	listOutput struct {
		ExecutionInfos []executionInfo `json:"executionInfos"`
		NextPageToken  string          `json:"nextPageToken,omitempty"`
	}
	countOutput struct {
		Count     int  `json:"count"`
		Truncated bool `json:"truncated"`
	}
)

func describeItems(in *describeInput) []string { return []string{in.Execution.WorkflowID} }

// listItems names the one workflow that a listing is about, if it is about one.
func listItems(in *listInput) []string {
	if in.ExecutionFilter != nil {
		return []string{in.ExecutionFilter.WorkflowID}
	}
	return nil
}

func (s *SWF) describe(_ context.Context, c *service.Call, in *describeInput) (*describeOutput, error) {
	if in.Execution.WorkflowID == "" || in.Execution.RunID == "" {
		return nil, refuse("execution must have a workflowId and a runId")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.domainLocked(c, in.Domain)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s.advanceLocked(d, in.Execution.WorkflowID, now)
	r := d.byRun[in.Execution]
	if r != nil {
		r = r.shown(now, c.Stale(in.Execution.WorkflowID))
	}
	if r == nil {
		return nil, unknown(in.Execution)
	}
	return &describeOutput{
		Info: r.info(),
		Configuration: configuration{
			TaskTimeout: "300", ExecutionTimeout: "31536000", ChildPolicy: "TERMINATE",
			TaskList: map[string]string{"name": "default"},
		},
		OpenCounts: map[string]int{"openActivityTasks": 0, "openDecisionTasks": 0, "openTimers": 0, "openChildWorkflowExecutions": 0},
	}, nil
}

func (r *run) info() executionInfo {
	return executionInfo{
		Execution:    execution{r.WorkflowID, r.RunID},
		WorkflowType: workflowType{r.Type, r.Version}, StartTimestamp: epoch(r.Started), CloseTimestamp: epoch(r.Closed),
		ExecutionStatus: r.Status(), CloseStatus: r.Close, TagList: slices.Clone(r.Tags), CancelRequested: r.CancelRequested,
	}
}

func (s *SWF) listOpen(_ context.Context, c *service.Call, in *listInput) (*listOutput, error) {
	if in.StartTime == nil || in.CloseTime != nil || in.CloseFilter != nil {
		return nil, refuse("startTimeFilter must be given, and nothing about closing")
	}
	return s.list(c, in, Open, (*run).started)
}

func (s *SWF) listClosed(_ context.Context, c *service.Call, in *listInput) (*listOutput, error) {
	if (in.StartTime == nil) == (in.CloseTime == nil) {
		return nil, refuse("one of startTimeFilter and closeTimeFilter must be given, and not both")
	}
	if in.StartTime == nil {
		return s.list(c, in, Closed, (*run).closedAt)
	}
	return s.list(c, in, Closed, (*run).started)
}

func (r *run) started() time.Time  { return r.Started }
func (r *run) closedAt() time.Time { return r.Closed }

func (s *SWF) countOpen(_ context.Context, c *service.Call, in *listInput) (*countOutput, error) {
	if in.StartTime == nil {
		return nil, refuse("startTimeFilter must be given")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.matchingLocked(c, in, Open)
	return &countOutput{Count: len(all)}, err
}

// list pages through the runs that match, by their times, the newest first unless the order is
// reversed. The token is the place in that order, which holds while no run comes or goes.
func (s *SWF) list(c *service.Call, in *listInput, status Status, by func(*run) time.Time) (*listOutput, error) {
	if in.MaximumPageSize < 0 || in.MaximumPageSize > maxPage {
		return nil, refuse("maximumPageSize must be from 0 to %d", maxPage)
	}
	most := in.MaximumPageSize
	if most == 0 {
		most = maxPage
	}
	from, err := strconv.Atoi("0" + in.NextPageToken)
	if err != nil {
		return nil, refuse("nextPageToken is not one of ours")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.matchingLocked(c, in, status)
	if err != nil {
		return nil, err
	}
	sort.SliceStable(all, func(i, j int) bool {
		if in.ReverseOrder {
			i, j = j, i
		}
		return by(all[i]).After(by(all[j]))
	})
	out := &listOutput{ExecutionInfos: []executionInfo{}}
	for n := from; n < len(all); n++ {
		if len(out.ExecutionInfos) == most {
			out.NextPageToken = strconv.Itoa(n)
			break
		}
		out.ExecutionInfos = append(out.ExecutionInfos, all[n].info())
	}
	return out, nil
}

// matchingLocked returns the runs of a status that pass the filters.
func (s *SWF) matchingLocked(c *service.Call, in *listInput, status Status) ([]*run, error) {
	filters := 0
	for _, is := range []bool{in.ExecutionFilter != nil, in.TypeFilter != nil, in.TagFilter != nil, in.CloseFilter != nil} {
		if is {
			filters++
		}
	}
	if filters > 1 {
		// facts/aws.json: swf.batch.filters_exclusive, closed_extra.
		return nil, refuse("the filters exclude each other: give one at most")
	}
	d, err := s.domainLocked(c, in.Domain)
	if err != nil {
		return nil, err
	}
	now, of := time.Now(), ""
	if in.ExecutionFilter != nil {
		of = in.ExecutionFilter.WorkflowID
	}
	age := c.Stale(of)
	candidates := func() []*run {
		if in.ExecutionFilter != nil {
			return d.byID[in.ExecutionFilter.WorkflowID]
		}
		return d.runs
	}
	for _, r := range candidates() {
		s.advanceRunLocked(r, now)
	}
	var all []*run
	for _, r := range candidates() { // asked for anew: runs may have continued as new ones
		if r = r.shown(now, age); r != nil && r.Status() == status && in.passes(r) {
			all = append(all, r)
		}
	}
	return all, nil
}

func (in *listInput) passes(r *run) bool {
	switch {
	case in.StartTime != nil && !in.StartTime.passes(r.Started):
		return false
	case in.CloseTime != nil && !in.CloseTime.passes(r.Closed):
		return false
	case in.TypeFilter != nil:
		return in.TypeFilter.Name == r.Type && (in.TypeFilter.Version == "" || in.TypeFilter.Version == r.Version)
	case in.TagFilter != nil:
		return slices.Contains(r.Tags, in.TagFilter.Tag)
	case in.CloseFilter != nil:
		return in.CloseFilter.Status == r.Close
	}
	return true
}

func (f *timeFilter) passes(t time.Time) bool {
	at := epoch(t)
	return at >= f.OldestDate && (f.LatestDate == 0 || at <= f.LatestDate)
}

// epoch is a time as SWF's JSON has it: seconds.
func epoch(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
