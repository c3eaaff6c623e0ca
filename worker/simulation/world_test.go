package simulation

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
)

// begin is when every bubble of testing/synctest begins.
var begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// settling is how long everything may take to settle once nothing fails any more: a message
	// that was held up comes back after 15 minutes at most, and may have to do so again.
	settling = 2 * time.Hour
	// drainFor is how long a worker may take to stop, before it is stopped hard.
	drainFor = 10 * time.Second
	outcomes = "outcomes"
	table    = "commands" // of the ledger
)

// world is a plan being run.
type world struct {
	t       *testing.T
	plan    plan
	sim     *awssim.Sim
	queue   string
	dead    string
	topic   string
	shared  ledger.Ledger // where it is a file
	journal *journal
	sent    []sent
	over    chan struct{} // closed when everything is settled, or will not be
	lives   sync.WaitGroup
}

// run runs a plan in the bubble that it is called in.
func run(t *testing.T, p plan) *history {
	w := newWorld(t, p)
	for i, slot := range p.Slots {
		w.lives.Go(func() { w.live(i, slot) })
	}
	var hand sync.WaitGroup
	hand.Go(w.outages)
	w.send()
	hand.Wait()
	if left := p.Chaos - time.Since(begin); left > 0 {
		time.Sleep(left)
	}
	w.sim.SetFaults(nil)
	for name := range p.Quotas {
		w.sim.SetQuota(name, awssim.Quota{Rate: 20, Burst: 20})
	}
	w.journal.mu.Lock()
	w.journal.rule = nil
	w.journal.mu.Unlock()
	settled := w.settle()
	took := time.Since(begin)
	close(w.over)
	w.lives.Wait()
	h := w.history()
	h.Settled, h.Took = settled, took
	w.must(w.sim.Close())
	if w.shared != nil {
		w.must(w.shared.Close())
	}
	return h
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func newWorld(t *testing.T, p plan) *world {
	faults := awssim.Faults{}
	w := &world{t: t, plan: p, over: make(chan struct{}), journal: &journal{seed: p.Seed, seen: map[string]uint64{}, befell: map[string]int{}}}
	for _, r := range p.Rules {
		if r.Name == ledgerRule {
			w.journal.rule = &r
			continue
		}
		faults[r.Name] = awssim.Fault{
			Late: r.Late, LateBy: r.LateBy, Unsent: r.Unsent, Broken: r.Broken, Denied: r.Denied, Doubtful: r.Doubtful, Lost: r.Lost, Items: r.Items, Twice: r.Twice,
		}
	}
	w.sim = awssim.New(awssim.Options{
		Seed: p.Seed, Latency: p.Latency, Quotas: p.Quotas, History: true,
		Batch: batch.Options{StopAfter: p.StopAfter}, EMR: emr.Options{StopAfter: p.StopAfter}, FSx: fsx.Options{StopAfter: p.StopAfter},
		IoT: iot.Options{StopAfter: p.StopAfter}, SWF: swf.Options{ObeyAfter: p.StopAfter},
		StepFunctions: stepfunctions.Options{RefuseEnded: p.RefuseEnded},
	})
	var err error
	w.queue, w.dead, err = w.sim.CreateQueueWithDeadLetters("commands", p.MaxReceives, nil)
	w.must(err)
	_, err = w.sim.CreateQueue(outcomes, nil)
	w.must(err)
	w.topic, err = w.sim.CreateTopic("outcomes")
	w.must(err)
	_, err = w.sim.Subscribe(w.topic, outcomes, true)
	w.must(err)
	for _, each := range p.Targets {
		w.put(each)
	}
	if p.Ledger == onDynamo {
		w.journal.rule = nil // the rule for DynamoDB does
		w.must(dynamo.CreateTable(context.Background(), w.sim.Config(), table))
	} else {
		w.shared, err = bolt.Open(filepath.Join(t.TempDir(), "ledger.db"), bolt.Options{NoSync: true})
		w.must(err)
	}
	w.sim.SetFaults(faults)
	return w
}

// send puts the orders on the queue, each at its time.
func (w *world) send() {
	known := map[string]bool{}
	left := make([]bool, len(w.plan.Commands))
	for n := len(left); n > 0; {
		next := time.Duration(1<<63 - 1)
		for i, o := range w.plan.Commands {
			switch {
			case left[i]:
			case o.At <= time.Since(begin):
				left[i] = true
				n--
				w.must(w.sim.Send(w.queue, o.Body))
				// Nobody can have settled it within this instant.
				for _, m := range w.sim.Messages(w.queue) {
					if !known[m.ID] {
						known[m.ID] = true
						w.sent = append(w.sent, sent{Order: i, Message: m.ID, At: time.Now()})
					}
				}
			default:
				next = min(next, o.At)
			}
		}
		if n > 0 {
			time.Sleep(next - time.Since(begin))
		}
	}
}

// outages takes services down and up again; of two at a time the longer one counts.
func (w *world) outages() {
	var all sync.WaitGroup
	var mu sync.Mutex
	down := map[string]int{}
	change := func(service string, by int) {
		mu.Lock()
		defer mu.Unlock()
		down[service] += by
		w.setDown(service, down[service] > 0)
	}
	for _, o := range w.plan.Outages {
		all.Go(func() {
			time.Sleep(o.At)
			change(o.Service, 1)
			time.Sleep(o.For)
			change(o.Service, -1)
		})
	}
	all.Wait()
}

func (w *world) setDown(service string, down bool) {
	switch {
	case service == theLedger && w.plan.Ledger == onBolt:
		w.journal.setDown(down)
		return
	case service == theLedger:
		service = "dynamodb"
	}
	w.sim.SetDown(service, down)
}

// live runs the processes of one worker, one after the other, the last one until the end.
func (w *world) live(slot int, all []life) {
	for i, l := range all {
		if !w.wait(l.After) {
			return
		}
		w.process(nameOf(slot, i), l)
	}
}

// nameOf is the name of a process, which is the access key of its requests too.
func nameOf(slot, life int) string { return fmt.Sprintf("W%d.%d", slot+1, life+1) }

// wait returns false where the world is over first.
func (w *world) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-w.over:
		return false
	}
}

