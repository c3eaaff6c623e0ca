package worker_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/outcome"
)

func TestMain(m *testing.M) {
	if os.Getenv(atFullSize) == "" {
		debug.SetGCPercent(500) // the heaps are small: collected by default they take a quarter of the time
	}
	goleak.VerifyTestMain(m)
}

// atFullSize is the variable that asks for the tests of large fleets in their full size, as CI does.
const atFullSize = "RESCIND_FULL"

// size is how large a fleet a test takes.
func size(full, usual int) int {
	if os.Getenv(atFullSize) != "" {
		return full
	}
	return usual
}

const outcomesQueue, stateQueue = "outcomes", "state"

// rig is one worker on the AWS simulator, in a synctest bubble.
type rig struct {
	t           *testing.T
	sim         *awssim.Sim
	ledger      ledger.Ledger
	path        string
	queue       string       // URL of the queue of commands
	deadLetters string       // URL of its dead-letter queue
	topic       string       // ARN of the results topic
	stop        func() error // stops the worker in order
	w           *worker.Worker
}

// setting changes what a rig is made of.
type setting func(*awssim.Options, *worker.Options)

// inBubble runs a test on a rig in virtual time.
func inBubble(t *testing.T, test func(r *rig), settings ...setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings...)
		defer r.close()
		test(r)
	})
}

func newRig(t *testing.T, settings ...setting) *rig {
	t.Helper()
	simOptions := awssim.Options{History: true}
	var workerOptions worker.Options
	for _, set := range settings {
		set(&simOptions, &workerOptions)
	}
	r := &rig{t: t, sim: awssim.New(simOptions), path: filepath.Join(t.TempDir(), "ledger.db")}
	var err error
	r.queue, r.deadLetters, err = r.sim.CreateQueueWithDeadLetters("commands", 1000, nil)
	r.must(err)
	_, err = r.sim.CreateQueue(outcomesQueue, nil)
	r.must(err)
	if simOptions.Events.Queue != "" {
		workerOptions.StateQueueURL, err = r.sim.CreateQueue(stateQueue, nil)
		r.must(err)
	}
	r.topic, err = r.sim.CreateTopic("outcomes")
	r.must(err)
	_, err = r.sim.Subscribe(r.topic, outcomesQueue, true)
	r.must(err)
	r.start(workerOptions)
	return r
}

// start opens the ledger and runs a worker on it.
func (r *rig) start(o worker.Options) {
	r.t.Helper()
	r.startOn(o, func(l ledger.Ledger) ledger.Ledger { return l })
}

// startOn does the same with what wrap makes of the ledger.
func (r *rig) startOn(o worker.Options, wrap func(ledger.Ledger) ledger.Ledger) {
	r.t.Helper()
	book, err := bolt.Open(r.path, bolt.Options{NoSync: true})
	r.must(err)
	r.ledger = book
	o.QueueURLs = []string{r.queue}
	o.TopicARN = r.topic
	o.Ledger = wrap(book)
	o.Chance = chance.New(1)
	if o.AWS.HTTPClient == nil {
		o.AWS = r.sim.Config()
	}
	r.w, err = worker.New(r.t.Context(), o)
	r.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.w.Run(ctx) }()
	var once sync.Once
	var stopped error
	r.stop = func() error {
		once.Do(func() {
			cancel()
			stopped = <-done
			r.must(book.Close())
			// Otherwise the queue may hand a message to a poll that was cut.
			synctest.Wait()
		})
		return stopped
	}
}

func (r *rig) close() {
	r.must(r.stop())
	r.must(r.sim.Close())
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// send puts bodies on the command queue.
func (r *rig) send(bodies ...string) {
	r.t.Helper()
	r.must(r.sim.Send(r.queue, bodies...))
}

// published returns the outcomes published so far, bodies as they are.
func (r *rig) published() []string {
	var bodies []string
	for _, m := range r.sim.Messages(outcomesQueue) {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// outcomes returns the outcomes published so far by command id, after checking that each
// command has one event id and one content.
func (r *rig) outcomes() map[string]outcome.Data {
	r.t.Helper()
	byCommand := map[string]outcome.Data{}
	bodies := map[string]string{}
	for _, body := range r.published() {
		e, err := outcome.Parse([]byte(body))
		r.must(err)
		if first, ok := bodies[e.ID]; ok && first != body {
			r.t.Fatalf("event %s was published with two contents:\n%s\n%s", e.ID, first, body)
		}
		if _, ok := byCommand[e.Data.CommandID]; ok && bodies[e.ID] == "" {
			r.t.Fatalf("command %s has two event ids", e.Data.CommandID)
		}
		bodies[e.ID] = body
		byCommand[e.Data.CommandID] = e.Data
	}
	return byCommand
}

// settled waits, in virtual time, until n commands have outcomes and the queue is empty.
func (r *rig) settled(n int, within time.Duration) map[string]outcome.Data {
	r.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		synctest.Wait()
		left := r.sim.Depth(r.queue)
		if left == (awssim.Depth{}) && r.sim.Depth(outcomesQueue).Visible >= n {
			if got := r.outcomes(); len(got) >= n {
				return got
			}
		}
		if time.Now().After(end) {
			r.t.Fatalf("after %s %d of %d commands have outcomes, and %+v messages are left", within, len(r.outcomes()), n, left)
		}
	}
}

// cancelJob is a command for one job.
func cancelJob(id, job string) string {
	return fmt.Sprintf(`{"id":%q,"action":"batch:CancelJob","parameters":{"jobId":%q,"reason":"over budget"}}`, id, job)
}

// tally counts outcomes by status.
func tally(got map[string]outcome.Data) string {
	counts := map[handlers.Status]int{}
	for _, d := range got {
		counts[d.Status]++
	}
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s:%d", s, counts[s]))
	}
	return strings.Join(parts, " ")
}

// calls counts the requests that a service was sent.
func (r *rig) calls(service string) int64 {
	var n int64
	for name, count := range r.sim.Counts() {
		if strings.HasPrefix(name, service+":") {
			n += count.Requests
		}
	}
	return n
}
