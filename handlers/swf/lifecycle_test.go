package swf

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/internal/awssim"
	simswf "github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/internal/facts"
)

var location = handlers.Location{Account: "123456789012", Region: "us-east-1"}

// The two handlers by their place in what New returns.
const (
	requesting  = 0
	terminating = 1
)

type rig = handlertest.Rig

// onRig runs a test of one of the handlers in virtual time.
func onRig(t *testing.T, i int, o awssim.Options, test func(*rig)) {
	t.Helper()
	handlertest.OnRig(t, New, i, o, test)
}

// target is a command's for a run of the workflow "w"; "" leaves the run open.
func target(r *rig, run string) handlers.Target {
	r.Helper()
	p := handlers.Parameters{"domain": "d", "workflowId": "w"}
	if run != "" {
		p["runId"] = run
	}
	return r.Targets(p)[0]
}

// follow returns what a target comes to.
func follow(r *rig, t handlers.Target) handlers.Answer {
	r.Helper()
	return r.Follow([]handlers.Target{t})[0]
}

// pinned is the target as it is resolved.
func pinned(r *rig, run string) handlers.Target {
	targets, _ := handlertest.Resolve(r.Context(), r.Handler, location, []handlers.Target{target(r, run)})
	return targets[0]
}

const (
	absent = "absent" // in place of a state: SWF knows no such run
	asking = "OPEN, cancel requested"
	deaf   = "OPEN, the decider ignores requests"
)

// put puts run "r" of workflow "w" in.
func put(r *rig, state string) {
	run := awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "r", Ignores: state == deaf, CancelRequested: state == asking}
	if how, closed := strings.CutPrefix(state, closedAs); closed {
		run.Close = simswf.CloseStatus(how)
	}
	if state == absent {
		run.WorkflowID = "another"
	}
	r.PutWorkflows(run)
}

// Every state of a run × action × whether the command names the run, from a command to its
// status without confirm, and what a reading shows a minute later. The source is the entry
// under core.swf of aws.json.
var lifecycle = []struct {
	state  string
	status handlers.Status // under its run id, in one call and so many reads
	reads  int
	// cancelled and terminated are what a reading shows a minute after each action.
	cancelled, terminated handlers.Status
	// unnamed is without a run id, in one request to resolve it and, where no run is open, one to
	// list the newest closed one.
	unnamed handlers.Status
	source  string
}{
	{"OPEN", "accepted", 0, "cancelled", "cancelled", "accepted", "cancellable; confirm"},
	{asking, "accepted", 0, "cancelled", "cancelled", "accepted", "second_cancel: nothing documented rejects it"},
	{deaf, "accepted", 0, "accepted", "cancelled", "accepted", "confirm: cancelRequested==true => request recorded"},
	{"CLOSED/COMPLETED", "already_ended", 1, "already_ended", "already_ended", "already_ended", "second_cancel: UnknownResourceFault; confirm"},
	{"CLOSED/FAILED", "already_ended", 1, "already_ended", "already_ended", "already_ended", "second_cancel; confirm"},
	{"CLOSED/TIMED_OUT", "already_ended", 1, "already_ended", "already_ended", "already_ended", "second_cancel; confirm"},
	{"CLOSED/CONTINUED_AS_NEW", "already_ended", 1, "already_ended", "already_ended", "not_found", "second_cancel; confirm: not cancelled; its successor is not listed yet"},
	{"CLOSED/CANCELED", "already_cancelled", 1, "already_cancelled", "already_cancelled", "already_cancelled", "second_cancel; confirm"},
	{"CLOSED/TERMINATED", "already_cancelled", 1, "already_cancelled", "already_cancelled", "already_cancelled", "second_cancel; confirm"},
	{absent, "not_found", 1, "not_found", "not_found", "not_found", "RequestCancelWorkflowExecution: UnknownResourceFault"},
}

