package iot

import (
	"fmt"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	simiot "github.com/rescindhq/rescind/internal/awssim/iot"
)

// TestListing: what ListJobExecutionsForJob shows is what DescribeJobExecution shows, over several pages.
func TestListing(t *testing.T) {
	onRig(t, 0, awssim.Options{}, func(r *rig) {
		var targets []handlers.Target
		for i, state := range []simiot.State{simiot.Queued, simiot.InProgress, simiot.Succeeded, simiot.Failed, simiot.Canceled} {
			for n := range 150 {
				thing := fmt.Sprintf("thing-%d-%d", i, n)
				r.PutJobExecutions(awssim.JobExecution{Job: "job", Thing: thing, State: state})
				targets = append(targets, r.Targets(handlers.Parameters{"jobId": "job", "thingName": thing})...)
			}
		}
		since := time.Now()
		r.Follow(targets)
		if pages := r.Listed(targets, since); pages != 2 { // 150 were cancelled before, 150 by this; 250 on a page
			t.Errorf("%d pages, want 2", pages)
		}
	})
}
