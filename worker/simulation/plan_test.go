package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
)

// fate is what a target is when the world begins.
type fate string

// The fates. The set is closed.
const (
	alive     fate = "alive"     // may be cancelled, and never ends by itself
	running   fate = "running"   // in a state that the action does not stop
	ended     fate = "ended"     // completed
	cancelled fate = "cancelled" // by somebody else, before
	unknown   fate = "unknown"   // AWS knows no such target
)

// plan is what a seed stands for: everything that is asked for and everything that fails.
type plan struct {
	Seed uint64
	// Ledger is onBolt, one file that all workers share in one process, or onDynamo.
	Ledger string
	// Latency is that of every AWS request.
	Latency time.Duration
	// StopAfter is the time that a target takes to stop.
	StopAfter time.Duration
	// MaxReceives is the queue's maxReceiveCount; GiveUp, where above 0, the workers' own.
	MaxReceives int
	GiveUp      time.Duration
	Patience    time.Duration
	// Chaos is how long things go wrong.
	Chaos    time.Duration
	Rules    []rule
	Quotas   map[string]awssim.Quota
	Outages  []outage
	Slots    [][]life // by worker
	Targets  []target
	Commands []order
}

// The ledgers.
const (
	onBolt   = "bolt"
	onDynamo = "dynamodb"
)

// rule is a rule of awssim.Faults, and of the same form for the shared ledger ("ledger:*").
type rule struct {
	Name                                               string
	Late, Unsent, Broken, Doubtful, Lost, Items, Twice float64
	LateBy                                             time.Duration
}

// outage is a service that answers 503 to everything for a while.
type outage struct {
	Service string
	At, For time.Duration
}

// life is one process of a worker, from its start to its crash or its drain.
type life struct {
	// After is the time between the process before it, or the beginning, and its start.
	After time.Duration
	// Crash is where it dies; nil is nowhere.
	Crash *point
	// Drain is when it is stopped in order; 0 is never.
	Drain time.Duration
	// PauseAt is when it stands still for Pause.
	PauseAt, Pause time.Duration
	// Skew is by how much its clock is ahead, as far as leases go.
	Skew time.Duration
}

// point is a place on the road: before the nth request of an operation is sent, or after it was
// carried out and before its answer came.
type point struct {
	Operation string
	Nth       int
	After     bool
}

// target is one thing to be stopped.
type target struct {
	Service, ID string
	Group       string // EMR's cluster, IoT's job
	Fate        fate
	Shared      bool // more than one command names it
}

// order is one message.
type order struct {
	At   time.Duration
	ID   string
	Body string
	// Targets are indices into the plan's.
	Targets []int
	Kind    kind
	Expires time.Time `json:",omitzero"`
}

// kind says which outcomes an order may have. The set is closed.
type kind string

// The kinds.
const (
	plain   kind = "plain"
	garbage kind = "garbage" // cannot be read
	expires kind = "expires" // has an expiresAt
	dry     kind = "dry"
	foreign kind = "foreign" // for a region that no policy allows
	reuse   kind = "reuse"   // its id stands for another command too
)

// The operations at which a worker may crash: every step of the road is one of them.
var steps = []string{
	"ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessageBatch", "PublishBatch",
	"CancelJobs", "DescribeJobs", "CancelSteps", "ListSteps", "CancelJobExecution", "DescribeJobExecution",
	"RequestCancelWorkflowExecution", "ListOpenWorkflowExecutions", "ListClosedWorkflowExecutions", "CancelDataRepositoryTask", "DescribeDataRepositoryTasks",
	opClaim, opProgress, opRelease, opComplete, opRenew, "PutItem", "UpdateItem", "TransactWriteItems", "GetItem", "BatchWriteItem",
	// The likelier ones once more.
	"ReceiveMessage", "DeleteMessageBatch", "PublishBatch", "CancelJobs", opClaim, opProgress, opComplete, opRelease,
}

// planner draws a plan.
type planner struct {
	*rand.Rand
	plan
}

