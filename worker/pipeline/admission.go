package pipeline

import (
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/chance"
)

const (
	// shareOfFree is how many times as many places a lane may hold as are free beside it. A lane alone has three
	// quarters of all, and ten have a tenth each, less what remains free: 3 %.
	shareOfFree = 3
	// promptly is the part of the expected time after which deferred messages come back: one that comes too early is
	// deferred again, for two requests a ten; a lane that runs dry loses its quota.
	promptly = 0.6
	// few places are given without asking how fast the lane is.
	few = 16
	// probes is how many commands of a lane that is down are let in beyond that, each time that a target
	// which had not failed before has found it down: what it holds may fail for ever, and its service be well.
	probes = 4
	// seenFor is for how long that is taken for an outage.
	seenFor = 20 * time.Second
	// deferMost is the longest deferral: SQS delays a message by 15 minutes at most.
	deferMost = 15 * time.Minute
	// outageShare: an outage is expected to last a quarter longer than it has lasted, so that the end of
	// one of two minutes is noticed within half a minute. In one of 20 minutes a message is received 15 times.
	outageShare = 4
	// outageLeast is the shortest deferral for an outage.
	outageLeast = 10 * time.Second
	// targetsEach is how many targets take one place: a target of many takes about a sixteenth of the
	// memory of a message with one.
	targetsEach = 16
)

// admission shares the worker's places among the lanes, so that a backlog of one does not keep the others'
// messages out: a lane may hold three times as many places as are free beside it. One has three quarters
// of them, two have three sevenths each, and some are always free. Its methods are safe for
// concurrent use.
type admission struct {
	lanes    *lanes
	places   float64
	patience time.Duration // a lane holds no more than it is done with in this time

	taken float64 // guarded by lanes.mu
}

// group is the commands that share places in a location: those of an action, its dry runs by themselves,
// so that no command waits behind previews.
type group struct {
	action handlers.Action
	dryRun bool
}

// held is what a group's commands in a location hold. Guarded by lanes.mu.
type held struct {
	places, targets float64
	// turn is when what was deferred last is expected to be served.
	turn     time.Time
	deferred int
	// news is when a target that had not failed before showed last whether the service is down, or it
	// answered; probes is how many have been let in since.
	news   time.Time
	probes int
	early  int // those of a lane that may not be down which were deferred for a short time since
}

// place is what one execution holds of the places; nothing where it is exempt. Its location is in use meanwhile.
type place struct {
	a       *admission
	at      *location // nil: exempt
	group   group
	held    *held
	targets float64
}

// newAdmission shares places. What waits longer than patience leaves in vain.
func newAdmission(places int, patience time.Duration, l *lanes) *admission {
	return &admission{lanes: l, places: float64(places), patience: patience - patience/10}
}

// exempt is the place of an execution that will call nothing. It is not counted.
func (a *admission) exempt() *place { return &place{a: a} }

// placesOf is how many places so many targets take.
func placesOf(targets float64) float64 { return 1 + (targets-1)/targetsEach }

// enter takes the places of a command with so many targets. Where there are none for it, the place is nil,
// and ahead is how long the lane is expected to need for what it holds.
func (a *admission) enter(g group, at handlers.Location, targets int) (_ *place, ahead time.Duration) {
	n := float64(targets)
	a.lanes.mu.Lock()
	defer a.lanes.mu.Unlock()
	loc := a.lanes.enterLocked(at)
	h := loc.groups[g]
	if h == nil {
		h = &held{}
		loc.groups[g] = h
	}
	free := a.places - a.taken
	isBeyondShare := h.places+placesOf(n) > shareOfFree*free
	if h.places > few {
		if o := loc.outlook(g); isBeyondShare || !h.probe(o) {
			ahead = o.ahead
		}
	}
	switch {
	case h.places == 0: // whatever its size, it comes in some time
	case isBeyondShare, ahead > a.patience:
		a.lanes.leaveLocked(loc)
		return nil, ahead
	}
	p := &place{a: a, at: loc, group: g, held: h, targets: n}
	p.countLocked(1)
	return p, ahead
}

