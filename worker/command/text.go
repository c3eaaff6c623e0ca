package command

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rescindhq/rescind/handlers"
)

// broken says which rule a text breaks, as a sentence's predicate; "" where it breaks none.
func broken(t *handlers.Text, s string) string {
	if rule := brokenLength(t, utf8.RuneCountInString(s)); rule != "" {
		return rule
	}
	if len(t.Enum) > 0 && !slices.Contains(t.Enum, s) {
		return "must be one of " + strings.Join(t.Enum, ", ") + ", not " + quote(s)
	}
	if t.Pattern != nil && !t.Pattern.MatchString(s) {
		return cmp.Or(t.Rule, "must match "+t.Pattern.String())
	}
	return ""
}

func brokenLength(t *handlers.Text, length int) string {
	switch {
	case t.Min > 0 && length == 0:
		return "must not be empty"
	case length < t.Min:
		return fmt.Sprintf("must have at least %d characters, not %d", t.Min, length)
	case t.Max > 0 && length > t.Max:
		return fmt.Sprintf("must have at most %d characters, not %d", t.Max, length)
	}
	return ""
}

// reserved are the beginnings of ids that envelopes and the worker make.
var reserved = []string{"ce:", "eb:", "sns:", "sqs:", "msg:"}

// brokenID is broken for a command's id: 1 to 128 of A-Z a-z 0-9 . _ : - and not beginning
// like an id that Rescind makes.
func brokenID(s string) string {
	if rule := brokenIDText(s, maxID); rule != "" {
		return rule
	}
	for _, prefix := range reserved {
		if strings.HasPrefix(s, prefix) {
			return fmt.Sprintf("must not begin with %q, which is kept for ids that Rescind makes", prefix)
		}
	}
	return ""
}

// brokenIDText is broken for a text of which an id is made: 1 to most of A-Z a-z 0-9 . _ : -.
func brokenIDText(s string, most int) string {
	if rule := broken(&handlers.Text{Min: 1, Max: most}, s); rule != "" {
		return rule
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && !strings.ContainsRune("._:-", rune(s[i])) {
			return "must hold only A-Z a-z 0-9 . _ : -, not " + quote(s)
		}
	}
	return ""
}

// brokenAccount is broken for an AWS account id.
func brokenAccount(s string) string {
	if len(s) == 12 && strings.Trim(s, "0123456789") == "" {
		return ""
	}
	return "must be twelve digits, not " + quote(s)
}

// brokenRegion is broken for the form of a region: parts of lower-case letters and digits with
// hyphens between them, a letter first, 32 bytes at most. Which regions are served is for the
// worker's guard.
func brokenRegion(s string) string {
	parts := strings.Split(s, "-")
	ok := len(parts) > 1 && len(s) <= 32 && s[0] >= 'a'
	for _, part := range parts {
		ok = ok && part != "" && strings.ToLower(part) == part && strings.IndexFunc(part, notAlphanumeric) < 0
	}
	if ok {
		return ""
	}
	return `must have the form of "us-east-1", not ` + quote(s)
}

// wellFormed tells whether an action, known or not, has the form service:Operation.
func wellFormed(s string) bool {
	service, operation, found := strings.Cut(s, ":")
	return found && service != "" && operation != "" && len(s) <= 128 &&
		strings.IndexFunc(strings.ReplaceAll(service, "-", "0"), notAlphanumeric) < 0 &&
		strings.IndexFunc(operation, notAlphanumeric) < 0
}

func alphanumeric(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

func notAlphanumeric(r rune) bool { return r >= utf8.RuneSelf || !alphanumeric(byte(r)) }

// clip cuts a text to at most n characters, the last of them an ellipsis where it was cut:
// what a sender wrote must not fill our logs.
func clip(s string, n int) string {
	seen := 0
	for i := range s {
		if seen == n-1 && utf8.RuneCountInString(s[i:]) > 1 {
			return s[:i] + "…"
		}
		seen++
	}
	return s
}

// quote is a sender's text as an error's sentence shows it.
func quote(s string) string { return strconv.Quote(clip(s, 64)) }

// plain is a member's name as a path shows it: as it stands, quoted where it is odd.
func plain(name string) string {
	odd := func(r rune) bool { return notAlphanumeric(r) && r != '_' && r != '-' }
	if name == "" || len(name) > 64 || strings.IndexFunc(name, odd) >= 0 {
		return quote(name)
	}
	return name
}

// nearest is the known name that most resembles name, letters' case aside; "" where fewer
// than half of the longer name's letters would stay.
func nearest(name string, known []string) string {
	if len(name) > 64 { // nobody's typing error; and distance takes time with the square
		return ""
	}
	best, least := "", 0
	for _, k := range known {
		d := distance(strings.ToLower(name), strings.ToLower(k))
		if 2*d <= max(len(name), len(k)) && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
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