func newPlan(seed uint64) plan {
	p := &planner{Rand: rand.New(rand.NewPCG(seed, 0x5eed))}
	p.Seed = seed
	p.Ledger = pick(p, onBolt, onDynamo)
	p.Latency = p.between(2*time.Millisecond, 60*time.Millisecond)
	if p.maybe(0.5) {
		p.StopAfter = p.between(0, 20*time.Second)
	}
	p.MaxReceives, p.Patience = 1000, p.between(20*time.Second, 5*time.Minute)
	switch p.IntN(10) {
	case 0:
		p.MaxReceives, p.Patience = pick(p, 2, 3, 4, 14, 20), 20*time.Second // few enough for SQS itself to bury
	case 1:
		p.GiveUp = p.between(2*time.Minute, 20*time.Minute)
	}
	p.Chaos = p.between(2*time.Minute, 12*time.Minute)
	p.fleet()
	p.orders()
	p.faults()
	for range 2 + p.IntN(3) {
		p.Slots = append(p.Slots, p.lives())
	}
	return p.plan
}

func (p *planner) maybe(chance float64) bool { return p.Float64() < chance }

func (p *planner) between(least, most time.Duration) time.Duration {
	return least + time.Duration(p.Int64N(int64(most-least)))
}

func pick[T any](p *planner, of ...T) T { return of[p.IntN(len(of))] }

// fleet makes the targets: mostly such as can be cancelled.
func (p *planner) fleet() {
	for i := range 24 + p.IntN(24) {
		t := target{Service: pick(p, "batch", "batch", "emr", "emr", "emr", "iot", "swf", "fsx"), Fate: alive}
		if p.maybe(0.35) {
			t.Fate = pick(p, running, ended, cancelled, unknown)
		}
		if t.Fate == running && t.Service != "batch" && t.Service != "iot" {
			t.Fate = alive
		}
		switch t.Service {
		case "emr":
			t.ID, t.Group = fmt.Sprintf("s-%013d", i), pick(p, "j-1", "j-2")
		case "iot":
			t.ID, t.Group = fmt.Sprintf("thing-%d", i), "rollout"
		case "fsx":
			t.ID = fmt.Sprintf("task-%017x", i)
		default:
			t.ID = fmt.Sprintf("%s-%d", t.Service, i)
		}
		p.Targets = append(p.Targets, t)
	}
}

// orders makes a command for each target, or for several steps of a cluster, and among them
// copies and all that is refused.
func (p *planner) orders() {
	steps := map[string][]int{}
	for i, t := range p.Targets {
		if t.Service == "emr" && p.maybe(0.7) {
			steps[t.Group] = append(steps[t.Group], i)
			continue
		}
		p.order(fmt.Sprintf("c-%d", i), pick(p, plain, plain, plain, plain, plain, plain, expires, dry, foreign, reuse), i)
	}
	for _, cluster := range []string{"j-1", "j-2"} {
		for all := steps[cluster]; len(all) > 0; {
			n := min(1+p.IntN(8), len(all))
			p.order(fmt.Sprintf("m-%d", all[0]), pick(p, plain, plain, plain, expires), all[:n]...)
			all = all[n:]
		}
	}
	for i, o := range p.Commands {
		switch {
		case o.Kind == plain && p.maybe(0.15): // a second command for the same targets
			for _, t := range o.Targets {
				p.Targets[t].Shared = true
			}
			p.order(fmt.Sprintf("d-%d", i), plain, o.Targets...)
		case p.maybe(0.15): // the same command once more
			again := o
			again.At = p.when()
			p.Commands = append(p.Commands, again)
		}
	}
	for range p.IntN(3) {
		p.Commands = append(p.Commands, order{At: p.when(), Kind: garbage, Body: pick(p,
			`{"id":`, `[]`, `{"id":"x","action":"batch:CancelJob","parameters":{"jobId":""}}`, `{"action":"s3:DeleteBucket","parameters":{}}`,
		)})
	}
}

// when is now for half of the messages, and some time before the end of the chaos for the rest.
func (p *planner) when() time.Duration {
	if p.maybe(0.5) {
		return 0
	}
	return p.between(0, p.Chaos)
}

func (p *planner) order(id string, k kind, targets ...int) {
	o := order{At: p.when(), ID: id, Kind: k, Targets: targets}
	extra := ""
	switch k {
	case expires:
		o.Expires = begin.Add(o.At + p.between(-10*time.Second, 3*time.Minute))
		extra = fmt.Sprintf(`,"expiresAt":%q`, o.Expires.Format(time.RFC3339Nano))
	case dry:
		extra = `,"dryRun":true`
	case foreign:
		extra = `,"region":"eu-north-1"`
	case plain, garbage, reuse:
	}
	o.Body = p.body(id, extra, targets)
	p.Commands = append(p.Commands, o)
	if k == reuse {
		p.Commands = append(p.Commands, order{
			At: p.when(), ID: id, Kind: reuse,
			Body: fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":"other-%s"}}`, id, id),
		})
	}
}

