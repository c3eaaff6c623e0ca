package pipeline

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/trouble"
)

// callTimeout ends an AWS call that is not answered: the request may have arrived.
const callTimeout = 30 * time.Second

// verb is what a lane's calls do for a target. The set is closed.
type verb int

const (
	cancelling verb = iota
	reading
	previewing // reading, for a dry run: a lane of its own, that no read of what was called waits behind it
	resolving
	lastOf      // how the last of what could not be resolved ended
	listingVerb // a page of a listing, for those that look for proof
)

func (v verb) String() string {
	switch v {
	case cancelling:
		return "cancel"
	case reading:
		return "read"
	case previewing:
		return "preview"
	case resolving:
		return "resolve"
	case lastOf:
		return "last"
	case listingVerb:
		return "list"
	}
	return "unknown"
}

// key says under which key a target waits in a verb's lane.
func (v verb) key(t handlers.Target) string {
	if v == cancelling {
		return t.Key
	}
	return t.ReadKey
}

// item is what a target is in a verb's lane.
func (v verb) item(t *target) lane.Item[*target] {
	return lane.Item[*target]{Key: v.key(t.Target), ID: t.ID + "\x00" + t.Pin, Value: t}
}

// laneKey names a lane of a location: the calls of one action's verb.
type laneKey struct {
	action handlers.Action
	verb   verb
}

// quotaKey names an AWS quota in a location: an operation's, or with "*" a service's.
type quotaKey struct {
	service, operation string
}

// lanes holds the locations in use, with their lanes.
type lanes struct {
	home    string // the worker's own account
	quota   func(name string, at handlers.Location, published handlers.Quota) handlers.Quota
	begin   func(context.Context, [][]*target)
	trouble *trouble.Peers
	chance  *rand.Rand

	draining chan struct{} // closed when the drain begins
	closing  chan struct{} // closed when everything ends
	listings listings
	readers  sync.WaitGroup // of listings

	mu        sync.Mutex
	locations map[handlers.Location]*location
	swept     int    // how many locations were left by the last sweep
	named     int    // locations that metrics name, beside those of the worker's own account
	others    int    // those that they do not
	gone      totals // of these, what was dropped, until the last is
	closed    bool
}

func newLanes(o Options, begin func(context.Context, [][]*target)) *lanes {
	return &lanes{
		home: o.Home.Account, quota: o.Quota, begin: begin, trouble: o.Trouble, chance: o.Chance,
		draining: make(chan struct{}), closing: make(chan struct{}),
		locations: make(map[handlers.Location]*location), gone: newTotals(),
	}
}

// do sends targets through a lane of an action in a location.
func (l *lanes) do(ctx context.Context, h handlers.Handler, at handlers.Location, v verb, targets []*target) []error {
	made, leave := l.of(h, v, at)
	defer leave()
	return made.Do(ctx, v.items(targets)...)
}

// doEach does the same and calls ended for each target once it is done.
func (l *lanes) doEach(ctx context.Context, h handlers.Handler, at handlers.Location, v verb, targets []*target, ended func(i int, err error)) {
	made, leave := l.of(h, v, at)
	defer leave()
	made.Each(ctx, ended, v.items(targets)...)
}

// items are what targets are in a verb's lane.
func (v verb) items(targets []*target) []lane.Item[*target] {
	items := make([]lane.Item[*target], len(targets))
	for i, t := range targets {
		t.skipped = nil
		items[i] = v.item(t)
	}
	return items
}

// of returns the lane of an action's verb in a location. leave must be called once it is not used any more.
func (l *lanes) of(h handlers.Handler, v verb, at handlers.Location) (_ *lane.Lane[*target], leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	loc := l.enterLocked(at)
	key := laneKey{h.Action(), v}
	if loc.lanes[key] == nil {
		loc.lanes[key] = l.makeLocked(h, v, loc)
	}
	return loc.lanes[key], func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.leaveLocked(loc)
	}
}

