package simulation

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
)

// history is everything that is known of a run when it is over.
type history struct {
	Plan plan
	// Settled says that the queue was empty and all was reported in time.
	Settled bool
	Took    time.Duration
	// Sent are the messages, by the order in which they were put on the queue.
	Sent []sent
	// Requests are those to AWS, as the simulator served them.
	Requests []awssim.Record
	// Steps are the calls of the ledger that had an effect, may have had one, or were refused.
	Steps []step
	// Outcomes are what was published, in its order.
	Outcomes    []published
	DeadLetters []deadLetter
	// Receipts are the messages that receives brought, in the order in which they did.
	Receipts []receipt
	// Copies are the deferred copies that were sent, in their order.
	Copies []copied
	// Endings are those of the processes, in their order.
	Endings []ending
	// Befell counts what befell the calls of a ledger that is a file.
	Befell map[string]int
	Left   awssim.Depth // on the queue
	// States are the messages that were left on the state queue, and Arrived the events that receives brought from it.
	States  []string  `json:",omitempty"`
	Arrived []arrival `json:",omitempty"`
	// Ends are what the plan's targets came to.
	Ends []end
}

// sent is an order on the queue.
type sent struct {
	Order   int // index into the plan's
	Message string
	At      time.Time
	Forged  bool `json:",omitzero"` // it has an attribute as only deferred copies have
}

// published is one publication of an outcome.
type published struct {
	At   time.Time
	Body string
}

// deadLetter is a message on the dead-letter queue. Mark is empty where SQS put it there.
type deadLetter struct{ Body, Mark string }

// receipt is one message that a receive brought.
type receipt struct {
	Message, Worker string
	// Original is the message that this one is a deferred copy of, Message itself where it is none.
	Original string
	At       time.Time
}

// copied is a deferred copy, of a message that was first sent, once the queue had it.
type copied struct {
	Original string
	At       time.Time
}

// ending is how a process ended.
type ending struct {
	Worker string
	// Crash is where it died; nil: it stopped in order, or never started.
	Crash *point `json:",omitempty"`
	// Asked is when it was asked to stop, Stopped when it had; zero: it never started.
	Asked   time.Time `json:",omitzero"`
	Stopped time.Time `json:",omitzero"`
	// Hidden are the messages that it left so that nobody could receive them.
	Hidden []hidden `json:",omitempty"`
}

// hidden is a message that is in flight, and until when.
type hidden struct {
	Message string
	Until   time.Time
}

// end is what a target came to.
type end struct {
	State string
	// Stopped: by a cancel.
	Stopped bool
	// At is when it ended; zero where that is not known.
	At time.Time `json:",omitzero"`
}

// step is one key's part of a call of the ledger by a worker.
type step struct {
	At        time.Time
	Worker    string
	Operation string
	Key       string
	Number    uint64
	State     ledger.State     `json:",omitzero"` // of a claim
	Resumed   bool             `json:",omitzero"` // of a claim
	Progress  *ledger.Progress `json:",omitempty"`
	Outcome   string           `json:",omitempty"`
	// Fenced: the ledger refused.
	Fenced bool `json:",omitzero"`
	// Maybe: the ledger does not know whether it was done.
	Maybe bool `json:",omitzero"`
	// Silent: the worker got no answer that said so.
	Silent bool `json:",omitzero"`
}

// keep writes a history where it outlives the test, and returns the file's name.
func (h *history) keep(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rescind-simulation-") //nolint:usetesting // it outlives the test
	if err != nil {
		t.Errorf("keeping the history: %v", err)
	}
	return h.write(t, dir)
}

// write writes a history to a file in a folder and returns its name.
func (h *history) write(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, fmt.Sprintf("seed-%d.json", h.Plan.Seed))
	text, err := json.MarshalIndent(h, "", " ")
	if err == nil {
		err = os.WriteFile(name, text, 0o600)
	}
	if err != nil {
		t.Errorf("keeping the history: %v", err)
	}
	return name
}

func load(name string) (*history, error) {
	text, err := os.ReadFile(name) //nolint:gosec // the caller names it on the command line
	if err != nil {
		return nil, fmt.Errorf("reading a history: %w", err)
	}
	h := new(history)
	if err := json.Unmarshal(text, h); err != nil {
		return nil, fmt.Errorf("reading the history %s: %w", name, err)
	}
	return h, nil
}
