package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// table writes rows in columns, so many of them aligned to the left and the others, numbers, to
// the right. The first row is the head; a nil row is a rule across.
func table(w io.Writer, left int, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	across := 2 * (len(widths) - 1)
	for _, width := range widths {
		across += width
	}
	for _, row := range rows {
		if row == nil {
			fmt.Fprintln(w, strings.Repeat("─", across))
			continue
		}
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < left {
				b.WriteString(cell + pad)
			} else {
				b.WriteString(pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// barWidth is that of the progress bar, in characters.
const barWidth = 30

// bar draws how much of whole is done.
func bar(done, whole int) string {
	full := barWidth
	if whole > 0 {
		full = min(barWidth, barWidth*done/whole)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}

// printJSON writes one JSON value and a line's end. What is nil is written as empty.
func printJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v, json.Deterministic(true), json.FormatNilSliceAsNull(false), jsontext.AllowInvalidUTF8(true))
	if err == nil {
		_, err = fmt.Fprintln(w, string(text))
	}
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
