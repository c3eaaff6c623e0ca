package emr

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/rescindhq/rescind/handlers"
)

// Selection selects steps by listing those of clusters.
type Selection struct {
	Cluster     []string `name:"cluster" placeholder:"ID" help:"Cluster, such as j-2AXXXXXXGAPLF; may be repeated."`
	ClusterName []string `name:"cluster-name" placeholder:"GLOB" help:"Name of the cluster, of those that have not been terminated."`
	ClusterTag  []string `name:"cluster-tag" placeholder:"KEY=VALUE" help:"Tag of the cluster; if repeated, it has to have all."`
	State       []string `name:"state" placeholder:"STATE" help:"State of the steps: PENDING, CANCEL_PENDING, RUNNING (default: all of these)."`
	Name        []string `name:"step-name" placeholder:"GLOB" help:"Name of the step, such as 'nightly-*'."`
	Kill        bool     `name:"terminate-process" help:"Stop what is RUNNING, or does not heed an interrupt, by TERMINATE_PROCESS."`
	All         bool     `name:"all" help:"Every cluster of the account in this region that has not been terminated."`

	states []types.StepState
}

// openStates are the states of steps that have not ended, in the order of a step's life.
var openStates = []string{string(types.StepStatePending), string(types.StepStateRunning), string(types.StepStateCancelPending)}

// About says what EMR's selection is.
func (s *Selection) About() handlers.About {
	return handlers.About{
		Service: "emr", Noun: "EMR step",
		Help: `Selects steps of clusters that are named by id, or found by name or tag. Which steps can be cancelled depends on the
cluster's release: PENDING ones since 4.8.0 (not 5.0.0), RUNNING ones since 5.28.0. EMR's listings are slow: AWS allows one
page of 50 steps in two seconds, after the first ten.`,
		Examples: `  rescind plan emr --cluster j-2AXXXXXXGAPLF --state PENDING
  rescind plan emr --cluster-name 'etl-*' --step-name 'nightly-*'
  rescind plan emr --cluster-tag team=etl --terminate-process`,
	}
}

// Check holds the filters to their rules.
func (s *Selection) Check() error {
	if len(s.Cluster) == 0 && len(s.ClusterTag) == 0 && !handlers.Narrows(s.ClusterName) && !handlers.Narrows(s.Name) && !s.All {
		return handlers.NoFilter("--cluster, --cluster-name, --cluster-tag or --step-name", "every cluster of the account in this region")
	}
	for _, id := range s.Cluster {
		if !strings.HasPrefix(id, "j-") || handlers.IsGlob(id) {
			return &handlers.FilterError{Flag: "--cluster", Value: id, Rule: "must be a cluster's id, such as j-2AXXXXXXGAPLF; --cluster-name takes globs of names"}
		}
	}
	for _, tag := range s.ClusterTag {
		if key, _, is := strings.Cut(tag, "="); !is || key == "" {
			return &handlers.FilterError{Flag: "--cluster-tag", Value: tag, Rule: "must be KEY=VALUE"}
		}
	}
	if err := handlers.CheckGlobs("--cluster-name", s.ClusterName); err != nil {
		return err
	}
	if err := handlers.CheckGlobs("--step-name", s.Name); err != nil {
		return err
	}
	states, err := handlers.CheckStates(s.State, openStates)
	s.states = nil
	for _, state := range states {
		s.states = append(s.states, types.StepState(state))
	}
	return err
}

// List lists the steps of each cluster that is named, or that has not been terminated and matches. Each is described first: its
// release decides what can be cancelled, and it alone has the tags.
func (s *Selection) List(ctx context.Context, cfg aws.Config, found handlers.Found) error {
	api := sdk.NewFromConfig(cfg)
	ids := s.Cluster
	if len(ids) == 0 {
		var err error
		if ids, err = s.clusters(ctx, api); err != nil {
			return err
		}
	}
	for _, id := range ids {
		out, err := api.DescribeCluster(ctx, &sdk.DescribeClusterInput{ClusterId: aws.String(id)})
		if err != nil {
			return fmt.Errorf("reading cluster %s: %w", id, err)
		}
		if c := out.Cluster; c != nil && handlers.MatchesAny(s.ClusterName, aws.ToString(c.Name)) && s.hasTags(c.Tags) {
			if err := s.steps(ctx, api, id, aws.ToString(c.ReleaseLabel), found); err != nil {
				return err
			}
		}
	}
	return nil
}

