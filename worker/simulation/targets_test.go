package simulation

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/internal/awssim/swf"
)

// fate is what a target is when the world begins.
type fate string

// The fates. The set is closed.
const (
	alive     fate = "alive"     // may be cancelled, and never ends by itself
	running   fate = "running"   // in a state that the action does not stop, and a stronger one may
	stubborn  fate = "stubborn"  // AWS takes the action, and only a stronger one stops it
	ended     fate = "ended"     // completed
	cancelled fate = "cancelled" // by somebody else, before
	unknown   fate = "unknown"   // AWS knows no such target
)

// The actions, all that the worker has.
const (
	cancelJob          handlers.Action = "batch:CancelJob"
	terminateJob       handlers.Action = "batch:TerminateJob"
	cancelSteps        handlers.Action = "emr:CancelSteps"
	cancelJobExecution handlers.Action = "iot:CancelJobExecution"
	cancelThingJob     handlers.Action = "iot:CancelJob"
	cancelWorkflow     handlers.Action = "swf:RequestCancelWorkflowExecution"
	terminateWorkflow  handlers.Action = "swf:TerminateWorkflowExecution"
	cancelTask         handlers.Action = "fsx:CancelDataRepositoryTask"
	stopExecution      handlers.Action = "stepfunctions:StopExecution"
)

// states is, by action, the state that a target of a fate is put in with. A fate that is not here
// an action has no state for.
var states = map[handlers.Action]map[fate]string{
	cancelJob:          {alive: "RUNNABLE", running: "RUNNING", ended: "SUCCEEDED", cancelled: "FAILED"},
	terminateJob:       {alive: "RUNNING", ended: "SUCCEEDED", cancelled: "FAILED"},
	cancelSteps:        {alive: "PENDING", stubborn: "RUNNING", ended: "COMPLETED", cancelled: "CANCELLED"},
	cancelJobExecution: {alive: "QUEUED", running: "IN_PROGRESS", ended: "SUCCEEDED", cancelled: "CANCELED"},
	cancelThingJob:     {alive: "IN_PROGRESS", running: "DELETION_IN_PROGRESS", ended: "COMPLETED", cancelled: "CANCELED"},
	cancelWorkflow:     {alive: "", stubborn: "", ended: "COMPLETED", cancelled: "CANCELED"},
	terminateWorkflow:  {alive: "", ended: "COMPLETED", cancelled: "TERMINATED"},
	cancelTask:         {alive: "EXECUTING", ended: "SUCCEEDED", cancelled: "CANCELED"},
	stopExecution:      {alive: "RUNNING", ended: "SUCCEEDED", cancelled: "ABORTED"},
}

// calling is what the simulator calls the cancelling operation of an action.
var calling = map[handlers.Action]string{
	cancelJob: "CancelJobs", terminateJob: "TerminateJobs", cancelSteps: "CancelSteps",
	cancelJobExecution: "CancelJobExecution", cancelThingJob: "CancelJob",
	cancelWorkflow: "RequestCancelWorkflowExecution", terminateWorkflow: "TerminateWorkflowExecution",
	cancelTask: "CancelDataRepositoryTask", stopExecution: "StopExecution",
}

// stronger is what the simulator calls the stronger operation for an action's targets; a parameter of the same one
// makes it stronger where they are alike.
var stronger = map[handlers.Action]string{
	cancelJob: "TerminateJobs", cancelSteps: "CancelSteps", cancelJobExecution: "CancelJobExecution",
	cancelWorkflow: "TerminateWorkflowExecution",
}

// reading is what the simulator calls the operation that reads an action's targets.
var reading = map[handlers.Action]string{
	cancelJob: "DescribeJobs", terminateJob: "DescribeJobs", cancelSteps: "ListSteps",
	cancelJobExecution: "DescribeJobExecution", cancelThingJob: "DescribeJob",
	cancelWorkflow: "DescribeWorkflowExecution", terminateWorkflow: "DescribeWorkflowExecution",
	cancelTask: "DescribeDataRepositoryTasks", stopExecution: "DescribeExecution",
}

// The versions of a job execution: every one is put in with the first.
const (
	rightVersion = 1
	wrongVersion = 9
)

// target is one thing to be stopped.
type target struct {
	Action handlers.Action
	ID     string
	Group  string // EMR's cluster, the job of IoT's execution
	Fate   fate
	// Version is the expectedVersion of an IoT execution's commands; 0 is none.
	Version int  `json:",omitzero"`
	Shared  bool // more than one command names it
	// Account is another than the workers' own; "": it is theirs.
	Account string `json:",omitempty"`
	// Fails: every request that names it is answered 5xx, for ever.
	Fails bool `json:",omitzero"`
}

// items are what requests may name it by.
func (t target) items() []string { return []string{t.ID, t.Group + "/" + t.ID, t.ID + "/" + t.Group} }

// item is what the simulator's faults know it by.
func (t target) item() string {
	if t.Action == cancelJobExecution {
		return t.ID + "/" + t.Group
	}
	return t.ID
}

// name gives the nth target the names that its action wants.
func (p *planner) name(t *target, n int) {
	switch t.Action {
	case cancelSteps:
		t.ID, t.Group = fmt.Sprintf("s-%013d", n), pick(p, "j-1", "j-2")
	case cancelJobExecution:
		t.ID, t.Group = fmt.Sprintf("thing-%d", n), "rollout"
	case cancelTask:
		t.ID = fmt.Sprintf("task-%017x", n)
	case stopExecution:
		t.ID = fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:orders:run-%d", n)
	default:
		t.ID = fmt.Sprintf("%s-%d", t.Action.Service(), n)
	}
}

