package worker_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// emptyReceives counts the receives that brought nothing.
type emptyReceives struct {
	aws.HTTPClient
	count atomic.Int64
}

func (c *emptyReceives) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.HTTPClient.Do(r)
	if err != nil || r.Header.Get("X-Amz-Target") != "AmazonSQS.ReceiveMessage" {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = resp.Body.Close()
	}
	if err == nil && !bytes.Contains(body, []byte(`"MessageId"`)) {
		c.count.Add(1)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// A saturated worker fills its requests. What 1,000 commands may cost is, of SQS, 100 receives and
// 100 deletes, of SNS 100 publishes, and of the service a call for as many targets as it takes:
// CancelJobs 50 and DescribeJobs 100 for Batch, which leaves 15 of 345 for slack; 256 for EMR,
// where the steps are of one cluster; one for IoT, SWF and FSx. EMR's calls keep AWS's quota: without
// one no step waits for others to share its call. There 310 are wanted, and the part-filled publish
// and delete in which each of the twenty calls ends come to 309 or 310, as it happens.
func TestRequestsOfAThousandCommands(t *testing.T) {
	n := size(5000, 0)
	if n == 0 {
		t.Skipf("NOT TESTED: requests for 1,000 commands; %s=1 runs it, for most of a minute", atFullSize)
	}
	unlimitedSim, unlimited := map[string]awssim.Quota{}, worker.Quotas{}
	for _, name := range []string{
		"batch:*", "iot:*", "iot:CancelJobExecution", "iot:DescribeJobExecution",
		"swf:*", "swf:RequestCancelWorkflowExecution", "swf:DescribeWorkflowExecution", "fsx:*", "fsx:CancelDataRepositoryTask",
	} {
		unlimitedSim[name] = awssim.Quota{}
		unlimited[name] = handlers.Quota{}
	}
	for _, test := range []struct {
		service string
		most    float64
		put     func(sim *awssim.Sim, i int) (command string)
	}{
		{"batch", 345, func(sim *awssim.Sim, i int) string {
			job := fmt.Sprintf("job-%d", i)
			sim.PutJobs(awssim.Job{ID: job, State: "RUNNABLE"})
			return cancelJob(fmt.Sprintf("c-%d", i), job)
		}},
		{"emr", 340, func(sim *awssim.Sim, i int) string {
			cluster, step := fmt.Sprintf("j-%013d", i%10), fmt.Sprintf("s-%013d", i)
			sim.PutSteps(awssim.Step{Cluster: cluster, ID: step})
			return fmt.Sprintf(`{"action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":[%q]}}`, cluster, step)
		}},
		{"iot", 1310, func(sim *awssim.Sim, i int) string {
			thing := fmt.Sprintf("thing-%d", i)
			sim.PutJobExecutions(awssim.JobExecution{Thing: thing, Job: "j", State: "QUEUED"})
			return fmt.Sprintf(`{"action":"iot:CancelJobExecution","parameters":{"thingName":%q,"jobId":"j"}}`, thing)
		}},
		{"swf", 1310, func(sim *awssim.Sim, i int) string {
			id := fmt.Sprintf("w-%d", i)
			sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: id, RunID: "only"})
			return fmt.Sprintf(`{"action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":%q,"runId":"only"}}`, id)
		}},
		{"fsx", 1310, func(sim *awssim.Sim, i int) string {
			id := fmt.Sprintf("task-%017x", i)
			sim.PutTasks(awssim.Task{ID: id})
			return fmt.Sprintf(`{"action":"fsx:CancelDataRepositoryTask","parameters":{"TaskId":%q}}`, id)
		}},
	} {
		t.Run(test.service, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.must(r.stop()) // so that all commands lie there before the worker begins
				before := r.requests()
				bodies := make([]string, n)
				for i := range bodies {
					bodies[i] = test.put(r.sim, i)
				}
				r.send(bodies...)
				cfg := r.sim.Config()
				empty := &emptyReceives{HTTPClient: cfg.HTTPClient}
				cfg.HTTPClient = empty
				r.start(worker.Options{AWS: cfg, Quotas: unlimited})
				got := r.settled(n, time.Hour)
				for id, d := range got {
					if d.Status != "cancelled" && d.Status != "accepted" {
						t.Fatalf("%s is %s: %+v", id, d.Status, d)
					}
				}
				per := float64(r.requests()-before-empty.count.Load()) * 1000 / float64(n)
				t.Logf("%.1f requests for 1,000 commands, at most %.0f wanted: %v", per, test.most, r.counted())
				if per > test.most {
					t.Errorf("%.1f requests for 1,000 commands, want at most %.0f", per, test.most)
				}
			}, func(s *awssim.Options, _ *worker.Options) {
				s.Latency, s.History, s.Quotas = 20*time.Millisecond, false, unlimitedSim
			})
		})
	}
}

// requests counts all requests made so far.
func (r *rig) requests() (n int64) {
	for _, count := range r.sim.Counts() {
		n += count.Requests
	}
	return n
}

// counted is the requests made so far, by operation.
func (r *rig) counted() map[string]int64 {
	all := map[string]int64{}
	for name, count := range r.sim.Counts() {
		all[name] = count.Requests
	}
	return all
}
