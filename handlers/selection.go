package handlers

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// This file is the vocabulary of selecting targets by listing, as "rescind plan" does. A service's selection is a struct of
// filters in its own folder, whose tags name the flags. Check holds the filters to their rules, before anything is
// listed; List then reads every page and tells a [Found] what there is.

// Candidate is one target that a selection has listed and that matches its filters.
type Candidate struct {
	// Target is its id, unique in its service, account and region; Name is its own name, "" where it has none.
	Target, Name string
	State        string    // AWS's own word
	Began        time.Time // submitted, queued, created or started; zero: unknown
	// Holder is what a cancelling call names besides targets, so that targets of two holders take two calls (EMR's
	// cluster); "" where there is no such thing.
	Holder string
	// Action and Parameters stop it.
	Action     Action
	Parameters map[string]any
	// Not says why it is left alone; "": it is to be stopped. Then Action and Parameters are not set.
	Not string
}

// Found is told what a selection finds, by one goroutine.
type Found interface {
	// Listed counts targets that AWS listed, whether they match or not.
	Listed(n int)
	// Candidate takes one that matches. Its error ends the listing.
	Candidate(c Candidate) error
	// Note takes a sentence that people need besides the candidates.
	Note(text string)
}

// About is what a plan needs to know of a service besides its candidates.
type About struct {
	// Service is the part of the service's actions before the colon: "batch".
	Service string
	// Noun names targets: "Batch job".
	Noun string
	// ReadsEach: a command reads its target's state whatever the cancelling call answers.
	ReadsEach bool
	// Guessed: AWS publishes no quota for the service, and those of its calls are guesses.
	Guessed bool
	// Help says what is selected by default, and Examples has command lines; both for people.
	Help, Examples string
}

// Inflow is what keeps new targets coming while the listed ones are stopped.
type Inflow struct {
	Why     string `json:"why"`              // a sentence without its end
	Command string `json:"command,omitzero"` // that stops it; "": there is none
}

// FilterError is a filter that breaks a rule: which flag, which value, and which rule.
type FilterError struct {
	Flag  string // "--state"
	Value string // "" where there is none
	Rule  string // a sentence's predicate: "must be …"
	// Valid are the values that would do, where they can be listed.
	Valid []string
}

func (e *FilterError) Error() string {
	if e.Value == "" {
		return e.Flag + " " + e.Rule
	}
	return fmt.Sprintf("%s %q %s", e.Flag, e.Value, e.Rule)
}

// NoFilter is the error of a selection without a filter.
func NoFilter(flags, all string) error {
	return &FilterError{Flag: flags, Rule: "must be given: nothing narrows the selection. --all selects " + all}
}

// CheckStates holds values of --state to those that a target may have. It returns those that were given, or all.
func CheckStates(given, valid []string) ([]string, error) {
	for _, s := range given {
		if !slices.Contains(valid, s) {
			return nil, &FilterError{Flag: "--state", Value: s, Rule: "is no state of a target that may be stopped", Valid: valid}
		}
	}
	if len(given) == 0 {
		return valid, nil
	}
	// In the order of a target's life, so that one which goes on while it is listed is not missed.
	return slices.DeleteFunc(slices.Clone(valid), func(s string) bool { return !slices.Contains(given, s) }), nil
}

// CheckGlobs holds values of a flag to the rule of globs.
func CheckGlobs(flag string, globs []string) error {
	if slices.Contains(globs, "") {
		return &FilterError{Flag: flag, Rule: "must not be empty: a star matches every name"}
	}
	return nil
}

// Narrows reports whether globs leave anything out.
func Narrows(globs []string) bool {
	return len(globs) > 0 && !slices.ContainsFunc(globs, func(g string) bool { return strings.Trim(g, "*") == "" })
}

// MatchesAny reports whether a text matches one of the globs; with none it does.
func MatchesAny(globs []string, text string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(g string) bool { return Glob(g, text) })
}

// IsGlob reports whether a text is a glob that may match several names.
func IsGlob(text string) bool { return strings.ContainsAny(text, "*?") }

// Glob reports whether a text matches: a star stands for any characters, a question mark for one, and everything else,
// with regard to case, for itself.
func Glob(glob, text string) bool {
	g, t := []rune(glob), []rune(text)
	star, resume := -1, 0 // the last star, and where the text that it stands for ends
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(g) && g[i] == '*':
			star, resume = i, j
			i++
		case i < len(g) && (g[i] == '?' || g[i] == t[j]):
			i, j = i+1, j+1
		case star >= 0:
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(string(g[i:]), "*") == ""
}

// Moment is a time as a flag gives it: RFC 3339 ("2026-11-30T12:00:00Z"), the time of today in the local time zone ("12:00"),
// or how long ago ("2h30m").
type Moment struct{ time.Time }

// UnmarshalText reads a moment.
func (m *Moment) UnmarshalText(text []byte) error {
	now := time.Now()
	if t, err := time.Parse(time.RFC3339, string(text)); err == nil {
		m.Time = t
	} else if t, err := time.Parse("15:04", string(text)); err == nil {
		m.Time = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location())
	} else if ago, err := time.ParseDuration(string(text)); err == nil && ago > 0 {
		m.Time = now.Add(-ago)
	} else {
		return fmt.Errorf(`must be a time like 2026-11-30T12:00:00Z, 12:00 (today, here), or 2h (ago), not %q`, text)
	}
	m.Time = m.UTC().Truncate(time.Second)
	return nil
}

// MarshalText writes a moment as RFC 3339.
func (m Moment) MarshalText() ([]byte, error) { return m.AppendFormat(nil, time.RFC3339), nil }

// Span is a time between two moments; a zero one is no bound.
type Span struct {
	After  Moment // at this time or later
	Before Moment // earlier than this
}

// Has reports whether a time is within the span.
func (s Span) Has(t time.Time) bool {
	return (s.After.IsZero() || !t.Before(s.After.Time)) && (s.Before.IsZero() || t.Before(s.Before.Time))
}

// Check says whether any time is within the span, whose flags are PREFIX-after and PREFIX-before.
func (s Span) Check(prefix string) error {
	if !s.After.IsZero() && !s.Before.IsZero() && !s.After.Before(s.Before.Time) {
		return &FilterError{
			Flag: prefix + "-after", Value: s.After.Format(time.RFC3339),
			Rule: "must be earlier than " + prefix + "-before " + s.Before.Format(time.RFC3339),
		}
	}
	return nil
}

// Bounded reports whether the span leaves any time out.
func (s Span) Bounded() bool { return !s.After.IsZero() || !s.Before.IsZero() }
