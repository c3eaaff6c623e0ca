package emr

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

type (
	listInput struct {
		ClusterID string   `json:"ClusterId"`
		StepIDs   []string `json:"StepIds"`
		States    []State  `json:"StepStates"`
		Marker    string   `json:"Marker"`
	}
	listOutput struct {
		Steps  []stepDetail `json:"Steps"`
		Marker string       `json:"Marker,omitempty"`
	}
	describeInput struct {
		ClusterID string `json:"ClusterId"`
		StepID    string `json:"StepId"`
	}
	describeOutput struct {
		Step stepDetail `json:"Step"`
	}
	// stepDetail is what ListSteps and DescribeStep both return of a step.
	stepDetail struct {
		ID              string     `json:"Id"`
		Name            string     `json:"Name"`
		ActionOnFailure string     `json:"ActionOnFailure"`
		Config          stepConfig `json:"Config"`
		Status          stepStatus `json:"Status"`
	}
	stepConfig struct {
		Jar  string   `json:"Jar"`
		Args []string `json:"Args"`
	}
	stepStatus struct {
		State             State    `json:"State"`
		StateChangeReason struct{} `json:"StateChangeReason"`
		Timeline          timeline `json:"Timeline"`
	}
	// timeline is in seconds since 1970.
	timeline struct {
		Created float64 `json:"CreationDateTime"`
		Started float64 `json:"StartDateTime,omitzero"`
		Ended   float64 `json:"EndDateTime,omitzero"`
	}
	clusterInput struct {
		ClusterID string `json:"ClusterId"`
	}
	clusterOutput struct {
		Cluster clusterDetail `json:"Cluster"`
	}
	clusterDetail struct {
		ID           string        `json:"Id"`
		Arn          string        `json:"ClusterArn"`
		Name         string        `json:"Name"`
		ReleaseLabel string        `json:"ReleaseLabel"`
		Status       clusterStatus `json:"Status"`
		Tags         []tag         `json:"Tags,omitempty"`
	}
	clusterStatus struct {
		State    string   `json:"State"`
		Timeline timeline `json:"Timeline"`
	}
	noneOutput struct {
		Groups  []struct{} `json:"InstanceGroups"`
		Actions []struct{} `json:"BootstrapActions"`
	}
	addInput struct {
		JobFlowID string `json:"JobFlowId"`
		Steps     []struct {
			Name string `json:"Name"`
		} `json:"Steps"`
	}
	addOutput struct {
		StepIDs []string `json:"StepIds"`
	}
)

func listItems(in *listInput) []string         { return in.StepIDs }
func describeItems(in *describeInput) []string { return []string{in.StepID} }
func clusterItems(in *clusterInput) []string   { return []string{in.ClusterID} }

func addItems(in *addInput) []string {
	names := make([]string, len(in.Steps))
	for i, s := range in.Steps {
		names[i] = s.Name
	}
	return names
}

