package worker_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// faulty is a service whose targets with names that begin "bad" fail, and the command for one.
type faulty struct {
	service string // of the action
	signing string // of the simulator's faults
	put     func(sim *awssim.Sim, name string, i int) (command string)
}

// faultyServices are those of the published quotas. Of EMR each step is of a cluster of its own: of one cluster
// all steps go in one call, and to find the one at fault costs calls out of one in two seconds.
func faultyServices() []faulty {
	return []faulty{
		{"batch", "batch", func(sim *awssim.Sim, name string, _ int) string {
			sim.PutJobs(awssim.Job{ID: name, State: "RUNNABLE"})
			return cancelJob(name, name)
		}},
		{"emr", "elasticmapreduce", func(sim *awssim.Sim, name string, i int) string {
			cluster := fmt.Sprintf("j-%013d", i)
			sim.PutSteps(awssim.Step{Cluster: cluster, ID: name})
			return fmt.Sprintf(`{"id":%q,"action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":[%q]}}`, name, cluster, name)
		}},
		{"iot", "iot", func(sim *awssim.Sim, name string, _ int) string {
			sim.PutJobExecutions(awssim.JobExecution{Thing: name, Job: "j", State: "QUEUED"})
			return fmt.Sprintf(`{"id":%q,"action":"iot:CancelJobExecution","parameters":{"thingName":%q,"jobId":"j"}}`, name, name)
		}},
		{"swf", "swf", func(sim *awssim.Sim, name string, _ int) string {
			sim.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: name, RunID: "only"})
			return fmt.Sprintf(`{"id":%q,"action":"swf:RequestCancelWorkflowExecution","parameters":{"domain":"d","workflowId":%q,"runId":"only"}}`, name, name)
		}},
		{"fsx", "fsx", func(sim *awssim.Sim, name string, i int) string {
			id := fmt.Sprintf("task-%017x", i)
			if strings.HasPrefix(name, "bad") {
				id = fmt.Sprintf("task-bad%014x", i)
			}
			sim.PutTasks(awssim.Task{ID: id})
			return fmt.Sprintf(`{"id":%q,"action":"fsx:CancelDataRepositoryTask","parameters":{"TaskId":%q}}`, name, id)
		}},
		{"stepfunctions", "states", func(sim *awssim.Sim, name string, _ int) string {
			arn := "arn:aws:states:us-east-1:123456789012:execution:m:" + name
			sim.PutExecutions(awssim.Execution{ARN: arn})
			return fmt.Sprintf(`{"id":%q,"action":"stepfunctions:StopExecution","parameters":{"executionArn":%q}}`, name, arn)
		}},
	}
}

// goodOnes sends 200 good commands and so many bad ones between them, and returns in what time the
// last of the good ones had its outcome.
func (r *rig) goodOnes(f faulty, bad int, how awssim.Fault) time.Duration {
	r.t.Helper()
	how.Match = func(item string) bool { return strings.Contains(item, "bad") }
	r.sim.SetFaults(awssim.Faults{f.signing + ":*": how})
	const good = 200
	var bodies []string
	for i := range good {
		if i%60 == 10 && i/60 < bad {
			bodies = append(bodies, f.put(r.sim, fmt.Sprintf("bad-%d", i), 1000+i))
		}
		bodies = append(bodies, f.put(r.sim, fmt.Sprintf("good-%d", i), i))
	}
	began := time.Now()
	r.send(bodies...)
	for {
		time.Sleep(100 * time.Millisecond)
		if r.sim.Depth(outcomesQueue).Visible < good {
			if time.Since(began) > time.Hour {
				r.t.Fatalf("after an hour %d of %d good ones have outcomes", r.sim.Depth(outcomesQueue).Visible, good)
			}
			continue
		}
		_, took := r.latencies("good-")
		if len(took) == good {
			return slices.Max(took)
		}
	}
}

func TestThreeTargetsThatAlwaysFailHoldUpNobody(t *testing.T) {
	t.Parallel()
	const roundTrips = 100 * time.Millisecond
	plain := func(s *awssim.Options, w *worker.Options) {
		s.Latency, s.History, w.GiveUp = 20*time.Millisecond, false, time.Hour
	}
	for _, f := range faultyServices() {
		t.Run(f.service, func(t *testing.T) {
			var without time.Duration
			inBubble(t, func(r *rig) { without = r.goodOnes(f, 0, awssim.Fault{}) }, plain)
			inBubble(t, func(r *rig) {
				with := r.goodOnes(f, 3, awssim.Fault{Broken: 1})
				t.Logf("good ones: %v without, %v with three that fail", without, with)
				// 200 jobs are five calls, which no quota delays: each of those that fail costs four
				// round trips one after the other.
				if with > max(without*6/5, without+roundTrips) {
					t.Errorf("the good ones took %v, and %v without those that fail: want at most 1.2 times that", with, without)
				}
				for id, d := range r.settled(203, 2*time.Hour) {
					if isBad := strings.HasPrefix(id, "bad-"); isBad != (d.Status == handlers.Failed) {
						t.Errorf("%s is %s", id, d.Status)
					} else if isBad && (d.Targets[0].Code != "GaveUp" || d.FinishedAt.Sub(d.EnqueuedAt) < 59*time.Minute) {
						t.Errorf("%s ended after %v: %+v", id, d.FinishedAt.Sub(d.EnqueuedAt), d.Targets)
					}
				}
				t.Logf("calls: %v", r.counted())
			}, plain)
		})
	}
}

