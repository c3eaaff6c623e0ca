package main

import (
	"context"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/demo"
	"github.com/rescindhq/rescind/internal/terminal"
)

func TestDemo(t *testing.T) {
	code, out, complaints := ran(t, "", "demo", "--json", "--targets=400", "--seed=7")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, complaints)
	}
	var r demo.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("stdout is not one JSON value: %v\n%s", err, out)
	}
	sum := 0
	for _, counts := range r.Outcomes {
		for _, n := range counts {
			sum += n
		}
	}
	if r.TotalTargets() != 400 || sum != r.Commands || r.Sum != r.Commands || r.Commands >= 400 {
		t.Errorf("%d targets, %d outcomes, sum %d, commands %d: want 400 targets, and an outcome for each of fewer commands", r.TotalTargets(), sum, r.Sum, r.Commands)
	}
	for _, status := range handlers.Statuses() {
		if r.Total[status] == 0 && status != handlers.Aborted {
			t.Errorf("no command has status %s: %v", status, r.Total)
		}
	}
	for _, service := range demo.Services() {
		if len(r.Outcomes[service]) < 6 {
			t.Errorf("outcomes of %s are %v: want more statuses", service, r.Outcomes[service])
		}
	}
	// What AWS took has been seen to stop, for every service, but for what ignores it.
	for _, service := range demo.Services() {
		if got := r.Verdicts[service]; got[handlers.Stopped] <= 2*got[handlers.Pending] {
			t.Errorf("verdicts of %s are %v: want most of them stopped", service, got)
		}
	}
	if r.DeadLettered != r.Total[handlers.Invalid] || r.Repeats == 0 {
		t.Errorf("%d of %d invalid commands are dead-lettered, %d repeats", r.DeadLettered, r.Total[handlers.Invalid], r.Repeats)
	}
	if steps := r.Requests["elasticmapreduce:CancelSteps"]; steps.Requests == 0 || steps.Items < 5*steps.Requests {
		t.Errorf("%d steps in %d calls: calls are not shared", steps.Items, steps.Requests)
	}
}

func TestDemoIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out, complaints strings.Builder
	// The first output comes right before the worker runs.
	code := run(ctx, []string{"demo"}, streams{nil, &out, writes(func(p []byte) { cancel(); complaints.Write(p) })})
	if code != exitFailed || !strings.Contains(complaints.String(), "interrupted") || out.Len() > 0 {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out.String(), complaints.String())
	}
}

type writes func([]byte)

func (w writes) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestReportFitsTheTerminal(t *testing.T) {
	r := &demo.Report{
		Targets: map[string]int{}, Outcomes: map[string]map[handlers.Status]int{}, Total: map[handlers.Status]int{},
		Requests: map[string]demo.Requests{}, Verdicts: map[string]map[handlers.Verdict]int{},
		Commands: 999_999, Sum: 999_999, DeadLettered: 9_999, Repeats: 9_999, Seconds: 9999.9,
	}
	for _, service := range append(demo.Services(), "unknown") {
		r.Targets[service] = 999_999
		r.Outcomes[service] = map[handlers.Status]int{}
		r.Verdicts[service] = map[handlers.Verdict]int{handlers.NotStopped: 99_999}
		for _, status := range handlers.Statuses() {
			r.Outcomes[service][status] = 99_999
			r.Total[status] = 999_999
		}
	}
	r.Requests["swf:RequestCancelWorkflowExecution"] = demo.Requests{Requests: 99_999, Items: 999_999, Throttled: 99_999, Broken: 999, Unanswered: 999}
	for _, width := range []int{40, 60, 80, 120, 200} {
		text := fits(t, width, func(s screen) { printReport(s, r) })
		if !strings.Contains(text, "not_cancellable") || !strings.Contains(text, "999999") {
			t.Errorf("a status or the total is missing in %d columns:\n%s", width, text)
		}
		if whole := !strings.Contains(text, "left out"); whole != (width >= 120) {
			t.Errorf("in %d columns nothing is left out: %t:\n%s", width, whole, text)
		}
	}
}

// TestNothingIsDrawnIntoAPipe also has what becomes of one command: "1 command", and bars of no service
// but one.
func TestNothingIsDrawnIntoAPipe(t *testing.T) {
	code, out, complaints := ran(t, "", "demo", "--targets=1")
	if code != exitDone || !strings.HasPrefix(complaints, "Sending 1 command for 1 target of 1 service to") {
		t.Errorf("exit %d, stderr %q", code, complaints)
	}
	if !strings.Contains(complaints, "s  outcomes: 1 of 1, calls: ") {
		t.Errorf("stderr has no line of progress: %q", complaints)
	}
	if !strings.Contains(out, "\n1 target, 1 command, 1 outcome in ") {
		t.Errorf("the report does not say how many: %s", out)
	}
	if text := out + complaints; strings.ContainsAny(text, "\x1b\r█░") {
		t.Errorf("bars or colours into a pipe: %q", text)
	}
	for line := range strings.Lines(complaints + out) {
		if n := terminal.Width(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
