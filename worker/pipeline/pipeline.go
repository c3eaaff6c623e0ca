package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/queue"
	"github.com/rescindhq/rescind/worker/trouble"
)

// Options says what a Pipeline works with. All fields are required, except where it says otherwise.
type Options struct {
	Name   string // of the deployment
	Worker string // tells workers of one deployment apart
	// Home is the worker's own location: commands that name none run there.
	Home handlers.Location
	// Regions are those that commands may name.
	Regions []string
	// OtherAccounts says that a role is configured for accounts other than Home's.
	OtherAccounts bool
	// MaxInFlight is how many places there are for messages.
	MaxInFlight int
	// Quota is what is in force in a location under "service:Operation" or "service:*", where published is built in.
	// nil: what is built in.
	Quota  func(name string, at handlers.Location, published handlers.Quota) handlers.Quota
	Quotas map[string]handlers.Quota
	// Confirm is how long to look for proof where the command does not say. 0: not at all.
	Confirm time.Duration
	// StateEvents says that AWS's events of ended targets come in (HandleEvent), so that AWS is asked less often.
	StateEvents bool
	// Patience is how long a command waits here for its calls before its message is deferred.
	Patience time.Duration
	// GiveUp is the age, from the first sending, at which a command ends.
	GiveUp   time.Duration
	Handlers []handlers.Handler
	Ledger   ledger.Ledger
	// Publish publishes an outcome, and returns once the topic has it.
	Publish func(context.Context, *Outcome) error
	Gate    *Gate
	// Trouble records what became of each call and of each request to the ledger.
	Trouble *trouble.Peers
	// TopicARN is the results topic, for a log line about its events that come back.
	TopicARN string
	// Chance is where jitter comes from. nil: a source of a seed drawn now.
	Chance *rand.Rand
	Log    *zap.Logger
}

// Pipeline runs commands. Make one with New. Its methods are safe for concurrent use.
type Pipeline struct {
	o         Options
	handlers  map[handlers.Action]handlers.Handler
	decoder   *command.Decoder
	claims    *claims
	lanes     *lanes
	admission *admission
	own       ownEvents
	events    *stateEvents
	draining  atomic.Bool
	log       *zap.Logger
}

// New returns a Pipeline. It starts nothing; KeepClaims and DropIdle must run while it handles messages.
func New(o Options) *Pipeline {
	o.Chance = chance.Or(o.Chance)
	p := &Pipeline{
		o: o, handlers: make(map[handlers.Action]handlers.Handler, len(o.Handlers)),
		decoder: command.NewDecoder(o.Handlers, o.Home), log: o.Log,
		claims: newClaims(o.Ledger, o.Gate, o.Trouble, o.Chance),
	}
	for _, h := range o.Handlers {
		p.handlers[h.Action()] = h
	}
	p.own = ownEvents{topic: o.TopicARN, log: o.Log}
	p.events = newStateEvents(o.Handlers)
	p.lanes = newLanes(o, p.claims.begin)
	p.admission = newAdmission(o.MaxInFlight, o.Patience, p.lanes)
	return p
}

// KeepClaims renews the claims of what is being executed, until ctx ends.
func (p *Pipeline) KeepClaims(ctx context.Context) { p.claims.keep(ctx) }

// DropIdle drops what was made for accounts and regions that no command names any more, until ctx ends.
func (p *Pipeline) DropIdle(ctx context.Context) { p.lanes.keep(ctx) }

// Knows reports whether there is a handler for an action.
func (p *Pipeline) Knows(a handlers.Action) bool { return p.handlers[a] != nil }

// Drain makes messages come back at once that have no cancelling call under way. Calls under way finish,
// and so do reads: what AWS took is to be reported.
func (p *Pipeline) Drain() {
	p.draining.Store(true)
	p.lanes.drain()
}

// Draining reports whether Drain was called.
func (p *Pipeline) Draining() bool { return p.draining.Load() }

// Close ends calls under way too, and waits for them.
func (p *Pipeline) Close() { p.lanes.close() }

// Handle takes one message through the pipeline. It always returns nil: how the message is to be
// settled is recorded on its lease.
func (p *Pipeline) Handle(msg *message.Message) error {
	x := &execution{lease: queue.LeaseFrom(msg.Context())}
	defer p.leave(x)
	p.finish(msg.Context(), x, p.runStages(msg.Context(), x))
	return nil
}

// runStages takes one command through the stages. The first one that returns a disposition ends it.
func (p *Pipeline) runStages(ctx context.Context, x *execution) (d *disposition) {
	defer func() {
		if v := recover(); v != nil {
			d = p.panicked(ctx, x, newPanic(v))
		}
	}()
	for _, stage := range [...]func(context.Context, *execution) *disposition{
		p.decode, p.admit, p.claim, p.authorize, p.resolve, p.cancel,
	} {
		if done := stage(ctx, x); done != nil {
			return done
		}
	}
	return p.complete(x)
}

// decode reads the command.
func (p *Pipeline) decode(ctx context.Context, x *execution) *disposition {
	if p.Draining() {
		return deferFor(0)
	}
	l := x.lease
	c, err := p.decoder.Decode([]byte(l.Body), command.Message{
		ID: l.MessageID, TraceParent: aws.ToString(l.Attributes["traceparent"].StringValue),
	})
	var bad *command.Error
	if errors.As(err, &bad) {
		if bad.OwnEvent != "" {
			p.own.came(l, bad.OwnEvent)
			return &disposition{kind: dropping}
		}
		return p.invalid(ctx, x, bad)
	}
	x.command, x.handler, x.at = c, p.handlers[c.Action], c.Location()
	x.giveUp = l.SentAt.Add(p.o.GiveUp)
	if x.confirm = p.o.Confirm; c.Confirm != nil {
		x.confirm = *c.Confirm
	}
	return nil
}

