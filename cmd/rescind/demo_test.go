package main

import (
	"context"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/outcome"
)

func TestDemo(t *testing.T) {
	code, out, complaints := ran(t, "", "demo", "--json", "--commands=120", "--seed=7")
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
	if sum != 120 || r.Sum != 120 || r.Commands != 120 {
		t.Errorf("%d outcomes, sum %d, commands %d: want 120", sum, r.Sum, r.Commands)
	}
	for _, status := range []handlers.Status{
		handlers.Cancelled, handlers.AlreadyCancelled, handlers.AlreadyEnded, handlers.Accepted, handlers.NotCancellable,
		handlers.NotFound, handlers.Denied, handlers.Invalid, handlers.Expired, handlers.DryRun,
	} {
		if r.Total[status] == 0 {
			t.Errorf("no command came to %s: %v", status, r.Total)
		}
	}
	if r.Buried != r.Total[handlers.Invalid] || r.Repeats == 0 || r.Requests["batch:CancelJobs"].Requests == 0 {
		t.Errorf("buried %d, repeats %d, requests %v", r.Buried, r.Repeats, r.Requests)
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
		event, err := outcome.Encode("test", key, d)
		if err != nil {
			t.Fatal(err)
		}
		return string(event)
	}
	done := outcome.Data{CommandID: "one", Action: "batch:CancelJob", Status: handlers.Cancelled}
	other := done
	other.Message = "otherwise"
	one := order{body: "one", event: outcome.EventID("one"), want: handlers.Cancelled}
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

func TestAStatusIsHeldAgainstTheJob(t *testing.T) {
	sim := awssim.New(awssim.Options{})
	o := newFleet(sim, 1).jobOrder(cancelJob, awssim.Job{State: "RUNNABLE"}, "")
	if err := o.check(handlers.Cancelled); err == nil {
		t.Error("a RUNNABLE job passes for cancelled")
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
