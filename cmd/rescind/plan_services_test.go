package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	emrsim "github.com/rescindhq/rescind/internal/awssim/emr"
	iotsim "github.com/rescindhq/rescind/internal/awssim/iot"
)

type filterRows = []struct{ about, filters, want string }

func TestPlanEMR(t *testing.T) {
	sim, _ := plannable(t)
	sim.PutClusters(
		awssim.Cluster{ID: "j-NEW", Name: "etl-new", Tags: map[string]string{"team": "etl", "stage": "prod"}},
		awssim.Cluster{ID: "j-OLD", Name: "etl-old", Release: "emr-5.20.0", Tags: map[string]string{"team": "etl"}},
		awssim.Cluster{ID: "j-FIRST", Name: "first", Release: "emr-5.0.0"},
		awssim.Cluster{ID: "j-GONE", Name: "etl-gone", State: "TERMINATED"},
	)
	for _, cluster := range []string{"NEW", "OLD", "FIRST", "GONE"} {
		for _, state := range []string{"PENDING", "RUNNING", "CANCEL_PENDING", "COMPLETED"} {
			id := strings.ToLower(cluster + "-" + state)
			sim.PutSteps(awssim.Step{ID: "s-" + id, Cluster: "j-" + cluster, Name: id, State: emrsim.State(state)})
		}
	}
	selects(t, "emr", []string{"ClusterId", "StepIds", "StepCancellationOption"}, filterRows{
		{"a cluster", "--cluster j-NEW", "CancelSteps j-NEW/s-new-pending/, CancelSteps j-NEW/s-new-running/"},
		{"a release that cancels PENDING steps alone", "--cluster j-OLD", "CancelSteps j-OLD/s-old-pending/"},
		{"a release that cancels none", "--cluster j-FIRST", ""},
		{"a state", "--cluster j-NEW --state RUNNING", "CancelSteps j-NEW/s-new-running/"},
		{"clusters by name, not terminated", "--cluster-name etl-* --state PENDING", "CancelSteps j-NEW/s-new-pending/, CancelSteps j-OLD/s-old-pending/"},
		{"clusters by tag", "--cluster-tag team=etl --state PENDING", "CancelSteps j-NEW/s-new-pending/, CancelSteps j-OLD/s-old-pending/"},
		{"clusters by two tags", "--cluster-tag team=etl --cluster-tag stage=prod --state PENDING", "CancelSteps j-NEW/s-new-pending/"},
		{"steps by name, of every cluster", "--step-name *-pending", "CancelSteps j-NEW/s-new-pending/, CancelSteps j-OLD/s-old-pending/"},
		{"a stronger way, also of what does not heed an interrupt", "--cluster j-NEW --terminate-process",
			"CancelSteps j-NEW/s-new-cancel_pending/TERMINATE_PROCESS, CancelSteps j-NEW/s-new-pending/TERMINATE_PROCESS, CancelSteps j-NEW/s-new-running/TERMINATE_PROCESS"},
	})
	_, r := planned(t, "emr", "--cluster=j-FIRST")
	if len(r.NotStopped) != 3 || r.NotStopped["RUNNING: release emr-5.0.0 cannot cancel it (since 5.28.0)"] != 1 {
		t.Errorf("%+v", r.NotStopped)
	}
}

func TestPlanIoT(t *testing.T) {
	sim, _ := plannable(t)
	for _, job := range []string{"fw", "cfg"} {
		for thing, state := range map[string]string{"a": "QUEUED", "b": "IN_PROGRESS", "c": "QUEUED", "d": "SUCCEEDED"} {
			sim.PutJobExecutions(awssim.JobExecution{Thing: thing, Job: job, State: iotsim.State(state), QueuedAt: noon.Add(time.Duration(thing[0]-'a') * time.Hour)})
		}
	}
	sim.PutThingJobs(awssim.ThingJob{ID: "ended", State: "CANCELED"}, awssim.ThingJob{ID: "cont", Continuous: true})
	sim.PutThingGroups(awssim.ThingGroup{Name: "site", Things: []string{"a"}, Children: []string{"floor"}}, awssim.ThingGroup{Name: "floor", Things: []string{"b", "c"}})
	selects(t, "iot", []string{"jobId", "thingName", "force"}, filterRows{
		{"a job", "--job fw", "CancelJobExecution fw/a/, CancelJobExecution fw/c/"},
		{"a job with force", "--job fw --force", "CancelJobExecution fw/a/true, CancelJobExecution fw/b/true, CancelJobExecution fw/c/true"},
		{"a thing", "--thing a", "CancelJobExecution cfg/a/, CancelJobExecution fw/a/"},
		{"a job on things", "--job fw --thing a --thing d", "CancelJobExecution fw/a/"},
		{"a group", "--thing-group site", "CancelJobExecution cfg/a/, CancelJobExecution fw/a/"},
		{"a group and its children", "--thing-group site --recursive --job cfg", "CancelJobExecution cfg/a/, CancelJobExecution cfg/c/"},
		{"a state", "--job fw --state IN_PROGRESS --force", "CancelJobExecution fw/b/true"},
		{"every job in progress", "--all --queued-before 2026-11-30T13:00:00Z", "CancelJobExecution cfg/a/, CancelJobExecution fw/a/"},
		{"queued from a time on", "--job fw --queued-after 2026-11-30T13:00:00Z", "CancelJobExecution fw/c/"},
	})
	if _, r := planned(t, "iot", "--all"); len(r.Inflow) != 1 || r.NotStopped["IN_PROGRESS: stopped by --force alone"] != 2 {
		t.Errorf("%+v %+v", r.Inflow, r.NotStopped)
	}
}

