package stepfunctions

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/rescindhq/rescind/handlers"
)

// Selection selects executions by listing those of state machines.
type Selection struct {
	Machine []string        `name:"state-machine" placeholder:"ARN|GLOB" help:"State machine, by ARN, name or glob of names; may be repeated."`
	Name    []string        `name:"execution-name" placeholder:"GLOB" help:"Name of the execution, such as 'nightly-*'."`
	Before  handlers.Moment `name:"started-before" placeholder:"TIME" help:"Started before this time: 2026-11-30T12:00:00Z, 12:00 (today, here), or 2h (ago)."`
	After   handlers.Moment `name:"started-after" placeholder:"TIME" help:"Started at this time or later."`
	All     bool            `name:"all" help:"Every state machine of the account in this region."`

	listed []string // ARNs of the state machines whose executions were listed
}

// About says what Step Functions' selection is.
func (s *Selection) About() handlers.About {
	return handlers.About{
		Service: "stepfunctions", Noun: "Step Functions execution",
		Help: `Selects RUNNING executions of STANDARD state machines. AWS does not list or stop executions of EXPRESS ones: these are
named and left alone.`,
		Examples: `  rescind plan stepfunctions --state-machine orders
  rescind plan stepfunctions --state-machine 'etl-*' --started-before 12:00`,
	}
}

// Check holds the filters to their rules.
func (s *Selection) Check() error {
	if !handlers.Narrows(s.Machine) && !handlers.Narrows(s.Name) && !s.All {
		return handlers.NoFilter("--state-machine or --execution-name", "every state machine of the account in this region")
	}
	if len(s.Machine) > 0 && s.All {
		return &handlers.FilterError{Flag: "--all", Rule: "must not stand beside --state-machine"}
	}
	for _, m := range s.Machine {
		if parts := strings.Split(m, ":"); len(parts) > 1 && (len(parts) != 7 || parts[0] != "arn" || parts[5] != "stateMachine") {
			return &handlers.FilterError{Flag: "--state-machine", Value: m, Rule: "must be a name, a glob of names, or an ARN like arn:aws:states:us-east-1:123456789012:stateMachine:orders"}
		}
	}
	if err := handlers.CheckGlobs("--state-machine", s.Machine); err != nil {
		return err
	}
	if err := handlers.CheckGlobs("--execution-name", s.Name); err != nil {
		return err
	}
	return s.span().Check("--started")
}

func (s *Selection) span() handlers.Span { return handlers.Span{After: s.After, Before: s.Before} }

// List lists the state machines, and the RUNNING executions of those that match.
func (s *Selection) List(ctx context.Context, cfg aws.Config, found handlers.Found) error {
	api := sdk.NewFromConfig(cfg)
	s.listed = nil
	matched := make([]bool, len(s.Machine))
	var known []string
	for pages := sdk.NewListStateMachinesPaginator(api, &sdk.ListStateMachinesInput{MaxResults: maxListed}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing the state machines: %w", err)
		}
		for _, m := range page.StateMachines {
			known = append(known, aws.ToString(m.Name))
			if !s.matches(m, matched) {
				continue
			}
			if m.Type == types.StateMachineTypeExpress {
				found.Note("State machine " + aws.ToString(m.Name) + " is EXPRESS: AWS does not list or stop its executions.")
				continue
			}
			if err := s.executions(ctx, api, m, found); err != nil {
				return err
			}
		}
	}
	for i, m := range s.Machine {
		if !matched[i] && !handlers.IsGlob(m) {
			return &handlers.FilterError{Flag: "--state-machine", Value: m, Rule: "is no state machine of this account and region", Valid: known}
		}
	}
	return nil
}

// matches reports whether a state machine is asked for, and notes by which of the flag's values.
func (s *Selection) matches(m types.StateMachineListItem, matched []bool) bool {
	asked := len(s.Machine) == 0
	for i, glob := range s.Machine {
		if handlers.Glob(glob, aws.ToString(m.Name)) || glob == aws.ToString(m.StateMachineArn) {
			asked, matched[i] = true, true
		}
	}
	return asked
}

// executions lists the RUNNING executions of a state machine.
func (s *Selection) executions(ctx context.Context, api *sdk.Client, m types.StateMachineListItem, found handlers.Found) error {
	s.listed = append(s.listed, aws.ToString(m.StateMachineArn))
	in := &sdk.ListExecutionsInput{StateMachineArn: m.StateMachineArn, StatusFilter: types.ExecutionStatusRunning, MaxResults: maxListed}
	for pages := sdk.NewListExecutionsPaginator(api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("listing the executions of %s: %w", aws.ToString(m.Name), err)
		}
		found.Listed(len(page.Executions))
		for _, e := range page.Executions {
			if !handlers.MatchesAny(s.Name, aws.ToString(e.Name)) || !s.span().Has(aws.ToTime(e.StartDate)) {
				continue
			}
			arn := aws.ToString(e.ExecutionArn)
			err := found.Candidate(handlers.Candidate{
				Target: arn, Name: aws.ToString(e.Name), State: string(e.Status), Began: aws.ToTime(e.StartDate),
				Action: "stepfunctions:StopExecution", Parameters: map[string]any{"executionArn": arn},
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Inflow says how to find what starts executions.
func (s *Selection) Inflow() (all []handlers.Inflow) {
	for _, arn := range s.listed {
		all = append(all, handlers.Inflow{
			Why:     "State machine " + arn[strings.LastIndex(arn, ":")+1:] + " has no switch that refuses new executions: stop what starts them first. EventBridge rules that do are listed by",
			Command: "aws events list-rule-names-by-target --target-arn " + arn,
		})
	}
	return all
}
