package simulation

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
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
	Chaos   time.Duration
	Rules   []rule
	Quotas  map[string]awssim.Quota
	Outages []outage
	// Failures are what else the simulator's requests meet, and when.
	Failures []failure
	// Keys is how long the keys live that the workers' own credential endpoint gives out, Endpoint
	// when it gives none. Endpoint is empty, and the keys last, in most plans.
	Keys     time.Duration
	Endpoint []noKeys
	// Accounts are others than the workers' own, in which they assume a role.
	Accounts []string
	// RefuseEnded: Step Functions refuses to stop what has ended, and does not answer as for what
	// runs.
	RefuseEnded bool
	Slots       [][]life // by worker
	Targets     []target
	Commands    []order
	// Events says how AWS's own events come in; nil: nobody has them sent.
	Events *events `json:",omitempty"`
}

// The ledgers.
const (
	onBolt   = "bolt"
	onDynamo = "dynamodb"
)

// rule is a rule of awssim.Faults, and of the same form for the shared ledger ("ledger:*").
type rule struct {
	Name                                                        string
	Late, Unsent, Broken, Denied, Doubtful, Lost, Items, Twice  float64
	Middlebox, MiddleboxAfter, Refused, NoAnswer, NoAnswerAfter float64
	Stale                                                       float64 // reads show what was true StaleBy ago
	LateBy, StaleBy                                             time.Duration
}

// staleMost is the most by which reads are late to show what was done: jobs were seen to be missing
// from DescribeJobs for one to five seconds.
const staleMost = 6 * time.Second

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
	// Deaf: it is not told of the state queue.
	Deaf bool `json:",omitzero"`
	// Skew is by how much its clock is ahead, as far as leases go.
	Skew time.Duration
}

// point is a point of the path: before the nth request of a stage is sent, or after it was
// carried out and before its answer came.
type point struct {
	Stage      string
	Operations []string // the stage's
	Nth        int
	After      bool
}

// stage is a step of the path as the world outside sees it: the operations that it is taken by.
type stage struct {
	name       string
	operations []string
	// weight makes up for how rarely a worker comes there, so that crashes at every stage are met
	// about evenly.
	weight int
}

// stages are those at which a worker may crash.
var stages = []stage{
	{"receive", []string{"ReceiveMessage"}, 2},
	{"claim", []string{opClaim}, 2},
	{"resolve", []string{"ListOpenWorkflowExecutions", "ListClosedWorkflowExecutions"}, 6},
	{"begin", []string{opProgress}, 2},
	{"cancel", slices.Sorted(maps.Values(calling)), 2},
	{"read", slices.Compact(slices.Sorted(maps.Values(reading))), 3},
	{"renew", []string{opRenew}, 4},
	{"release", []string{opRelease}, 12},
	{"complete", []string{opComplete}, 2},
	{"publish", []string{"PublishBatch"}, 2},
	{"delete", []string{"DeleteMessageBatch"}, 4},
	{"hide or show", []string{"ChangeMessageVisibilityBatch"}, 3},
	{"defer or dead-letter", []string{"SendMessageBatch"}, 7},
}

// inDynamo is what is a stage where the ledger is on DynamoDB.
var inDynamo = []stage{
	{"ledger's write", []string{"PutItem", "UpdateItem", "TransactWriteItems"}, 3},
	{"ledger's targets", []string{"BatchWriteItem"}, 9},
	{"ledger's read", []string{"GetItem"}, 13},
}

// planes are the services that commands are about, by the simulator's names.
var planes = []string{"batch", "elasticmapreduce", "iot", "swf", "fsx", "states"}

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
		p.MaxReceives, p.Patience = pick(p, 3, 4, 14, 20), 20*time.Second // few enough to be used up
	case 1:
		p.GiveUp = p.between(2*time.Minute, 20*time.Minute)
	}
	p.Chaos = p.between(2*time.Minute, 12*time.Minute)
	p.RefuseEnded = p.maybe(0.5)
	if p.maybe(0.3) {
		p.Accounts = []string{"111111111111", "222222222222"}
	}
	p.fleet()
	p.orders()
	p.calm()
	p.faults()
	p.foul()
	for range 2 + p.IntN(3) {
		p.Slots = append(p.Slots, p.lives())
	}
	p.events()
	return p.plan
}

func (p *planner) maybe(chance float64) bool { return p.Float64() < chance }

func (p *planner) between(least, most time.Duration) time.Duration {
	return least + time.Duration(p.Int64N(int64(most-least)))
}

func pick[T any](p *planner, of ...T) T { return of[p.IntN(len(of))] }

// faults makes what goes wrong with requests, quotas and services.
func (p *planner) faults() {
	for _, name := range []string{
		"sqs:ReceiveMessage", "sqs:*", "sns:*", "batch:*", "elasticmapreduce:*", "iot:*", "swf:*", "fsx:*", "states:*", "dynamodb:*", ledgerRule,
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
		if p.maybe(0.2) {
			r.Denied = p.Float64() * 0.2 // rare, since it is final
		}
		if p.maybe(0.4) {
			for _, chance := range []*float64{&r.Middlebox, &r.MiddleboxAfter, &r.Refused, &r.NoAnswer, &r.NoAnswerAfter} {
				if p.maybe(0.4) {
					*chance = p.Float64() * p.Float64() * 0.3
				}
			}
		}
		if p.maybe(0.4) {
			r.Stale, r.StaleBy = p.Float64(), p.between(200*time.Millisecond, staleMost)
		}
		r.LateBy = p.between(100*time.Millisecond, 45*time.Second)
		p.Rules = append(p.Rules, r)
	}
	p.Quotas = map[string]awssim.Quota{}
	for _, name := range []string{
		"batch:CancelJobs", "batch:TerminateJobs", "elasticmapreduce:CancelSteps", "iot:CancelJobExecution", "iot:CancelJob",
		"swf:RequestCancelWorkflowExecution", "swf:TerminateWorkflowExecution", "fsx:CancelDataRepositoryTask", "states:StopExecution", "batch:*",
	} {
		if p.maybe(0.4) {
			p.Quotas[name] = awssim.Quota{Rate: 0.05 + p.Float64(), Burst: 1}
		}
	}
	for range p.IntN(3) {
		p.Outages = append(p.Outages, outage{
			Service: pick(p, "sns", "sqs", theLedger, theLedger), At: p.between(0, p.Chaos), For: p.between(time.Second, 4*time.Minute),
		})
	}
	if p.maybe(0.6) {
		p.Outages = append(p.Outages, outage{Service: pick(p, planes...), At: p.between(0, time.Minute), For: p.between(5*time.Second, 4*time.Minute)})
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
		if p.maybe(0.8) {
			l.Crash = p.crash()
			l.Drain += time.Minute // for where it never comes there
			if l.Crash.Stage == "release" {
				l.Crash.Nth, l.Drain = 1, p.between(time.Second, 15*time.Second) // which releases what waits
			}
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

// stage draws one of stages by their weights.
func (p *planner) stage(of []stage) stage {
	var weighed []stage
	for _, s := range of {
		weighed = append(weighed, slices.Repeat([]stage{s}, s.weight)...)
	}
	return pick(p, weighed...)
}

// crash draws where a process dies.
func (p *planner) crash() *point {
	possible := stages
	if p.Ledger == onDynamo {
		possible = slices.Concat(stages, inDynamo)
	}
	at := p.stage(possible)
	c := &point{Stage: at.name, Operations: at.operations, Nth: 1, After: p.maybe(0.5)}
	if p.maybe(0.5) {
		c.Nth += p.IntN(4)
	}
	return c
}
