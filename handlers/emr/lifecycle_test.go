package emr

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/handlers/handlertest"
	"github.com/rescindhq/rescind/internal/awssim"
	simemr "github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/facts"
)

type rig = handlertest.Rig

// onRig runs a test of the handler in virtual time.
func onRig(t *testing.T, o awssim.Options, test func(*rig)) {
	t.Helper()
	handlertest.OnRig(t, New, 0, o, test)
}

const (
	current = "emr-7.12.0"
	absent  = "absent" // in place of a state: the cluster has no such step
)

// Every state × release × option, from a command to its status without confirm (status), and
// what a reading shows a minute later (later). The source is the entry under core.emr of
// aws.json.
var lifecycle = []struct {
	state, release string
	status         handlers.Status
	calls, reads   int
	later          handlers.Status
	source         string
}{
	{"PENDING", current, "accepted", 1, 0, "cancelled", "cancellable.PENDING; per_item_result SUBMITTED; confirm"},
	{"PENDING", "emr-4.8.0", "accepted", 1, 0, "cancelled", "cancellable.PENDING: >=4.8.0"},
	{"PENDING", "emr-5.0.3", "accepted", 1, 0, "cancelled", "cancellable.PENDING: except 5.0.0"},
	{"PENDING", "emr-5.0.0", "not_cancellable", 1, 1, "", "cancellable.PENDING: except 5.0.0; the reason is undocumented"},
	{"PENDING", "emr-4.7.4", "not_cancellable", 1, 1, "", "cancellable.PENDING: >=4.8.0; the reason is undocumented"},
	{"CANCEL_PENDING", current, "accepted", 1, 0, "cancelled", "undocumented (second_cancel: no source)"},
	{"RUNNING", current, "accepted", 1, 0, "cancelled", "cancellable.RUNNING; per_item_result SUBMITTED; confirm"},
	{"RUNNING", "emr-5.28.0", "accepted", 1, 0, "cancelled", "cancellable.RUNNING: >=5.28.0"},
	{"RUNNING", "emr-5.27.1", "not_cancellable", 1, 0, "", "cancellable.RUNNING: >=5.28.0; per_item_result already RUNNING"},
	{"COMPLETED", current, "already_ended", 1, 0, "already_ended", "per_item_result already COMPLETED"},
	{"CANCELLED", current, "already_cancelled", 1, 0, "already_cancelled", "second_cancel; per_item_result already CANCELLED"},
	{"FAILED", current, "already_ended", 1, 0, "already_ended", "per_item_result already FAILED"},
	{"INTERRUPTED", current, "already_ended", 1, 1, "already_ended", "terminal; the reason is undocumented"},
	{absent, current, "not_found", 1, 1, "not_found", "undocumented"},
}

var options = []string{"", "SEND_INTERRUPT", "TERMINATE_PROCESS"}

func TestLifecycle(t *testing.T) {
	for _, row := range lifecycle {
		for _, option := range options {
			onRig(t, awssim.Options{EMR: simemr.Options{StopAfter: 10 * time.Second}}, func(r *rig) {
				about := fmt.Sprintf("%s on %s, option %q (%s)", row.state, row.release, option, row.source)
				put(r, row.release, row.state, "s-1")
				targets := r.Targets(command(option, "s-1"))
				a := r.Follow(targets)[0]
				r.Want(about, a, row.status, row.calls, row.reads)
				time.Sleep(time.Minute)
				tried := handlers.Tried{Taken: a.Err == nil && row.state != absent, Refusal: a.Err}
				later := r.Look(targets[0], tried)
				if row.later != "" && later.Status != row.later {
					t.Errorf("%s, a minute later: %s, want %s", about, later.Status, row.later)
				}
			})
		}
	}
}

// put puts a step in, in a state by name. One that is stopping stops.
func put(r *rig, release, state string, ids ...string) {
	r.PutClusters(awssim.Cluster{ID: cluster, Release: release})
	for _, id := range ids {
		s := awssim.Step{ID: id, Cluster: cluster, State: simemr.State(state)}
		if s.State == simemr.CancelPending {
			s.Then = []awssim.StepChange{{After: 5 * time.Second, State: simemr.Cancelled}}
		}
		if state != absent {
			r.PutSteps(s)
		}
	}
}

