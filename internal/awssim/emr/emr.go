// Package emr simulates Amazon EMR as far as cancelling steps goes: clusters of a
// release, their steps, the call that cancels steps and the calls that read them. States,
// reasons, bounds and what each release can cancel are those of internal/facts.
package emr

import (
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
	"github.com/rescindhq/rescind/internal/awssim/service"
)

// State is the state of a step. The set is closed.
type State string

// The states, as facts/aws.json lists them.
const (
	Pending       State = "PENDING"
	CancelPending State = "CANCEL_PENDING"
	Running       State = "RUNNING"
	Completed     State = "COMPLETED"
	Cancelled     State = "CANCELLED"
	Failed        State = "FAILED"
	Interrupted   State = "INTERRUPTED"
)

// States lists all of them, in the order of facts/aws.json.
func States() []State {
	return []State{Pending, CancelPending, Running, Completed, Cancelled, Failed, Interrupted}
}

// Ended reports whether a step in this state changes no more.
func (s State) Ended() bool {
	switch s {
	case Completed, Cancelled, Failed, Interrupted:
		return true
	case Pending, CancelPending, Running:
	}
	return false
}

// Options say how steps behave.
type Options struct {
	// StopAfter is the time from a cancel that takes effect to CANCELLED; 0 is at once. What
	// AWS takes is not documented.
	StopAfter time.Duration
}

// Cluster is one cluster, as put in from outside.
type Cluster struct {
	// ID names it within its account and region; those default to the simulator's own.
	ID              string
	Account, Region string
	// Name defaults to "cluster".
	Name string
	// Release is the release label, which decides what CancelSteps can cancel; default is
	// "emr-7.12.0", which cancels PENDING and RUNNING steps.
	Release string
	// State defaults to WAITING: the simulator changes it by itself never.
	State string
	// Created defaults to now.
	Created time.Time
	Tags    map[string]string
}

// Step is one step, as put in from outside or as it stands.
type Step struct {
	// ID names it; Cluster is the cluster it runs on, which is made where there is none yet.
	// Account and Region default to the simulator's own.
	ID, Cluster     string
	Account, Region string
	// Name defaults to "step".
	Name string
	// State defaults to PENDING.
	State State
	// Stubborn: once it is RUNNING it ignores SEND_INTERRUPT, and stops by TERMINATE_PROCESS
	// alone.
	Stubborn bool
	// Created defaults to now; Started and Ended are zero where that has not happened.
	Created, Started, Ended time.Time
	// Then is what will become of it by itself, unless it is cancelled before.
	Then []Change
}

// Change is a change of state to come.
type Change struct {
	After time.Duration // from the change before, or from when the step was put in
	State State
}

// EMR is all clusters of all accounts and regions. Its methods are safe for concurrent use.
type EMR struct {
	seed    uint64
	options Options
	bus     *eventbridge.Bus

	mu       sync.Mutex
	clusters map[key]*cluster
	order    []*cluster        // in the order in which they were put in
	names    map[string]uint32 // how many steps of a name AddJobFlowSteps made
}

// key names a cluster.
type key struct{ account, region, id string }

// New returns EMR with no cluster. The seed decides what step ids are; changes of state go to the bus, which may
// be nil.
func New(seed uint64, o Options, bus *eventbridge.Bus) *EMR {
	return &EMR{seed: seed, options: o, bus: bus, clusters: map[key]*cluster{}, names: map[string]uint32{}}
}

// Service says how EMR is called. Throttling is the common answer, 400 ThrottlingException
// "Rate exceeded" (facts/aws.json: emr.throttle).
func (e *EMR) Service() *service.Service {
	return &service.Service{
		Name: "elasticmapreduce", Protocol: service.JSON11, Target: "ElasticMapReduce",
		// The first is documented for the calls that change something, the second for those
		// that read; here either may meet either.
		Broken: []*service.Error{
			{Status: 400, Code: "InternalServerError", Message: "An error occurred while processing the request and the request was not completed."},
			{Status: 500, Code: "InternalServerException", Message: "An internal error occurred."},
			{Status: 503, Code: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server."},
		},
		// A step's answer has no code, but a reason; none is documented for a passing error.
		ItemErrors: []*service.Error{{Code: "FAILED", Message: "An internal error occurred while cancelling the step."}},
		Operations: map[string]service.Operation{
			"CancelSteps":     service.JSON(cancelItems, e.cancelSteps),
			"ListSteps":       service.JSON(listItems, e.listSteps),
			"DescribeStep":    service.JSON(describeItems, e.describeStep),
			"ListClusters":    service.JSON(nil, e.listClusters),
			"DescribeCluster": service.JSON(clusterItems, e.describeCluster),
			"AddJobFlowSteps": service.JSON(addItems, e.addSteps),
			// What the aws CLI's "emr describe-cluster" asks for beside the cluster.
			"ListInstanceGroups":   service.JSON(clusterItems, e.listNone),
			"ListBootstrapActions": service.JSON(clusterItems, e.listNone),
		},
	}
}

// refuse is EMR's refusal of a request; what it says is not documented.
func refuse(format string, args ...any) error {
	return service.Refuse("InvalidRequestException", format, args...)
}