func TestLifecycle(t *testing.T) {
	options := awssim.Options{SWF: simswf.Options{ObeyAfter: 10 * time.Second}}
	for _, row := range lifecycle {
		for i, later := range []handlers.Status{row.cancelled, row.terminated} {
			onRig(t, i, options, func(r *rig) {
				about := fmt.Sprintf("%s of %s (%s)", r.Handler.Action(), row.state, row.source)
				put(r, row.state)
				a := follow(r, target(r, "r"))
				r.Want(about, a, row.status, 1, row.reads)
				time.Sleep(time.Minute)
				if got := r.Look(target(r, "r"), handlers.Tried{Taken: a.Status == handlers.Accepted, Refusal: a.Err}); got.Status != later {
					t.Errorf("%s, a minute later: %+v, want %s", about, got, later)
				}
			})
			onRig(t, i, options, func(r *rig) {
				about := fmt.Sprintf("%s of %s without a run id (%s)", r.Handler.Action(), row.state, row.source)
				put(r, row.state)
				calls, looks := 0, 1
				if row.unnamed == handlers.Accepted {
					calls, looks = 1, 0
				}
				r.Want(about, follow(r, target(r, "")), row.unnamed, calls, 0)
				if opens, closes := r.Count("ListOpenWorkflowExecutions"), r.Count("ListClosedWorkflowExecutions"); opens != 1 || closes != looks {
					t.Errorf("%s: resolved in %d requests and %d of closed runs, want 1 and %d", about, opens, closes, looks)
				}
			})
		}
	}
}

// The table has a row for every state that aws.json knows, and agrees with it on what is
// stopped and what is not left.
func TestLifecycleAgreesWithFacts(t *testing.T) {
	var closes, cancellable []string
	if err := facts.Raw(&closes, "core", "swf", "close_status"); err != nil {
		t.Fatal(err)
	}
	if err := facts.Raw(&cancellable, "core", "swf", "cancellable"); err != nil {
		t.Fatal(err)
	}
	status := map[string]handlers.Status{}
	for _, row := range lifecycle {
		status[row.state] = row.status
	}
	for _, c := range closes {
		if v := status[closedAs+c].Verdict(); v != handlers.Stopped {
			t.Errorf("a run that was closed as %s comes to %q, verdict %q", c, status[closedAs+c], v)
		}
	}
	for _, state := range cancellable {
		if status[state] != handlers.Accepted {
			t.Errorf("a run that is %s comes to %q, want accepted", state, status[state])
		}
	}
}

// What a run comes to whose first call met a fault, by the state it was in.
func TestAfterAFault(t *testing.T) {
	lost, unsent := awssim.Fault{Lost: 1, Times: 1}, awssim.Fault{Unsent: 1, Times: 1}
	for _, row := range []struct {
		about        string
		i            int
		fault        awssim.Fault
		state        string
		obeyAfter    time.Duration
		status       handlers.Status
		calls, reads int
	}{
		{"lost, and closed since: the echo of our own request", requesting, lost, "OPEN", 0, "cancelled", 2, 1},
		{"lost, and open still", requesting, lost, "OPEN", time.Minute, "accepted", 2, 0},
		{"lost, and the echo of our own termination", terminating, lost, "OPEN", 0, "cancelled", 2, 1},
		{"lost, and not to be distinguished from our own", terminating, lost, "CLOSED/CANCELED", 0, "cancelled", 2, 1},
		{"lost, and ended before", requesting, lost, "CLOSED/FAILED", 0, "already_ended", 2, 1},
		{"lost, and not known", terminating, lost, absent, 0, "not_found", 2, 1},
		{"unsent: the second call is the first", terminating, unsent, "OPEN", 0, "accepted", 2, 0},
		{"503: the second call is the first", requesting, awssim.Fault{Broken: 1, Times: 1}, "OPEN", 0, "accepted", 2, 0},
		{"denied", requesting, awssim.Fault{Denied: 1}, "OPEN", 0, "denied", 1, 0},
	} {
		operation := []string{"RequestCancelWorkflowExecution", "TerminateWorkflowExecution"}[row.i]
		o := awssim.Options{SWF: simswf.Options{ObeyAfter: row.obeyAfter}, Faults: awssim.Faults{"swf:" + operation: row.fault}}
		onRig(t, row.i, o, func(r *rig) {
			put(r, row.state)
			r.Want(row.about+": "+row.state, follow(r, target(r, "r")), row.status, row.calls, row.reads)
		})
	}
}

