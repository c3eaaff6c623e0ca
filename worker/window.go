package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
)

// errCrowded is why a journey stops whose place in the window others need.
var errCrowded = errors.New("released to leave room for other lanes")

const (
	// soon is the wait that is not worth a release: it costs two requests for ten messages, and
	// SQS counts in seconds.
	soon = 5 * time.Second
	// An outage is expected to last a quarter longer than it has lasted: so the end of one of two
	// minutes is noticed within half a minute, and each hour of a long one costs four receives.
	outageShare = 4
	// outageLeast is the shortest release for an outage.
	outageLeast = 5 * time.Second
	// checkEvery is how often a window that is nearly full is looked over.
	checkEvery = 100 * time.Millisecond
	// targetsEach is how many targets take one place: a target of many takes about a sixteenth of the
	// memory of a message with one.
	targetsEach = 16
	// supplyEvery is how often the lanes that messages were released for are looked over.
	supplyEvery = time.Second
)

// window shares the places of the in-flight window among the lanes' commands: a message takes one,
// and more where it has many targets. All methods are safe for concurrent use.
//
// Most of it (common) is for whoever comes first. The rest is kept free, so that what stands
// in the queue behind a backlog can still be received: once common is full, a command whose
// lane holds its fair share of it already and will not serve it soon does without. Its message is
// released, before it is claimed, for as long as the lane expects it to wait, so that it comes
// back when the lane has done half of what it holds now, after those released before it.
//
// A lane that has less to do than until its keys have each had a turn, and soon after, has some of
// its messages taken back: it went faster than it was expected to, or its quota is there again.
//
// A lane that was fast when it filled the window, and is no more, gives places up again: where
// the window is nearly full, the youngest that wait in such lanes are released.
//
// So a lane alone has most of the window, whatever its pace, and all of it if it is fast;
// and whatever a lane holds, others wait only while what stands before them is received and
// released.
type window struct {
	lanes    *lanes
	recall   func(holdingKey, int) int
	patience time.Duration
	easy     float64 // a lane that holds less is not asked how fast it is
	common   float64 // places for whoever comes first
	brim     float64 // from here on the window is nearly full

	mu       sync.Mutex
	held     float64 // places taken, those excepted that are being given up
	holdings map[holdingKey]*holding
	checking bool        // a check is due
	supply   *time.Timer // of supplyLanes; nil: there is nothing to be taken back
	closed   bool
}

// holdingKey names the lanes of one action in one place.
type holdingKey struct {
	action handlers.Action
	at     handlers.Place
}

// holding is what the commands of a holdingKey hold of the window. Guarded by window.mu.
type holding struct {
	key      holdingKey
	stays    map[*stay]struct{}
	places   float64 // that they take
	targets  float64 // that they have
	usual    float64 // how many targets a message has, lately
	away     away
	back     time.Time // when the last of what was released comes back
	released int       // for want of room
	recalled int       // before its time
}

// stay is one command's place in the window. Guarded by window.mu.
type stay struct {
	w      *window
	of     *holding
	target handlers.Target // the command's first: its keys stand for all
	n      float64         // how many it has
	prompt bool            // its lanes had no more before them than they have in requests at once
	sentAt time.Time
	evict  context.CancelCauseFunc // while it may be released
}

// newWindow takes recall to take back up to so many of a lane's messages; it returns how many.
func newWindow(places int, patience time.Duration, l *lanes, recall func(holdingKey, int) int) *window {
	all := float64(places)
	common := max(all*3/4, 1)
	return &window{
		lanes: l, recall: recall, patience: patience, easy: all / 64, common: common, brim: (common + all) / 2,
		holdings: make(map[holdingKey]*holding),
	}
}

// enter takes a place for a command. Where there is none for it, the stay is nil, and its message
// is to be released for the time returned. again says that it was released before: then its turn
// has come, and otherwise it stands behind all that are away. Where ask is false, there is a
// place in any case.
func (w *window) enter(c *command.Command, sentAt time.Time, again, ask bool) (*stay, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := holdingKey{c.Action, c.Place()}
	h := w.holdings[key]
	if h == nil {
		h = &holding{key: key, stays: make(map[*stay]struct{}), usual: float64(len(c.Targets)), away: away{made: time.Now()}}
		w.holdings[key] = h
	}
	h.usual += (float64(len(c.Targets)) - h.usual) / 64
	prompt := w.lanes.prompt(key, h.targets+float64(len(c.Targets)))
	if ask && !prompt && (h.places > w.easy || w.held >= w.brim) {
		if wait := w.noRoomLocked(h, c.Targets[0], again); wait > 0 {
			h.released++
			return nil, wait
		}
	}
	s := &stay{w: w, of: h, target: c.Targets[0], n: float64(len(c.Targets)), prompt: prompt, sentAt: sentAt}
	h.stays[s] = struct{}{}
	s.countLocked(1)
	w.watchLocked()
	return s, 0
}