// body writes a command, whose targets are all of one service and group.
func (p *planner) body(id, extra string, targets []int) string {
	t := p.Targets[targets[0]]
	action, parameters := "", ""
	switch t.Service {
	case "batch":
		action, parameters = "batch:CancelJob", fmt.Sprintf(`"jobId":%q,"reason":"over budget, says %s"`, t.ID, id)
	case "emr":
		quoted := make([]string, len(targets))
		for i, at := range targets {
			quoted[i] = fmt.Sprintf("%q", p.Targets[at].ID)
		}
		action, parameters = "emr:CancelSteps", fmt.Sprintf(`"ClusterId":%q,"StepIds":[%s]`, t.Group, strings.Join(quoted, ","))
	case "iot":
		action, parameters = "iot:CancelJobExecution", fmt.Sprintf(`"thingName":%q,"jobId":%q`, t.ID, t.Group)
	case "swf":
		action, parameters = "swf:RequestCancelWorkflowExecution", fmt.Sprintf(`"domain":"d","workflowId":%q`, t.ID)
		if t.Shared || p.maybe(0.5) {
			parameters += `,"runId":"run"`
		}
	case "fsx":
		action, parameters = "fsx:CancelDataRepositoryTask", fmt.Sprintf(`"TaskId":%q`, t.ID)
	}
	return fmt.Sprintf(`{"id":%q,"action":%q,"parameters":{%s}%s}`, id, action, parameters, extra)
}

// faults makes what goes wrong with requests, quotas and services.
func (p *planner) faults() {
	for _, name := range []string{
		"sqs:ReceiveMessage", "sqs:*", "sns:*", "batch:*", "emr:*", "iot:*", "swf:*", "fsx:*", "dynamodb:*", ledgerRule,
	} {
		if p.maybe(0.4) {
			continue
		}
		r := rule{Name: name}
		for _, chance := range []*float64{&r.Late, &r.Unsent, &r.Broken, &r.Doubtful, &r.Lost, &r.Items, &r.Twice} {
			if p.maybe(0.4) {
				*chance = p.Float64() * p.Float64() * 0.5
			}
		}
		r.LateBy = p.between(100*time.Millisecond, 45*time.Second)
		p.Rules = append(p.Rules, r)
	}
	p.Quotas = map[string]awssim.Quota{}
	for _, name := range []string{"batch:CancelJobs", "emr:CancelSteps", "iot:CancelJobExecution", "swf:RequestCancelWorkflowExecution", "fsx:CancelDataRepositoryTask", "batch:*"} {
		if p.maybe(0.4) {
			p.Quotas[name] = awssim.Quota{Rate: 0.05 + p.Float64(), Burst: 1}
		}
	}
	for range p.IntN(3) {
		p.Outages = append(p.Outages, outage{
			Service: pick(p, "sns", "sqs", "batch", "emr", theLedger, theLedger), At: p.between(0, p.Chaos), For: p.between(time.Second, 4*time.Minute),
		})
	}
}

// lives makes what befalls one worker until the end of the chaos.
func (p *planner) lives() []life {
	var all []life
	for range p.IntN(4) {
		l := life{After: p.between(0, 40*time.Second)}
		if p.maybe(0.2) {
			l.PauseAt, l.Pause = p.between(0, time.Minute), p.between(10*time.Second, 4*time.Minute)
		}
		if p.maybe(0.3) {
			l.Skew = p.between(-40*time.Second, 40*time.Second)
		}
		l.Drain = p.between(time.Second, 2*time.Minute)
		if p.maybe(0.7) {
			l.Crash = &point{Operation: pick(p, steps...), Nth: 1 + p.IntN(4), After: p.maybe(0.5)}
			l.Drain += time.Minute // for where it never comes there
		}
		all = append(all, l)
	}
	// What is left until everything is settled: perhaps one more pause.
	last := life{After: p.between(0, 40*time.Second)}
	if p.maybe(0.3) {
		last.PauseAt, last.Pause = p.between(0, time.Minute), p.between(10*time.Second, 4*time.Minute)
	}
	return append(all, last)
}