// However the three fail, the good ones end in the time that they take without them. Only jobs that share a call
// with one that is never answered wait for it: half a minute, until the call is given up, four times over, as it
// is run again and split. In the usual size the targets of each service fail in two of the ways; in full size in all.
func TestThreeTargetsHoweverTheyFailHoldUpNobody(t *testing.T) {
	t.Parallel()
	plain := func(s *awssim.Options, w *worker.Options) {
		s.Latency, s.History, w.GiveUp = 20*time.Millisecond, false, 20*time.Minute
	}
	ways := []struct {
		name string
		how  awssim.Fault
	}{
		{"no answer", awssim.Fault{NoAnswer: 1}},
		{"done and no answer", awssim.Fault{NoAnswerAfter: 1}},
		{"cut off", awssim.Fault{Unsent: 1}},
		{"done and cut off", awssim.Fault{Lost: 1}},
		{"one time in two", awssim.Fault{Broken: 0.5}},
		{"a middlebox", awssim.Fault{Middlebox: 1}},
		{"an expired token", awssim.Fault{Refused: 1}},
	}
	for i, f := range faultyServices() {
		var without time.Duration
		inBubble(t, func(r *rig) { without = r.goodOnes(f, 0, awssim.Fault{}) }, plain)
		for k := range size(len(ways), 2) {
			way := ways[(2*i+k)%len(ways)]
			t.Run(f.service+"/"+way.name, func(t *testing.T) {
				inBubble(t, func(r *rig) {
					how := way.how
					most := max(without*6/5, without+100*time.Millisecond)
					if f.service == "batch" && how.NoAnswer+how.NoAnswerAfter > 0 {
						most += 4 * 30 * time.Second
					}
					if with := r.goodOnes(f, 3, how); with > most {
						t.Errorf("the good ones took %v, and %v without those that fail: want at most %v", with, without, most)
					}
					for id, d := range r.settled(203, time.Hour) {
						if d.Status == handlers.Failed && (!strings.HasPrefix(id, "bad-") || d.Targets[0].Code != "GaveUp") {
							t.Errorf("%s is %s %+v", id, d.Status, d.Targets)
						}
					}
				}, plain)
			})
		}
	}
}

// Batch answers 500 to every request that holds one certain job of a few.
func TestABatchWithOneFaultyJobIsSplit(t *testing.T) {
	for _, row := range []struct{ jobs, bad int }{{9, 1}, {9, 2}, {50, 1}, {50, 5}, {2, 1}, {130, 3}} {
		t.Run(fmt.Sprintf("%d of %d", row.bad, row.jobs), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.sim.SetFaults(awssim.Faults{"batch:*": {Broken: 1, Match: func(item string) bool { return strings.HasPrefix(item, "bad") }}})
				var bodies []string
				for i := range row.jobs {
					name := fmt.Sprintf("good-%d", i)
					if i%(row.jobs/row.bad) == 0 && i/(row.jobs/row.bad) < row.bad {
						name = fmt.Sprintf("bad-%d", i)
					}
					r.sim.PutJobs(awssim.Job{ID: name, State: "RUNNABLE"})
					bodies = append(bodies, cancelJob(name, name))
				}
				r.send(bodies...)
				time.Sleep(5 * time.Second)
				done := r.outcomes()
				if got := tally(done); got != fmt.Sprintf("cancelled:%d", row.jobs-row.bad) {
					t.Errorf("after 5 s: %s, want all %d good ones cancelled", got, row.jobs-row.bad)
				}
				t.Logf("calls: %d", r.sim.Counts()["batch:CancelJobs"].Requests)
			}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
		})
	}
}

