package command

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rescindhq/rescind/handlers"
)

// maxUndocumented is how many bytes a text may have of which AWS documents neither a bound nor the values:
// what becomes an id must fit a key of the ledger.
const maxUndocumented = 1024

// The forms of a command's own members, of which the schema says the same.
var (
	idForm      = regexp.MustCompile(`^[A-Za-z0-9._:-]+$`)
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	regionForm  = regexp.MustCompile(`^[a-z][a-z0-9]*(?:-[a-z0-9]+)+$`)
	actionForm  = regexp.MustCompile(`^[A-Za-z0-9-]+:[A-Za-z0-9]+$`) // the schema lists those that are known
	// timeForm is RFC 3339's, with the days that each month has, leap years included.
	timeForm = regexp.MustCompile(`^(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))` +
		`|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)` +
		`T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$`)
)

var (
	reasonText = handlers.Text{Max: 1024}
	nameText   = handlers.Text{Max: maxName}
)

// broken says which rule a text breaks, as a sentence's predicate; "" where it breaks none.
func broken(t *handlers.Text, s string) string {
	rule := brokenCount(utf8.RuneCountInString(s), t.Min, t.Max, "characters")
	switch {
	case rule != "":
		return rule
	case t.Max == 0 && len(t.Enum) == 0 && len(s) > maxUndocumented:
		return fmt.Sprintf("must have at most %d bytes, not %d", maxUndocumented, len(s))
	case len(t.Enum) > 0 && !slices.Contains(t.Enum, s):
		return "must be one of " + strings.Join(t.Enum, ", ") + ", not " + quote(s)
	case t.Pattern != nil && !t.Pattern.MatchString(s):
		return cmp.Or(t.Rule, "must match "+t.Pattern.String())
	}
	return ""
}

// brokenCount says which of its bounds a number of things breaks; most 0 is no bound.
func brokenCount(n, least, most int, things string) string {
	switch {
	case n == 0 && least > 0:
		return "must not be empty"
	case n < least:
		return fmt.Sprintf("must have at least %d %s, not %d", least, things, n)
	case n > most && most > 0:
		return fmt.Sprintf("must have at most %d %s, not %d", most, things, n)
	}
	return ""
}

// brokenBy is broken for one Text.
func brokenBy(t *handlers.Text) func(string) string {
	return func(s string) string { return broken(t, s) }
}

// reserved are the beginnings of ids that envelopes and the worker make.
var reserved = []string{"ce:", "eb:", "sns:", "sqs:", "msg:"}

// brokenID is broken for a command's id, which may not begin like one that Rescind makes.
func brokenID(s string) string {
	rule := brokenIDText(s, maxID)
	for _, prefix := range reserved {
		if rule == "" && strings.HasPrefix(s, prefix) {
			rule = fmt.Sprintf("must not begin with %q, which is reserved for ids that Rescind makes", prefix)
		}
	}
	return rule
}

// MayBeID reports whether a command may have a text as its id.
func MayBeID(s string) bool { return brokenID(s) == "" }

// brokenIDText is broken for a text of which an id of at most so many characters is made.
func brokenIDText(s string, most int) string {
	rule := broken(&handlers.Text{Min: 1, Max: most}, s)
	if rule == "" && !idForm.MatchString(s) {
		rule = "must hold only A-Z a-z 0-9 . _ : -, not " + quote(s)
	}
	return rule
}

func brokenAccount(s string) string {
	if !accountForm.MatchString(s) {
		return "must be twelve digits, not " + quote(s)
	}
	return ""
}

// brokenRegion is broken for the form of a region. Which regions are served is for the worker's guard.
func brokenRegion(s string) string {
	if len(s) > maxRegion || !regionForm.MatchString(s) {
		return `must have the form of "us-east-1", not ` + quote(s)
	}
	return ""
}

// clip cuts a text to at most n characters, the last of them an ellipsis where it was cut:
// what a sender wrote must not fill our logs.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// quote is a sender's text as an error's sentence shows it.
func quote(s string) string { return strconv.Quote(clip(s, 64)) }

// plainName is a name that a path shows as it stands; others are quoted.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// plain is a member's name as a path shows it.
func plain(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return quote(name)
}

// Nearest is the known name that somebody who wrote name may have meant: the one with the fewest
// letters put in, left out or replaced, at most two and less than half of the name. Upper case, "_" and
// "-" do not count. "" where none is near: a suggestion that is far off costs more than it helps.
func Nearest(name string, known []string) string {
	if len(name) > 64 { // nobody's typing error; and distance takes time with the square
		return ""
	}
	written := letters(name)
	best, least := "", 3
	for _, k := range known {
		if d := distance(written, letters(k)); d < least && 2*d < len(written) {
			best, least = k, d
		}
	}
	return best
}

// letters are what Nearest compares of a name.
func letters(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// distance is Levenshtein's: the fewest bytes put in, left out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
