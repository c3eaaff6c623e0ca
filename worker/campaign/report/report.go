package report

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/campaign"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
)

// Report is what became of a campaign. Times are zero where there is none.
type Report struct {
	Campaign string    `json:"campaign"`
	DryRun   bool      `json:"dryRun,omitzero"`
	Made     time.Time `json:"made"`
	Plan     *Plan     `json:"plan,omitempty"` // nil: the report is of the ledger alone

	Commands Commands `json:"commands"`
	// Targets counts by service and status; of a dry run, by the status that is predicted. Verdicts counts all.
	Targets  map[string]map[handlers.Status]int `json:"targets"`
	Verdicts map[handlers.Verdict]int           `json:"verdicts"`

	FirstSent    time.Time `json:"firstSent,omitzero"`    // when the first command was put on the queue
	LastFinished time.Time `json:"lastFinished,omitzero"` // when the last one ended

	Reasons    []Reason `json:"reasons"`    // why targets were not stopped, the most frequent first
	NotStopped []Row    `json:"notStopped"` // by status, reason and target
	// WithoutOutcome are the commands that have not ended: by state and id.
	WithoutOutcome []Row   `json:"withoutOutcome"`
	Slowest        []Row   `json:"slowest"` // from sending to end, at most SlowestMost
	Drain          []Point `json:"drain"`
	// Unlisted is how many targets no row can name: outcomes of many targets are cut. Unreadable counts outcomes that
	// cannot be read.
	Unlisted   int `json:"unlisted,omitzero"`
	Unreadable int `json:"unreadable,omitzero"`
}

// Plan is the plan that a campaign was sent by.
type Plan struct {
	File      string              `json:"file"`
	Created   time.Time           `json:"created"`
	By        string              `json:"by"`
	Selection map[string][]string `json:"selection"`
}

// Commands counts commands. Planned and NotSent are 0 without a plan.
type Commands struct {
	Planned  int `json:"planned,omitzero"`
	Ended    int `json:"ended"`
	UnderWay int `json:"underWay"` // claimed, and not ended
	// NoRecord are those that were sent and that no worker has claimed: they wait on the queue, or were dead-lettered.
	NoRecord int `json:"noRecord"`
	NotSent  int `json:"notSent,omitzero"`
}

// State is why a command has no outcome. The set is closed; "" says that it has one.
type State string

// The states.
const (
	UnderWay State = "under_way" // a worker has claimed it
	NoRecord State = "no_record" // it was sent, and no worker has claimed it
	NotSent  State = "not_sent"  // it stands in the plan alone
)

// Row is what became of one target, or a command that has no outcome.
type Row struct {
	ID          string               `json:"id"`
	Action      handlers.Action      `json:"action,omitempty"`
	Account     string               `json:"account,omitempty"`
	Region      string               `json:"region,omitempty"`
	Target      string               `json:"target,omitempty"`
	State       State                `json:"state,omitempty"`
	Status      handlers.Status      `json:"status,omitempty"`
	Verdict     handlers.Verdict     `json:"verdict,omitempty"`
	Prediction  handlers.Status      `json:"prediction,omitempty"`
	Before      string               `json:"before,omitempty"`
	After       string               `json:"after,omitempty"`
	Code        string               `json:"code,omitempty"`
	Message     string               `json:"message,omitempty"`
	Escalated   bool                 `json:"escalated,omitzero"`
	ConfirmedBy outcome.Confirmation `json:"confirmedBy,omitempty"`
	Sent        time.Time            `json:"sent,omitzero"`
	Finished    time.Time            `json:"finished,omitzero"`
}

// Why is the row's reason in a few words.
func (r *Row) Why() string {
	if r.Message != "" || r.Code != "" {
		return strings.TrimSuffix(strings.TrimPrefix(r.Code+": "+r.Message, ": "), ": ")
	}
	if state := cmp.Or(r.After, r.Before); state != "" {
		return "state " + state
	}
	return ""
}

// Took is the time from sending to end; 0 where one of them is not known.
func (r *Row) Took() time.Duration {
	if r.Sent.IsZero() || r.Finished.IsZero() {
		return 0
	}
	return r.Finished.Sub(r.Sent)
}

// Reason is why some targets were not stopped: those of one status and code. Example is what is said of one of them.
type Reason struct {
	Status  handlers.Status `json:"status"`
	Code    string          `json:"code,omitempty"`
	Example string          `json:"example,omitempty"`
	Count   int             `json:"count"`
}

// SlowestMost is how many of the slowest targets a report has.
const SlowestMost = 10

// id is the hash of a command's id.
type id [16]byte