// During an outage of the whole service few calls are made, however many jobs wait.
func TestAnOutageSplitsNoMoreThanAProbeNeeds(t *testing.T) {
	for _, n := range []int{1, 9, 60, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.sim.SetDown("batch", true)
				r.send(r.fleet(n)...)
				time.Sleep(2 * time.Minute)
				during := r.sim.Counts()["batch:CancelJobs"].Requests
				r.sim.SetDown("batch", false)
				up := time.Now()
				got := r.settled(n, time.Hour)
				if tally(got) != fmt.Sprintf("cancelled:%d", n) {
					t.Error(tally(got))
				}
				after := r.sim.Counts()["batch:CancelJobs"].Requests - during
				t.Logf("%d calls in the outage, %d and %v after it", during, after, time.Since(up))
				if during > 150 {
					t.Errorf("%d calls in an outage of two minutes", during)
				}
			}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond; s.History = false })
		})
	}
}

// refusing answers requests in a service's place: as said, where that returns a code.
type refusing struct {
	aws.HTTPClient
	code func(operation, body string) string
}

func (c *refusing) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	operation := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, operation, _ = strings.Cut(target, ".")
	}
	code := c.code(operation, string(body))
	if code == "" {
		return c.HTTPClient.Do(r)
	}
	return &http.Response{
		StatusCode: http.StatusBadRequest, Status: "400 Bad Request", Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"X-Amzn-Errortype": {code}, "X-Amzn-Requestid": {"of-the-peer"}, "Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(fmt.Sprintf(`{"__type":%q,"message":"no"}`, code))),
	}, nil
}

// refuse runs the worker behind a peer that refuses what code returns a code for, and counts what it
// refuses by operation.
func (r *rig) refuse(code func(operation, body string) string) (counted func(operation string) int) {
	r.must(r.stop())
	var mu sync.Mutex
	counts := map[string]int{}
	cfg := r.sim.Config()
	cfg.HTTPClient = &refusing{cfg.HTTPClient, func(operation, body string) string {
		said := code(operation, body)
		if said != "" {
			mu.Lock()
			counts[operation]++
			mu.Unlock()
		}
		return said
	}}
	r.start(worker.Options{AWS: cfg})
	return func(operation string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[operation]
	}
}

func stepsOf(id, cluster string, steps []string) string {
	return fmt.Sprintf(`{"id":%q,"action":"emr:CancelSteps","parameters":{"ClusterId":%q,"StepIds":["%s"]}}`, id, cluster, strings.Join(steps, `","`))
}

func steps(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("s-%013d", i)
	}
	return all
}

// Of a cluster that is gone EMR refuses CancelSteps and ListSteps alike: three calls show it, of
// whatever many steps, and nobody else waits for it.
func TestAClusterThatIsGoneCostsThreeCalls(t *testing.T) {
	for _, n := range []int{1, 2, 3, 16, 256} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.sim.PutSteps(awssim.Step{Cluster: "j-THERE", ID: "s-GOOD"})
				began := time.Now()
				r.send(stepsOf("gone", "j-GONE", steps(n)), stepsOf("good", "j-THERE", []string{"s-GOOD"}))
				got := r.settled(2, time.Minute)
				if took := time.Since(began); took > time.Second {
					t.Errorf("took %v", took)
				}
				if got["good"].Status != handlers.Accepted {
					t.Errorf("the good one is %s", got["good"].Status)
				}
				d := got["gone"]
				if d.Status != handlers.Failed || d.Counts[handlers.Failed] != n || d.Code != "InvalidRequestException" {
					t.Errorf("got %s %v %s, want %d failed by the refusal", d.Status, d.Counts, d.Code, n)
				}
				if calls := r.calls("elasticmapreduce") - 1; calls > 3 {
					t.Errorf("%d calls for what is gone, want at most 3: %v", calls, r.counted())
				}
			}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
		})
	}
}

