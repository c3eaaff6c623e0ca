package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/lane"
)

// Reads by id are often scarcer than the cancels they are to prove. Where they are behind, looks for proof are
// answered by listings: one that is read for one command serves all that wait for it.

const (
	// listFrom is how far behind the reads by id must be.
	listFrom = 2 * time.Second
	// pagesMost is how many pages of a listing are read. One that has more shows nothing of what was not found.
	pagesMost = 50
	// listedBefore is by how much AWS's clock may be behind ours, for listings that begin at a time.
	listedBefore = 5 * time.Minute
	// unlistedFor is for how long a listing that fails is not asked again.
	unlistedFor = 10 * time.Minute
	// heldMost is for how long a listing waits at most for another one to show that targets have stopped.
	heldMost = 2 * time.Minute
)

var (
	errFew     = errors.New("so few are read by id in one request")
	errEndless = errors.New("the listing does not end")
	errNoPage  = errors.New("the listing has no page")
)

// listingKey names a listing.
type listingKey struct {
	action handlers.Action
	at     handlers.Location
	key    string
}

// listings are those that looks wait for. The zero value has none. Its methods are safe for concurrent use.
type listings struct {
	mu   sync.Mutex
	open map[listingKey]*listing
}

// listing is read from its first page to its last, again and again while a look waits. Guarded by listings.mu.
type listing struct {
	waiting map[*target]func(error) // answers a look
	running bool                    // it is being read
	failed  bool                    // of late: looks are answered by id
	pages   int                     // that its last reading took
	abandon context.CancelFunc      // ends the reading of it, once no look waits
}

// serves reports whether a look at a target is to be answered by a listing.
func (g *listings) serves(l *lanes, t *target, now time.Time) (key listingKey, ok bool) {
	lister, ok := t.handler.(handlers.Lister)
	if !ok || t.isByID || !t.taken || t.execution.confirm == 0 || !now.Before(t.execution.proofUntil(now)) {
		return key, false // the last look is by id
	}
	key = listingKey{t.handler.Action(), t.execution.at, lister.ListKey(t.Target)}
	if key.key == "" {
		return key, false
	}
	isBehind := sharesQuota(t.handler) || l.behind(key.action, reading, key.at) >= listFrom
	g.mu.Lock()
	defer g.mu.Unlock()
	if reads := g.open[key]; reads != nil {
		return key, !reads.failed && (isBehind || reads.running)
	}
	return key, isBehind
}

// isListed reports whether there is a listing that shows a target.
func isListed(t *target) bool {
	lister, ok := t.handler.(handlers.Lister)
	return ok && lister.ListKey(t.Target) != ""
}

// sharesQuota reports whether reads by id spend the quota of the listing: then those that fill a request are listed.
func sharesQuota(h handlers.Handler) bool {
	return h.(handlers.Lister).List().Operation == h.Read().Operation
}

// each has targets looked for in a listing, and calls ended for each with nil once its reading is there. It returns
// when all have been answered, which they are at the latest when ctx ends, or the drain begins.
func (g *listings) each(ctx context.Context, l *lanes, key listingKey, targets []*target, ended func(i int, err error)) {
	var left sync.WaitGroup
	left.Add(len(targets))
	answered := make(chan struct{})
	g.mu.Lock()
	if g.open == nil {
		g.open = make(map[listingKey]*listing)
	}
	reads := g.open[key]
	if reads == nil {
		reads = &listing{waiting: make(map[*target]func(error))}
		g.open[key] = reads
	}
	for i, t := range targets {
		reads.waiting[t] = func(err error) {
			ended(i, err)
			left.Done()
		}
	}
	isRead := reads.running
	reads.running = true
	g.mu.Unlock()
	if !isRead {
		l.goRead(func() { g.read(l, key, reads) })
	}
	go func() {
		left.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-ctx.Done():
		g.answer(reads, targets, context.Cause(ctx))
	case <-l.draining: // the next worker looks again
		g.answer(reads, targets, lane.ErrDraining)
	}
	<-answered
}

// goRead runs the reading of a listing beside the others. Once everything has ended it does so here: the lane answers at
// once then.
func (l *lanes) goRead(read func()) {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.readers.Go(read)
	}
	l.mu.Unlock()
	if closed {
		read()
	}
}

// answer answers those of the targets that wait.
func (g *listings) answer(reads *listing, targets []*target, err error) {
	for _, t := range targets {
		g.mu.Lock()
		answer := reads.waiting[t]
		delete(reads.waiting, t)
		if len(reads.waiting) == 0 && reads.abandon != nil {
			reads.abandon()
		}
		g.mu.Unlock()
		if answer != nil {
			answer(err)
		}
	}
}

// scan is one reading of a listing, for those that waited when it began.
type scan struct {
	of          target // one of them as it was: its owner may have it back meanwhile
	all         []*target
	byID        map[string][]*target
	oldest      time.Time // when AWS took the first of them
	youngest    time.Time // and the last
	found, more bool      // it has shown one of them; they may be more than a request by id takes
}

// begin returns what waits for a listing; nil, and the listing is closed, where nothing does.
func (g *listings) begin(key listingKey, reads *listing, abandon context.CancelFunc) *scan {
	now := time.Now()
	s := &scan{byID: make(map[string][]*target), oldest: now}
	g.mu.Lock()
	defer g.mu.Unlock()
	for t := range reads.waiting {
		s.all = append(s.all, t)
		s.byID[t.ID] = append(s.byID[t.ID], t)
		at := t.execution.firstAccepted(now)
		if at.Before(s.oldest) {
			s.oldest = at
		}
		if at.After(s.youngest) {
			s.youngest = at
		}
	}
	reads.abandon = abandon
	if len(s.all) == 0 {
		if reads.running, reads.abandon = false, nil; !reads.failed {
			delete(g.open, key)
		}
		return nil
	}
	s.of = target{Target: s.all[0].Target, execution: s.all[0].execution, handler: s.all[0].handler}
	s.more = !sharesQuota(s.of.handler) || len(s.byID) > s.of.handler.Read().Max
	return s
}