// fleet makes the targets: mostly such as can be cancelled.
func (p *planner) fleet() {
	for i := range 24 + p.IntN(24) {
		t := target{Fate: alive, Action: pick(p,
			cancelJob, cancelJob, cancelJob, terminateJob, cancelSteps, cancelSteps, cancelSteps, cancelSteps, cancelSteps, cancelSteps,
			cancelJobExecution, cancelJobExecution, cancelThingJob, cancelWorkflow, cancelWorkflow, terminateWorkflow,
			cancelTask, cancelTask, stopExecution, stopExecution,
		)}
		if p.maybe(0.35) {
			t.Fate = pick(p, running, stubborn, ended, cancelled, unknown)
		}
		if _, there := states[t.Action][t.Fate]; !there && t.Fate != unknown {
			t.Fate = alive
		}
		p.name(&t, i)
		if t.Action == cancelJobExecution && p.maybe(0.4) {
			t.Version = pick(p, rightVersion, wrongVersion)
		}
		if t.Action.Service() == "batch" && len(p.Accounts) > 0 && p.maybe(0.7) {
			t.Account = pick(p, p.Accounts...)
		}
		p.Targets = append(p.Targets, t)
	}
}

// parameters writes those of a command, whose targets are all of one action and group.
func (p *planner) parameters(id string, targets []int) string {
	t := p.Targets[targets[0]]
	switch t.Action {
	case cancelJob, terminateJob:
		// Jobs of one reason share a call.
		return fmt.Sprintf(`"jobId":%q,"reason":%q`, t.ID, pick(p, "over budget", "over budget, says "+id))
	case cancelSteps:
		quoted := make([]string, len(targets))
		for i, at := range targets {
			quoted[i] = fmt.Sprintf("%q", p.Targets[at].ID)
		}
		return fmt.Sprintf(`"ClusterId":%q,"StepIds":[%s]`, t.Group, strings.Join(quoted, ","))
	case cancelJobExecution:
		version := ""
		if t.Version != 0 {
			version = fmt.Sprintf(`,"expectedVersion":%d`, t.Version)
		}
		return fmt.Sprintf(`"thingName":%q,"jobId":%q%s`, t.ID, t.Group, version)
	case cancelThingJob:
		return fmt.Sprintf(`"jobId":%q`, t.ID)
	case cancelWorkflow, terminateWorkflow:
		run := ""
		if t.Shared || p.maybe(0.5) {
			run = `,"runId":"run"`
		}
		return fmt.Sprintf(`"domain":"d","workflowId":%q%s`, t.ID, run)
	case cancelTask:
		return fmt.Sprintf(`"TaskId":%q`, t.ID)
	default: // stopExecution
		return fmt.Sprintf(`"executionArn":%q%s`, t.ID, pick(p, "", `,"cause":"over budget"`))
	}
}

// put puts a target in, in the state that its fate says.
func (w *world) put(t target) {
	state, there := states[t.Action][t.Fate]
	switch t.Action {
	case cancelSteps:
		w.sim.PutClusters(awssim.Cluster{ID: t.Group})
	case cancelJobExecution:
		w.sim.PutThingJobs(awssim.ThingJob{ID: t.Group})
	}
	if !there {
		return
	}
	switch t.Action {
	case cancelJob, terminateJob:
		w.sim.PutJobs(awssim.Job{ID: t.ID, Account: t.Account, State: batch.State(state), Cancelled: t.Fate == cancelled, Reason: "somebody else's"})
	case cancelSteps:
		w.sim.PutSteps(awssim.Step{Cluster: t.Group, ID: t.ID, State: emr.State(state), Stubborn: t.Fate == stubborn})
	case cancelJobExecution:
		w.sim.PutJobExecutions(awssim.JobExecution{Thing: t.ID, Job: t.Group, State: iot.State(state), Version: rightVersion})
	case cancelThingJob:
		w.sim.PutThingJobs(awssim.ThingJob{ID: t.ID, State: iot.JobState(state)})
	case cancelWorkflow, terminateWorkflow:
		w.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: t.ID, RunID: "run", Close: swf.CloseStatus(state), Ignores: t.Fate == stubborn})
	case cancelTask:
		w.sim.PutTasks(awssim.Task{ID: t.ID, State: fsx.State(state)})
	case stopExecution:
		w.sim.PutExecutions(awssim.Execution{ARN: t.ID, State: stepfunctions.State(state)})
	}
}

// end says what a target came to.
func (w *world) end(t target) end {
	switch t.Action {
	case cancelJob, terminateJob:
		j, _ := w.sim.JobIn(cmp.Or(t.Account, account), "us-east-1", t.ID)
		return end{string(j.State), j.State == "FAILED" && (j.Cancelled || j.Terminated), j.Stopped}
	case cancelSteps:
		s, _ := w.sim.Step(t.Group, t.ID)
		return end{string(s.State), s.State == "CANCELLED", s.Ended}
	case cancelJobExecution:
		e, _ := w.sim.JobExecution(t.ID, t.Group)
		return end{string(e.State), e.State == "CANCELED", time.Time{}}
	case cancelThingJob:
		j, _ := w.sim.ThingJob(t.ID)
		return end{string(j.State), j.State == "CANCELED", time.Time{}}
	case cancelWorkflow, terminateWorkflow:
		r, _ := w.sim.Workflow("d", t.ID, "run")
		return end{string(r.Close), r.Close == "CANCELED" || r.Close == "TERMINATED", time.Time{}}
	case cancelTask:
		k, _ := w.sim.Task(t.ID)
		return end{string(k.State), k.State == "CANCELED", time.Time{}}
	default: // stopExecution
		e, _ := w.sim.Execution(t.ID)
		return end{string(e.State), e.State == "ABORTED", e.Ended}
	}
}
