package emr

import (
	"fmt"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	simemr "github.com/rescindhq/rescind/internal/awssim/emr"
)

// TestListing: what ListSteps by state shows is what ListSteps by id shows, over several pages.
func TestListing(t *testing.T) {
	onRig(t, awssim.Options{EMR: simemr.Options{StopAfter: time.Second}}, func(r *rig) {
		var ids []string
		for i, state := range []simemr.State{simemr.Pending, simemr.Running, simemr.Completed, simemr.Failed, simemr.Interrupted, simemr.Cancelled} {
			for n := range 30 {
				id := fmt.Sprintf("s-%d-%d", i, n)
				ids = append(ids, id)
				r.PutSteps(awssim.Step{ID: id, Cluster: "j-1", State: state, Stubborn: state == simemr.Running && n%2 == 0})
			}
		}
		targets := r.Targets(handlers.Parameters{"ClusterId": "j-1", "StepIds": ids})
		since := time.Now()
		r.Follow(targets)
		time.Sleep(time.Minute)
		if pages := r.Listed(targets, since); pages != 2 { // 30 were cancelled before, 45 by this; 50 on a page
			t.Errorf("%d pages, want 2", pages)
		}
	})
}
