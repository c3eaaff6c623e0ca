package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

type workerCmd struct {
	QueueURL    []string      `name:"queue-url" env:"RESCIND_QUEUE_URL" help:"Standard queues of commands, comma separated, first served first. Required."`
	Topic       string        `name:"results-topic-arn" env:"RESCIND_RESULTS_TOPIC_ARN" help:"Topic that outcomes are published to. Required."`
	DLQ         string        `name:"dlq-url" env:"RESCIND_DLQ_URL" help:"Where the unreadable is buried (default: the queue's own redrive target)."`
	Ledger      string        `name:"ledger" env:"RESCIND_LEDGER" default:"bolt:rescind.db" help:"bolt:PATH, for one worker on the queue, or dynamodb:TABLE, for any number."`
	Name        string        `name:"name" env:"RESCIND_NAME" default:"default" help:"Name of this deployment, in the source of its outcomes."`
	Regions     []string      `name:"regions" env:"RESCIND_REGIONS" help:"Regions that commands may name (default: the worker's own)."`
	Role        string        `name:"role" env:"RESCIND_ROLE" help:"Role for other accounts, such as arn:aws:iam::{account}:role/NAME (default: none, other accounts are denied)."`
	MaxInFlight int           `name:"max-in-flight" env:"RESCIND_MAX_IN_FLIGHT" default:"5000" help:"Messages held at once."`
	Quotas      string        `name:"quotas" env:"RESCIND_QUOTAS" help:"service:Operation=rate/burst in calls a second, comma separated; service:* for all of a service."`
	Patience    time.Duration `name:"patience" env:"RESCIND_PATIENCE" default:"5m" help:"How long throttling or an outage may hold a command here before its message is released."`
	GiveUp      time.Duration `name:"give-up" env:"RESCIND_GIVE_UP" help:"Age of a message at which its command ends (default: retention less a day, or half of it if under two days)."`
	MinReceives int           `name:"min-receives" env:"RESCIND_MIN_RECEIVES" default:"100" help:"Least maxReceiveCount of a queue that is accepted."`
	Drain       time.Duration `name:"drain" env:"RESCIND_DRAIN" default:"25s" help:"Time to finish after the first signal."`
	Admin       string        `name:"admin-addr" env:"RESCIND_ADMIN_ADDR" default:"127.0.0.1:9464" help:"Address of /healthz, /readyz, /metrics and /debug/pprof."`
	LogLevel    string        `name:"log-level" env:"RESCIND_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error."`
	LogFormat   string        `name:"log-format" env:"RESCIND_LOG_FORMAT" enum:"json,console,auto" default:"auto" help:"json or console (default: by terminal)."`

	// Not built yet: set, they stop the worker, so that nobody relies on what is not there.
	StateQueue string `hidden:"" name:"state-queue-url" env:"RESCIND_STATE_QUEUE_URL"`
	Policy     string `hidden:"" name:"policy" env:"RESCIND_POLICY"`
	Confirm    string `hidden:"" name:"confirm" env:"RESCIND_CONFIRM"`
	Token      string `hidden:"" name:"admin-token" env:"RESCIND_ADMIN_TOKEN"`
}

func (c *workerCmd) Run(ctx context.Context, s streams) error {
	quotas, err := c.check()
	if err != nil {
		return err
	}
	worker.TuneMemory(c.MaxInFlight)
	log := newLogger(s, c.LogLevel, c.LogFormat)
	defer func() { _ = log.Sync() }() // stderr cannot always be synced
	warnUnknownVariables(log, os.Environ())
	cfg, err := awsConfig(ctx)
	if err != nil {
		return err
	}
	book, err := openLedger(ctx, cfg, c.Ledger, log)
	if err != nil {
		return err
	}
	w, err := worker.New(ctx, worker.Options{
		Name: c.Name, QueueURLs: c.QueueURL, TopicARN: c.Topic, DeadLetterURL: c.DLQ, Ledger: book,
		Regions: c.Regions, Role: c.Role, MaxInFlight: c.MaxInFlight, Quotas: quotas,
		Patience: c.Patience, GiveUp: c.GiveUp, MinReceives: c.MinReceives, Drain: c.Drain,
		AWS: cfg, Log: log,
	})
	if err != nil {
		return errors.Join(err, book.Close())
	}
	admin, err := serveAdmin(ctx, c.Admin, w, log)
	if err != nil {
		return errors.Join(err, book.Close())
	}
	err = w.Run(ctx)
	return errors.Join(err, admin.close(), book.Close())
}

