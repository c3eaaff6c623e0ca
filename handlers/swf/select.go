package swf

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/swf"
	"github.com/aws/aws-sdk-go-v2/service/swf/types"
	"github.com/rescindhq/rescind/handlers"
)

// Selection selects open workflow executions by listing. A command always names the run: SWF would else stop whichever is open
// when the call is made.
type Selection struct {
	Domain    string          `name:"domain" placeholder:"NAME" help:"Domain. Required."`
	Workflow  []string        `name:"workflow-id" placeholder:"GLOB" help:"Workflow id, such as 'order-*'."`
	Type      []string        `name:"type" placeholder:"GLOB" help:"Name of the workflow type."`
	Version   string          `name:"type-version" placeholder:"VERSION" help:"Version of the workflow type."`
	Tag       []string        `name:"tag" placeholder:"TAG" help:"Tag of the execution; if repeated, it has to have all."`
	Before    handlers.Moment `name:"started-before" placeholder:"TIME" help:"Started before this time: 2026-11-30T12:00:00Z, 12:00 (today, here), or 2h (ago)."`
	After     handlers.Moment `name:"started-after" placeholder:"TIME" help:"Started at this time or later."`
	Terminate bool            `name:"terminate" help:"End them at once, by TerminateWorkflowExecution, and do not ask their deciders."`
	All       bool            `name:"all" help:"Every open execution of the domain."`

	kinds map[kind]struct{} // of what was selected, maxKinds at most
}

// kind is a workflow type.
type kind struct{ name, version string }

// maxListed is the most executions on a page of ListOpenWorkflowExecutions (facts/aws.json).
const maxListed = 1000

// maxKinds is of how many workflow types a plan says how to stop the inflow.
const maxKinds = 100

// About says what SWF's selection is.
func (s *Selection) About() handlers.About {
	return handlers.About{
		Service: "swf", Noun: "SWF workflow execution",
		Help: `Selects open workflow executions of a domain, each by workflow id and run id. They are asked to end
(RequestCancelWorkflowExecution), as which their deciders decide; --terminate ends them at once.`,
		Examples: `  rescind plan swf --domain orders --type process-order --started-before 12:00
  rescind plan swf --domain orders --tag bad-release --terminate`,
	}
}

// Check holds the filters to their rules.
func (s *Selection) Check() error {
	switch {
	case s.Domain == "":
		return &handlers.FilterError{Flag: "--domain", Rule: "must be given"}
	case !handlers.Narrows(s.Workflow) && !handlers.Narrows(s.Type) && len(s.Tag) == 0 && !s.span().Bounded() && !s.All:
		return handlers.NoFilter("--workflow-id, --type, --tag, --started-before or --started-after", "every open execution of the domain")
	case s.Version != "" && len(s.Type) == 0:
		return &handlers.FilterError{Flag: "--type-version", Value: s.Version, Rule: "must stand beside --type"}
	case slices.Contains(s.Tag, ""):
		return &handlers.FilterError{Flag: "--tag", Rule: "must not be empty"}
	}
	if err := handlers.CheckGlobs("--workflow-id", s.Workflow); err != nil {
		return err
	}
	if err := handlers.CheckGlobs("--type", s.Type); err != nil {
		return err
	}
	return s.span().Check("--started")
}

func (s *Selection) span() handlers.Span { return handlers.Span{After: s.After, Before: s.Before} }

