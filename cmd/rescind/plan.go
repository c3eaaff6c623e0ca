package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/batch"
	"github.com/rescindhq/rescind/handlers/emr"
	"github.com/rescindhq/rescind/handlers/fsx"
	"github.com/rescindhq/rescind/handlers/iot"
	"github.com/rescindhq/rescind/handlers/stepfunctions"
	"github.com/rescindhq/rescind/handlers/swf"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/quotas"
)

// planCmd is `rescind plan`. One line here makes a service's selection a subcommand.
type planCmd struct {
	Batch         planOf[batch.Selection, *batch.Selection]                 `cmd:"" help:"Plan to stop Batch jobs of a queue."`
	EMR           planOf[emr.Selection, *emr.Selection]                     `cmd:"" name:"emr" help:"Plan to cancel EMR steps of clusters."`
	FSx           planOf[fsx.Selection, *fsx.Selection]                     `cmd:"" name:"fsx" help:"Plan to cancel FSx data repository tasks."`
	IoT           planOf[iot.Selection, *iot.Selection]                     `cmd:"" name:"iot" help:"Plan to cancel IoT job executions of a job, a thing or a thing group."`
	StepFunctions planOf[stepfunctions.Selection, *stepfunctions.Selection] `cmd:"" name:"stepfunctions" help:"Plan to stop Step Functions executions of a state machine."`
	SWF           planOf[swf.Selection, *swf.Selection]                     `cmd:"" name:"swf" help:"Plan to end SWF workflow executions of a domain."`
}

// Help is printed by "rescind plan --help" above the subcommands.
func (*planCmd) Help() string {
	return `Lists what matches, shows it, and writes a plan file: an exact list of commands, to be reviewed and then sent by
"rescind apply". It stops nothing. Each service has filters of its own: "rescind plan batch --help".`
}

// selection is what a service's folder knows of selecting its targets; see handlers/selection.go.
type selection interface {
	About() handlers.About
	Check() error
	List(ctx context.Context, cfg aws.Config, found handlers.Found) error
	Inflow() []handlers.Inflow
}

// planOf is the subcommand of one service.
type planOf[S any, P interface {
	*S
	selection
}] struct {
	Select    S `embed:"" group:"Filters"`
	planFlags `embed:"" group:"Plan"`
}

// planFlags are the flags of every service.
type planFlags struct {
	Campaign    string        `name:"campaign" help:"Name of the campaign (default: service and time, such as batch-20261130T071500Z)."`
	Output      string        `name:"output" short:"o" placeholder:"FILE" help:"Plan file to write (default: CAMPAIGN.plan.jsonl here). It is never overwritten."`
	Reason      string        `name:"reason" help:"Why. AWS records it too if the API takes a reason."`
	RequestedBy string        `name:"requested-by" help:"Who requests it (default: the ARN of the AWS credentials)."`
	Confirm     string        `name:"confirm" help:"How long the worker looks for proof that each has stopped, such as 10m; 0s is not at all (default: the worker's)."`
	Escalate    string        `name:"escalate" help:"How long after AWS accepted it the stronger action is taken, such as 2m, where there is one (default: never)."`
	ExpiresIn   time.Duration `name:"expires-in" help:"Time from now, such as 6h, after which no cancelling call begins."`
	Max         int           `name:"max" default:"1000" placeholder:"N" help:"Most commands that are sent of this plan; 0 is no limit. A larger plan is refused as a whole."`
	MaxPercent  float64       `name:"max-percent" placeholder:"N" help:"Most commands in percent of the targets that AWS listed; 0 is no limit."`
	Quotas      string        `name:"quotas" env:"RESCIND_QUOTAS" help:"The worker's rates, for the time that it takes (default: the account's, else those that AWS publishes)."`
	JSON        bool          `name:"json" help:"Print one JSON value on stdout."`

	given quotas.Set
	// settled says why a target is left alone that matches, and was sent a command before; "": it is not. nil: none was.
	settled func(*handlers.Candidate) string
	before  string // what was done before this plan, a clause; "": nothing
}

