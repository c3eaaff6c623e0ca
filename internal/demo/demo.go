package demo

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/worker"
)

// Options are those of a demo.
type Options struct {
	// Targets is the number of targets; at least 1.
	Targets int
	// Seed decides the fleet and the faults.
	Seed uint64
	// Log receives what the worker logs.
	Log *zap.Logger
}

// Demo is one run of a worker on a fleet. Make it with New, run it once, and close it.
type Demo struct {
	env      *Environment
	worker   *worker.Worker
	commands []command
	outcomes *collector
	shares   map[string]int // number of commands by service
	began    time.Time
	// problems are those that belong to no single outcome.
	problems []string
}

// Progress says how far a demo is.
type Progress struct {
	// Services has each service that is cancelled in, in the order of Services, without those that the
	// fleet has no commands for.
	Services []ServiceProgress
	Elapsed  time.Duration
}

// ServiceProgress says how far the commands for one service are.
type ServiceProgress struct {
	Name               string
	Commands, Outcomes int // sent in all, and with an outcome
	// Calls is the number of requests to the service. Throttled of them were throttled; Failed of them
	// were answered with a 5xx or not at all. The worker makes both again.
	Calls, Throttled, Failed int64
}

// Total returns the sum of all services.
func (p Progress) Total() ServiceProgress {
	total := ServiceProgress{Name: "total"}
	for _, s := range p.Services {
		total.Commands += s.Commands
		total.Outcomes += s.Outcomes
		total.Calls += s.Calls
		total.Throttled += s.Throttled
		total.Failed += s.Failed
	}
	return total
}

// New starts the environment and makes the worker and the fleet.
func New(ctx context.Context, o Options) (*Demo, error) {
	env, err := NewEnvironment(ctx, "127.0.0.1:0", simulatorOptions(o.Seed))
	if err != nil {
		return nil, err
	}
	w, err := env.NewWorker(ctx, worker.Options{Name: "demo", Confirm: confirm, Log: o.Log})
	if err != nil {
		return nil, errors.Join(err, env.Close())
	}
	commands := NewFleet(env.Sim, o.Seed).commands(o.Targets)
	d := &Demo{env: env, worker: w, commands: commands, outcomes: newCollector(), shares: map[string]int{}, began: time.Now()}
	for i := range commands {
		d.shares[commands[i].service]++
		if commands[i].eventID != "" {
			d.outcomes.expect(commands[i].eventID, commands[i].service)
		}
	}
	return d, nil
}

// Close ends the environment. Call it after Run has returned.
func (d *Demo) Close() error { return d.env.Close() }

// Progress returns how far the demo is. It may be called while Run runs.
func (d *Demo) Progress() Progress {
	p := Progress{Elapsed: time.Since(d.began)}
	counts := d.env.Sim.Counts()
	for _, s := range services() {
		one := ServiceProgress{Name: s.name, Commands: d.shares[s.name], Outcomes: d.outcomes.endedOf(s.name)}
		if one.Commands == 0 {
			continue
		}
		for name, c := range counts {
			if service, _, _ := strings.Cut(name, ":"); service == cmp.Or(s.api, s.name) {
				one.Calls += c.Requests
				one.Throttled += c.Throttled
				one.Failed += c.Broken + c.Cut
			}
		}
		p.Services = append(p.Services, one)
	}
	return p
}

// Run sends the commands, runs the worker until each has its outcome, and checks the outcomes. An
// error means that the demo did not finish; what is wrong with the outcomes is in the report.
func (d *Demo) Run(ctx context.Context) (*Report, error) {
	working, stopWorking := context.WithCancelCause(ctx)
	following, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	var work, follow sync.WaitGroup
	var workErr, followErr error
	work.Go(func() {
		workErr = d.worker.Run(working)
		stopWorking(errors.New("the worker ended"))
	})
	follow.Go(func() {
		followErr = d.env.Follow(following, d.outcomes.add)
		stopWorking(errors.New("outcomes are no longer received"))
	})
	err := d.drive(working)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	stopWorking(nil)
	work.Wait()
	stopFollowing()
	follow.Wait()
	if err := errors.Join(workErr, followErr, err); err != nil {
		return nil, err
	}
	return d.report(), nil
}

const (
	// stopAfter is how long steps and tasks take to stop.
	stopAfter = 3 * time.Second
	// confirm is for how long the worker looks for proof: longer than all take to stop that are going to.
	confirm = 20 * time.Second
	// escalateAfter is when the stronger action is taken of those that are asked for and have not stopped.
	escalateAfter = "4s"
)

// simulatorOptions make an AWS that throttles and fails now and then. Two quotas are lower than
// those that AWS publishes, which the worker starts with, as if other programs of the account used
// the rest: the worker must find out.
func simulatorOptions(seed uint64) awssim.Options {
	often := awssim.Fault{Broken: 0.08, Doubtful: 0.05, Lost: 0.05, Unsent: 0.02, Items: 0.01}
	seldom := awssim.Fault{Broken: 0.04, Doubtful: 0.01, Lost: 0.02, Unsent: 0.01}
	return awssim.Options{
		Seed: seed, Latency: 5 * time.Millisecond,
		EMR: emr.Options{StopAfter: stopAfter}, FSx: fsx.Options{StopAfter: stopAfter},
		// Whether it refuses is not documented. Where it does not, what has ended is reported as accepted.
		StepFunctions: stepfunctions.Options{RefuseEnded: true},
		Quotas: map[string]awssim.Quota{
			"batch:*":                            {Rate: 12, Burst: 12},  // AWS: 50 a second
			"swf:RequestCancelWorkflowExecution": {Rate: 30, Burst: 100}, // AWS: a burst of 2,000
		},
		Faults: awssim.Faults{
			"batch:*":                        {Broken: 0.05},
			"batch:CancelJobs":               often,
			"batch:TerminateJobs":            often,
			"elasticmapreduce:CancelSteps":   {Broken: 0.05, Lost: 0.01},
			"fsx:*":                          seldom,
			"iot:*":                          seldom,
			"states:*":                       seldom,
			"swf:*":                          seldom,
			"swf:TerminateWorkflowExecution": {Denied: 1, Match: isProtected},
			"sns:PublishBatch":               {Broken: 0.005, Lost: 0.01},
			"sqs:DeleteMessageBatch":         {Broken: 0.01, Lost: 0.01},
		},
	}
}