func command(option string, steps ...string) handlers.Parameters {
	p := handlers.Parameters{"ClusterId": cluster, "StepIds": steps}
	if option != "" {
		p["StepCancellationOption"] = option
	}
	return p
}

// The table has a row for every state that aws.json knows, and agrees with it on what is
// stopped and what is not left.
func TestLifecycleAgreesWithFacts(t *testing.T) {
	known := facts.Core()["emr"]
	for _, state := range known.States {
		rows := 0
		for _, row := range lifecycle {
			if row.state == state {
				rows++
				if terminal := slices.Contains(known.Terminal, state); (row.status.Verdict() == handlers.Stopped) != terminal {
					t.Errorf("%s comes to %s; aws.json: terminal %v", state, row.status, terminal)
				}
			}
		}
		if rows == 0 {
			t.Errorf("no row for %s", state)
		}
	}
	var documented []string
	if err := facts.Raw(&documented, "core", "emr", "per_item_result", "Status"); err != nil || !slices.Equal(documented, []string{"SUBMITTED", "FAILED"}) {
		t.Errorf("a step's answers are %v, %v", documented, err)
	}
}

// What a step comes to whose first call met a fault, by the state it was in.
func TestAfterAFault(t *testing.T) {
	lost, broken := awssim.Fault{Lost: 1, Times: 1}, awssim.Fault{Broken: 1, Times: 1}
	for _, row := range []struct {
		about          string
		fault          awssim.Fault
		state, release string
		stopAfter      time.Duration
		status         handlers.Status
		calls, reads   int
	}{
		{"lost, and stopping since", lost, "PENDING", current, time.Minute, "accepted", 2, 0},
		{"lost, and stopped since: the echo of our own cancel", lost, "RUNNING", current, 0, "cancelled", 2, 1},
		{"lost, and not to be distinguished from our own cancel", lost, "CANCELLED", current, 0, "cancelled", 2, 1},
		{"lost, and ended before", lost, "COMPLETED", current, 0, "already_ended", 2, 1},
		{"lost, and not to be cancelled", lost, "RUNNING", "emr-5.27.1", 0, "not_cancellable", 2, 1},
		{"lost, and not known", lost, absent, current, 0, "not_found", 2, 1},
		{"a 5xx or EMR's InternalServerError", broken, "PENDING", current, time.Minute, "accepted", 2, 0},
		{"an item that failed in undocumented words", awssim.Fault{Items: 1}, "PENDING", current, 0, "failed", 1, 1},
		{"an item that failed so, of a step that was stopping", awssim.Fault{Items: 1}, "CANCEL_PENDING", current, 0, "accepted", 1, 1},
	} {
		for seed := range uint64(4) { // each kind of 5xx
			o := awssim.Options{
				Seed: seed, EMR: simemr.Options{StopAfter: row.stopAfter},
				Faults: awssim.Faults{"elasticmapreduce:CancelSteps": row.fault},
			}
			onRig(t, o, func(r *rig) {
				put(r, row.release, row.state, "s-1")
				r.Want(row.about+": "+row.state, r.Follow(r.Targets(command("", "s-1")))[0], row.status, row.calls, row.reads)
			})
		}
	}
}

// A step that ignores SEND_INTERRUPT is accepted and no more; TERMINATE_PROCESS stops it.
func TestStubbornStep(t *testing.T) {
	onRig(t, awssim.Options{EMR: simemr.Options{StopAfter: time.Second}}, func(r *rig) {
		r.PutSteps(awssim.Step{ID: "s-1", Cluster: cluster, State: simemr.Running, Stubborn: true})
		for _, row := range []struct {
			option string
			later  handlers.Status
		}{{"SEND_INTERRUPT", "accepted"}, {"SEND_INTERRUPT", "accepted"}, {"TERMINATE_PROCESS", "cancelled"}} {
			targets := r.Targets(command(row.option, "s-1"))
			if a := r.Follow(targets)[0]; a.Status != handlers.Accepted {
				t.Errorf("%s: %+v, want accepted", row.option, a)
			}
			time.Sleep(time.Hour)
			if a := r.Look(targets[0], handlers.Tried{Taken: true}); a.Status != row.later {
				t.Errorf("an hour after %s: %+v, want %s", row.option, a, row.later)
			}
		}
	})
}

