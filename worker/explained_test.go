package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// Where AWS takes a cancel and leaves the target as it is for a while, by what it documents, the outcome says so.
func TestWhatAWSLeavesForLaterIsSaid(t *testing.T) {
	for _, row := range []struct {
		name, command, says string
		put                 func(r *rig)
	}{
		{"a job that waits for others", cancelJob("one", "job"), "once the jobs that it depends on have ended", func(r *rig) {
			r.sim.PutJobs(awssim.Job{ID: "job", State: "PENDING"})
		}},
		{"the parent of an array", cancelJob("one", "job"), "until all of its children have ended", func(r *rig) {
			r.sim.PutJobs(awssim.Job{ID: "job", State: "PENDING"}, awssim.Job{ID: "job:0", Parent: "job"}, awssim.Job{ID: "job:1", Parent: "job"})
		}},
		{"a job that runs on no machine yet", cancelJob("one", "job"), "", func(r *rig) { r.sim.PutJobs(awssim.Job{ID: "job"}) }},
		{"a workflow execution", `{"id":"one","action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":"w","runId":"r"}}`,
			"the workflow's decider", func(r *rig) { r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "r"}) }},
		{"a step that ignores an interrupt", cancelStepsOf("one", "j-1", "s-1"), "TERMINATE_PROCESS", func(r *rig) {
			r.sim.PutSteps(awssim.Step{Cluster: "j-1", ID: "s-1", State: "RUNNING", Stubborn: true})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				row.put(r)
				r.send(asking(row.command, `"confirm":"30s"`))
				got := r.one(time.Hour)
				if said := got.Targets[0]; got.Status != handlers.Accepted || said.Code != "" || (said.Message == "") != (row.says == "") || !strings.Contains(said.Message, row.says) {
					t.Errorf("%s: %+v", got.Status, said)
				}
			}, stopsAfter(time.Hour))
		})
	}
}
