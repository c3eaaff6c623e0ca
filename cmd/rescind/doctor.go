package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/terminal"
	"github.com/rescindhq/rescind/worker/doctor"
	"github.com/rescindhq/rescind/worker/permissions"
	"github.com/rescindhq/rescind/worker/preflight"
)

// doctorCmd is `rescind doctor`. It takes what the worker takes.
type doctorCmd struct {
	JSON       bool     `name:"json" help:"Print one JSON value on stdout, with each check."`
	WorkerRole string   `name:"worker-role" help:"ARN of the worker's role or user, whose permissions are checked (default: those of the credentials here)."`
	Services   []string `name:"services" help:"Services whose commands are run, comma separated (default: all): permissions are checked for these."`
	DryRunOnly bool     `name:"dry-run-only" help:"For a worker that only previews: permissions are checked for reads alone."`

	workerCmd
}

// Help is printed by "rescind doctor --help" above the flags.
func (*doctorCmd) Help() string {
	return `Checks what a worker of the same flags and variables would work on, and says what to do about each: its settings,
credentials, clock, queues, dead-letter queue, topic, ledger, permissions and quotas, and the worker at --admin-addr.
It changes nothing, receives nothing and cancels nothing. A line each:
  good      nothing is to be done
  warning   a worker starts, and something is risky or missing
  mend      a worker does not start, loses something, or cannot do its work
  unknown   it could not be checked; where a permission is missing, which one

Permissions are simulated by IAM (iam:SimulatePrincipalPolicy), by the policies of the user or role alone: a queue's, a
topic's and a key's own policies are not part of it.

Exit codes: 0 nothing is to be mended, 1 something is, or it was stopped, 2 misused.`
}

// Run makes the checks and prints them.
func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	onStop(ctx, func() string { return "stopping the checks; nothing was changed" }, "Nothing was changed.")
	services := &permissions.Deployment{}
	if err := (&iamCmd{Services: c.Services}).served(services); err != nil {
		return misused("%w", err)
	}
	if role, ok := handlers.ParseARN(c.WorkerRole); c.WorkerRole != "" && (!ok || role.Service != "iam" || !strings.HasPrefix(role.Resource, "role/") && !strings.HasPrefix(role.Resource, "user/")) {
		return misused("--worker-role must be the ARN of a role or a user, like arn:aws:iam::123456789012:role/rescind-worker, not %q", c.WorkerRole)
	}
	o, faults := c.options()
	var lines []doctor.Line
	for _, fault := range faults {
		lines = append(lines, doctor.FaultLine("settings", "", fault))
	}
	if len(faults) == 0 {
		lines = append(lines, doctor.Line{Check: "settings", Result: doctor.Good, Says: "every flag and variable can be used"})
	}
	cfg, err := awsConfig(ctx)
	if err != nil {
		lines = append(lines, doctor.FaultLine("credentials", "", err))
		cfg = aws.Config{} // AWS cannot be asked: the rest is looked at
	}
	if fault := ledgerFault(c.Ledger); fault != nil {
		lines = append(lines, doctor.FaultLine("ledger", "RESCIND_LEDGER", fault))
	}
	lines = append(lines, doctor.Run(ctx, doctor.Options{
		AWS: cfg,
		Preflight: preflight.Options{
			QueueURLs: o.QueueURLs, StateQueueURL: o.StateQueueURL, DeadLetterURL: o.DeadLetterURL, TopicARN: o.TopicARN, Regions: o.Regions, Role: o.Role,
		},
		Ledger: c.Ledger, Quotas: o.Quotas, Admin: c.Admin, WorkerRole: c.WorkerRole,
		Permissions: permissions.Deployment{Name: c.Name, Handlers: services.Handlers, DryRunOnly: c.DryRunOnly, Role: c.Role},
	})...)
	if c.JSON {
		err = printJSON(s.out, lines)
	} else {
		printChecks(screenOf(s.out), lines)
		err = nil
	}
	switch n := counted(lines, doctor.Mend); {
	case ctx.Err() != nil:
		return errors.Join(err, errors.New("the checks were stopped: what they say is not complete"))
	case n > 0:
		return errors.Join(err, fmt.Errorf("%s to be mended", count(n, "check")))
	}
	return err
}

// ledgerFault is what is wrong with the name of a ledger by itself.
func ledgerFault(where string) error {
	kind, rest, _ := strings.Cut(where, ":")
	if kind == "bolt" && rest != "" || kind == "dynamodb" && tableName.MatchString(rest) {
		return nil // it is looked at
	}
	_, err := openLedger(context.Background(), aws.Config{}, where, nil) // which opens nothing of these
	return err
}

func counted(lines []doctor.Line, result doctor.Result) (n int) {
	for _, line := range lines {
		if line.Result == result {
			n++
		}
	}
	return n
}

// verdicts give results their colours.
var verdicts = map[doctor.Result]handlers.Verdict{
	doctor.Good: handlers.Stopped, doctor.Warning: handlers.Pending, doctor.Mend: handlers.NotStopped, doctor.Unknown: handlers.NotRun,
}

// marks is the width of the column of marks.
const marks = 9

// printChecks prints a line for each check, broken at the terminal's width, and what to do below it. A command to paste is a line
// of its own, which is left to the terminal to wrap.
func printChecks(to screen, lines []doctor.Line) {
	width := 0
	if to.width > 0 {
		width = max(to.width-marks, narrowestCell)
	}
	for _, line := range lines {
		mark := to.colour(verdicts[line.Result], string(line.Result)) + strings.Repeat(" ", marks-len(line.Result))
		head := line.Check
		if subject := shortSubject(line.Subject); subject != "" && subject != line.Check {
			head += " " + subject
		}
		fmt.Fprint(to, mark+indented(terminal.Text(head+": "+terminal.Clean(line.Says), width))+"\n")
		do, commands, _ := strings.Cut(line.Do, "\n  ")
		if do != "" {
			fmt.Fprint(to, strings.Repeat(" ", marks)+indented(terminal.Text("do: "+terminal.Clean(do), width))+"\n")
		}
		if commands != "" {
			fmt.Fprint(to, "  "+terminal.Clean(commands)+"\n")
		}
	}
	to.printf("%s: %d good, %s, %d to mend, %d unknown\n", count(len(lines), "check"), counted(lines, doctor.Good), count(counted(lines, doctor.Warning), "warning"), counted(lines, doctor.Mend), counted(lines, doctor.Unknown))
}

// indented puts the lines after the first one under it.
func indented(text string) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", marks))
}

// shortSubject is the name in a queue's URL or in an ARN; anything else is left as it is. --json has all of it.
func shortSubject(subject string) string {
	if arn, ok := handlers.ParseARN(subject); ok {
		if arn.Service == "iam" || arn.Service == "sts" {
			return arn.Resource
		}
		return subject[strings.LastIndexByte(subject, ':')+1:]
	}
	if strings.Contains(subject, "://") {
		return subject[strings.LastIndexByte(strings.TrimRight(subject, "/"), '/')+1:]
	}
	return subject
}
