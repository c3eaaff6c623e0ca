package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/preflight"
	"github.com/rescindhq/rescind/worker/trouble"
)

// secondStop is what the second signal says of commands.
const secondStop = "Nothing on a queue is lost: what was not settled is delivered again."

// stopping says what a worker that stops has to finish, with n messages in flight, and how long that may take.
func stopping(n int, drain time.Duration) string {
	if n == 0 {
		return "stopping; no message is held here"
	}
	return fmt.Sprintf("stopping; finishing or releasing %s that the worker holds, within %s", count(n, "message"), drain)
}

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"json", "console", "auto"}
)

// Values are checked by options, and not by Kong, which would say the first fault alone.
type workerCmd struct {
	QueueURL    []string `name:"queue-url" env:"RESCIND_QUEUE_URL" help:"Standard queues of commands, comma separated, first served first. Required."`
	Topic       string   `name:"results-topic-arn" env:"RESCIND_RESULTS_TOPIC_ARN" help:"Topic that outcomes are published to. Required."`
	DLQ         string   `name:"dlq-url" env:"RESCIND_DLQ_URL" help:"Queue for messages that cannot be run (default: the queue's own redrive target)."`
	StateQueue  string   `name:"state-queue-url" env:"RESCIND_STATE_QUEUE_URL" help:"Queue to which an EventBridge rule sends AWS's events of state changes (default: none, proof is looked for by reads alone)."`
	Ledger      string   `name:"ledger" env:"RESCIND_LEDGER" default:"bolt:rescind.db" help:"bolt:PATH for a single worker, or dynamodb:TABLE for any number of workers on the queue."`
	Name        string   `name:"name" env:"RESCIND_NAME" default:"default" help:"Name of this deployment; part of the source of its outcomes."`
	Regions     []string `name:"regions" env:"RESCIND_REGIONS" help:"Regions that commands may name (default: the worker's own)."`
	Role        string   `name:"role" env:"RESCIND_ROLE" help:"Role for other accounts, such as arn:aws:iam::{account}:role/NAME (default: none, other accounts are denied)."`
	MaxInFlight string   `name:"max-in-flight" env:"RESCIND_MAX_IN_FLIGHT" default:"5000" help:"Maximum number of messages received and not yet settled."`
	Quotas      string   `name:"quotas" env:"RESCIND_QUOTAS" help:"service:Operation=rate/burst (calls a second, bucket size), comma separated; service:* for a whole service."`
	Confirm     string   `name:"confirm" env:"RESCIND_CONFIRM" default:"0s" help:"How long to look for proof that what AWS accepted has stopped, where a command does not say (12h at most)."`
	Patience    string   `name:"patience" env:"RESCIND_PATIENCE" default:"5m" help:"How long the worker waits for a throttled or unavailable API before it defers a message."`
	GiveUp      string   `name:"give-up" env:"RESCIND_GIVE_UP" default:"72h" help:"Age, counted from when a command was first sent, at which it ends as failed, or as accepted if AWS accepted it."`
	Drain       string   `name:"drain" env:"RESCIND_DRAIN" default:"25s" help:"Time to finish work in progress after the first signal."`
	Admin       string   `name:"admin-addr" env:"RESCIND_ADMIN_ADDR" default:"127.0.0.1:9464" help:"Address of /healthz, /readyz, /ended, /metrics and /debug/pprof."`
	LogLevel    string   `name:"log-level" env:"RESCIND_LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat   string   `name:"log-format" env:"RESCIND_LOG_FORMAT" default:"auto" help:"json or console (default: by terminal)."`

	// Not built yet. If one is set the worker does not start, so that nobody relies on it.
	Policy string `hidden:"" name:"policy" env:"RESCIND_POLICY"`
	Token  string `hidden:"" name:"admin-token" env:"RESCIND_ADMIN_TOKEN"`
}

// Help is printed by "rescind worker --help" above the flags.
func (*workerCmd) Help() string {
	return `Receives commands, runs each against AWS within its API quotas, publishes one outcome for each, and runs until
SIGTERM or Ctrl-C: what is under way then finishes and is reported, and the rest is visible on the queue at once. A
second signal exits at once, and no command is lost. With a setting that cannot be meant it says what to do, and
receives nothing.

Exit codes: 0 stopped by a signal, 1 it could not start or go on, 2 misused.`
}

func (c *workerCmd) Run(ctx context.Context, s streams) error {
	log := newLogger(s, c.LogLevel, c.LogFormat)
	defer func() { _ = log.Sync() }() // stderr cannot always be synced
	onStop(ctx, func() string { return "stopping; nothing has been received yet" }, secondStop)
	r, err := c.start(ctx, log)
	if err == nil {
		onStop(ctx, func() string {
			return stopping(r.worker.Held(), r.drain)
		}, secondStop)
		err = r.worker.Run(ctx)
		return errors.Join(err, r.admin.close(), r.ledger.Close())
	}
	say := func(text string) { log.Error(trouble.Clean(strings.ReplaceAll(text, "\n  ", " "), faultMost)) }
	if c.LogFormat == "console" || c.LogFormat != "json" && terminalWidth(s.err) > 0 {
		say = func(text string) { complain(s, text) } // for people
	}
	code := exitFailed
	for _, fault := range faultsOf(err) {
		if errors.As(fault, new(misuse)) || errors.As(fault, new(*preflight.SettingError)) {
			code = exitMisused
		}
		say(fault.Error())
	}
	say("the worker has not started and has received nothing")
	panic(exit(code)) // as Kong leaves: it has been said
}

// faultMost bounds what is logged of a fault, in bytes: how to make a table takes 800.
const faultMost = 2000

// faultsOf are the errors that others join, in their order.
func faultsOf(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // what is wrapped is one fault
	if !ok {
		return []error{err}
	}
	for _, each := range joined.Unwrap() {
		all = append(all, faultsOf(each)...)
	}
	return all
}

// running is what a worker's process is made of.
type running struct {
	worker *worker.Worker
	ledger ledger.Ledger
	admin  *admin
	drain  time.Duration
}

// start makes a worker, or finds all that is wrong with what it was given. Its error joins the faults.
func (c *workerCmd) start(ctx context.Context, log *zap.Logger) (*running, error) {
	o, faults := c.options()
	note := func(err error) bool {
		if err != nil {
			faults = append(faults, err)
		}
		return err == nil
	}
	cfg, err := awsConfig(ctx)
	if !note(err) {
		cfg = aws.Config{} // AWS cannot be asked: only the options are looked at
	}
	listener, err := listenAdmin(ctx, c.Admin)
	if note(err) {
		defer func() {
			if len(faults) > 0 {
				_ = listener.Close() // nobody has connected
			}
		}()
	}
	path, isFile := strings.CutPrefix(c.Ledger, "bolt:")
	_, err = os.Stat(path)
	isNew := isFile && errors.Is(err, fs.ErrNotExist)
	records, err := openLedger(ctx, cfg, c.Ledger, log)
	note(err)
	o.AWS, o.Log, o.Ledger = cfg, log, records
	var w *worker.Worker
	if len(faults) > 0 {
		note(worker.Check(ctx, o))
	} else {
		worker.TuneMemory(o.MaxInFlight)
		w, err = worker.New(ctx, o)
		note(err)
	}
	if len(faults) > 0 {
		if records != nil && note(records.Close()) && isNew {
			_ = os.Remove(path) // nothing is in it
		}
		return nil, errors.Join(faults...)
	}
	return &running{w, records, serveAdminOn(listener, w, log), o.Drain}, nil
}

// nameForm is what a deployment's name may be: part of the name of its sessions in other accounts, which have up to 64
// of these characters ("AssumeRole", STS API Reference).
var nameForm = regexp.MustCompile(`^[\w+=,.@-]{1,56}$`)

// options checks what was given by itself, and returns everything that is wrong with it. Queues, topic, regions and
// role are checked by [worker.Check].
func (c *workerCmd) options() (o worker.Options, faults []error) {
	faults = unknownVariables(os.Environ())
	wrong := func(format string, args ...any) { faults = append(faults, misused(format, args...)) }
	o = worker.Options{
		Name: c.Name, QueueURLs: trimmed(c.QueueURL), TopicARN: strings.TrimSpace(c.Topic), DeadLetterURL: strings.TrimSpace(c.DLQ),
		StateQueueURL: strings.TrimSpace(c.StateQueue),
		LedgerName:    c.Ledger, Regions: trimmed(c.Regions), Role: c.Role,
	}
	for _, each := range []struct{ name, value string }{
		{"RESCIND_POLICY", c.Policy}, {"RESCIND_ADMIN_TOKEN", c.Token},
	} {
		if each.value != "" {
			wrong("%s is set, but what it asks for is not built yet: unset it", each.name)
		}
	}
	if !nameForm.MatchString(c.Name) {
		wrong("RESCIND_NAME must be up to 56 letters, digits and characters of _+=,.@-, not %q", c.Name)
	}
	var err error
	if o.Quotas, err = worker.ParseQuotas(c.Quotas); err != nil {
		for _, each := range faultsOf(err) {
			wrong("RESCIND_QUOTAS: %w", each)
		}
	}
	for _, each := range []struct {
		name, value, example string
		to                   *time.Duration
	}{{"RESCIND_PATIENCE", c.Patience, "5m", &o.Patience}, {"RESCIND_GIVE_UP", c.GiveUp, "72h", &o.GiveUp}, {"RESCIND_DRAIN", c.Drain, "25s", &o.Drain}} {
		if *each.to, err = time.ParseDuration(each.value); err != nil || *each.to <= 0 {
			wrong("%s must be a time above 0 with a unit (s, m, h), such as %s, not %q", each.name, each.example, each.value)
		}
	}
	if o.Confirm, err = time.ParseDuration(c.Confirm); err != nil || o.Confirm < 0 || o.Confirm > 12*time.Hour {
		wrong("RESCIND_CONFIRM must be a time from 0s to 12h with a unit (s, m, h), such as 10m, not %q", c.Confirm)
	}
	if o.MaxInFlight, err = strconv.Atoi(c.MaxInFlight); err != nil || o.MaxInFlight < 1 {
		wrong("RESCIND_MAX_IN_FLIGHT must be a whole number, at least 1, such as 5000, not %q", c.MaxInFlight)
	}
	for _, each := range []struct {
		name, value string
		known       []string
	}{{"RESCIND_LOG_LEVEL", c.LogLevel, logLevels}, {"RESCIND_LOG_FORMAT", c.LogFormat, logFormats}} {
		if !slices.Contains(each.known, each.value) {
			wrong("%s must be one of %s, not %q", each.name, strings.Join(each.known, ", "), each.value)
		}
	}
	return o, faults
}

// trimmed are the values of a list, without spaces around them; empty ones are left out.
func trimmed(list []string) (entries []string) {
	for _, each := range list {
		if each = strings.TrimSpace(each); each != "" {
			entries = append(entries, each)
		}
	}
	return entries
}

// tableName is the form of a DynamoDB table's name ("Naming rules", DynamoDB Developer Guide).
var tableName = regexp.MustCompile(`^[\w.-]{3,255}$`)

// openLedger opens a ledger. One in DynamoDB is nil, without an error, where AWS cannot be asked.
func openLedger(ctx context.Context, cfg aws.Config, where string, log *zap.Logger) (ledger.Ledger, error) {
	kind, rest, _ := strings.Cut(where, ":")
	var opened ledger.Ledger
	var err error
	switch {
	case kind == "bolt" && rest != "":
		opened, err = bolt.Open(rest, bolt.Options{})
	case kind == "dynamodb" && tableName.MatchString(rest):
		if cfg.Region == "" {
			return nil, nil
		}
		opened, err = dynamo.Open(ctx, cfg, rest, dynamo.Options{Log: log})
	case kind == "dynamodb" && rest != "":
		return nil, misused("RESCIND_LEDGER names the table %q, and a table's name has 3 to 255 letters, digits and characters of _.-", rest)
	default:
		return nil, misused("RESCIND_LEDGER must be bolt:PATH or dynamodb:TABLE, not %q", where)
	}
	if err != nil {
		return nil, fmt.Errorf("RESCIND_LEDGER: %w", err)
	}
	return opened, nil
}

// serviceLink matches the variables that Kubernetes sets in every container for a Service named
// rescind or rescind-…; they are not meant for the worker ("Environment variables", Kubernetes
// documentation on Services).
var serviceLink = regexp.MustCompile(`^RESCIND_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// unknownVariables returns an error for each RESCIND_ variable that the worker does not know: a
// misspelt RESCIND_POLICY must not mean no policy.
func unknownVariables(environ []string) (faults []error) {
	var known []string
	for f := range reflect.TypeFor[workerCmd]().Fields() {
		known = append(known, f.Tag.Get("env"))
	}
	for _, each := range slices.Sorted(slices.Values(environ)) {
		name, _, _ := strings.Cut(each, "=")
		if !strings.HasPrefix(name, "RESCIND_") || slices.Contains(known, name) || serviceLink.MatchString(name) {
			continue
		}
		if near := command.Nearest(name, known); near != "" {
			faults = append(faults, misused("%s is no variable of the worker: did you mean %s?", name, near))
			continue
		}
		faults = append(faults, misused("%s is no variable of the worker: unset it; rescind worker --help lists them", name))
	}
	return faults
}