// Help is printed by "rescind plan SERVICE --help" above the flags.
func (c *planOf[S, P]) Help() string {
	return P(&c.Select).About().Help + `

Globs: * stands for any characters, ? for one. Of flags that may be repeated, one value has to match; of different
flags, all. Nothing is stopped by a plan: review the file, then send it with "rescind apply FILE".

Exit codes: 0 planned, or nothing matches; 1 failed; 2 misused.`
}

// Examples are printed by "rescind plan SERVICE --help" below the flags.
func (c *planOf[S, P]) Examples() string { return P(&c.Select).About().Examples }

// Run plans.
func (c *planOf[S, P]) Run(ctx context.Context, s streams, line *kong.Context) error {
	if err := noEmptyValues(line.Args); err != nil {
		return err
	}
	r := &planReport{}
	err := c.plan(ctx, s, P(&c.Select), c.Select, r)
	if c.JSON {
		if err != nil {
			r.Error = err.Error()
		}
		return errors.Join(err, printJSON(s.out, r))
	}
	if err == nil {
		to := screenOf(s.out)
		r.print(to)
		r.printNext(to)
	}
	return err
}

// noEmptyValues refuses flags whose value is empty, as that of a shell's variable may be: what seems to be a filter would
// be none.
func noEmptyValues(args []string) error {
	for i, arg := range args {
		if name, isEmpty := strings.CutSuffix(arg, "="); isEmpty && strings.HasPrefix(arg, "--") && !strings.Contains(name, "=") {
			return misused("%s must not be empty: leave it out if it is not meant", name)
		}
		if arg == "" && i > 0 {
			return misused("%s must not be empty: leave it out if it is not meant", args[i-1])
		}
	}
	return nil
}

// plan prepares, lists, and writes the file. filters is the struct of the selection's flags.
func (c *planFlags) plan(ctx context.Context, s streams, of selection, filters any, r *planReport) error {
	about := of.About()
	if err := c.prepare(of); err != nil {
		return err
	}
	cfg, caller, err := callerConfig(ctx)
	if err != nil {
		return err
	}
	if c.RequestedBy == "" {
		c.RequestedBy = nameOf(aws.ToString(caller.Arn))
	}
	r.noun = about.Noun
	r.Header = campaign.Header{
		Campaign: c.Campaign, Service: about.Service, Created: time.Now().UTC().Truncate(time.Second), By: aws.ToString(caller.Arn),
		Account: aws.ToString(caller.Account), Region: cfg.Region, Selection: filtersOf(filters),
		Limits: campaign.Limits{Max: c.Max, MaxPercent: c.MaxPercent},
	}
	to, err := campaign.Create(c.Output)
	if err != nil {
		if errors.Is(err, campaign.ErrExists) {
			return misused("%w: choose another --output or --campaign; nothing was written", err)
		}
		return err
	}
	found := newCollector(c, &r.Header, to)
	if err := errors.Join(found.list(ctx, s, of, cfg), c.finish(ctx, found, r, to)); err != nil {
		return errors.Join(filterMisuse(err), to.Discard())
	}
	r.Inflow = of.Inflow()
	r.estimate(ctx, c, cfg, about, found)
	return nil
}

// prepare checks everything that needs no AWS, and names campaign and file.
func (c *planFlags) prepare(of selection) error {
	service := of.About().Service
	if err := of.Check(); err != nil {
		return filterMisuse(err)
	}
	if c.Campaign == "" {
		c.Campaign = service + "-" + time.Now().UTC().Format("20060102T150405Z")
	}
	if c.Output == "" {
		c.Output = c.Campaign + planSuffix
	}
	return c.check(service)
}

// planSuffix ends the name of a plan file, unless --output says otherwise.
const planSuffix = ".plan.jsonl"

