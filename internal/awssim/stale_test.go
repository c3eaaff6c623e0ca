package awssim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/emr"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/swf"
	"github.com/aws/aws-sdk-go-v2/service/swf/types"

	"github.com/rescindhq/rescind/internal/awssim"
	simbatch "github.com/rescindhq/rescind/internal/awssim/batch"
	simemr "github.com/rescindhq/rescind/internal/awssim/emr"
	simfsx "github.com/rescindhq/rescind/internal/awssim/fsx"
	simiot "github.com/rescindhq/rescind/internal/awssim/iot"
	simsfn "github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	simswf "github.com/rescindhq/rescind/internal/awssim/swf"
)

const staleARN = "arn:aws:states:us-east-1:123456789012:execution:machine:one"

// staleReads are the reads of every control plane; each returns the state that is shown of an item
// that ends by itself, or "" where it is not known.
func (b *bubble) staleReads() map[string]func() string {
	cfg := once(b.Config())
	sw, io, em := swf.NewFromConfig(cfg), iot.NewFromConfig(cfg), emr.NewFromConfig(cfg)
	start := &types.ExecutionTimeFilter{OldestDate: aws.Time(time.Unix(0, 0))}
	return map[string]func() string{
		"batch:DescribeJobs": func() string {
			out, err := b.batch.DescribeJobs(b.ctx, &batch.DescribeJobsInput{Jobs: []string{"job"}})
			b.must(err)
			if len(out.Jobs) == 0 {
				return ""
			}
			return string(out.Jobs[0].Status)
		},
		"elasticmapreduce:ListSteps": func() string {
			out, err := em.ListSteps(b.ctx, &emr.ListStepsInput{ClusterId: aws.String("j-1"), StepIds: []string{"s-1"}})
			b.must(err)
			if len(out.Steps) == 0 {
				return ""
			}
			return string(out.Steps[0].Status.State)
		},
		"elasticmapreduce:DescribeStep": func() string {
			out, err := em.DescribeStep(b.ctx, &emr.DescribeStepInput{ClusterId: aws.String("j-1"), StepId: aws.String("s-1")})
			if err != nil {
				refused(b, err, "InvalidRequestException")
				return ""
			}
			return string(out.Step.Status.State)
		},
		"fsx:DescribeDataRepositoryTasks": func() string {
			out, err := fsx.NewFromConfig(cfg).DescribeDataRepositoryTasks(b.ctx, &fsx.DescribeDataRepositoryTasksInput{TaskIds: []string{"task-0123456789abcdef0"}})
			if err != nil {
				refused(b, err, "DataRepositoryTaskNotFound")
				return ""
			}
			return string(out.DataRepositoryTasks[0].Lifecycle)
		},
		"iot:DescribeJobExecution": func() string {
			out, err := io.DescribeJobExecution(b.ctx, &iot.DescribeJobExecutionInput{ThingName: aws.String("t"), JobId: aws.String("j")})
			if err != nil {
				refused(b, err, "ResourceNotFoundException")
				return ""
			}
			return string(out.Execution.Status)
		},
		"iot:DescribeJob": func() string {
			out, err := io.DescribeJob(b.ctx, &iot.DescribeJobInput{JobId: aws.String("j")})
			if err != nil {
				refused(b, err, "ResourceNotFoundException")
				return ""
			}
			return string(out.Job.Status)
		},
		"iot:ListJobExecutionsForJob": func() string {
			out, err := io.ListJobExecutionsForJob(b.ctx, &iot.ListJobExecutionsForJobInput{JobId: aws.String("j")})
			b.must(err)
			if len(out.ExecutionSummaries) == 0 {
				return ""
			}
			return string(out.ExecutionSummaries[0].JobExecutionSummary.Status)
		},
		"states:DescribeExecution": func() string {
			out, err := sfn.NewFromConfig(cfg).DescribeExecution(b.ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(staleARN)})
			if err != nil {
				refused(b, err, "ExecutionDoesNotExist")
				return ""
			}
			return string(out.Status)
		},
		"swf:DescribeWorkflowExecution": func() string {
			out, err := sw.DescribeWorkflowExecution(b.ctx, &swf.DescribeWorkflowExecutionInput{
				Domain: aws.String("d"), Execution: &types.WorkflowExecution{WorkflowId: aws.String("w"), RunId: aws.String("r")},
			})
			if err != nil {
				refused(b, err, "UnknownResourceFault")
				return ""
			}
			return string(out.ExecutionInfo.ExecutionStatus)
		},
		"swf:ListOpenWorkflowExecutions": func() string {
			out, err := sw.ListOpenWorkflowExecutions(b.ctx, &swf.ListOpenWorkflowExecutionsInput{Domain: aws.String("d"), StartTimeFilter: start})
			b.must(err)
			if len(out.ExecutionInfos) == 0 {
				return ""
			}
			return string(out.ExecutionInfos[0].ExecutionStatus)
		},
		"swf:ListClosedWorkflowExecutions": func() string {
			out, err := sw.ListClosedWorkflowExecutions(b.ctx, &swf.ListClosedWorkflowExecutionsInput{Domain: aws.String("d"), StartTimeFilter: start})
			b.must(err)
			if len(out.ExecutionInfos) == 0 {
				return ""
			}
			return string(out.ExecutionInfos[0].ExecutionStatus)
		},
	}
}

