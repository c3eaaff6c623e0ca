package batch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"
	"github.com/rescindhq/rescind/handlers"
)

// Selection selects jobs by listing. Arrays are selected as a whole, by their parent, which stands for its children.
type Selection struct {
	Queue       []string        `name:"queue" placeholder:"NAME" help:"Job queue, by name or ARN; may be repeated."`
	State       []string        `name:"state" placeholder:"STATE" help:"State of the jobs: SUBMITTED, PENDING, RUNNABLE, STARTING, RUNNING (default: all of these)."`
	Name        []string        `name:"job-name" placeholder:"GLOB" help:"Name of the job, such as 'nightly-*'."`
	Definition  []string        `name:"definition" placeholder:"GLOB" help:"Job definition, such as 'etl', 'etl:7' or 'etl-*'."`
	Before      handlers.Moment `name:"submitted-before" placeholder:"TIME" help:"Submitted before this time: 2026-11-30T12:00:00Z, 12:00 (today, here), or 2h (ago)."`
	After       handlers.Moment `name:"submitted-after" placeholder:"TIME" help:"Submitted at this time or later."`
	Share       string          `name:"share" placeholder:"ID" help:"Share identifier, of a queue with fair-share scheduling."`
	StopRunning bool            `name:"stop-running" help:"Also stop what is STARTING or RUNNING, by TerminateJob, and the running children of arrays."`
	All         bool            `name:"all" help:"Every job queue of the account in this region."`

	states  []string
	queues  []queue
	notable int // array parents with children that a cancel leaves running
}

// queue is a job queue that is listed.
type queue struct {
	name    string
	enabled bool
}

// openStates are the states of jobs that have not ended, in the order of a job's life: a job that goes on while the
// queue is listed is then seen twice, and not missed.
var openStates = []string{
	string(types.JobStatusSubmitted), string(types.JobStatusPending), string(types.JobStatusRunnable),
	string(types.JobStatusStarting), string(types.JobStatusRunning),
}

// maxQueues is the most queues of one DescribeJobQueues.
const maxQueues = 100

// About says what Batch's selection is.
func (s *Selection) About() handlers.About {
	return handlers.About{
		Service: "batch", Noun: "Batch job", ReadsEach: true,
		Help: `Selects jobs of one or more job queues. What is SUBMITTED, PENDING or RUNNABLE is stopped by CancelJob. What is
STARTING or RUNNING is listed and left alone, unless --stop-running terminates it. An array job is one command, to its
parent, which stands for its children.`,
		Examples: `  rescind plan batch --queue nightly --submitted-before 12:00
  rescind plan batch --queue nightly --state RUNNABLE --job-name 'etl-*'
  rescind plan batch --queue gpu --definition 'train:7' --stop-running \
    --reason "bad release" --max 5000 --campaign bad-release`,
	}
}

// Check holds the filters to their rules.
func (s *Selection) Check() (err error) {
	if len(s.Queue) == 0 && !s.All {
		return handlers.NoFilter("--queue", "every job queue of the account in this region")
	}
	if len(s.Queue) > 0 && s.All {
		return &handlers.FilterError{Flag: "--all", Rule: "must not stand beside --queue: it selects every queue"}
	}
	if err := handlers.CheckGlobs("--queue", s.Queue); err != nil {
		return err
	}
	for _, q := range s.Queue {
		if handlers.IsGlob(q) {
			return &handlers.FilterError{Flag: "--queue", Value: q, Rule: "must be a name or an ARN, and no glob; it may be repeated"}
		}
	}
	if s.states, err = handlers.CheckStates(s.State, openStates); err != nil {
		return err
	}
	if err := handlers.CheckGlobs("--job-name", s.Name); err != nil {
		return err
	}
	if err := handlers.CheckGlobs("--definition", s.Definition); err != nil {
		return err
	}
	return s.span().Check("--submitted")
}

func (s *Selection) span() handlers.Span { return handlers.Span{After: s.After, Before: s.Before} }

// List lists the queues' jobs, state by state, 1,000 a page. Filters are applied here, since Batch takes one at a time, does without the
// state then, and returns pages of 100; only --share is Batch's own, beside which the state counts.
func (s *Selection) List(ctx context.Context, cfg aws.Config, found handlers.Found) error {
	api := sdk.NewFromConfig(cfg)
	if err := s.describeQueues(ctx, api); err != nil {
		return err
	}
	for _, q := range s.queues {
		for _, state := range s.states {
			in := &sdk.ListJobsInput{JobQueue: aws.String(q.name), JobStatus: types.JobStatus(state)}
			if s.Share != "" {
				in.Filters = []types.KeyValuesPair{{Name: aws.String("SHARE_IDENTIFIER"), Values: []string{s.Share}}}
			}
			for pages := sdk.NewListJobsPaginator(api, in); pages.HasMorePages(); {
				page, err := pages.NextPage(ctx)
				if err != nil {
					return fmt.Errorf("listing the %s jobs of queue %s: %w", state, q.name, err)
				}
				found.Listed(len(page.JobSummaryList))
				if err := s.candidates(page.JobSummaryList, found); err != nil {
					return err
				}
			}
		}
	}
	if s.notable > 0 {
		found.Note(fmt.Sprintf("%d of the array jobs have children that are STARTING or RUNNING: CancelJob lets these go on. --stop-running terminates them.", s.notable))
	}
	return nil
}

