package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/batch"
	"github.com/rescindhq/rescind/internal/awssim/emr"
	"github.com/rescindhq/rescind/internal/awssim/fsx"
	"github.com/rescindhq/rescind/internal/awssim/iot"
	"github.com/rescindhq/rescind/internal/awssim/stepfunctions"
	"github.com/rescindhq/rescind/internal/awssim/swf"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/bolt"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/queue"
)

// begin is when every bubble of testing/synctest begins.
var begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// settling is how long everything may take to settle once nothing fails any more: a message
	// that was delayed comes back after 15 minutes at most, and may have to do so again.
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
	states  string        // the state queue; "": there is none
	shared  ledger.Ledger // where it is a file
	journal *journal
	sent    []sent
	over    chan struct{} // closed when everything is settled, or will not be
	lives   sync.WaitGroup
	asking  sync.WaitGroup // for keys
	steady  chan struct{}  // sent to once for each slot whose last process runs and will not stand still any more
}

// run runs a plan in the bubble that it is called in.
func run(t *testing.T, p plan) *history {
	w := newWorld(t, p)
	for i, slot := range p.Slots {
		w.lives.Go(func() { w.live(i, slot) })
	}
	var hand sync.WaitGroup
	hand.Go(w.outages)
	hand.Go(w.fail)
	hand.Go(w.others)
	w.send(false)
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
	w.becomeSteady()
	w.send(true)
	settled := w.settle()
	took, states := time.Since(begin), w.onStates()
	close(w.over)
	w.lives.Wait()
	w.asking.Wait()
	h := w.history()
	h.Settled, h.Took, h.States = settled, took, states
	w.must(w.sim.Close())
	time.Sleep(time.Minute) // an SDK that fetches keys does so on goroutines that nobody waits for
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
	w := &world{t: t, plan: p, over: make(chan struct{}), steady: make(chan struct{}, len(p.Slots)), journal: &journal{seed: p.Seed, seen: map[string]uint64{}, befell: map[string]int{}, callers: map[string]string{}, forged: map[string]bool{}}}
	for _, r := range p.Rules {
		if r.Name == ledgerRule {
			w.journal.rule = &r
			continue
		}
		faults[r.Name] = awssim.Fault{
			Late: r.Late, LateBy: r.LateBy, Unsent: r.Unsent, Broken: r.Broken, Denied: r.Denied, Doubtful: r.Doubtful, Lost: r.Lost, Items: r.Items, Twice: r.Twice,
			Middlebox: r.Middlebox, MiddleboxAfter: r.MiddleboxAfter, Refused: r.Refused, NoAnswer: r.NoAnswer, NoAnswerAfter: r.NoAnswerAfter,
			Stale: r.Stale, StaleBy: r.StaleBy,
		}
	}
	w.sim = awssim.New(awssim.Options{
		Seed: p.Seed, Latency: p.Latency, Quotas: p.Quotas, History: true,
		Batch: batch.Options{StopAfter: p.StopAfter}, EMR: emr.Options{StopAfter: p.StopAfter}, FSx: fsx.Options{StopAfter: p.StopAfter},
		IoT: iot.Options{StopAfter: p.StopAfter}, SWF: swf.Options{ObeyAfter: p.StopAfter},
		StepFunctions: stepfunctions.Options{RefuseEnded: p.RefuseEnded},
		Events:        p.Events.rule(),
	})
	var err error
	w.queue, w.dead, err = w.sim.CreateQueueWithDeadLetters("commands", p.MaxReceives, nil)
	w.must(err)
	_, err = w.sim.CreateQueue(outcomes, nil)
	w.must(err)
	if p.Events != nil {
		w.states, err = w.sim.CreateQueue(stateQueue, nil)
		w.must(err)
	}
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
	w.sim.SetFaults(upToDate(faults))
	// A read that is late shows nothing of a target that is younger, and where nothing was called the worker
	// takes that as it is.
	time.AfterFunc(staleMost, func() { w.sim.SetFaults(faults) })
	return w
}

