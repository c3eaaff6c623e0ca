package worker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/worker"
)

const cluster = "j-A"

// cancelSteps is a command for steps of the cluster.
func cancelSteps(id string, steps ...string) string {
	return fmt.Sprintf(`{"id":%q,"action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":["%s"]}}`,
		id, cluster, strings.Join(steps, `","`))
}

// steps puts n PENDING steps on the cluster and returns their ids.
func (r *rig) steps(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("s-%04d", i)
		r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: ids[i]})
	}
	return ids
}

func TestOneCommandOver256StepsIsOneCall(t *testing.T) {
	inBubble(t, func(r *rig) {
		ids := r.steps(256)
		r.send(cancelSteps("all", ids...))
		d := r.settled(1, time.Minute)["all"]
		if d.Status != handlers.Accepted || d.Verdict != handlers.Pending || d.Counts[handlers.Accepted] != 256 {
			t.Errorf("got %s/%s %v", d.Status, d.Verdict, d.Counts)
		}
		for i, target := range d.Targets {
			if target.ID != ids[i] {
				t.Fatalf("target %d is %s, want %s: the order of the parameters", i, target.ID, ids[i])
			}
		}
		if d.Attempts.Calls != 1 {
			t.Errorf("the outcome counts %d calls, want the one that was made", d.Attempts.Calls)
		}
		if n := r.sim.Counts()["elasticmapreduce:CancelSteps"].Requests; n != 1 || r.calls("elasticmapreduce") != 1 {
			t.Errorf("%d calls of CancelSteps, %d of EMR, want 1", n, r.calls("elasticmapreduce"))
		}
	})
}

func TestTargetsThatEndDifferentlyMakeAPartialOutcome(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutSteps(
			awssim.Step{Cluster: cluster, ID: "s-PENDING", State: "PENDING"},
			awssim.Step{Cluster: cluster, ID: "s-CANCELLED", State: "CANCELLED"},
			awssim.Step{Cluster: cluster, ID: "s-COMPLETED", State: "COMPLETED"},
		)
		r.send(cancelSteps("some", "s-PENDING", "s-CANCELLED", "s-COMPLETED"))
		d := r.settled(1, time.Minute)["some"]
		want := map[handlers.Status]int{handlers.Accepted: 1, handlers.AlreadyCancelled: 1, handlers.AlreadyEnded: 1}
		if d.Status != handlers.Partial || d.Verdict != handlers.Pending || fmt.Sprint(d.Counts) != fmt.Sprint(want) {
			t.Errorf("got %s/%s %v, want partial/pending %v", d.Status, d.Verdict, d.Counts, want)
		}
	})
}

func TestAnUnknownIDSpoilsNobodyElse(t *testing.T) {
	t.Run("among 256 steps of one command", func(t *testing.T) {
		inBubble(t, func(r *rig) {
			ids := r.steps(255)
			ids = append(ids[:100], append([]string{"s-UNKNOWN"}, ids[100:]...)...)
			r.send(cancelSteps("all", ids...))
			d := r.settled(1, time.Hour)["all"]
			if d.Counts[handlers.Accepted] != 255 || d.Counts[handlers.NotFound] != 1 || d.Status != handlers.Partial {
				t.Errorf("got %s %v", d.Status, d.Counts)
			}
		})
	})
	t.Run("among 50 tasks of as many commands", func(t *testing.T) {
		inBubble(t, func(r *rig) {
			bodies := make([]string, 50)
			for i := range bodies {
				id := fmt.Sprintf("task-%017x", i)
				if i != 17 {
					// Ended, so that every one of them has to be read, fifty to a request.
					r.sim.PutTasks(awssim.Task{ID: id, State: "SUCCEEDED"})
				}
				bodies[i] = fmt.Sprintf(`{"id":"c-%d","action":"fsx:CancelDataRepositoryTask","parameters":{"TaskId":%q}}`, i, id)
			}
			r.send(bodies...)
			got := r.settled(50, time.Hour)
			if tally(got) != "already_ended:49 not_found:1" || got["c-17"].Status != handlers.NotFound {
				t.Error(tally(got))
			}
		})
	})
}

