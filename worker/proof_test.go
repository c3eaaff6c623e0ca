package worker_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
)

var update = flag.Bool("update", false, "write the golden files anew")

// askings are what a command may say of proof.
var askings = []struct{ name, members string }{
	{"plain", ``},
	{"confirm 2m", `"confirm":"2m",`},
	{"escalate 30s", `"escalate":"30s",`},
	{"both: 30s, 5m", `"escalate":"30s","confirm":"5m",`},
}

// How a command ends for every state of every service's targets, by what it asks and by when they stop: a table in
// testdata, to be read. A cell is the status, cancelling calls + reads, the seconds from the sending to the
// outcome, and "!" where it was escalated.
func TestProofByStateAndAsking(t *testing.T) {
	t.Parallel()
	const golden = "testdata/proof.txt"
	var lines []string
	write := func(action, state, stops string, cells []string) {
		line := fmt.Sprintf("%-34s %-24s %-8s", action, state, stops)
		for _, cell := range cells {
			line += fmt.Sprintf(" %-25s", cell)
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	var head []string
	for _, asking := range askings {
		head = append(head, asking.name)
	}
	write("action", "state", "stops", head)
	seen := map[string]bool{}
	for _, p := range previews() {
		if seen[p.action+p.state] {
			continue // what else there is to a state, dry runs are tried with
		}
		seen[p.action+p.state] = true
		if ends := p.row(t, 0); slices.Equal(ends, p.row(t, never)) {
			write(p.action, p.state, "any", ends)
			continue
		}
		write(p.action, p.state, "at once", p.row(t, 0))
		write(p.action, p.state, "in 20s", p.row(t, 20*time.Second))
		write(p.action, p.state, "never", p.row(t, never))
	}
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(wanted) || line != wanted[i] {
			t.Fatalf("line %d of %s is another (go test ./worker -run TestProofByStateAndAsking -update writes it anew):\n%s", i+1, golden, line)
		}
	}
}

// never is how long what does not stop takes.
const never = 1000 * time.Hour

// row is how a target that takes so long to stop ends, by what the command asks.
func (p preview) row(t *testing.T, stops time.Duration) []string {
	t.Helper()
	cells := make([]string, len(askings))
	for i, asking := range askings {
		cells[i] = "-"
		if !strings.Contains(asking.members, "escalate") || hasStronger(p) {
			cells[i] = p.ask(t, asking.members, stops)
		}
	}
	return cells
}

// hasStronger: there is a stronger action than what a row's command says.
func hasStronger(p preview) bool {
	switch p.action {
	case "batch:CancelJob", "emr:CancelSteps", "swf:RequestCancelWorkflowExecution":
		return true
	case "iot:CancelJobExecution", "iot:CancelJob":
		return !strings.Contains(p.parameters, `"force":true`)
	}
	return false
}

// ask runs a row's command and returns its cell.
func (p preview) ask(t *testing.T, members string, stops time.Duration) (cell string) {
	t.Helper()
	inBubble(t, func(r *rig) {
		p.put(r.sim)
		r.send(strings.Replace(p.command("one", false), `"parameters"`, members+`"parameters"`, 1))
		got := r.settled(1, time.Hour)["one"]
		reads, calls := int64(0), int64(0)
		changing := r.changing()
		for name, c := range r.sim.Counts() {
			switch service, operation, _ := strings.Cut(name, ":"); {
			case service == "sqs" || service == "sns" || service == "sts" || service == "servicequotas":
			case strings.HasPrefix(operation, "Describe"), strings.HasPrefix(operation, "List"):
				reads += c.Requests
			default:
				calls += c.Requests
			}
		}
		if (calls > 0) != (len(changing) > 0) {
			t.Errorf("%s: %d calls, of %v", p, calls, changing)
		}
		cell = fmt.Sprintf("%s %d+%d %.0fs", got.Status, calls, reads, got.FinishedAt.Sub(got.EnqueuedAt).Seconds())
		if got.Escalated {
			cell += "!"
		}
	}, func(o *awssim.Options, _ *worker.Options) {
		*o = p.options
		o.Batch.StopAfter, o.EMR.StopAfter, o.FSx.StopAfter, o.IoT.StopAfter, o.SWF.ObeyAfter = stops, stops, stops, stops, stops
	})
	return cell
}
