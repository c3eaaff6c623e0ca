package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/go-json-experiment/json/jsontext"
)

type sendCmd struct {
	File string `arg:"" optional:"" help:"File of commands: JSON lines, a JSON array, or objects over several lines; - is stdin. Without it, the flags make one command."`

	QueueURL    []string          `name:"queue-url" env:"RESCIND_QUEUE_URL" help:"Queue to send to; if several are named, the first. Required."`
	Action      string            `name:"action" help:"Action, such as batch:CancelJob; all of them are listed above."`
	Param       map[string]string `name:"param" short:"p" mapsep:"none" placeholder:"NAME=VALUE" help:"Parameter of the action; may be repeated. The value is JSON, unless the API takes a string."`
	ID          string            `name:"id" help:"Idempotency key (default: a new one). A command with a known id repeats the outcome and makes no call."`
	Account     string            `name:"account" help:"Account of the targets (default: that of an ARN in the parameters, else the worker's own)."`
	Region      string            `name:"region" help:"Region of the targets (default: that of an ARN in the parameters, else the worker's own)."`
	Reason      string            `name:"reason" help:"Why. AWS records it too if the API takes a reason."`
	RequestedBy string            `name:"requested-by" help:"Who requests it."`
	Campaign    string            `name:"campaign" help:"Name of a set of commands that belong together."`
	ExpiresIn   time.Duration     `name:"expires-in" help:"Time, such as 10m, after which no cancelling call begins."`
	Confirm     string            `name:"confirm" help:"How long to look for proof that it stopped, such as 10m; 0s is not at all (default: the worker's)."`
	Escalate    string            `name:"escalate" help:"How long after AWS accepted it to take the stronger action, such as 2m (default: never)."`
	DryRun      bool              `name:"dry-run" help:"Preview: read each target and predict what a cancel would come to, but cancel nothing."`
	JSON        bool              `name:"json" help:"Print one JSON value on stdout, with every id and what became of it, also where sending fails."`

	Wait    bool          `name:"wait" help:"Print the outcome of each command, and end when all have one."`
	WaitFor time.Duration `name:"wait-for" help:"How long --wait waits at most, counted from when all are sent (default: 10m, and the longest confirm of the commands)."`

	outcomeFlags `embed:""`
}

// Help is printed by "rescind send --help" above the flags.
func (*sendCmd) Help() string {
	return `Puts commands on the worker's queue. Actions:
  ` + strings.Join(actionNames(), "\n  ") + `

Flags are the defaults for members that a command in the input leaves out. All of the input is read
and checked before any of it is sent. Invalid commands are not sent; they are printed on stderr with
their line, and the others are sent. If two commands have one id and differ, or the input as a whole
is not JSON, nothing is sent. A command without an id is given a new one. To be able to send a file
again without running a command twice, give each an id.

Outcomes are published to the results topic. --wait prints those of its own commands, a line each:
status, id, target, and why or in which state. With confirm, an outcome comes when the target has stopped,
or the time to look for that is over. --wait reads the ledger's table, or asks the worker if that keeps
its ledger in a file.

Exit codes: 0 all were sent (with --wait: and stopped, or accepted by AWS; with --dry-run --wait: and
previewed), 1 some were not, 2 misused.`
}

// Run sends the commands, prints how many were sent and, if asked to, waits for their outcomes.
func (c *sendCmd) Run(ctx context.Context, s streams) error {
	r := &sendReport{}
	err := c.run(ctx, s, r)
	if c.JSON {
		if err != nil {
			r.Error = err.Error()
		}
		err = errors.Join(err, printJSON(s.out, r.counted()))
	}
	return err
}

func (c *sendCmd) run(ctx context.Context, s streams, r *sendReport) error {
	if len(c.QueueURL) == 0 {
		return errNoQueue
	}
	if err := c.check(); err != nil {
		return err
	}
	r.Queue = c.QueueURL[0]
	cfg, err := awsConfig(ctx)
	if err != nil {
		return err
	}
	onStop(ctx, func() string { return "stopping; nothing has been sent yet" }, "Nothing was sent.")
	input, err := c.read(ctx, s)
	if err != nil {
		return err
	}
	r.flags = c.File == ""
	if err := newChecker(r.Queue, cfg.Region, c).all(input, r); err != nil {
		return err
	}
	if err := r.invalid(); err != nil {
		return err
	}
	if len(r.Commands) == 0 {
		return misused("the input has no commands: nothing was sent")
	}
	var from outcomes
	if c.Wait {
		if from, err = c.outcomes(ctx, cfg, r.Queue, keysOf(r.in(stateUnsent)[:min(1, len(r.in(stateUnsent)))])...); err != nil {
			return fmt.Errorf("nothing was sent, since --wait could not follow it: %w", err)
		}
		defer func() { _ = from.close() }() // nothing was written
	}
	err = sendAll(ctx, sqs.NewFromConfig(cfg), s, r)
	if !c.JSON {
		r.print(s, c)
	}
	if err = errors.Join(err, r.err()); c.Wait {
		err = errors.Join(err, c.wait(ctx, s, from, r))
	}
	return err
}

// check checks the rules that Kong does not know.
func (c *sendCmd) check() error {
	switch {
	case c.ExpiresIn < 0:
		return misused("--expires-in must be above 0, not %s", c.ExpiresIn)
	case c.WaitFor < 0:
		return misused("--wait-for must be above 0, not %s", c.WaitFor)
	case c.File == "" && c.Action == "":
		return misused("nothing to send: name a file of commands, - for stdin, or --action and -p")
	case c.File != "" && c.ID != "":
		return misused("--id names one command: in a file or on stdin, put the ids into the commands")
	}
	return nil
}

// read reads the input: an empty command if the flags make the only one. An interrupt does not wait for a
// read, which then ends by itself.
func (c *sendCmd) read(ctx context.Context, s streams) ([]byte, error) {
	from := s.in
	switch c.File {
	case "":
		return []byte("{}"), nil
	case "-":
	default:
		f, err := os.Open(c.File)
		if err != nil {
			return nil, misused("opening the commands: %w", err)
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	type result struct {
		input []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		input, err := io.ReadAll(io.LimitReader(from, maxInput+1))
		done <- result{input, err}
	}()
	select {
	case <-ctx.Done():
		return nil, errors.New("interrupted while reading the commands; nothing was sent")
	case r := <-done:
		switch {
		case r.err != nil:
			return nil, fmt.Errorf("reading the commands: %w; nothing was sent", r.err)
		case len(r.input) > maxInput:
			return nil, misused("the input is larger than %d MiB: split it; nothing was sent", maxInput>>20)
		}
		return r.input, nil
	}
}

// members returns the members of a command that are set by flags, without the parameters.
func (c *sendCmd) members() map[string]any {
	m := map[string]any{}
	for name, value := range map[string]string{
		"id": c.ID, "action": c.Action, "account": c.Account, "region": c.Region,
		"reason": c.Reason, "requestedBy": c.RequestedBy, "campaign": c.Campaign, "confirm": c.Confirm, "escalate": c.Escalate,
	} {
		if value != "" {
			m[name] = value
		}
	}
	if c.ExpiresIn > 0 {
		m["expiresAt"] = time.Now().Add(c.ExpiresIn).UTC().Format(time.RFC3339)
	}
	if c.DryRun {
		m["dryRun"] = true
	}
	if c.File == "" {
		m["parameters"] = jsontext.Value("{}") // so that a missing parameter is reported by its name
	}
	return m
}
