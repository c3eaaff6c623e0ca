package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/defect"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
	"github.com/rescindhq/rescind/worker/queue"
)

const (
	// lastReceives is how many receives must be left for a message to be released once more:
	// with fewer the queue would soon bury it, so its command ends here.
	lastReceives = 10
	// panicsMost is how often a message's handling may panic before the message is buried.
	panicsMost = 3
	// releaseMost bounds the delay after which a message that throttling or an outage held up
	// is taken again.
	releaseMost = 15 * time.Minute
)

// Why a journey stops before its end.
var (
	errPatience = errors.New("held up for longer than RESCIND_PATIENCE")
	errExpired  = errors.New("expiresAt has come")
	errGaveUp   = errors.New("older than RESCIND_GIVE_UP")
)

// road is what every command goes through. Its methods are safe for concurrent use.
type road struct {
	o        Options
	name     string // of this worker
	home     handlers.Place
	giveUps  map[string]time.Duration // by queue URL
	sources  map[string]source        // of strays, by ARN
	handlers map[handlers.Action]handlers.Handler
	decoder  *command.Decoder
	memory   *memory
	lanes    *lanes
	window   *window
	announce func(context.Context, *told) error
	draining atomic.Bool
	inLanes  atomic.Int64 // journeys that wait for a lane
	log      *zap.Logger
}

// handle takes one message down the road. It always returns nil: how the message is to be
// settled is recorded on its lease.
func (r *road) handle(msg *message.Message) error {
	l := queue.LeaseFrom(msg.Context())
	if r.draining.Load() {
		l.Release(0)
		return nil
	}
	r.follow(msg.Context(), l)
	return nil
}

// follow is the road: decode, find room, claim, guard, cancel, judge, complete, publish, settle.
func (r *road) follow(ctx context.Context, l *queue.Lease) {
	c := r.decode(ctx, l)
	if c == nil {
		return
	}
	place := r.room(l, c)
	if place == nil {
		return
	}
	defer place.leave()
	claim, done := r.claim(ctx, l, c, r.entry(l, c, place))
	if done {
		return
	}
	j := r.newJourney(l, c, claim, place)
	defer r.memory.hold(j)()
	defer r.catch(ctx, j)
	if err := r.cancel(ctx, j); err != nil {
		r.stop(ctx, j, err)
		return
	}
	r.end(ctx, j)
}

// decode reads the command; nil: it could not be read, and has ended.
func (r *road) decode(ctx context.Context, l *queue.Lease) *command.Command {
	c, err := r.decoder.Decode([]byte(l.Body), command.Message{
		ID: l.MessageID, TraceParent: aws.ToString(l.Attributes["traceparent"].StringValue),
	})
	var bad *command.Error
	if errors.As(err, &bad) {
		r.invalid(ctx, l, bad)
		return nil
	}
	return c
}

// room takes a place in the window; nil: there is none now, and the message is to be released. What
// calls nothing needs none, nor does what the queue would bury soon.
func (r *road) room(l *queue.Lease, c *command.Command) *stay {
	now := time.Now()
	left, bounded := timeLeft(now, c.ExpiresAt, r.giveUp(l))
	ask := l.MovedFrom == "" && !lastChance(l) && !c.DryRun && r.forbidden(c) == nil && (!bounded || left > 0)
	place, wait := r.window.enter(c, l.SentAt, l.ReceiveCount > 1, ask)
	if place == nil {
		if bounded {
			wait = min(wait, left)
		}
		l.PutOff(wait, holdingKey{c.Action, c.Place()})
	}
	return place
}

// timeLeft is the time until the earliest of times; those that are zero do not count.
func timeLeft(now time.Time, ends ...time.Time) (left time.Duration, bounded bool) {
	for _, end := range ends {
		if !end.IsZero() && (!bounded || end.Sub(now) < left) {
			left, bounded = end.Sub(now), true
		}
	}
	return left, bounded
}

// callFollows reports whether a cancelling call follows the claim at once. Then the claim says so, which
// spares a write. Should the worker die between, whoever resumes finds what it would find had the
// worker died within the call: nobody knows whether that arrived.
func (r *road) callFollows(l *queue.Lease, c *command.Command, place *stay) bool {
	if !place.prompt || l.MovedFrom != "" || c.DryRun || r.forbidden(c) != nil || !c.ExpiresAt.IsZero() {
		return false // once it has expired, whether there was a call decides how it ends
	}
	if left, bounded := timeLeft(time.Now(), r.giveUp(l)); bounded && left < soon {
		return false
	}
	resolver, ok := r.handlers[c.Action].(handlers.Resolver)
	return !ok || !slices.ContainsFunc(c.Targets, resolver.Unresolved)
}

