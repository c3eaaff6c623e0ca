package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/emr"
	emrtypes "github.com/aws/aws-sdk-go-v2/service/emr/types"
	"github.com/aws/aws-sdk-go-v2/service/iot"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

// fleet is what a round is about: commands of one action, a target each, all cancellable.
type fleet struct {
	name, action string
	// simulatorQuotas and quotas lift the service's quotas, in the simulator and in Rescind, by their names.
	simulatorQuotas map[string]awssim.Quota
	quotas          worker.Quotas
	// put puts n targets into a simulator, and returns the parameters of a command for each.
	put func(sim *awssim.Sim, n int) []string
	// cancelled counts the targets that were cancelled, or are being so.
	cancelled func(sim *awssim.Sim, n int) int
	// calls makes a loop's calls: for one command, and for several at once, nil where the API
	// takes one target a call.
	calls func(aws.Config) (singly func(context.Context, request) error, together func(context.Context, []request) []error)
}

// fleets are all there are; the first is the default.
var fleets = []fleet{
	{
		name: "batch", action: "batch:CancelJob",
		simulatorQuotas: map[string]awssim.Quota{"batch:*": {}}, quotas: worker.Quotas{"batch:*": {}},
		put: putJobs, cancelled: cancelledJobs, calls: batchCalls,
	},
	{
		name: "emr", action: "emr:CancelSteps",
		simulatorQuotas: map[string]awssim.Quota{"elasticmapreduce:*": {}, "elasticmapreduce:CancelSteps": {}, "elasticmapreduce:ListSteps": {}},
		quotas:          worker.Quotas{"emr:*": {}, "emr:CancelSteps": {}, "emr:ListSteps": {}},
		put:             putSteps, cancelled: cancelledSteps, calls: emrCalls,
	},
	{
		name: "iot", action: "iot:CancelJobExecution",
		simulatorQuotas: map[string]awssim.Quota{"iot:*": {}, "iot:CancelJobExecution": {}},
		quotas:          worker.Quotas{"iot:*": handlers.Quota{}, "iot:CancelJobExecution": {}},
		put:             putExecutions, cancelled: cancelledExecutions, calls: iotCalls,
	},
}

func fleetOf(name string) (fleet, error) {
	var known []string
	for _, f := range fleets {
		if f.name == name {
			return f, nil
		}
		known = append(known, f.name)
	}
	return fleet{}, fmt.Errorf("there is no fleet %q: name one of %s", name, strings.Join(known, ", "))
}

func jobID(i int) string { return fmt.Sprintf("1d828f65-7a4d-42e8-996d-%012x", i) }

func putJobs(sim *awssim.Sim, n int) []string {
	jobs, parameters := make([]awssim.Job, n), make([]string, n)
	for i := range jobs {
		jobs[i].ID = jobID(i)
		parameters[i] = fmt.Sprintf(`{"jobId":%q,"reason":%q}`, jobs[i].ID, reason)
	}
	sim.PutJobs(jobs...)
	return parameters
}

func cancelledJobs(sim *awssim.Sim, _ int) (n int) {
	for _, j := range sim.Jobs() {
		if j.Cancelled && j.State.Ended() {
			n++
		}
	}
	return n
}

func batchCalls(cfg aws.Config) (func(context.Context, request) error, func(context.Context, []request) []error) {
	api := batch.NewFromConfig(cfg)
	return func(ctx context.Context, r request) error {
			_, err := api.CancelJob(ctx, &batch.CancelJobInput{JobId: &r.Parameters.JobID, Reason: &r.Parameters.Reason})
			return err
		}, grouped(func(r request) string { return r.Parameters.Reason }, func(ctx context.Context, reason string, requests []request) []error {
			in := &batch.CancelJobsInput{Reason: &reason}
			for _, r := range requests {
				in.Jobs = append(in.Jobs, r.Parameters.JobID)
			}
			out, err := api.CancelJobs(ctx, in)
			errs := slices.Repeat([]error{err}, len(requests))
			if err == nil {
				for _, refused := range out.Errors {
					if i := slices.Index(in.Jobs, aws.ToString(refused.Job)); i >= 0 {
						errs[i] = fmt.Errorf("%s: %s", aws.ToString(refused.Code), aws.ToString(refused.Message))
					}
				}
			}
			return errs
		})
}

