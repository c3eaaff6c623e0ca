package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// Actions of SWF.
const (
	requestCancel = "swf:RequestCancelWorkflowExecution"
	terminateRun  = "swf:TerminateWorkflowExecution"
)

const (
	// domain is where all workflows of the fleet run.
	domain = "orders"
	// protected begins the ids of workflows that AWS does not let the worker terminate.
	protected = "payment-"
	// obeyAfter is how long deciders take to end a run that was asked to.
	obeyAfter = 2 * time.Second
)

// swfOrders is SWF's share of the fleet: runs named and not named, asked to end and terminated.
func swfOrders(f *fleet, n int) []order {
	run := func(action string, w awssim.Workflow, named bool, want handlers.Status) func(*fleet) order {
		return func(f *fleet) order { return f.runOrder(action, w, named, want) }
	}
	open := awssim.Workflow{ObeyAfter: obeyAfter}
	return f.spread(n, append([]kind{
		{16, run(requestCancel, open, true, "")},
		{8, run(requestCancel, open, false, "")},
		{3, run(requestCancel, awssim.Workflow{Ignores: true}, true, handlers.Accepted)},
		{1, run(requestCancel, awssim.Workflow{Close: "COMPLETED"}, true, handlers.AlreadyEnded)},
		{1, run(requestCancel, awssim.Workflow{Close: "FAILED"}, true, handlers.AlreadyEnded)},
		{1, run(requestCancel, awssim.Workflow{Close: "CANCELED"}, true, "")},
		{1, run(requestCancel, awssim.Workflow{Close: "COMPLETED"}, false, handlers.AlreadyEnded)},
		{8, run(terminateRun, awssim.Workflow{}, true, "")},
		{2, run(terminateRun, awssim.Workflow{}, false, "")},
		{1, run(terminateRun, awssim.Workflow{Close: "TIMED_OUT"}, true, handlers.AlreadyEnded)},
		{1, run(terminateRun, awssim.Workflow{Close: "TERMINATED"}, true, "")},
		{1, run(terminateRun, awssim.Workflow{WorkflowID: protected}, true, handlers.Denied)},
		{1, (*fleet).missingRun},
	}, guarded((*fleet).spareRun, run(requestCancel, open, true, ""))...))
}

// workflow puts a run in. Its WorkflowID is what its id begins with.
func (f *fleet) workflow(w awssim.Workflow) awssim.Workflow {
	w.Domain = domain
	w.WorkflowID = f.code(cmp.Or(w.WorkflowID, "order-"), hexadecimal, 8)
	w.RunID = f.code("", hexadecimal, 22)
	f.sim.PutWorkflows(w)
	return w
}

// runOrder is a command for a run; its outcome is checked against the run's own state.
func (f *fleet) runOrder(action string, w awssim.Workflow, named bool, want handlers.Status) order {
	w = f.workflow(w)
	parameters := map[string]any{"domain": domain, "workflowId": w.WorkflowID}
	if named {
		parameters["runId"] = w.RunID
	}
	o := f.order(action, parameters)
	o.want = want
	o.holds = func(got ending) error {
		r, _ := f.sim.Workflow(domain, w.WorkflowID, w.RunID)
		if r.CancelRequested && r.Close == "" { // the decider has not ended it yet, or will not
			return among(got.status, "run "+w.WorkflowID, "open, cancel requested", handlers.Accepted)
		}
		return stopHolds(got.status, "run "+w.WorkflowID, string(r.Close), string(w.Close), "CANCELED", "TERMINATED")
	}
	return o
}

func (f *fleet) missingRun() order {
	o := f.order(requestCancel, map[string]any{
		"domain": domain, "workflowId": f.code("order-", hexadecimal, 8), "runId": f.code("", hexadecimal, 22),
	})
	o.want = handlers.NotFound
	return o
}

// spareRun is a run that no call is to be made for.
func (f *fleet) spareRun() spare {
	w := f.workflow(awssim.Workflow{})
	return spare{requestCancel, map[string]any{"domain": domain, "workflowId": w.WorkflowID, "runId": w.RunID}, func() error {
		if r, ok := f.sim.Workflow(domain, w.WorkflowID, w.RunID); !ok || r.Close != "" || r.CancelRequested {
			return fmt.Errorf("run %s was called upon: %s, cancel requested %t", w.WorkflowID, r.Status(), r.CancelRequested)
		}
		return nil
	}}
}

// isProtected is true of the ids of protected workflows.
func isProtected(workflowID string) bool { return strings.HasPrefix(workflowID, protected) }

// swfShown puts runs in for people to try commands on: open ones, and such as were closed.
func swfShown(f *fleet, n int) []shown {
	runs := []awssim.Workflow{
		{ObeyAfter: obeyAfter}, {Ignores: true}, {Close: "COMPLETED"}, {Close: "CANCELED"}, {Close: "TERMINATED"},
	}
	all := make([]shown, n)
	for i := range all {
		w := f.workflow(runs[i%len(runs)])
		all[i] = shown{
			id: w.WorkflowID + "/" + w.RunID, state: cmp.Or(string(w.Close), string(w.Status())), action: requestCancel,
			parameters: map[string]any{"domain": domain, "workflowId": w.WorkflowID, "runId": w.RunID},
		}
		if w.Ignores {
			all[i].action = terminateRun
		}
	}
	return all
}