// entry is what the ledger is to know of a command.
func (r *road) entry(l *queue.Lease, c *command.Command, place *stay) *ledger.Entry {
	return &ledger.Entry{
		Key: c.Key(), Fingerprint: c.Fingerprint(), Campaign: c.Campaign, Targets: ids(c.Targets),
		Begun: r.callFollows(l, c, place),
	}
}

// claim claims the command. done says that there is nothing left to do: it had ended before, is
// held by another worker, or ctx ended.
func (r *road) claim(ctx context.Context, l *queue.Lease, c *command.Command, entry *ledger.Entry) (claim *claimed, done bool) {
	if defect.Is(defect.GuardFirst) && r.guardFirst(ctx, l, c) {
		return nil, true
	}
	claim, err := r.memory.claim(ctx, entry)
	if err == nil && claim.State == ledger.Held && r.memory.awaitTwin(ctx, entry.Key) {
		claim, err = r.memory.claim(ctx, entry)
	}
	if errors.Is(err, ledger.ErrUnreadable) {
		r.unreadable(ctx, l, c, err)
		return claim, true
	}
	if err != nil {
		l.Release(0)
		return claim, true
	}
	if claim.State != ledger.Claimed {
		r.notOurs(ctx, l, c, claim)
		return claim, true
	}
	claim.begun = entry.Begun && !claim.Resumed
	return claim, false
}

// notOurs settles the message of a command that could not be claimed.
func (r *road) notOurs(ctx context.Context, l *queue.Lease, c *command.Command, claim *claimed) {
	switch claim.State {
	case ledger.Ended:
		r.again(ctx, l, claim.Outcome)
	case ledger.Held:
		l.Release(untilFree(claim))
	case ledger.OtherContent:
		r.invalid(ctx, l, reused(c))
	case ledger.Claimed:
	}
}

// untilFree is the time until the holder's lease ends, and a second at least: its clock may be
// another one.
func untilFree(held *claimed) time.Duration {
	return max(time.Until(held.Until), time.Second)
}

// cancel brings every target of a command to its end, or says why that has to wait.
func (r *road) cancel(ctx context.Context, j *journey) error {
	within, stop := bounded(ctx, j.patience, time.Time{}, j.giveUp)
	defer stop(nil)
	kept := r.strayed(j.lease)
	if kept == nil {
		kept = r.guard(j, time.Now())
	}
	if kept == nil {
		err := r.call(within, stop, j)
		if kept = r.keptBy(j, err); kept == nil && err != nil {
			return err
		}
	}
	if kept != nil {
		for _, t := range j.targets {
			if !t.ended && !t.begun {
				t.end(kept.answer())
				t.verdict = kept.verdict
			}
		}
	}
	switch {
	case kept != nil: // time may have run out: one last look is taken all the same
		within, stop = bounded(ctx, time.Now().Add(r.o.Patience), time.Time{}, time.Time{})
		defer stop(nil)
	case errors.Is(context.Cause(within), errCrowded): // its call was under way by then, and is looked after
		within, stop = bounded(ctx, j.patience, time.Time{}, j.giveUp)
		defer stop(nil)
	}
	err := r.look(within, j, kept)
	why := r.keptBy(j, err)
	if why == nil && errors.Is(err, errPatience) {
		// The last look has failed too: what ended the calls ends the command, unless that was
		// another matter than time.
		why = kept
		if kept == nil || kept.code != outcome.CodeGaveUp {
			why = r.keptBy(j, j.over(time.Now()))
		}
	}
	if why != nil && why.code == outcome.CodeGaveUp {
		giveUp(j, why)
		return nil
	}
	return err
}