// Items that end 10 s after they came, read three seconds behind.
func TestStaleReadsShowWhatWas(t *testing.T) {
	want := map[string]string{ // at 1 s, 4 s, 12 s, 14 s
		"batch:DescribeJobs": " RUNNING RUNNING SUCCEEDED", "elasticmapreduce:ListSteps": " RUNNING RUNNING COMPLETED",
		"elasticmapreduce:DescribeStep": " RUNNING RUNNING COMPLETED", "fsx:DescribeDataRepositoryTasks": " EXECUTING EXECUTING SUCCEEDED",
		"iot:DescribeJobExecution": " QUEUED QUEUED SUCCEEDED", "iot:DescribeJob": " IN_PROGRESS IN_PROGRESS COMPLETED",
		"iot:ListJobExecutionsForJob": " QUEUED QUEUED SUCCEEDED", "states:DescribeExecution": " RUNNING RUNNING SUCCEEDED",
		"swf:DescribeWorkflowExecution": " OPEN OPEN CLOSED", "swf:ListOpenWorkflowExecutions": " OPEN OPEN ",
		"swf:ListClosedWorkflowExecutions": "   CLOSED",
	}
	rule := awssim.Fault{Stale: 1, StaleBy: 3 * time.Second}
	inBubble(t, awssim.Options{Faults: awssim.Faults{"*": rule}}, func(b *bubble) {
		const ends = 10 * time.Second
		b.PutJobs(awssim.Job{ID: "job", State: simbatch.Running, Then: []awssim.JobChange{{After: ends, State: simbatch.Succeeded}}})
		b.PutSteps(awssim.Step{Cluster: "j-1", ID: "s-1", State: simemr.Running, Then: []awssim.StepChange{{After: ends, State: simemr.Completed}}})
		b.PutTasks(awssim.Task{ID: "task-0123456789abcdef0", Then: []awssim.TaskChange{{After: ends, State: simfsx.Succeeded}}})
		b.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", Then: []simiot.Change{{After: ends, State: simiot.Succeeded}}})
		b.PutExecutions(awssim.Execution{ARN: staleARN, Then: &simsfn.Ending{After: ends, State: simsfn.Succeeded}})
		b.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "r", Then: &awssim.WorkflowEnding{After: ends, Close: simswf.Completed}})
		reads, got, born := b.staleReads(), map[string][]string{}, time.Now()
		for _, at := range []time.Duration{1, 4, 12, 14} {
			time.Sleep(time.Until(born.Add(at * time.Second)))
			for name, read := range reads {
				got[name] = append(got[name], read())
			}
		}
		for name := range reads {
			if all := strings.Join(got[name], " "); all != want[name] {
				t.Errorf("%s shows %q, want %q", name, all, want[name])
			}
		}
	})
}

// Each read is drawn for itself, from the seed: a later one may be staler.
func TestStaleReadsAreDrawnOneByOne(t *testing.T) {
	draws := func(seed uint64) string {
		var got strings.Builder
		rule := awssim.Fault{Stale: 0.5, StaleBy: time.Hour}
		inBubble(t, awssim.Options{Seed: seed, Faults: awssim.Faults{"batch:DescribeJobs": rule}}, func(b *bubble) {
			b.PutJobs(awssim.Job{ID: "job"})
			read := b.staleReads()["batch:DescribeJobs"]
			for range 40 {
				if read() == "" {
					got.WriteByte('-')
				} else {
					got.WriteByte('x')
				}
			}
		})
		return got.String()
	}
	one, again, other := draws(1), draws(1), draws(2)
	if one != again || one == other {
		t.Errorf("seed 1 draws %s and then %s, seed 2 %s", one, again, other)
	}
	if n := strings.Count(one, "-"); n < 10 || n > 30 || !strings.Contains(one, "x-") {
		t.Errorf("of 40 reads %d are stale, want half of them, after others: %s", n, one)
	}
}
