package batch

import (
	"slices"
	"testing"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/facts"
)

// What is read beside the state. aws.json, core.batch.confirm and accepted_flags: a job that
// was stopped is FAILED, flagged, and records the reason that was sent; the flags alone say
// that Batch took a request.
var (
	noFlag          = detail{}
	exited          = detail{reason: "Essential container in task exited"}
	cancelledByUs   = detail{cancelled: true, reason: reason}
	cancelledByThem = detail{cancelled: true, reason: "queue is being drained"}
	endedByUs       = detail{terminated: true, reason: reason}
	endedByThem     = detail{terminated: true, reason: "queue is being drained"}
	bothByUs        = detail{cancelled: true, terminated: true, reason: reason}
)

// Every state that a job can have, after a call that Batch took, with what each action makes
// of it. The source is the entry under core.batch of aws.json.
var afterCall = []struct {
	state             string
	detail            detail
	cancel, terminate handlers.Status
	source            string
}{
	{"SUBMITTED", noFlag, "accepted", "accepted", "cancellable: both; nothing proves an end yet"},
	{"SUBMITTED", cancelledByUs, "accepted", "accepted", "accepted_flags.isCancelled"},
	{"SUBMITTED", endedByThem, "accepted", "accepted", "accepted_flags.isTerminated"},
	{"PENDING", noFlag, "accepted", "accepted", "cancellable: both"},
	{"PENDING", cancelledByUs, "accepted", "accepted", "array: the parent remains PENDING while children run"},
	{"PENDING", endedByUs, "accepted", "accepted", "accepted_flags.isTerminated"},
	{"RUNNABLE", noFlag, "accepted", "accepted", "cancellable: both"},
	{"RUNNABLE", cancelledByUs, "accepted", "accepted", "accepted_flags.isCancelled"},
	{"STARTING", noFlag, "not_cancellable", "accepted", "cancellable: TerminateJob alone"},
	{"STARTING", cancelledByUs, "not_cancellable", "accepted", "cancellable: TerminateJob alone, whatever was asked before"},
	{"RUNNING", noFlag, "not_cancellable", "accepted", "cancellable: TerminateJob alone; second_cancel: 200 proves nothing"},
	{"RUNNING", endedByUs, "not_cancellable", "accepted", "accepted_flags.isTerminated"},
	{"SUCCEEDED", noFlag, "already_ended", "already_ended", "terminal; no_cancelled_state"},
	{"SUCCEEDED", bothByUs, "already_ended", "already_ended", "terminal: the cancel came too late"},
	{"FAILED", noFlag, "already_ended", "already_ended", "terminal; confirm: no flag, no cancel"},
	{"FAILED", exited, "already_ended", "already_ended", "terminal; confirm: no flag, no cancel"},
	{"FAILED", detail{reason: reason}, "already_ended", "already_ended", "confirm: the reason alone is no flag"},
	{"FAILED", cancelledByUs, "cancelled", "cancelled", "confirm"},
	{"FAILED", cancelledByThem, "already_cancelled", "already_cancelled", "confirm: not our reason"},
	{"FAILED", endedByUs, "cancelled", "cancelled", "confirm"},
	{"FAILED", endedByThem, "already_cancelled", "already_cancelled", "confirm: not our reason"},
	{"FAILED", bothByUs, "cancelled", "cancelled", "confirm"},
	{"FAILED", detail{cancelled: true}, "already_cancelled", "already_cancelled", "confirm: no reason is not ours"},
}

func TestJudgeAfterACall(t *testing.T) {
	cancel, terminate := judges()
	for _, row := range afterCall {
		r := handlers.Reading{Found: true, State: row.state, Detail: row.detail, RequestID: "req"}
		for _, c := range []struct {
			h    *handler
			want handlers.Status
		}{{cancel, row.cancel}, {terminate, row.terminate}} {
			got := c.h.Judge(target, handlers.Tried{Taken: true}, r)
			want := handlers.Answer{Status: c.want, After: row.state, RequestID: "req"}
			if got != want {
				t.Errorf("%s, %s %+v: %+v, want %s (%s)", c.h.action, row.state, row.detail, got, c.want, row.source)
			}
		}
	}
}

// The table has a row for every state that aws.json knows, and agrees with it on which
// states an action stops and which it does not leave.
func TestTableAgreesWithFacts(t *testing.T) {
	batch := facts.Core()["batch"]
	for _, state := range batch.States {
		seen := false
		for _, row := range afterCall {
			if row.state != state {
				continue
			}
			seen = true
			terminal := slices.Contains(batch.Terminal, state)
			for action, got := range map[string]handlers.Status{"CancelJob": row.cancel, "TerminateJob": row.terminate} {
				stops := slices.Contains(batch.CancellableBy(action), state)
				if (got == handlers.Accepted) != stops || (got.Verdict() == handlers.Stopped) != terminal {
					t.Errorf("%s of %s comes to %s; aws.json: stops it %v, terminal %v", action, state, got, stops, terminal)
				}
			}
		}
		if !seen {
			t.Errorf("no row for %s", state)
		}
	}
}

