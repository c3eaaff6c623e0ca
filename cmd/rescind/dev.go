package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

type devCmd struct {
	Addr     string `name:"addr" default:"127.0.0.1:4566" help:"Address of the AWS endpoint; port 0 is any free one."`
	Admin    string `name:"admin-addr" env:"RESCIND_ADMIN_ADDR" help:"Address of /healthz, /readyz, /metrics and /debug/pprof (default: 127.0.0.1:9464, or a free port)."`
	Jobs     int    `name:"jobs" default:"16" help:"How many targets of each service are put in to try commands on."`
	Seed     uint64 `name:"seed" default:"1" help:"What their ids are drawn from."`
	LogLevel string `name:"log-level" env:"RESCIND_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error."`
}

// Help is what "rescind dev --help" says besides the flags.
func (*devCmd) Help() string {
	return `Serves SQS, SNS, STS and Batch of account 123456789012 in us-east-1 on one address, takes any
credentials, and runs a worker on it. It prints what to type into another terminal. Each outcome
is one line of JSON on stdout; everything else goes to stderr. Everything is in memory and gone
when it ends, which it does in order on Ctrl-C or SIGTERM.`
}

// mostJobs bounds what the banner prints.
const mostJobs = 10_000

// Run serves until ctx ends, and then stops in order: the worker, what it published last, the
// endpoint.
func (c *devCmd) Run(ctx context.Context, s streams) error {
	if c.Jobs < 0 || c.Jobs > mostJobs {
		return misused("--jobs must be from 0 to %d, not %d", mostJobs, c.Jobs)
	}
	log := newLogger(s, c.LogLevel, "console")
	defer func() { _ = log.Sync() }() // stderr cannot always be synced
	b, err := newBox(ctx, c.Addr, awssim.Options{}, worker.Options{Name: "dev", Log: log})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; stop what has it, or choose another address: --addr 127.0.0.1:0 is any free port", err)
	}
	if err != nil {
		return err
	}
	return errors.Join(c.work(ctx, s, b, log), b.close())
}

// work runs the worker until ctx ends, and tells outcomes.
func (c *devCmd) work(ctx context.Context, s streams, b *box, log *zap.Logger) error {
	health, err := c.admin(ctx, b.worker, log)
	if err != nil {
		return err
	}
	fleet := newFleet(b.sim, c.Seed)
	var targets []shown
	for _, p := range parts() {
		targets = append(targets, p.targets(fleet, c.Jobs)...)
	}
	b.banner(s.err, health.address, targets)

	working, stopWorking := context.WithCancel(ctx)
	following, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	var follow sync.WaitGroup
	var followed error
	follow.Go(func() {
		defer stopWorking()
		followed = b.follow(following, func(event string) error {
			if _, err := fmt.Fprintln(s.out, event); err != nil {
				return fmt.Errorf("writing an outcome: %w", err)
			}
			return nil
		})
	})
	worked := b.worker.Run(working)
	stopWorking()
	stopFollowing()
	follow.Wait()
	return errors.Join(worked, followed, health.close())
}

// defaultAdmin is where a worker's health and metrics are looked for.
const defaultAdmin = "127.0.0.1:9464"

// admin serves health and metrics where asked, or else at the usual address, or a free one.
func (c *devCmd) admin(ctx context.Context, w *worker.Worker, log *zap.Logger) (*admin, error) {
	if c.Admin != "" {
		return serveAdmin(ctx, c.Admin, w, log)
	}
	a, err := serveAdmin(ctx, defaultAdmin, w, log)
	if err != nil {
		a, err = serveAdmin(ctx, "127.0.0.1:0", w, log)
	}
	return a, err
}

// banner says what there is, and what to type.
func (b *box) banner(w io.Writer, health string, targets []shown) {
	fmt.Fprintf(w, `AWS in a box, with a worker on it: account 123456789012, us-east-1, any credentials.

  endpoint  %s
  queue     %s
  buried    %s
  topic     %s
  health    http://%s/readyz

`, b.url, b.queue, b.buried, b.topic, health)
	rows := [][]string{{"target", "state", "try"}, nil}
	for _, t := range targets {
		rows = append(rows, []string{t.id, t.state, t.action})
	}
	if len(targets) > 0 {
		table(w, len(rows[0]), rows)
		t := targets[0]
		// Version 1 of the aws CLI reads neither AWS_ENDPOINT_URL nor AWS_REGION, and would go
		// to AWS itself; the flag and AWS_DEFAULT_REGION hold for every version.
		const keys = "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1"
		fmt.Fprintf(w, `
In another terminal, with the aws CLI:

  `+keys+` \
    aws --endpoint-url %s sqs send-message --queue-url %s \
    --message-body '{"action":%q,"parameters":{%q:%q},"reason":"trying it out"}'

or with rescind itself:

  AWS_ENDPOINT_URL=%s `+keys+` \
    rescind send --queue-url %s --action %s -p %s=%s --reason "trying it out"
`, b.url, b.queue, t.action, t.parameter, t.id, b.url, b.queue, t.action, t.parameter, t.id)
	}
	fmt.Fprint(w, "\nOutcomes come on stdout, one line each. Ctrl-C stops.\n\n")
}