// describeQueues finds the queues that are to be listed. One that is not there is an error, with those that are.
func (s *Selection) describeQueues(ctx context.Context, api *sdk.Client) error {
	s.queues = nil
	var known []string
	for pages := sdk.NewDescribeJobQueuesPaginator(api, &sdk.DescribeJobQueuesInput{MaxResults: aws.Int32(maxQueues)}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing the job queues: %w", err)
		}
		for _, q := range page.JobQueues {
			name := aws.ToString(q.JobQueueName)
			known = append(known, name)
			if s.All || slices.Contains(s.Queue, name) || slices.Contains(s.Queue, aws.ToString(q.JobQueueArn)) {
				s.queues = append(s.queues, queue{name, q.State == types.JQStateEnabled})
			}
		}
	}
	for _, asked := range s.Queue {
		if name := asked[strings.LastIndex(asked, "/")+1:]; !slices.Contains(known, name) {
			return &handlers.FilterError{Flag: "--queue", Value: asked, Rule: "is no job queue of this account and region", Valid: known}
		}
	}
	return nil
}

// candidates passes on the jobs of a page that match.
func (s *Selection) candidates(page []types.JobSummary, found handlers.Found) error {
	for i := range page {
		j := &page[i]
		submitted := time.UnixMilli(aws.ToInt64(j.CreatedAt)).UTC()
		if !handlers.MatchesAny(s.Name, aws.ToString(j.JobName)) || !s.isOf(aws.ToString(j.JobDefinition)) || !s.span().Has(submitted) {
			continue
		}
		c := handlers.Candidate{Target: aws.ToString(j.JobId), Name: aws.ToString(j.JobName), State: string(j.Status), Began: submitted}
		if c.Action, c.Not = s.action(j); c.Not == "" {
			c.Parameters = map[string]any{"jobId": c.Target}
		}
		if err := found.Candidate(c); err != nil {
			return err
		}
	}
	return nil
}

// isOf reports whether a job definition's ARN, .../NAME:REVISION, matches.
func (s *Selection) isOf(arn string) bool {
	revision := arn[strings.LastIndex(arn, "/")+1:]
	name, _, _ := strings.Cut(revision, ":")
	return handlers.MatchesAny(s.Definition, name) || handlers.MatchesAny(s.Definition, revision) || handlers.MatchesAny(s.Definition, arn)
}

// action is the action that stops a job in its state, or why there is none.
func (s *Selection) action(j *types.JobSummary) (action handlers.Action, not string) {
	const cancel, terminate = handlers.Action("batch:CancelJob"), handlers.Action("batch:TerminateJob")
	isArray := j.ArrayProperties != nil && aws.ToInt32(j.ArrayProperties.Size) > 0
	running := j.Status == types.JobStatusStarting || j.Status == types.JobStatusRunning
	switch {
	case aws.ToBool(j.IsTerminated):
		return "", "already being terminated"
	case running && !s.StopRunning:
		return "", string(j.Status) + ": CancelJob does not stop it; --stop-running terminates it"
	case running, isArray && s.StopRunning && hasRunning(j.ArrayProperties):
		return terminate, ""
	case aws.ToBool(j.IsCancelled):
		return "", "already being cancelled"
	}
	if isArray && hasRunning(j.ArrayProperties) {
		s.notable++
	}
	return cancel, ""
}

// hasRunning reports whether children of an array are not known to be such as CancelJob stops.
func hasRunning(a *types.ArrayPropertiesSummary) bool {
	return len(a.StatusSummary) == 0 || a.StatusSummary[string(types.JobStatusStarting)]+a.StatusSummary[string(types.JobStatusRunning)] > 0
}

// Inflow says how to disable the queues that were listed and are enabled.
func (s *Selection) Inflow() (all []handlers.Inflow) {
	for _, q := range s.queues {
		if q.enabled {
			all = append(all, handlers.Inflow{
				Why:     "Job queue " + q.name + " takes new jobs. Disable it first; what is in it is not touched by that",
				Command: "aws batch update-job-queue --job-queue " + q.name + " --state DISABLED",
			})
		}
	}
	return all
}
