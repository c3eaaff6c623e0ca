// Package stepfunctions simulates AWS Step Functions as far as stopping executions of
// STANDARD state machines goes: executions in their states, the call that stops one and the
// call that reads one. States and bounds are those of internal/facts (breadth, StopExecution).
// It names no rate for these calls: the simulator has none unless it is asked for.
package stepfunctions

import (
	"cmp"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
	"github.com/rescindhq/rescind/internal/awssim/service"
)

// State is the status of an execution. The set is closed.
type State string

// The states, as facts/aws.json lists them, and RUNNING.
const (
	Running        State = "RUNNING"
	PendingRedrive State = "PENDING_REDRIVE"
	Succeeded      State = "SUCCEEDED"
	Failed         State = "FAILED"
	TimedOut       State = "TIMED_OUT"
	Aborted        State = "ABORTED"
)

// States lists all of them.
func States() []State {
	return []State{Running, PendingRedrive, Succeeded, Failed, TimedOut, Aborted}
}

// Ended reports whether an execution in this state changes no more, unless it is redriven.
func (s State) Ended() bool {
	switch s {
	case Succeeded, Failed, TimedOut, Aborted:
		return true
	case Running, PendingRedrive:
	}
	return false
}

// Options say what AWS does not.
type Options struct {
	// Lag is how long DescribeExecution goes on showing an execution as it was before a stop:
	// the operation is eventually consistent, by how much is not documented. Default 0.
	Lag time.Duration
	// RefuseEnded makes StopExecution refuse an execution that has ended, by a
	// ValidationException. What AWS answers is not documented; default is a success that
	// changes nothing and returns when it ended.
	RefuseEnded bool
}

// Execution is one execution, as put in from outside or as it stands.
type Execution struct {
	// ARN names it: "arn:aws:states:REGION:ACCOUNT:execution:MACHINE:NAME".
	ARN string
	// State defaults to RUNNING.
	State State
	// Error and Cause are those of the call that stopped it, or of its failure.
	Error, Cause string
	// KeyTrouble makes it an execution whose encryption key is of no use: the code by which
	// every call is refused that needs the key ("KmsAccessDeniedException").
	KeyTrouble string
	// Started defaults to now; Ended is zero where that has not happened.
	Started, Ended time.Time
	// Then is how it ends by itself; nil is never.
	Then *Ending
}

// Ending is how an execution ends by itself.
type Ending struct {
	After time.Duration // from when it was put in
	State State
}

// execution is an Execution with its end dated. It is brought up to date by advance, and by
// nothing else: there is no timer.
type execution struct {
	Execution
	owner  *StepFunctions
	next   time.Time // when Then is due
	before State     // what a description shows
	shown  time.Time // until then, where that is set
	past   service.Past[Execution]
}

// StepFunctions is all executions. Its methods are safe for concurrent use.
type StepFunctions struct {
	options Options
	bus     *eventbridge.Bus

	mu         sync.Mutex
	executions map[string]*execution // by ARN
	machines   map[string]Machine    // by ARN
	order      []string              // ARNs of machines, in the order in which they came
	of         map[string][]string   // ARNs of the executions of a machine, likewise
}

// New returns Step Functions with no execution. Changes of state go to the bus, which may be nil.
func New(o Options, bus *eventbridge.Bus) *StepFunctions {
	return &StepFunctions{options: o, bus: bus, executions: map[string]*execution{}, machines: map[string]Machine{}, of: map[string][]string{}}
}

// Service says how Step Functions is called. Throttling is the common answer: no source names
// its own.
func (s *StepFunctions) Service() *service.Service {
	return &service.Service{
		Name: "states", Protocol: service.JSON10, Target: "AWSStepFunctions",
		Operations: map[string]service.Operation{
			"StopExecution":     service.JSON(func(in *stopInput) []string { return []string{in.ARN} }, s.stop),
			"DescribeExecution": service.JSON(func(in *describeInput) []string { return []string{in.ARN} }, s.describe),
			"ListStateMachines": service.JSON(func(*machinesInput) []string { return nil }, s.listMachines),
			"ListExecutions":    service.JSON(func(*listInput) []string { return nil }, s.list),
		},
	}
}

// Put puts executions in, or replaces those that have the same ARN.
func (s *StepFunctions) Put(executions ...Execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, e := range executions {
		e.State = cmp.Or(e.State, Running)
		if e.Started.IsZero() {
			e.Started = now
		}
		if e.State.Ended() && e.Ended.IsZero() {
			e.Ended = now
		}
		stored := &execution{Execution: e, owner: s}
		if e.Then != nil {
			stored.next = now.Add(e.Then.After)
			s.bus.Due(stored.next, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				stored.advance(time.Now())
			})
		}
		machine, _ := machineOf(e.ARN)
		if s.executions[e.ARN] == nil {
			s.of[machine] = append(s.of[machine], e.ARN)
		}
		s.executions[e.ARN] = stored
		if _, known := s.machines[machine]; !known {
			s.putMachineLocked(Machine{ARN: machine}, now)
		}
	}
}

// Execution returns an execution as it stands now; ok is false where there is none.
func (s *StepFunctions) Execution(arn string) (_ Execution, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.executions[arn]
	if e == nil {
		return Execution{}, false
	}
	e.advance(time.Now())
	return e.Execution, true
}

// advance brings an execution up to date.
func (e *execution) advance(now time.Time) {
	if e.Then != nil && !e.State.Ended() && !e.next.After(now) {
		e.past.Note(e.Execution, e.next)
		e.State, e.Ended, e.Then = e.Then.State, e.next, nil
		e.changed()
	}
}
