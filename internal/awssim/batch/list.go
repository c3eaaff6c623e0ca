package batch

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type (
	listInput struct {
		JobQueue       string   `json:"jobQueue"`
		ArrayJobID     string   `json:"arrayJobId"`
		MultiNodeJobID string   `json:"multiNodeJobId"`
		JobStatus      State    `json:"jobStatus"`
		MaxResults     int      `json:"maxResults"`
		NextToken      string   `json:"nextToken"`
		Filters        []filter `json:"filters"`
	}
	filter struct {
		Name   string   `json:"name"`
		Values []string `json:"values"`
	}
	listOutput struct {
		JobSummaryList []jobDetail `json:"jobSummaryList"`
		NextToken      string      `json:"nextToken,omitempty"`
	}
)

// The largest pages of ListJobs (facts/aws.json: batch.batch.list_page).
const (
	pageByStatus = 1000
	pageByFilter = 100
)

// listJobs pages through the jobs of a queue or of an array. With a filter the newest come first (API_ListJobs);
// otherwise the order is that in which they came (AWS's is not documented). The token is the place in that order,
// which with a filter holds while no job comes.
func (b *Batch) listJobs(_ context.Context, c *service.Call, in *listInput) (*listOutput, error) {
	lets, most, err := in.check()
	if err != nil {
		return nil, err
	}
	from, err := strconv.Atoi("0" + in.NextToken)
	if err != nil {
		return nil, refuse("nextToken is not one of ours")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	out := &listOutput{JobSummaryList: []jobDetail{}}
	all, age := b.lists[location{c.Account, c.Region}], c.Stale("")
	if len(in.Filters) > 0 {
		all = newest(all, in)
	}
	for i := from; i < len(all); i++ {
		j := all[i]
		if !j.within(in) {
			continue
		}
		j.advance(now)
		if j = j.shown(now, age); j == nil || !lets(j) {
			continue
		}
		if len(out.JobSummaryList) == most {
			out.NextToken = strconv.Itoa(i)
			break
		}
		out.JobSummaryList = append(out.JobSummaryList, j.summary())
	}
	return out, nil
}

// newest are the jobs of the request's queue, the newest first.
func newest(all []*job, in *listInput) []*job {
	all = slices.DeleteFunc(slices.Clone(all), func(j *job) bool { return !j.within(in) })
	slices.SortStableFunc(all, func(a, b *job) int { return b.Created.Compare(a.Created) })
	return all
}

// check holds a request to API_ListJobs: one of queue, array and multi-node job; one filter at most, beside which the status
// counts for SHARE_IDENTIFIER alone; pages of 100 with a filter and 1,000 without; RUNNING where nothing is said. That a
// filter has one value, and which code refuses what, is not documented.
func (in *listInput) check() (lets func(*job) bool, most int, err error) {
	of := 0
	for _, is := range []string{in.JobQueue, in.ArrayJobID, in.MultiNodeJobID} {
		if is != "" {
			of++
		}
	}
	if of != 1 {
		return nil, 0, refuse("one of jobQueue, arrayJobId and multiNodeJobId must be given")
	}
	if in.JobStatus != "" && !slices.Contains(States(), in.JobStatus) {
		return nil, 0, refuse("jobStatus must be one of %v", States())
	}
	status := cmp.Or(in.JobStatus, Running)
	lets, most = func(j *job) bool { return j.State == status }, pageByStatus
	if len(in.Filters) > 0 {
		most = pageByFilter
		if len(in.Filters) > 1 || len(in.Filters[0].Values) != 1 {
			return nil, 0, refuse("only one filter can be used at a time, and it has one value")
		}
		if lets, err = in.Filters[0].lets(in.JobStatus); err != nil {
			return nil, 0, err
		}
	}
	if in.MaxResults < 0 {
		return nil, 0, refuse("maxResults must be at least 1")
	}
	if in.MaxResults > 0 {
		most = min(most, in.MaxResults)
	}
	return lets, most, nil
}

// lets is whether a filter lets a job through. (API_ListJobs, filters.)
func (f filter) lets(status State) (func(*job) bool, error) {
	value := f.Values[0]
	millis, notTime := strconv.ParseInt(value, 10, 64)
	switch f.Name {
	case "JOB_NAME": // without regard to case, and by prefix with a star
		return func(j *job) bool { return starred(strings.ToLower(j.Name), strings.ToLower(value)) }, nil
	case "JOB_DEFINITION": // the name of any revision, by prefix with a star, or the ARN of one
		return func(j *job) bool {
			name, _, _ := strings.Cut(j.Definition, ":")
			return value == j.arn("job-definition/"+j.Definition) || starred(name, value)
		}, nil
	case "SHARE_IDENTIFIER":
		return func(j *job) bool { return j.Share == value && (status == "" || j.State == status) }, nil
	case "BEFORE_CREATED_AT", "AFTER_CREATED_AT":
		if notTime != nil {
			return nil, refuse("%s must be milliseconds since 1970", f.Name)
		}
		// Whether a job of that very millisecond is let through is not documented: here it is not.
		return func(j *job) bool {
			created := j.Created.UnixMilli()
			return f.Name[0] == 'B' && created < millis || f.Name[0] == 'A' && created > millis
		}, nil
	}
	return nil, refuse("%q is no filter of ListJobs", f.Name)
}

// starred matches a name, or by what stands before a star at the end.
func starred(name, filter string) bool {
	if prefix, star := strings.CutSuffix(filter, "*"); star {
		return strings.HasPrefix(name, prefix)
	}
	return name == filter
}

func (j *job) summary() jobDetail {
	d := j.detail()
	d.JobQueue = ""
	if yes := true; j.Cancelled {
		d.IsCancelled = &yes
	}
	if yes := true; j.Terminated {
		d.IsTerminated = &yes
	}
	return d
}

// within reports whether a job is in what is listed. Children of an array are in no queue's list.
func (j *job) within(in *listInput) bool {
	switch {
	case in.ArrayJobID != "":
		return j.Parent == in.ArrayJobID
	case in.MultiNodeJobID != "":
		return false // the simulator has no multi-node jobs
	}
	return j.Parent == "" && queueName(in.JobQueue) == queueName(j.Queue)
}