// List lists the domain's open executions, 1,000 a page, the oldest first: those that start meanwhile come last. SWF takes a span
// of time and one other filter; the rest is filtered here.
func (s *Selection) List(ctx context.Context, cfg aws.Config, found handlers.Found) error {
	api := sdk.NewFromConfig(cfg)
	s.kinds = map[kind]struct{}{}
	in := &sdk.ListOpenWorkflowExecutionsInput{
		Domain: aws.String(s.Domain), MaximumPageSize: maxListed, ReverseOrder: true,
		StartTimeFilter: &types.ExecutionTimeFilter{OldestDate: aws.Time(time.Unix(0, 0))},
	}
	if !s.After.IsZero() {
		in.StartTimeFilter.OldestDate = aws.Time(s.After.Time)
	}
	if !s.Before.IsZero() {
		in.StartTimeFilter.LatestDate = aws.Time(s.Before.Time)
	}
	switch {
	case len(s.Workflow) == 1 && !handlers.IsGlob(s.Workflow[0]):
		in.ExecutionFilter = &types.WorkflowExecutionFilter{WorkflowId: aws.String(s.Workflow[0])}
	case len(s.Type) == 1 && !handlers.IsGlob(s.Type[0]):
		in.TypeFilter = &types.WorkflowTypeFilter{Name: aws.String(s.Type[0])}
		if s.Version != "" {
			in.TypeFilter.Version = aws.String(s.Version)
		}
	case len(s.Tag) > 0:
		in.TagFilter = &types.TagFilter{Tag: aws.String(s.Tag[0])}
	}
	for pages := sdk.NewListOpenWorkflowExecutionsPaginator(api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing the open executions of domain %s: %w", s.Domain, err)
		}
		found.Listed(len(page.ExecutionInfos))
		for i := range page.ExecutionInfos {
			if err := s.candidate(&page.ExecutionInfos[i], found); err != nil {
				return err
			}
		}
	}
	return nil
}

// matches reports whether an execution passes all filters, whether SWF has applied them or not.
func (s *Selection) matches(e *types.WorkflowExecutionInfo) bool {
	return e.Execution != nil && e.WorkflowType != nil &&
		handlers.MatchesAny(s.Workflow, aws.ToString(e.Execution.WorkflowId)) &&
		handlers.MatchesAny(s.Type, aws.ToString(e.WorkflowType.Name)) &&
		(s.Version == "" || s.Version == aws.ToString(e.WorkflowType.Version)) &&
		!slices.ContainsFunc(s.Tag, func(tag string) bool { return !slices.Contains(e.TagList, tag) }) &&
		s.span().Has(aws.ToTime(e.StartTimestamp))
}

func (s *Selection) candidate(e *types.WorkflowExecutionInfo, found handlers.Found) error {
	if !s.matches(e) {
		return nil
	}
	workflow, run := aws.ToString(e.Execution.WorkflowId), aws.ToString(e.Execution.RunId)
	c := handlers.Candidate{
		Target: workflow + "/" + run, Name: aws.ToString(e.WorkflowType.Name), State: string(e.ExecutionStatus), Began: aws.ToTime(e.StartTimestamp),
	}
	if e.CancelRequested && !s.Terminate {
		c.Not = "a cancel was requested before; --terminate ends it"
		return found.Candidate(c)
	}
	if len(s.kinds) < maxKinds {
		s.kinds[kind{aws.ToString(e.WorkflowType.Name), aws.ToString(e.WorkflowType.Version)}] = struct{}{}
	}
	c.Action = "swf:RequestCancelWorkflowExecution"
	if s.Terminate {
		c.Action = "swf:TerminateWorkflowExecution"
	}
	c.Parameters = map[string]any{"domain": s.Domain, "workflowId": workflow, "runId": run}
	return found.Candidate(c)
}

// Inflow says how to deprecate the workflow types, after which no execution of them starts.
func (s *Selection) Inflow() (all []handlers.Inflow) {
	for _, k := range slices.SortedFunc(maps.Keys(s.kinds), func(a, b kind) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.version, b.version))
	}) {
		all = append(all, handlers.Inflow{
			Why:     "Workflow type " + k.name + " " + k.version + " takes new executions. Deprecate it first; those that are open go on (aws swf undeprecate-workflow-type undoes it)",
			Command: "aws swf deprecate-workflow-type --domain " + s.Domain + " --workflow-type name=" + k.name + ",version=" + k.version,
		})
	}
	return all
}