func (l *lanes) makeLocked(h handlers.Handler, v verb, loc *location) *lane.Lane[*target] {
	service := h.Action().Service()
	var made *lane.Lane[*target]
	switch v {
	case cancelling:
		call := h.Cancel()
		call.Do = reported(l, service, call, loc.at, trouble.Denies, func(a handlers.Answer) *handlers.Error { return a.Err })
		made = lane.New(lane.Options[*target]{
			Max: call.Max, Quotas: l.quotasLocked(service, call.Operation, call.QuotaAt(loc.at.Region), call.ServiceQuota, loc),
			Gather: call.Gather, Before: l.record, Run: l.cancel(h, call, loc.at), Why: why, Chance: l.chance,
		})
	case reading, previewing:
		made = l.readsLocked(service, h.Read(), loc)
	case resolving:
		made = l.readsLocked(service, h.(handlers.Resolver).Resolve(), loc)
	case listingVerb:
		made = l.readsLocked(service, h.(handlers.Lister).List(), loc)
	case lastOf:
		made = l.readsLocked(service, h.(handlers.Resolver).Last(), loc)
	}
	if l.closed || isClosed(l.draining) && v != reading && v != listingVerb {
		made.Drain()
	}
	return made
}

func (l *lanes) readsLocked(service string, call handlers.Call[handlers.Reading], loc *location) *lane.Lane[*target] {
	call.Do = reported(l, service, call, loc.at, trouble.DeniesReads, func(r handlers.Reading) *handlers.Error { return r.Err })
	return lane.New(lane.Options[*target]{
		Max: call.Max, PartFilled: 1,
		Quotas: l.quotasLocked(service, call.Operation, call.QuotaAt(loc.at.Region), call.ServiceQuota, loc),
		Run:    read(call, loc.at), Why: whyUnread, Chance: l.chance,
	})
}

func (l *lanes) quotasLocked(service, operation string, own, all handlers.Quota, loc *location) []*lane.Quota {
	return []*lane.Quota{
		l.quotaLocked(quotaKey{service, operation}, own, loc),
		l.quotaLocked(quotaKey{service, "*"}, all, loc),
	}
}

func (l *lanes) quotaLocked(key quotaKey, published handlers.Quota, loc *location) *lane.Quota {
	if q := loc.quotas[key]; q != nil {
		return q
	}
	if l.quota != nil {
		published = l.quota(key.service+":"+key.operation, loc.at, published)
	}
	q := lane.NewQuota(published.Rate, published.Burst, l.chance)
	loc.quotas[key] = q
	return q
}

// behind is how long what waits for its turn in a lane is expected to take.
func (l *lanes) behind(action handlers.Action, v verb, at handlers.Location) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if loc := l.locations[at]; loc != nil && loc.lanes[laneKey{action, v}] != nil {
		return loc.lanes[laneKey{action, v}].Behind()
	}
	return 0
}

// outlook is what is to be expected of the slowest of a group's lanes in a location.
type outlook struct {
	ahead time.Duration // that what waits is expected to take; deferMost where the service is unavailable
	lane.Outage
}

// outlook looks at the lanes of a group in a location.
func (loc *location) outlook(g group) (o outlook) {
	verbs := []verb{cancelling, reading, resolving, lastOf}
	if g.dryRun {
		verbs = []verb{previewing, resolving, lastOf}
	}
	for _, v := range verbs {
		if found := loc.lanes[laneKey{g.action, v}]; found != nil {
			o.ahead = max(o.ahead, found.Ahead())
			if outage := found.Outage(); outage.Lasted > o.Lasted {
				o.Outage = outage
			}
		}
	}
	if o.Lasted > 0 {
		o.ahead = deferMost
	}
	return o
}

// drain makes what waits for a cancelling call come back. Calls under way go on, and so do reads:
// what AWS took is to be reported.
func (l *lanes) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !isClosed(l.draining) {
		close(l.draining)
	}
	for _, loc := range l.locations {
		for key, each := range loc.lanes {
			if key.verb != reading && key.verb != listingVerb {
				each.Drain()
			}
		}
	}
}

