package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	pretty "github.com/jedib0t/go-pretty/v6/table"
	align "github.com/jedib0t/go-pretty/v6/text"
)

// table writes rows in columns, so many of them aligned to the left and the others, numbers, to
// the right. The first row is the head; a nil row is a rule across.
func table(w io.Writer, left int, rows [][]string) {
	t := pretty.NewWriter()
	t.SetOutputMirror(w)
	t.SuppressTrailingSpaces()
	style := pretty.StyleLight
	style.Options = pretty.Options{}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	columns := make([]pretty.ColumnConfig, len(rows[0]))
	for i := range columns {
		columns[i] = pretty.ColumnConfig{Number: i + 1, Align: align.AlignRight}
		if i < left {
			columns[i].Align = align.AlignLeft
		}
	}
	t.SetColumnConfigs(columns)
	for _, row := range rows {
		if row == nil {
			t.AppendSeparator()
			continue
		}
		cells := make(pretty.Row, len(row))
		for i, cell := range row {
			cells[i] = cell
		}
		t.AppendRow(cells)
	}
	t.Render()
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
	line, err := json.Marshal(v, json.Deterministic(true), json.FormatNilSliceAsNull(false), jsontext.AllowInvalidUTF8(true))
	if err == nil {
		_, err = fmt.Fprintln(w, string(line))
	}
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}