// probe reports whether a command is to be let in to show whether the service is down, and counts it.
func (h *held) probe(o outlook) bool {
	if news := later(o.Seen, o.Answered); !h.news.Equal(news) {
		h.news, h.probes, h.early = news, 0, 0
	}
	if o.Lasted == 0 || h.probes == probes {
		return false
	}
	h.probes++
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// deferral is for how long to defer a message that there is no place for. again says that it was deferred
// before: then its turn has come, and it is not sent to the end of those that wait.
func (a *admission) deferral(g group, at handlers.Location, targets int, again bool) time.Duration {
	a.lanes.mu.Lock()
	defer a.lanes.mu.Unlock()
	loc := a.lanes.locations[at]
	if loc == nil || loc.groups[g] == nil {
		return time.Second
	}
	h := loc.groups[g]
	h.deferred++
	o := loc.outlook(g)
	if again && o.Lasted == 0 {
		return a.jittered(min(max(o.ahead/2, time.Second), deferMost), 2)
	}
	return a.wait(h, o, float64(targets))
}

// wait is for how long to defer a message of so many targets: in an outage for a part of its length so far,
// or shortly, where nothing has shown of late that it is one;
// else until half of what the lane holds now, and what was deferred before it, is expected to be
// done, so that the lane does not run dry.
func (a *admission) wait(h *held, o outlook, targets float64) time.Duration {
	if o.Lasted > 0 && (time.Since(o.Seen) > seenFor || o.Answered.After(o.Seen)) && h.early < few {
		h.early++ // a few come back soon, to show whether it is one; a whole backlog must not
		return a.jittered(outageLeast, 2)
	}
	if o.Lasted > 0 {
		return a.jittered(min(max(o.Lasted/outageShare, outageLeast), deferMost), 4)
	}
	now := time.Now()
	if half := now.Add(o.ahead / 2); h.turn.Before(half) {
		h.turn = half
	}
	if h.turn.Sub(now) >= deferMost {
		return a.jittered(deferMost, 4) // nobody knows its turn: it is asked again
	}
	wait := h.turn.Sub(now)
	h.turn = h.turn.Add(min(time.Duration(promptly*targets/max(h.targets, 1)*float64(o.ahead)), deferMost))
	return wait
}

// jittered takes off up to one part of so many, so that what was deferred together does not come back at
// once.
func (a *admission) jittered(d time.Duration, parts int) time.Duration {
	return d - chance.Below(a.lanes.chance, d/time.Duration(parts)+1)
}

// wait is for how long to defer the message of an execution that has waited in vain.
func (p *place) wait() time.Duration {
	if p.at == nil {
		return p.a.jittered(time.Minute, 2)
	}
	p.a.lanes.mu.Lock()
	defer p.a.lanes.mu.Unlock()
	p.held.deferred++
	return p.a.wait(p.held, p.at.outlook(p.group), p.targets)
}

// countLocked adds the place to what is held, or with -1 takes it off.
func (p *place) countLocked(sign float64) {
	p.a.taken += sign * placesOf(p.targets)
	p.held.places += sign * placesOf(p.targets)
	p.held.targets += sign * p.targets
}

// isWanted reports whether the lane has taken all that it may, so that others wait for such a place.
func (p *place) isWanted() bool {
	if p.at == nil {
		return false
	}
	p.a.lanes.mu.Lock()
	defer p.a.lanes.mu.Unlock()
	return p.held.places+placesOf(p.targets) > shareOfFree*(p.a.places-p.a.taken)
}

// leave gives the place back. It must be called once.
func (p *place) leave() {
	if p.at == nil {
		return
	}
	p.a.lanes.mu.Lock()
	defer p.a.lanes.mu.Unlock()
	p.countLocked(-1)
	p.a.lanes.leaveLocked(p.at)
}