func TestAThrottleInTheMiddleAndAStopLoseNoResult(t *testing.T) {
	inBubble(t, func(r *rig) {
		// One bad id has the call refused and run in halves; the quota lets the first few through
		// and throttles the rest, and the worker is stopped meanwhile.
		ids := r.steps(64)
		ids[40] = "s-UNKNOWN"
		r.sim.SetQuota("elasticmapreduce:CancelSteps", awssim.Quota{Rate: 0.05, Burst: 3})
		r.send(cancelSteps("all", ids...))
		time.Sleep(30 * time.Second)
		r.must(r.stop())
		if n := len(r.outcomes()); n != 0 {
			t.Fatalf("%d outcomes before the stop: the test shows nothing", n)
		}
		before := 0
		for _, s := range r.sim.Steps(cluster) {
			if s.State != "PENDING" {
				before++
			}
		}
		if before == 0 || before == 63 {
			t.Fatalf("%d of 63 steps were cancelled before the stop: the test shows nothing", before)
		}
		r.start(worker.Options{})
		d := r.settled(1, 3*time.Hour)["all"]
		if d.Counts[handlers.Accepted] != 63 || d.Counts[handlers.NotFound] != 1 || !d.Resumed {
			t.Errorf("got %s %v, resumed %t", d.Status, d.Counts, d.Resumed)
		}
	})
}

func TestThrottlingAndAReleaseClaimNoCancelOfOurs(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		r.start(worker.Options{Patience: 10 * time.Second})
		r.sim.PutSteps(awssim.Step{Cluster: cluster, ID: "s-1", State: "CANCELLED"})
		r.sim.SetQuota("elasticmapreduce:CancelSteps", awssim.Quota{Rate: 1e-9, Burst: 1})
		r.send(cancelSteps("first", "s-0"), cancelSteps("one", "s-1")) // the only token goes to one of them, or to both
		time.Sleep(5 * time.Minute)
		r.send(cancelSteps("two", "s-1"))
		time.Sleep(time.Minute)
		r.sim.SetQuota("elasticmapreduce:CancelSteps", awssim.Quota{})
		d := r.settled(3, 3*time.Hour)["two"]
		if d.Status != handlers.AlreadyCancelled || !d.Resumed || d.Attempts.Throttled == 0 {
			t.Errorf("got %s, resumed %t, %+v: want already_cancelled after throttling and a release", d.Status, d.Resumed, d.Attempts)
		}
	})
}

func TestOnlyATargetAloneCarriesARefusal(t *testing.T) {
	inBubble(t, func(r *rig) {
		ids := append(r.steps(3), "s-UNKNOWN")
		r.sim.SetQuota("elasticmapreduce:CancelSteps", awssim.Quota{Rate: 1e-9, Burst: 1})
		expires := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
		r.send(strings.TrimSuffix(cancelSteps("all", ids...), "}") + `,"expiresAt":"` + expires + `"}`)
		d := r.settled(1, time.Hour)["all"]
		for _, target := range d.Targets[:3] {
			if target.Status != handlers.Failed || target.Code != "Expired" {
				t.Errorf("%s carries %s %s %q", target.ID, target.Status, target.Code, target.Message)
			}
		}
	})
}

func TestARunThatWasResolvedRemainsResolved(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "first"})
		r.sim.SetDown("swf", true)
		r.send(`{"id":"one","action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":"w"}}`)
		time.Sleep(time.Second)
		synctest.Wait()
		r.sim.SetDown("swf", false)
		d := r.settled(1, time.Hour)["one"]
		if d.Status != handlers.Accepted {
			t.Errorf("got %s %+v", d.Status, d.Targets)
		}
		if w, _ := r.sim.Workflow("d", "w", "first"); !w.CancelRequested {
			t.Errorf("the run is %+v", w)
		}
	})
}

// cancelOpen is a command for whichever run of the workflow "w" is open.
func cancelOpen(id string) string {
	return fmt.Sprintf(`{"id":%q,"action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":"w"}}`, id)
}

