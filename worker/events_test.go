package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
)

// withEvents has AWS's events of state changes go to a queue of the worker's, so long after each change.
func withEvents(delay time.Duration) setting {
	return func(o *awssim.Options, _ *worker.Options) {
		o.Events.Queue, o.Events.Delay = "arn:aws:sqs:us-east-1:123456789012:"+stateQueue, delay
	}
}

// reporting are the services that send events of their targets: what is put in, the command, and reads by which operations.
func reporting() map[string]struct {
	put     func(r *rig)
	command string
	reads   []string
} {
	type row = struct {
		put     func(r *rig)
		command string
		reads   []string
	}
	return map[string]row{
		"Batch": {func(r *rig) { r.sim.PutJobs(awssim.Job{ID: "job"}) }, cancelJob("one", "job"), []string{"batch:DescribeJobs"}},
		"EMR": {func(r *rig) { r.sim.PutSteps(awssim.Step{Cluster: "j-1", ID: "s-1"}) }, cancelStepsOf("one", "j-1", "s-1"),
			[]string{"elasticmapreduce:ListSteps"}},
		"Step Functions": {func(r *rig) { r.sim.PutExecutions(awssim.Execution{ARN: theExecution}) }, stopExecution,
			[]string{"states:DescribeExecution", "states:ListExecutions"}},
	}
}

const (
	theExecution  = "arn:aws:states:us-east-1:123456789012:execution:m:1"
	stopExecution = `{"id":"one","action":"stepfunctions:StopExecution","parameters":{"executionArn":"` + theExecution + `"}}`
)

func (r *rig) readsOf(operations []string) (n int64) {
	for _, each := range operations {
		n += r.sim.Counts()[each].Requests
	}
	return n
}

// Where events come in, the next look ends the command without a call, whenever the target stops.
func TestEventsAreProof(t *testing.T) {
	for service, row := range reporting() {
		for _, stops := range []time.Duration{0, 5 * time.Second, 20 * time.Second} {
			t.Run(fmt.Sprint(service, "/", stops), func(t *testing.T) {
				inBubble(t, func(r *rig) {
					row.put(r)
					r.send(asking(row.command, `"confirm":"30m"`))
					got := r.one(time.Hour)
					if got.Status != handlers.Cancelled {
						t.Errorf("it is %s", got.Status)
					}
					if service == "Batch" && stops == 0 {
						return // the read right after the call shows it
					}
					if got.ConfirmedBy != outcome.ConfirmedByEvent {
						t.Errorf("it is confirmed by %s", got.ConfirmedBy)
					}
					if got.after > stops+stops/4+4*time.Second {
						t.Errorf("it stopped after %s, and the outcome says so after %s", stops, got.after)
					}
					reads := r.readsOf(row.reads)
					if service == "Batch" {
						reads-- // which is made in any case
					}
					if reads > 0 {
						t.Errorf("%d reads for proof", reads)
					}
					if left := r.sim.Depth(stateQueue); left != (awssim.Depth{}) {
						t.Errorf("on the state queue are %+v", left)
					}
				}, stopsAfter(stops), withEvents(time.Second))
			})
		}
	}
}

// Without an event AWS is asked all the same: after half a minute, each time that twice as long has passed, and at last.
func TestLostEventsCostTimeOnly(t *testing.T) {
	for service, row := range reporting() {
		t.Run(service, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				row.put(r)
				r.send(asking(row.command, `"confirm":"3h"`))
				got := r.one(4 * time.Hour)
				if got.Status != handlers.Cancelled || got.ConfirmedBy != outcome.ConfirmedByPoll {
					t.Errorf("it is %s, confirmed by %s", got.Status, got.ConfirmedBy)
				}
				if n := r.readsOf(row.reads); n > 9 {
					t.Errorf("%d reads", n)
				}
				if got.after > 70*time.Minute {
					t.Errorf("after %s", got.after)
				}
			}, stopsAfter(30*time.Minute), withEvents(0), func(o *awssim.Options, _ *worker.Options) { o.Events.Lost = 1 })
		})
	}
}

// What ended by itself while it was waited for is not called cancelled.
func TestAnEventOfAnotherEnd(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutJobs(awssim.Job{ID: "job", State: "STARTING", Then: []awssim.JobChange{{After: 8 * time.Second, State: "SUCCEEDED"}}})
		r.sim.PutExecutions(awssim.Execution{ARN: theExecution, State: stepfunctions.Running})
		r.send(asking(strings.Replace(cancelJob("one", "job"), "CancelJob", "TerminateJob", 1), `"confirm":"10m"`))
		time.Sleep(3 * time.Second)
		// The terminate is on its way, and the job ends before it has any effect.
		r.sim.PutJobs(awssim.Job{ID: "job", State: "RUNNING", Then: []awssim.JobChange{{After: 2 * time.Second, State: "SUCCEEDED"}}})
		got := r.one(time.Hour)
		if got.Status != handlers.AlreadyEnded || got.ConfirmedBy != outcome.ConfirmedByEvent {
			t.Errorf("it is %s, confirmed by %s", got.Status, got.ConfirmedBy)
		}
	}, stopsAfter(time.Hour), withEvents(0))
}

// event is an event of EventBridge's around a detail.
func event(source, detailType, account, region string, at time.Time, detail string) string {
	return fmt.Sprintf(`{"version":"0","id":"c8f9c4b5","detail-type":%q,"source":%q,"account":%q,"time":%q,"region":%q,"resources":[],"detail":%s}`,
		detailType, source, account, at.UTC().Format(time.RFC3339), region, detail)
}