// upToDate are the faults without late reads.
func upToDate(faults awssim.Faults) awssim.Faults {
	fresh := maps.Clone(faults)
	for name, f := range fresh {
		f.Stale = 0
		fresh[name] = f
	}
	return fresh
}

// becomeSteady waits until every worker runs that will run to the end. One that cannot is found out
// by what it leaves undone.
func (w *world) becomeSteady() {
	within := time.After(settling / 4)
	for range w.plan.Slots {
		select {
		case <-w.steady:
		case <-within:
			return
		}
	}
	time.Sleep(time.Minute) // what backed off has been tried again
}

// send puts the orders on the queue, each at its time; that of those for the calm counts from now.
func (w *world) send(calm bool) {
	from := begin
	if calm {
		from = time.Now()
	}
	left := make([]bool, len(w.plan.Commands))
	n := 0
	for i, o := range w.plan.Commands {
		if left[i] = o.Calm != calm; !left[i] {
			n++
		}
	}
	for n > 0 {
		next := time.Duration(1<<63 - 1)
		for i, o := range w.plan.Commands {
			switch {
			case left[i]:
			case o.At <= time.Since(from):
				left[i] = true
				n--
				// Until its id is known nobody may say that they have received it.
				w.journal.mu.Lock()
				attributes := w.forge(o.Forged, o.Body)
				id, err := w.sim.SendWith(w.queue, o.Body, attributes)
				w.journal.forged[id] = attributes != nil
				w.journal.mu.Unlock()
				w.must(err)
				w.sent = append(w.sent, sent{Order: i, Message: id, At: time.Now(), Forged: attributes != nil})
			default:
				next = min(next, o.At)
			}
		}
		if n > 0 {
			time.Sleep(next - time.Since(from))
		}
	}
}

