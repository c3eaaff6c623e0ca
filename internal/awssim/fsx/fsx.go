// Package fsx simulates Amazon FSx as far as cancelling data repository tasks goes:
// tasks in their states, the call that cancels one and the call that reads them. States and
// bounds are those of internal/facts. AWS publishes no rate for these calls: the simulator has none
// unless it is asked for.
package fsx

import (
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// State is the lifecycle of a task. The set is closed.
type State string

// The states, as facts/aws.json lists them.
const (
	Pending   State = "PENDING"
	Executing State = "EXECUTING"
	Failed    State = "FAILED"
	Succeeded State = "SUCCEEDED"
	Canceled  State = "CANCELED"
	Canceling State = "CANCELING"
)

// States lists all of them, in the order of facts/aws.json.
func States() []State {
	return []State{Pending, Executing, Failed, Succeeded, Canceled, Canceling}
}

// Ended reports whether a task in this state changes no more.
func (s State) Ended() bool {
	switch s {
	case Failed, Succeeded, Canceled:
		return true
	case Pending, Executing, Canceling:
	}
	return false
}

// The types of a task (API_DataRepositoryTask).
const (
	Export      = "EXPORT_TO_REPOSITORY"
	Import      = "IMPORT_METADATA_FROM_REPOSITORY"
	Release     = "RELEASE_DATA_FROM_FILESYSTEM"
	AutoRelease = "AUTO_RELEASE_DATA"
)

// Options say how tasks behave.
type Options struct {
	// StopAfter is the time from a cancel that takes effect to CANCELED; 0 is at once, though
	// the answer to the cancel still says CANCELING. What AWS takes is not documented.
	StopAfter time.Duration
}

// Task is one data repository task, as put in from outside or as it stands.
type Task struct {
	// ID names it within its account and region; those default to the simulator's own.
	ID              string
	Account, Region string
	// FileSystem defaults to "fs-0123456789abcdef0", Type to EXPORT_TO_REPOSITORY.
	FileSystem, Type string
	// State defaults to EXECUTING.
	State State
	// Created defaults to now; Started and Ended are zero where that has not happened.
	Created, Started, Ended time.Time
	// Then is what will become of it by itself, unless it is cancelled before.
	Then []Change
}

// Change is a change of state to come.
type Change struct {
	After time.Duration // from the change before, or from when the task was put in
	State State
}

// FSx is all tasks of all accounts and regions. Its methods are safe for concurrent use.
type FSx struct {
	options Options

	mu    sync.Mutex
	tasks map[key]*task
	lists map[location][]*task // in the order in which they were put in
}

type (
	location struct{ account, region string }
	key      struct {
		location
		id string
	}
)

// New returns FSx with no task.
func New(o Options) *FSx {
	return &FSx{options: o, tasks: map[key]*task{}, lists: map[location][]*task{}}
}

// Service says how FSx is called. Throttling is the common answer: no source names FSx's own
// (facts/aws.json: fsx.throttle).
func (f *FSx) Service() *service.Service {
	return &service.Service{
		Name: "fsx", Protocol: service.JSON11, Target: "AWSSimbaAPIService_v20180301",
		Broken: []*service.Error{
			{Status: 500, Code: "InternalServerError", Message: "A generic error indicating a server-side failure."},
			{Status: 503, Code: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server."},
		},
		Operations: map[string]service.Operation{
			"CancelDataRepositoryTask":    service.JSON(cancelItems, f.cancel),
			"DescribeDataRepositoryTasks": service.JSON(describeItems, f.describe),
		},
	}
}

// refuse is FSx's refusal of a request; what it says is not documented.
func refuse(format string, args ...any) error {
	return service.Refuse("BadRequest", format, args...)
}
