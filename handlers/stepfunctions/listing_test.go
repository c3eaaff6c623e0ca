package stepfunctions

import (
	"fmt"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	simsfn "github.com/rescindhq/rescind/internal/awssim/stepfunctions"
)

// TestListing: what ListExecutions shows is what DescribeExecution shows, over several pages.
func TestListing(t *testing.T) {
	onRig(t, awssim.Options{}, func(r *rig) {
		var targets []handlers.Target
		for i, state := range []simsfn.State{simsfn.Running, simsfn.Succeeded, simsfn.Failed, simsfn.TimedOut, simsfn.Aborted} {
			for n := range 600 {
				arn := fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:etl:%d-%d", i, n)
				r.PutExecutions(awssim.Execution{ARN: arn, State: state})
				targets = append(targets, r.Targets(handlers.Parameters{"executionArn": arn})...)
			}
		}
		since := time.Now()
		r.Follow(targets)
		if pages := r.Listed(targets, since); pages != 2 { // 600 were aborted before, 600 by this; 1,000 on a page
			t.Errorf("%d pages, want 2", pages)
		}
	})
}
