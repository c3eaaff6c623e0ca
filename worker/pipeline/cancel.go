package pipeline

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/rescindhq/rescind/worker/lane"
)

// cancel takes every target through its cancelling call and then, where the answer does not tell what became
// of it, through readings of its state, until it has ended or is to be looked at again later. Each goes by itself:
// none waits for another, but for the stronger action. In a dry run a reading takes the place of the call, and what it
// shows is the prediction.
func (p *Pipeline) cancel(ctx context.Context, x *execution) *disposition {
	open := x.open()
	c := &cancellation{
		p: p, x: x, ctx: ctx,
		answers: make(chan answer, len(open)), later: make(map[*target]time.Time),
	}
	var cancel context.CancelFunc
	c.calls, cancel = x.bounded(ctx, true)
	defer cancel()
	c.readWithin()
	defer func() {
		for _, cancel := range c.cancels {
			cancel()
		}
	}()
	for _, t := range open {
		t.pause = firstPause
		if x.barred == nil && !t.isAnswered() {
			c.toCall = append(c.toCall, t)
		} else {
			c.toRead = append(c.toRead, t)
		}
	}
	for c.start(); c.underWay > 0 || len(c.later) > 0 || c.escalate(); c.start() {
		c.wait()
	}
	return c.disposition()
}

// cancellation is the state of the cancel stage for one execution: which targets are to be called, to be read, or
// under way, and which are read again later. It belongs to one goroutine.
type cancellation struct {
	p   *Pipeline
	x   *execution
	ctx context.Context // of the message
	// calls and reads end, with the reason as their cause, when no more of them may be made.
	calls, reads   context.Context
	cancels        []context.CancelFunc // of reads
	toCall, toRead []*target
	later          map[*target]time.Time // when each is to be read again
	underWay       int
	answers        chan answer // buffered for all
	why            error       // the first error that left a target unfinished, or a panic; nil while there is none
}

// answer is what a lane answered for a target.
type answer struct {
	target *target
	verb   verb
	asked  time.Time
	err    error
}

// readWithin bounds the readings from now on. Once calls are barred, or patience is over and the stronger action is due, the
// targets get patience of their own to be read in.
func (c *cancellation) readWithin() {
	if c.x.barred != nil || c.why != nil {
		c.x.patience = time.Now().Add(c.p.o.Patience)
	}
	reads, cancel := c.x.bounded(c.ctx, false)
	c.reads, c.cancels = reads, append(c.cancels, cancel)
}

// start sends what is to be called and read to its lane, together.
func (c *cancellation) start() {
	c.send(c.calls, cancelling, c.toCall)
	if c.x.command.DryRun {
		c.send(c.reads, previewing, c.toRead)
	} else {
		c.read(c.toRead)
	}
	c.toCall, c.toRead = nil, nil
}

// read sends what is to be read to its lane, or to a listing where that answers sooner.
func (c *cancellation) read(targets []*target) {
	var byID []*target
	listed := map[listingKey][]*target{}
	targets = c.fromEvents(targets)
	now := time.Now()
	for _, t := range targets {
		if key, ok := c.p.lanes.listings.serves(c.p.lanes, t, now); ok {
			listed[key] = append(listed[key], t)
		} else {
			t.isByID = false
			byID = append(byID, t)
		}
	}
	c.send(c.reads, reading, byID)
	for key, group := range listed {
		c.underWay += len(group)
		go c.p.lanes.listings.each(c.reads, c.p.lanes, key, group, func(i int, err error) {
			c.answers <- answer{group[i], listingVerb, now, err}
		})
	}
}

func (c *cancellation) send(ctx context.Context, v verb, targets []*target) {
	if len(targets) == 0 {
		return
	}
	asked := time.Now()
	c.underWay += len(targets)
	for _, group := range byAction(targets) {
		// The lane answers each when it has it, and every one of them once ctx ends.
		go c.p.lanes.doEach(ctx, group[0].handler, c.x.at, v, group, func(i int, err error) {
			c.answers <- answer{group[i], v, asked, err}
		})
	}
}

