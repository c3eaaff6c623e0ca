package worker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// receivesOf is how often the messages of the queue were received, at most and on average.
func (r *rig) receivesOf() (most int, mean float64) {
	messages := r.sim.Messages(r.queue)
	for _, m := range messages {
		most = max(most, m.Receives)
		mean += float64(m.Receives)
	}
	return most, mean / float64(max(len(messages), 1))
}

// Receives are few, and what they are used up by ends commands. A backlog of which each
// command has a key of its own is not taken back to be refused again.
func TestABacklogOfManyKeysIsReceivedSeldom(t *testing.T) {
	inBubble(t, func(r *rig) {
		bodies := make([]string, 1000)
		for i := range bodies {
			workflow := fmt.Sprintf("w-%d", i)
			r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: workflow, RunID: "run"})
			bodies[i] = fmt.Sprintf(`{"id":"b-%d","action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":%q,"runId":"run"}}`, i, workflow)
		}
		r.send(bodies...)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if r.metric("rescind_messages_total", "deferred") == 0 {
			t.Fatal("nothing was deferred: the test shows nothing")
		}
		if mean := float64(r.metric("rescind_messages_total", "received")) / float64(len(bodies)); mean > 3 {
			t.Errorf("a message was received %.1f times in a quarter of an hour, want 3 at most", mean)
		}
		if done := len(r.outcomes()); done < 850 {
			t.Errorf("%d are done after 900 s at one call a second", done)
		}
	}, isolated, func(s *awssim.Options, w *worker.Options) {
		s.Quotas = map[string]awssim.Quota{"swf:RequestCancelWorkflowExecution": {Rate: 1, Burst: 10}}
		w.Quotas = worker.Quotas{"swf:RequestCancelWorkflowExecution": {Rate: 1, Burst: 10}}
	})
}

// A service that answers now and then is as good as down: its messages are not received more
// often than where it never answers.
func TestAFlappingServiceCostsNoMoreReceives(t *testing.T) {
	t.Parallel()
	n := size(500, 200)
	costs := func(broken float64) (mean float64) {
		inBubble(t, func(r *rig) {
			r.sim.SetFaults(awssim.Faults{"batch:*": {Broken: broken}})
			bodies := make([]string, n)
			for i := range bodies {
				bodies[i] = batchJob("b", "us-east-1")(r, i)
			}
			r.send(bodies...)
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			mean = float64(r.metric("rescind_messages_total", "received")) / float64(len(bodies))
			t.Logf("%.1f receives a message where %.0f of 100 requests fail", mean, 100*broken)
		}, isolated, func(_ *awssim.Options, w *worker.Options) { w.MaxInFlight = n / 2 })
		return mean
	}
	if flapping, down := costs(0.97), costs(1); flapping > 1.5*down || down > 16 {
		t.Errorf("%.1f receives a message where 97 of 100 requests fail, and %.1f where all do; want 16 at most", flapping, down)
	}
}

// What the window puts out for others comes back soon where its own lane goes on.
func TestWhatWasPutOutOfAQuickLaneComesBackSoon(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 750
		bodies := make([]string, n)
		for i := range bodies {
			bodies[i] = strings.Replace(iotExecution(r, i), `"a-`, `"b-`, 1)
		}
		r.send(bodies...)
		time.Sleep(500 * time.Millisecond)
		for i := range bodies {
			bodies[i] = strings.Replace(emrStep(r, i), `"b-`, `"e-`, 1)
		}
		r.send(bodies...)
		time.Sleep(time.Minute)
		synctest.Wait()
		sent, took := r.latencies("b-")
		if len(sent) != n {
			t.Fatalf("%d of %d are done after a minute", len(sent), n)
		}
		if worst := p99(took); worst > 15*time.Second {
			t.Errorf("750 commands at 90 calls a second take up to %s (p99), want 15 s at most", worst)
		}
	}, isolated, func(s *awssim.Options, w *worker.Options) {
		w.MaxInFlight = 1000
		s.Quotas = map[string]awssim.Quota{"iot:*": {}, "iot:CancelJobExecution": {Rate: 90, Burst: 90}, "elasticmapreduce:CancelSteps": {Rate: 0.02, Burst: 1}}
		w.Quotas = worker.Quotas{"iot:*": {}, "iot:CancelJobExecution": {Rate: 90, Burst: 90}, "emr:CancelSteps": {Rate: 0.02, Burst: 1}}
	})
}

// A lane without a quota, of which half of the calls fail, does not keep from others what stands
// behind it in the queue.
func TestAFailingLaneWithoutQuotaLetsOthersBy(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n, behind = 10_000, 10
		r.sim.SetFaults(awssim.Faults{"iot:*": {Late: 1, LateBy: 200 * time.Millisecond, Broken: 0.5}})
		bodies := make([]string, n)
		for i := range bodies {
			bodies[i] = strings.Replace(iotExecution(r, i), `"a-`, `"b-`, 1)
		}
		r.send(bodies...)
		for i := range behind {
			task := fmt.Sprintf("task-%017x", i)
			r.sim.PutTasks(awssim.Task{ID: task})
			r.send(fmt.Sprintf(`{"id":"a-%d","action":"fsx:CancelDataRepositoryTask","parameters":{"TaskId":%q}}`, i, task))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		sent, took := r.latencies("a-")
		if len(sent) < behind-1 {
			t.Fatalf("%d of %d behind a failing lane have outcomes", len(sent), behind)
		}
		if took[0] > 3*time.Second || took[behind-3] > 100*time.Millisecond {
			t.Errorf("behind a failing lane the first took %s, and the others %v", took[0], took[1:])
		}
	}, isolated, func(s *awssim.Options, w *worker.Options) {
		s.Quotas = map[string]awssim.Quota{"iot:*": {}, "iot:CancelJobExecution": {}}
		w.Quotas = worker.Quotas{"iot:*": {}, "iot:CancelJobExecution": {}}
	})
}