// Events that are not about the target, or not about its end, or older than the cancel, or no events, change nothing and
// keep nothing waiting.
func TestEventsThatProveNothing(t *testing.T) {
	const own, region, jobs = "123456789012", "us-east-1", "Batch Job State Change"
	failed := `{"jobId":"job","status":"FAILED","statusReason":"over budget"}`
	for name, body := range map[string]func(now time.Time) string{
		"another account's": func(now time.Time) string { return event("aws.batch", jobs, "222222222222", region, now, failed) },
		"another region's":  func(now time.Time) string { return event("aws.batch", jobs, own, "eu-west-1", now, failed) },
		"another service's": func(now time.Time) string { return event("aws.emr", jobs, own, region, now, failed) },
		"another kind's": func(now time.Time) string {
			return event("aws.batch", "Batch Service Job State Change", own, region, now, failed)
		},
		"of another job": func(now time.Time) string {
			return event("aws.batch", jobs, own, region, now, strings.Replace(failed, `"job"`, `"job2"`, 1))
		},
		"of before the cancel": func(now time.Time) string {
			return event("aws.batch", jobs, own, region, now.Add(-time.Minute), failed)
		},
		"of no time": func(now time.Time) string {
			return strings.Replace(event("aws.batch", jobs, own, region, now, failed), `"time"`, `"when"`, 1)
		},
		"of no end": func(now time.Time) string {
			return event("aws.batch", jobs, own, region, now, strings.Replace(failed, "FAILED", "RUNNABLE", 1))
		},
		"of a state to come": func(now time.Time) string {
			return event("aws.batch", jobs, own, region, now, strings.Replace(failed, "FAILED", "GONE", 1))
		},
		"with another reason": func(now time.Time) string {
			return event("aws.batch", jobs, own, region, now, strings.Replace(failed, "over budget", "Host EC2 terminated", 1))
		},
		"with another detail": func(now time.Time) string { return event("aws.batch", jobs, own, region, now, `["job"]`) },
		"no JSON":             func(time.Time) string { return "FAILED" },
		"a command":           func(time.Time) string { return cancelJob("two", "job") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.sim.PutJobs(awssim.Job{ID: "job"})
				r.send(asking(cancelJob("one", "job"), `"confirm":"1m"`))
				time.Sleep(2 * time.Second)
				r.must(r.sim.Send(stateQueue, body(time.Now())))
				got := r.one(time.Hour)
				if got.Status != handlers.Accepted || got.after < time.Minute {
					t.Errorf("it is %s after %s", got.Status, got.after)
				}
				left := r.sim.Depth(stateQueue)
				if isEvent := name != "no JSON" && name != "a command"; (left == (awssim.Depth{})) != isEvent {
					t.Errorf("on the state queue are %+v", left)
				}
			}, stopsAfter(time.Hour), withEvents(0))
		})
	}
}

// Events that come late, twice and in any order end each command once.
func TestEventsLateAndDoubled(t *testing.T) {
	const n = 200
	inBubble(t, func(r *rig) {
		for i := range n {
			r.sim.PutJobs(awssim.Job{ID: fmt.Sprintf("job-%d", i)})
			r.send(asking(cancelJob(fmt.Sprintf("c%d", i), fmt.Sprintf("job-%d", i)), `"confirm":"1h"`))
		}
		byEvent := 0
		for id, d := range r.settled(n, time.Hour) {
			if d.Status != handlers.Cancelled {
				t.Errorf("%s is %s", id, d.Status)
			}
			if d.ConfirmedBy == outcome.ConfirmedByEvent {
				byEvent++
			}
		}
		if byEvent < n/2 {
			t.Errorf("%d of %d were confirmed by events", byEvent, n)
		}
	}, stopsAfter(5*time.Second), withEvents(500*time.Millisecond), func(o *awssim.Options, _ *worker.Options) {
		o.Events.Lost, o.Events.Doubled, o.Events.Late, o.Events.LateBy = 0.1, 0.3, 0.3, 40*time.Second
	})
}

// forgetsEvents is a ledger that is unavailable for events.
type forgetsEvents struct{ ledger.Ledger }

func (forgetsEvents) PutEvents(_ context.Context, events ...ledger.Event) []error {
	return slices.Repeat([]error{errors.New("the store is down")}, len(events))
}

// A worker that can neither end a command nor store an event stops within its drain all the same, and loses neither.
func TestTheDrainIsSharedWithTheStateQueue(t *testing.T) {
	inBubble(t, func(r *rig) {
		o := worker.Options{StateQueueURL: strings.TrimSuffix(r.queue, "commands") + stateQueue}
		r.must(r.stop())
		r.startOn(o, func(l ledger.Ledger) ledger.Ledger { return forgetsEvents{l} })
		r.sim.PutJobs(awssim.Job{ID: "job"})
		r.sim.SetHang("batch", true)
		r.send(cancelJob("one", "job"))
		r.must(r.sim.Send(stateQueue, event("aws.batch", "Batch Job State Change", "123456789012", "us-east-1", time.Now(), `{"jobId":"job","status":"FAILED"}`)))
		time.Sleep(5 * time.Second)
		began := time.Now()
		_ = r.stop() // what could not be settled is said
		if took := time.Since(began); took > worker.DefaultDrain+8*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		r.sim.SetHang("batch", false)
		r.start(o)
		r.settled(1, 10*time.Minute)
		time.Sleep(2 * time.Minute)
		if left := r.sim.Depth(stateQueue); left != (awssim.Depth{}) {
			t.Errorf("on the state queue are %+v", left)
		}
	}, withEvents(0))
}