// read reads a listing until no look waits for it.
func (g *listings) read(l *lanes, key listingKey, reads *listing) {
	for began := time.Now(); g.readOnce(l, key, reads); began = time.Now() {
		select {
		case <-time.After(lookLeast - time.Since(began)):
		case <-l.closing:
		}
	}
}

// readOnce reads a listing once. It reports false where no look waited for it.
func (g *listings) readOnce(l *lanes, key listingKey, reads *listing) bool {
	ctx, abandon := context.WithCancel(context.Background())
	defer abandon()
	s := g.begin(key, reads, abandon)
	if s == nil {
		return false
	}
	if sharesQuota(s.of.handler) { // those that were called together are looked at together
		l.pause(ctx, pauseTick)
		s = g.begin(key, reads, abandon)
	}
	for held := time.Duration(0); s != nil && s.more && l.isEarly(key, time.Since(s.youngest), g.beside(key), held); held += pauseTick {
		if !l.pause(ctx, pauseTick) {
			break
		}
		s = g.begin(key, reads, abandon)
	}
	if s == nil {
		return false
	}
	if !s.more {
		g.answer(reads, s.all, errFew)
		return true
	}
	age := time.Since(s.youngest)
	err := g.pages(ctx, l, reads, s)
	switch {
	case ctx.Err() != nil: // nobody waits any more, or somebody does anew
	case err != nil:
		if !errors.Is(err, lane.ErrDraining) {
			g.fail(key, reads)
		}
		g.answer(reads, s.all, err)
		late := g.begin(key, reads, abandon) // who came meanwhile
		if late == nil {
			return false
		}
		g.answer(reads, late.all, err)
	default:
		if s.found {
			l.stopped(key, age)
		}
		for _, t := range s.all { // whoever has not been answered was not seen to end
			g.found(reads, t, handlers.Reading{Found: true})
		}
	}
	return true
}

// beside is how many pages there are to the listings of an action in a location that looks wait for.
func (g *listings) beside(key listingKey) (pages int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for other, reads := range g.open {
		if other.action == key.action && other.at == key.at && reads.running {
			pages += max(reads.pages, 1)
		}
	}
	return pages
}

// pause waits, and reports false where ctx or everything ended before.
func (l *lanes) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
	case <-l.closing:
	}
	return false
}

// isEarly reports whether a listing is not to be read yet, of whose targets AWS took the last so long ago: the one of its
// action that was read last, of targets of that age, has shown none. So one listing finds out for all how long targets
// take to stop. It waits no longer than it takes to read all of them.
func (l *lanes) isEarly(key listingKey, age time.Duration, pages int, held time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	loc := l.locations[key.at]
	if loc == nil || loc.lanes[laneKey{key.action, listingVerb}] == nil || isClosed(l.draining) {
		return false
	}
	allowed := loc.lanes[laneKey{key.action, listingVerb}].Allowed()
	if allowed == 0 {
		return false
	}
	page := time.Duration(float64(time.Second) / allowed)
	if age < loc.early[key.action] && held < min(time.Duration(pages)*page, heldMost) {
		return true
	}
	loc.early[key.action] = max(loc.early[key.action], age+max(age/lookShare, page))
	return false
}

// stopped notes that targets of that age were seen to have stopped.
func (l *lanes) stopped(key listingKey, age time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if loc := l.locations[key.at]; loc != nil {
		loc.early[key.action] = age
	}
}

// fail has looks answered by id for some time.
func (g *listings) fail(key listingKey, reads *listing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	reads.failed = true
	time.AfterFunc(unlistedFor, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if reads.failed = false; !reads.running {
			delete(g.open, key)
		}
	})
}

// pages reads the pages of a listing, until all that wait were found.
func (g *listings) pages(ctx context.Context, l *lanes, reads *listing, s *scan) error {
	h := s.of.handler
	page := handlers.Listing{Of: s.of.Target, Since: s.oldest.Add(-listedBefore)}
	for n := range pagesMost {
		g.mu.Lock()
		reads.pages = n + 1
		g.mu.Unlock()
		asked := &target{execution: s.of.execution, handler: h, Target: handlers.Target{
			ID: page.Page, ReadKey: h.(handlers.Lister).ListKey(s.of.Target), Params: page,
		}}
		if err := l.do(ctx, h, s.of.execution.at, listingVerb, []*target{asked})[0]; err != nil {
			return err
		}
		if asked.reading.Err != nil {
			return asked.reading.Err
		}
		shown, ok := asked.reading.Detail.(handlers.Page)
		if !ok {
			return errNoPage
		}
		for id, r := range shown.Readings {
			for _, t := range s.byID[id] {
				g.found(reads, t, r)
				s.found = true
			}
			delete(s.byID, id)
		}
		if shown.Next == "" || len(s.byID) == 0 {
			return nil
		}
		if shown.Next == page.Page {
			return errEndless
		}
		page.Page = shown.Next
	}
	return errEndless
}

// found gives a target that waits its reading.
func (g *listings) found(reads *listing, t *target, r handlers.Reading) {
	g.mu.Lock()
	answer := reads.waiting[t]
	delete(reads.waiting, t)
	g.mu.Unlock()
	if answer != nil {
		t.wasRead(r)
		answer(nil)
	}
}
