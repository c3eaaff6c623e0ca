package peers_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/batch/types"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	iottypes "github.com/aws/aws-sdk-go-v2/service/iot/types"
)

// plantInMoto puts in what a job needs, and a job that succeeds at once.
func plantInMoto(t *testing.T, url string) (job string) {
	t.Helper()
	const role = "arn:aws:iam::123456789012:role/peers"
	post := func(path, contentType, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Close = true
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAANY/20261121/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=none")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode >= 300 {
			t.Fatalf("moto says %s to a POST of %s", answer.Status, path)
		}
	}
	post("/moto-api/config", "application/json", `{"batch":{"use_docker":false}}`)
	post("/", "application/x-www-form-urlencoded", "Action=CreateRole&Version=2010-05-08&RoleName=peers&AssumeRolePolicyDocument=%7B%7D")

	w := &world{ctx: t.Context(), batch: batch.NewFromConfig(config(t, url))}
	err := w.try(func(w *world) {
		environment, err := w.batch.CreateComputeEnvironment(w.ctx, &batch.CreateComputeEnvironmentInput{
			ComputeEnvironmentName: aws.String("peers"), Type: types.CETypeUnmanaged, State: types.CEStateEnabled, ServiceRole: aws.String(role),
		})
		w.must(err)
		_, err = w.batch.CreateJobQueue(w.ctx, &batch.CreateJobQueueInput{
			JobQueueName: aws.String("peers"), State: types.JQStateEnabled, Priority: aws.Int32(1),
			ComputeEnvironmentOrder: []types.ComputeEnvironmentOrder{{ComputeEnvironment: environment.ComputeEnvironmentArn, Order: aws.Int32(1)}},
		})
		w.must(err)
		_, err = w.batch.RegisterJobDefinition(w.ctx, &batch.RegisterJobDefinitionInput{
			JobDefinitionName: aws.String("peers"), Type: types.JobDefinitionTypeContainer,
			ContainerProperties: &types.ContainerProperties{
				Image: aws.String("busybox"),
				// What has replaced these two, moto answers as 1.0, which no SDK reads.
				Vcpus:  aws.Int32(1), //nolint:staticcheck
				Memory: aws.Int32(4), //nolint:staticcheck
			},
		})
		w.must(err)
		submitted, err := w.batch.SubmitJob(w.ctx, &batch.SubmitJobInput{JobName: aws.String("peers"), JobQueue: aws.String("peers"), JobDefinition: aws.String("peers")})
		w.must(err)
		job = *submitted.JobId
	})
	if err != nil {
		t.Fatalf("putting a job into moto: %v", err)
	}
	return job
}

const unknownJob = "11111111-2222-3333-4444-555555555555"