// close ends everything, calls under way too, and waits for them.
func (l *lanes) close() {
	l.drain()
	l.mu.Lock()
	if !l.closed {
		close(l.closing)
	}
	l.closed = true
	var all []*lane.Lane[*target]
	for _, loc := range l.locations {
		all = slices.AppendSeq(all, maps.Values(loc.lanes))
	}
	l.mu.Unlock()
	// At once: a call of one lane may wait for a read of another.
	var closing sync.WaitGroup
	for _, each := range all {
		closing.Go(each.Close)
	}
	closing.Wait()
	l.readers.Wait()
}

// cancel makes one cancelling request for the targets of a lane's batch, once the ledger knows.
// That may have taken its time: who may not be called any more is left out.
func (l *lanes) cancel(h handlers.Handler, call handlers.Call[handlers.Answer], at handlers.Location) func(context.Context, string, [][]*target) []lane.Verdict {
	return func(ctx context.Context, _ string, batch [][]*target) []lane.Verdict {
		now := time.Now()
		var sent []*target
		for _, same := range batch {
			for _, t := range same {
				if t.skipped = t.execution.over(now); t.isWanted() {
					t.begun = true
					sent = append(sent, t)
				}
			}
		}
		answered := false
		defer func() {
			if !answered { // a panic: nobody knows what was sent before it
				for _, t := range sent {
					t.unsure = true
				}
			}
		}()
		answers := perform(ctx, call, at, batch, (*target).isWanted)
		answered = true
		for i, same := range batch {
			for _, t := range same {
				if t.isWanted() {
					t.answer = *answers[i]
				}
			}
		}
		l.judgeRefusal(ctx, h, at, batch, answers)
		verdicts := make([]lane.Verdict, len(batch))
		spent := make(calls)
		for i, same := range batch {
			verdicts[i] = lane.Skipped
			for _, t := range same {
				if t.isWanted() {
					spent.note(t.execution, answers[i].Err)
					verdicts[i] = t.answered()
				}
			}
		}
		spent.count()
		return verdicts
	}
}

// read makes one reading request for the targets of a lane's batch.
func read(call handlers.Call[handlers.Reading], at handlers.Location) func(context.Context, string, [][]*target) []lane.Verdict {
	return func(ctx context.Context, _ string, batch [][]*target) []lane.Verdict {
		readings := perform(ctx, call, at, batch, func(*target) bool { return true })
		verdicts := make([]lane.Verdict, len(batch))
		spent := make(calls)
		for i, same := range batch {
			for _, t := range same {
				spent.note(t.execution, readings[i].Err)
				verdicts[i] = t.wasRead(*readings[i])
			}
		}
		spent.count()
		return verdicts
	}
}

// calls is what one request was to each command that had targets in it: one call, and the worst
// of its targets' errors.
type calls map[*execution]*handlers.Error

func (c calls) note(x *execution, err *handlers.Error) {
	if worst, seen := c[x]; !seen || weight(err) > weight(worst) {
		c[x] = err
	}
}

func (c calls) count() {
	for x, err := range c {
		x.count(err)
	}
}

// weight orders errors by what they say of the service, and puts none at all last.
func weight(err *handlers.Error) int {
	if err == nil {
		return 0
	}
	switch err.Class {
	case handlers.Unavailable, handlers.Unanswered:
		return 3
	case handlers.Throttled:
		return 2
	case handlers.Refused, handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch,
		handlers.NotAuthorized, handlers.Final:
	}
	return 1
}

// perform makes one request for one target of each id and returns the result for each id; nil
// for an id whose targets are all left out.
func perform[R any](ctx context.Context, call handlers.Call[R], at handlers.Location, batch [][]*target, take func(*target) bool) []*R {
	results := make([]*R, len(batch))
	asked := make([]handlers.Target, 0, len(batch))
	from := make([]int, 0, len(batch))
	for i, same := range batch {
		for _, t := range same {
			if take(t) {
				asked = append(asked, t.Target)
				from = append(from, i)
				break
			}
		}
	}
	if len(asked) == 0 {
		return results
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answers := call.Do(ctx, at, asked)
	for n, i := range from {
		results[i] = &answers[n]
	}
	return results
}

// record writes down that the calls of a batch begin.
func (l *lanes) record(ctx context.Context, _ string, batch [][]*target) { l.begin(ctx, batch) }
