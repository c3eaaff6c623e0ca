package iot

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
	"github.com/rescindhq/rescind/internal/facts"
)

// maxPage is the largest page of the two listings, and the size of one that asks for none
// (which AWS does not document).
var maxPage = facts.Core()["iot"].Batch["list_page"]

type (
	listOutput struct {
		ExecutionSummaries []listed `json:"executionSummaries"`
		NextToken          string   `json:"nextToken,omitempty"`
	}
	// listed names the thing in a job's listing, the job in a thing's.
	listed struct {
		ThingArn string           `json:"thingArn,omitempty"`
		JobID    string           `json:"jobId,omitempty"`
		Summary  executionSummary `json:"jobExecutionSummary"`
	}
	executionSummary struct {
		Status          State   `json:"status"`
		QueuedAt        float64 `json:"queuedAt"`
		StartedAt       float64 `json:"startedAt,omitzero"`
		LastUpdatedAt   float64 `json:"lastUpdatedAt"`
		ExecutionNumber int64   `json:"executionNumber"`
	}
)

func (i *IoT) listForJob(c *service.Call, r *request[struct{}]) (*listOutput, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	j := i.jobs[key{locationOf(c), r.job}]
	if j == nil {
		return nil, unknown("Job " + r.job)
	}
	return page(j.executions, r.query, c.Stale(r.job), func(e *execution) listed {
		return listed{ThingArn: locationOf(c).arn("thing/" + e.Thing)}
	})
}

func (i *IoT) listForThing(c *service.Call, r *request[struct{}]) (*listOutput, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	t := i.things[key{locationOf(c), r.thing}]
	if t == nil {
		return nil, unknown("Thing " + r.thing)
	}
	all := t.executions
	if id := r.query.Get("jobId"); id != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(e *execution) bool { return e.Job != id })
	}
	return page(all, r.query, c.Stale(r.thing), func(e *execution) listed { return listed{JobID: e.Job} })
}

// page lists executions in the order in which they came (AWS's order is not documented). The
// token is the place in that order. The read is behind by age.
func page(all []*execution, query url.Values, age time.Duration, name func(*execution) listed) (*listOutput, error) {
	status := State(query.Get("status"))
	if status != "" && !slices.Contains(States(), status) {
		return nil, refuse("status must be one of %v", States())
	}
	most, err := strconv.Atoi(query.Get("maxResults"))
	switch {
	case query.Get("maxResults") == "":
		most = maxPage
	case err != nil || most < 1 || most > maxPage:
		return nil, refuse("maxResults must be from 1 to %d", maxPage)
	}
	from, err := strconv.Atoi("0" + query.Get("nextToken"))
	if err != nil {
		return nil, refuse("nextToken is not one of ours")
	}
	now := time.Now()
	out := &listOutput{ExecutionSummaries: []listed{}}
	for n := from; n < len(all); n++ {
		e := all[n]
		e.advance(now)
		if e = e.shown(now, age); e == nil {
			continue
		}
		if status != "" && e.State != status {
			continue
		}
		if len(out.ExecutionSummaries) == most {
			out.NextToken = strconv.Itoa(n)
			break
		}
		l := name(e)
		l.Summary = executionSummary{
			Status: e.State, QueuedAt: epoch(e.QueuedAt), StartedAt: epoch(e.Started),
			LastUpdatedAt: epoch(e.lastUpdated()), ExecutionNumber: e.Number,
		}
		out.ExecutionSummaries = append(out.ExecutionSummaries, l)
	}
	return out, nil
}
