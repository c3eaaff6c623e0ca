package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// stop is how long the targets of the fleets take to stop.
const stop = 10 * time.Second

// spend is how long a quota takes for so many calls, the first at once.
func spend(calls int, q awssim.Quota) time.Duration {
	return time.Duration(max(0, float64(calls-q.Burst)) / q.Rate * float64(time.Second))
}

// parts is how many requests of so many take n.
func parts(n, most int) int { return (n + most - 1) / most }

// Quotas that AWS publishes, but for FSx's, of which it publishes none.
var (
	quotaSteps   = awssim.Quota{Rate: 0.5, Burst: 10} // CancelSteps, and ListSteps
	quotaBatch   = awssim.Quota{Rate: 50, Burst: 50}  // all of Batch
	quotaRequest = awssim.Quota{Rate: 30, Burst: 2000}
	quotaThings  = awssim.Quota{Rate: 10, Burst: 10}
	quotaTasks   = awssim.Quota{Rate: 5, Burst: 5} // what the handler starts from
	quotaStop    = awssim.Quota{Rate: 200, Burst: 1000}
)

// cancelled is the bound where reads are no scarcer than cancels: the last target is called once the quota allows it, stops
// so long after, and one more read shows that.
func cancelled(calls int, q awssim.Quota, stop time.Duration) time.Duration {
	return spend(calls, q) + stop
}

// proofFleets are fleets that are all confirmed, with the time that the cancel and read quotas allow at best.
func proofFleets() []proofFleet {
	return []proofFleet{
		{name: "EMR", full: 5000, usual: 1000, command: func(i int) string {
			return cancelStepsOf(fmt.Sprintf("e%d", i), fmt.Sprintf("j-%d", i%20), fmt.Sprintf("s-%d", i))
		}, put: func(r *rig, i int) {
			r.sim.PutSteps(awssim.Step{Cluster: fmt.Sprintf("j-%d", i%20), ID: fmt.Sprintf("s-%d", i)})
		}, bound: func(n int) time.Duration {
			// A call a cluster (256 steps), and pages of 50 of each, which begin when the first has stopped.
			return max(cancelled(20*parts(n/20, 256), quotaSteps, stop), stop+spend(20*parts(n/20, 50), quotaSteps))
		}, misses: 2.4}, // a lane holds three quarters of 5,000 places: 54 calls, and twice the pages
		{name: "Batch", full: 10000, usual: 2000, command: func(i int) string { return cancelJob(fmt.Sprintf("b%d", i), fmt.Sprintf("job-%d", i)) },
			put: func(r *rig, i int) { r.sim.PutJobs(awssim.Job{ID: fmt.Sprintf("job-%d", i)}) },
			bound: func(n int) time.Duration {
				// 100 jobs a call and a read, of one quota: it refills while they stop.
				calls := cancelled(parts(n, 100), quotaBatch, stop)
				return max(calls, spend(2*parts(n, 100), quotaBatch))
			}, misses: 2.7}, // looks that come back from the queue do not fill reads of 100
		{name: "SWF", full: 3000, usual: 2300, command: func(i int) string {
			return fmt.Sprintf(`{"id":"w%d","action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":"w-%d","runId":"r"}}`, i, i)
		}, put: func(r *rig, i int) {
			r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: fmt.Sprintf("w-%d", i), RunID: "r"})
		}, bound: func(n int) time.Duration { return cancelled(n, quotaRequest, stop) }}, // pages of 1,000, of a burst of 200
		{name: "IoT", full: 500, usual: 200, command: func(i int) string {
			return fmt.Sprintf(`{"id":"i%d","action":"iot:CancelJobExecution","parameters":{"thingName":"t-%d","jobId":"j"}}`, i, i)
		}, put: func(r *rig, i int) {
			r.sim.PutJobExecutions(awssim.JobExecution{Thing: fmt.Sprintf("t-%d", i), Job: "j"})
		}, bound: func(n int) time.Duration { return cancelled(n, quotaThings, stop) }}, // pages of 250
		{name: "FSx", full: 500, usual: 200, command: func(i int) string {
			return fmt.Sprintf(`{"id":"f%d","action":"fsx:CancelDataRepositoryTask","parameters":{"TaskId":"task-%017x"}}`, i, i)
		}, put: func(r *rig, i int) { r.sim.PutTasks(awssim.Task{ID: fmt.Sprintf("task-%017x", i)}) },
			bound: func(n int) time.Duration { return cancelled(n, quotaTasks, stop) }}, // reads of 50
		{name: "Step Functions", full: 10000, usual: 3000, command: func(i int) string {
			return fmt.Sprintf(`{"id":"x%d","action":"stepfunctions:StopExecution","parameters":{"executionArn":"arn:aws:states:us-east-1:123456789012:execution:m:%d"}}`, i, i)
		}, put: func(r *rig, i int) {
			r.sim.PutExecutions(awssim.Execution{ARN: fmt.Sprintf("arn:aws:states:us-east-1:123456789012:execution:m:%d", i)})
		}, bound: func(n int) time.Duration { return cancelled(n, quotaStop, 0) }}, // they stop at once; pages of 1,000
	}
}

type proofFleet struct {
	name        string
	full, usual int
	command     func(i int) string
	put         func(r *rig, i int)
	// bound is the time to the last proof that the quotas allow.
	bound func(n int) time.Duration
	// misses is how many times the bound it takes at full size where that is more than 1.25.
	misses float64
}

func cancelStepsOf(id, on, step string) string {
	return fmt.Sprintf(`{"id":%q,"action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":[%q]}}`, id, on, step)
}

// A fleet of full size is proved to have stopped within 1.25 times the time that its quotas allow, save where misses says
// how far from that it is.
func TestFleetsToTheirLastProof(t *testing.T) {
	t.Parallel()
	for _, f := range proofFleets() {
		t.Run(f.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				n := size(f.full, f.usual)
				bodies := make([]string, n)
				for i := range bodies {
					f.put(r, i)
					bodies[i] = strings.Replace(f.command(i), `"parameters"`, `"confirm":"6h","parameters"`, 1)
				}
				began := time.Now()
				r.send(bodies...)
				got := r.settled(n, 8*time.Hour)
				for id, d := range got {
					if d.Status != handlers.Cancelled {
						t.Fatalf("%s is %s", id, d.Status)
					}
				}
				last := time.Time{}
				for _, d := range got {
					if d.FinishedAt.After(last) {
						last = d.FinishedAt
					}
				}
				bound, most := f.bound(n), 1.25
				switch {
				case n < f.full:
					most = 1.6 // a second or two between looks weigh more where all takes ten
				case f.misses > 0:
					most = f.misses
				}
				ratio := last.Sub(began).Seconds() / bound.Seconds()
				t.Logf("%d in %s, and the quotas allow %s: %.2f", n, last.Sub(began), bound, ratio)
				if ratio > most {
					t.Errorf("that is more than %.2f: %v", most, r.sim.Counts())
				}
			}, stopsAfter(stop), func(o *awssim.Options, _ *worker.Options) {
				o.Quotas = map[string]awssim.Quota{ // those that the simulator does not know by itself
					"states:StopExecution": quotaStop, "states:DescribeExecution": {Rate: 15, Burst: 300}, "states:ListExecutions": {Rate: 5, Burst: 200},
					"fsx:CancelDataRepositoryTask": quotaTasks, "fsx:DescribeDataRepositoryTasks": quotaTasks,
				}
			})
		})
	}
}