// call sends the targets that AWS has not answered for yet through the lane of the
// action's cancelling call, and judges the answers. stop ends ctx.
func (r *road) call(ctx context.Context, stop context.CancelCauseFunc, j *journey) error {
	if !j.command.ExpiresAt.IsZero() {
		ctx, stop = bounded(ctx, j.patience, j.command.ExpiresAt, j.giveUp)
		defer stop(nil)
	}
	if !lastChance(j.lease) {
		j.place.waits(stop)
		defer j.place.waits(nil)
	}
	if err := r.resolve(ctx, j); err != nil {
		return err
	}
	waiting := make([]*target, 0, len(j.targets))
	for _, t := range j.targets {
		if !t.ended && !t.taken {
			waiting = append(waiting, t)
		}
	}
	return r.through(ctx, j, cancelling, waiting, (*target).judgeAnswer)
}

// resolve finds out which target is meant, where the parameters leave it open, and stores that
// before the first call. Where there is none to cancel, it ends by how the last one did.
func (r *road) resolve(ctx context.Context, j *journey) error {
	resolver, ok := j.handler.(handlers.Resolver)
	if !ok {
		return nil
	}
	open := make([]*target, 0, len(j.targets))
	for _, t := range j.targets {
		if !t.ended && t.Pin == "" && resolver.Unresolved(t.Target) {
			open = append(open, t)
		}
	}
	if len(open) == 0 {
		return nil
	}
	if err := r.through(ctx, j, resolving, open, (*target).judgePin); err != nil {
		return err
	}
	none := slices.DeleteFunc(open, func(t *target) bool { return t.ended || t.Pin != "" })
	if err := r.through(ctx, j, recalling, none, func(t *target) { t.judgeLast(j.handler) }); err != nil {
		return err
	}
	p := j.progress()
	j.stored = p.Targets
	return r.memory.progress(ctx, ledger.Update{Token: j.token, Progress: p})[0]
}

// look reads the state of the targets whose answers did not tell, and judges it.
func (r *road) look(ctx context.Context, j *journey, kept *refusal) error {
	unknown := make([]*target, 0, len(j.targets))
	for _, t := range j.targets {
		if !t.ended {
			unknown = append(unknown, t)
		}
	}
	return r.through(ctx, j, reading, unknown, func(t *target) { t.judgeReading(j.handler, kept) })
}

// through sends targets through a lane of the journey's action and judges each that came out.
// The error is why the first of the others did not.
func (r *road) through(ctx context.Context, j *journey, v verb, targets []*target, judge func(*target)) error {
	if len(targets) == 0 {
		return nil
	}
	left, _ := timeLeft(time.Now(), j.patience, j.command.ExpiresAt, j.giveUp)
	items := make([]lane.Item[*target], len(targets))
	for i, t := range targets {
		t.halted = nil
		items[i] = lane.Item[*target]{Key: v.key(t.Target), ID: t.ID + "\x00" + t.Pin, Hurry: left < soon, Value: t}
	}
	r.inLanes.Add(1)
	errs := r.lanes.of(j.handler, v, j.at).Do(ctx, items...)
	r.inLanes.Add(-1)
	var why error
	for i, err := range errs {
		switch {
		case j.isLost():
			return ledger.ErrFenced
		case err == nil && targets[i].halted != nil:
			if why == nil {
				why = targets[i].halted
			}
		case err == nil:
			judge(targets[i])
		case why == nil:
			why = err
		}
	}
	return why
}

// bounded ends a context when a journey has to stop waiting, with why as its cause: after its
// patience, at its expiry or at its give-up age, where those are not zero.
// It ends sooner with the cause that stop is called with.
func bounded(ctx context.Context, patience, expiry, giveUp time.Time) (_ context.Context, stop context.CancelCauseFunc) {
	at, why := patience, errPatience
	if !giveUp.IsZero() && giveUp.Before(at) {
		at, why = giveUp, errGaveUp
	}
	if !expiry.IsZero() && expiry.Before(at) {
		at, why = expiry, errExpired
	}
	ctx, end := context.WithCancelCause(ctx)
	left := time.Until(at)
	if left <= 0 {
		end(why)
	}
	timer := time.AfterFunc(left, func() { end(why) })
	return ctx, func(cause error) {
		timer.Stop()
		end(cause)
	}
}

// giveUp ends what is not ended: accepted where AWS took it, failed where it did not.
func giveUp(j *journey, why *refusal) {
	for _, t := range j.targets {
		if t.ended {
			continue
		}
		a := why.answer()
		switch {
		case t.taken:
			a.Status = handlers.Accepted
			a.Err.Message = "AWS took the request, and whether it stopped was not seen before " + why.message
		case t.begun:
			a.Err.Message = "no answer shows that AWS took a request before " + why.message
		default:
			a.Err.Message = "no request was made before " + why.message
		}
		if t.refusal != nil {
			a.Err.Message += "; AWS's last refusal was " + t.refusal.Error()
		}
		a.RequestID = t.answer.RequestID
		t.end(a)
	}
}