// The example of API_CancelSteps, whose steps have a state each. The page predates release
// 5.28.0. The reason of the first step does not tell its state: one read for it alone.
func TestExampleOfTheAPIPage(t *testing.T) {
	onRig(t, awssim.Options{}, func(r *rig) {
		states := []string{"INTERRUPTED", "COMPLETED", "CANCELLED", "RUNNING", "FAILED", "PENDING"}
		steps := []string{"s-11B5G7VIKHCZQ", "s-23PUT0NR3XF6O", "s-2NUYMUZ3ADACC", "s-10O5XO5JUY9OE", "s-CS88G2XK4N7X", "s-2M366D3KU4OTZ"}
		for i, id := range steps {
			put(r, "emr-5.0.3", states[i], id)
		}
		got := make([]handlers.Status, 0, len(steps))
		for _, a := range r.Follow(r.Targets(command("", steps...))) {
			got = append(got, a.Status)
		}
		want := []handlers.Status{"already_ended", "already_ended", "already_cancelled", "not_cancellable", "already_ended", "accepted"}
		if calls, reads := r.Count("CancelSteps"), r.Count("ListSteps"); !slices.Equal(got, want) || calls != 1 || reads != 1 {
			t.Errorf("%v in %d calls and %d reads, want %v in 1 and 1", got, calls, reads, want)
		}
	})
}

// 256 steps are one call. With one among them that EMR does not know, or that is malformed,
// the others come to the same.
func TestOneBadIDAmong256(t *testing.T) {
	for _, bad := range []string{"", "s-UNKNOWN", "no step id at all!"} {
		onRig(t, awssim.Options{EMR: simemr.Options{StopAfter: time.Hour}}, func(r *rig) {
			steps := make([]string, maxCancel)
			for i := range steps {
				steps[i] = fmt.Sprintf("s-%d", i)
				put(r, current, "PENDING", steps[i])
			}
			most := 1
			if bad != "" {
				steps[100] = bad
				most = 1 + 2*8 // 256, and two halves of each size from 128 to 1
			}
			for i, a := range r.Follow(r.Targets(command("", steps...))) {
				want := handlers.Accepted
				if steps[i] == bad {
					want = handlers.NotFound
				}
				if a.Status != want {
					t.Errorf("bad id %q: step %s came to %+v, want %s", bad, steps[i], a, want)
				}
			}
			c := r.Counts()["elasticmapreduce:CancelSteps"]
			if made := int(c.Requests - c.Throttled); made != most {
				t.Errorf("bad id %q: %d calls, want %d", bad, made, most)
			}
		})
	}
}

// EMR refuses an unknown cluster with InvalidRequestException, to a read as to a call, and
// nothing in it says that the cluster is not known: it has failed, in EMR's own words.
func TestUnknownCluster(t *testing.T) {
	onRig(t, awssim.Options{}, func(r *rig) {
		a := r.Follow(r.Targets(command("", "s-1")))[0]
		if a.Status != handlers.Failed || a.Err == nil || a.Err.Code != "InvalidRequestException" {
			t.Errorf("%+v, want failed with InvalidRequestException", a)
		}
	})
}

// Throttling costs time: 20 full calls of different clusters come through a bucket of 10 that
// refills by half a call a second.
func TestThrottledCallsComeThrough(t *testing.T) {
	onRig(t, awssim.Options{}, func(r *rig) {
		began := time.Now()
		for i := range 20 {
			id := fmt.Sprintf("j-%d", i)
			r.PutSteps(awssim.Step{ID: "s-1", Cluster: id})
			a := r.Follow(r.Targets(handlers.Parameters{"ClusterId": id, "StepIds": []string{"s-1"}}))[0]
			if a.Status != handlers.Accepted {
				t.Errorf("%s: %+v, want accepted", id, a)
			}
		}
		if took := time.Since(began); took != 20*time.Second || r.Counts()["elasticmapreduce:CancelSteps"].Throttled == 0 {
			t.Errorf("20 calls took %s, want 20s: 10 at once, one each 2 s", took)
		}
	})
}
