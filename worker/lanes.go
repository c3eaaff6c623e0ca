package worker

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
)

// callTimeout ends an AWS call that is not answered: the request may have arrived.
const callTimeout = 30 * time.Second

// verb is what a lane's calls do for a target. The set is closed.
type verb int

const (
	cancelling verb = iota
	reading
	resolving
	recalling // how what could not be resolved ended
)

func (v verb) String() string {
	switch v {
	case cancelling:
		return "cancel"
	case reading:
		return "read"
	case resolving:
		return "resolve"
	case recalling:
		return "recall"
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

// laneKey names a lane: the calls of one action's verb in one place.
type laneKey struct {
	action handlers.Action
	verb   verb
	at     handlers.Place
}

// quotaKey names an AWS quota: an operation's, or with "*" a service's.
type quotaKey struct {
	service, operation string
	at                 handlers.Place
}

// lanes holds every lane that was asked for, and the quotas that they share.
type lanes struct {
	overrides Quotas
	begin     func(context.Context, [][]*target)
	flowing   func() time.Time // see lane.Options

	mu       sync.Mutex
	lanes    map[laneKey]*lane.Lane[*target]
	quotas   map[quotaKey]*lane.Quota
	draining bool
	closed   bool
}

func newLanes(overrides Quotas, begin func(context.Context, [][]*target), flowing func() time.Time) *lanes {
	return &lanes{
		overrides: overrides, begin: begin, flowing: flowing,
		lanes:  make(map[laneKey]*lane.Lane[*target]),
		quotas: make(map[quotaKey]*lane.Quota),
	}
}

// of returns the lane of an action's verb in a place.
func (l *lanes) of(h handlers.Handler, v verb, at handlers.Place) *lane.Lane[*target] {
	key := laneKey{h.Action(), v, at}
	l.mu.Lock()
	defer l.mu.Unlock()
	if found := l.lanes[key]; found != nil {
		return found
	}
	service := h.Action().Service()
	var made *lane.Lane[*target]
	switch v {
	case cancelling:
		call := h.Cancel()
		made = lane.New(lane.Options[*target]{
			Max: call.Max, Quotas: l.quotasLocked(service, call.Operation, call.Quota, call.ServiceQuota, at),
			Flowing: l.flowing, Run: l.cancel(call, at),
		})
	case reading:
		made = l.readsLocked(service, h.Read(), at)
	case resolving:
		made = l.readsLocked(service, h.(handlers.Resolver).Resolve(), at)
	case recalling:
		made = l.readsLocked(service, h.(handlers.Resolver).Last(), at)
	}
	if l.closed || l.draining && v != reading {
		made.Drain()
	}
	l.lanes[key] = made
	return made
}

func (l *lanes) readsLocked(service string, call handlers.Call[handlers.Reading], at handlers.Place) *lane.Lane[*target] {
	return lane.New(lane.Options[*target]{
		Max: call.Max, PartFilled: 1, Flowing: l.flowing,
		Quotas: l.quotasLocked(service, call.Operation, call.Quota, call.ServiceQuota, at),
		Run:    read(call, at),
	})
}

func (l *lanes) quotasLocked(service, operation string, own, all handlers.Quota, at handlers.Place) []*lane.Quota {
	return []*lane.Quota{
		l.quotaLocked(service, operation, own, at),
		l.quotaLocked(service, "*", all, at),
	}
}

func (l *lanes) quotaLocked(service, operation string, published handlers.Quota, at handlers.Place) *lane.Quota {
	key := quotaKey{service, operation, at}
	if q := l.quotas[key]; q != nil {
		return q
	}
	if set, ok := l.overrides[service+":"+operation]; ok {
		published = set
	}
	q := lane.NewQuota(published.Rate, published.Burst)
	l.quotas[key] = q
	return q
}

// outlook is what the slowest of the lanes of an action in a place has to offer.
type outlook struct {
	lane.Outlook
	wait time.Duration // how long the target asked for would wait
	down time.Duration // for how long the service has been down; 0: it is not
}

func (o outlook) isSoon() bool { return o.down == 0 && o.wait <= soon }

// outlook looks at the lanes of an action in a place, where there is so many times as much to be
// served as waits in them, for a target, or nil for none.
func (l *lanes) outlook(key holdingKey, times float64, t *handlers.Target) outlook {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := outlook{Outlook: lane.Outlook{Pace: math.Inf(1)}}
	for v := cancelling; v <= recalling; v++ {
		found := l.lanes[laneKey{key.action, v, key.at}]
		if found == nil {
			continue
		}
		if t != nil {
			o.wait = max(o.wait, found.Wait(v.key(*t)))
		}
		own := found.Outlook(times)
		o.Pace, o.Round = min(o.Pace, own.Pace), max(o.Round, own.Round)
		o.down = max(o.down, found.Down())
	}
	return o
}

// prompt reports whether the lanes of an action in a place have so many targets in requests within a
// second of having gathered. Where nothing was called yet, one has: of more nobody knows.
func (l *lanes) prompt(key holdingKey, targets float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lanes[laneKey{key.action, cancelling, key.at}] == nil {
		return targets <= 1
	}
	for v := cancelling; v <= recalling; v++ {
		if found := l.lanes[laneKey{key.action, v, key.at}]; found != nil && !found.Prompt(targets) {
			return false
		}
	}
	return true
}

// plenty reports whether some lane has work enough at hand, and will soon have done it: then there
// is no use in holding more.
func (l *lanes) plenty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, each := range l.lanes {
		if each.Plenty() {
			return true
		}
	}
	return false
}

// drain makes what waits for a cancelling call come back. Calls under way go on, and so do reads:
// what AWS took is to be reported.
func (l *lanes) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	for key, each := range l.lanes {
		if key.verb != reading {
			each.Drain()
		}
	}
}

