package swf

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	simswf "github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/internal/facts"
)

var place = handlers.Place{Account: "123456789012", Region: "us-east-1"}

// The two handlers by their place in what New returns.
const (
	requesting  = 0
	terminating = 1
)

// road sends a target through a handler, the real SDK client and AWS in a box as the worker
// does: it is resolved first, what is throttled or not answered is tried again after a while,
// and what the answer does not tell is read.
type road struct {
	*testing.T
	*awssim.Sim
	h handlers.Handler
}

// onRoad runs a test of one of the handlers in virtual time.
func onRoad(t *testing.T, i int, o awssim.Options, test func(*road)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := awssim.New(o)
		defer func() {
			if err := sim.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}()
		test(&road{T: t, Sim: sim, h: New(func(handlers.Place) aws.Config { return sim.Config() })[i]})
	})
}

func (r *road) target(run string) handlers.Target {
	r.Helper()
	p := handlers.Parameters{"domain": "d", "workflowId": "w"}
	if run != "" {
		p["runId"] = run
	}
	targets, err := r.h.Targets(p)
	if err != nil {
		r.Fatal(err)
	}
	return targets[0]
}

func readingErr(rd handlers.Reading) *handlers.Error { return rd.Err }

// resolve pins a target that leaves its run open; ok is false where there is no such run.
func (r *road) resolve(t *handlers.Target) (ok bool) {
	resolver := r.h.(handlers.Resolver)
	if !resolver.Unresolved(*t) {
		return true
	}
	rd := again(resolver.Resolve().Do, *t, readingErr)
	if rd.Err != nil {
		r.Errorf("resolving %s: %v", t.ID, rd.Err)
	}
	t.Pin = rd.State
	return rd.Found
}

// follow returns what a target comes to.
func (r *road) follow(t handlers.Target) handlers.Answer {
	if !r.resolve(&t) {
		return handlers.Answer{Status: handlers.NotFound}
	}
	var tried handlers.Tried
	a := again(r.h.Cancel().Do, t, func(a handlers.Answer) *handlers.Error {
		tried.Unsure = tried.Unsure || a.Err != nil && (a.Err.Class == handlers.Unavailable || a.Err.Class == handlers.Unanswered)
		return a.Err
	})
	if a.Err == nil || a.Status != "" {
		return a
	}
	tried.Refusal = a.Err
	return r.look(t, tried)
}

// look reads a target's state and judges it; what shows nothing has failed.
func (r *road) look(t handlers.Target, tried handlers.Tried) handlers.Answer {
	a := r.h.Judge(t, tried, again(r.h.Read().Do, t, readingErr))
	if a.Status == "" {
		a.Status, a.Err = handlers.Failed, tried.Refusal
	}
	return a
}

// again makes calls for one target until it has an answer.
func again[R any](do func(context.Context, handlers.Place, []handlers.Target) []R, t handlers.Target, errOf func(R) *handlers.Error) R {
	for {
		r := do(context.Background(), place, []handlers.Target{t})[0]
		switch e := errOf(r); {
		case e == nil, e.Class != handlers.Throttled && e.Class != handlers.Unavailable && e.Class != handlers.Unanswered:
			return r
		}
		time.Sleep(time.Second)
	}
}

// made checks the requests made since the box was new.
func (r *road) made(about string, resolves, calls, reads int) {
	r.Helper()
	n := r.Counts()
	got := [3]int64{
		n["swf:ListOpenWorkflowExecutions"].Requests, n["swf:"+r.h.Cancel().Operation].Requests, n["swf:DescribeWorkflowExecution"].Requests,
	}
	if got != [3]int64{int64(resolves), int64(calls), int64(reads)} {
		r.Errorf("%s: resolved in %d, called in %d, read in %d requests; want %d, %d and %d", about, got[0], got[1], got[2], resolves, calls, reads)
	}
}

const (
	absent = "absent" // in place of a state: SWF knows no such run
	asking = "OPEN, cancel requested"
	deaf   = "OPEN, the decider ignores requests"
)

