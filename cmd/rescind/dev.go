package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

type devCmd struct {
	Addr     string `name:"addr" default:"127.0.0.1:4566" help:"Address of the AWS endpoint; port 0 is any free one."`
	Admin    string `name:"admin-addr" env:"RESCIND_ADMIN_ADDR" help:"Address of /healthz, /readyz, /metrics and /debug/pprof (default: 127.0.0.1:9464, or a free port)."`
	Jobs     int    `name:"jobs" default:"8" help:"How many targets of each service are put in to try commands on."`
	Seed     uint64 `name:"seed" default:"1" help:"What their ids are drawn from."`
	LogLevel string `name:"log-level" env:"RESCIND_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error."`
}

// Help is what "rescind dev --help" says besides the flags.
func (*devCmd) Help() string {
	return `Serves SQS, SNS, STS, Batch, EMR, FSx, IoT and SWF of account 123456789012 in us-east-1 on one address, takes any
credentials, and runs a worker on it. It prints what to type into another terminal. Each outcome
is one line of JSON on stdout; everything else goes to stderr. Everything is in memory and gone
when it ends, which it does in order on Ctrl-C or SIGTERM.`
}

// mostJobs bounds what the banner prints.
const mostJobs = 10_000

// Run serves until ctx ends, and then stops in order: the worker, what it published last, the
// endpoint.
func (c *devCmd) Run(ctx context.Context, s streams) error {
	if err := checkJobs(c.Jobs); err != nil {
		return err
	}
	log := newLogger(s, c.LogLevel, "console")
	defer func() { _ = log.Sync() }() // stderr cannot always be synced
	b, err := newBox(ctx, c.Addr, awssim.Options{})
	if err != nil {
		return err
	}
	if err := b.employ(ctx, worker.Options{Name: "dev", Log: log}); err != nil {
		return errors.Join(err, b.close())
	}
	return errors.Join(c.work(ctx, s, b, log), b.close())
}

func checkJobs(jobs int) error {
	if jobs < 0 || jobs > mostJobs {
		return misused("--jobs must be from 0 to %d, not %d", mostJobs, jobs)
	}
	return nil
}

// work runs the worker until ctx ends, and tells outcomes.
func (c *devCmd) work(ctx context.Context, s streams, b *box, log *zap.Logger) error {
	health, err := c.admin(ctx, b.worker, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "AWS in a box, with a worker on it: account 123456789012, us-east-1, any credentials.\n\n")
	b.banner(s.err, newFleet(b.sim, c.Seed).shown(c.Jobs))
	fmt.Fprintf(s.err, "\nHealth: http://%s/readyz\n", health.address)
	fmt.Fprint(s.err, "Outcomes come on stdout, one line each. Ctrl-C stops.\n\n")

	working, stopWorking := context.WithCancel(ctx)
	following, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	var follow sync.WaitGroup
	var followed error
	follow.Go(func() {
		defer stopWorking()
		followed = b.tell(following, s.out)
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
