package iot

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/internal/awssim"
	simiot "github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/facts"
)

var location = handlers.Location{Account: "123456789012", Region: "us-east-1"}

type rig = handlertest.Rig

// onRig runs a test of the i-th handler that New returns, in virtual time.
func onRig(t *testing.T, i int, o awssim.Options, test func(*rig)) {
	t.Helper()
	handlertest.OnRig(t, New, i, o, test)
}

// follow returns what the one target comes to.
func follow(r *rig, p handlers.Parameters) handlers.Answer {
	r.Helper()
	return r.Follow(r.Targets(p))[0]
}

const absent = "absent" // in place of a state: IoT knows no such target

func anExecution(options handlers.Parameters) handlers.Parameters {
	p := handlers.Parameters{"thingName": "t", "jobId": "j"}
	for name, value := range options {
		p[name] = value
	}
	return p
}

// Every state of an execution × force, from a command to its status without confirm, and what
// a reading shows a minute later. The source is the entry under core.iot of aws.json.
var executionLifecycle = []struct {
	state        string
	force        bool
	status       handlers.Status
	calls, reads int
	later        handlers.Status
	source       string
}{
	{"QUEUED", false, "accepted", 1, 0, "cancelled", "cancellable.force=false; confirm: 200 has an empty body"},
	{"QUEUED", true, "accepted", 1, 0, "cancelled", "cancellable.force=true; confirm"},
	{"IN_PROGRESS", false, "not_cancellable", 1, 1, "not_cancellable", "second_cancel: InvalidStateTransitionException for IN_PROGRESS without force"},
	{"IN_PROGRESS", true, "accepted", 1, 0, "cancelled", "cancellable.force=true; confirm"},
	{"SUCCEEDED", false, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"SUCCEEDED", true, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"FAILED", false, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"FAILED", true, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"TIMED_OUT", false, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"TIMED_OUT", true, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"REJECTED", false, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"REJECTED", true, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"REMOVED", false, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"REMOVED", true, "already_ended", 1, 1, "already_ended", "terminal; the refusal is undocumented"},
	{"CANCELED", false, "already_cancelled", 1, 1, "already_cancelled", "second_cancel: not documented for CANCELED"},
	{"CANCELED", true, "already_cancelled", 1, 1, "already_cancelled", "second_cancel: not documented for CANCELED"},
	{absent, false, "not_found", 1, 0, "not_found", "CancelJobExecution: ResourceNotFoundException"},
	{absent, true, "not_found", 1, 0, "not_found", "CancelJobExecution: ResourceNotFoundException"},
}

func TestExecutionLifecycle(t *testing.T) {
	for _, row := range executionLifecycle {
		onRig(t, 0, awssim.Options{IoT: simiot.Options{StopAfter: 10 * time.Second}}, func(r *rig) {
			about := fmt.Sprintf("%s, force %v (%s)", row.state, row.force, row.source)
			putExecution(r, row.state)
			targets := r.Targets(anExecution(handlers.Parameters{"force": row.force}))
			a := r.Follow(targets)[0]
			r.Want(about, a, row.status, row.calls, row.reads)
			time.Sleep(time.Minute)
			if later := r.Look(targets[0], handlers.Tried{Taken: a.Err == nil && row.reads == 0, Refusal: a.Err}); later.Status != row.later {
				t.Errorf("%s, a minute later: %s, want %s", about, later.Status, row.later)
			}
		})
	}
}

func putExecution(r *rig, state string) {
	if state != absent {
		r.PutJobExecutions(awssim.JobExecution{Thing: "t", Job: "j", State: simiot.State(state), Version: 3})
	}
}

// Every state of a job × force.
var jobLifecycle = []struct {
	state        string
	status       handlers.Status
	calls, reads int
	later        handlers.Status
	source       string
}{
	{"IN_PROGRESS", "accepted", 1, 0, "cancelled", "batch.whole_job"},
	{"SCHEDULED", "accepted", 1, 0, "cancelled", "undocumented"},
	{"CANCELED", "already_cancelled", 1, 1, "already_cancelled", "undocumented (second_cancel)"},
	{"COMPLETED", "already_ended", 1, 1, "already_ended", "undocumented: CancelJob lists no refusal by state"},
	{"DELETION_IN_PROGRESS", "not_cancellable", 1, 1, "not_cancellable", "API_DeleteJob: to cancel such a job is an error"},
	{absent, "not_found", 1, 0, "not_found", "CancelJob: ResourceNotFoundException"},
}