// A command without a run id stops the run that was open when it was resolved, and no other:
// the run that took its place is not touched, however often the call is tried.
func TestPinnedRun(t *testing.T) {
	for i := range 2 {
		onRig(t, i, awssim.Options{}, func(r *rig) {
			r.PutWorkflows(
				awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "before", Close: simswf.Completed},
				awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "first", Then: &awssim.WorkflowEnding{
					After: time.Minute, Close: simswf.ContinuedAsNew, NextRun: "second",
				}},
				awssim.Workflow{Domain: "d", WorkflowID: "w2", RunID: "other"},
			)
			first := pinned(r, "")
			if first.Pin != "first" {
				t.Fatalf("%s is resolved to %q, want first", first.ID, first.Pin)
			}
			time.Sleep(2 * time.Minute)
			a := follow(r, first)
			if a.Status != handlers.AlreadyEnded || a.After != continuedAsNew || a.Err == nil || a.Err.Code != codeContinuedAsNew {
				t.Errorf("%+v, want already_ended, and said that it goes on", a)
			}
			if w, ok := r.Workflow("d", "w", "second"); !ok || w.Status() != simswf.Open || w.Requests != 0 {
				t.Errorf("the run that took its place: %+v, %v", w, ok)
			}
			// A new command means the new run.
			if a := follow(r, target(r, "")); a.Status != handlers.Accepted {
				t.Errorf("a new command: %+v, want accepted", a)
			}
			if w, _ := r.Workflow("d", "w", "second"); w.Requests == 0 && w.Close != simswf.Terminated {
				t.Errorf("the run that the new command means: %+v", w)
			}
		})
	}
}

// What a command says of a termination arrives.
func TestOptionsArrive(t *testing.T) {
	onRig(t, terminating, awssim.Options{}, func(r *rig) {
		put(r, "OPEN")
		a := r.Follow(r.Targets(handlers.Parameters{
			"domain": "d", "workflowId": "w", "runId": "r", "reason": "over budget", "details": "by hand", "childPolicy": "ABANDON",
		}))[0]
		w, _ := r.Workflow("d", "w", "r")
		if a.Status != handlers.Accepted || a.RequestID == "" || w.Reason != "over budget" || w.Details != "by hand" || w.ChildPolicy != "ABANDON" {
			t.Errorf("%+v; the run is %+v", a, w)
		}
	})
}

// Of several that are listed as open the newest is meant; a run of another workflow never.
func TestNewestOpenRun(t *testing.T) {
	onRig(t, requesting, awssim.Options{}, func(r *rig) {
		now := time.Now()
		for i, run := range []string{"old", "newest", "older"} {
			r.PutWorkflows(awssim.Workflow{
				Domain: "d", WorkflowID: "w", RunID: run, Started: now.Add(-[]time.Duration{time.Hour, time.Minute, 2 * time.Hour}[i]),
			})
		}
		r.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w/2", RunID: "stranger"})
		if pin := pinned(r, "").Pin; pin != "newest" {
			t.Errorf("resolved to %q, want newest", pin)
		}
	})
}

// A second command without a run id is a success, though SWF names no open run any more: of the
// closed ones the newest counts, whatever order they came in.
func TestSecondCancelWithoutARun(t *testing.T) {
	onRig(t, requesting, awssim.Options{SWF: simswf.Options{ObeyAfter: time.Minute}}, func(r *rig) {
		before := time.Now().Add(-time.Hour)
		r.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "before", Started: before, Close: simswf.Failed})
		put(r, "OPEN")
		r.PutWorkflows(
			awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "long before", Started: before.Add(-time.Hour), Close: simswf.TimedOut},
			awssim.Workflow{Domain: "d", WorkflowID: "w2", RunID: "stranger", Started: time.Now().Add(time.Second), Close: simswf.Completed},
		)
		for i, want := range []handlers.Status{handlers.Accepted, handlers.Accepted, handlers.AlreadyCancelled} {
			calls := min(i+1, 2)
			r.Want(fmt.Sprintf("command %d", i+1), follow(r, target(r, "")), want, calls, 0)
			time.Sleep(45 * time.Second)
		}
	})
}

// What AWS refuses of the listings ends a command as such, and costs no call.
func TestListingsRefused(t *testing.T) {
	for _, operation := range []string{"ListOpenWorkflowExecutions", "ListClosedWorkflowExecutions"} {
		onRig(t, terminating, awssim.Options{Faults: awssim.Faults{"swf:" + operation: {Denied: 1}}}, func(r *rig) {
			put(r, "CLOSED/CANCELED")
			r.Want(operation, follow(r, target(r, "")), handlers.Denied, 0, 0)
		})
	}
}