func idOf(text string) (h id) {
	sum := sha256.Sum256([]byte(text))
	copy(h[:], sum[:])
	return h
}

// Builder makes a report. It is not safe for concurrent use.
type Builder struct {
	report  Report
	known   map[id]State                       // of each command of which there is a record; "": it has ended
	reasons map[[2]string]*Reason              // by status and code
	drain   map[int64]map[handlers.Verdict]int // targets that ended, by Unix second
	o       Options
}

// Options says what a report is of.
type Options struct {
	Campaign string
	DryRun   bool // the report is of the dry run, and not of the real commands
	// Rows is called for each row, as it comes, those of commands without an outcome among them. Its error ends the report.
	// nil: nobody wants them.
	Rows func(*Row) error
	// TargetOf names the target of a command that has no record.
	TargetOf func(*campaign.Command) string
	// Retry is told of each outcome; nil: nothing is to be tried again.
	Retry *Retry
}

// New begins a report.
func New(o Options) *Builder {
	return &Builder{
		o: o,
		report: Report{
			Campaign: o.Campaign, DryRun: o.DryRun, Targets: map[string]map[handlers.Status]int{}, Verdicts: map[handlers.Verdict]int{},
			Reasons: []Reason{}, NotStopped: []Row{}, WithoutOutcome: []Row{}, Slowest: []Row{}, Drain: []Point{},
		},
		known: map[id]State{}, reasons: map[[2]string]*Reason{}, drain: map[int64]map[handlers.Verdict]int{},
	}
}

// dryKey begins the ledger's keys of dry runs.
const dryKey = "dry/"

// Record takes a record of the ledger. Those of the other kind, dry runs or real commands, are left out. The error
// is that of rows.
func (b *Builder) Record(r *ledger.Record) error {
	commandID, isDry := strings.CutPrefix(r.Key, dryKey)
	if isDry != b.report.DryRun {
		return nil
	}
	if !r.Ended {
		b.known[idOf(commandID)] = UnderWay
		b.report.Commands.UnderWay++
		row := Row{ID: commandID, State: UnderWay, Target: strings.Join(r.Targets, " ")}
		b.report.WithoutOutcome = append(b.report.WithoutOutcome, row)
		return b.row(&row)
	}
	b.known[idOf(commandID)] = ""
	b.report.Commands.Ended++
	e, err := outcome.Parse(r.Outcome)
	if err != nil {
		b.report.Unreadable++
		return nil //nolint:nilerr // it is counted, and of the others there is a report
	}
	return b.outcome(commandID, &e.Data)
}

// outcome takes what became of a command.
func (b *Builder) outcome(commandID string, d *outcome.Data) error {
	r := &b.report
	if r.FirstSent.IsZero() || !d.EnqueuedAt.IsZero() && d.EnqueuedAt.Before(r.FirstSent) {
		r.FirstSent = d.EnqueuedAt
	}
	if d.FinishedAt.After(r.LastFinished) {
		r.LastFinished = d.FinishedAt
	}
	b.o.Retry.outcome(commandID, d)
	listed := map[handlers.Status]int{}
	for i := range d.Targets {
		listed[d.Targets[i].Status]++
		row := rowOf(commandID, d, &d.Targets[i])
		b.count(&row, 1)
		if err := b.row(&row); err != nil {
			return err
		}
		b.list(&row)
	}
	for status, n := range d.Counts {
		if more := n - listed[status]; more > 0 && len(d.Targets) > 0 {
			r.Unlisted += more
			row := rowOf(commandID, d, &outcome.Target{Status: status})
			b.count(&row, more)
		}
	}
	if len(d.Targets) > 0 {
		return nil
	}
	row := rowOf(commandID, d, &outcome.Target{Status: d.Status}) // it did not come to targets
	b.count(&row, 1)
	b.list(&row)
	return b.row(&row)
}

func rowOf(commandID string, d *outcome.Data, t *outcome.Target) Row {
	verdict := t.Status.Verdict()
	if verdict == "" || len(d.Targets) < 2 && d.TargetsOmitted == 0 {
		verdict = d.Verdict // the command's own: whether AWS or policy denied it does not follow from the status
	}
	return Row{
		ID: commandID, Action: d.Action, Account: d.Account, Region: d.Region, Target: t.ID,
		Status: t.Status, Verdict: verdict, Prediction: t.Prediction, Before: t.Before, After: t.After,
		Code: cmp.Or(t.Code, d.Code), Message: cmp.Or(t.Message, d.Message), Escalated: d.Escalated, ConfirmedBy: d.ConfirmedBy,
		Sent: d.EnqueuedAt, Finished: d.FinishedAt,
	}
}

