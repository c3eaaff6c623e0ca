package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// cancelling is a cancel while it runs.
type cancelling struct {
	*cancelFlags
	streams
	fresh   func() (of selection, filters any)
	from    outcomes // nil: they are not waited for
	report  cancelReport
	results map[targetKey]*cancelResult // the last of each target
	until   time.Time                   // how long what AWS has accepted may still match; zero: that was not met
	untried int                         // targets of the last listing for which no command was sent before
}

// targetKey tells targets apart: a fingerprint of a command without its action, since a round may take the stronger one of
// what an earlier round did not stop.
type targetKey [32]byte

func keyOfTarget(parameters []byte) targetKey {
	return (&command.Command{Parameters: parameters}).Fingerprint()
}

// maxRounds bounds the rounds of --until-empty, which are part of the campaign's name.
const maxRounds = 999

// nameOfRound is the campaign of a round, or what else has its name. The ids of its commands begin with it, so that they differ
// from those of the other rounds.
func nameOfRound(name string, round int) string {
	if round == 1 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, round)
}

// Why --until-empty leaves a target alone that still matches.
const (
	stoppedBefore  = "stopped in an earlier round, and still listed"
	acceptedBefore = "accepted by AWS in an earlier round, and not yet seen to have stopped"
)

// all makes a round, and with --until-empty further ones.
func (c *cancelling) all(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if !c.NoWait {
		cfg, err := awsConfig(ctx)
		if err == nil {
			c.from, err = c.outcomes(ctx, cfg, c.QueueURL[0], c.Campaign)
		}
		if err != nil {
			return fmt.Errorf("nothing was listed or sent, since outcomes could not be followed (--no-wait ends when all are sent): %w", err)
		}
		defer func() { _ = c.from.close() }() // nothing was written
	}
	for {
		if more, err := c.round(ctx); err != nil || !more {
			return err
		}
	}
}

// round plans, asks if it is the first, sends and follows. More is whether another round is to come.
func (c *cancelling) round(ctx context.Context) (more bool, err error) {
	n := len(c.report.Rounds) + 1
	plan, err := c.list(ctx, n)
	if err != nil {
		return false, err
	}
	if plan.Count == 0 && n > 1 {
		return c.emptied(ctx, plan)
	}
	r := &cancelRound{Plan: plan}
	c.report.Rounds, c.until = append(c.report.Rounds, r), time.Time{}
	if plan.Count == 0 {
		return false, nil // the plan has said it
	}
	if err := c.permit(ctx, n, plan); err != nil {
		return false, fmt.Errorf("%w\nThe plan is written. This sends it:\n  %s", err, c.applyLine(plan))
	}
	commands, err := c.apply(ctx, r)
	if err != nil || c.NoWait {
		if err == nil && !c.JSON {
			r.Apply.print(c.streams)
		}
		return false, err
	}
	err = c.follow(ctx, r, commands)
	return err == nil && c.UntilEmpty, err
}

// list makes the plan of a round, and shows it.
func (c *cancelling) list(ctx context.Context, n int) (*planReport, error) {
	flags, plan := c.planFlags, &planReport{}
	flags.Campaign = nameOfRound(c.Campaign, n)
	flags.Output = c.Output
	c.untried = 0
	if n > 1 {
		name, isUsual := strings.CutSuffix(c.Output, planSuffix)
		if flags.Output = nameOfRound(name, n); isUsual {
			flags.Output += planSuffix
		}
		flags.settled = c.settled
		flags.before = many(c.report.sent(), "command") + " of the rounds before were sent, and have ended"
	}
	of, filters := c.fresh()
	err := flags.plan(ctx, c.streams, of, filters, plan)
	switch {
	case err == nil:
	case n > 1:
		return nil, fmt.Errorf("round %d: %s; %s", n, err.Error(), flags.before) // no misuse: that shows in the first round
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w; nothing was sent", err)
	default:
		return nil, err
	}
	c.show(n, plan)
	return plan, nil
}

// show shows a plan: the first one with all that a decision needs. With --json that goes to whoever is asked.
func (c *cancelling) show(n int, plan *planReport) {
	to := screenOf(c.out)
	if c.JSON {
		to = screenOf(c.err)
	}
	switch {
	case n > 1 && plan.Count > 0:
		to.printf("\nRound %d: %s. Plan: %s\n", n, many(plan.Count, plan.noun)+" match", plan.File)
	case n > 1 || c.JSON && c.Yes:
	default:
		plan.print(to)
		if plan.Count > 0 {
			to.printf("\nPlan: %s\n", plan.File)
		}
	}
}