// A cluster whose steps can be read, and whose every CancelSteps is refused, costs three
// cancelling calls at most, and its steps end by what is read.
func TestARequestRefusedForItselfCostsThreeCancellingCalls(t *testing.T) {
	for _, state := range []string{"RUNNING", "COMPLETED"} {
		for _, n := range []int{2, 3, 16, 256} {
			t.Run(fmt.Sprint(state, n), func(t *testing.T) {
				inBubble(t, func(r *rig) {
					for _, id := range steps(n) {
						step := awssim.Step{Cluster: "j-1", ID: id}
						if state == "COMPLETED" {
							step.State = "COMPLETED"
						}
						r.sim.PutSteps(step)
					}
					refused := r.refuse(func(operation, _ string) string {
						if operation == "CancelSteps" {
							return "InvalidRequestException"
						}
						return ""
					})
					r.send(stepsOf("one", "j-1", steps(n)))
					d := r.settled(1, 10*time.Minute)["one"]
					want := handlers.Failed
					if state == "COMPLETED" {
						want = handlers.AlreadyEnded
					}
					if d.Counts[want] != n || refused("CancelSteps") > 3 {
						t.Errorf("%v after %d calls, want %s after at most 3", d.Counts, refused("CancelSteps"), want)
					}
				}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
			})
		}
	}
}

// Bad ones among good ones, few or many, condemn none of them, wherever they stand, whether or not the reads
// of what holds them are refused as well.
func TestGoodStepsAmongBadOnesAreCancelled(t *testing.T) {
	for name, bad := range map[string][]int{
		"one": {7}, "first and last": {0, 15}, "the two that are looked at": {5, 10}, "one in each half": {3, 12},
		"three": {1, 5, 14}, "one that is looked at": {5}, "all but one": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15},
		"all that are looked at":  {5, 10, 11, 12, 13, 14, 15},
		"all but the first":       {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		"all but some in between": {0, 1, 2, 3, 5, 10, 11, 12, 13, 14, 15},
	} {
		for _, reads := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reads refused: %t", name, reads), func(t *testing.T) {
				inBubble(t, func(r *rig) {
					ids := steps(16)
					for i, id := range ids {
						if slices.Contains(bad, i) {
							ids[i] = "bad-" + id
							continue
						}
						r.sim.PutSteps(awssim.Step{Cluster: "j-1", ID: id})
					}
					if reads {
						r.refuse(func(operation, body string) string {
							if (operation == "CancelSteps" || operation == "ListSteps") && strings.Contains(body, "bad-") {
								return "InvalidRequestException"
							}
							return ""
						})
					}
					r.send(stepsOf("one", "j-1", ids))
					d := r.settled(1, 10*time.Minute)["one"]
					if d.Counts[handlers.Accepted] != 16-len(bad) {
						t.Errorf("%v, want %d accepted", d.Counts, 16-len(bad))
					}
					t.Logf("%v, after %d CancelSteps and %d ListSteps", d.Counts, r.sim.Counts()["elasticmapreduce:CancelSteps"].Requests, r.sim.Counts()["elasticmapreduce:ListSteps"].Requests)
				}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
			})
		}
	}
}

// A good step that was refused beside bad ones, and could not be called again before its worker stopped, is
// called by the next one: the refusal was not its own.
func TestAStepRefusedBesideBadOnesIsCalledByTheNextWorker(t *testing.T) {
	inBubble(t, func(r *rig) {
		var throttling atomic.Bool
		throttling.Store(true)
		throttled := r.refuse(func(operation, body string) string {
			switch {
			case operation != "CancelSteps":
				return ""
			case strings.Contains(body, "bad-"):
				return "InvalidRequestException"
			case throttling.Load():
				return "ThrottlingException"
			}
			return ""
		})
		good := steps(1)[0]
		r.sim.PutSteps(awssim.Step{Cluster: "j-1", ID: good})
		r.send(stepsOf("one", "j-1", []string{good, "bad-1", "bad-2"}))
		time.Sleep(time.Minute)
		if n := throttled("CancelSteps"); n < 5 {
			t.Errorf("%d calls were refused: the test shows nothing", n)
		}
		r.must(r.stop())
		throttling.Store(false)
		r.start(worker.Options{})
		d := r.settled(1, time.Hour)["one"]
		if d.Targets[0].Status != handlers.Accepted {
			t.Errorf("the good step: %+v", d.Targets[0])
		}
	}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
}

// The same of Batch, whose jobs are of as many commands.
func TestGoodJobsAmongMalformedOnesAreCancelled(t *testing.T) {
	for _, bad := range [][]int{{0, 15}, {3, 12}, {7}, {20, 21, 22}, {16, 33}, {15, 16, 17, 32, 33, 34}} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				refused := r.refuse(func(operation, body string) string {
					if (operation == "canceljobs" || operation == "describejobs") && strings.Contains(body, "bad-") {
						return "ClientException"
					}
					return ""
				})
				var bodies []string
				for i := range 50 {
					name := fmt.Sprintf("good-%d", i)
					if slices.Contains(bad, i) {
						name = fmt.Sprintf("bad-%d", i)
					}
					r.sim.PutJobs(awssim.Job{ID: name, State: "RUNNABLE"})
					bodies = append(bodies, cancelJob(name, name))
				}
				r.send(bodies...)
				got := r.settled(50, time.Minute)
				if want := fmt.Sprintf("cancelled:%d failed:%d", 50-len(bad), len(bad)); tally(got) != want {
					t.Errorf("%s, want %s", tally(got), want)
				}
				t.Logf("refused: %d CancelJobs, %d DescribeJobs", refused("canceljobs"), refused("describejobs"))
			}, func(s *awssim.Options, _ *worker.Options) { s.Latency = 20 * time.Millisecond })
		})
	}
}