// close ends everything, calls under way too, and waits for them.
func (l *lanes) close() {
	l.drain()
	l.mu.Lock()
	l.closed = true
	all := slices.Collect(maps.Values(l.lanes))
	l.mu.Unlock()
	for _, each := range all {
		each.Close()
	}
}

// cancel makes one cancelling request for the targets of a lane's batch, once the ledger knows.
// That may have taken its time: who may not be called any more is left out.
func (l *lanes) cancel(call handlers.Call[handlers.Answer], at handlers.Place) func(context.Context, string, [][]*target) []lane.Verdict {
	return func(ctx context.Context, _ string, batch [][]*target) []lane.Verdict {
		l.begin(ctx, batch)
		now := time.Now()
		var sent []*target
		for _, same := range batch {
			for _, t := range same {
				if t.halted = t.journey.over(now); t.stands() {
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
		answers := run(ctx, call, at, batch, (*target).stands)
		answered = true
		asked := 0
		for _, a := range answers {
			if a != nil {
				asked++
			}
		}
		verdicts := make([]lane.Verdict, len(batch))
		spent := make(calls)
		for i, same := range batch {
			verdicts[i] = lane.Skipped
			for _, t := range same {
				if t.stands() {
					spent.note(t.journey, answers[i].Err)
					verdicts[i] = t.answered(*answers[i], asked == 1)
				}
			}
		}
		spent.count()
		return verdicts
	}
}

// read makes one reading request for the targets of a lane's batch.
func read(call handlers.Call[handlers.Reading], at handlers.Place) func(context.Context, string, [][]*target) []lane.Verdict {
	return func(ctx context.Context, _ string, batch [][]*target) []lane.Verdict {
		readings := run(ctx, call, at, batch, func(*target) bool { return true })
		verdicts := make([]lane.Verdict, len(batch))
		spent := make(calls)
		for i, same := range batch {
			for _, t := range same {
				spent.note(t.journey, readings[i].Err)
				verdicts[i] = t.wasRead(*readings[i])
			}
		}
		spent.count()
		return verdicts
	}
}

// calls is what one request was to each command that had targets in it: one call, and the worst
// of its targets' errors.
type calls map[*journey]*handlers.Error

func (c calls) note(j *journey, err *handlers.Error) {
	if worst, seen := c[j]; !seen || weight(err) > weight(worst) {
		c[j] = err
	}
}

func (c calls) count() {
	for j, err := range c {
		j.count(err)
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

// run makes one request for one target of each id and returns the result for each id; nil
// for an id whose targets are all left out.
func run[R any](ctx context.Context, call handlers.Call[R], at handlers.Place, batch [][]*target, take func(*target) bool) []*R {
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

// each visits every lane and every quota.
func (l *lanes) each(lanes func(laneKey, lane.Stats), quotas func(quotaKey, float64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, made := range l.lanes {
		lanes(key, made.Stats())
	}
	for key, q := range l.quotas {
		quotas(key, q.Rate())
	}
}