// check holds the flags to the rules that Kong does not know.
func (c *workerCmd) check() (worker.Quotas, error) {
	if len(c.QueueURL) == 0 {
		return nil, errNoQueue
	}
	if c.Topic == "" {
		return nil, misused("no results topic: set RESCIND_RESULTS_TOPIC_ARN, or --results-topic-arn, to the ARN of an SNS topic")
	}
	for name, value := range map[string]string{
		"RESCIND_STATE_QUEUE_URL": c.StateQueue, "RESCIND_POLICY": c.Policy, "RESCIND_ADMIN_TOKEN": c.Token,
	} {
		if value != "" {
			return nil, misused("%s is set, but what it asks for is not built yet: unset it", name)
		}
	}
	if c.Confirm != "" {
		if d, err := time.ParseDuration(c.Confirm); err != nil || d != 0 {
			return nil, misused("RESCIND_CONFIRM is %q, but confirmation is not built yet: unset it, or set it to 0s", c.Confirm)
		}
	}
	quotas, err := worker.ParseQuotas(c.Quotas)
	if err != nil {
		return nil, misused("RESCIND_QUOTAS: %w", err)
	}
	for name, d := range map[string]time.Duration{"RESCIND_PATIENCE": c.Patience, "RESCIND_DRAIN": c.Drain} {
		if d <= 0 {
			return nil, misused("%s must be above 0, not %s", name, d)
		}
	}
	if c.GiveUp < 0 {
		return nil, misused("RESCIND_GIVE_UP must not be negative, not %s", c.GiveUp)
	}
	if c.MaxInFlight < 1 {
		return nil, misused("RESCIND_MAX_IN_FLIGHT must be at least 1, not %d", c.MaxInFlight)
	}
	if c.Role != "" && !strings.Contains(c.Role, "{account}") {
		return nil, misused("RESCIND_ROLE must name the account as {account}, as in arn:aws:iam::{account}:role/rescind")
	}
	return quotas, nil
}

func openLedger(ctx context.Context, cfg aws.Config, where string, log *zap.Logger) (ledger.Ledger, error) {
	kind, rest, _ := strings.Cut(where, ":")
	switch {
	case kind == "bolt" && rest != "":
		return bolt.Open(rest, bolt.Options{})
	case kind == "dynamodb" && rest != "":
		return dynamo.Open(ctx, cfg, rest, dynamo.Options{Log: log})
	}
	return nil, misused("RESCIND_LEDGER must be bolt:PATH or dynamodb:TABLE, not %q", where)
}

// connections is how many idle connections to a box in this process are kept.
const connections = 512

// credentialsBound is how long AWS credentials may take to find: an instance's metadata
// service answers in milliseconds, and the SDK tries one that is not there for some seconds.
const credentialsBound = 10 * time.Second

var errNoQueue = misused("no queue: set RESCIND_QUEUE_URL, or --queue-url, to the URL of an SQS queue")

// awsConfig reads AWS_* variables and profiles as every AWS tool does, and looks for
// credentials, so that their want is told before anything is tried.
func awsConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(worker.HTTPClient()))
	if err != nil {
		return cfg, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cfg, misused("no AWS region: set AWS_REGION, or region in the profile")
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsBound)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return cfg, misused("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is given (%w)", err)
	}
	return cfg, nil
}

func newLogger(s streams, level, format string) *zap.Logger {
	if format == "auto" {
		format = "json"
		if isTerminal(s.err) {
			format = "console"
		}
	}
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		parsed = zapcore.InfoLevel
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.ISO8601TimeEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if format == "console" {
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(s.err)), parsed))
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// warnUnknownVariables tells of variables that look meant for us and are read by nothing.
func warnUnknownVariables(log *zap.Logger, environ []string) {
	known := []string{
		"RESCIND_QUEUE_URL", "RESCIND_RESULTS_TOPIC_ARN", "RESCIND_DLQ_URL", "RESCIND_STATE_QUEUE_URL",
		"RESCIND_LEDGER", "RESCIND_NAME", "RESCIND_REGIONS", "RESCIND_ROLE", "RESCIND_POLICY",
		"RESCIND_MAX_IN_FLIGHT", "RESCIND_QUOTAS", "RESCIND_CONFIRM", "RESCIND_PATIENCE", "RESCIND_GIVE_UP",
		"RESCIND_MIN_RECEIVES", "RESCIND_DRAIN", "RESCIND_ADMIN_ADDR", "RESCIND_ADMIN_TOKEN",
		"RESCIND_LOG_LEVEL", "RESCIND_LOG_FORMAT",
	}
	for _, each := range environ {
		name, _, _ := strings.Cut(each, "=")
		if strings.HasPrefix(name, "RESCIND_") && !slices.Contains(known, name) {
			log.Warn("environment variable is read by nothing; misspelt?", zap.String("variable", name))
		}
	}
}