// end completes, publishes and deletes, in that order.
func (r *road) end(ctx context.Context, j *journey) {
	o, err := r.describe(j, nil)
	if err != nil {
		r.stop(ctx, j, &lane.PanicError{Value: err})
		return
	}
	r.conclude(ctx, j.lease, j.token, o, nil)
}

// conclude stores an outcome, publishes it, and settles the message: buried where there is a
// mark, else deleted. Whatever is not reached is done again when the message comes back.
func (r *road) conclude(ctx context.Context, l *queue.Lease, t ledger.Token, o *told, mark *queue.Mark) {
	if defect.Is(defect.PublishFirst) {
		_ = r.announce(ctx, o)
	}
	if err := r.memory.complete(ctx, t, o.event); err != nil {
		// Fenced: another worker has it, and the message tells us what it stored when it comes
		// back. Otherwise we are being stopped.
		l.Release(time.Second)
		return
	}
	r.report(ctx, l, o, mark)
}

// again publishes a stored outcome once more.
func (r *road) again(ctx context.Context, l *queue.Lease, event []byte) {
	e, err := outcome.Parse(event)
	if err != nil {
		r.log.Error("a stored outcome cannot be read; the message will come back", zap.String("message", l.MessageID), zap.Error(err))
		l.Release(releaseMost)
		return
	}
	r.report(ctx, l, &told{event: event, id: e.ID, data: &e.Data}, markOf(&e.Data))
}

func (r *road) report(ctx context.Context, l *queue.Lease, o *told, mark *queue.Mark) {
	mark = r.markStray(l, o.data, mark)
	if defect.Is(defect.DeleteFirst) && mark == nil {
		go func() { _ = r.announce(context.WithoutCancel(ctx), o) }()
		l.Delete()
		return
	}
	if err := r.announce(ctx, o); err != nil {
		r.log.Error("outcome not published; the message will come back", zap.String("message", l.MessageID), zap.Error(err))
		l.Release(time.Minute)
		return
	}
	if mark != nil {
		l.Bury(*mark)
		return
	}
	l.Delete()
}

// stop releases a message whose command has not come to its end, and stores how far it came.
func (r *road) stop(ctx context.Context, j *journey, why error) {
	var panicked *lane.PanicError
	switch {
	case errors.As(why, &panicked):
		r.panicked(ctx, j, panicked)
		return
	case errors.Is(why, ledger.ErrFenced):
		j.lease.Release(time.Second)
		return
	}
	delay := time.Duration(0)
	crowded := errors.Is(why, errCrowded)
	if crowded || errors.Is(why, errPatience) {
		switch delay = j.place.absence(crowded); {
		case delay > 0:
		case crowded: // its lane has no limit
			delay = soon
		default:
			delay = releaseDelay(j.lease)
		}
		if left, bounded := timeLeft(time.Now(), j.command.ExpiresAt, j.giveUp); bounded {
			delay = max(min(delay, left), 0)
		}
	}
	if err := r.memory.release(ctx, j.token, j.progress()); err != nil {
		r.log.Debug("progress not stored", zap.String("command", j.command.ID), zap.Error(err))
	}
	j.lease.PutOff(delay, j.place.of.key)
}

// lastChance says that the queue would bury the message soon if it were released.
func lastChance(l *queue.Lease) bool {
	return l.MaxReceives > 0 && l.MaxReceives-l.ReceiveCount < lastReceives
}

// releaseDelay doubles with each receive from half a minute, and is drawn from the upper half,
// so that a fleet's messages do not come back at once.
func releaseDelay(l *queue.Lease) time.Duration {
	most := releaseMost
	if n := max(l.ReceiveCount, 1); n < 6 {
		most = min(most, 30*time.Second<<n)
	}
	return most/2 + time.Duration(rand.Int64N(int64(most/2)+1))
}

func ids(targets []handlers.Target) []string {
	all := make([]string, len(targets))
	for i, t := range targets {
		all[i] = t.ID
	}
	return all
}
