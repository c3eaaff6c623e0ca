package demo

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
)

// Report is the result of a demo. Its JSON form is what "rescind demo --json" prints.
type Report struct {
	Commands int `json:"commands"`
	// Targets is the number of targets that the commands name, by service.
	Targets map[string]int `json:"targets"`
	// Outcomes is the number of commands by service and status, Total by status, and Sum of all.
	Outcomes map[string]map[handlers.Status]int `json:"outcomes"`
	Total    map[handlers.Status]int            `json:"total"`
	Sum      int                                `json:"sum"`
	// Verdicts is the number of commands by service and verdict.
	Verdicts map[string]map[handlers.Verdict]int `json:"verdicts"`
	// DeadLettered is the number of messages on the dead-letter queue.
	DeadLettered int `json:"deadLettered"`
	// Repeats is how often an outcome was published again, byte for byte.
	Repeats int `json:"repeats"`
	// Requests are those that the simulator received, by "service:Operation".
	Requests map[string]Requests `json:"requests"`
	Seconds  float64             `json:"seconds"`
	// Problems say what is wrong; it is empty if everything is right.
	Problems []string `json:"problems"`
}

// Requests are the requests of one API operation.
type Requests struct {
	Requests   int64 `json:"requests"`
	Items      int64 `json:"items"` // targets or messages that the requests named
	Throttled  int64 `json:"throttled"`
	Broken     int64 `json:"broken"`     // answered with a 5xx
	Unanswered int64 `json:"unanswered"` // the connection was cut
}

// maxProblems bounds the problems in the text of Report.Err. Problems has all of them.
const maxProblems = 20

// Err returns an error that lists the problems, or nil if there are none.
func (r *Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	errs := []error{fmt.Errorf("problems: %d", len(r.Problems))}
	for _, p := range r.Problems[:min(maxProblems, len(r.Problems))] {
		errs = append(errs, errors.New(p))
	}
	if more := len(r.Problems) - maxProblems; more > 0 {
		errs = append(errs, fmt.Errorf("… and %d more; --json prints all", more))
	}
	return errors.Join(errs...)
}

// TotalTargets returns the number of targets of all services.
func (r *Report) TotalTargets() int {
	sum := 0
	for _, n := range r.Targets {
		sum += n
	}
	return sum
}

// Operations returns the keys of Requests in order: first those of the services that are cancelled
// in, then those of the services that carry commands and outcomes; of each, the most frequent first.
func (r *Report) Operations() []string {
	return slices.SortedFunc(maps.Keys(r.Requests), func(a, b string) int {
		if x, y := isControlPlane(a), isControlPlane(b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(r.Requests[b].Requests, r.Requests[a].Requests), cmp.Compare(a, b))
	})
}

// isControlPlane is false for operations that carry commands and outcomes.
func isControlPlane(operation string) bool {
	service, _, _ := strings.Cut(operation, ":")
	return service != "sqs" && service != "sns" && service != "sts"
}

// messages returns how many messages are on a queue, whether they are visible or not.
func messages(d awssim.Depth) int { return d.Visible + d.InFlight + d.Delayed }

// report makes the report. Call it after the worker has returned.
func (d *Demo) report() *Report {
	r := &Report{
		Commands: len(d.commands), Targets: d.outcomes.targets(d.commands),
		Outcomes: d.outcomes.statuses(), Verdicts: d.outcomes.verdicts(), Total: map[handlers.Status]int{},
		DeadLettered: messages(d.env.Sim.Depth(d.env.DeadLetterURL)), Repeats: d.outcomes.repeats(),
		Requests: map[string]Requests{},
		Seconds:  math.Round(time.Since(d.began).Seconds()*10) / 10,
		Problems: append(d.outcomes.check(d.commands), d.problems...),
	}
	for _, counts := range r.Outcomes {
		for status, n := range counts {
			r.Total[status] += n
			r.Sum += n
		}
	}
	for name, c := range d.env.Sim.Counts() {
		r.Requests[name] = Requests{Requests: c.Requests, Items: c.Items, Throttled: c.Throttled, Broken: c.Broken, Unanswered: c.Cut}
	}
	if r.Sum != r.Commands {
		r.Problems = append(r.Problems, fmt.Sprintf("commands: %d, outcomes: %d", r.Commands, r.Sum))
	}
	invalid := 0
	for i := range d.commands {
		if d.commands[i].want == handlers.Invalid {
			invalid++
		}
	}
	if r.DeadLettered != invalid {
		r.Problems = append(r.Problems, fmt.Sprintf("dead-lettered messages: %d, want the invalid ones: %d", r.DeadLettered, invalid))
	}
	return r
}
