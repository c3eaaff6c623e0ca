package handlers_test

import (
	"slices"
	"testing"

	"github.com/rescindhq/rescind/handlers"
)

// The verdicts as the table of outcomes has them.
var verdicts = map[handlers.Status]handlers.Verdict{
	"cancelled":         "stopped",
	"already_cancelled": "stopped",
	"already_ended":     "stopped",
	"accepted":          "pending",
	"not_cancellable":   "not_stopped",
	"not_found":         "not_stopped",
	"conflict":          "not_stopped",
	"denied":            "not_stopped", // by AWS; by policy it is the worker's not_run
	"failed":            "not_stopped",
	"invalid":           "not_run",
	"expired":           "not_run",
	"aborted":           "not_run",
	"dry_run":           "not_run",
	"partial":           "", // the worst of its targets
}

func TestStatuses(t *testing.T) {
	all := handlers.Statuses()
	if len(all) != len(verdicts) {
		t.Errorf("%d statuses, want %d", len(all), len(verdicts))
	}
	for _, s := range all {
		want, known := verdicts[s]
		if !known || s.Verdict() != want {
			t.Errorf("%s has verdict %q, want %q", s, s.Verdict(), want)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(all)))) != len(all) {
		t.Errorf("a status is listed twice: %q", all)
	}
	if v := handlers.Status("odd").Verdict(); v != "" {
		t.Errorf("an unknown status has verdict %q", v)
	}
}

func TestStatusesIsACopy(t *testing.T) {
	handlers.Statuses()[0] = "changed"
	if got := handlers.Statuses()[0]; got != handlers.Cancelled {
		t.Errorf("a caller changed the list: it begins with %q", got)
	}
}

func TestWorst(t *testing.T) {
	bestFirst := []handlers.Verdict{"", handlers.Stopped, handlers.Pending, handlers.NotStopped, handlers.NotRun}
	for i, a := range bestFirst {
		for j, b := range bestFirst {
			if got, want := handlers.Worst(a, b), bestFirst[max(i, j)]; got != want {
				t.Errorf("Worst(%q, %q) = %q, want %q", a, b, got, want)
			}
		}
	}
}
