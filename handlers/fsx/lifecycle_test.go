package fsx

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/internal/awssim"
	simfsx "github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/facts"
)

var location = handlers.Location{Account: "123456789012", Region: "us-east-1"}

type rig = handlertest.Rig

// onRig runs a test of the handler in virtual time.
func onRig(t *testing.T, o awssim.Options, test func(*rig)) {
	t.Helper()
	handlertest.OnRig(t, New, 0, o, test)
}

// target is the one task of most tests.
var target = handlers.Target{ID: task}

// follow returns what the task comes to.
func follow(r *rig) handlers.Answer {
	r.Helper()
	return r.Follow(r.Targets(handlers.Parameters{"TaskId": task}))[0]
}

const absent = "absent" // in place of a state: FSx knows no such task

// Every state, from a command to its status without confirm (status), and what a reading shows
// a minute later (later). The action has no options. The source is the entry under core.fsx of
// aws.json.
var lifecycle = []struct {
	state, kind  string
	status       handlers.Status
	calls, reads int
	later        handlers.Status
	source       string
}{
	{"PENDING", "", "accepted", 1, 0, "cancelled", "cancellable; confirm"},
	{"EXECUTING", "", "accepted", 1, 0, "cancelled", "cancellable; confirm"},
	{"CANCELING", "", "accepted", 1, 0, "cancelled", "undocumented (second_cancel: no source)"},
	{"FAILED", "", "already_ended", 1, 1, "already_ended", "second_cancel: DataRepositoryTaskEnded, describe"},
	{"SUCCEEDED", "", "already_ended", 1, 1, "already_ended", "second_cancel: DataRepositoryTaskEnded, describe"},
	{"CANCELED", "", "already_cancelled", 1, 1, "already_cancelled", "second_cancel: DataRepositoryTaskEnded, describe"},
	{"EXECUTING", simfsx.AutoRelease, "failed", 1, 1, "failed", "UnsupportedOperation; which tasks meet it is undocumented"},
	{absent, "", "not_found", 1, 0, "not_found", "DataRepositoryTaskNotFound"},
}

func TestLifecycle(t *testing.T) {
	for _, row := range lifecycle {
		onRig(t, awssim.Options{FSx: simfsx.Options{StopAfter: 10 * time.Second}}, func(r *rig) {
			put(r, row.state, row.kind, task)
			a := follow(r)
			about := fmt.Sprintf("%s %s (%s)", row.state, row.kind, row.source)
			r.Want(about, a, row.status, row.calls, row.reads)
			time.Sleep(time.Minute)
			tried := handlers.Tried{Taken: a.Err == nil && row.reads == 0, Refusal: a.Err}
			if later := r.Look(target, tried); later.Status != row.later {
				t.Errorf("%s, a minute later: %+v, want %s", about, later, row.later)
			}
		})
	}
}

// put puts a task in, in a state by name. One that is stopping stops.
func put(r *rig, state, kind, id string) {
	in := awssim.Task{ID: id, State: simfsx.State(state), Type: kind}
	if in.State == simfsx.Canceling {
		in.Then = []awssim.TaskChange{{After: 5 * time.Second, State: simfsx.Canceled}}
	}
	if state != absent {
		r.PutTasks(in)
	}
}

// The table has a row for every state that aws.json knows, and agrees with it on which are
// stopped and which are not left.
func TestLifecycleAgreesWithFacts(t *testing.T) {
	known := facts.Core()["fsx"]
	var cancellable []string
	if err := facts.Raw(&cancellable, "core", "fsx", "cancellable"); err != nil {
		t.Fatal(err)
	}
	for _, state := range known.States {
		rows := 0
		for _, row := range lifecycle {
			if row.state != state || row.kind != "" {
				continue
			}
			rows++
			terminal := slices.Contains(known.Terminal, state)
			if (row.status.Verdict() == handlers.Stopped) != terminal || (row.status == handlers.Accepted) == terminal ||
				slices.Contains(cancellable, state) && row.later != handlers.Cancelled {
				t.Errorf("%s comes to %s and %s; aws.json: terminal %v, cancellable %v", state, row.status, row.later, terminal, cancellable)
			}
		}
		if rows != 1 {
			t.Errorf("%d rows for %s", rows, state)
		}
	}
}

