package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/demo"
	"github.com/rescindhq/rescind/worker"
)

type devCmd struct {
	Addr     string `name:"addr" default:"127.0.0.1:4566" help:"Address of the AWS endpoint; port 0 is any free port."`
	Admin    string `name:"admin-addr" env:"RESCIND_ADMIN_ADDR" help:"Address of /healthz, /readyz, /metrics and /debug/pprof (default: 127.0.0.1:9464, or a free port)."`
	Jobs     int    `name:"jobs" default:"8" help:"Number of targets of each service to try commands on."`
	Seed     uint64 `name:"seed" default:"1" help:"Seed of the targets' ids."`
	LogLevel string `name:"log-level" env:"RESCIND_LOG_LEVEL" enum:"debug,info,warn,error" default:"warn" help:"debug, info, warn or error."`
	JSON     bool   `name:"json" help:"Print outcomes as JSON on a terminal too."`
}

// Help is printed by "rescind dev --help" above the flags.
func (*devCmd) Help() string {
	return `Serves ` + simulated + ` of account 123456789012 in
us-east-1 on one address, accepts any credentials, and runs a worker on it. It prints what to type
into another terminal. Each outcome published to the topic is printed on stdout, one per line: on a
terminal its time, status, action, target and why it ended so, otherwise the whole event as JSON.
Everything else goes to stderr. All state is lost when it stops, on Ctrl-C or SIGTERM.`
}

// devConfirm is for how long dev's worker looks for proof where a command does not say.
const devConfirm = time.Minute

// Run serves until ctx ends. Then it stops in order: the worker, the outcomes, the endpoint.
func (c *devCmd) Run(ctx context.Context, s streams) error {
	if err := checkJobs(c.Jobs); err != nil {
		return err
	}
	log := newLogger(s, c.LogLevel, "console")
	defer func() { _ = log.Sync() }() // stderr cannot always be synced
	env, err := newEnvironment(ctx, c.Addr, awssim.Options{})
	if err != nil {
		return err
	}
	w, err := env.NewWorker(ctx, worker.Options{Name: "dev", Confirm: devConfirm, Log: log})
	if err != nil {
		return errors.Join(err, env.Close())
	}
	return errors.Join(c.work(ctx, s, env, w, log), env.Close())
}

// work runs the worker until ctx ends, and prints outcomes.
func (c *devCmd) work(ctx context.Context, s streams, env *demo.Environment, w *worker.Worker, log *zap.Logger) error {
	health, err := c.admin(ctx, w, log)
	if err != nil {
		return err
	}
	printEnvironment(screenOf(s.err), env, demo.NewFleet(env.Sim, c.Seed).Samples(c.Jobs), health.address)
	fmt.Fprintf(s.err, "\nHealth: http://%s/readyz\n", health.address)
	fmt.Fprint(s.err, outcomesNote)

	onStop(ctx, func() string {
		return stopping(w.Held(), worker.DefaultDrain) + ", and the simulator ends with all of its state"
	}, "The simulator's state is gone with it; nothing on AWS was touched.")
	working, stopWorking := context.WithCancel(ctx)
	following, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	var follow sync.WaitGroup
	var followErr error
	follow.Go(func() {
		defer stopWorking()
		followErr = printOutcomes(following, env, s.out, c.JSON)
	})
	workErr := w.Run(working)
	stopWorking()
	stopFollowing()
	follow.Wait()
	return errors.Join(workErr, followErr, health.close())
}

// defaultAdmin is the worker's default address of health and metrics.
const defaultAdmin = "127.0.0.1:9464"

// admin serves health and metrics at the address that was asked for, or at the default address, or
// on a free port if that is in use.
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
