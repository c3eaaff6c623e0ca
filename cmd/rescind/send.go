package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/command"
)

type sendCmd struct {
	File string `arg:"" optional:"" help:"JSON lines, a command each; - is stdin. Without it, one command is made from the flags."`

	QueueURL    []string          `name:"queue-url" env:"RESCIND_QUEUE_URL" required:"" help:"Queue to send to (of several, the first)."`
	Action      string            `name:"action" help:"What to do, such as batch:CancelJob."`
	Param       map[string]string `name:"param" short:"p" help:"A parameter: name=value. JSON where it reads as JSON, else text."`
	ID          string            `name:"id" help:"Idempotency key (default: a new one). The same id again repeats the outcome, not the call."`
	Account     string            `name:"account" help:"Account to act in (default: the worker's own)."`
	Region      string            `name:"region" help:"Region to act in (default: the worker's own)."`
	Reason      string            `name:"reason" help:"Why; it stands in AWS's own records where the API takes a reason."`
	RequestedBy string            `name:"requested-by" help:"Who asks."`
	Campaign    string            `name:"campaign" help:"Name for commands sent together."`
	ExpiresIn   time.Duration     `name:"expires-in" help:"No cancelling call begins after this time."`
	DryRun      bool              `name:"dry-run" help:"Say what would be called; call nothing."`
	JSON        bool              `name:"json" help:"Print one JSON value."`
}

// Help is what "rescind send --help" says besides the flags.
func (*sendCmd) Help() string {
	return `Examples:
  rescind send --action batch:CancelJob -p jobId=1d828f65-7a4d-42e8-996d-3b900ed59dc4 --reason "over budget"
  rescind send commands.jsonl --campaign over-budget
  make-commands | rescind send -

Flags fill what a line leaves out. Every command is checked before it is sent; what breaks a rule is
counted and told, and the rest is sent.`
}

const (
	// sendBatch is SQS's most entries, and sendBytes what every SQS takes in one request
	// (AWS itself takes 1 MiB since 2025; emulators lag behind).
	sendBatch = 10
	sendBytes = 256 * 1024
	// sendWaiting bounds the commands held in memory.
	sendWaiting = 2000
	// sendTries is how often a command is sent that SQS failed to take by its own fault.
	sendTries = 5
	// lineMost is the longest line read: a command of the largest size, and room for blanks.
	lineMost = 2 * command.MaxBytes
)

// refusedLine is a command that was not sent.
type refusedLine struct {
	Line  int    `json:"line,omitzero"`
	ID    string `json:"id,omitempty"`
	Field string `json:"field,omitempty"`
	Error string `json:"error"`
}

func (c *sendCmd) Run(ctx context.Context, s streams) error {
	lines, closeFile, err := c.lines(s)
	if err != nil {
		return err
	}
	defer closeFile()
	cfg, err := awsConfig(ctx)
	if err != nil {
		return err
	}
	cfg.Retryer = func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), sendTries) }
	out := newSender(ctx, c.QueueURL[0], sqs.NewFromConfig(cfg), cfg.Region)
	stopProgress := out.progress(s)
	err = out.all(lines, c.defaults())
	stopProgress()
	return errors.Join(err, out.tell(s, c.JSON))
}

// lines opens where the commands come from: one line of nothing where flags say it all.
func (c *sendCmd) lines(s streams) (io.Reader, func(), error) {
	switch c.File {
	case "":
		if c.Action == "" {
			return nil, nil, misused("nothing to send: name a file of JSON lines, - for stdin, or --action and -p")
		}
		return strings.NewReader("{}\n"), func() {}, nil
	case "-":
		return s.in, func() {}, nil
	}
	if c.ID != "" {
		return nil, nil, misused("--id names one command: it does not go with a file")
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, nil, misused("opening the commands: %w", err)
	}
	return f, func() { _ = f.Close() }, nil
}