// clusters returns the ids of the clusters that have not been terminated and whose names match.
func (s *Selection) clusters(ctx context.Context, api *sdk.Client) (ids []string, err error) {
	in := &sdk.ListClustersInput{ClusterStates: []types.ClusterState{
		types.ClusterStateStarting, types.ClusterStateBootstrapping, types.ClusterStateRunning, types.ClusterStateWaiting,
	}}
	for pages := sdk.NewListClustersPaginator(api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the clusters: %w", err)
		}
		for _, c := range page.Clusters {
			if handlers.MatchesAny(s.ClusterName, aws.ToString(c.Name)) {
				ids = append(ids, aws.ToString(c.Id))
			}
		}
	}
	return ids, nil
}

func (s *Selection) hasTags(tags []types.Tag) bool {
	return !slices.ContainsFunc(s.ClusterTag, func(want string) bool {
		return !slices.ContainsFunc(tags, func(t types.Tag) bool { return aws.ToString(t.Key)+"="+aws.ToString(t.Value) == want })
	})
}

// steps lists the steps of a cluster.
func (s *Selection) steps(ctx context.Context, api *sdk.Client, cluster, release string, found handlers.Found) error {
	in := &sdk.ListStepsInput{ClusterId: aws.String(cluster), StepStates: s.states}
	for pages := sdk.NewListStepsPaginator(api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing the steps of cluster %s: %w", cluster, err)
		}
		found.Listed(len(page.Steps))
		for _, step := range page.Steps {
			if !handlers.MatchesAny(s.Name, aws.ToString(step.Name)) || step.Status == nil {
				continue
			}
			if err := found.Candidate(s.candidate(&step, cluster, release)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Selection) candidate(step *types.StepSummary, cluster, release string) handlers.Candidate {
	state := step.Status.State
	c := handlers.Candidate{Target: aws.ToString(step.Id), Name: aws.ToString(step.Name), State: string(state), Holder: cluster}
	if t := step.Status.Timeline; t != nil {
		c.Began = aws.ToTime(t.CreationDateTime)
	}
	switch {
	case state == types.StepStateCancelPending && !s.Kill:
		c.Not = "already being cancelled; --terminate-process ends it"
	case state == types.StepStatePending && (!since(release, 4, 8) || release == "emr-5.0.0"):
		c.Not = "PENDING: release " + release + " cannot cancel it (since 4.8.0, not 5.0.0)"
	case state != types.StepStatePending && !since(release, 5, 28):
		c.Not = string(state) + ": release " + release + " cannot cancel it (since 5.28.0)"
	default:
		c.Action, c.Parameters = "emr:CancelSteps", map[string]any{"ClusterId": cluster, "StepIds": []string{c.Target}}
		if s.Kill {
			c.Parameters["StepCancellationOption"] = string(types.StepCancellationOptionTerminateProcess)
		}
	}
	return c
}

// since reports whether a release label, "emr-5.28.0", is of a version or a later one. One that cannot be read is taken to
// be: AWS then has the last word.
func since(release string, major, minor int) bool {
	parts := strings.Split(strings.TrimPrefix(release, "emr-"), ".")
	if len(parts) < 2 {
		return true
	}
	x, err1 := strconv.Atoi(parts[0])
	y, err2 := strconv.Atoi(parts[1])
	return err1 != nil || err2 != nil || x > major || x == major && y >= minor
}

// Inflow says that there is no switch.
func (s *Selection) Inflow() []handlers.Inflow {
	return []handlers.Inflow{{Why: "EMR has no switch that refuses new steps: stop what submits them first (a scheduler, a state machine)"}}
}
