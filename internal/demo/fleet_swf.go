package demo

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
	// domain is the domain of every workflow of the fleet.
	domain = "orders"
	// protected is the prefix of the ids of workflows that the worker is not allowed to terminate.
	protected = "payment-"
	// closeAfter is how long a decider takes to close a run after a cancel was requested.
	closeAfter = 2 * time.Second
)

// swfCommands makes SWF's share of the fleet: runs in various states, both actions, with the run id
// and without it.
func swfCommands(f *Fleet, n int) []command {
	run := func(action string, w awssim.Workflow, named bool, want handlers.Status) func(*Fleet) command {
		return func(f *Fleet) command { return f.newRunCommand(action, w, named, want) }
	}
	open := awssim.Workflow{ObeyAfter: closeAfter}
	return f.distribute(n, append([]kind{
		{16, run(requestCancel, open, true, "")},
		{8, run(requestCancel, open, false, "")},
		{2, run(requestCancel, awssim.Workflow{Ignores: true}, true, handlers.Accepted)},
		{2, (*Fleet).escalatingRunCommand},
		{1, run(requestCancel, awssim.Workflow{Close: "COMPLETED"}, true, handlers.AlreadyEnded)},
		{1, run(requestCancel, awssim.Workflow{Close: "FAILED"}, true, handlers.AlreadyEnded)},
		{1, run(requestCancel, awssim.Workflow{Close: "CANCELED"}, true, "")},
		{1, run(requestCancel, awssim.Workflow{Close: "COMPLETED"}, false, handlers.AlreadyEnded)},
		{8, run(terminateRun, awssim.Workflow{}, true, "")},
		{2, run(terminateRun, awssim.Workflow{}, false, "")},
		{1, run(terminateRun, awssim.Workflow{Close: "TIMED_OUT"}, true, handlers.AlreadyEnded)},
		{1, run(terminateRun, awssim.Workflow{Close: "TERMINATED"}, true, "")},
		{1, run(terminateRun, awssim.Workflow{WorkflowID: protected}, true, handlers.Denied)},
		{1, (*Fleet).missingRunCommand},
	}, commonKinds((*Fleet).untouchedRun, run(requestCancel, open, true, ""))...))
}

// workflow puts a run into the simulator. w.WorkflowID is the prefix of its workflow id.
func (f *Fleet) workflow(w awssim.Workflow) awssim.Workflow {
	w.Domain = domain
	w.WorkflowID = f.randomID(cmp.Or(w.WorkflowID, "order-"), hexadecimal, 8)
	w.RunID = f.randomID("", hexadecimal, 22)
	f.sim.PutWorkflows(w)
	return w
}

// newRunCommand puts a run into the simulator and makes a command for it. Its outcome is compared with
// the run's state.
func (f *Fleet) newRunCommand(action string, w awssim.Workflow, named bool, want handlers.Status) command {
	w = f.workflow(w)
	parameters := map[string]any{"domain": domain, "workflowId": w.WorkflowID}
	if named {
		parameters["runId"] = w.RunID
	}
	c := f.runCommand(f.commandFor(action, parameters), w)
	c.want = want
	return c
}

// escalatingRunCommand makes a command for a run whose decider ignores the request: TerminateWorkflowExecution stops it.
func (f *Fleet) escalatingRunCommand() command {
	w := f.workflow(awssim.Workflow{Ignores: true})
	return f.runCommand(f.escalatingCommand(requestCancel, map[string]any{"domain": domain, "workflowId": w.WorkflowID, "runId": w.RunID}), w)
}

// runCommand has the outcome of a command for a run compared with the run's state.
func (f *Fleet) runCommand(c command, w awssim.Workflow) command {
	c.verify = func(got result) error {
		r, _ := f.sim.Workflow(domain, w.WorkflowID, w.RunID)
		if r.CancelRequested && r.Close == "" { // the decider has not closed it yet, or never will
			return oneOf(got.status, "run "+w.WorkflowID, "open, cancel requested", handlers.Accepted)
		}
		return checkStopped(got.status, "run "+w.WorkflowID, string(r.Close), string(w.Close), "CANCELED", "TERMINATED")
	}
	return c
}

func (f *Fleet) missingRunCommand() command {
	c := f.commandFor(requestCancel, map[string]any{
		"domain": domain, "workflowId": f.randomID("order-", hexadecimal, 8), "runId": f.randomID("", hexadecimal, 22),
	})
	c.want = handlers.NotFound
	return c
}

// untouchedRun makes a run that must not be called.
func (f *Fleet) untouchedRun() untouched {
	w := f.workflow(awssim.Workflow{})
	return untouched{requestCancel, map[string]any{"domain": domain, "workflowId": w.WorkflowID, "runId": w.RunID}, func() error {
		if r, ok := f.sim.Workflow(domain, w.WorkflowID, w.RunID); !ok || r.Close != "" || r.CancelRequested {
			return fmt.Errorf("run %s was called: %s, cancel requested %t", w.WorkflowID, r.Status(), r.CancelRequested)
		}
		return nil
	}}
}

// isProtected reports whether a workflow must not be terminated.
func isProtected(workflowID string) bool { return strings.HasPrefix(workflowID, protected) }

// swfSamples makes n runs, open and closed in turn.
func swfSamples(f *Fleet, n int) []Sample {
	runs := []awssim.Workflow{
		{ObeyAfter: closeAfter}, {Ignores: true}, {Close: "COMPLETED"}, {Close: "CANCELED"}, {Close: "TERMINATED"},
	}
	all := make([]Sample, n)
	for i := range all {
		w := f.workflow(runs[i%len(runs)])
		all[i] = Sample{
			ID: w.WorkflowID + "/" + w.RunID, State: cmp.Or(string(w.Close), string(w.Status())), Action: requestCancel,
			Parameters: map[string]any{"domain": domain, "workflowId": w.WorkflowID, "runId": w.RunID},
		}
		if w.Ignores {
			all[i].Action = terminateRun
		}
	}
	return all
}
