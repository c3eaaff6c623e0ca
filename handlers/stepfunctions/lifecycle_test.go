package stepfunctions

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/internal/awssim"
	simsfn "github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/internal/facts"
)

var location = handlers.Location{Account: "123456789012", Region: "us-east-1"}

type rig = handlertest.Rig

// onRig runs a test of the handler in virtual time.
func onRig(t *testing.T, o awssim.Options, test func(*rig)) {
	t.Helper()
	handlertest.OnRig(t, New, 0, o, test)
}

func targets(r *rig, given record) []handlers.Target {
	r.Helper()
	return r.Targets(handlers.Parameters{"executionArn": arn(0), "error": given.code, "cause": given.cause})
}

// follow returns what an execution comes to.
func follow(r *rig, given record) handlers.Answer {
	r.Helper()
	return r.Follow(targets(r, given))[0]
}

// put puts the execution in, in a state by name, with what a stop of another left there.
func put(r *rig, state string) {
	e := awssim.Execution{ARN: arn(0), State: simsfn.State(state)}
	if e.State == simsfn.Aborted {
		e.Error, e.Cause = theirs.code, theirs.cause
	}
	if state != absent {
		r.PutExecutions(e)
	}
}

const absent = "absent" // in place of a state: Step Functions knows no such execution

var (
	theirs = record{"Theirs", "another's"}
	// options are what a command can say beside the execution.
	options = []record{{"", handlers.DefaultReason}, {"", "over budget"}, {"Guard", handlers.DefaultReason}, {"Guard", "over budget"}}
	silent  = options[:1]
	speaks  = options[1:]
)

const undocumented = "; the answer to a stop of what has ended is undocumented"

// Every state × what is sent beside the execution × what AWS may answer to a stop of what has
// ended, from a command to its status without confirm (status), and what a reading shows a
// minute later (later). The source is the entry of StopExecution under breadth of aws.json.
var lifecycle = []struct {
	state        string
	refuses      bool // what has ended
	options      []record
	status       handlers.Status
	calls, reads int
	later        handlers.Status
	source       string
}{
	{"RUNNING", false, options, "accepted", 1, 0, "cancelled", "cancelled_state ABORTED; describe"},
	{"PENDING_REDRIVE", false, options, "accepted", 1, 0, "cancelled", "intermediate_states; that it is stopped is undocumented"},
	{"SUCCEEDED", false, options, "accepted", 1, 0, "already_ended", "terminal_states" + undocumented},
	{"FAILED", false, options, "accepted", 1, 0, "already_ended", "terminal_states" + undocumented},
	{"TIMED_OUT", false, options, "accepted", 1, 0, "already_ended", "terminal_states" + undocumented},
	{"ABORTED", false, speaks, "accepted", 1, 0, "already_cancelled", "cancelled_state" + undocumented},
	{"ABORTED", false, silent, "accepted", 1, 0, "cancelled", "cancelled_state" + undocumented + "; ours and theirs look alike"},
	{"SUCCEEDED", true, options, "already_ended", 1, 1, "already_ended", "terminal_states" + undocumented},
	{"FAILED", true, options, "already_ended", 1, 1, "already_ended", "terminal_states" + undocumented},
	{"TIMED_OUT", true, options, "already_ended", 1, 1, "already_ended", "terminal_states" + undocumented},
	{"ABORTED", true, options, "already_cancelled", 1, 1, "already_cancelled", "cancelled_state" + undocumented},
	{absent, false, options, "not_found", 1, 0, "not_found", "ExecutionDoesNotExist"},
}

func TestLifecycle(t *testing.T) {
	for _, row := range lifecycle {
		for _, given := range row.options {
			onRig(t, awssim.Options{StepFunctions: simsfn.Options{RefuseEnded: row.refuses}}, func(r *rig) {
				put(r, row.state)
				a := follow(r, given)
				about := fmt.Sprintf("%s, sending %+v (%s)", row.state, given, row.source)
				r.Want(about, a, row.status, row.calls, row.reads)
				time.Sleep(time.Minute)
				tried := handlers.Tried{Taken: a.Status == handlers.Accepted, Refusal: a.Err}
				later := r.Look(targets(r, given)[0], tried)
				if later.Status != row.later {
					t.Errorf("%s, a minute later: %+v, want %s", about, later, row.later)
				}
			})
		}
	}
}

