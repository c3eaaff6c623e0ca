package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/demo"
)

type demoCmd struct {
	Targets int    `name:"targets" default:"5000" help:"Number of targets to cancel."`
	Seed    uint64 `name:"seed" default:"1" help:"Seed of the fleet and of the faults."`
	Verbose bool   `name:"verbose" short:"v" help:"Print the worker's log on stderr."`
	JSON    bool   `name:"json" help:"Print one JSON value on stdout instead of tables."`
}

// Help is printed by "rescind demo --help" above the flags.
func (*demoCmd) Help() string {
	return `The demo puts a fleet of Batch jobs, EMR steps, FSx tasks, IoT job executions, Step Functions
executions and SWF workflow executions, in various states, into an AWS simulator. The simulator applies the quotas that AWS
publishes, or lower ones, and sometimes answers with a 5xx or loses a reply. The worker looks until each
target has stopped, for 20 seconds, and takes the stronger action of some that have not by then. Commands for all
targets go through a queue to a worker. At the end, each outcome is compared with the state of its
targets in the simulator. The demo calls nothing outside of this machine. Progress is printed on
stderr: a bar for each service on a terminal, otherwise a line every few seconds.

Exit codes: 0 every command has exactly one outcome and each is true, 1 otherwise (the problems are
printed), 2 misused.`
}

// maxTargets bounds --targets.
const maxTargets = 1_000_000

// Run runs the demo and prints its report.
func (c *demoCmd) Run(ctx context.Context, s streams) (err error) {
	if c.Targets < 1 || c.Targets > maxTargets {
		return misused("--targets must be from 1 to %d, not %d", maxTargets, c.Targets)
	}
	onStop(ctx, func() string { return "stopping the demo" }, "Nothing outside of this process was touched.")
	log := zap.NewNop()
	if c.Verbose {
		log = newLogger(s, "info", "console")
	}
	d, err := demo.New(ctx, demo.Options{Targets: c.Targets, Seed: c.Seed, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	total := d.Progress().Total()
	fmt.Fprintf(s.err, `Sending %s for %s of %s to a worker on an AWS
simulator. It applies the quotas that AWS publishes, but lower ones for Batch
and SWF, as if other programs used the rest. The worker must adapt.

`, count(total.Commands, "command"), count(c.Targets, "target"), count(len(d.Progress().Services), "service"))
	stopProgress := showProgress(ctx, screenOf(s.err), d.Progress, c.Verbose)
	r, err := d.Run(ctx)
	stopProgress()
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(s.out, r)
	} else {
		printReport(screenOf(s.out), r)
	}
	return errors.Join(err, r.Err())
}

// printReport prints a report for people.
func printReport(s screen, r *demo.Report) {
	s.printf("\n")
	table(s, 1, requestRows(r))
	s.printf("\n") // what matters most is what remains on the screen
	table(s, 1, outcomeRows(s, r))
	s.printf("\n%s, %s, %s in %.1f s.\n", count(r.TotalTargets(), "target"), count(r.Commands, "command"), count(r.Sum, "outcome"), r.Seconds)
	s.printf("Dead-lettered: %s. Published again, unchanged: %s.\n", count(r.DeadLettered, "message"), count(r.Repeats, "outcome"))
	if len(r.Problems) == 0 {
		s.printf("Every command has exactly one outcome. Each agrees with the simulator's state.\n")
	}
}

// outcomeRows has a row for each verdict, one for each status, and a column for each service, that of most commands first.
func outcomeRows(s screen, r *demo.Report) [][]string {
	sums := map[string]int{}
	for service, counts := range r.Outcomes {
		for _, n := range counts {
			sums[service] += n
		}
	}
	services := slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(a, b))
	})
	rows := [][]string{append([]string{"commands", "total"}, services...), nil}
	for _, verdict := range []handlers.Verdict{handlers.Stopped, handlers.Pending, handlers.NotStopped, handlers.NotRun} {
		row, sum := []string{s.colour(verdict, strings.ReplaceAll(string(verdict), "_", " "))}, 0
		for _, service := range services {
			n := r.Verdicts[service][verdict]
			row = append(row, number(n))
			sum += n
		}
		rows = append(rows, slices.Insert(row, 1, number(sum)))
	}
	rows = append(rows, nil)
	for _, status := range handlers.Statuses() {
		if r.Total[status] == 0 {
			continue
		}
		row := []string{s.colour(status.Verdict(), string(status)), number(r.Total[status])}
		for _, service := range services {
			row = append(row, number(r.Outcomes[service][status]))
		}
		rows = append(rows, row)
	}
	commands, targets := []string{"total", number(r.Sum)}, []string{"targets", number(r.TotalTargets())}
	for _, service := range services {
		commands = append(commands, number(sums[service]))
		targets = append(targets, number(r.Targets[service]))
	}
	return append(rows, nil, commands, targets)
}

// requestRows has a row for each API operation.
func requestRows(r *demo.Report) [][]string {
	rows := [][]string{{"requests", "made", "items", "throttled", "5xx", "no reply"}, nil}
	for _, name := range r.Operations() {
		q := r.Requests[name]
		rows = append(rows, []string{name, number(q.Requests), number(q.Items), number(q.Throttled), number(q.Broken), number(q.Unanswered)})
	}
	return rows
}

// number writes a zero as a dot, so that the other numbers stand out.
func number[N int | int64](n N) string {
	if n == 0 {
		return "·"
	}
	return strconv.FormatInt(int64(n), 10)
}
