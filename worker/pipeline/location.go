package pipeline

import (
	"context"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
)

const (
	// idleFor is after how long without a command a location is dropped. A deferred command comes back
	// before, and finds its lanes as it left them.
	idleFor = deferMost + 5*time.Minute
	// dropEvery is the time between two looks at those that are idle.
	dropEvery = time.Minute
	// sweptFrom is from how many locations on those at rest are dropped sooner, as others come.
	sweptFrom = 1000
	// namedMost is how many locations metrics name at once, those of the worker's own account left out.
	namedMost = 200
)

// Other is the account and the region by which metrics call the locations that they do not name.
const Other = "other"

// location is what there is for the commands of one account and region: lanes, the quotas that they share,
// and what the commands of each group hold. Commands name locations, so each one is dropped once
// it is idle: that loses counters and what was learned of quotas, as no calls wait, and the buckets are full
// again. The worker's own account is not dropped, as RESCIND_REGIONS bounds its locations.
// Guarded by lanes.mu.
type location struct {
	at     handlers.Location
	lanes  map[laneKey]*lane.Lane[*target]
	quotas map[quotaKey]*lane.Quota
	groups map[group]*held
	early  map[handlers.Action]time.Duration // see isEarly
	users  int                               // executions and calls that may use it
	used   time.Time                         // when the last of them left
	named  bool                              // by metrics
}

// enterLocked returns a location, and makes it where there is none. leaveLocked must be called once.
func (l *lanes) enterLocked(at handlers.Location) *location {
	loc := l.locations[at]
	if loc == nil {
		if len(l.locations) >= max(sweptFrom, 2*l.swept) {
			l.sweepLocked(time.Now(), 0)
		}
		loc = &location{
			at: at, lanes: make(map[laneKey]*lane.Lane[*target]), quotas: make(map[quotaKey]*lane.Quota),
			groups: make(map[group]*held), early: make(map[handlers.Action]time.Duration), named: at.Account == l.home || l.named < namedMost,
		}
		l.countLocked(loc, 1)
		l.locations[at] = loc
	}
	loc.users++
	return loc
}

func (l *lanes) leaveLocked(loc *location) {
	loc.users--
	loc.used = time.Now()
}

// countLocked counts a location among those that metrics name, or do not, or with -1 no more.
func (l *lanes) countLocked(loc *location, n int) {
	switch {
	case loc.at.Account == l.home:
	case loc.named:
		l.named += n
	default:
		l.others += n
	}
}

// keep drops the locations that are idle, until ctx ends.
func (l *lanes) keep(ctx context.Context) {
	tick := time.NewTicker(dropEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.mu.Lock()
			l.sweepLocked(now, idleFor)
			l.mu.Unlock()
		}
	}
}

// sweepLocked drops the locations that have been idle for so long and from which nothing is gained any more.
// Where commands name many it is also done, whatever their age, when they have doubled since the last time:
// so one that names a new location costs the same however many there are.
func (l *lanes) sweepLocked(now time.Time, idle time.Duration) {
	for _, loc := range l.locations {
		if loc.users == 0 && loc.at.Account != l.home && now.Sub(loc.used) >= idle && loc.isSpent(now, idle > 0) {
			l.dropLocked(loc)
		}
	}
	l.swept = len(l.locations)
}

func (l *lanes) dropLocked(loc *location) {
	delete(l.locations, loc.at)
	l.countLocked(loc, -1)
	for key, each := range loc.lanes {
		each.Close() // nothing is under way
		if !loc.named {
			l.gone.lanes[key] = plus(l.gone.lanes[key], each.Stats())
		}
	}
	for g, h := range loc.groups {
		if !loc.named {
			l.gone.deferred[g.action] += h.deferred
		}
	}
	if l.others == 0 {
		l.gone = newTotals()
	}
}