// finish writes the file, unless the listing did not end or nothing is to be stopped.
func (c *planFlags) finish(ctx context.Context, found *collector, r *planReport, to *campaign.Writer) error {
	r.Notes, r.Examples = found.notes, found.sample
	if ctx.Err() != nil || !found.complete || to.Count() == 0 {
		return to.Discard()
	}
	r.File = c.Output
	return to.Finish(&r.Header)
}

// check checks the flags that every service has, as the worker will check each command.
func (c *planFlags) check(service string) error {
	switch err := campaign.CheckName(c.Campaign); {
	case err != nil:
		return misused("--campaign %w", err)
	case c.ExpiresIn < 0:
		return misused("--expires-in must be above 0, not %s", c.ExpiresIn)
	case c.Max < 0:
		return misused("--max must not be negative, as is %d; 0 is no limit", c.Max)
	case c.MaxPercent < 0 || c.MaxPercent > 100:
		return misused("--max-percent must be from 0 to 100, not %g", c.MaxPercent)
	}
	var err error
	if c.given, err = quotas.Parse(c.Quotas, allHandlers()); err != nil {
		return misused("--quotas: %w", err)
	}
	stronger := false
	for _, h := range allHandlers() {
		if h.Action().Service() != service {
			continue
		}
		_, hasStronger := h.(handlers.Escalator)
		stronger = stronger || hasStronger
		members := map[string]any{
			"id": "x", "action": h.Action(), "parameters": map[string]any{}, "reason": c.Reason, "requestedBy": c.RequestedBy,
		}
		for name, value := range map[string]string{"confirm": c.Confirm, "escalate": c.Escalate} {
			if value != "" {
				members[name] = value
			}
		}
		var bad *command.Error
		_, err := command.NewDecoder(allHandlers(), handlers.Location{}).DecodeBare([]byte(jsonText(members)), command.Message{})
		if flag := flagsOfFields; errors.As(err, &bad) && flag[bad.Field] != "" {
			return misused("%s %s", flag[bad.Field], bad.Rule)
		}
	}
	if c.Escalate != "" && !stronger {
		return misused("--escalate must be left out: %s has no stronger action", service)
	}
	return nil
}

// flagsOfFields are the flags that set members of every command.
var flagsOfFields = map[string]string{
	"reason": "--reason", "requestedBy": "--requested-by", "confirm": "--confirm", "escalate": "--escalate", "expiresAt": "--expires-in",
}

// filterMisuse makes misuse of an error that is a filter's, with the valid value that is nearest.
func filterMisuse(err error) error {
	var bad *handlers.FilterError
	if !errors.As(err, &bad) {
		return err
	}
	text := bad.Error()
	if near := command.Nearest(bad.Value, bad.Valid); near != "" {
		text += fmt.Sprintf("; did you mean %s?", near)
	}
	if n := len(bad.Valid); n > 0 && n <= maxOffered {
		text += " Valid: " + strings.Join(bad.Valid, ", ")
	}
	return misused("%s", text)
}

// maxOffered is the most valid values that an error lists.
const maxOffered = 20

// filtersOf returns the flags of a selection that are set, and their values.
func filtersOf(filters any) map[string][]string {
	set := map[string][]string{}
	v := reflect.ValueOf(filters)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("name")
		if name == "" || v.Field(i).IsZero() {
			continue
		}
		switch value := v.Field(i).Interface().(type) {
		case []string:
			set[name] = value
		case bool:
			set[name] = []string{}
		case handlers.Moment:
			set[name] = []string{value.Format(time.RFC3339)}
		default:
			set[name] = []string{fmt.Sprint(value)}
		}
	}
	return set
}

// maxRequestedBy is the most characters of requestedBy.
const maxRequestedBy = 128

// nameOf is a caller's ARN, or as much of its end as a command takes.
func nameOf(arn string) string {
	if runes := []rune(arn); len(runes) > maxRequestedBy {
		return string(runes[len(runes)-maxRequestedBy:])
	}
	return arn
}
