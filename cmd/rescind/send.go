package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/worker/command"
)

type sendCmd struct {
	File string `arg:"" optional:"" help:"JSON lines, a command each; - is stdin. Without it, one command is made from the flags."`

	QueueURL    []string          `name:"queue-url" env:"RESCIND_QUEUE_URL" help:"Queue to send to (of several, the first). Required."`
	Action      string            `name:"action" help:"What to do, such as batch:CancelJob."`
	Param       map[string]string `name:"param" short:"p" mapsep:"none" placeholder:"NAME=VALUE" help:"A parameter of the action; may be repeated. Text where the API takes a string, else JSON."`
	ID          string            `name:"id" help:"Idempotency key (default: a new one). The same id again repeats the outcome, not the call."`
	Account     string            `name:"account" help:"Account to act in (default: the worker's own)."`
	Region      string            `name:"region" help:"Region to act in (default: the worker's own)."`
	Reason      string            `name:"reason" help:"Why; it stands in AWS's own records where the API takes a reason."`
	RequestedBy string            `name:"requested-by" help:"Who asks."`
	Campaign    string            `name:"campaign" help:"Name for commands sent together."`
	ExpiresIn   time.Duration     `name:"expires-in" help:"No cancelling call begins after this time."`
	DryRun      bool              `name:"dry-run" help:"Say what would be called; call nothing."`
	JSON        bool              `name:"json" help:"Print one JSON value on stdout."`
}

// Help is what "rescind send --help" says besides the flags.
func (*sendCmd) Help() string {
	return `Examples:
  rescind send --action batch:CancelJob -p jobId=1d828f65-7a4d-42e8-996d-3b900ed59dc4 --reason "over budget"
  rescind send commands.jsonl --campaign over-budget
  make-commands | rescind send -

Flags fill what a line leaves out. Every command is checked before it is sent; what breaks a rule is
counted and told, and the rest is sent. A line without an id is given a new one: to be able to send
a file again without doing anything twice, give each line its own.

Exit codes: 0 all were sent, 1 some were not, 2 misused.`
}

// lineMost is the longest line read: a command of the largest size, and room for blanks.
const lineMost = 2 * command.MaxBytes

// Run sends.
func (c *sendCmd) Run(ctx context.Context, s streams) error {
	if len(c.QueueURL) == 0 {
		return errNoQueue
	}
	in, closeIn, err := c.open(s)
	if err != nil {
		return err
	}
	defer closeIn()
	cfg, err := awsConfig(ctx)
	if err != nil {
		return err
	}
	cfg.Retryer = func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), sendTries) }
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	out := newSender(sending, stop, sqs.NewFromConfig(cfg), c.QueueURL[0], cfg.Region, c)
	if c.File == "" {
		err = out.all(sending, lines(sending, in))
		return errors.Join(err, out.tellOne(s, c.JSON))
	}
	stopProgress := out.progress(s)
	err = out.all(sending, lines(sending, in))
	stopProgress()
	return errors.Join(err, out.tell(s, c.JSON))
}

// open opens where the commands come from: one line of nothing where flags say it all.
func (c *sendCmd) open(s streams) (in io.Reader, closeIn func(), err error) {
	switch {
	case c.ExpiresIn < 0:
		return nil, nil, misused("--expires-in must be above 0, not %s", c.ExpiresIn)
	case c.File == "" && c.Action == "":
		return nil, nil, misused("nothing to send: name a file of JSON lines, - for stdin, or --action and -p")
	case c.File == "":
		return strings.NewReader("{}\n"), func() {}, nil
	case c.ID != "":
		return nil, nil, misused("--id names one command: it does not go with JSON lines, which bring their own ids")
	case c.File == "-":
		return s.in, func() {}, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, nil, misused("opening the commands: %w", err)
	}
	return f, func() { _ = f.Close() }, nil
}

// members are those that the flags fill where a line leaves them out, parameters aside.
func (c *sendCmd) members() map[string]any {
	m := map[string]any{}
	for name, value := range map[string]string{
		"id": c.ID, "action": c.Action, "account": c.Account, "region": c.Region,
		"reason": c.Reason, "requestedBy": c.RequestedBy, "campaign": c.Campaign,
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
		m["parameters"] = jsontext.Value("{}") // so that what is missing is told by its own name
	}
	return m
}

// line is one line of input, counted from 1, or why there are no more.
type line struct {
	number int
	text   string
	err    error
}

// lines reads lines in a goroutine of its own, so that waiting for input does not hold up an
// interrupt; where ctx ends first, the goroutine stays until the input answers.
func lines(ctx context.Context, in io.Reader) <-chan line {
	read := make(chan line)
	go func() {
		defer close(read)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, lineMost)
		give := func(l line) bool {
			select {
			case read <- l:
				return true
			case <-ctx.Done():
				return false
			}
		}
		number := 0
		for scanner.Scan() {
			number++
			if text := strings.TrimSpace(scanner.Text()); text != "" && !give(line{number: number, text: text}) {
				return
			}
		}
		if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
			give(line{err: fmt.Errorf("line %d is longer than %d bytes; it and what follows it were not sent", number+1, lineMost)})
		} else if err != nil {
			give(line{err: fmt.Errorf("reading line %d: %w; it and what follows it were not sent", number+1, err)})
		}
	}()
	return read
}
