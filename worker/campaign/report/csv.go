package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// columns are the names of the columns of Table.
var columns = []string{
	"id", "action", "account", "region", "target", "state", "status", "verdict", "prediction", "before", "after", "code", "message",
	"escalated", "confirmedBy", "sent", "finished",
}

// Table writes rows as CSV (RFC 4180), one a line. The zero value is not usable; make one with NewTable.
type Table struct{ to *csv.Writer }

// NewTable begins a table with the names of its columns.
func NewTable(to io.Writer) (*Table, error) {
	t := &Table{csv.NewWriter(to)}
	return t, t.write(columns)
}

// Add writes a row. The state of one that has an outcome is "ended".
func (t *Table) Add(r *Row) error {
	state, escalated := string(r.State), ""
	if state == "" {
		state, escalated = "ended", strconv.FormatBool(r.Escalated)
	}
	return t.write([]string{
		r.ID, string(r.Action), r.Account, r.Region, r.Target, state, string(r.Status), string(r.Verdict), string(r.Prediction), r.Before, r.After, r.Code, r.Message,
		escalated, string(r.ConfirmedBy), moment(r.Sent), moment(r.Finished),
	})
}

func (t *Table) write(cells []string) error {
	for i, cell := range cells {
		cells[i] = noFormula(cell)
	}
	if err := t.to.Write(cells); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// Flush writes what is buffered.
func (t *Table) Flush() error {
	t.to.Flush()
	if err := t.to.Error(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}

// noFormula puts an apostrophe before text that a spreadsheet would take for a formula: ids and messages come from others.
func noFormula(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func moment(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02T15:04:05.000Z")
}
