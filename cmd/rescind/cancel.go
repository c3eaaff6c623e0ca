package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/rescindhq/rescind/handlers/batch"
	"github.com/rescindhq/rescind/handlers/emr"
	"github.com/rescindhq/rescind/handlers/fsx"
	"github.com/rescindhq/rescind/handlers/iot"
	"github.com/rescindhq/rescind/handlers/stepfunctions"
	"github.com/rescindhq/rescind/handlers/swf"
	"github.com/rescindhq/rescind/worker/campaign"
)

// cancelCmd is `rescind cancel`. One line here makes a service's selection a subcommand.
type cancelCmd struct {
	Batch         cancelOf[batch.Selection, *batch.Selection]                 `cmd:"" help:"Cancel Batch jobs of a queue."`
	EMR           cancelOf[emr.Selection, *emr.Selection]                     `cmd:"" name:"emr" help:"Cancel EMR steps of clusters."`
	FSx           cancelOf[fsx.Selection, *fsx.Selection]                     `cmd:"" name:"fsx" help:"Cancel FSx data repository tasks."`
	IoT           cancelOf[iot.Selection, *iot.Selection]                     `cmd:"" name:"iot" help:"Cancel IoT job executions of a job, a thing or a thing group."`
	StepFunctions cancelOf[stepfunctions.Selection, *stepfunctions.Selection] `cmd:"" name:"stepfunctions" help:"Stop Step Functions executions of a state machine."`
	SWF           cancelOf[swf.Selection, *swf.Selection]                     `cmd:"" name:"swf" help:"End SWF workflow executions of a domain."`
}

// Help is printed by "rescind cancel --help" above the subcommands.
func (*cancelCmd) Help() string {
	return `Plans, shows the plan, asks, sends its commands and follows them to their outcomes, in one line. Each service has filters of
its own: "rescind cancel batch --help".`
}

// cancelOf is the subcommand of one service.
type cancelOf[S any, P interface {
	*S
	selection
}] struct {
	Select      S `embed:"" group:"Filters"`
	cancelFlags `embed:""`
}

// cancelFlags are the flags of every service.
type cancelFlags struct {
	planFlags    `embed:"" group:"Plan"`
	applyFlags   `embed:"" group:"Send"`
	outcomeFlags `embed:"" group:"Follow"`

	WaitFor    time.Duration `name:"wait-for" group:"Follow" help:"How long to wait for outcomes at most, counted from when all are sent (default: until none has come for 10m and the longest confirm)."`
	NoWait     bool          `name:"no-wait" xor:"wait" group:"Follow" help:"End when all are sent."`
	UntilEmpty bool          `name:"until-empty" xor:"wait,dry" group:"Follow" help:"When all have ended, list again, and cancel what matches then, until nothing does. --max bounds all rounds together."`
}

// Help is printed by "rescind cancel SERVICE --help" above the flags.
func (c *cancelOf[S, P]) Help() string {
	return P(&c.Select).About().Help + `

Lists what matches, shows it and writes the plan file, as "rescind plan" does; asks; sends, as "rescind apply" does; and
follows each command to its outcome. What was not stopped is printed with the reason. After a stop or a crash while it
sends, "rescind apply FILE" goes on with the rest. --dry-run does all of it, asks the worker for previews, and cancels nothing.

--until-empty lists again when all have ended. What still matches then gets a new command, unless AWS took the last one: a
plan of its own, of the campaign NAME.2, NAME.3 and so on. It ends when nothing matches, or with 1 when a round stops nothing.

Exit codes: 0 all were stopped, or accepted by AWS, or nothing matches; 1 some were not; 2 misused, or beyond a limit.`
}

// Examples are printed by "rescind cancel SERVICE --help" below the flags.
func (c *cancelOf[S, P]) Examples() string {
	return strings.ReplaceAll(P(&c.Select).About().Examples, "rescind plan ", "rescind cancel ")
}

// Run cancels.
func (c *cancelOf[S, P]) Run(ctx context.Context, s streams, line *kong.Context) error {
	if err := noEmptyValues(line.Args); err != nil {
		return err
	}
	run := &cancelling{cancelFlags: &c.cancelFlags, streams: s, results: map[targetKey]*cancelResult{}, fresh: func() (selection, any) {
		filters := c.Select // a listing changes it
		return P(&filters), c.Select
	}}
	r := &run.report
	r.DryRun, r.noun = c.DryRun, P(&c.Select).About().Noun
	err := run.all(ctx)
	r.count(run.results)
	err = errors.Join(err, r.failure())
	if c.JSON {
		if err != nil {
			r.Error = err.Error()
		}
		return errors.Join(err, printJSON(s.out, r))
	}
	if r.Outcomes > 0 {
		r.print(screenOf(s.out), c.Campaign)
	}
	return err
}

// check checks everything that needs no AWS.
func (c *cancelling) check() error {
	of, _ := c.fresh()
	if err := c.prepare(of); err != nil {
		return err
	}
	switch {
	case len(c.QueueURL) == 0:
		return errNoQueue
	case c.WaitFor < 0:
		return misused("--wait-for must be above 0, not %s", c.WaitFor)
	case !c.Yes && keyboard(c.streams) == nil:
		return misused("there is no terminal to ask at: add --yes; nothing was listed or sent")
	}
	if c.UntilEmpty {
		if err := campaign.CheckName(nameOfRound(c.Campaign, maxRounds)); err != nil {
			return misused("--campaign %w, with the number of a round, as in %s", err, nameOfRound(c.Campaign, maxRounds))
		}
	}
	return nil
}
