package permissions_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// tried is an action as the tests run it.
type tried struct {
	action     string
	put        func(s *awssim.Sim, account string, i int) // makes a target that runs until it is stopped
	parameters func(account string, i int) string
	// unnamed are parameters that leave open which target is meant.
	unnamed []string
}

func batchJob(action string) tried {
	return tried{
		action: action, put: func(s *awssim.Sim, account string, i int) {
			s.PutJobs(awssim.Job{ID: fmt.Sprintf("job-%d", i), Account: account, State: "RUNNABLE"})
		},
		parameters: func(_ string, i int) string { return fmt.Sprintf(`{"jobId":"job-%d"}`, i) },
	}
}

func workflow(action string) tried {
	return tried{
		action: action, put: func(s *awssim.Sim, account string, i int) {
			s.PutWorkflows(awssim.Workflow{Account: account, Domain: "d", WorkflowID: fmt.Sprintf("w-%d", i), RunID: "r"})
		},
		parameters: func(_ string, i int) string {
			return fmt.Sprintf(`{"domain":"d","workflowId":"w-%d","runId":"r"}`, i)
		},
		unnamed: []string{`{"domain":"d","workflowId":"w-0"}`, `{"domain":"d","workflowId":"nowhere"}`},
	}
}

func thingJob(action, parameters string) tried {
	return tried{
		action: action, put: func(s *awssim.Sim, account string, i int) {
			s.PutJobExecutions(awssim.JobExecution{Account: account, Thing: fmt.Sprintf("t-%d", i), Job: "j"})
		},
		parameters: func(_ string, i int) string { return strings.ReplaceAll(parameters, "{i}", fmt.Sprint(i)) },
	}
}

// all are the actions that the tests can run. A test holds them to those that are registered.
var all = []tried{
	batchJob("batch:CancelJob"), batchJob("batch:TerminateJob"),
	workflow("swf:RequestCancelWorkflowExecution"), workflow("swf:TerminateWorkflowExecution"),
	thingJob("iot:CancelJobExecution", `{"thingName":"t-{i}","jobId":"j"}`), thingJob("iot:CancelJob", `{"jobId":"j"}`),
	{
		action: "emr:CancelSteps", put: func(s *awssim.Sim, account string, i int) {
			s.PutSteps(awssim.Step{Account: account, Cluster: "j-A", ID: fmt.Sprintf("s-%d", i)})
		},
		parameters: func(_ string, i int) string { return fmt.Sprintf(`{"ClusterId":"j-A","StepIds":["s-%d"]}`, i) },
		unnamed:    []string{`{"ClusterId":"j-A","StepIds":["s-0","s-unknown"]}`},
	},
	{
		action: "fsx:CancelDataRepositoryTask", put: func(s *awssim.Sim, account string, i int) {
			s.PutTasks(awssim.Task{Account: account, ID: fmt.Sprintf("task-%017d", i)})
		},
		parameters: func(_ string, i int) string { return fmt.Sprintf(`{"TaskId":"task-%017d"}`, i) },
	},
	{
		action: "stepfunctions:StopExecution", put: func(s *awssim.Sim, account string, i int) {
			s.PutExecutions(awssim.Execution{ARN: executionARN(account, i)})
		},
		parameters: func(account string, i int) string {
			return fmt.Sprintf(`{"executionArn":%q}`, executionARN(account, i))
		},
	},
}

func executionARN(account string, i int) string {
	return fmt.Sprintf("arn:aws:states:%s:%s:execution:machine:e-%d", region, account, i)
}

// scarce makes reads by id so scarce that what is cancelled is listed.
var scarce = worker.Quotas{
	"iot:DescribeJobExecution": {Rate: 0.5, Burst: 1}, "stepfunctions:DescribeExecution": {Rate: 0.5, Burst: 1}, "swf:DescribeWorkflowExecution": {Rate: 0.5, Burst: 1},
}

// never is how long what does not stop takes.
const never = 1000 * time.Hour

// scenes are how an action is run, each by the last use that it makes of permissions.
var scenes = []struct {
	use     handlers.Use
	n       int // commands
	members string
	options options
}{
	{handlers.ToRead, 1, `"dryRun":true`, options{}},
	{handlers.ToCancel, 1, `"confirm":"0s"`, options{}},
	{handlers.ToConfirm, 40, `"confirm":"30m"`, options{stopsAfter: 30 * time.Second, quotas: scarce}},
	{handlers.ToEscalate, 1, `"escalate":"30s"`, options{stopsAfter: never}},
}

// commands are those of a scene, whose targets are put in.
func (a tried) commands(r *rig, account, members string, n int) (bodies []string) {
	add := func(parameters string) {
		bodies = append(bodies, fmt.Sprintf(`{"id":"c-%d","action":%q,"account":%q,%s,"parameters":%s}`, len(bodies), a.action, account, members, parameters))
	}
	for i := range n {
		a.put(r.sim, account, i)
		add(a.parameters(account, i))
	}
	if n == 1 {
		for _, parameters := range a.unnamed {
			add(parameters)
		}
	}
	return bodies
}