// defaults are the members that the flags fill where a line leaves them out.
func (c *sendCmd) defaults() map[string]any {
	d := map[string]any{}
	for name, value := range map[string]string{
		"id": c.ID, "action": c.Action, "account": c.Account, "region": c.Region,
		"reason": c.Reason, "requestedBy": c.RequestedBy, "campaign": c.Campaign,
	} {
		if value != "" {
			d[name] = value
		}
	}
	if c.ExpiresIn > 0 {
		d["expiresAt"] = time.Now().Add(c.ExpiresIn).UTC().Format(time.RFC3339)
	}
	if c.DryRun {
		d["dryRun"] = true
	}
	if len(c.Param) > 0 {
		parameters := make(map[string]any, len(c.Param))
		for name, value := range c.Param {
			parameters[name] = value
			// Text stays text unless it is a number, true, false, a list or an object.
			if v := jsontext.Value(value); v.IsValid() && v.Kind() != '"' && v.Kind() != 'n' {
				parameters[name] = v
			}
		}
		d["parameters"] = parameters
	}
	return d
}

// sender checks commands and sends them, ten to a request.
type sender struct {
	ctx     context.Context // of the whole run
	api     *sqs.Client
	url     string
	decoder *command.Decoder
	group   *coalesce.Group[outgoing, error]
	waiting chan struct{}

	mu      sync.Mutex
	sent    int
	ids     []string
	refused []refusedLine
}

type outgoing struct {
	line int
	id   string
	body string
	fair string // MessageGroupId
}

func newSender(ctx context.Context, queueURL string, api *sqs.Client, region string) *sender {
	var all []handlers.Handler
	for _, service := range worker.Services() {
		all = append(all, service(func(handlers.Place) aws.Config { return aws.Config{} })...)
	}
	s := &sender{
		ctx: ctx, api: api, url: queueURL, waiting: make(chan struct{}, sendWaiting),
		decoder: command.NewDecoder(all, handlers.Place{Account: accountOf(queueURL), Region: region}),
	}
	s.group = coalesce.New(coalesce.Options[outgoing]{
		Max: sendBatch, MaxBytes: sendBytes, Size: func(o outgoing) int { return len(o.body) }, InFlight: 16,
	}, s.send)
	return s
}

// accountOf is the account that a queue's URL names, as https://HOST/ACCOUNT/NAME does; it
// serves to group messages alone.
func accountOf(queueURL string) string {
	const unknown = "000000000000"
	u, err := url.Parse(queueURL)
	if err != nil {
		return unknown
	}
	account, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if _, err := strconv.ParseUint(account, 10, 64); err != nil || len(account) != len(unknown) {
		return unknown
	}
	return account
}

// all sends every line.
func (s *sender) all(lines io.Reader, defaults map[string]any) error {
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, lineMost)
	line := 0
	for scanner.Scan() && s.ctx.Err() == nil {
		line++
		if text := strings.TrimSpace(scanner.Text()); text != "" {
			s.one(line, text, defaults)
		}
	}
	err := scanner.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		s.refuse(refusedLine{Line: line + 1, Field: "body", Error: fmt.Sprintf("longer than %d bytes; nothing after it was read", lineMost)})
		err = nil
	}
	if waited := s.group.Wait(s.ctx); err == nil && waited != nil {
		err = fmt.Errorf("interrupted: %w; lines after the last one sent were not read", context.Cause(s.ctx))
	}
	return err
}

// one completes, checks and sends one command.
func (s *sender) one(line int, text string, defaults map[string]any) {
	body := []byte(text)
	members := map[string]jsontext.Value{}
	if err := json.Unmarshal(body, &members); err == nil {
		body = complete(members, defaults)
	} // else the decoder says what is wrong
	c, err := s.decoder.Decode(body, command.Message{ID: "unsent"})
	var bad *command.Error
	if errors.As(err, &bad) {
		s.refuse(refusedLine{Line: line, ID: bad.Command.ID, Field: bad.Field, Error: bad.Error()})
		return
	}
	s.waiting <- struct{}{}
	o := outgoing{line: line, id: c.ID, body: string(body), fair: c.Action.Service() + "/" + c.Account + "/" + c.Region}
	s.group.Go(o, func(err error) {
		<-s.waiting
		if err != nil {
			s.refuse(refusedLine{Line: o.line, ID: o.id, Error: err.Error()})
			return
		}
		s.mu.Lock()
		s.sent++
		if len(s.ids) < sendBatch {
			s.ids = append(s.ids, o.id)
		}
		s.mu.Unlock()
	})
}

