package terminal_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/internal/terminal"
)

// unsafe are the categories that must not reach a terminal.
var unsafe = []*unicode.RangeTable{unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co}

func TestClean(t *testing.T) {
	for _, row := range []struct{ given, want string }{
		{"order-1 Grün 生命 👍", "order-1 Grün 生命 👍"},
		{"\x1b[8mhidden\x1b[m", `\u001b[8mhidden\u001b[m`},
		{"a\u009b2Jb\u0085c\x7f", `a\u009b2Jb\u0085c\u007f`},
		{"\u202etxt.exe\u2066\u2069\u200e", `\u202etxt.exe\u2066\u2069\u200e`},
		{"a\u2028b\u2029c\u200bd\ufeff\u00ad", `a\u2028b\u2029c\u200bd\ufeff\u00ad`},
		{"a\tb\nc\r", "a b c "},
		{"tag \U000e0041 private \ue000 \U0010fffd", `tag \udb40\udc41 private \ue000 \udbff\udffd`},
		{"not \xff UTF-8 \xe2\x80", "not \ufffd UTF-8 \ufffd\ufffd"},
	} {
		if got := terminal.Clean(row.given); got != row.want {
			t.Errorf("%q becomes %q, want %q", row.given, got, row.want)
		}
	}
}

func TestTextBreaksLines(t *testing.T) {
	for _, row := range []struct {
		given string
		width int
		want  string
	}{
		{"one two three four\n", 0, "one two three four\n"},
		{"one two three four\n", 10, "one two\n  three\n  four\n"},
		{"one two three\nfour", 13, "one two three\nfour"},
		{"  indented text\r\n", 12, "  indented\n    text\n"},
		{"abcdefghijklmno", 10, "abcdefghij\n  klmno"},
		{"ab cdefghijklmnopq", 10, "ab\n  cdefghij\n  klmnopq"},
		{"生命生命生命", 10, "生命生命生\n  命"},
		{"a\u202eb\nc\x1bd\n", 20, "a\\u202eb\nc\\u001bd\n"},
	} {
		if got := terminal.Text(row.given, row.width); got != row.want {
			t.Errorf("%q in %d columns is %q, want %q", row.given, row.width, got, row.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, row := range []struct {
		given string
		width int
		want  string
	}{{"abc", 5, "abc  "}, {"abcdef", 5, "abcd…"}, {"生命生命", 6, "生命… "}, {"abc", 0, ""}} {
		if got := terminal.Cut(row.given, row.width); got != row.want {
			t.Errorf("%q in %d columns is %q, want %q", row.given, row.width, got, row.want)
		}
	}
}

// FuzzText holds that no text reaches a terminal with what it acts on, or wider than asked for.
func FuzzText(f *testing.F) {
	for _, given := range []string{
		"plain", "\x1b]0;title\x07", "\u009b\u0085\x7f", "\u202e\u2066\u2069", "\u2028\u2029\u200b", "\xff\xfe", "\U000e0041\ue000\U0010fffd",
		"two words and a line\nand another", "   ", "生命 生命生命生命生命生命生命生命", "\U00013430\u061c\u180e",
	} {
		f.Add(given, uint8(20))
	}
	f.Fuzz(func(t *testing.T, given string, columns uint8) {
		width := int(columns)
		for line := range strings.SplitSeq(terminal.Text(given, width), "\n") {
			safe(t, given, line)
			if width >= 10 && terminal.Width(line) > width {
				t.Errorf("%q has a line of %d columns, more than %d: %q", given, terminal.Width(line), width, line)
			}
		}
		clean := terminal.Clean(given)
		safe(t, given, clean)
		if got := terminal.Clean(clean); got != clean {
			t.Errorf("%q cleaned twice is %q, once %q", given, got, clean)
		}
		if cut := terminal.Cut(clean, width); width > 0 && terminal.Width(cut) != width {
			t.Errorf("%q cut to %d columns has %d: %q", given, width, terminal.Width(cut), cut)
		}
		if given = strings.ToValidUTF8(given, ""); given == "" {
			return
		}
		encoded, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal([]byte(terminal.Clean(string(encoded))), &back); err != nil || back != given {
			t.Errorf("JSON of %q, cleaned, is that of %q: %v", given, back, err)
		}
	})
}

func safe(t *testing.T, given, line string) {
	t.Helper()
	if !utf8.ValidString(line) {
		t.Errorf("%q comes out as invalid UTF-8: %q", given, line)
	}
	for _, r := range line {
		if unicode.In(r, unsafe...) {
			t.Errorf("%q comes out with %U: %q", given, r, line)
		}
	}
}