// forge makes an attribute as only a worker may, from what is on the queue and was sent before; nil where
// there is nothing to make it from. The caller holds the journal's lock.
func (w *world) forge(how forgery, body string) map[string]awssim.Attribute {
	text := ""
	switch how {
	case otherID:
		if len(w.sent) > 0 {
			text = fmt.Sprintf(`{"messageId":%q,"sender":"AIDAROOT","sentAt":%d,"receives":2000,"exhausted":2000}`, w.sent[0].Message, begin.Add(-240*time.Hour).UnixMilli())
		}
	case otherCopy:
		for _, m := range w.sim.Messages(w.queue) {
			if of := m.Attributes[queue.MarkAttribute]; m.Body != body && !w.journal.forged[m.ID] && of.StringValue != "" {
				text = of.StringValue
			}
		}
	case noJSON:
		text = "x"
	}
	if text == "" {
		return nil
	}
	return map[string]awssim.Attribute{queue.MarkAttribute: {DataType: "String", StringValue: text}}
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
		w.process(nameOf(slot, i), l, i == len(all)-1)
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
func (w *world) process(name string, l life, last bool) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	p := &process{name: name, crashAt: l.Crash, crash: stop, journal: w.journal}
	seed := fnv.New64a()
	_, _ = fmt.Fprint(seed, w.plan.Seed, name)
	jitter := chance.New(seed.Sum64())
	end := ending{Worker: name}
	defer func() {
		end.Crash = p.diedAt()
		w.journal.mu.Lock()
		defer w.journal.mu.Unlock()
		w.journal.endings = append(w.journal.endings, end)
	}()
	config := w.sim.Config()
	config.HTTPClient = wire{p, config.HTTPClient}
	config.Credentials = w.credentials(name)
	// Started again and again, as an orchestrator would, which waits for so long.
	const startWithin = time.Minute
	var own ledger.Ledger
	for err := errors.New("not begun"); err != nil; {
		starting, stop := context.WithTimeout(ctx, startWithin)
		own, err = w.open(starting, config, l.Skew, jitter)
		stop()
		if err != nil && (p.isDead() || !w.wait(5*time.Second)) {
			return
		}
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
		MaxInFlight: 200, Chance: jitter,
		Patience: w.plan.Patience, GiveUp: w.plan.GiveUp, Drain: drainFor,
	}
	if !l.Deaf {
		o.StateQueueURL = w.states
	}
	if len(w.plan.Accounts) > 0 {
		o.Role, o.Name = role, name // whose session names say who called
	}
	var made *worker.Worker
	for made == nil {
		starting, stop := context.WithTimeout(ctx, startWithin)
		var err error
		made, err = worker.New(starting, o)
		stop()
		if err != nil && (p.isDead() || !w.wait(5*time.Second)) {
			return
		}
	}
	ended := make(chan struct{})
	var hands sync.WaitGroup
	hands.Go(func() {
		if l.Pause > 0 {
			select {
			case <-time.After(l.PauseAt):
				p.pause(l.Pause)
			case <-ended:
				return
			}
		}
		if !last {
			return
		}
		select {
		case <-time.After(l.Pause):
			w.steady <- struct{}{}
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
	for _, m := range append(w.sim.Messages(w.queue), w.sim.Messages(stateQueue)...) {
		if w.plan.Events.isNone(m.Body) {
			continue // it is left there, and nobody misses it
		}
		if m.InFlight && m.Receives == known[m.ID] && last[m.ID] == name {
			all = append(all, hidden{Message: m.ID, Until: m.VisibleAt})
		}
	}
	return all
}

// open opens the ledger as a process sees it.
func (w *world) open(ctx context.Context, config aws.Config, skew time.Duration, jitter *rand.Rand) (ledger.Ledger, error) {
	if w.shared != nil {
		return w.shared, nil
	}
	return dynamo.Open(ctx, config, table, dynamo.Options{Now: func() time.Time { return time.Now().Add(skew) }, Chance: jitter})
}

// settle waits until every message is off the queue and answered, and every event off the state queue.
func (w *world) settle() bool {
	for end := time.Now().Add(settling); time.Now().Before(end); time.Sleep(10 * time.Second) {
		if w.sim.Depth(w.queue) != (awssim.Depth{}) || w.sim.Depth(w.dead).InFlight > 0 || !w.isHeard() {
			continue
		}
		h := w.history()
		if len(unanswered(h)) == 0 {
			return true
		}
	}
	return false
}

// reasonOf is why a worker dead-lettered a message, by its attribute; "" where SQS moved it there, which
// leaves the attribute of a deferred copy as it is.
func reasonOf(attribute string) string {
	var mark queue.Mark
	if json.Unmarshal([]byte(attribute), &mark) != nil {
		return ""
	}
	return mark.Reason
}

func (w *world) history() *history {
	h := &history{Plan: w.plan, Sent: w.sent, Requests: w.sim.History(), Left: w.sim.Depth(w.queue)}
	w.journal.mu.Lock()
	h.Steps = append(h.Steps, w.journal.steps...)
	h.Receipts = append(h.Receipts, w.journal.receipts...)
	h.Copies = append(h.Copies, w.journal.copies...)
	h.Arrived = append(h.Arrived, w.journal.arrived...)
	h.Endings = append(h.Endings, w.journal.endings...)
	h.Befell = maps.Clone(w.journal.befell)
	for i, r := range h.Requests {
		if name, ok := w.journal.callers[r.Caller]; ok {
			h.Requests[i].Caller = name
		}
	}
	w.journal.mu.Unlock()
	for _, m := range w.sim.Messages(outcomes) {
		h.Outcomes = append(h.Outcomes, published{At: m.Sent, Body: m.Body})
	}
	for _, m := range w.sim.Messages(w.dead) {
		h.DeadLetters = append(h.DeadLetters, deadLetter{Body: m.Body, Mark: reasonOf(m.Attributes["rescind"].StringValue)})
	}
	for _, t := range w.plan.Targets {
		h.Ends = append(h.Ends, w.end(t))
	}
	return h
}