func TestASecondCommandWithoutARunIsASuccess(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "only"})
		r.send(cancelOpen("one"))
		if d := r.settled(1, time.Minute)["one"]; d.Status != handlers.Accepted {
			t.Fatalf("got %s %+v", d.Status, d.Targets)
		}
		time.Sleep(time.Hour)
		r.send(cancelOpen("two"))
		d := r.settled(2, time.Minute)["two"]
		if d.Status != handlers.AlreadyCancelled || d.Targets[0].After != "CLOSED/CANCELED" || d.Attempts.Calls != 2 {
			t.Errorf("got %s %+v in %d calls, want already_cancelled in two listings", d.Status, d.Targets, d.Attempts.Calls)
		}
		n := r.sim.Counts()
		if n["swf:RequestCancelWorkflowExecution"].Requests != 1 || n["swf:DescribeWorkflowExecution"].Requests != 0 {
			t.Errorf("%+v, want one cancelling call and no description", n)
		}
	})
}

func TestAListingThatIsHeldUpIsTakenUpAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		r.start(worker.Options{Patience: 10 * time.Second})
		r.sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "only", Close: "TIMED_OUT"})
		r.sim.SetFaults(awssim.Faults{"swf:ListClosedWorkflowExecutions": {Broken: 1}})
		r.send(cancelOpen("one"))
		time.Sleep(5 * time.Minute)
		r.sim.SetFaults(nil)
		d := r.settled(1, time.Hour)["one"]
		if d.Status != handlers.AlreadyEnded || !d.Resumed || d.Attempts.Unavailable == 0 {
			t.Errorf("got %s, resumed %t, %+v", d.Status, d.Resumed, d.Attempts)
		}
		if n := r.sim.Counts()["swf:RequestCancelWorkflowExecution"].Requests; n != 0 {
			t.Errorf("%d cancelling calls, want none", n)
		}
	})
}

func TestAVersionConflictIsSettledByTheState(t *testing.T) {
	inBubble(t, func(r *rig) {
		want := map[string]handlers.Status{"QUEUED": handlers.Conflict, "CANCELED": handlers.AlreadyCancelled, "SUCCEEDED": handlers.AlreadyEnded}
		for state := range want {
			r.sim.PutJobExecutions(awssim.JobExecution{Thing: state, Job: "j", State: iot.State(state), Version: 3})
			r.send(fmt.Sprintf(`{"id":%q,"action":"iot:CancelJobExecution","parameters":{"thingName":%q,"jobId":"j","expectedVersion":2}}`, state, state))
		}
		got := r.settled(len(want), time.Minute)
		for state, status := range want {
			if d := got[state]; d.Status != status || status == handlers.Conflict && d.Code != "VersionConflictException" {
				t.Errorf("%s: %s %s, want %s", state, d.Status, d.Code, status)
			}
		}
		// Ends are read once; that one goes on is read five times, as it may have ended a moment ago.
		if n := r.sim.Counts(); n["iot:CancelJobExecution"].Requests != 3 || n["iot:DescribeJobExecution"].Requests != 7 {
			t.Errorf("%+v, want three calls and seven reads", n)
		}
	})
}

// leavingOut answers every CancelSteps, once it was done, as if it had named no step.
type leavingOut struct{ aws.HTTPClient }

func (c leavingOut) Do(req *http.Request) (*http.Response, error) {
	resp, err := c.HTTPClient.Do(req)
	if err != nil || !strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".CancelSteps") {
		return resp, err
	}
	const body = `{"CancelStepsInfoList":[]}`
	err = resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return resp, err
}

func TestAStepThatTheAnswerLeavesOutIsReadAndNotCalledAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.stop())
		config := r.sim.Config()
		config.HTTPClient = leavingOut{config.HTTPClient}
		r.start(worker.Options{AWS: config})
		r.send(cancelSteps("all", r.steps(3)...))
		d := r.settled(1, time.Minute)["all"]
		if n := r.sim.Counts()["elasticmapreduce:CancelSteps"].Requests; d.Status != handlers.Cancelled || n != 1 {
			t.Errorf("got %s %v in %d calls, want cancelled, for all that is known by our own call, in one", d.Status, d.Counts, n)
		}
	})
}