func TestPlanSWF(t *testing.T) {
	sim, _ := plannable(t)
	for i, w := range []awssim.Workflow{
		{WorkflowID: "order-1", RunID: "r1", Type: "order", Tags: []string{"eu", "bad"}},
		{WorkflowID: "order-2", RunID: "r2", Type: "order", Version: "2", Tags: []string{"eu"}},
		{WorkflowID: "ship-1", RunID: "r3", Type: "ship"},
		{WorkflowID: "order-3", RunID: "r4", Type: "order", CancelRequested: true, Ignores: true},
		{WorkflowID: "order-4", RunID: "r5", Type: "order", Close: "COMPLETED"},
	} {
		w.Domain, w.Started = "d", noon.Add(time.Duration(i)*time.Hour)
		sim.PutWorkflows(w)
	}
	const ask, end = "RequestCancelWorkflowExecution ", "TerminateWorkflowExecution "
	selects(t, "swf", []string{"domain", "workflowId", "runId"}, filterRows{
		{"a whole domain, what is open alone", "--domain d --all", ask + "d/order-1/r1, " + ask + "d/order-2/r2, " + ask + "d/ship-1/r3"},
		{"a workflow id", "--domain d --workflow-id order-1", ask + "d/order-1/r1"},
		{"workflow ids by glob", "--domain d --workflow-id order-*", ask + "d/order-1/r1, " + ask + "d/order-2/r2"},
		{"a type", "--domain d --type ship", ask + "d/ship-1/r3"},
		{"a type and version", "--domain d --type order --type-version 2", ask + "d/order-2/r2"},
		{"a tag", "--domain d --tag eu", ask + "d/order-1/r1, " + ask + "d/order-2/r2"},
		{"two tags", "--domain d --tag eu --tag bad", ask + "d/order-1/r1"},
		{"a type and a tag, of which SWF filters by one", "--domain d --type order --tag bad", ask + "d/order-1/r1"},
		{"before", "--domain d --started-before 2026-11-30T13:00:00Z", ask + "d/order-1/r1"},
		{"from a time on", "--domain d --started-after 2026-11-30T14:00:00Z", ask + "d/ship-1/r3"},
		{"at once, also those that were asked", "--domain d --type order --terminate", end + "d/order-1/r1, " + end + "d/order-2/r2, " + end + "d/order-3/r4"},
	})
	if _, r := planned(t, "swf", "--domain=d", "--all"); len(r.Inflow) != 3 || r.NotStopped["a cancel was requested before; --terminate ends it"] != 1 {
		t.Errorf("%+v %+v", r.Inflow, r.NotStopped)
	}
}

func TestPlanStepFunctions(t *testing.T) {
	sim, _ := plannable(t)
	const machine = "arn:aws:states:us-east-1:123456789012:stateMachine:"
	arn := func(name string) string { return strings.Replace(machine, "stateMachine", "execution", 1) + name }
	sim.PutExecutions(
		awssim.Execution{ARN: arn("etl-a:nightly-1"), Started: noon}, awssim.Execution{ARN: arn("etl-a:hourly-1"), Started: noon.Add(time.Hour)},
		awssim.Execution{ARN: arn("etl-b:nightly-2"), Started: noon.Add(2 * time.Hour)}, awssim.Execution{ARN: arn("orders:1"), Started: noon},
		awssim.Execution{ARN: arn("orders:2"), State: "SUCCEEDED"},
	)
	sim.PutStateMachines(awssim.StateMachine{ARN: machine + "quick", Express: true})
	stop := func(names ...string) string {
		for i, name := range names {
			names[i] = "StopExecution " + arn(name)
		}
		return strings.Join(names, ", ")
	}
	selects(t, "stepfunctions", []string{"executionArn"}, filterRows{
		{"a state machine by name, what runs alone", "--state-machine orders", stop("orders:1")},
		{"by ARN", "--state-machine " + machine + "orders", stop("orders:1")},
		{"by glob", "--state-machine etl-*", stop("etl-a:hourly-1", "etl-a:nightly-1", "etl-b:nightly-2")},
		{"executions by name, of every state machine", "--execution-name nightly-*", stop("etl-a:nightly-1", "etl-b:nightly-2")},
		{"before", "--state-machine etl-* --started-before 2026-11-30T13:00:00Z", stop("etl-a:nightly-1")},
		{"from a time on", "--state-machine etl-* --started-after 2026-11-30T13:00:00Z", stop("etl-a:hourly-1", "etl-b:nightly-2")},
		{"all", "--all --started-before 2026-11-30T12:00:01Z", stop("etl-a:nightly-1", "orders:1")},
	})
	if _, r := planned(t, "stepfunctions", "--all"); len(r.Notes) != 1 || len(r.Inflow) != 3 {
		t.Errorf("%+v %+v", r.Notes, r.Inflow)
	}
	if code, _, complaints := ran(t, "", "plan", "stepfunctions", "--state-machine=order"); code != exitMisused || !strings.Contains(complaints, "did you mean orders?") {
		t.Errorf("exit %d, %s", code, complaints)
	}
}

