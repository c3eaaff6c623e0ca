package iot

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/iot/types"
	"github.com/rescindhq/rescind/handlers"
)

// Selection selects job executions by listing those of a job, of a thing, or of the things of a group.
type Selection struct {
	Job       []string        `name:"job" placeholder:"ID" help:"Job; may be repeated."`
	Thing     []string        `name:"thing" placeholder:"NAME" help:"Thing; may be repeated."`
	Group     string          `name:"thing-group" placeholder:"NAME" help:"Thing group, for the things in it."`
	Recursive bool            `name:"recursive" help:"Also the things in the child groups of --thing-group."`
	State     []string        `name:"state" placeholder:"STATE" help:"State of the executions: QUEUED, IN_PROGRESS (default: both)."`
	Before    handlers.Moment `name:"queued-before" placeholder:"TIME" help:"Queued before this time: 2026-11-30T12:00:00Z, 12:00 (today, here), or 2h (ago)."`
	After     handlers.Moment `name:"queued-after" placeholder:"TIME" help:"Queued at this time or later."`
	Force     bool            `name:"force" help:"Also stop what is IN_PROGRESS. The device is not asked, and may be left in a state that is not valid."`
	All       bool            `name:"all" help:"Every job of the account in this region that is in progress."`

	states     []string
	continuous []string // jobs that were read and go on to new things
}

// openStates are the states of executions that have not ended, in the order of an execution's life.
var openStates = []string{string(types.JobExecutionStatusQueued), string(types.JobExecutionStatusInProgress)}

// maxPage is the most things or jobs on a page (ListThingsInThingGroup, ListJobs).
const maxPage = 250

// About says what IoT's selection is.
func (s *Selection) About() handlers.About {
	return handlers.About{
		Service: "iot", Noun: "IoT job execution",
		Help: `Selects executions of jobs on things. What is QUEUED is stopped; what is IN_PROGRESS is listed and left alone, unless
--force stops it. A group's things are listed, and then the executions on each: at 10 calls a second that takes time.
With --job and --thing or --thing-group, an execution has to be of both. To cancel a whole job, send iot:CancelJob: that
is one command.`,
		Examples: `  rescind plan iot --job firmware-2026-11
  rescind plan iot --job firmware-2026-11 --thing-group site-4 --force
  rescind plan iot --thing sensor-17 --queued-before 2h`,
	}
}

// Check holds the filters to their rules.
func (s *Selection) Check() (err error) {
	switch {
	case len(s.Job) == 0 && len(s.Thing) == 0 && s.Group == "" && !s.All:
		return handlers.NoFilter("--job, --thing or --thing-group", "every job in progress of the account in this region")
	case s.All && (len(s.Job) > 0 || len(s.Thing) > 0 || s.Group != ""):
		return &handlers.FilterError{Flag: "--all", Rule: "must not stand beside --job, --thing or --thing-group"}
	case len(s.Thing) > 0 && s.Group != "":
		return &handlers.FilterError{Flag: "--thing", Rule: "must not stand beside --thing-group"}
	case s.Recursive && s.Group == "":
		return &handlers.FilterError{Flag: "--recursive", Rule: "must stand beside --thing-group"}
	}
	for flag, names := range map[string][]string{"--job": s.Job, "--thing": s.Thing} {
		for _, name := range names {
			if name == "" || handlers.IsGlob(name) {
				return &handlers.FilterError{Flag: flag, Value: name, Rule: "must be a name, and no glob; it may be repeated"}
			}
		}
	}
	if s.states, err = handlers.CheckStates(s.State, openStates); err != nil {
		return err
	}
	return s.span().Check("--queued")
}

func (s *Selection) span() handlers.Span { return handlers.Span{After: s.After, Before: s.Before} }

// List lists executions: of the jobs, where there are some, and otherwise of each thing.
func (s *Selection) List(ctx context.Context, cfg aws.Config, found handlers.Found) error {
	api := sdk.NewFromConfig(cfg)
	s.continuous = nil
	jobs := s.Job
	if s.All {
		var err error
		if jobs, err = s.jobs(ctx, api); err != nil {
			return err
		}
	}
	things := s.Thing
	if s.Group != "" {
		var err error
		if things, err = s.things(ctx, api); err != nil {
			return err
		}
	}
	if len(jobs) == 0 {
		for _, thing := range things {
			if err := s.ofThing(ctx, api, thing, found); err != nil {
				return err
			}
		}
		return nil
	}
	on := make(map[string]struct{}, len(things))
	for _, thing := range things {
		on[thing] = struct{}{}
	}
	for _, job := range jobs {
		if err := s.ofJob(ctx, api, job, on, found); err != nil {
			return err
		}
	}
	return nil
}

