package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// demoReport is what a demonstration came to; --json prints it.
type demoReport struct {
	Commands int `json:"commands"`
	// Targets are those that the commands name, by service.
	Targets map[string]int `json:"targets"`
	// Outcomes are the numbers of commands by service and status, Total those by status, and Sum
	// the number of all.
	Outcomes map[string]map[handlers.Status]int `json:"outcomes"`
	Total    map[handlers.Status]int            `json:"total"`
	Sum      int                                `json:"sum"`
	// Buried counts messages in the dead-letter queue; Repeats publications that told once more,
	// in the same bytes, what had been told.
	Buried  int `json:"buried"`
	Repeats int `json:"repeats"`
	// Requests are those that the simulator served, by "service:Operation".
	Requests map[string]requests `json:"requests"`
	Seconds  float64             `json:"seconds"`
	// Problems are what is wrong; none: everything is as it should be.
	Problems []string `json:"problems"`
}

// requests sums up one API operation.
type requests struct {
	Requests   int64 `json:"requests"`
	Items      int64 `json:"items"`
	Throttled  int64 `json:"throttled"`
	Broken     int64 `json:"broken"`     // answered 5xx
	Unanswered int64 `json:"unanswered"` // the connection was cut
}

// inAll is how many messages are on a queue. Those of a dead-letter queue are hidden for a while
// when the worker looks through it for what SQS moved there.
func inAll(d awssim.Depth) int { return d.Visible + d.InFlight + d.Delayed }

// report sums up what happened. It is asked once the worker has ended.
func (d *demo) report() *demoReport {
	r := &demoReport{
		Commands: len(d.orders), Targets: d.tally.targets(d.orders), Outcomes: d.tally.counts(), Total: map[handlers.Status]int{},
		Buried: inAll(d.sim.Depth(d.buried)), Repeats: d.tally.repeats(), Requests: map[string]requests{},
		Seconds:  math.Round(time.Since(d.began).Seconds()*10) / 10,
		Problems: append(d.tally.check(d.orders), d.problems...),
	}
	for _, counts := range r.Outcomes {
		for status, n := range counts {
			r.Total[status] += n
			r.Sum += n
		}
	}
	for name, c := range d.sim.Counts() {
		r.Requests[name] = told(c)
	}
	if r.Sum != r.Commands {
		r.Problems = append(r.Problems, fmt.Sprintf("%d commands have %d outcomes", r.Commands, r.Sum))
	}
	if want := d.wantBuried(); r.Buried != want {
		r.Problems = append(r.Problems, fmt.Sprintf("%d messages were buried, want the %d invalid ones", r.Buried, want))
	}
	return r
}

func told(c awssim.Count) requests {
	return requests{Requests: c.Requests, Items: c.Items, Throttled: c.Throttled, Broken: c.Broken, Unanswered: c.Cut}
}

// problemsShown bounds the problems that are told in words; --json has them all.
const problemsShown = 20

// verdict is an error where something is wrong.
func (r *demoReport) verdict() error {
	if len(r.Problems) == 0 {
		return nil
	}
	errs := []error{fmt.Errorf("%d things are not as they should be", len(r.Problems))}
	for _, p := range r.Problems[:min(problemsShown, len(r.Problems))] {
		errs = append(errs, errors.New(p))
	}
	return errors.Join(errs...)
}

// print writes the report for people.
func (r *demoReport) print(w io.Writer) {
	fmt.Fprintln(w)
	table(w, 1, r.outcomeRows())
	fmt.Fprintln(w)
	table(w, 1, r.requestRows())
	fmt.Fprintf(w, "\n%d targets, %d commands, %d outcomes in %.1f s; %d messages buried, %d outcomes published again.\n",
		r.targets(), r.Commands, r.Sum, r.Seconds, r.Buried, r.Repeats)
	if len(r.Problems) == 0 {
		fmt.Fprintln(w, "Every command has one outcome, and each is what the simulator's own state says.")
	}
}

// outcomeRows is status × service, for there are more statuses than would fit side by side.
func (r *demoReport) outcomeRows() [][]string {
	services := slices.Sorted(maps.Keys(r.Outcomes))
	head := append(append([]string{"commands"}, services...), "total")
	rows := [][]string{head, nil}
	for _, status := range handlers.Statuses() {
		if r.Total[status] == 0 {
			continue
		}
		row := []string{string(status)}
		for _, service := range services {
			row = append(row, number(r.Outcomes[service][status]))
		}
		rows = append(rows, append(row, number(r.Total[status])))
	}
	last, targets := []string{"total"}, []string{"targets"}
	for _, service := range services {
		sum := 0
		for _, n := range r.Outcomes[service] {
			sum += n
		}
		last = append(last, number(sum))
		targets = append(targets, number(r.Targets[service]))
	}
	return append(rows, nil, append(last, number(r.Sum)), append(targets, number(r.targets())))
}

// targets is the number of all targets.
func (r *demoReport) targets() int {
	sum := 0
	for _, n := range r.Targets {
		sum += n
	}
	return sum
}

// requestRows has the control planes first, then what carries commands and outcomes.
func (r *demoReport) requestRows() [][]string {
	names := slices.SortedFunc(maps.Keys(r.Requests), func(a, b string) int {
		if x, y := isControlPlane(a), isControlPlane(b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	rows := [][]string{{"requests", "made", "items", "throttled", "broken", "unanswered"}, nil}
	for _, name := range names {
		q := r.Requests[name]
		rows = append(rows, []string{name, number(q.Requests), number(q.Items), number(q.Throttled), number(q.Broken), number(q.Unanswered)})
	}
	return rows
}

// number leaves a zero out, so that what happened stands out.
func number[N int | int64](n N) string {
	if n == 0 {
		return "·"
	}
	return strconv.FormatInt(int64(n), 10)
}