func TestJobLifecycle(t *testing.T) {
	for _, row := range jobLifecycle {
		for _, force := range []bool{false, true} {
			onRig(t, 1, awssim.Options{}, func(r *rig) {
				about := fmt.Sprintf("%s, force %v (%s)", row.state, force, row.source)
				if row.state != absent {
					r.PutThingJobs(awssim.ThingJob{ID: "j", State: simiot.JobState(row.state)})
				}
				targets := r.Targets(handlers.Parameters{"jobId": "j", "force": force, "comment": "over budget", "reasonCode": "COST"})
				a := r.Follow(targets)[0]
				r.Want(about, a, row.status, row.calls, row.reads)
				job, _ := r.ThingJob("j")
				if taken := a.Status == handlers.Accepted; taken != (job.Comment == "over budget" && job.ReasonCode == "COST") || job.Forced != (taken && force) {
					t.Errorf("%s: the job is %+v", about, job)
				}
				time.Sleep(time.Minute)
				if later := r.Look(targets[0], handlers.Tried{Taken: a.Status == handlers.Accepted, Refusal: a.Err}); later.Status != row.later {
					t.Errorf("%s, a minute later: %s, want %s", about, later.Status, row.later)
				}
			})
		}
	}
}

// The tables have a row for every state that aws.json knows, and agree with it on what a
// cancel stops and what is not left.
func TestLifecyclesAgreeWithFacts(t *testing.T) {
	known := facts.Core()["iot"]
	var jobStates []string
	if err := facts.Raw(&jobStates, "core", "iot", "job_states"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, row := range executionLifecycle {
		seen[fmt.Sprint(row.state, row.force)] = true
		stops := slices.Contains(known.CancellableBy(fmt.Sprintf("force=%v", row.force)), row.state)
		terminal := slices.Contains(known.Terminal, row.state)
		if (row.status == handlers.Accepted) != stops || (row.status.Verdict() == handlers.Stopped) != terminal {
			t.Errorf("%s with force %v comes to %s; aws.json: stops it %v, terminal %v", row.state, row.force, row.status, stops, terminal)
		}
	}
	for _, state := range known.States {
		if !seen[state+"true"] || !seen[state+"false"] {
			t.Errorf("no rows for an execution that is %s", state)
		}
	}
	rows := make([]string, 0, len(jobLifecycle))
	for _, row := range jobLifecycle {
		rows = append(rows, row.state)
	}
	for _, state := range jobStates {
		if !slices.Contains(rows, state) {
			t.Errorf("no row for a job that is %s", state)
		}
	}
}

// expectedVersion × state. That IoT looks at the version before the state is undocumented; the
// handler takes either order.
func TestExpectedVersion(t *testing.T) {
	for _, row := range []struct {
		state   string
		version int64
		status  handlers.Status
		reads   int
		source  string
	}{
		{"QUEUED", 3, "accepted", 0, "optimistic_lock"},
		{"QUEUED", 2, "conflict", 1, "optimistic_lock: VersionConflictException"},
		{"IN_PROGRESS", 3, "not_cancellable", 1, "second_cancel"},
		{"IN_PROGRESS", 2, "conflict", 1, "optimistic_lock; the order is undocumented"},
		{"CANCELED", 3, "already_cancelled", 1, "second_cancel: not documented"},
		{"CANCELED", 2, "already_cancelled", 1, "optimistic_lock; the order is undocumented; a second cancel is a success"},
		{"SUCCEEDED", 2, "already_ended", 1, "optimistic_lock; the order is undocumented; terminal"},
		{"REMOVED", 2, "already_ended", 1, "optimistic_lock; the order is undocumented; terminal"},
		{absent, 3, "not_found", 0, "ResourceNotFoundException"},
	} {
		onRig(t, 0, awssim.Options{}, func(r *rig) {
			about := fmt.Sprintf("%s at version 3, expected %d (%s)", row.state, row.version, row.source)
			putExecution(r, row.state)
			a := follow(r, anExecution(handlers.Parameters{"expectedVersion": row.version}))
			r.Want(about, a, row.status, 1, row.reads)
			if row.status == handlers.Conflict && a.Err.Code != "VersionConflictException" {
				t.Errorf("%s: %+v, want IoT's own code", about, a)
			}
		})
	}
}

// The options of a command arrive.
func TestOptionsArrive(t *testing.T) {
	onRig(t, 0, awssim.Options{}, func(r *rig) {
		putExecution(r, "IN_PROGRESS")
		details := map[string]string{"by": "rescind", "why": "zu teuer — genug"}
		a := follow(r, anExecution(handlers.Parameters{"force": true, "statusDetails": details}))
		e, _ := r.JobExecution("t", "j")
		if a.Status != handlers.Accepted || a.RequestID == "" || !e.Forced || e.State != simiot.Canceled || e.Details["why"] != details["why"] || e.Version != 4 {
			t.Errorf("%+v; the execution is %+v", a, e)
		}
	})
}

// What a target comes to whose first call met a fault, by the state it was in.
func TestAfterAFault(t *testing.T) {
	lost, broken := awssim.Fault{Lost: 1, Times: 1}, awssim.Fault{Broken: 1, Times: 1}
	unsent, doubtful := awssim.Fault{Unsent: 1, Times: 1}, awssim.Fault{Doubtful: 1, Times: 1}
	version := func(n int64) handlers.Parameters { return handlers.Parameters{"expectedVersion": n} }
	for _, row := range []struct {
		about        string
		fault        awssim.Fault
		state        string
		options      handlers.Parameters
		status       handlers.Status
		calls, reads int
	}{
		{"lost: the refusal is the echo of our own cancel", lost, "QUEUED", nil, "cancelled", 2, 1},
		{"5xx after the fact: the same", doubtful, "QUEUED", nil, "cancelled", 2, 1},
		{"lost: the version is the one that our own cancel made", lost, "QUEUED", version(3), "cancelled", 2, 1},
		{"lost, and not to be distinguished from our own cancel", lost, "CANCELED", nil, "cancelled", 2, 1},
		{"lost, and ended before", lost, "SUCCEEDED", nil, "already_ended", 2, 1},
		{"lost, and not to be cancelled", lost, "IN_PROGRESS", nil, "not_cancellable", 2, 1},
		{"lost, and not known", lost, absent, nil, "not_found", 2, 1},
		{"lost, and the wrong version all along", lost, "QUEUED", version(2), "conflict", 2, 1},
		{"unsent: the second call is the first", unsent, "QUEUED", nil, "accepted", 2, 0},
		{"503: the second call is the first", broken, "QUEUED", nil, "accepted", 2, 0},
		{"denied", awssim.Fault{Denied: 1}, "QUEUED", nil, "denied", 1, 0},
	} {
		onRig(t, 0, awssim.Options{Faults: awssim.Faults{"iot:CancelJobExecution": row.fault}}, func(r *rig) {
			putExecution(r, row.state)
			r.Want(row.about+": "+row.state, follow(r, anExecution(row.options)), row.status, row.calls, row.reads)
		})
	}
	onRig(t, 1, awssim.Options{Faults: awssim.Faults{"iot:CancelJob": lost}}, func(r *rig) {
		r.PutThingJobs(awssim.ThingJob{ID: "j"})
		if a := follow(r, handlers.Parameters{"jobId": "j"}); a.Status != handlers.Cancelled {
			t.Errorf("a whole job, lost: %+v, want cancelled", a)
		}
	})
}

// A second command for the same target is a success, whatever became of it in between.
func TestSecondCancel(t *testing.T) {
	onRig(t, 0, awssim.Options{IoT: simiot.Options{StopAfter: time.Minute}}, func(r *rig) {
		putExecution(r, "QUEUED")
		for _, want := range []handlers.Status{handlers.Accepted, handlers.Accepted, handlers.AlreadyCancelled} {
			if a := follow(r, anExecution(nil)); a.Status != want {
				t.Errorf("after %v: %+v, want %s", r.Counts(), a, want)
			}
			time.Sleep(45 * time.Second)
		}
	})
}

// What a state shows where nothing was called, or where IoT's refusal does not fit it.
func TestJudge(t *testing.T) {
	e := func(c handlers.Class) *handlers.Error { return &handlers.Error{Class: c, Code: c.String()} }
	for _, row := range []struct {
		about   string
		tried   handlers.Tried
		state   string
		force   bool
		status  handlers.Status
		refusal bool // stands beside the status
	}{
		{"nothing called", handlers.Tried{}, "QUEUED", false, "", false},
		{"nothing called", handlers.Tried{}, "IN_PROGRESS", false, "not_cancellable", false},
		{"nothing called", handlers.Tried{}, "IN_PROGRESS", true, "", false},
		{"nothing called", handlers.Tried{}, "CANCELED", false, "already_cancelled", false},
		{"never answered", handlers.Tried{Unsure: true}, "QUEUED", false, "", false},
		{"never answered", handlers.Tried{Unsure: true}, "CANCELED", false, "cancelled", false},
		{"taken, and still listed as it was", handlers.Tried{Taken: true}, "QUEUED", false, "accepted", false},
		{"refused as not valid, and the state explains it", handlers.Tried{Refusal: e(handlers.Unsettled)}, "CANCELED", false, "already_cancelled", false},
		{"refused by version, by what our own call made", handlers.Tried{Unsure: true, Refusal: e(handlers.VersionMismatch)}, "CANCELED", false, "cancelled", false},
		{"refused by version, and cancelled before", handlers.Tried{Refusal: e(handlers.VersionMismatch)}, "CANCELED", false, "already_cancelled", false},
		{"refused by version, and ended", handlers.Tried{Refusal: e(handlers.VersionMismatch)}, "TIMED_OUT", false, "already_ended", false},
		{"refused by version", handlers.Tried{Refusal: e(handlers.VersionMismatch)}, "QUEUED", false, "conflict", true},
		{"refused, and queued again since", handlers.Tried{Refusal: e(handlers.Unsettled)}, "QUEUED", false, "failed", true},
		{"refused as not known, and known", handlers.Tried{Unsure: true, Refusal: e(handlers.NoSuchTarget)}, "QUEUED", false, "failed", true},
		{"refused by state", handlers.Tried{Refusal: e(handlers.Unsettled)}, "IN_PROGRESS", false, "not_cancellable", true},
		{"refused by version", handlers.Tried{Unsure: true, Refusal: e(handlers.VersionMismatch)}, "IN_PROGRESS", false, "conflict", true},
		{"denied", handlers.Tried{Refusal: e(handlers.NotAuthorized)}, "QUEUED", false, "denied", true},
	} {
		h := &executionHandler{}
		targets, err := h.Targets(anExecution(handlers.Parameters{"force": row.force}))
		if err != nil {
			t.Fatal(err)
		}
		a := h.Judge(targets[0], row.tried, handlers.Reading{Found: true, State: row.state})
		if a.Status != row.status || (a.Err != nil) != row.refusal {
			t.Errorf("%s, %s, force %v: %+v, want %q", row.about, row.state, row.force, a, row.status)
		}
	}
}

// Throttling costs time: 30 calls come through a bucket of 10 that refills by 10 a second.
func TestThrottledCallsComeThrough(t *testing.T) {
	onRig(t, 0, awssim.Options{}, func(r *rig) {
		began := time.Now()
		for i := range 30 {
			thing := fmt.Sprintf("t%d", i)
			r.PutJobExecutions(awssim.JobExecution{Thing: thing, Job: "j"})
			if a := follow(r, handlers.Parameters{"thingName": thing, "jobId": "j"}); a.Status != handlers.Accepted {
				t.Errorf("%s: %+v, want accepted", thing, a)
			}
		}
		if took := time.Since(began); took != 4*time.Second || r.Counts()["iot:CancelJobExecution"].Throttled != 2 {
			t.Errorf("30 calls took %s: %+v; want two throttled, and 2s after each", took, r.Counts()["iot:CancelJobExecution"])
		}
	})
}
