package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/outcome"
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

// batchBound: 50 jobs a cancelling call and 100 a read, one of which follows each cancel, out of one quota. What proves
// their end is read while the quota refills.
func batchBound(n int) time.Duration { return cancelled(parts(n, 50)+parts(n, 100), quotaBatch, stop) }

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
		}, cancels: func(n int) time.Duration { return cancelled(20*parts(n/20, 256), quotaSteps, stop) }},
		{name: "Batch", full: 10000, usual: 2000, command: func(i int) string { return cancelJob(fmt.Sprintf("b%d", i), fmt.Sprintf("job-%d", i)) },
			put:   func(r *rig, i int) { r.sim.PutJobs(awssim.Job{ID: fmt.Sprintf("job-%d", i)}) },
			bound: batchBound, cancels: batchBound},
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
		}, bound: func(n int) time.Duration { return cancelled(n, quotaStop, 0) }, cancels: func(n int) time.Duration { return cancelled(n, quotaStop, 0) }}, // they stop at once; pages of 1,000
	}
}

type proofFleet struct {
	name        string
	full, usual int
	command     func(i int) string
	put         func(r *rig, i int)
	// bound is the time to the last proof that the quotas allow.
	bound func(n int) time.Duration
	// cancels is the time to the last proof that the quota for cancels allows; nil: the service sends no events.
	cancels func(n int) time.Duration
}

func cancelStepsOf(id, on, step string) string {
	return fmt.Sprintf(`{"id":%q,"action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":[%q]}}`, id, on, step)
}

// A fleet of full size is proved to have stopped within 1.25 times the time that its quotas allow.
func TestFleetsToTheirLastProof(t *testing.T) {
	t.Parallel()
	for _, f := range proofFleets() {
		t.Run(f.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				n := size(f.full, f.usual)
				_, took := f.run(r, n)
				f.holds(r, n, took, f.bound(n))
			}, stopsAfter(stop), fleetQuotas)
		})
	}
}

// Where events come in, at most one target in a hundred is proved by a read, and the last proof is as soon as the quota for
// cancels allows.
func TestFleetsByEvents(t *testing.T) {
	t.Parallel()
	for _, f := range proofFleets() {
		if f.cancels == nil {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				n := size(f.full, f.usual/4)
				got, took := f.run(r, n)
				polled := 0
				for _, d := range got {
					if d.ConfirmedBy != outcome.ConfirmedByEvent {
						polled++
					}
				}
				if t.Logf("%d of %d were proved by reads", polled, n); polled > n/100 {
					t.Errorf("%d of %d were proved by reads", polled, n)
				}
				f.holds(r, n, took, f.cancels(n))
			}, stopsAfter(stop), fleetQuotas, withEvents(time.Second))
		})
	}
}

// fleetQuotas are those that the simulator does not know by itself, and a worker that holds the whole fleet.
func fleetQuotas(o *awssim.Options, w *worker.Options) {
	w.MaxInFlight = 15_000 // a lane holds three quarters at most: a larger fleet comes in parts, and calls are not full
	o.Quotas = map[string]awssim.Quota{
		"states:StopExecution": quotaStop, "states:DescribeExecution": {Rate: 15, Burst: 300}, "states:ListExecutions": {Rate: 5, Burst: 200},
		"fsx:CancelDataRepositoryTask": quotaTasks, "fsx:DescribeDataRepositoryTasks": quotaTasks,
	}
}

// run cancels a fleet, all of it confirmed, and says how long the last proof took.
func (f proofFleet) run(r *rig, n int) (got map[string]outcome.Data, took time.Duration) {
	r.t.Helper()
	bodies := make([]string, n)
	for i := range bodies {
		f.put(r, i)
		bodies[i] = strings.Replace(f.command(i), `"parameters"`, `"confirm":"6h","parameters"`, 1)
	}
	began := time.Now()
	r.send(bodies...)
	got = r.settled(n, 8*time.Hour)
	for id, d := range got {
		if d.Status != handlers.Cancelled {
			r.t.Fatalf("%s is %s", id, d.Status)
		}
		took = max(took, d.FinishedAt.Sub(began))
	}
	return got, took
}

// holds holds the time of a fleet of n to a multiple of what the quotas allow.
func (f proofFleet) holds(r *rig, n int, took, bound time.Duration) {
	r.t.Helper()
	most := time.Duration(1.25*float64(bound)) + time.Second // SQS delays by whole seconds
	if n < f.full {
		most += 5 * time.Second // some seconds between looks weigh more where all takes ten
	}
	r.t.Logf("%s, and the quotas allow %s: %.2f", took, bound, took.Seconds()/bound.Seconds())
	if took > most {
		r.t.Errorf("that is more than %s: %v", most, r.sim.Counts())
	}
}