// The table has rows for every state that aws.json knows, and RUNNING, and comes to what it
// says of them.
func TestLifecycleAgreesWithFacts(t *testing.T) {
	type entry struct {
		Cancelled    []string `json:"cancelled_state"`
		Terminal     []string `json:"terminal_states"`
		Intermediate []string `json:"intermediate_states"`
	}
	var known entry
	var entries []json.RawMessage
	if err := facts.Raw(&entries, "breadth"); err != nil {
		t.Fatal(err)
	}
	for _, raw := range entries {
		var name struct{ Service, Operation string }
		if err := json.Unmarshal(raw, &name); err == nil && name.Service == "stepfunctions" && name.Operation == "StopExecution" {
			if err := json.Unmarshal(raw, &known); err != nil {
				t.Fatal(err)
			}
		}
	}
	alive := append([]string{"RUNNING"}, known.Intermediate...)
	states := slices.Concat(alive, known.Terminal)
	if len(states) != len(simsfn.States()) {
		t.Errorf("aws.json has %v, the simulator %v", states, simsfn.States())
	}
	for _, state := range states {
		rows := 0
		for _, row := range lifecycle {
			if row.state != state {
				continue
			}
			rows += len(row.options)
			ended, cancelled := row.later == handlers.AlreadyEnded, slices.Contains(known.Cancelled, state)
			if row.later.Verdict() != handlers.Stopped || ended != (slices.Contains(known.Terminal, state) && !cancelled) {
				t.Errorf("%s comes to %s; aws.json: terminal %v, cancelled %v", state, row.later, known.Terminal, known.Cancelled)
			}
		}
		want := len(options)
		if slices.Contains(known.Terminal, state) {
			want *= 2 // taken or refused
		}
		if rows != want {
			t.Errorf("%d rows for %s, want %d", rows, state, want)
		}
	}
}

// What an execution comes to whose first call met a fault, by the state it was in.
func TestAfterAFault(t *testing.T) {
	lost, broken := awssim.Fault{Lost: 1, Times: 1}, awssim.Fault{Broken: 1, Times: 1}
	for _, row := range []struct {
		about   string
		fault   awssim.Fault
		state   string
		refuses bool
		given   record
		status  handlers.Status
		calls   int
		reads   int
	}{
		{"lost, and what has ended is taken", lost, "RUNNING", false, record{}, "accepted", 2, 0},
		{"lost, and what has ended is refused: the echo of our own stop", lost, "RUNNING", true, record{}, "cancelled", 2, 1},
		{"the same by its record", lost, "RUNNING", true, record{"Guard", "over budget"}, "cancelled", 2, 1},
		{"lost, and not to be distinguished from our own stop", lost, "ABORTED", true, record{}, "cancelled", 2, 1},
		{"lost, and another's by its record", lost, "ABORTED", true, record{"", "over budget"}, "already_cancelled", 2, 1},
		{"lost, and ended before", lost, "SUCCEEDED", true, record{}, "already_ended", 2, 1},
		{"lost, and not known", lost, absent, false, record{}, "not_found", 2, 1},
		{"a 5xx", broken, "RUNNING", true, record{}, "accepted", 2, 0},
		{"no permission", awssim.Fault{Denied: 1}, "RUNNING", false, record{}, "denied", 1, 0},
	} {
		o := awssim.Options{
			StepFunctions: simsfn.Options{RefuseEnded: row.refuses},
			Faults:        awssim.Faults{"states:StopExecution": row.fault},
		}
		onRig(t, o, func(r *rig) {
			put(r, row.state)
			r.Want(row.about, follow(r, row.given), row.status, row.calls, row.reads)
		})
	}
}

