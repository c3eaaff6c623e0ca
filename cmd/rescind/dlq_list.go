package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rescindhq/rescind/internal/terminal"
)

// dlqListCmd is `rescind dlq list`.
type dlqListCmd struct {
	dlqFlags
	dlqChoice
}

// Help is printed by "rescind dlq list --help" above the flags.
func (*dlqListCmd) Help() string {
	return dlqReading + `

Each message has its age (since it was dead-lettered; where SQS moved it, since it was first sent),
the command's id or else the message's, the reason, and who sent it. "received N times, never settled" is
what SQS moved there: nobody wrote a reason. Its command may have ended all the same, if deleting it failed.
On a narrow terminal texts are cut, and the sender is left out; --json has everything, with the body and the
original's attributes.

Exit codes: 0 done, 1 it failed, or an id was not found, 2 misused.`
}

// dlqList is what --json prints.
type dlqList struct {
	Queue    string        `json:"deadLetterQueue"`
	Messages []*deadLetter `json:"messages"`
	More     int           `json:"more"`   // about: visible, and not read
	Hidden   int           `json:"hidden"` // about: others have received them
	NotFound []string      `json:"notFound,omitempty"`
	Error    string        `json:"error,omitempty"`
}

// Run reads the queue, and prints what it has.
func (c *dlqListCmd) Run(ctx context.Context, s streams) error {
	d, err := c.reading(ctx, s, nil)
	list := &dlqList{Queue: d.URL, More: d.left, Hidden: d.others}
	list.Messages, list.NotFound = c.from(d.all)
	if err == nil {
		err = d.notFound(list.NotFound)
	}
	if c.JSON {
		if err != nil {
			list.Error = err.Error()
		}
		return errors.Join(err, printJSON(s.out, list))
	}
	printLetters(s, list.Messages)
	if !d.began.IsZero() {
		d.sayRead(s, list.Messages, len(list.Messages) < len(d.all))
	}
	return err
}

// sayRead says how many messages are listed, and what there is besides.
func (d *deadLetters) sayRead(s streams, listed []*deadLetter, some bool) {
	fields := map[string]int{}
	for _, l := range listed {
		field := l.Field
		switch {
		case field == "" && !l.marked:
			field = "never settled"
		case field == "":
			field = "no field"
		}
		if _, known := fields[field]; !known && len(fields) >= maxFields {
			field = "others"
		}
		fields[field]++
	}
	of := ""
	if some {
		of = fmt.Sprintf(" of %d", len(d.all))
	}
	say(s.out, fmt.Sprintf("%s%s%s on %s", count(len(listed), "message"), of, byField(fields), d.URL))
	d.sayMore(s)
	if len(d.all) > 0 {
		say(s.err, fmt.Sprintf("What was read was hidden from others for %.1f s, and its receive counts grew by one.", time.Since(d.began).Seconds()))
	}
}

// sayMore says what the queue has that was not read.
func (d *deadLetters) sayMore(s streams) {
	if d.left > 0 {
		say(s.err, fmt.Sprintf("About %d more were not read: raise --max, which is %d.", d.left, d.most))
	}
	if d.others > 0 {
		say(s.err, fmt.Sprintf("About %d more are hidden, as others have received them: try again later.", d.others))
	}
}

// wideTable is the width from which on sender and field have a column each. Below it the sender is left out, and
// the reason has the field, with which it begins.
const wideTable = 120

// printLetters prints a line for each message.
func printLetters(s streams, letters []*deadLetter) {
	if len(letters) == 0 {
		return
	}
	to := screenOf(s.out)
	wide := to.width == 0 || to.width >= wideTable
	rows := [][]string{{"age", "id", "reason"}, nil}
	if wide {
		rows[0] = []string{"age", "id", "sender", "field", "reason"}
	}
	now := time.Now()
	for _, l := range letters {
		row := []string{age(now.Sub(l.SentAt)), l.label(), l.Reason}
		if wide {
			row = append(row[:2], l.Sender, l.Field, withoutField(l))
		}
		rows = append(rows, row)
	}
	printRows(to, rows)
}

// withoutField returns a reason without the field that it begins with.
func withoutField(l *deadLetter) string {
	if n := len(l.Field); n > 0 && len(l.Reason) > n && l.Reason[:n] == l.Field && l.Reason[n] == ' ' {
		return l.Reason[n+1:]
	}
	return l.Reason
}

const (
	// widestCell is the most that a column takes of a terminal, except for the last one: a UUID.
	widestCell = 36
	leastText  = 20
)

// printRows prints a table of texts that others may have written. Of a terminal's width the last column has what the
// others leave.
func printRows(to screen, rows [][]string) {
	last := len(rows[0]) - 1
	cut := func(column, most int) {
		for _, row := range rows {
			if row != nil && terminal.Width(row[column]) > most {
				row[column] = terminal.Cut(row[column], most)
			}
		}
	}
	for _, row := range rows {
		for i := range row {
			row[i] = terminal.Clean(row[i])
		}
	}
	if to.width > 0 {
		rest := to.width - gap // which table leaves free
		for i := range last {
			cut(i, widestCell)
			rest -= columnWidths(rows)[i] + gap
		}
		cut(last, max(leastText, rest))
	}
	table(to, len(rows[0]), rows)
}

// age writes how long ago something was, in its largest unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// sayProgress prints how far something is, once it takes over two seconds.
type sayProgress struct {
	what string
	of   int
	done atomic.Int64
}

func progressOf(what string, of int) *sayProgress { return &sayProgress{what: what, of: of} }

// on prints it on stderr every two seconds until it is stopped.
func (p *sayProgress) on(s streams) (stop func()) {
	return every(2*time.Second, func() { say(s.err, fmt.Sprintf("%d of about %d %s", p.done.Load(), p.of, p.what)) })
}