// put puts run "r" of workflow "w" in.
func (r *road) put(state string) {
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
	unnamed               handlers.Status // without a run id, in one request to resolve it and no read
	source                string
}{
	{"OPEN", "accepted", 0, "cancelled", "cancelled", "accepted", "cancellable; confirm"},
	{asking, "accepted", 0, "cancelled", "cancelled", "accepted", "second_cancel: nothing documented rejects it"},
	{deaf, "accepted", 0, "accepted", "cancelled", "accepted", "confirm: cancelRequested==true => request recorded"},
	{"CLOSED/COMPLETED", "already_ended", 1, "already_ended", "already_ended", "not_found", "second_cancel: UnknownResourceFault; confirm"},
	{"CLOSED/FAILED", "already_ended", 1, "already_ended", "already_ended", "not_found", "second_cancel; confirm"},
	{"CLOSED/TIMED_OUT", "already_ended", 1, "already_ended", "already_ended", "not_found", "second_cancel; confirm"},
	{"CLOSED/CONTINUED_AS_NEW", "already_ended", 1, "already_ended", "already_ended", "not_found", "second_cancel; confirm: not cancelled"},
	{"CLOSED/CANCELED", "already_cancelled", 1, "already_cancelled", "already_cancelled", "not_found", "second_cancel; confirm"},
	{"CLOSED/TERMINATED", "already_cancelled", 1, "already_cancelled", "already_cancelled", "not_found", "second_cancel; confirm"},
	{absent, "not_found", 1, "not_found", "not_found", "not_found", "RequestCancelWorkflowExecution: UnknownResourceFault"},
}

