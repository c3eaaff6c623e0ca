package queue

import (
	"slices"
	"sync"
	"time"
)

// away remembers the messages that were released for later and are not visible yet. While they
// are not, their receipt handles stand, and ChangeMessageVisibility can make them visible after
// all: a worker that stops takes back what it has put off, so that others need not wait for it, and
// one that has work for some of them before their time takes those. The zero value is empty.
// Safe for concurrent use.
type away struct {
	mu    sync.Mutex
	byID  map[messageKey]released
	prune int // the size at which those that are visible again are dropped
}

// released is one message that was released for later.
type released struct {
	requests *requests
	receipt  string
	until    time.Time
	group    any
}

// awayMost bounds what is remembered; what comes beyond it becomes visible in its own time.
const awayMost = 100_000

// add remembers a message.
func (a *away) add(key messageKey, r released) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byID == nil {
		a.byID = map[messageKey]released{}
	}
	if len(a.byID) >= max(a.prune, 1000) {
		now := time.Now()
		for key, r := range a.byID {
			if !now.Before(r.until) {
				delete(a.byID, key)
			}
		}
		a.prune = 2 * len(a.byID)
	}
	if len(a.byID) < awayMost {
		a.byID[key] = r
	}
}

// take returns those that are away now, and forgets them.
func (a *away) take() []released {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	var all []released
	for _, r := range a.byID {
		if now.Before(r.until) {
			all = append(all, r)
		}
	}
	a.byID = nil
	return all
}

// takeSome returns up to most of a group that are away for a while yet, the first to come back
// first, and forgets them.
func (a *away) takeSome(group any, most int) []released {
	a.mu.Lock()
	defer a.mu.Unlock()
	soonest := time.Now().Add(recallable)
	var keys []messageKey
	for key, r := range a.byID {
		if r.group == group && r.until.After(soonest) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(x, y messageKey) int { return a.byID[x].until.Compare(a.byID[y].until) })
	some := make([]released, 0, most)
	for _, key := range keys[:min(most, len(keys))] {
		some = append(some, a.byID[key])
		delete(a.byID, key)
	}
	return some
}

// Recall makes up to most messages visible that were put off in a group, those first whose time
// would come first, and returns how many that may be: what SQS does not let it comes in its own time.
// It returns at once.
func (s *Subscriber) Recall(group any, most int) int {
	some := s.away.takeSome(group, most)
	for _, r := range some {
		r.requests.visibilities.Go(visibility{receipt: r.receipt}, func(error) {})
	}
	return len(some)
}

// recall makes what was released for later visible, as far as SQS lets it: whatever it does not
// becomes visible in its own time.
func (s *Subscriber) recall() {
	var all sync.WaitGroup
	for _, r := range s.away.take() {
		all.Go(func() { _, _ = r.requests.visibilities.Do(s.settling, visibility{receipt: r.receipt}) })
	}
	all.Wait()
}
