package permissions_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Names that the rig and the deployments of the tests share.
const (
	own, other = "123456789012", "999999999999" // accounts
	region     = "us-east-1"
	table      = "ledger"
	role       = "arn:aws:iam::{account}:role/rescind"
)

// rig is one worker on the AWS simulator, in a synctest bubble.
type rig struct {
	*testing.T
	sim     *awssim.Sim
	w       *worker.Worker
	queue   string // URL, as is states
	states  string
	before  int // requests of the history that were the test's own
	options options
}

// options say what a rig is made of.
type options struct {
	inFile      bool // the ledger is a file, and no table
	deadLetters bool // RESCIND_DLQ_URL is set
	states      bool // RESCIND_STATE_QUEUE_URL is set
	stopsAfter  time.Duration
	quotas      worker.Quotas
}

// run runs a worker, and what a test does with it, and returns the permissions that its requests needed, by account.
func run(t *testing.T, o options, do func(*rig)) map[string][]iam.Access {
	t.Helper()
	needed := map[string][]iam.Access{}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, o)
		stop := r.start()
		do(r)
		stop()
		for _, record := range r.sim.History()[r.before:] {
			needed[record.Account] = append(needed[record.Account], record.Accesses...)
		}
		r.must(r.sim.Close())
	})
	return needed
}

func newRig(t *testing.T, o options) *rig {
	s := awssim.Options{History: true}
	s.Batch.StopAfter, s.EMR.StopAfter, s.FSx.StopAfter, s.IoT.StopAfter, s.SWF.ObeyAfter = o.stopsAfter, o.stopsAfter, o.stopsAfter, o.stopsAfter, o.stopsAfter
	if o.states {
		s.Events.Queue = stateQueueARN
	}
	r := &rig{T: t, sim: awssim.New(s), options: o}
	var err error
	r.states, err = r.sim.CreateQueue("states", nil)
	r.must(err)
	r.queue, _, err = r.sim.CreateQueueWithDeadLetters("commands", 1000, nil)
	r.must(err)
	_, err = r.sim.CreateTopic("outcomes")
	r.must(err)
	_, err = r.sim.CreateQueue("outcomes", nil)
	r.must(err)
	_, err = r.sim.Subscribe(topicARN, "outcomes", true)
	r.must(err)
	if !o.inFile {
		r.must(dynamo.CreateTable(t.Context(), r.sim.Config(), table))
	}
	r.before = len(r.sim.History())
	return r
}

// start opens the ledger and runs a worker on it; stop stops both.
func (r *rig) start() (stop func()) {
	var records ledger.Ledger
	var err error
	if r.options.inFile {
		records, err = bolt.Open(filepath.Join(r.TempDir(), "ledger.db"), bolt.Options{NoSync: true})
	} else {
		records, err = dynamo.Open(r.Context(), r.sim.Config(), table, dynamo.Options{})
	}
	r.must(err)
	o := worker.Options{
		QueueURLs: []string{r.queue}, TopicARN: topicARN, Ledger: records, Chance: chance.New(1), AWS: r.sim.Config(), Role: role, Quotas: r.options.quotas,
	}
	if r.options.deadLetters {
		o.DeadLetterURL, o.Role = r.queue+"-dlq", ""
	}
	if r.options.states {
		o.StateQueueURL = r.states
	}
	r.w, err = worker.New(r.Context(), o)
	r.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.w.Run(ctx) }()
	return func() {
		cancel()
		r.must(<-done)
		r.must(records.Close())
		synctest.Wait()
	}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// settle sends commands and waits until all have outcomes.
func (r *rig) settle(bodies ...string) {
	r.Helper()
	wanted := len(r.sim.Messages("outcomes")) + len(bodies)
	r.must(r.sim.Send(r.queue, bodies...))
	for end := time.Now().Add(6 * time.Hour); ; time.Sleep(time.Second) {
		synctest.Wait()
		if len(r.sim.Messages("outcomes")) >= wanted && r.sim.Depth(r.queue) == (awssim.Depth{}) {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("%d outcomes of %d, and on the queue %+v", len(r.sim.Messages("outcomes")), wanted, r.sim.Depth(r.queue))
		}
	}
}

// shownByEvents fails where no outcome says that an event was its proof.
func (r *rig) shownByEvents() {
	r.Helper()
	for _, m := range r.sim.Messages("outcomes") {
		if strings.Contains(m.Body, `"confirmedBy":"event"`) {
			return
		}
	}
	r.Error("no target was shown to have stopped by an event")
}

// distinct are accesses without what is said twice.
func distinct(all []iam.Access) (kept []iam.Access) {
	seen := map[string]bool{}
	for _, a := range all {
		if key := a.Action + " " + a.Resource; !seen[key] {
			seen[key] = true
			kept = append(kept, a)
		}
	}
	return slices.Clip(kept)
}