// placesOf is how many places a message with so many targets takes.
func placesOf(targets float64) float64 { return 1 + (targets-1)/targetsEach }

// countLocked adds the stay to what is held, or with -1 takes it off.
func (s *stay) countLocked(sign float64) {
	s.w.held += sign * placesOf(s.n)
	s.of.places += sign * placesOf(s.n)
	s.of.targets += sign * s.n
}

// leave gives the place up. It may be called twice.
func (s *stay) leave() {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.leaveLocked()
}

func (s *stay) leaveLocked() {
	if _, there := s.of.stays[s]; there {
		delete(s.of.stays, s)
		s.countLocked(-1)
	}
}

// waits says how the stay's journey is stopped while it waits for a cancelling call; nil: it
// does not wait any more.
func (s *stay) waits(evict context.CancelCauseFunc) {
	s.w.mu.Lock()
	s.evict = evict
	s.w.mu.Unlock()
}

// absence is for how long to release the message of a stay that was to leave room, or has waited in
// vain; 0: nothing shows what it waited for.
func (s *stay) absence(crowded bool) time.Duration {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	o := s.w.outlookLocked(s.of, &s.target)
	if o.isSoon() && !crowded {
		return 0
	}
	return s.w.absenceLocked(s.of, o)
}

// outlookLocked is what the lanes of a holding offer, with all that is away.
func (w *window) outlookLocked(h *holding, t *handlers.Target) outlook {
	return w.lanes.outlook(h.key, 1+h.awayLocked()/max(h.targets, 1), t)
}

// awayLocked is about how many targets are away.
func (h *holding) awayLocked() float64 { return float64(h.away.count(time.Now())) * h.usual }

// noRoomLocked is for how long to release a message that there is no room for now; 0: there is.
func (w *window) noRoomLocked(h *holding, t handlers.Target, again bool) time.Duration {
	o := w.outlookLocked(h, &t)
	if o.isSoon() {
		return 0
	}
	before := 0.0 // targets that are away
	if !again {
		before = h.awayLocked()
	}
	places := before / h.usual * placesOf(h.usual)
	if w.held+places >= w.common && h.places+places >= w.fairLocked() {
		return w.absenceLocked(h, o)
	}
	// Nor is there where it would run out of patience.
	if o.down == 0 && h.targets+before > o.Pace*w.patience.Seconds()*0.9 {
		return w.absenceLocked(h, o)
	}
	return 0
}

// absence is for how long to release a message: until half of what is held now and all that
// was released before are done, but no longer than releaseMost. It is counted as away for as long.
func (h *holding) absence(o outlook) time.Duration {
	if o.down > 0 {
		// Not counted: nobody knows when its turn is.
		return jittered(min(max(o.down/outageShare, outageLeast), releaseMost), 2)
	}
	now := time.Now()
	turn := (h.awayLocked() + h.targets/2) / o.Pace
	release := jittered(time.Duration(min(turn, releaseMost.Seconds())*float64(time.Second)), 5)
	h.away.add(now.Add(release))
	return release
}

// absenceLocked is absence, and sees to it that the message is taken back where its turn comes
// before.
func (w *window) absenceLocked(h *holding, o outlook) time.Duration {
	wait := h.absence(o)
	if back := time.Now().Add(wait); back.After(h.back) {
		h.back = back
	}
	if w.supply == nil && !w.closed {
		w.supply = time.AfterFunc(supplyEvery, w.supplyLanes)
	}
	return wait
}

