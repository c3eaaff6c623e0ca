// Package batch simulates AWS Batch as far as stopping jobs goes: jobs in their states,
// the calls that cancel and terminate them one by one and in bulk, and the calls that read
// them. States and bounds are those of internal/facts.
package batch

import (
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
	"github.com/rescindhq/rescind/internal/awssim/service"
)

// State is the state of a job. The set is closed.
type State string

// The states, as facts/aws.json lists them.
const (
	Submitted State = "SUBMITTED"
	Pending   State = "PENDING"
	Runnable  State = "RUNNABLE"
	Starting  State = "STARTING"
	Running   State = "RUNNING"
	Succeeded State = "SUCCEEDED"
	Failed    State = "FAILED"
)

// States lists all of them, in the order of a job's life.
func States() []State {
	return []State{Submitted, Pending, Runnable, Starting, Running, Succeeded, Failed}
}

// Ended reports whether a job in this state changes no more.
func (s State) Ended() bool { return s == Succeeded || s == Failed }

// cancellable reports whether CancelJob stops a job in this state; TerminateJob stops any
// that has not ended.
func (s State) cancellable() bool { return s == Submitted || s == Pending || s == Runnable }

// Options say how jobs behave.
type Options struct {
	// StopAfter is the time from a cancel or terminate that takes effect to FAILED; 0 is at
	// once. What AWS takes is not documented, but for PENDING jobs, which wait for what they
	// depend on.
	StopAfter time.Duration
	// Waiting is the time after which a job of SubmitJob goes from SUBMITTED to RUNNABLE, where
	// it remains; 0 is a second.
	Waiting time.Duration
}

// Job is one job, as put in from outside or as it stands.
type Job struct {
	// ID names it within its account and region; those default to the simulator's own.
	ID              string
	Account, Region string
	// Name, Queue and Definition default to "job", "default" and "default:1".
	Name, Queue, Definition string
	// Share is the share identifier of a job in a queue with fair-share scheduling.
	Share string
	// State defaults to RUNNABLE.
	State State
	// Reason is the statusReason that DescribeJobs returns.
	Reason string
	// Cancelled and Terminated are the flags of a request that was accepted.
	Cancelled, Terminated bool
	// Created defaults to now; Started and Stopped are zero where that has not happened.
	Created, Started, Stopped time.Time
	// Then is what will become of it by itself, unless it is stopped before.
	Then []Change
	// Parent is the id of the array job that it is a child of, which must be there already.
	// A parent is PENDING until all its children have ended, whatever State says.
	Parent string
}

// Change is a change of state to come.
type Change struct {
	After  time.Duration // from the change before, or from when the job was put in
	State  State
	Reason string // the statusReason from then on; "" leaves it
}

// Batch is all jobs of all accounts and regions. Its methods are safe for concurrent use.
type Batch struct {
	seed    uint64
	options Options
	bus     *eventbridge.Bus

	mu    sync.Mutex
	jobs  map[key]*job
	lists map[location][]*job // in the order in which they were put in
	names map[string]uint32

	queues   map[location][]string // in the order in which jobs named them
	known    map[queueKey]bool     // those in queues
	disabled map[queueKey]bool
}

type (
	location struct{ account, region string }
	key      struct {
		location
		id string
	}
	queueKey struct {
		location
		name string
	}
)

// job is a Job with its next change dated. Its state is brought up to date by advance, and
// by nothing else: there is no timer.
type job struct {
	Job
	owner    *Batch
	next     time.Time // when Then[0] is due; zero for never
	past     service.Past[Job]
	children []*job
}

// New returns Batch with no job. The seed decides what job ids are; changes of state go to the bus, which may
// be nil.
func New(seed uint64, o Options, bus *eventbridge.Bus) *Batch {
	if o.Waiting == 0 {
		o.Waiting = time.Second
	}
	return &Batch{seed: seed, options: o, bus: bus, jobs: map[key]*job{}, lists: map[location][]*job{}, names: map[string]uint32{},
		queues: map[location][]string{}, known: map[queueKey]bool{}, disabled: map[queueKey]bool{}}
}

// Service says how Batch is called.
func (b *Batch) Service() *service.Service {
	return &service.Service{
		Name: "batch", Protocol: service.REST,
		// facts/aws.json: batch.throttle.
		Throttled: &service.Error{Status: 429, Code: "TooManyRequestsException", Message: "Too Many Requests"},
		Broken: []*service.Error{
			{Status: 500, Code: "ServerException", Message: "An internal error has occurred. Retry the request."},
			{Status: 503, Code: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server."},
		},
		// The codes of errors[] that ask for a retry (API_CancelJobsErrorDetail).
		ItemErrors: []*service.Error{
			{Code: "ThrottlingException", Message: "The request was throttled. Retry the request."},
			{Code: "ServerException", Message: "An internal error occurred. Retry the request."},
		},
		Operations: map[string]service.Operation{
			"CancelJob":         service.Post("/v1/canceljob", oneItem, b.stopOne(cancel)),
			"TerminateJob":      service.Post("/v1/terminatejob", oneItem, b.stopOne(terminate)),
			"CancelJobs":        service.Post("/v1/canceljobs", bulkItems, b.stopBulk(cancel)),
			"TerminateJobs":     service.Post("/v1/terminatejobs", bulkItems, b.stopBulk(terminate)),
			"DescribeJobs":      service.Post("/v1/describejobs", describeItems, b.describeJobs),
			"ListJobs":          service.Post("/v1/listjobs", nil, b.listJobs),
			"DescribeJobQueues": service.Post("/v1/describejobqueues", nil, b.describeQueues),
			"UpdateJobQueue":    service.Post("/v1/updatejobqueue", nil, b.updateQueue),
			"SubmitJob":         service.Post("/v1/submitjob", submitItems, b.submitJob),
		},
	}
}

// refuse is Batch's refusal of a request; what it says is not documented.
func refuse(format string, args ...any) error {
	return service.Refuse("ClientException", format, args...)
}