// complete fills what a command leaves out. An id is always filled, so that a request that
// has to be repeated makes no second command.
func complete(members map[string]jsontext.Value, defaults map[string]any) []byte {
	all := make(map[string]any, len(members)+len(defaults)+1)
	for name, value := range defaults {
		all[name] = value
	}
	for name, value := range members {
		all[name] = value
	}
	if all["id"] == nil {
		all["id"] = uuid.NewString()
	}
	body, err := json.Marshal(all, json.Deterministic(true))
	if err != nil {
		return nil // the decoder refuses it; flags and parsed members always marshal
	}
	return body
}

// send sends up to ten; those that SQS failed to take by its own fault are tried again.
func (s *sender) send(batch []outgoing) []error {
	errs := make([]error, len(batch))
	left := make([]int, len(batch))
	for i := range batch {
		left[i] = i
	}
	for try := 1; len(left) > 0 && try <= sendTries; try++ {
		entries := make([]types.SendMessageBatchRequestEntry, len(left))
		for n, i := range left {
			entries[n] = types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(batch[i].body), MessageGroupId: aws.String(batch[i].fair),
			}
		}
		out, err := s.api.SendMessageBatch(s.ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(s.url), Entries: entries})
		if err != nil {
			for _, i := range left {
				errs[i] = fmt.Errorf("sending: %w", err)
			}
			return errs
		}
		left = left[:0]
		for _, f := range out.Failed {
			i, err := strconv.Atoi(aws.ToString(f.Id))
			if err != nil || i < 0 || i >= len(batch) {
				continue
			}
			errs[i] = fmt.Errorf("SQS refused it: %s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
			if !f.SenderFault {
				left = append(left, i)
			}
		}
		for _, ok := range out.Successful {
			if i, err := strconv.Atoi(aws.ToString(ok.Id)); err == nil && i >= 0 && i < len(batch) {
				errs[i] = nil
			}
		}
	}
	return errs
}

func (s *sender) refuse(r refusedLine) {
	s.mu.Lock()
	s.refused = append(s.refused, r)
	s.mu.Unlock()
}

// progress tells how far it has come, every other second, until it is stopped.
func (s *sender) progress(to streams) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				s.mu.Lock()
				fmt.Fprintf(to.err, "%d sent, %d refused\n", s.sent, len(s.refused))
				s.mu.Unlock()
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// refusedShown is how many refusals are told to people; --json has them all.
const refusedShown = 20

// tell says what became of it, and returns an error where not everything was sent.
func (s *sender) tell(to streams, asJSON bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if asJSON {
		text, err := json.Marshal(struct {
			Sent    int           `json:"sent"`
			IDs     []string      `json:"firstIds"`
			Refused []refusedLine `json:"refused"`
		}{s.sent, s.ids, s.refused}, json.FormatNilSliceAsNull(false))
		if err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
		fmt.Fprintln(to.out, string(text))
	} else {
		for i, r := range s.refused {
			if i == refusedShown {
				fmt.Fprintf(to.err, "… and %d more\n", len(s.refused)-i)
				break
			}
			fmt.Fprintf(to.err, "line %d: %s\n", r.Line, r.Error)
		}
		fmt.Fprintf(to.out, "%d sent, %d refused\n", s.sent, len(s.refused))
		if s.sent == len(s.ids) {
			for _, id := range s.ids {
				fmt.Fprintf(to.out, "  %s\n", id)
			}
		}
	}
	if len(s.refused) > 0 {
		return fmt.Errorf("%d of %d commands were not sent", len(s.refused), s.sent+len(s.refused))
	}
	return nil
}
