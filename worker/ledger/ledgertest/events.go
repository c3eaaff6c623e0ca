package ledgertest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rescindhq/rescind/worker/ledger"
)

// seen is an event of a target.
func seen(target, state string) ledger.Event {
	return ledger.Event{Target: target, In: "j-1", State: state, Reason: "over budget ☃", At: time.Unix(1795262400, 500).UTC()}
}

// events are the rules of what events showed of targets.
var events = []testCase{
	{"one that was stored is found, and no other", func(f *fixture) {
		f.ok("PutEvents", f.l.PutEvents(f.Context(), seen("a", "FAILED"))...)
		f.shown(map[string]ledger.Event{"a": seen("a", "FAILED")}, "a", "b", "", "a", strings.Repeat("x", 3000))
		f.shown(map[string]ledger.Event{})
	}},
	{"of one target the last that was stored counts, whenever it happened", func(f *fixture) {
		earlier := seen("a", "ABORTED")
		earlier.At = earlier.At.Add(-time.Hour)
		f.ok("PutEvents", f.l.PutEvents(f.Context(), seen("a", "FAILED"))...)
		f.ok("PutEvents", f.l.PutEvents(f.Context(), earlier)...)
		f.shown(map[string]ledger.Event{"a": earlier}, "a")
		f.ok("PutEvents", f.l.PutEvents(f.Context(), earlier, seen("a", "FAILED"), seen("b", "FAILED"), seen("b", "SUCCEEDED"))...)
		f.shown(map[string]ledger.Event{"a": seen("a", "FAILED"), "b": seen("b", "SUCCEEDED")}, "a", "b")
	}},
	{"storing none is no error", func(f *fixture) {
		if errs := f.l.PutEvents(f.Context()); len(errs) != 0 {
			f.Errorf("%v", errs)
		}
	}},
	{"many are all found, and are no commands", func(f *fixture) {
		const n = 300
		all, targets, want := make([]ledger.Event, n), make([]string, n), map[string]ledger.Event{}
		for i := range all {
			targets[i] = fmt.Sprintf("batch/123456789012/us-east-1/job-%d", i)
			all[i] = seen(targets[i], "FAILED")
			want[targets[i]] = all[i]
		}
		f.fresh(tagged("key", "c", targets[0]))
		f.ok("PutEvents", f.l.PutEvents(f.Context(), all...)...)
		f.shown(want, targets...)
		if found := f.byTarget(targets[0]); len(found) != 1 {
			f.Errorf("by target: %v", keys(found))
		}
		ended, err := f.l.Ended(f.Context(), targets...)
		if len(ended) != 0 || err != nil {
			f.Errorf("ended: %v, %v", ended, err)
		}
	}},
	{"they are forgotten after their retention, and while others come", func(f *fixture) {
		f.ok("PutEvents", f.l.PutEvents(f.Context(), seen("a", "FAILED"), seen("b", "FAILED"))...)
		time.Sleep(ledger.EventRetention - time.Minute)
		f.shown(map[string]ledger.Event{"a": seen("a", "FAILED")}, "a")
		f.ok("PutEvents", f.l.PutEvents(f.Context(), seen("b", "SUCCEEDED"))...)
		time.Sleep(2 * time.Minute)
		f.shown(map[string]ledger.Event{"b": seen("b", "SUCCEEDED")}, "a", "b")
		for i := range 10 {
			f.ok("PutEvents", f.l.PutEvents(f.Context(), seen(fmt.Sprint("c", i), "FAILED"))...)
		}
		f.shown(map[string]ledger.Event{"b": seen("b", "SUCCEEDED"), "c9": seen("c9", "FAILED")}, "a", "b", "c9")
	}},
	{"one that can never be stored is rejected, and holds up no other", func(f *fixture) {
		errs := f.l.PutEvents(f.Context(), seen("a", "FAILED"), seen("", "FAILED"), seen(strings.Repeat("t", 40_000), "FAILED"), seen("b", "FAILED"))
		for i, want := range []error{nil, ledger.ErrRejected, ledger.ErrRejected, nil} {
			if !errors.Is(errs[i], want) {
				f.Errorf("event %d: %v, want %v", i, errs[i], want)
			}
		}
		f.shown(map[string]ledger.Event{"a": seen("a", "FAILED"), "b": seen("b", "FAILED")}, "a", "b")
	}},
	{"they are there after opening again", func(f *fixture) {
		f.ok("PutEvents", f.l.PutEvents(f.Context(), seen("a", "FAILED"))...)
		f.reopen()
		f.shown(map[string]ledger.Event{"a": seen("a", "FAILED")}, "a")
	}},
	{"another worker finds them", func(f *fixture) {
		other := f.second()
		f.ok("PutEvents", other.l.PutEvents(f.Context(), seen("a", "FAILED"))...)
		f.shown(map[string]ledger.Event{"a": seen("a", "FAILED")}, "a")
	}},
}

func (f *fixture) shown(want map[string]ledger.Event, targets ...string) {
	f.Helper()
	got, err := f.l.Events(f.Context(), targets...)
	if err != nil || len(got) != len(want) {
		f.Errorf("Events: %v, %v, want %v", got, err, want)
	}
	for target, e := range want {
		if got[target] != e {
			f.Errorf("Events: %+v, want %+v", got[target], e)
		}
	}
}