func TestLifecycle(t *testing.T) {
	options := awssim.Options{SWF: simswf.Options{ObeyAfter: 10 * time.Second}}
	for _, row := range lifecycle {
		for i, later := range []handlers.Status{row.cancelled, row.terminated} {
			onRoad(t, i, options, func(r *road) {
				about := fmt.Sprintf("%s of %s (%s)", r.h.Action(), row.state, row.source)
				r.put(row.state)
				target := r.target("r")
				a := r.follow(target)
				if a.Status != row.status {
					t.Errorf("%s: %+v, want %s", about, a, row.status)
				}
				r.made(about, 0, 1, row.reads)
				time.Sleep(time.Minute)
				if got := r.look(target, handlers.Tried{Taken: a.Status == handlers.Accepted, Refusal: a.Err}); got.Status != later {
					t.Errorf("%s, a minute later: %+v, want %s", about, got, later)
				}
			})
			onRoad(t, i, options, func(r *road) {
				about := fmt.Sprintf("%s of %s without a run id (%s)", r.h.Action(), row.state, row.source)
				r.put(row.state)
				if a := r.follow(r.target("")); a.Status != row.unnamed {
					t.Errorf("%s: %+v, want %s", about, a, row.unnamed)
				}
				calls := 0
				if row.unnamed == handlers.Accepted {
					calls = 1
				}
				r.made(about, 1, calls, 0)
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
		{"lost, and not to be told from our own", terminating, lost, "CLOSED/CANCELED", 0, "cancelled", 2, 1},
		{"lost, and ended before", requesting, lost, "CLOSED/FAILED", 0, "already_ended", 2, 1},
		{"lost, and not known", terminating, lost, absent, 0, "not_found", 2, 1},
		{"unsent: the second call is the first", terminating, unsent, "OPEN", 0, "accepted", 2, 0},
		{"503: the second call is the first", requesting, awssim.Fault{Broken: 1, Times: 1}, "OPEN", 0, "accepted", 2, 0},
		{"denied", requesting, awssim.Fault{Denied: 1}, "OPEN", 0, "denied", 1, 0},
	} {
		operation := []string{"RequestCancelWorkflowExecution", "TerminateWorkflowExecution"}[row.i]
		o := awssim.Options{SWF: simswf.Options{ObeyAfter: row.obeyAfter}, Faults: awssim.Faults{"swf:" + operation: row.fault}}
		onRoad(t, row.i, o, func(r *road) {
			r.put(row.state)
			if a := r.follow(r.target("r")); a.Status != row.status {
				t.Errorf("%s (%s): %+v, want %s", row.about, row.state, a, row.status)
			}
			r.made(row.about, 0, row.calls, row.reads)
		})
	}
}

// A command without a run id stops the run that was open when it was resolved, and no other:
// the run that took its place is not touched, however often the call is tried.
func TestPinnedRun(t *testing.T) {
	for i := range 2 {
		onRoad(t, i, awssim.Options{}, func(r *road) {
			r.PutWorkflows(
				awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "before", Close: simswf.Completed},
				awssim.Workflow{Domain: "d", WorkflowID: "w", RunID: "first", Then: &awssim.WorkflowEnding{
					After: time.Minute, Close: simswf.ContinuedAsNew, NextRun: "second",
				}},
				awssim.Workflow{Domain: "d", WorkflowID: "w2", RunID: "other"},
			)
			target := r.target("")
			if !r.resolve(&target) || target.Pin != "first" {
				t.Fatalf("%s is resolved to %q, want first", target.ID, target.Pin)
			}
			time.Sleep(2 * time.Minute)
			a := r.follow(target)
			if a.Status != handlers.AlreadyEnded || a.After != continuedAsNew || a.Err == nil || a.Err.Code != codeContinuedAsNew {
				t.Errorf("%+v, want already_ended, and said that it goes on", a)
			}
			if w, ok := r.Workflow("d", "w", "second"); !ok || w.Status() != simswf.Open || w.Requests != 0 {
				t.Errorf("the run that took its place: %+v, %v", w, ok)
			}
			// A new command means the new run.
			if a := r.follow(r.target("")); a.Status != handlers.Accepted {
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
	onRoad(t, terminating, awssim.Options{}, func(r *road) {
		r.put("OPEN")
		targets, err := r.h.Targets(handlers.Parameters{
			"domain": "d", "workflowId": "w", "runId": "r", "reason": "over budget", "details": "by hand", "childPolicy": "ABANDON",
		})
		if err != nil {
			t.Fatal(err)
		}
		a := r.follow(targets[0])
		w, _ := r.Workflow("d", "w", "r")
		if a.Status != handlers.Accepted || a.RequestID == "" || w.Reason != "over budget" || w.Details != "by hand" || w.ChildPolicy != "ABANDON" {
			t.Errorf("%+v; the run is %+v", a, w)
		}
	})
}

// Of several that are listed as open the newest is meant; a run of another workflow never.
func TestNewestOpenRun(t *testing.T) {
	onRoad(t, requesting, awssim.Options{}, func(r *road) {
		now := time.Now()
		for i, run := range []string{"old", "newest", "older"} {
			r.PutWorkflows(awssim.Workflow{
				Domain: "d", WorkflowID: "w", RunID: run, Started: now.Add(-[]time.Duration{time.Hour, time.Minute, 2 * time.Hour}[i]),
			})
		}
		r.PutWorkflows(awssim.Workflow{Domain: "d", WorkflowID: "w/2", RunID: "stranger"})
		target := r.target("")
		if !r.resolve(&target) || target.Pin != "newest" {
			t.Errorf("resolved to %q, want newest", target.Pin)
		}
	})
}

// A domain that SWF does not know has no run to stop.
func TestUnknownDomain(t *testing.T) {
	for i := range 2 {
		for _, run := range []string{"", "r"} {
			onRoad(t, i, awssim.Options{}, func(r *road) {
				if a := r.follow(r.target(run)); a.Status != handlers.NotFound {
					t.Errorf("run %q: %+v, want not_found", run, a)
				}
			})
		}
	}
}

// Without a run id no call is made: it would stop whichever run is open.
func TestUnresolvedIsNeverCalled(t *testing.T) {
	for i := range 2 {
		onRoad(t, i, awssim.Options{}, func(r *road) {
			r.put("OPEN")
			target := []handlers.Target{r.target("")}
			a := r.h.Cancel().Do(r.Context(), place, target)[0]
			rd := r.h.Read().Do(r.Context(), place, target)[0]
			if a.Err == nil || a.Err.Class != handlers.Final || rd.Err == nil || rd.Err.Class != handlers.Final {
				t.Errorf("called: %+v, read: %+v; want both refused", a, rd)
			}
			r.made("unresolved", 0, 0, 0)
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
	onRoad(t, requesting, awssim.Options{}, func(r *road) {
		r.put(deaf)
		began := time.Now()
		for range 2090 {
			if a := r.follow(r.target("r")); a.Status != handlers.Accepted {
				t.Fatalf("%+v, want accepted", a)
			}
		}
		if took := time.Since(began); took != 3*time.Second || r.Counts()["swf:RequestCancelWorkflowExecution"].Throttled != 3 {
			t.Errorf("took %s: %+v; want 3s and three throttled", took, r.Counts()["swf:RequestCancelWorkflowExecution"])
		}
		if w, _ := r.Workflow("d", "w", "r"); w.Requests != 2090 {
			t.Errorf("%d requests recorded, want 2090", w.Requests)
		}
	})
}
