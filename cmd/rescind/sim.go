package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/demo"
)

type simCmd struct {
	Addr    string        `name:"addr" default:"127.0.0.1:4566" help:"Address of the AWS endpoint; port 0 is any free port."`
	Jobs    int           `name:"jobs" default:"8" help:"Number of targets of each service to try commands on."`
	Seed    uint64        `name:"seed" default:"1" help:"Seed of the targets' ids."`
	Latency time.Duration `name:"latency" default:"0s" help:"Time that every request takes."`
	JSON    bool          `name:"json" help:"Print outcomes as JSON on a terminal too."`
}

// Help is printed by "rescind sim --help" above the flags.
func (*simCmd) Help() string {
	return `Serves ` + simulated + ` of account 123456789012 in
us-east-1 on one address and accepts any credentials. It has a queue of commands with a dead-letter
queue, a topic for outcomes, and the targets that "rescind dev" has. Quotas are those that AWS
publishes. No worker runs: start one with AWS_ENDPOINT_URL. Each outcome published to the topic is
printed on stdout, one per line: on a terminal its time, status, action, target and why it ended so,
otherwise the whole event as JSON. Everything else goes to stderr. All state is lost when it stops, on
Ctrl-C or SIGTERM.`
}

// Run serves until ctx ends.
func (c *simCmd) Run(ctx context.Context, s streams) error {
	if err := checkJobs(c.Jobs); err != nil {
		return err
	}
	if c.Latency < 0 {
		return misused("--latency must not be negative, not %s", c.Latency)
	}
	// The simulator derives message ids from its seed. They must differ after every start: a worker
	// whose ledger outlives the simulator would take new messages for ones that it knows.
	env, err := newEnvironment(ctx, c.Addr, awssim.Options{Seed: rand.Uint64(), Latency: c.Latency})
	if err != nil {
		return err
	}
	printEnvironment(screenOf(s.err), env, demo.NewFleet(env.Sim, c.Seed).Samples(c.Jobs), "")
	fmt.Fprint(s.err, outcomesNote)
	return errors.Join(printOutcomes(ctx, env, s.out, c.JSON), env.Close())
}