// listSteps lists the steps of a cluster, the newest first unless they are filtered
// (API_ListSteps). StepIds are a filter: ids that the cluster does not know are left out,
// which is not documented, and neither is the order of what is filtered: here that of the
// ids, or that in which the steps were put in. The marker is the place in the list.
func (e *EMR) listSteps(_ context.Context, c *service.Call, in *listInput) (*listOutput, error) {
	if len(in.StepIDs) > maxList {
		return nil, refuse("StepIds must hold at most %d step ids, not %d.", maxList, len(in.StepIDs))
	}
	for _, s := range in.States {
		if !slices.Contains(States(), s) {
			return nil, refuse("StepStates holds %q, which is no state of a step.", s)
		}
	}
	from, err := strconv.Atoi("0" + in.Marker)
	if err != nil {
		return nil, refuse("Marker is not one of ours.")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	on, err := e.clusterLocked(c, in.ClusterID)
	if err != nil {
		return nil, err
	}
	all := on.listed(in)
	now, out := time.Now(), &listOutput{Steps: []stepDetail{}}
	for i := from; i < len(all); i++ {
		s := all[i]
		s.advance(now)
		item := ""
		if len(in.StepIDs) > 0 {
			item = s.ID
		}
		if s = s.shown(now, c.Stale(item)); s == nil {
			continue
		}
		if len(in.States) > 0 && !slices.Contains(in.States, s.State) {
			continue
		}
		if len(out.Steps) == page {
			out.Marker = strconv.Itoa(i)
			break
		}
		out.Steps = append(out.Steps, s.detail())
	}
	return out, nil
}

// listed are the steps that a request lists, before the filter by state.
func (c *cluster) listed(in *listInput) []*step {
	switch {
	case len(in.StepIDs) > 0:
		named := make([]*step, 0, len(in.StepIDs))
		for _, id := range in.StepIDs {
			if s := c.byID[id]; s != nil && !slices.Contains(named, s) {
				named = append(named, s)
			}
		}
		return named
	case len(in.States) > 0:
		return c.steps
	default:
		newest := slices.Clone(c.steps)
		slices.Reverse(newest)
		return newest
	}
}

func (e *EMR) describeStep(_ context.Context, c *service.Call, in *describeInput) (*describeOutput, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	on, err := e.clusterLocked(c, in.ClusterID)
	if err != nil {
		return nil, err
	}
	s := on.byID[in.StepID]
	if s == nil {
		return nil, noSuchStep(in.StepID)
	}
	now := time.Now()
	s.advance(now)
	if s = s.shown(now, c.Stale(in.StepID)); s == nil {
		return nil, noSuchStep(in.StepID)
	}
	return &describeOutput{Step: s.detail()}, nil
}

func (s *step) detail() stepDetail {
	return stepDetail{
		ID: s.ID, Name: s.Name, ActionOnFailure: "CONTINUE",
		Config: stepConfig{Jar: "command-runner.jar", Args: []string{}},
		Status: stepStatus{State: s.State, Timeline: timeline{
			Created: seconds(s.Created), Started: seconds(s.Started), Ended: seconds(s.Ended),
		}},
	}
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// describeCluster returns a cluster.
func (e *EMR) describeCluster(_ context.Context, c *service.Call, in *clusterInput) (*clusterOutput, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	on, err := e.clusterLocked(c, in.ClusterID)
	if err != nil {
		return nil, err
	}
	return &clusterOutput{Cluster: clusterDetail{
		ID: on.ID, Name: on.Name, ReleaseLabel: on.Release, Status: on.status(), Arn: on.arn(), Tags: on.tags(),
	}}, nil
}

// listNone answers for lists that are empty here: no cluster has machines.
func (e *EMR) listNone(_ context.Context, c *service.Call, in *clusterInput) (*noneOutput, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.clusterLocked(c, in.ClusterID); err != nil {
		return nil, err
	}
	return &noneOutput{Groups: []struct{}{}, Actions: []struct{}{}}, nil
}

// maxAdd is the most steps of one AddJobFlowSteps ("A maximum of 256 steps are allowed in
// each job flow": API_AddJobFlowSteps).
const maxAdd = 256

// addSteps makes steps that wait to be cancelled: they are PENDING and remain so.
func (e *EMR) addSteps(_ context.Context, c *service.Call, in *addInput) (*addOutput, error) {
	if len(in.Steps) == 0 || len(in.Steps) > maxAdd {
		return nil, refuse("Steps must hold 1 to %d steps, not %d.", maxAdd, len(in.Steps))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	on, err := e.clusterLocked(c, in.JobFlowID)
	if err != nil {
		return nil, err
	}
	now, out := time.Now(), &addOutput{StepIDs: make([]string, len(in.Steps))}
	for i, s := range in.Steps {
		if s.Name == "" {
			return nil, refuse("Steps[%d] has no Name.", i)
		}
	}
	for i, s := range in.Steps {
		e.names[s.Name]++
		out.StepIDs[i] = id(e.seed, in.JobFlowID, s.Name, e.names[s.Name])
		e.putStepLocked(on, Step{ID: out.StepIDs[i], Cluster: on.ID, Account: c.Account, Region: c.Region, Name: s.Name}, now)
	}
	return out, nil
}

// id makes a step id by cluster and name, and the how-manieth of that name it is. Its form is
// that of the API reference's example, s-11B5G7VIKHCZQ; none is documented.
func id(seed uint64, cluster, name string, n uint32) string {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d\xff%s\xff%s\xff%d", seed, cluster, name, n)
	return "s-" + fmt.Sprintf("%013s", strings.ToUpper(strconv.FormatUint(h.Sum64(), 36)))
}
