package swf

import (
	"fmt"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	simswf "github.com/rescindhq/rescind/internal/awssim/swf"
)

// TestListing: what ListClosedWorkflowExecutions shows is what DescribeWorkflowExecution shows, over several pages.
func TestListing(t *testing.T) {
	for i, action := range []string{"RequestCancelWorkflowExecution", "TerminateWorkflowExecution"} {
		onRig(t, i, awssim.Options{SWF: simswf.Options{ObeyAfter: time.Second}}, func(r *rig) {
			since := time.Now()
			var targets []handlers.Target
			for c, ended := range []simswf.CloseStatus{"", simswf.Completed, simswf.Failed, simswf.TimedOut, simswf.Canceled, simswf.Terminated} {
				for n := range 200 {
					run := fmt.Sprintf("run-%d-%d", c, n)
					r.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: run, RunID: run, Close: ended, Ignores: ended == "" && n%2 == 0})
					targets = append(targets, r.Targets(handlers.Parameters{"domain": "d", "workflowId": run, "runId": run})...)
				}
			}
			r.Follow(targets)
			time.Sleep(time.Minute)
			if pages := r.Listed(targets, since); pages != 2 { // over 1,000 have closed; 1,000 on a page
				t.Errorf("%s: %d pages, want 2", action, pages)
			}
		})
	}
}