func TestPlanFSx(t *testing.T) {
	sim, _ := plannable(t)
	for i := range 130 { // more than a page
		sim.PutTasks(awssim.Task{ID: fmt.Sprintf("task-%017d", i), FileSystem: "fs-1", State: "PENDING", Created: noon.Add(time.Duration(i) * time.Minute)})
	}
	sim.PutTasks(
		awssim.Task{ID: "task-0000000000000aaaa", FileSystem: "fs-2", Type: "RELEASE_DATA_FROM_FILESYSTEM"}, awssim.Task{ID: "task-0000000000000bbbb", FileSystem: "fs-2", State: "CANCELING"},
		awssim.Task{ID: "task-0000000000000cccc", FileSystem: "fs-2", State: "SUCCEEDED"},
	)
	selects(t, "fsx", []string{"TaskId"}, filterRows{
		{"a file system", "--file-system fs-2", "CancelDataRepositoryTask task-0000000000000aaaa"},
		{"a type", "--type RELEASE_DATA_FROM_FILESYSTEM", "CancelDataRepositoryTask task-0000000000000aaaa"},
		{"before", "--file-system fs-1 --created-before 2026-11-30T12:01:00Z", fmt.Sprintf("CancelDataRepositoryTask task-%017d", 0)},
		{"a state", "--file-system fs-1 --file-system fs-2 --state EXECUTING", "CancelDataRepositoryTask task-0000000000000aaaa"},
	})
	if lines, r := planned(t, "fsx", "--all"); len(lines) != 131 || r.NotStopped["already being cancelled"] != 1 {
		t.Errorf("%d lines, %+v", len(lines), r.NotStopped)
	}
}

// TestBadFiltersOfServices: each is misuse that names the flag, before anything is listed.
func TestBadFiltersOfServices(t *testing.T) {
	t.Chdir(t.TempDir())
	unconfigured(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1") // nobody answers
	for args, says := range map[string]string{
		"emr":                             "--cluster, --cluster-name, --cluster-tag or --step-name must be given",
		"emr --cluster-name *":            "must be given",
		"emr --cluster etl":               "must be a cluster's id",
		"emr --cluster-tag team":          "must be KEY=VALUE",
		"emr --cluster j-1 --state RUNIN": "did you mean RUNNING?",
		"emr --cluster j-1 --state DONE":  "Valid: PENDING, RUNNING, CANCEL_PENDING",
		"iot":                             "--job, --thing or --thing-group must be given",
		"iot --job fw-*":                  `--job "fw-*" must be a name, and no glob`,
		"iot --job fw --recursive":        "--recursive must stand beside --thing-group",
		"iot --thing a --thing-group g":   "--thing must not stand beside --thing-group",
		"iot --all --job x":               "--all must not stand beside",
		"iot --job fw --queued-after 1h --queued-before 2h": "must be earlier than --queued-before",
		"swf":                     "--domain must be given",
		"swf --domain d":          "every open execution of the domain",
		"swf --domain d --type *": "must be given",
		"swf --domain d --tag x --type-version 2": "--type-version",
		"stepfunctions":                   "--state-machine or --execution-name must be given",
		"stepfunctions --state-machine *": "must be given",
		"stepfunctions --state-machine arn:aws:states:us-east-1:1:execution:a:b": "must be a name",
		"fsx":                               "--file-system or --type must be given",
		"fsx --file-system disk":            "must be a file system's id",
		"fsx --type EXPORT_TO_REPOSITRY":    "did you mean EXPORT_TO_REPOSITORY?",
		"fsx --all --escalate 2m":           "--escalate must be left out: fsx has no stronger action",
		"stepfunctions --all --escalate 2m": "--escalate must be left out",
	} {
		code, out, complaints := ran(t, "", append([]string{"plan"}, strings.Fields(args)...)...)
		if code != exitMisused || out != "" || !strings.Contains(complaints, says) {
			t.Errorf("plan %s: exit %d, %s%s, want %q", args, code, out, complaints, says)
		}
	}
}
