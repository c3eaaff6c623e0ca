package fsx

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/rescindhq/rescind/handlers"
)

// Selection selects data repository tasks by listing.
type Selection struct {
	FileSystem []string        `name:"file-system" placeholder:"ID" help:"File system, such as fs-0123456789abcdef0; may be repeated."`
	Type       []string        `name:"type" placeholder:"TYPE" help:"Type of the task, such as EXPORT_TO_REPOSITORY."`
	State      []string        `name:"state" placeholder:"STATE" help:"State of the tasks: PENDING, EXECUTING, CANCELING (default: all of these)."`
	Before     handlers.Moment `name:"created-before" placeholder:"TIME" help:"Created before this time: 2026-11-30T12:00:00Z, 12:00 (today, here), or 2h (ago)."`
	After      handlers.Moment `name:"created-after" placeholder:"TIME" help:"Created at this time or later."`
	All        bool            `name:"all" help:"Every file system of the account in this region."`

	states []string
}

// openStates are the states of tasks that have not ended, in the order of a task's life.
var openStates = []string{
	string(types.DataRepositoryTaskLifecyclePending), string(types.DataRepositoryTaskLifecycleExecuting), string(types.DataRepositoryTaskLifecycleCanceling),
}

// Bounds of DescribeDataRepositoryTasks: values of one filter (facts/aws.json), and tasks on a page, for which AWS publishes no
// bound.
const (
	maxValues = 20
	pageSize  = 50
)

// About says what FSx's selection is.
func (s *Selection) About() handlers.About {
	return handlers.About{
		Service: "fsx", Noun: "FSx data repository task", Guessed: true,
		Help: `Selects data repository tasks of file systems. AWS publishes no rate for these calls: the worker begins slowly and finds
it, so that the time is a guess.`,
		Examples: `  rescind plan fsx --file-system fs-0123456789abcdef0
  rescind plan fsx --all --type EXPORT_TO_REPOSITORY --created-before 2h`,
	}
}

// Check holds the filters to their rules.
func (s *Selection) Check() (err error) {
	if len(s.FileSystem) == 0 && len(s.Type) == 0 && !s.All {
		return handlers.NoFilter("--file-system or --type", "every file system of the account in this region")
	}
	if len(s.FileSystem) > 0 && s.All {
		return &handlers.FilterError{Flag: "--all", Rule: "must not stand beside --file-system"}
	}
	for _, id := range s.FileSystem {
		if !strings.HasPrefix(id, "fs-") || handlers.IsGlob(id) {
			return &handlers.FilterError{Flag: "--file-system", Value: id, Rule: "must be a file system's id, such as fs-0123456789abcdef0"}
		}
	}
	var valid []string
	for _, t := range types.DataRepositoryTaskType("").Values() {
		valid = append(valid, string(t))
	}
	for _, t := range s.Type {
		if !slices.Contains(valid, t) {
			return &handlers.FilterError{Flag: "--type", Value: t, Rule: "is no type of a data repository task", Valid: valid}
		}
	}
	if s.states, err = handlers.CheckStates(s.State, openStates); err != nil {
		return err
	}
	return s.span().Check("--created")
}

func (s *Selection) span() handlers.Span { return handlers.Span{After: s.After, Before: s.Before} }

// List lists tasks by FSx's own filters of file system and state; types and times are filtered here.
func (s *Selection) List(ctx context.Context, cfg aws.Config, found handlers.Found) error {
	api := sdk.NewFromConfig(cfg)
	parts := slices.Collect(slices.Chunk(s.FileSystem, maxValues))
	if len(parts) == 0 {
		parts = [][]string{nil}
	}
	for _, systems := range parts {
		in := &sdk.DescribeDataRepositoryTasksInput{MaxResults: aws.Int32(pageSize), Filters: []types.DataRepositoryTaskFilter{
			{Name: types.DataRepositoryTaskFilterNameTaskLifecycle, Values: s.states},
		}}
		if len(systems) > 0 {
			in.Filters = append(in.Filters, types.DataRepositoryTaskFilter{Name: types.DataRepositoryTaskFilterNameFileSystemId, Values: systems})
		}
		for pages := sdk.NewDescribeDataRepositoryTasksPaginator(api, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return fmt.Errorf("listing the data repository tasks: %w", err)
			}
			found.Listed(len(page.DataRepositoryTasks))
			for _, t := range page.DataRepositoryTasks {
				if err := s.candidate(&t, found); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *Selection) candidate(t *types.DataRepositoryTask, found handlers.Found) error {
	if len(s.Type) > 0 && !slices.Contains(s.Type, string(t.Type)) || !s.span().Has(aws.ToTime(t.CreationTime)) {
		return nil
	}
	c := handlers.Candidate{Target: aws.ToString(t.TaskId), Name: aws.ToString(t.FileSystemId), State: string(t.Lifecycle), Began: aws.ToTime(t.CreationTime)}
	if t.Lifecycle == types.DataRepositoryTaskLifecycleCanceling {
		c.Not = "already being cancelled"
	} else {
		c.Action, c.Parameters = "fsx:CancelDataRepositoryTask", map[string]any{"TaskId": c.Target}
	}
	return found.Candidate(c)
}

// Inflow says that there is no switch.
func (s *Selection) Inflow() []handlers.Inflow {
	return []handlers.Inflow{{Why: "FSx has no switch that refuses new tasks: stop what creates them first (a scheduler, a script)"}}
}
