// Package swf simulates Amazon SWF as far as stopping goes: workflow executions ("runs"),
// the calls that request their cancel or terminate them, and the calls that describe, list
// and count them. States, bounds and errors are those of internal/facts. A decider, which in
// AWS is the customer's own program, is a setting of each run: it obeys a request to cancel
// after a while, or ignores it.
//
// AWS's reads are eventually consistent; the simulator's are where a fault says so (awssim.Fault.Stale).
package swf

import (
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Options say how deciders behave.
type Options struct {
	// ObeyAfter is the time from a request to cancel to CANCELED, of a run that does not say
	// otherwise; 0 is at once.
	ObeyAfter time.Duration
}

// SWF is all runs of all accounts and regions. Its methods are safe for concurrent use.
type SWF struct {
	options Options

	mu      sync.Mutex
	domains map[key]*domain
}

type (
	key    struct{ account, region, domain string }
	domain struct {
		runs  []*run // in the order in which they came
		byRun map[execution]*run
		// byID is the runs of each workflow id, in the same order.
		byID map[string][]*run
	}
	// execution names one run in a domain, as SWF's requests and answers do.
	execution struct {
		WorkflowID string `json:"workflowId"`
		RunID      string `json:"runId"`
	}
)

// New returns an SWF with no domain and no run.
func New(o Options) *SWF { return &SWF{options: o, domains: map[key]*domain{}} }

// Names of errors on the wire. They have different namespaces: those of SWF itself as its API
// reference shows them, the throttle's from facts/aws.json: swf.throttle, the validator's as
// the coral framework of that one has it elsewhere.
const (
	unknownResource = "com.amazonaws.swf.base.model#UnknownResourceFault"
	notPermitted    = "com.amazonaws.swf.base.model#OperationNotPermittedFault"
	throttling      = "com.amazon.coral.availability#ThrottlingException"
	validation      = "com.amazon.coral.validate#ValidationException"
)

// Service says how SWF is called.
func (s *SWF) Service() *service.Service {
	return &service.Service{
		Name: "swf", Protocol: service.JSON10, Target: "SimpleWorkflowService",
		Throttled: service.Refuse(throttling, "Rate exceeded"),
		Denied:    service.Refuse(notPermitted, "Caller is not authorized to perform this action."),
		Operations: map[string]service.Operation{
			"RequestCancelWorkflowExecution": service.JSON(stopItems, s.requestCancel),
			"TerminateWorkflowExecution":     service.JSON(stopItems, s.terminate),
			"DescribeWorkflowExecution":      service.JSON(describeItems, s.describe),
			"ListOpenWorkflowExecutions":     service.JSON(listItems, s.listOpen),
			"ListClosedWorkflowExecutions":   service.JSON(listItems, s.listClosed),
			"CountOpenWorkflowExecutions":    service.JSON(listItems, s.countOpen),
		},
	}
}

// refuse is SWF's refusal of a request that breaks a constraint; what it says is not
// documented.
func refuse(format string, args ...any) error { return service.Refuse(validation, format, args...) }

// domainLocked finds a domain.
func (s *SWF) domainLocked(c *service.Call, name string) (*domain, error) {
	if name == "" || len(name) > 256 {
		return nil, refuse("domain must have 1 to 256 characters")
	}
	d := s.domains[key{c.Account, c.Region, name}]
	if d == nil {
		return nil, service.Refuse(unknownResource, "Unknown domain: %s", name)
	}
	return d, nil
}

// unknown is what SWF says of a run that it does not know, or that a request to stop finds
// closed (facts/aws.json: swf.second_cancel).
func unknown(e execution) error {
	if e.RunID == "" {
		return service.Refuse(unknownResource, "Unknown execution, workflowId = %s", e.WorkflowID)
	}
	return service.Refuse(unknownResource, "Unknown execution: WorkflowExecution=[workflowId=%s, runId=%s]", e.WorkflowID, e.RunID)
}