// isSpent reports whether a location made anew would be like this one, but for the rates that its quotas have
// learned: its buckets are full, nobody's turn is to come, and, unless it has been idle for long, no breaker is
// open.
func (loc *location) isSpent(now time.Time, long bool) bool {
	for _, each := range loc.lanes {
		if !each.IsIdle() || each.Outage().Lasted > 0 && !long {
			return false
		}
	}
	for _, q := range loc.quotas {
		if !q.IsFull() {
			return false
		}
	}
	for _, h := range loc.groups {
		if h.turn.After(now) {
			return false
		}
	}
	return true
}

// totals are the counts of locations that metrics do not name.
type totals struct {
	lanes    map[laneKey]lane.Stats
	deferred map[handlers.Action]int
	places   map[handlers.Action]float64
}

func newTotals() totals {
	return totals{make(map[laneKey]lane.Stats), make(map[handlers.Action]int), make(map[handlers.Action]float64)}
}

// plus adds the counts of two lanes up. What they may do a second is no sum.
func plus(a, b lane.Stats) lane.Stats {
	return lane.Stats{
		Requests: a.Requests + b.Requests, Items: a.Items + b.Items,
		Throttled: a.Throttled + b.Throttled, Unavailable: a.Unavailable + b.Unavailable,
		Waiting: a.Waiting + b.Waiting, InFlight: a.InFlight + b.InFlight,
		Oldest: max(a.Oldest, b.Oldest), Used: a.Used + b.Used, Down: a.Down || b.Down,
	}
}

// LaneKey is how a lane is labelled in metrics.
type LaneKey struct{ Action, Verb, Account, Region string }

func (k LaneKey) String() string { return k.Action + " " + k.Verb + " " + k.Account + " " + k.Region }

// QuotaKey is how a quota is labelled in metrics; Operation is "*" for that of a whole service.
type QuotaKey struct{ Service, Operation, Account, Region string }

// Visitor is what Visit calls.
type Visitor struct {
	Lane  func(LaneKey, lane.Stats)
	Quota func(k QuotaKey, rate float64) // in calls a second, where 0 is no limit
	// Group is given how many places an action's commands in a location hold, and how many messages were
	// deferred because there was none for them.
	Group func(action, account, region string, places, deferred int)
}

// Visit visits lanes, quotas and groups of the worker's own account, and of 200 locations in others at
// most. Those of all further locations come as one, whose account and region are Other, without quotas:
// so the number of visits is bounded whatever commands name. Counts of a location that was
// dropped begin anew when it is made again.
func (p *Pipeline) Visit(v Visitor) {
	l := p.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	others := newTotals()
	for key, s := range l.gone.lanes {
		others.lanes[key] = s
	}
	for action, n := range l.gone.deferred {
		others.deferred[action] = n
	}
	for at, loc := range l.locations {
		for key, each := range loc.lanes {
			if loc.named {
				v.Lane(LaneKey{string(key.action), key.verb.String(), at.Account, at.Region}, each.Stats())
				continue
			}
			others.lanes[key] = plus(others.lanes[key], each.Stats())
		}
		sums := others
		if loc.named {
			sums = newTotals()
		}
		for g, h := range loc.groups {
			sums.deferred[g.action] += h.deferred
			sums.places[g.action] += h.places
		}
		if loc.named {
			sums.visitGroups(v, at)
		}
		for key, q := range loc.quotas {
			if loc.named {
				v.Quota(QuotaKey{key.service, key.operation, at.Account, at.Region}, q.Rate())
			}
		}
	}
	for key, s := range others.lanes {
		v.Lane(LaneKey{string(key.action), key.verb.String(), Other, Other}, s)
	}
	others.visitGroups(v, handlers.Location{Account: Other, Region: Other})
}

func (t totals) visitGroups(v Visitor, at handlers.Location) {
	for action, n := range t.deferred {
		v.Group(string(action), at.Account, at.Region, int(t.places[action]), n)
	}
}