// wait waits for answers, or until a target is to be read again.
func (c *cancellation) wait() {
	var due <-chan time.Time
	var draining, ended <-chan struct{}
	if len(c.later) > 0 { // what is in a lane is answered by it
		next := slices.MinFunc(slices.Collect(maps.Values(c.later)), time.Time.Compare)
		clock := time.NewTimer(max(time.Until(next), 0))
		defer clock.Stop()
		due, draining, ended = clock.C, c.p.lanes.draining, c.reads.Done()
	}
	select {
	case a := <-c.answers:
		c.judge(a)
		for len(c.answers) > 0 { // those that came together go on together
			c.judge(<-c.answers)
		}
	case <-due:
		now := time.Now()
		for t, at := range c.later {
			if !now.Before(at) {
				c.toRead = append(c.toRead, t)
				delete(c.later, t)
			}
		}
	case <-draining:
		c.dropRereads(lane.ErrDraining)
	case <-ended:
		c.dropRereads(context.Cause(c.reads))
	}
}

// dropRereads gives up what was to be read again later.
func (c *cancellation) dropRereads(why error) {
	clear(c.later)
	c.keepReason(why)
}

// keepReason keeps the first reason why a target did not end; a panic comes before others, as it is counted.
func (c *cancellation) keepReason(why error) {
	if _, panicked := errors.AsType[*lane.PanicError](why); c.why == nil || panicked {
		c.why = why
	}
}

// judge decides what follows for a target from its lane's answer. A panic is held back until what is under way has
// been answered: the execution's progress is stored then, and its claim ends.
func (c *cancellation) judge(a answer) {
	c.underWay--
	defer func() {
		if v := recover(); v != nil {
			c.dropRereads(newPanic(v))
		}
	}()
	switch {
	case c.x.lostBy() != nil:
		c.dropRereads(c.x.lostBy())
	case a.verb == cancelling:
		c.judgeCall(a.target, a.err)
	case a.verb == listingVerb && a.err != nil && !errors.Is(a.err, lane.ErrDraining) && c.reads.Err() == nil:
		a.target.isByID = true // the listing failed, or is dearer
		c.toRead = append(c.toRead, a.target)
	case a.err != nil:
		c.keepReason(a.err)
	case a.verb == previewing:
		a.target.preview(c.p.handlers)
	default:
		c.judgeReading(a.target, a.asked)
	}
}

func (c *cancellation) judgeCall(t *target, err error) {
	if err == nil {
		err = t.skipped // the lane left it out: it may not be called any more
	}
	unproven := errors.Is(err, lane.ErrUnproven)
	if err == nil || unproven { // any other error says nothing of a refusal that was not its own
		t.unproven = unproven
	}
	late := c.p.tooLate(c.x, err)
	switch {
	case late != nil:
		if c.x.barred == nil {
			c.x.barred = late
			c.readWithin()
		}
		t.endIfNeverCalled(late)
	case err != nil && !unproven:
		c.keepReason(err)
		return
	default:
		t.judgeAnswer()
	}
	switch {
	case t.ended, t.isDue:
	case t.isAwaited:
		c.look(t)
	default:
		c.toRead = append(c.toRead, t)
	}
}

func (c *cancellation) judgeReading(t *target, asked time.Time) {
	t.judgeReading(c.x.barred, asked)
	switch {
	case t.ended, t.isDue:
	case t.isAwaited:
		c.look(t)
	case t.isBack(c.x):
		c.toCall = append(c.toCall, t)
	default:
		c.later[t] = t.nextLook(time.Now())
	}
}

// disposition is what the stage decides: nil where every target has ended.
func (c *cancellation) disposition() *disposition {
	if lost := c.x.lostBy(); lost != nil {
		c.why = lost
	}
	if why := c.gaveUp(); why != nil {
		c.x.giveUpOn(why)
		return nil
	}
	if c.why == nil && len(c.x.open()) > 0 {
		now := time.Now()
		after := c.untilLook(now)
		c.x.putOff(now.Add(after))
		// By a copy, as many wait for proof, and looks must not use up receives.
		return &disposition{kind: deferring, after: after, byCopy: true, store: true}
	}
	return c.p.stopped(c.x, c.why)
}

// gaveUp is the bar of the give-up age, if the command has reached it and cannot be observed any further: a reading
// was cut by it, or the last look ran out of patience. A command that had expired before counts too, once
// it is that old.
func (c *cancellation) gaveUp() *bar {
	if errors.Is(c.why, errGaveUp) {
		return c.p.tooLate(c.x, c.why)
	}
	if c.x.barred == nil || !errors.Is(c.why, errPatience) {
		return nil
	}
	return c.p.tooLate(c.x, c.x.tooOld(time.Now()))
}
