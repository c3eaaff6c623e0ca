package handlers_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/handlers"
)

func TestGlobs(t *testing.T) {
	for _, row := range []struct {
		glob, text string
		want       bool
	}{
		{"etl", "etl", true}, {"etl", "etl-1", false}, {"etl", "ETL", false}, {"etl-*", "etl-", true}, {"etl-*", "etl-1", true},
		{"*-1", "etl-1", true}, {"*-1", "etl-12", false}, {"e*l*1", "etl-x-1", true}, {"*", "", true}, {"", "", true}, {"", "x", false},
		{"?", "ü", true}, {"?", "", false}, {"a?c", "abc", true}, {"a[b]c", "abc", false}, {"a[b]c", "a[b]c", true}, {`a\*`, `a\x`, true},
		{"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false}, {"a/*", "a/b/c", true}, {"**x", "x", true},
	} {
		if got := handlers.Glob(row.glob, row.text); got != row.want {
			t.Errorf("%q matches %q: %v", row.glob, row.text, got)
		}
	}
}

func TestWhatNarrows(t *testing.T) {
	for _, row := range []struct {
		globs []string
		want  bool
	}{{nil, false}, {[]string{"*"}, false}, {[]string{"**"}, false}, {[]string{"etl-*"}, true}, {[]string{"etl-*", "*"}, false}, {[]string{"?*"}, true}} {
		if got := handlers.Narrows(row.globs); got != row.want {
			t.Errorf("%q: %v", row.globs, got)
		}
	}
}

func TestMoments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for text, want := range map[string]time.Time{
			"2026-11-30T12:00:00Z":      time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
			"2026-11-30T12:00:00+02:00": time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC),
			"12:30":                     time.Date(now.Year(), now.Month(), now.Day(), 12, 30, 0, 0, now.Location()),
			"2h30m":                     now.Add(-150 * time.Minute),
			"noon":                      {}, "": {}, "-2h": {}, "0s": {}, "25:00": {}, "2026-11-30": {}, "12": {},
		} {
			var m handlers.Moment
			err := m.UnmarshalText([]byte(text))
			if (err == nil) != !want.IsZero() || err == nil && !m.Equal(want) {
				t.Errorf("%q: %s, %v", text, m, err)
			}
		}
	})
}

func TestSpans(t *testing.T) {
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	after, before := handlers.Moment{Time: noon}, handlers.Moment{Time: noon.Add(time.Hour)}
	for _, row := range []struct {
		span handlers.Span
		at   time.Time
		want bool
	}{
		{handlers.Span{}, noon, true},
		{handlers.Span{After: after}, noon, true}, {handlers.Span{After: after}, noon.Add(-1), false},
		{handlers.Span{Before: before}, noon.Add(time.Hour), false}, {handlers.Span{Before: before}, noon.Add(time.Hour - 1), true},
		{handlers.Span{After: after, Before: before}, noon, true},
	} {
		if row.span.Has(row.at) != row.want {
			t.Errorf("%+v has %s: %v", row.span, row.at, !row.want)
		}
	}
	if (handlers.Span{After: before, Before: after}).Check("--x") == nil || (handlers.Span{After: after, Before: before}).Check("--x") != nil {
		t.Error("a span that ends before it begins must be refused, and it alone")
	}
}

// TestStatesAreInTheOrderOfALife, whatever the order in which they are asked for.
func TestStatesAreInTheOrderOfALife(t *testing.T) {
	got, err := handlers.CheckStates([]string{"C", "A"}, []string{"A", "B", "C"})
	if err != nil || len(got) != 2 || got[0] != "A" || got[1] != "C" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := handlers.CheckStates([]string{"D"}, []string{"A"}); err == nil {
		t.Error("D is no state")
	}
}
