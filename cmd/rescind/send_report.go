package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/trouble"
)

// state is what became of sending a command. The set is closed.
type state string

const (
	stateUnsent  state = "unsent"
	stateSent    state = "sent"
	stateRefused state = "refused" // it is invalid, or SQS refused it: it was not sent
	stateUnknown state = "unknown" // its request failed: it may have been sent or not
)

// sending is one command of the input, and what became of it.
type sending struct {
	Line  int    `json:"line,omitzero"` // on which it begins; 0: flags made it
	ID    string `json:"id,omitempty"`
	State state  `json:"state"`
	Field string `json:"field,omitempty"` // that is invalid
	Error string `json:"error,omitempty"`
	// Outcome is the event that --wait has found.
	Outcome jsontext.Value `json:"outcome,omitempty"`

	body      string
	group     string // MessageGroupId: SQS serves the groups of a standard queue fairly
	messageID string // SQS's, once it is sent
	// attributes are those of the message, for one that is sent again.
	attributes map[string]types.MessageAttributeValue
	command    command.Command // as far as Key, Fingerprint and confirmOf need it
	madeID     bool            // the input has none
	// statesAccount and statesRegion are whether the command names them; otherwise they may be the worker's.
	statesAccount, statesRegion bool
}

// size is what SQS counts of its message.
func (c *sending) size() int {
	n := len(c.body)
	for name, a := range c.attributes {
		n += len(name) + len(aws.ToString(a.DataType)) + len(aws.ToString(a.StringValue)) + len(a.BinaryValue)
	}
	return n
}

// sendReport is what became of all commands; --json prints it.
type sendReport struct {
	Queue    string `json:"queue,omitempty"`
	Sent     int    `json:"sent"`
	Refused  int    `json:"refused"`
	Unsent   int    `json:"unsent"`
	Unknown  int    `json:"unknown"`
	Outcomes int    `json:"outcomes,omitzero"`
	// RefusedByField counts refused commands by the field that is invalid, "SQS" where SQS refused them.
	RefusedByField map[string]int `json:"refusedByField,omitempty"`
	Commands       []*sending     `json:"commands"`
	Error          string         `json:"error,omitempty"`

	flags bool // they made the only command
}

const (
	// maxRefusalsPrinted bounds the refusals that are printed without --json. All are counted.
	maxRefusalsPrinted = 20
	// maxFields bounds the fields that refusals are counted by: a line may name any field.
	maxFields = 50
	// maxRanges bounds the ranges of lines that are printed.
	maxRanges = 10
)

// in returns the commands in a state.
func (r *sendReport) in(s state) (all []*sending) {
	for _, c := range r.Commands {
		if c.State == s {
			all = append(all, c)
		}
	}
	return all
}

// counted fills the counts.
func (r *sendReport) counted() *sendReport {
	r.Sent, r.Unsent, r.Unknown, r.Refused = len(r.in(stateSent)), len(r.in(stateUnsent)), len(r.in(stateUnknown)), 0
	r.RefusedByField = map[string]int{}
	for _, c := range r.in(stateRefused) {
		r.Refused++
		field := c.Field
		if field == "" {
			field = "SQS"
		}
		if _, known := r.RefusedByField[field]; !known && len(r.RefusedByField) >= maxFields {
			field = "others"
		}
		r.RefusedByField[field]++
	}
	return r
}

// invalid returns why the only command is invalid that flags made: that is misuse.
func (r *sendReport) invalid() error {
	if r.flags && r.Commands[0].State == stateRefused {
		return misused("%s", r.Commands[0].Error)
	}
	return nil
}