// process runs one process of a worker to its end.
func (w *world) process(name string, l life) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	p := &process{name: name, crashAt: l.Crash, crash: stop, journal: w.journal}
	end := ending{Worker: name}
	defer func() {
		end.Crash = p.diedAt()
		w.journal.mu.Lock()
		defer w.journal.mu.Unlock()
		w.journal.endings = append(w.journal.endings, end)
	}()
	config := w.sim.Config()
	config.HTTPClient = wire{p, config.HTTPClient}
	config.Credentials = credentials.NewStaticCredentialsProvider(name, "secret", "")
	own, err := w.open(ctx, config, l.Skew)
	for err != nil {
		if p.isDead() || !w.wait(5*time.Second) {
			return // started again and again, as an orchestrator would
		}
		own, err = w.open(ctx, config, l.Skew)
	}
	if own != w.shared {
		defer func() { _ = own.Close() }()
	}
	shelf := book{Ledger: own, process: p, journal: w.journal}
	if own != w.shared {
		shelf.skew = l.Skew
	}
	o := worker.Options{
		QueueURLs: []string{w.queue}, TopicARN: w.topic, Ledger: shelf, AWS: config,
		MaxInFlight: 200, MinReceives: min(worker.DefaultMinReceives, w.plan.MaxReceives),
		Patience: w.plan.Patience, GiveUp: w.plan.GiveUp, Drain: drainFor,
	}
	var made *worker.Worker
	for made == nil {
		if made, err = worker.New(ctx, o); err != nil && (p.isDead() || !w.wait(5*time.Second)) {
			return
		}
	}
	ended := make(chan struct{})
	var hands sync.WaitGroup
	hands.Go(func() {
		if l.Pause == 0 {
			return
		}
		select {
		case <-time.After(l.PauseAt):
			p.pause(l.Pause)
		case <-ended:
		}
	})
	hands.Go(func() {
		var drain <-chan time.Time
		if l.Drain > 0 {
			drain = time.After(l.Drain)
		}
		select {
		case <-drain:
		case <-w.over:
		case <-ended:
		}
		end.Asked = time.Now()
		stop()
	})
	// Its error does not matter: of a process that crashed everything failed.
	if err := made.Run(ctx); err != nil && !p.isDead() && !strings.Contains(err.Error(), "flush") {
		w.t.Logf("%s ended with: %v", name, err)
	}
	end.Stopped = time.Now()
	end.Hidden = w.hidden(name)
	close(ended)
	hands.Wait()
}

// hidden are the messages that a process received last, as far as that is known, and nobody else
// can receive now.
func (w *world) hidden(name string) []hidden {
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	known, last := map[string]int{}, map[string]string{}
	for _, r := range w.journal.receipts {
		known[r.Message]++
		last[r.Message] = r.Worker
	}
	var all []hidden
	for _, m := range w.sim.Messages(w.queue) {
		if m.InFlight && m.Receives == known[m.ID] && last[m.ID] == name {
			all = append(all, hidden{Message: m.ID, Until: m.VisibleAt})
		}
	}
	return all
}

// open opens the ledger as a process sees it.
func (w *world) open(ctx context.Context, config aws.Config, skew time.Duration) (ledger.Ledger, error) {
	if w.shared != nil {
		return w.shared, nil
	}
	return dynamo.Open(ctx, config, table, dynamo.Options{Now: func() time.Time { return time.Now().Add(skew) }})
}

// settle waits until every message is off the queue and answered.
func (w *world) settle() bool {
	for end := time.Now().Add(settling); time.Now().Before(end); time.Sleep(10 * time.Second) {
		if w.sim.Depth(w.queue) != (awssim.Depth{}) || w.sim.Depth(w.dead).InFlight > 0 {
			continue
		}
		h := w.history()
		unmarked := slices.ContainsFunc(h.Buried, func(b buried) bool { return b.Mark == "" })
		if !unmarked && len(unanswered(h)) == 0 {
			return true
		}
	}
	return false
}

func (w *world) history() *history {
	h := &history{Plan: w.plan, Sent: w.sent, Requests: w.sim.History(), Left: w.sim.Depth(w.queue)}
	w.journal.mu.Lock()
	h.Steps = append(h.Steps, w.journal.steps...)
	h.Receipts = append(h.Receipts, w.journal.receipts...)
	h.Endings = append(h.Endings, w.journal.endings...)
	h.Befell = maps.Clone(w.journal.befell)
	w.journal.mu.Unlock()
	for _, m := range w.sim.Messages(outcomes) {
		h.Outcomes = append(h.Outcomes, published{At: m.Sent, Body: m.Body})
	}
	for _, m := range w.sim.Messages(w.dead) {
		h.Buried = append(h.Buried, buried{Body: m.Body, Mark: m.Attributes["rescind"].StringValue})
	}
	for _, t := range w.plan.Targets {
		h.Ends = append(h.Ends, w.end(t))
	}
	return h
}
