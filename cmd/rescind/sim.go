package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
)

type simCmd struct {
	Addr    string        `name:"addr" default:"127.0.0.1:4566" help:"Address of the AWS endpoint; port 0 is any free one."`
	Jobs    int           `name:"jobs" default:"8" help:"How many targets of each service are put in."`
	Seed    uint64        `name:"seed" default:"1" help:"What their ids are drawn from."`
	Latency time.Duration `name:"latency" default:"0s" help:"How long every request takes."`
}

// Help is what "rescind sim --help" says besides the flags.
func (*simCmd) Help() string {
	return `Serves SQS, SNS, STS, Batch, EMR, FSx, IoT and SWF of account 123456789012 in us-east-1 on one
address and takes any credentials: AWS in a box, for compose files and other people's tests. There
is a queue of commands with its dead-letter queue, a topic of outcomes, and the fleet of "rescind
dev"; the quotas are those that AWS publishes. What is published to the topic is told on stdout, a
line each; everything else goes to stderr. Everything is in memory and gone when it ends, which it
does on Ctrl-C or SIGTERM.`
}

// Run serves until ctx ends.
func (c *simCmd) Run(ctx context.Context, s streams) error {
	if err := checkJobs(c.Jobs); err != nil {
		return err
	}
	if c.Latency < 0 {
		return misused("--latency must not be negative, not %s", c.Latency)
	}
	// Not the seed of the fleet, by which message ids would be the same after every start: a
	// worker whose ledger outlives the box would take new messages for those that it knows.
	b, err := newBox(ctx, c.Addr, awssim.Options{Seed: rand.Uint64(), Latency: c.Latency})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "AWS in a box: account 123456789012, us-east-1, any credentials.\n\n")
	b.banner(s.err, newFleet(b.sim, c.Seed).shown(c.Jobs))
	fmt.Fprintf(s.err, "\nOutcomes come on stdout, one line each. Ctrl-C stops.\n\n")
	return errors.Join(b.tell(ctx, s.out), b.close())
}