// planeCases are asked of the AWS simulator and of moto, where moto is right: it has no Batch job
// that waits and none of the bulk calls, and its IoT cancel overwrites
// executions that have ended.
var planeCases = []test{
	{"a Batch job that nobody knows", "API_CancelJob, API_DescribeJobs", func(w *world) {
		_, err := w.batch.CancelJob(w.ctx, &batch.CancelJobInput{JobId: aws.String(unknownJob), Reason: aws.String("over budget")})
		w.must(err) // API_CancelJob: jobs that cannot be found count as processed
		_, err = w.batch.TerminateJob(w.ctx, &batch.TerminateJobInput{JobId: aws.String(unknownJob), Reason: aws.String("over budget")})
		w.must(err)
		out, err := w.batch.DescribeJobs(w.ctx, &batch.DescribeJobsInput{Jobs: []string{unknownJob}})
		w.must(err)
		same(w, "the number described", len(out.Jobs), 0)
	}},
	{"a Batch call without a reason", "API_CancelJob", func(w *world) {
		_, err := w.batch.CancelJob(w.ctx, &batch.CancelJobInput{JobId: aws.String(unknownJob), Reason: aws.String("")})
		w.refused(err, "ClientException")
		_, err = w.batch.TerminateJob(w.ctx, &batch.TerminateJobInput{JobId: aws.String(unknownJob), Reason: aws.String("")})
		w.refused(err, "ClientException")
	}},
	{"a Batch job that has ended", "API_CancelJob, API_TerminateJob", func(w *world) {
		_, err := w.batch.CancelJob(w.ctx, &batch.CancelJobInput{JobId: &w.endedJob, Reason: aws.String("over budget")})
		w.must(err)
		_, err = w.batch.TerminateJob(w.ctx, &batch.TerminateJobInput{JobId: &w.endedJob, Reason: aws.String("over budget")})
		w.must(err)
		out, err := w.batch.DescribeJobs(w.ctx, &batch.DescribeJobsInput{Jobs: []string{unknownJob, w.endedJob}})
		w.must(err)
		same(w, "the number described", len(out.Jobs), 1)
		same(w, "the id", *out.Jobs[0].JobId, w.endedJob)
		same(w, "the status", out.Jobs[0].Status, types.JobStatusSucceeded)
		same(w, "isCancelled", aws.ToBool(out.Jobs[0].IsCancelled), false)
		same(w, "isTerminated", aws.ToBool(out.Jobs[0].IsTerminated), false)
	}},
	{"a queued IoT execution", "API_CancelJobExecution", func(w *world) {
		thing, job := w.execution()
		before := w.described(thing, job)
		same(w, "the status before", before.Status, iottypes.JobExecutionStatusQueued)
		_, err := w.iot.CancelJobExecution(w.ctx, &iot.CancelJobExecutionInput{ThingName: thing, JobId: job})
		w.must(err)
		after := w.described(thing, job)
		same(w, "the status after", after.Status, iottypes.JobExecutionStatusCanceled)
		same(w, "that it was forced", aws.ToBool(after.ForceCanceled), false)
		same(w, "the number", *after.ExecutionNumber, *before.ExecutionNumber)
	}},
	{"an IoT execution that nobody knows", "API_DescribeJobExecution", func(w *world) {
		_, err := w.iot.DescribeJobExecution(w.ctx, &iot.DescribeJobExecutionInput{ThingName: aws.String("nobody"), JobId: aws.String("none")})
		w.refused(err, "ResourceNotFoundException")
		_, err = w.iot.DescribeJob(w.ctx, &iot.DescribeJobInput{JobId: aws.String("none")})
		w.refused(err, "ResourceNotFoundException")
	}},
	{"cancelling an IoT execution that nobody knows", "API_CancelJobExecution", func(w *world) {
		_, err := w.iot.CancelJobExecution(w.ctx, &iot.CancelJobExecutionInput{ThingName: aws.String("nobody"), JobId: aws.String("none")})
		w.refused(err, "ResourceNotFoundException")
	}},
	{"an IoT job", "API_CancelJob", func(w *world) {
		_, job := w.execution()
		out, err := w.iot.CancelJob(w.ctx, &iot.CancelJobInput{JobId: job, Comment: aws.String("over budget"), ReasonCode: aws.String("BUDGET")})
		w.must(err)
		same(w, "the job's id", *out.JobId, *job)
		read, err := w.iot.DescribeJob(w.ctx, &iot.DescribeJobInput{JobId: job})
		w.must(err)
		same(w, "the status", read.Job.Status, iottypes.JobStatusCanceled)
		same(w, "the comment", aws.ToString(read.Job.Comment), "over budget")
		same(w, "the reason's code", aws.ToString(read.Job.ReasonCode), "BUDGET")
		same(w, "the ARN", *read.Job.JobArn, *out.JobArn)
	}},
}

// execution makes a thing and a job on it.
func (w *world) execution() (thing, job *string) {
	thing, job = name(), name()
	made, err := w.iot.CreateThing(w.ctx, &iot.CreateThingInput{ThingName: thing})
	w.must(err)
	_, err = w.iot.CreateJob(w.ctx, &iot.CreateJobInput{JobId: job, Targets: []string{*made.ThingArn}, Document: aws.String(`{"do":"reboot"}`)})
	w.must(err)
	return thing, job
}

func (w *world) described(thing, job *string) *iottypes.JobExecution {
	out, err := w.iot.DescribeJobExecution(w.ctx, &iot.DescribeJobExecutionInput{ThingName: thing, JobId: job})
	w.must(err)
	return out.Execution
}