// count counts targets of a row's kind.
func (b *Builder) count(row *Row, n int) {
	r, service := &b.report, row.Action.Service()
	if r.Targets[service] == nil {
		r.Targets[service] = map[handlers.Status]int{}
	}
	status := row.Status
	if status == handlers.DryRun {
		status = cmp.Or(row.Prediction, handlers.DryRun)
	}
	r.Targets[service][status] += n
	r.Verdicts[row.Verdict] += n
	if !row.Finished.IsZero() {
		at := row.Finished.Unix()
		if b.drain[at] == nil {
			b.drain[at] = map[handlers.Verdict]int{}
		}
		b.drain[at][row.Verdict] += n
	}
	if isBad(row) {
		b.reason(row, n)
	}
}

// reason counts why targets were not stopped. Of the examples the first by the alphabet stays, whatever the order of the records.
func (b *Builder) reason(row *Row, n int) {
	key := [2]string{string(row.Status), row.Code}
	r := b.reasons[key]
	if r == nil {
		r = &Reason{Status: row.Status, Code: row.Code, Example: row.Why()}
		b.reasons[key] = r
	}
	r.Example = min(r.Example, row.Why())
	r.Count += n
}

// isBad reports whether a target did not come to what was asked: stopped, accepted, or previewed.
func isBad(row *Row) bool {
	return row.Verdict != handlers.Stopped && row.Verdict != handlers.Pending && row.Status != handlers.DryRun
}

// list puts a row where the report lists rows.
func (b *Builder) list(row *Row) {
	r := &b.report
	if isBad(row) {
		r.NotStopped = append(r.NotStopped, *row)
	}
	slower := func(a, b Row) int { return cmp.Or(cmp.Compare(b.Took(), a.Took()), cmp.Compare(a.ID, b.ID)) }
	if row.Took() > 0 && (len(r.Slowest) < SlowestMost || slower(*row, r.Slowest[SlowestMost-1]) < 0) {
		at, _ := slices.BinarySearchFunc(r.Slowest, *row, slower)
		r.Slowest = slices.Insert(r.Slowest, at, *row)
		r.Slowest = r.Slowest[:min(len(r.Slowest), SlowestMost)]
	}
}

func (b *Builder) row(row *Row) error {
	if b.o.Rows == nil {
		return nil
	}
	return b.o.Rows(row)
}

// PlannedBy says which plan the lines of PlannedLine are of.
func (b *Builder) PlannedBy(file string, h *campaign.Header) {
	b.report.Plan = &Plan{File: file, Created: h.Created, By: h.By, Selection: h.Selection}
}

// PlannedLine takes a line of the plan, once all records were taken, and whether it was sent. The error is that of rows.
func (b *Builder) PlannedLine(line []byte, sent bool) error {
	var c campaign.Command
	if err := json.Unmarshal(line, &c); err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	b.report.Commands.Planned++
	state, hasRecord := b.known[idOf(c.ID)]
	if hasRecord {
		if state == "" {
			b.o.Retry.planned(&c)
		}
		return nil
	}
	row := Row{ID: c.ID, Action: c.Action, Account: c.Account, Region: c.Region, Target: b.o.TargetOf(&c), State: NoRecord}
	if sent {
		b.report.Commands.NoRecord++
	} else {
		row.State = NotSent
		b.report.Commands.NotSent++
	}
	b.report.WithoutOutcome = append(b.report.WithoutOutcome, row)
	return b.row(&row)
}

// Report sums up. Nothing may be added after it.
func (b *Builder) Report(now time.Time) *Report {
	r := &b.report
	r.Made = now
	for _, reason := range b.reasons {
		r.Reasons = append(r.Reasons, *reason)
	}
	slices.SortFunc(r.Reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code))
	})
	slices.SortFunc(r.NotStopped, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Why(), b.Why()), cmp.Compare(a.Target, b.Target), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(r.WithoutOutcome, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.ID, b.ID))
	})
	r.Drain = points(b.drain)
	return r
}

// Total is how many targets the report counts.
func (r *Report) Total() (n int) {
	for _, each := range r.Verdicts {
		n += each
	}
	return n
}

// Statuses are those that the report counts, in the order of handlers.Statuses.
func (r *Report) Statuses() []handlers.Status {
	return slices.DeleteFunc(handlers.Statuses(), func(s handlers.Status) bool { return r.By(s) == 0 })
}

// By is how many targets have a status, of all services.
func (r *Report) By(s handlers.Status) (n int) {
	for _, of := range r.Targets {
		n += of[s]
	}
	return n
}
