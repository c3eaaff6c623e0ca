package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/worker"
)

type demoCmd struct {
	Targets int    `name:"targets" default:"5000" help:"How many targets to cancel (default: ${default})."`
	Seed    uint64 `name:"seed" default:"1" help:"What the fleet and the faults are drawn from."`
	Verbose bool   `name:"verbose" short:"v" help:"Tell on stderr what the worker logs."`
	JSON    bool   `name:"json" help:"Print one JSON value on stdout instead of tables."`
}

// Help is what "rescind demo --help" says besides the flags.
func (*demoCmd) Help() string {
	return `A fleet of Batch jobs, EMR steps, IoT job executions, SWF runs and FSx tasks in mixed states is put
into a simulated AWS with the quotas that AWS publishes, or less, with throttling, 5xx answers and
lost replies. Commands for it go through a queue to a worker, and the outcomes are compared with
what the simulator itself says became of each target. Nothing outside of this machine is called.
Progress is told on stderr.

Exit codes: 0 every command has one outcome and it is true, 1 not so (it says what is wrong), 2 misused.`
}

// stalled is how long a demonstration goes on without a new outcome. A message whose deletion
// was lost comes back after the worker's lease of a minute, but its outcome is there by then.
const stalled = 30 * time.Second

// settleBound is how long the last messages may take to be deleted once their outcomes are
// published: requests of milliseconds, some of which fail and are made again.
const settleBound = 10 * time.Second

// stopsAfter is how long steps and tasks take to stop: longer than a demonstration, so that
// what is accepted is seen not to have stopped.
const stopsAfter = 10 * time.Minute

// demoOptions is an AWS that is in short supply and fails now and then. Quotas are those that
// AWS publishes, by which the worker goes, but two: of these other programs of the account
// spend the most, and the worker must find out that there is less.
func demoOptions(seed uint64) awssim.Options {
	often := awssim.Fault{Broken: 0.08, Doubtful: 0.05, Lost: 0.05, Unsent: 0.02, Items: 0.01}
	seldom := awssim.Fault{Broken: 0.04, Doubtful: 0.01, Lost: 0.02, Unsent: 0.01}
	return awssim.Options{
		Seed: seed, Latency: 5 * time.Millisecond,
		EMR: emr.Options{StopAfter: stopsAfter}, FSx: fsx.Options{StopAfter: stopsAfter},
		Quotas: map[string]awssim.Quota{
			"batch:*":                            {Rate: 12, Burst: 12},  // of 50 a second
			"swf:RequestCancelWorkflowExecution": {Rate: 30, Burst: 100}, // of 2,000 at once
		},
		Faults: awssim.Faults{
			"batch:*":                        {Broken: 0.05},
			"batch:CancelJobs":               often,
			"batch:TerminateJobs":            often,
			"elasticmapreduce:CancelSteps":   {Broken: 0.05, Lost: 0.01},
			"fsx:*":                          seldom,
			"iot:*":                          seldom,
			"swf:*":                          seldom,
			"swf:TerminateWorkflowExecution": {Denied: 1, Match: isProtected},
			"sns:PublishBatch":               {Broken: 0.005, Lost: 0.01},
			"sqs:DeleteMessageBatch":         {Broken: 0.01, Lost: 0.01},
		},
	}
}

// Run shows what Rescind does and whether it is true.
func (c *demoCmd) Run(ctx context.Context, s streams) (err error) {
	if c.Targets < 1 || c.Targets > 1_000_000 {
		return misused("--targets must be from 1 to 1000000, not %d", c.Targets)
	}
	log := zap.NewNop()
	if c.Verbose {
		log = newLogger(s, "info", "console")
	}
	b, err := newBox(ctx, "127.0.0.1:0", demoOptions(c.Seed))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.employ(ctx, worker.Options{Name: "demo", Log: log}); err != nil {
		return err
	}
	d := &demo{box: b, orders: newFleet(b.sim, c.Seed).orders(c.Targets), tally: newTally(), began: time.Now()}
	fmt.Fprintf(s.err, "Sending %d commands for %d targets of %d services to a worker on AWS in a box. Its quotas are those that\n"+
		"AWS publishes, but that most of Batch's and of SWF's burst is taken by others, as the worker will find out.\n",
		len(d.orders), c.Targets, len(parts()))
	stopProgress := d.progress(s)
	err = d.run(ctx)
	stopProgress()
	if err != nil {
		return err
	}
	r := d.report()
	if c.JSON {
		err = printJSON(s.out, r)
	} else {
		r.print(s.out)
	}
	return errors.Join(err, r.verdict())
}

// demo is one demonstration under way.
type demo struct {
	*box
	orders []order
	tally  *tally
	began  time.Time
	// problems are those that are no single outcome's.
	problems []string
}