// A domain that SWF does not know has no run to stop.
func TestUnknownDomain(t *testing.T) {
	for i := range 2 {
		for _, run := range []string{"", "r"} {
			onRig(t, i, awssim.Options{}, func(r *rig) {
				if a := follow(r, target(r, run)); a.Status != handlers.NotFound {
					t.Errorf("run %q: %+v, want not_found", run, a)
				}
			})
		}
	}
}

// Without a run id no call is made: it would stop whichever run is open.
func TestUnresolvedIsNeverCalled(t *testing.T) {
	for i := range 2 {
		onRig(t, i, awssim.Options{}, func(r *rig) {
			put(r, "OPEN")
			open := []handlers.Target{target(r, "")}
			a := r.Handler.Cancel().Do(r.Context(), location, open)[0]
			rd := r.Handler.Read().Do(r.Context(), location, open)[0]
			if a.Err == nil || a.Err.Class != handlers.Final || rd.Err == nil || rd.Err.Class != handlers.Final {
				t.Errorf("called: %+v, read: %+v; want both refused", a, rd)
			}
			if n := len(r.Counts()); n != 0 {
				t.Errorf("%d operations were asked for", n)
			}
		})
	}
}

// What an open run shows where no call was answered with success.
func TestJudgeOpen(t *testing.T) {
	unknown := &handlers.Error{Class: handlers.Unsettled, Code: "UnknownResourceFault"}
	denied := &handlers.Error{Class: handlers.NotAuthorized, Code: "OperationNotPermittedFault"}
	for _, row := range []struct {
		about                 string
		tried                 handlers.Tried
		asked                 bool // a cancel is recorded
		cancelled, terminated handlers.Status
	}{
		{"nothing called", handlers.Tried{}, false, "", ""},
		{"nothing called, another's request is recorded", handlers.Tried{}, true, "accepted", ""},
		{"never answered", handlers.Tried{Unsure: true}, false, "", ""},
		{"never answered, recorded", handlers.Tried{Unsure: true}, true, "accepted", ""},
		{"refused, the reading lags behind", handlers.Tried{Refusal: unknown}, false, "failed", "failed"},
		{"refused, a request is recorded", handlers.Tried{Refusal: unknown}, true, "accepted", "failed"},
		{"denied, another's request is recorded", handlers.Tried{Refusal: denied}, true, "denied", "denied"},
		{"taken, the reading lags behind", handlers.Tried{Taken: true}, false, "accepted", "accepted"},
	} {
		for i, want := range []handlers.Status{row.cancelled, row.terminated} {
			h := New(nil)[i]
			a := h.Judge(handlers.Target{}, row.tried, handlers.Reading{Found: true, State: "OPEN", Detail: detail{row.asked}})
			if a.Status != want || (a.Err != nil) != (want == handlers.Failed || want == handlers.Denied) {
				t.Errorf("%s: %s: %+v, want %q", h.Action(), row.about, a, want)
			}
		}
	}
	for _, h := range New(nil) { // a close status that SWF added since is an end
		if a := h.Judge(handlers.Target{}, handlers.Tried{}, handlers.Reading{Found: true, State: closedAs + "PAUSED_FOR_EVER"}); a.Status != handlers.AlreadyEnded {
			t.Errorf("%s: %+v, want already_ended", h.Action(), a)
		}
	}
}

// Throttling costs time: 2,090 calls come through a bucket of 2,000 that refills by 30 a second.
func TestThrottledCallsComeThrough(t *testing.T) {
	onRig(t, requesting, awssim.Options{}, func(r *rig) {
		put(r, deaf)
		began := time.Now()
		for range 2090 {
			if a := follow(r, target(r, "r")); a.Status != handlers.Accepted {
				t.Fatalf("%+v, want accepted", a)
			}
		}
		if took := time.Since(began); took != 4*time.Second || r.Counts()["swf:RequestCancelWorkflowExecution"].Throttled != 2 {
			t.Errorf("took %s: %+v; want two throttled, and 2s after each", took, r.Counts()["swf:RequestCancelWorkflowExecution"])
		}
		if w, _ := r.Workflow("d", "w", "r"); w.Requests != 2090 {
			t.Errorf("%d requests recorded, want 2090", w.Requests)
		}
	})
}