// jobs returns the jobs in progress.
func (s *Selection) jobs(ctx context.Context, api *sdk.Client) (ids []string, err error) {
	in := &sdk.ListJobsInput{Status: types.JobStatusInProgress, MaxResults: aws.Int32(maxPage)}
	for pages := sdk.NewListJobsPaginator(api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the jobs: %w", err)
		}
		for _, j := range page.Jobs {
			ids = append(ids, aws.ToString(j.JobId))
		}
	}
	return ids, nil
}

// things returns the things of the group.
func (s *Selection) things(ctx context.Context, api *sdk.Client) (names []string, err error) {
	in := &sdk.ListThingsInThingGroupInput{ThingGroupName: aws.String(s.Group), Recursive: s.Recursive, MaxResults: aws.Int32(maxPage)}
	for pages := sdk.NewListThingsInThingGroupPaginator(api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the things of group %s: %w", s.Group, err)
		}
		names = append(names, page.Things...)
	}
	return names, nil
}

// ofJob lists the executions of a job, state by state, and passes on those on things that are asked for; with none, all.
func (s *Selection) ofJob(ctx context.Context, api *sdk.Client, job string, on map[string]struct{}, found handlers.Found) error {
	described, err := api.DescribeJob(ctx, &sdk.DescribeJobInput{JobId: aws.String(job)})
	if err != nil {
		return fmt.Errorf("reading job %s: %w", job, err)
	}
	if described.Job != nil && described.Job.TargetSelection == types.TargetSelectionContinuous && described.Job.Status == types.JobStatusInProgress {
		s.continuous = append(s.continuous, job)
	}
	filtered := len(s.Thing) > 0 || s.Group != ""
	for _, state := range s.states {
		in := &sdk.ListJobExecutionsForJobInput{JobId: aws.String(job), Status: types.JobExecutionStatus(state), MaxResults: aws.Int32(maxListed)}
		for pages := sdk.NewListJobExecutionsForJobPaginator(api, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return fmt.Errorf("listing the executions of job %s: %w", job, err)
			}
			found.Listed(len(page.ExecutionSummaries))
			for _, e := range page.ExecutionSummaries {
				_, thing, _ := strings.Cut(aws.ToString(e.ThingArn), ":thing/")
				if _, asked := on[thing]; filtered && !asked {
					continue
				}
				if err := s.candidate(thing, job, e.JobExecutionSummary, found); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ofThing lists the executions on a thing, state by state.
func (s *Selection) ofThing(ctx context.Context, api *sdk.Client, thing string, found handlers.Found) error {
	for _, state := range s.states {
		in := &sdk.ListJobExecutionsForThingInput{ThingName: aws.String(thing), Status: types.JobExecutionStatus(state), MaxResults: aws.Int32(maxListed)}
		for pages := sdk.NewListJobExecutionsForThingPaginator(api, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return fmt.Errorf("listing the executions on thing %s: %w", thing, err)
			}
			found.Listed(len(page.ExecutionSummaries))
			for _, e := range page.ExecutionSummaries {
				if err := s.candidate(thing, aws.ToString(e.JobId), e.JobExecutionSummary, found); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Selection) candidate(thing, job string, e *types.JobExecutionSummary, found handlers.Found) error {
	if e == nil || !s.span().Has(aws.ToTime(e.QueuedAt)) {
		return nil
	}
	c := handlers.Candidate{Target: thing + "/" + job, State: string(e.Status), Began: aws.ToTime(e.QueuedAt)}
	if e.Status == types.JobExecutionStatusInProgress && !s.Force {
		c.Not = "IN_PROGRESS: stopped by --force alone"
		return found.Candidate(c)
	}
	c.Action, c.Parameters = "iot:CancelJobExecution", map[string]any{"thingName": thing, "jobId": job}
	if s.Force {
		c.Parameters["force"] = true
	}
	return found.Candidate(c)
}

// Inflow says which jobs go on to new things.
func (s *Selection) Inflow() (all []handlers.Inflow) {
	for _, job := range s.continuous {
		all = append(all, handlers.Inflow{
			Why:     "Job " + job + " is continuous: things that join its targets get it too. To end that, cancel the whole job, which cancels what is QUEUED of it as well",
			Command: "aws iot cancel-job --job-id " + job,
		})
	}
	return all
}