// clusters is how many clusters the steps are on: ten commands in turn are of one, as they are
// where somebody cancels what waits on a cluster.
const clusters = 10

func clusterID(i int) string { return fmt.Sprintf("j-%013d", i/receiveMost%clusters) }

func putSteps(sim *awssim.Sim, n int) []string {
	steps, parameters := make([]awssim.Step, n), make([]string, n)
	for i := range steps {
		steps[i] = awssim.Step{Cluster: clusterID(i), ID: fmt.Sprintf("s-%013d", i)}
		parameters[i] = fmt.Sprintf(`{"ClusterId":%q,"StepIds":[%q]}`, steps[i].Cluster, steps[i].ID)
	}
	sim.PutSteps(steps...)
	return parameters
}

func cancelledSteps(sim *awssim.Sim, n int) (cancelled int) {
	for c := range min(clusters, (n+receiveMost-1)/receiveMost) {
		for _, s := range sim.Steps(clusterID(c * receiveMost)) {
			if s.State != "PENDING" && s.State != "RUNNING" {
				cancelled++
			}
		}
	}
	return cancelled
}

func emrCalls(cfg aws.Config) (func(context.Context, request) error, func(context.Context, []request) []error) {
	api := emr.NewFromConfig(cfg)
	call := func(ctx context.Context, cluster string, requests []request) []error {
		in := &emr.CancelStepsInput{ClusterId: &cluster}
		for _, r := range requests {
			in.StepIds = append(in.StepIds, r.Parameters.StepIDs...)
		}
		out, err := api.CancelSteps(ctx, in)
		errs := slices.Repeat([]error{err}, len(requests))
		if err == nil {
			for _, info := range out.CancelStepsInfoList {
				if i := slices.Index(in.StepIds, aws.ToString(info.StepId)); i >= 0 && info.Status != emrtypes.CancelStepsRequestStatusSubmitted {
					errs[i] = errors.New(aws.ToString(info.Reason))
				}
			}
		}
		return errs
	}
	return func(ctx context.Context, r request) error {
		return call(ctx, r.Parameters.ClusterID, []request{r})[0]
	}, grouped(func(r request) string { return r.Parameters.ClusterID }, call)
}

func thingName(i int) string { return fmt.Sprintf("thing-%06d", i) }

const thingJob = "over-budget"

func putExecutions(sim *awssim.Sim, n int) []string {
	executions, parameters := make([]awssim.JobExecution, n), make([]string, n)
	for i := range executions {
		executions[i] = awssim.JobExecution{Thing: thingName(i), Job: thingJob, State: "QUEUED"}
		parameters[i] = fmt.Sprintf(`{"thingName":%q,"jobId":%q}`, executions[i].Thing, thingJob)
	}
	sim.PutJobExecutions(executions...)
	return parameters
}

func cancelledExecutions(sim *awssim.Sim, n int) (cancelled int) {
	for i := range n {
		if e, ok := sim.JobExecution(thingName(i), thingJob); ok && e.State == "CANCELED" {
			cancelled++
		}
	}
	return cancelled
}

func iotCalls(cfg aws.Config) (func(context.Context, request) error, func(context.Context, []request) []error) {
	api := iot.NewFromConfig(cfg)
	return func(ctx context.Context, r request) error {
		_, err := api.CancelJobExecution(ctx, &iot.CancelJobExecutionInput{ThingName: &r.Parameters.ThingName, JobId: &r.Parameters.JobID})
		return err
	}, nil
}

// grouped makes one call for the requests of each key, and gives each request its own error.
func grouped(key func(request) string, call func(context.Context, string, []request) []error) func(context.Context, []request) []error {
	return func(ctx context.Context, requests []request) []error {
		members := map[string][]int{}
		for i, r := range requests {
			members[key(r)] = append(members[key(r)], i)
		}
		errs := make([]error, len(requests))
		for k, at := range members {
			group := make([]request, len(at))
			for n, i := range at {
				group[n] = requests[i]
			}
			for n, err := range call(ctx, k, group) {
				errs[at[n]] = err
			}
		}
		return errs
	}
}
