package main

import (
	"context"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/worker/outcome"
)

func TestDemo(t *testing.T) {
	code, out, complaints := ran(t, "", "demo", "--json", "--targets=400", "--seed=7")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, complaints)
	}
	var r demoReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("stdout is not one JSON value: %v\n%s", err, out)
	}
	sum := 0
	for _, counts := range r.Outcomes {
		for _, n := range counts {
			sum += n
		}
	}
	if r.targets() != 400 || sum != r.Commands || r.Sum != r.Commands || r.Commands >= 400 {
		t.Errorf("%d targets, %d outcomes, sum %d, commands %d: want 400 targets, and an outcome for each of fewer commands", r.targets(), sum, r.Sum, r.Commands)
	}
	for _, status := range handlers.Statuses() {
		if r.Total[status] == 0 && status != handlers.Aborted {
			t.Errorf("no command came to %s: %v", status, r.Total)
		}
	}
	for _, p := range parts() {
		if len(r.Outcomes[p.service]) < 6 {
			t.Errorf("commands for %s came to %v: want more statuses", p.service, r.Outcomes[p.service])
		}
	}
	if r.Buried != r.Total[handlers.Invalid] || r.Repeats == 0 {
		t.Errorf("buried %d of %d invalid, repeats %d", r.Buried, r.Total[handlers.Invalid], r.Repeats)
	}
	if steps := r.Requests["elasticmapreduce:CancelSteps"]; steps.Requests == 0 || steps.Items < 5*steps.Requests {
		t.Errorf("%d steps in %d calls: calls are not shared", steps.Items, steps.Requests)
	}
}

// What the worker has just looked through is buried all the same.
func TestHiddenMessagesAreBuriedToo(t *testing.T) {
	if n := inAll(awssim.Depth{Visible: 1, InFlight: 20, Delayed: 300}); n != 321 {
		t.Errorf("%d messages, want 321", n)
	}
}

func TestDemoIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out, complaints strings.Builder
	// Its first words come when the worker is about to run.
	code := run(ctx, []string{"demo"}, streams{nil, &out, writes(func(p []byte) { cancel(); complaints.Write(p) })})
	if code != exitFailed || !strings.Contains(complaints.String(), "interrupted") || out.Len() > 0 {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out.String(), complaints.String())
	}
}

type writes func([]byte)

func (w writes) Write(p []byte) (int, error) { w(p); return len(p), nil }

// The demonstration's judge finds what is wrong.
func TestTheTallyFindsWhatIsWrong(t *testing.T) {
	encode := func(key string, d outcome.Data) string {
		event, err := outcome.Encode("test", outcome.EventID(key), &d)
		if err != nil {
			t.Fatal(err)
		}
		return string(event)
	}
	done := outcome.Data{CommandID: "one", Action: "batch:CancelJob", Status: handlers.Cancelled}
	other := done
	other.Message = "otherwise"
	several := outcome.Data{CommandID: "one", Action: "emr:CancelSteps", Status: handlers.Partial, Targets: []outcome.Target{
		{ID: "a", Status: handlers.Accepted}, {ID: "b", Status: handlers.NotFound},
	}}
	one := order{body: "one", event: outcome.EventID("one"), want: handlers.Cancelled}
	two := order{body: "one", event: outcome.EventID("one"), holds: func(got ending) error {
		return among(got.each["b"], "b", "RUNNING", handlers.Accepted)
	}}
	rows := []struct {
		name   string
		events []string
		orders []order
		says   string // "": nothing
	}{
		{"as it should be", []string{encode("one", done)}, []order{one}, ""},
		{"told again", []string{encode("one", done), encode("one", done)}, []order{one}, ""},
		{"none", nil, []order{one}, "no outcome"},
		{"two contents", []string{encode("one", done), encode("one", other)}, []order{one}, "two contents"},
		{"a second event id", []string{encode("one", done), encode("two", done)}, []order{one}, "belongs to no command"},
		{"another status of one of several targets", []string{encode("one", several)}, []order{two}, "b (RUNNING) shows [accepted]"},
		{"another status", []string{encode("one", outcome.Data{Status: handlers.Accepted})}, []order{one}, "want cancelled"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			tally := newTally()
			for _, event := range row.events {
				if err := tally.see(event); err != nil {
					t.Fatal(err)
				}
			}
			problems := strings.Join(tally.check(row.orders), "\n")
			if row.says == "" && problems != "" || !strings.Contains(problems, row.says) {
				t.Errorf("problems %q, want %q", problems, row.says)
			}
		})
	}
}

// What no call was made for passes for nothing that was stopped.
func TestAStatusIsHeldAgainstTheTarget(t *testing.T) {
	f := newFleet(awssim.New(awssim.Options{}), 1)
	cluster := f.cluster("")
	for name, o := range map[string]order{
		"job":       f.jobOrder(cancelJob, awssim.Job{State: "RUNNABLE"}, ""),
		"step":      f.stepOrder(cluster, f.step(cluster, emr.Pending)),
		"steps":     f.stepsOrder(emrClusters{first: cluster}, 0, 4),
		"task":      f.taskOrder(f.task(awssim.Task{})),
		"execution": f.executionOrder(iot.Queued, nil, ""),
		"thing job": thingJob(iot.JobInProgress, "")(f),
		"run":       f.runOrder(terminateRun, awssim.Workflow{}, true, ""),
	} {
		for _, claimed := range []handlers.Status{handlers.Cancelled, handlers.AlreadyCancelled, handlers.Accepted} {
			if err := o.check(ending{status: claimed}); err == nil {
				t.Errorf("a %s that was not called upon passes for %s", name, claimed)
			}
		}
	}
}

// A target that was to be left alone and was not is found out.
func TestASpareIsHeldAgainstTheTarget(t *testing.T) {
	for _, p := range parts() {
		f := newFleet(awssim.New(awssim.Options{}), 1)
		var spares []order
		for _, o := range p.orders(f, 400) {
			if o.want == handlers.DryRun {
				spares = append(spares, o)
			}
		}
		if len(spares) == 0 {
			t.Errorf("no command for %s is a dry run", p.service)
		}
		for _, o := range spares {
			if err := o.check(ending{status: handlers.DryRun}); err != nil {
				t.Errorf("%s: %v", p.service, err)
			}
			f.sim = awssim.New(awssim.Options{}) // in which the target is not as it was put in
			if err := o.check(ending{status: handlers.DryRun}); err == nil {
				t.Errorf("a target of %s that is gone passes for untouched", p.service)
			}
			break
		}
	}
}

func TestSpread(t *testing.T) {
	made := make([]int, 3)
	count := func(i int) func(*fleet) order { return func(*fleet) order { made[i]++; return order{} } }
	kinds := []kind{{8, count(0)}, {1, count(1)}, {1, count(2)}}
	for _, row := range []struct{ n, first, second, third int }{
		{0, 0, 0, 0}, {1, 0, 1, 0}, {2, 0, 1, 1}, {3, 1, 1, 1}, {30, 24, 3, 3}, {101, 81, 10, 10},
	} {
		clear(made)
		if got := len((&fleet{}).spread(row.n, kinds)); got != row.n {
			t.Errorf("spread(%d) made %d", row.n, got)
		}
		if want := []int{row.first, row.second, row.third}; made[0] != want[0] || made[1] != want[1] || made[2] != want[2] {
			t.Errorf("spread(%d) made %v, want %v", row.n, made, want)
		}
	}
}