// print reports what was sent, for people: refusals and advice on stderr, the rest on stdout.
func (r *sendReport) print(s streams, c *sendCmd) {
	r.counted()
	refused := r.in(stateRefused)
	for _, bad := range refused[:min(maxRefusalsPrinted, len(refused))] {
		if !r.flags {
			say(s.err, fmt.Sprintf("line %d: %s", bad.Line, bad.Error))
		}
	}
	if len(refused) > maxRefusalsPrinted {
		say(s.err, fmt.Sprintf("… and %d more; --json prints all", len(refused)-maxRefusalsPrinted))
	}
	to := " to " + r.Queue
	if len(c.QueueURL) > 1 {
		to += fmt.Sprintf(", the first of %d queues", len(c.QueueURL))
	}
	switch {
	case !r.flags:
		say(s.out, fmt.Sprintf("%d sent, %d refused%s%s", r.Sent, r.Refused, byField(r.RefusedByField), to))
	case r.Sent > 0:
		say(s.out, "sent "+r.Commands[0].ID+to)
	}
	if r.Sent > 0 && !c.Wait {
		say(s.err, "Next: watch the results topic, to which outcomes are published. To see them here, send with --wait.")
	}
}

// err returns an error if not all commands were sent, with how to go on.
func (r *sendReport) err() error {
	var errs []error
	refused, unsent, unknown := r.in(stateRefused), r.in(stateUnsent), r.in(stateUnknown)
	switch {
	case r.flags && len(refused) > 0:
		return errors.New(refused[0].Error)
	case r.flags && len(unsent) > 0:
		return errors.New("the command was not sent")
	case r.flags && len(unknown) > 0:
		return fmt.Errorf("it may have been sent or not; to go on, send the same with --id %s: it is not run twice", unknown[0].ID)
	}
	if len(refused) > 0 {
		errs = append(errs, fmt.Errorf("refused and not sent: %d of %s", len(refused), count(len(r.Commands), "command")))
	}
	if len(unsent) > 0 {
		errs = append(errs, fmt.Errorf("not sent: %s", lineRanges(unsent)))
	}
	if len(unknown) > 0 {
		errs = append(errs, fmt.Errorf("sent or not, which is unknown: %s", lineRanges(unknown)))
	}
	if again := slices.Concat(unsent, unknown); len(again) > 0 {
		goOn := "to go on, send the same input again: each command has an id, so that none is run twice"
		if slices.ContainsFunc(r.Commands, func(c *sending) bool { return c.madeID && c.State != stateRefused }) {
			goOn = "to go on, send those lines again, and only those: commands without an id were given a new one, and would be run twice"
		}
		errs = append(errs, errors.New(goOn))
	}
	return errors.Join(errs...)
}

// lineRanges names the lines on which commands begin: "3 commands (lines 4-5, 9)".
func lineRanges(commands []*sending) string {
	var ranges []string
	for i := 0; i < len(commands); {
		j := i
		for j+1 < len(commands) && commands[j+1].Line-commands[j].Line <= 1 {
			j++
		}
		text := strconv.Itoa(commands[i].Line)
		if commands[j].Line > commands[i].Line {
			text += fmt.Sprintf("-%d", commands[j].Line)
		}
		ranges, i = append(ranges, text), j+1
	}
	if len(ranges) > maxRanges {
		ranges = append(ranges[:maxRanges], "…; --json prints all")
	}
	word := "line"
	if len(commands) > 1 {
		word = "lines"
	}
	return fmt.Sprintf("%s (%s %s)", count(len(commands), "command"), word, strings.Join(ranges, ", "))
}

// byField lists the fields that refusals were about, the most frequent first.
func byField(counts map[string]int) string {
	if len(counts) == 0 {
		return ""
	}
	fields := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	for i, field := range fields {
		fields[i] = fmt.Sprintf("%s: %d", field, counts[field])
	}
	return " (" + strings.Join(fields, ", ") + ")"
}

// maxSaid bounds one text that say prints, in bytes.
const maxSaid = 4096

// say prints one line of text that others may have written, broken where a terminal is narrower. What is not printable
// is escaped.
func say(w io.Writer, said string) { screenOf(w).printf("%s\n", trouble.Clean(said, maxSaid)) }

// every calls do again and again, with a time between, until it is stopped.
func every(between time.Duration, do func()) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(between)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				do()
			}
		}
	})
	return func() { close(done); wg.Wait() }
}