// What a task comes to whose first call met a fault, by the state it was in.
func TestAfterAFault(t *testing.T) {
	lost, broken := awssim.Fault{Lost: 1, Times: 1}, awssim.Fault{Broken: 1, Times: 1}
	for _, row := range []struct {
		about        string
		fault        awssim.Fault
		state        string
		stopAfter    time.Duration
		status       handlers.Status
		calls, reads int
	}{
		{"lost, and stopping since", lost, "EXECUTING", time.Minute, "accepted", 2, 0},
		{"lost, and stopped since: the echo of our own cancel", lost, "EXECUTING", 0, "cancelled", 2, 1},
		{"lost, and not to be distinguished from our own cancel", lost, "CANCELED", 0, "cancelled", 2, 1},
		{"lost, and ended before", lost, "SUCCEEDED", 0, "already_ended", 2, 1},
		{"lost, and not known", lost, absent, 0, "not_found", 2, 1},
		{"a 5xx", broken, "PENDING", time.Minute, "accepted", 2, 0},
	} {
		o := awssim.Options{FSx: simfsx.Options{StopAfter: row.stopAfter}, Faults: awssim.Faults{"fsx:CancelDataRepositoryTask": row.fault}}
		onRig(t, o, func(r *rig) {
			put(r, row.state, "", task)
			r.Want(row.about, follow(r), row.status, row.calls, row.reads)
		})
	}
}

// A second cancel is a success of the idempotent kind, whenever it comes.
func TestSecondCancel(t *testing.T) {
	onRig(t, awssim.Options{FSx: simfsx.Options{StopAfter: time.Minute}}, func(r *rig) {
		put(r, "EXECUTING", "", task)
		r.Want("first", follow(r), handlers.Accepted, 1, 0)
		r.Want("while it is stopping", follow(r), handlers.Accepted, 2, 0)
		time.Sleep(time.Minute)
		r.Want("after", follow(r), handlers.AlreadyCancelled, 3, 1)
	})
}

// What FSx refuses for whatever reason has not failed where the task is stopping or stopped.
func TestRefusalIsSettledByState(t *testing.T) {
	h := New(nil)[0]
	for code := range cancelCodes {
		tried := handlers.Tried{Refusal: &handlers.Error{Class: cancelCodes[code], Code: code}}
		for state, want := range map[string]handlers.Status{
			"PENDING": "failed", "EXECUTING": "failed", "CANCELING": "accepted",
			"CANCELED": "already_cancelled", "SUCCEEDED": "already_ended", "FAILED": "already_ended",
		} {
			a := h.Judge(handlers.Target{ID: task}, tried, handlers.Reading{Found: true, State: state})
			if a.Status != want || want == handlers.Failed && a.Err.Code != code {
				t.Errorf("%s of a task that is %s: %+v, want %s", code, state, a, want)
			}
		}
	}
}

// 50 tasks are one read. One among them that FSx does not know makes it refuse them all; the
// others come to the same in halves.
func TestOneUnknownAmong50(t *testing.T) {
	for _, unknown := range []int{-1, 0, 17, 49} {
		onRig(t, awssim.Options{}, func(r *rig) {
			targets := make([]handlers.Target, maxDescribe)
			for i := range targets {
				targets[i].ID = taskID(i)
				if i != unknown {
					put(r, "SUCCEEDED", "", targets[i].ID)
				}
			}
			readings := handlertest.Read(r.Context(), r.Handler, location, targets)
			for i, target := range targets {
				want := handlers.AlreadyEnded
				if i == unknown {
					want = handlers.NotFound
				}
				if a := r.Handler.Judge(target, handlers.Tried{}, readings[i]); a.Status != want {
					t.Errorf("unknown task %d: task %d came to %+v, want %s", unknown, i, a, want)
				}
			}
			if reads := r.Count("DescribeDataRepositoryTasks"); unknown < 0 && reads != 1 || reads > 1+2*6 {
				t.Errorf("unknown task %d: %d reads, want 1 without and at most 13 with one", unknown, reads)
			}
		})
	}
}

// Both calls end with their context, and say so.
func TestContextEnds(t *testing.T) {
	onRig(t, awssim.Options{Latency: time.Hour}, func(r *rig) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		a := r.Handler.Cancel().Do(ctx, location, []handlers.Target{{ID: task}})[0]
		if a.Err == nil || a.Err.Class != handlers.Unanswered {
			t.Errorf("%+v, want unanswered", a)
		}
	})
}
