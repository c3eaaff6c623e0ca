// Package terminal makes text safe and narrow enough for a terminal. Ids, reasons, file names and AWS's
// messages may hold characters that move the cursor, hide text or turn it round; whatever is printed
// for people goes through [Clean] or [Text]. It knows no command and no stream.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Clean returns text as one line without characters that a terminal acts on or does not show: control,
// format and private-use characters, line and paragraph separators, and code points that are not
// assigned. Each is written as JSON writes it, such as \u202e; a tab or a line end becomes a space,
// and bytes that are no UTF-8 become U+FFFD. JSON keeps its value.
func Clean(text string) string {
	if isClean(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsGraphic(r):
			b.WriteRune(r)
		case r == '\t' || r == '\n' || r == '\r':
			b.WriteByte(' ')
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func isClean(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0
}

// Text returns text of several lines with each line clean, and broken into lines of at most width
// columns; 0 is no limit. A line is broken at a space where it has one, and goes on further to the
// right than it began.
func Text(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		own, ended := strings.CutSuffix(line, "\n")
		wrap(&b, Clean(strings.TrimSuffix(own, "\r")), width)
		if ended {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// narrowest is the least width that lines are broken at.
const narrowest = 10

// wrap writes one clean line.
func wrap(b *strings.Builder, line string, width int) {
	if width < narrowest {
		b.WriteString(line)
		return
	}
	hanging := strings.Repeat(" ", min(len(line)-len(strings.TrimLeft(line, " "))+2, width/2))
	for indent := ""; ; indent = hanging {
		end := fitting(line, width-len(indent))
		if end == len(line) {
			b.WriteString(indent + line)
			return
		}
		if space := strings.LastIndexByte(line[:end+1], ' '); space > 0 && strings.TrimLeft(line[:space], " ") != "" {
			end = space
		}
		b.WriteString(indent + strings.TrimRight(line[:end], " ") + "\n")
		if line = strings.TrimLeft(line[end:], " "); line == "" {
			return
		}
	}
}

// fitting returns how many bytes of a line fit into so many columns.
func fitting(line string, columns int) int {
	for at, r := range line {
		if columns -= text.RuneWidth(r); columns < 0 {
			return at
		}
	}
	return len(line)
}

// Width returns the columns that text takes which is clean but for colours.
func Width(clean string) int { return text.StringWidthWithoutEscSequences(clean) }

// Cut returns text that is clean but for colours in exactly width columns: what does not fit is cut, and
// ends with "…".
func Cut(clean string, width int) string {
	if width < 1 {
		return ""
	}
	return text.Pad(text.Snip(clean, width, "…"), width, ' ')
}