// settled says why a target is left alone that still matches, for what earlier rounds came to.
func (c *cancelling) settled(t *handlers.Candidate) string {
	last := c.results[keyOfTarget([]byte(jsonText(t.Parameters)))]
	switch {
	case last == nil, last.action != t.Action && last.verdict != handlers.Stopped:
		c.untried++
	case last.verdict == handlers.Stopped:
		return stoppedBefore // a listing may be late
	case last.verdict == handlers.Pending:
		return acceptedBefore // to ask again adds nothing
	}
	return ""
}

// lookAgain is how long --until-empty waits before it lists again what AWS has accepted.
const lookAgain = 5 * time.Second

// emptied ends the rounds where a plan has nothing more to stop. What AWS has accepted and still matches is waited for.
func (c *cancelling) emptied(ctx context.Context, plan *planReport) (more bool, err error) {
	still := plan.NotStopped[acceptedBefore]
	switch {
	case still == 0:
		c.report.Empty, c.report.LeftAlone = true, plan.NotStopped
		delete(c.report.LeftAlone, stoppedBefore)
		return false, nil
	case c.until.IsZero():
		c.until = time.Now().Add(c.idle(0))
		say(c.err, fmt.Sprintf("%s that AWS has accepted still match. Listing again until they are gone, for %s at most.", many(still, c.report.noun), short(c.idle(0))))
	case time.Now().After(c.until):
		return false, fmt.Errorf("%s still match, which AWS has accepted to stop: --confirm looks until they have stopped, and --escalate takes the stronger action where there is one", many(still, c.report.noun))
	}
	onStop(ctx, func() string { return "waiting no longer; all commands have ended" }, "All commands have ended.")
	if !rest(ctx, time.After(lookAgain)) {
		return false, fmt.Errorf("interrupted: %s that AWS has accepted still match; all %s that were sent have ended", many(still, c.report.noun), many(c.report.sent(), "command"))
	}
	return true, nil
}

// permit holds a plan to the limits, asks before the first one, and ends the rounds where they bring nothing.
func (c *cancelling) permit(ctx context.Context, n int, plan *planReport) error {
	if n > 1 && c.untried == 0 && c.report.Rounds[n-2].taken == 0 {
		return fmt.Errorf("%s still match, and the last round could stop none of them: --until-empty ends here", many(plan.Count, plan.noun))
	}
	if n > maxRounds {
		return fmt.Errorf("after %d rounds there are still more: stop the inflow first", maxRounds)
	}
	err := (&applyCmd{}).limits(&plan.Header)
	if before := c.report.sent(); err == nil && c.Max > 0 && before+plan.Count > c.Max {
		err = fmt.Errorf("%s were sent, %s more match, and the limit of all rounds is %d (--max): nothing more was sent", many(before, "command"), grouped(plan.Count), c.Max)
	}
	if err != nil && n > 1 {
		return errors.New(err.Error()) // which is no misuse: commands were sent
	}
	if err != nil || c.Yes || n > 1 {
		return err
	}
	onStop(ctx, func() string { return "stopping; nothing is sent" }, "Nothing was sent.")
	if c.UntilEmpty {
		limit := "without a limit (--max 0)"
		if c.Max > 0 {
			limit = "up to " + many(c.Max, "command") + " in all (--max)"
		}
		screenOf(c.err).printf("--until-empty: what comes to match is cancelled too, without being asked again, %s.\n", limit)
	}
	what := "Cancel %s in account %s, %s"
	if c.DryRun {
		what = "Preview, and not cancel, %s in account %s, %s"
	}
	return ask(ctx, c.streams, fmt.Sprintf(what, many(plan.Count, plan.noun), plan.Account, plan.Region), plan.Count)
}

// apply sends a round's plan. It returns what the queue has accepted.
func (c *cancelling) apply(ctx context.Context, r *cancelRound) (commands []*sending, err error) {
	a := &applyCmd{File: r.Plan.File, applyFlags: c.applyFlags, JSON: c.JSON, onSent: func(sent *sending) {
		commands = append(commands, followed(sent))
	}, goOn: "To go on, and run no command twice:\n  " + c.applyLine(r.Plan)}
	a.Yes = true
	r.Apply = &applyReport{File: a.File, DryRun: c.DryRun}
	err = a.run(ctx, c.streams, r.Apply)
	c.report.Queue = r.Apply.Queue
	return commands, err
}

// applyLine is the command line that goes on with a plan.
func (c *cancelling) applyLine(plan *planReport) string {
	line := strings.Join(append([]string{"rescind apply", shellWord(plan.File)}, plan.limitFlags()...), " ")
	if c.DryRun {
		line += " --dry-run"
	}
	if c.Rate.perSecond > 0 {
		line += fmt.Sprintf(" --rate %g/s", c.Rate.perSecond)
	}
	return line
}