// run runs the worker for as long as the orders take.
func (d *demo) run(ctx context.Context) error {
	working, stopWorking := context.WithCancelCause(ctx)
	following, stopFollowing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFollowing()
	var work, follow sync.WaitGroup
	var worked, followed error
	work.Go(func() {
		worked = d.worker.Run(working)
		stopWorking(errors.New("the worker ended"))
	})
	follow.Go(func() {
		followed = d.follow(following, d.tally.see)
		stopWorking(errors.New("outcomes are no longer read"))
	})
	err := d.drive(working)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	stopWorking(nil)
	work.Wait()
	stopFollowing()
	follow.Wait()
	return errors.Join(worked, followed, err)
}

// drive sends the orders and waits for their outcomes; some it sends again.
func (d *demo) drive(ctx context.Context) error {
	var all, again []*order
	for i := range d.orders {
		all = append(all, &d.orders[i])
		if d.orders[i].again {
			again = append(again, &d.orders[i])
		}
	}
	if err := d.send(ctx, all); err != nil {
		return err
	}
	err := d.await(ctx, func() bool { n, _ := d.tally.known(); return n >= len(all) })
	if err != nil {
		return err
	}
	told := make([]int, len(again))
	for i, o := range again {
		told[i] = d.tally.times(o.event)
	}
	calls := d.calls()
	if err := d.send(ctx, again); err != nil {
		return err
	}
	err = d.await(ctx, func() bool {
		for i, o := range again {
			if d.tally.times(o.event) == told[i] {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if more := d.calls() - calls; more > 0 {
		d.problems = append(d.problems, fmt.Sprintf("commands that came a second time made %d calls", more))
	}
	return d.awaitEmpty(ctx)
}

// send puts orders on the queue.
func (d *demo) send(ctx context.Context, orders []*order) error {
	group := newPost(ctx, d.sqs, d.queue)
	var mu sync.Mutex
	var failed error
	for _, o := range orders {
		group.Go(letter{body: o.body}, func(p posted) {
			mu.Lock()
			defer mu.Unlock()
			if p.err != nil {
				failed = p.err
				return
			}
			o.sent(p.messageID)
		})
	}
	// Not under ctx: requests end with it, and write to the orders until then.
	_ = group.Wait(context.WithoutCancel(ctx))
	mu.Lock()
	defer mu.Unlock()
	return failed
}

// await waits until done, or until nothing has come for too long: what is wrong is then for
// the report to say.
func (d *demo) await(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for !done() {
		_, last := d.tally.known()
		if last.Before(began) {
			last = began
		}
		if time.Since(last) > stalled {
			d.problems = append(d.problems, fmt.Sprintf("no outcome came for %s", stalled))
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// awaitEmpty waits until every message of the queue was settled.
func (d *demo) awaitEmpty(ctx context.Context) error {
	end := time.Now().Add(settleBound)
	for {
		depth := d.sim.Depth(d.queue)
		left := depth.Visible + depth.InFlight + depth.Delayed
		switch {
		case left == 0:
			return nil
		case time.Now().After(end):
			d.problems = append(d.problems, fmt.Sprintf("%d messages are left on the queue", left))
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// calls counts the requests to control planes so far.
func (d *demo) calls() int64 {
	var n int64
	for name, count := range d.sim.Counts() {
		if isControlPlane(name) {
			n += count.Requests
		}
	}
	return n
}

// isControlPlane is false for what carries the commands and outcomes themselves.
func isControlPlane(operation string) bool {
	service, _, _ := strings.Cut(operation, ":")
	return service != "sqs" && service != "sns" && service != "sts"
}

// progress tells how far it has come until it is stopped: a bar on a terminal, and otherwise a
// line a second.
func (d *demo) progress(s streams) (stop func()) {
	every, terminal := time.Second, isTerminal(s.err)
	if terminal {
		every = 100 * time.Millisecond
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				if terminal {
					fmt.Fprintf(s.err, "\r\x1b[K%s\n", d.far(true))
				}
				return
			case <-tick.C:
			}
			if terminal {
				fmt.Fprintf(s.err, "\r\x1b[K%s", d.far(true))
			} else {
				fmt.Fprintln(s.err, d.far(false))
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// far says how far it has come.
func (d *demo) far(drawn bool) string {
	known, _ := d.tally.known()
	var calls, throttled, broken int64
	for name, c := range d.sim.Counts() {
		if isControlPlane(name) {
			calls += c.Requests
			throttled += c.Throttled
			broken += c.Broken + c.Cut
		}
	}
	text := fmt.Sprintf("%d of %d outcomes, %d calls, %d throttled, %d failed", known, len(d.orders), calls, throttled, broken)
	if drawn {
		return bar(known, len(d.orders)) + " " + text
	}
	return fmt.Sprintf("%3.0fs  %s", time.Since(d.began).Seconds(), text)
}

// wantBuried is how many orders end in the dead-letter queue.
func (d *demo) wantBuried() int {
	n := 0
	for i := range d.orders {
		if d.orders[i].want == handlers.Invalid {
			n++
		}
	}
	return n
}