// An execution whose key is of no use is stopped and read all the same where there is nothing
// to encrypt; with a record, the refusal stands.
func TestEncryptedExecution(t *testing.T) {
	for _, row := range []struct {
		code   string
		given  record
		status handlers.Status
		reads  int
		later  handlers.Status
	}{
		{"KmsAccessDeniedException", record{"", handlers.DefaultReason}, "accepted", 0, "cancelled"},
		{"KmsInvalidStateException", record{"", handlers.DefaultReason}, "accepted", 0, "cancelled"},
		{"KmsAccessDeniedException", record{"", "over budget"}, "denied", 0, ""},
		{"KmsInvalidStateException", record{"", "over budget"}, "failed", 1, ""},
	} {
		onRig(t, awssim.Options{}, func(r *rig) {
			r.PutExecutions(awssim.Execution{ARN: arn(0), KeyTrouble: row.code})
			a := follow(r, row.given)
			r.Want(fmt.Sprintf("%s, sending %+v", row.code, row.given), a, row.status, 1, row.reads)
			if row.status.Verdict() == handlers.NotStopped && a.Err.Code != row.code {
				t.Errorf("%+v, want the code %s", a, row.code)
			}
			later := r.Look(targets(r, row.given)[0], handlers.Tried{Taken: a.Err == nil})
			if later.Status != row.later {
				t.Errorf("%s, sending %+v, read: %+v, want %q", row.code, row.given, later, row.later)
			}
		})
	}
}

// A key that KMS throttles costs time.
func TestThrottledKey(t *testing.T) {
	onRig(t, awssim.Options{}, func(r *rig) {
		r.PutExecutions(awssim.Execution{ARN: arn(0), KeyTrouble: "KmsThrottlingException"})
		time.AfterFunc(9*time.Second, func() { r.PutExecutions(awssim.Execution{ARN: arn(0)}) })
		r.Want("throttled for 9 s, tried each 2 s", follow(r, record{"", "over budget"}), handlers.Accepted, 6, 0)
	})
}

// A description may lag behind a stop, and then it is no more than accepted.
func TestDescriptionLags(t *testing.T) {
	onRig(t, awssim.Options{StepFunctions: simsfn.Options{Lag: time.Second}}, func(r *rig) {
		put(r, "RUNNING")
		given := record{"Guard", "over budget"}
		r.Want("at once", follow(r, given), handlers.Accepted, 1, 0)
		for _, want := range []handlers.Status{handlers.Accepted, handlers.Cancelled} {
			if a := r.Look(targets(r, given)[0], handlers.Tried{Taken: true}); a.Status != want {
				t.Errorf("%+v, want %s", a, want)
			}
			time.Sleep(time.Second)
		}
	})
}

// An ARN that is not one of an execution of a STANDARD state machine has failed in AWS's words.
func TestInvalidARN(t *testing.T) {
	for _, id := range []string{"orders", "arn:aws:states:us-east-1:123456789012:express:orders:run-1:5b1d"} {
		onRig(t, awssim.Options{}, func(r *rig) {
			a := r.Follow([]handlers.Target{{ID: id, Params: record{}}})[0]
			r.Want(id, a, handlers.Failed, 1, 1)
			if a.Err == nil || a.Err.Code != "InvalidArn" {
				t.Errorf("%s: %+v, want InvalidArn", id, a)
			}
		})
	}
}

// Both calls end with their context, and say so.
func TestContextEnds(t *testing.T) {
	onRig(t, awssim.Options{Latency: time.Hour}, func(r *rig) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		a := r.Handler.Cancel().Do(ctx, location, targets(r, record{}))[0]
		ctx, cancel = context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		rd := r.Handler.Read().Do(ctx, location, targets(r, record{}))[0]
		if a.Err == nil || a.Err.Class != handlers.Unanswered || rd.Err == nil || rd.Err.Class != handlers.Unanswered {
			t.Errorf("%+v and %+v, want unanswered", a, rd)
		}
	})
}