func TestJudgeNotListed(t *testing.T) {
	// confirm: "absent id => unknown/expired, not success".
	cancel, terminate := judges()
	for _, h := range []*handler{cancel, terminate} {
		for _, tried := range []handlers.Tried{{}, {Taken: true}, {Unsure: true}, {Refusal: errRefused}} {
			if got := h.Judge(target, tried, handlers.Reading{}); got.Status != handlers.NotFound {
				t.Errorf("%s after %+v: %q, want not_found", h.action, tried, got.Status)
			}
		}
	}
}

var (
	target     = handlers.Target{ID: "job", Key: reason, Params: reason}
	errRefused = &handlers.Error{Class: handlers.Unsettled, Code: "ClientException", Message: "no"}
	errDenied  = &handlers.Error{Class: handlers.NotAuthorized, Code: "AccessDenied"}
)

func judges() (cancel, terminate *handler) {
	return &handler{action: "batch:CancelJob"}, &handler{action: "batch:TerminateJob", stopsRunning: true}
}

// What a state shows where no call was answered with success.
func TestJudgeWithoutSuccess(t *testing.T) {
	none := handlers.Tried{}
	unsure := handlers.Tried{Unsure: true}
	refusedOnly := handlers.Tried{Refusal: errRefused}
	both := handlers.Tried{Unsure: true, Refusal: errRefused}
	for _, row := range []struct {
		about             string
		tried             handlers.Tried
		state             string
		detail            detail
		cancel, terminate handlers.Status
	}{
		{"never answered, no sign", unsure, "RUNNABLE", noFlag, "", ""},
		{"never answered, flagged", unsure, "RUNNABLE", cancelledByUs, "accepted", "accepted"},
		{"never answered, array parent flagged", unsure, "PENDING", cancelledByUs, "accepted", "accepted"},
		{"never answered, running", unsure, "RUNNING", noFlag, "not_cancellable", ""},
		{"never answered, running and being terminated", unsure, "RUNNING", endedByUs, "not_cancellable", "accepted"},
		{"a cancel does not stop what runs", unsure, "RUNNING", cancelledByThem, "not_cancellable", ""},
		{"never answered, stopped by our reason", unsure, "FAILED", cancelledByUs, "cancelled", "cancelled"},
		{"never answered, stopped before", unsure, "FAILED", cancelledByThem, "already_cancelled", "already_cancelled"},
		{"never answered, ended by itself", unsure, "FAILED", exited, "already_ended", "already_ended"},

		{"refused, not ended", refusedOnly, "RUNNABLE", noFlag, "failed", "failed"},
		{"refused, another's cancel under way", refusedOnly, "RUNNABLE", cancelledByThem, "failed", "failed"},
		{"refused, running", refusedOnly, "RUNNING", noFlag, "not_cancellable", "failed"},
		{"refused because it had ended", refusedOnly, "SUCCEEDED", noFlag, "already_ended", "already_ended"},
		{"refused because it was stopped", refusedOnly, "FAILED", cancelledByThem, "already_cancelled", "already_cancelled"},
		{"denied, not ended", handlers.Tried{Refusal: errDenied}, "RUNNABLE", noFlag, "denied", "denied"},

		{"unanswered, then refused", both, "RUNNABLE", noFlag, "failed", "failed"},
		{"unanswered, then refused, flagged", both, "RUNNABLE", cancelledByUs, "accepted", "accepted"},
		{"taken, then refused", handlers.Tried{Taken: true, Refusal: errRefused}, "RUNNABLE", noFlag, "accepted", "accepted"},

		{"nothing called, nothing to see", none, "RUNNABLE", noFlag, "", ""},
		{"nothing called, flagged", none, "RUNNABLE", cancelledByThem, "accepted", "accepted"},
		{"nothing called, so it was before, whatever the reason", none, "FAILED", cancelledByUs, "already_cancelled", "already_cancelled"},
		{"nothing called, ended by itself", none, "SUCCEEDED", noFlag, "already_ended", "already_ended"},
	} {
		r := handlers.Reading{Found: true, State: row.state, Detail: row.detail}
		cancel, terminate := judges()
		if got := cancel.Judge(target, row.tried, r).Status; got != row.cancel {
			t.Errorf("%s: after CancelJob %q, want %q", row.about, got, row.cancel)
		}
		if got := terminate.Judge(target, row.tried, r).Status; got != row.terminate {
			t.Errorf("%s: after TerminateJob %q, want %q", row.about, got, row.terminate)
		}
	}
}

// Under the constant reason ours and another's cannot be distinguished.
func TestJudgeConstantReason(t *testing.T) {
	cancel, _ := judges()
	anonymous := handlers.Target{ID: "job", Key: handlers.DefaultReason, Params: handlers.DefaultReason}
	r := handlers.Reading{Found: true, State: "FAILED", Detail: detail{cancelled: true, reason: handlers.DefaultReason}}
	if got := cancel.Judge(anonymous, handlers.Tried{Taken: true}, r).Status; got != handlers.Cancelled {
		t.Errorf("%q, want cancelled", got)
	}
}

func TestJudgeKeepsTheRefusal(t *testing.T) {
	cancel, _ := judges()
	got := cancel.Judge(target, handlers.Tried{Refusal: errRefused}, handlers.Reading{Found: true, State: "RUNNABLE"})
	if got.Err != errRefused {
		t.Errorf("failed with %v, want the refusal's code", got.Err)
	}
}