// supplyLanes takes messages back for lanes that have too little to do.
func (w *window) supplyLanes() {
	type want struct {
		of *holding
		n  int
	}
	var wants []want
	w.mu.Lock()
	now := time.Now()
	room, some := w.common-w.held, false
	for _, h := range w.holdings {
		if w.closed || !h.back.After(now) {
			continue
		}
		some = true
		o := w.outlookLocked(h, nil)
		// No more than would be let in; and a lane without limit has what it holds done at once.
		enough := o.Pace * min(o.Round+soon, w.patience*9/10).Seconds()
		places := placesOf(h.usual)
		if n := min((enough-h.targets)/h.usual, room/places); o.down == 0 && n >= 1 {
			wants = append(wants, want{h, int(n)})
			room -= n * places
		}
	}
	w.mu.Unlock()
	for i := range wants {
		wants[i].n = w.recall(wants[i].of.key, wants[i].n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, taken := range wants {
		taken.of.away.remove(taken.n, now)
		taken.of.recalled += taken.n
	}
	w.supply = nil
	if some && !w.closed {
		w.supply = time.AfterFunc(supplyEvery, w.supplyLanes)
	}
}

// close ends the taking back.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.supply != nil {
		w.supply.Stop()
	}
}

// jittered takes off up to one part of so many, so that what was released together does not come
// back at once.
func jittered(d time.Duration, parts int) time.Duration {
	return d - rand.N(d/time.Duration(parts)+1)
}

// fairLocked is a lane's share of what is common.
func (w *window) fairLocked() float64 {
	active := 0
	for _, h := range w.holdings {
		if len(h.stays) > 0 {
			active++
		}
	}
	return w.common / float64(max(active, 1))
}

// watchLocked lets the window be looked over soon while it is nearly full.
func (w *window) watchLocked() {
	if w.held >= w.brim && !w.checking {
		w.checking = true
		time.AfterFunc(checkEvery, w.check)
	}
}

// check makes room in a window that is nearly full: what waits in slow lanes beyond their fair
// shares is released, the youngest first.
func (w *window) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checking = false
	if w.held < w.brim {
		return
	}
	fair := w.fairLocked()
	for _, h := range w.holdings {
		if most := min(h.places-fair, w.held-w.common); most > 0 {
			w.evictLocked(h, most)
		}
	}
	w.watchLocked()
}

func (w *window) evictLocked(h *holding, most float64) {
	waiting := make([]*stay, 0, len(h.stays))
	for s := range h.stays {
		if s.evict != nil {
			waiting = append(waiting, s)
		}
	}
	slices.SortFunc(waiting, func(a, b *stay) int { return b.sentAt.Compare(a.sentAt) })
	slow := make(map[string]bool)
	for _, s := range waiting {
		isSlow, known := slow[s.target.Key]
		if !known {
			isSlow = !w.outlookLocked(h, &s.target).isSoon()
			slow[s.target.Key] = isSlow
		}
		if !isSlow {
			continue
		}
		if most -= placesOf(s.n); most < 0 {
			return
		}
		s.leaveLocked()
		h.released++
		s.evict(errCrowded)
	}
}

const (
	awaySpan  = 15 * time.Second
	awaySpans = int64(releaseMost/awaySpan) + 2
)

// away counts messages that were released until their turn, by when they come back.
type away struct {
	made  time.Time
	from  int64 // the span since made that began last
	spans [awaySpans]int
	total int
}

// count is how many are away still.
func (a *away) count(now time.Time) int {
	to := a.span(now)
	for n := int64(0); a.from < to && n < awaySpans; n++ {
		at := a.from % awaySpans
		a.total -= a.spans[at]
		a.spans[at] = 0
		a.from++
	}
	a.from = to
	return a.total
}

func (a *away) span(t time.Time) int64 { return int64(t.Sub(a.made) / awaySpan) }

// add notes one that comes back at a time within releaseMost of when count was last called.
func (a *away) add(back time.Time) {
	a.spans[a.span(back)%awaySpans]++
	a.total++
}

// remove forgets so many that come back before their time: those whose time would come first.
func (a *away) remove(n int, now time.Time) {
	a.count(now)
	for at := a.from; n > 0 && at < a.from+awaySpans; at++ {
		span := &a.spans[at%awaySpans]
		gone := min(n, *span)
		*span -= gone
		a.total -= gone
		n -= gone
	}
}

// each visits every holding.
func (w *window) each(visit func(key holdingKey, held, released, recalled int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, h := range w.holdings {
		visit(key, int(h.places), h.released, h.recalled)
	}
}
