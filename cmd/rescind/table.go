package main

import (
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	pretty "github.com/jedib0t/go-pretty/v6/table"
	align "github.com/jedib0t/go-pretty/v6/text"

	"github.com/rescindhq/rescind/internal/terminal"
)

// gap is the space between two columns of a table.
const gap = 2

// narrowestCell is the least that a first column is cut to.
const narrowestCell = 12

// table writes rows in columns. The first left columns are aligned to the left, the others, which are
// numbers, to the right. The first row is the header; a nil row is a horizontal line. Columns come in
// the order of what matters: where the screen is too narrow for all, the last ones are left out, which
// it then says, and the first one is cut.
func table(s screen, left int, rows [][]string) {
	widths := columnWidths(rows)
	columns, sum := 0, 0
	for columns < len(widths) && (s.width == 0 || columns < 2 || sum+gap+widths[columns] <= s.width) {
		sum += widths[columns] + gap
		columns++
	}
	first := 0
	if s.width > 0 && sum-gap > s.width {
		first = max(narrowestCell, widths[0]-(sum-gap-s.width))
	}
	t := pretty.NewWriter()
	t.SetOutputMirror(s)
	t.SuppressTrailingSpaces()
	style := pretty.StyleLight
	style.Options = pretty.Options{}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Size.WidthMax = s.width
	t.SetStyle(style)
	config := make([]pretty.ColumnConfig, columns)
	for i := range config {
		config[i] = pretty.ColumnConfig{Number: i + 1, Align: align.AlignRight}
		if i < left {
			config[i].Align = align.AlignLeft
		}
	}
	t.SetColumnConfigs(config)
	for _, row := range rows {
		if row == nil {
			t.AppendSeparator()
			continue
		}
		cells := make(pretty.Row, columns)
		for i, cell := range row[:columns] {
			if cells[i] = cell; i == 0 {
				cells[i] = align.Snip(cell, first, "…")
			}
		}
		t.AppendRow(cells)
	}
	t.Render()
	if missing := len(widths) - columns; missing > 0 {
		s.printf("(%s left out: the terminal is too narrow)\n", count(missing, "column"))
	}
}

func columnWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], terminal.Width(cell))
		}
	}
	return widths
}

// count says how many there are of what a noun names.
func count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// printJSON writes one JSON value on a line. A nil slice is written as [].
func printJSON(w io.Writer, v any) error {
	line, err := json.Marshal(v, json.Deterministic(true), json.FormatNilSliceAsNull(false), jsontext.AllowInvalidUTF8(true))
	if err == nil {
		_, err = fmt.Fprintln(w, string(line))
	}
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
