package iot

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxRegistryPage is the largest page of ListThingsInThingGroup and of ListJobs, and the size of one that asks for none, which
// AWS does not document (API_ListThingsInThingGroup, API_ListJobs: maxResults, 1 to 250).
const maxRegistryPage = 250

// Group is a thing group.
type Group struct {
	// Name names it within its account and region, which default to the simulator's own.
	Name            string
	Account, Region string
	Things          []string
	// Children are the names of groups within it.
	Children []string
}

// PutGroups puts thing groups in, or replaces those of the same name. Their things come into being with them.
func (i *IoT) PutGroups(groups ...Group) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, g := range groups {
		at := location{g.Account, g.Region}
		g.Things, g.Children = slices.Clone(g.Things), slices.Clone(g.Children)
		i.groups[key{at, g.Name}] = &g
		for _, name := range g.Things {
			i.thingLocked(at, name)
		}
	}
}

type (
	thingsOutput struct {
		Things    []string `json:"things"`
		NextToken string   `json:"nextToken,omitempty"`
	}
	jobsOutput struct {
		Jobs      []jobSummary `json:"jobs"`
		NextToken string       `json:"nextToken,omitempty"`
	}
	jobSummary struct {
		JobArn          string   `json:"jobArn"`
		JobID           string   `json:"jobId"`
		TargetSelection string   `json:"targetSelection"`
		Status          JobState `json:"status"`
		CreatedAt       float64  `json:"createdAt"`
		LastUpdatedAt   float64  `json:"lastUpdatedAt"`
		CompletedAt     float64  `json:"completedAt,omitzero"`
	}
)

// listThings pages through the things of a group. The order is not documented: here the group's, and then that of its
// children. A thing of several is listed once.
func (i *IoT) listThings(c *service.Call, r *request[struct{}]) (*thingsOutput, error) {
	recursive, err := flag(r.query.Get("recursive"))
	if err != nil {
		return nil, refuse("recursive must be true or false")
	}
	from, most, err := pageOf(r.query)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	at := locationOf(c)
	if i.groups[key{at, r.group}] == nil {
		return nil, unknown("Thing group " + r.group)
	}
	var all []string
	seen := map[string]bool{}
	i.gatherLocked(at, r.group, recursive, func(thing string) {
		if !seen[thing] {
			seen[thing] = true
			all = append(all, thing)
		}
	})
	out := &thingsOutput{Things: []string{}}
	if from < len(all) {
		end := min(from+most, len(all))
		out.Things = all[from:end]
		if end < len(all) {
			out.NextToken = strconv.Itoa(end)
		}
	}
	return out, nil
}

func (i *IoT) gatherLocked(at location, group string, recursive bool, add func(thing string)) {
	g := i.groups[key{at, group}]
	if g == nil {
		return
	}
	for _, thing := range g.Things {
		add(thing)
	}
	if recursive {
		for _, child := range g.Children {
			i.gatherLocked(at, child, true, add)
		}
	}
}

// listJobs pages through jobs by their status and targetSelection. The order is not documented: here that in which they were
// put in. Its filters by thing group are not in the simulator.
func (i *IoT) listJobs(c *service.Call, r *request[struct{}]) (*jobsOutput, error) {
	status, selection := JobState(r.query.Get("status")), r.query.Get("targetSelection")
	if status != "" && !slices.Contains(JobStates(), status) {
		return nil, refuse("status must be one of %v", JobStates())
	}
	if r.query.Get("thingGroupName") != "" || r.query.Get("thingGroupId") != "" {
		return nil, refuse("the simulator does not filter jobs by thing group")
	}
	from, most, err := pageOf(r.query)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	at, now := locationOf(c), time.Now()
	out := &jobsOutput{Jobs: []jobSummary{}}
	for n := from; n < len(i.order[at]); n++ {
		j := i.order[at][n]
		j.advance(now)
		if status != "" && j.State != status || selection != "" && j.selection() != selection {
			continue
		}
		if len(out.Jobs) == most {
			out.NextToken = strconv.Itoa(n)
			break
		}
		updated := j.Updated
		if updated.IsZero() {
			updated = j.Created
		}
		out.Jobs = append(out.Jobs, jobSummary{
			JobArn: at.arn("job/" + j.ID), JobID: j.ID, TargetSelection: j.selection(), Status: j.State,
			CreatedAt: epoch(j.Created), LastUpdatedAt: epoch(updated), CompletedAt: epoch(j.Completed),
		})
	}
	return out, nil
}

func (j *job) selection() string {
	if j.Continuous {
		return "CONTINUOUS"
	}
	return "SNAPSHOT"
}

// pageOf reads where a page begins and how large it may be.
func pageOf(query url.Values) (from, most int, err error) {
	most = maxRegistryPage
	if text := query.Get("maxResults"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > maxRegistryPage {
			return 0, 0, refuse("maxResults must be from 1 to %d", maxRegistryPage)
		}
	}
	if from, err = strconv.Atoi("0" + query.Get("nextToken")); err != nil {
		return 0, 0, refuse("nextToken is not one of ours")
	}
	return from, most, nil
}
