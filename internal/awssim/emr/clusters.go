package emr

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// clusterPage is the largest page of ListClusters ("This call returns a maximum of 50 clusters in unsorted order per
// call": API_ListClusters).
const clusterPage = 50

type (
	clustersInput struct {
		CreatedAfter  float64  `json:"CreatedAfter"`
		CreatedBefore float64  `json:"CreatedBefore"`
		States        []string `json:"ClusterStates"`
		Marker        string   `json:"Marker"`
	}
	clustersOutput struct {
		Clusters []clusterSummary `json:"Clusters"`
		Marker   string           `json:"Marker,omitempty"`
	}
	clusterSummary struct {
		ID     string        `json:"Id"`
		Name   string        `json:"Name"`
		Status clusterStatus `json:"Status"`
		Arn    string        `json:"ClusterArn"`
	}
	tag struct {
		Key   string `json:"Key"`
		Value string `json:"Value"`
	}
)

// clusterStates are those of API_ClusterStatus.
var clusterStates = []string{"STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"}

// listClusters pages through clusters by state and time of creation. The order is not documented ("unsorted"): here that in which they
// were put in. The marker is the place in it.
func (e *EMR) listClusters(_ context.Context, c *service.Call, in *clustersInput) (*clustersOutput, error) {
	for _, state := range in.States {
		if !slices.Contains(clusterStates, state) {
			return nil, refuse("ClusterStates holds %q, which is no state of a cluster.", state)
		}
	}
	from, err := strconv.Atoi("0" + in.Marker)
	if err != nil {
		return nil, refuse("Marker is not one of ours.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := &clustersOutput{Clusters: []clusterSummary{}}
	for i := from; i < len(e.order); i++ {
		on := e.order[i]
		created := seconds(on.Created)
		switch {
		case on.Account != c.Account || on.Region != c.Region,
			len(in.States) > 0 && !slices.Contains(in.States, on.State),
			in.CreatedAfter > 0 && created <= in.CreatedAfter,
			in.CreatedBefore > 0 && created >= in.CreatedBefore:
			continue
		}
		if len(out.Clusters) == clusterPage {
			out.Marker = strconv.Itoa(i)
			break
		}
		out.Clusters = append(out.Clusters, clusterSummary{ID: on.ID, Name: on.Name, Status: on.status(), Arn: on.arn()})
	}
	return out, nil
}

func (c *cluster) status() clusterStatus {
	return clusterStatus{State: c.State, Timeline: timeline{Created: seconds(c.Created)}}
}

func (c *cluster) arn() string {
	return "arn:aws:elasticmapreduce:" + c.Region + ":" + c.Account + ":cluster/" + c.ID
}

func (c *cluster) tags() []tag {
	all := make([]tag, 0, len(c.Tags))
	for _, name := range slices.Sorted(maps.Keys(c.Tags)) {
		all = append(all, tag{name, c.Tags[name]})
	}
	return all
}