// admit takes a place for the command, or defers its message for as long as its lane is expected to
// need. A command that will make no call (denied, expired) takes no place: no lane is made for an account
// or region that policy forbids.
func (p *Pipeline) admit(ctx context.Context, x *execution) *disposition {
	if x.lease.OnLastReceive() && x.lease.Exhausted() < exhaustedMost {
		// SQS would move the message to the dead-letter queue if this worker died with it: a copy's receives begin anew.
		return &disposition{kind: deferring, byCopy: true}
	}
	now := time.Now()
	if p.forbidden(x.command) != nil || x.over(now) != nil {
		x.place = p.admission.exempt()
		return nil
	}
	g, targets := group{x.command.Action, x.command.DryRun}, len(x.command.Targets)
	for {
		place, ahead := p.admission.enter(g, x.at, targets)
		if place != nil {
			x.place = place
			return nil
		}
		// A place that should be free soon is waited for. Not longer: the message keeps others from being
		// received, and a slow lane's must not.
		if p.Draining() {
			return deferFor(0)
		}
		if ahead > placeMost || time.Since(now) > placeMost || !pause(ctx, placeEvery) {
			return crowded(x.within(time.Now(), p.admission.deferral(g, x.at, targets, x.lease.Receives() > 1)))
		}
	}
}

// pause reports whether d has passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// claim claims the command in the ledger.
func (p *Pipeline) claim(ctx context.Context, x *execution) *disposition {
	c := x.command
	found, err := p.claims.claim(ctx, &ledger.Entry{
		Key: c.Key(), Fingerprint: c.Fingerprint(), Campaign: c.Campaign, Targets: ids(c.Targets),
	})
	if err != nil {
		return p.unclaimed(x, c.Key(), err)
	}
	switch found.State {
	case ledger.Ended:
		return p.again(x, found.Outcome)
	case ledger.Held:
		if p.claims.holds(c.Key()) {
			return deferFor(duplicateWait)
		}
		return deferFor(untilFree(found.Until))
	case ledger.OtherContent:
		return p.invalid(ctx, x, reused(c))
	case ledger.Claimed:
	}
	now := time.Now()
	x.begin(found, now.Add(p.o.Patience), p.handlers)
	if wait := x.untilNext(now); wait > lookLeast { // another copy of its message was deferred until then
		return &disposition{kind: deferring, after: wait, byCopy: true, store: true}
	}
	p.claims.hold(x)
	return nil
}

// authorize decides whether the command may call anything. If not, the targets end that nothing was called for;
// those that were called are only read, in the cancel stage, and so are all of a dry run.
func (p *Pipeline) authorize(_ context.Context, x *execution) *disposition {
	if x.lease.OnLastReceive() {
		// Admit has replaced it by copies before: it may be what makes workers die.
		return p.internal(x, errors.New("workers stopped again and again while they had this message"))
	}
	why := p.forbidden(x.command)
	if why == nil {
		why = p.tooLate(x, x.over(time.Now()))
	}
	switch {
	case why != nil:
		x.bar(why)
	case x.command.DryRun:
		x.barred = dryRun()
	}
	return nil
}

// resolve finds out which target is meant, where the parameters leave it open, and stores that before
// the first call. Where there is none to cancel, the target ends by how the last one did.
func (p *Pipeline) resolve(ctx context.Context, x *execution) *disposition {
	resolver, ok := x.handler.(handlers.Resolver)
	if !ok || x.barred != nil && !x.command.DryRun {
		return nil
	}
	for _, t := range x.open() {
		t.unresolved = t.Pin == "" && resolver.Unresolved(t.Target)
	}
	if len(x.unresolved()) == 0 {
		return nil
	}
	within, stop := x.bounded(ctx, true)
	defer stop()
	err := p.find(within, x, false)
	if err == nil && len(x.unresolved()) > 0 {
		// What is listed nowhere may have been started, or have ended, a moment ago.
		select {
		case <-time.After(settling):
			err = p.find(within, x, true)
		case <-p.lanes.draining:
			err = lane.ErrDraining
		case <-within.Done():
			err = context.Cause(within)
		}
	}
	if err == nil {
		progress := x.progress()
		x.stored = progress.Targets
		err = p.claims.progress(within, ledger.Update{Token: x.token, Progress: progress})[0]
	}
	return p.stopped(x, err)
}

// find asks which execution is open and, where none is, how the latest one ended. With final, one that is found
// nowhere is not there.
func (p *Pipeline) find(ctx context.Context, x *execution, final bool) error {
	if err := p.call(ctx, x, resolving, x.unresolved(), (*target).judgePin); err != nil {
		return err
	}
	return p.call(ctx, x, lastOf, x.unresolved(), func(t *target) { t.judgeLast(final) })
}

// call sends targets through a lane of the execution's action and judges each that came out. It returns the
// first error of one that was not answered.
func (p *Pipeline) call(ctx context.Context, x *execution, v verb, targets []*target, judge func(*target)) error {
	if len(targets) == 0 {
		return nil
	}
	errs := p.lanes.do(ctx, x.handler, x.at, v, targets)
	var why error
	for i, err := range errs {
		switch {
		case x.lostBy() != nil:
			return x.lostBy()
		case err == nil:
			judge(targets[i])
		case why == nil:
			why = err
		}
	}
	return why
}

// leave gives back what an execution holds.
func (p *Pipeline) leave(x *execution) {
	if x.claimed {
		p.claims.letGo(x)
	}
	if x.place != nil {
		x.place.leave()
	}
}

func ids(targets []handlers.Target) []string {
	all := make([]string, len(targets))
	for i, t := range targets {
		all[i] = t.ID
	}
	return all
}
