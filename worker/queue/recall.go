package queue

import (
	"sync"
	"time"
)

// away remembers the messages that were released for later and are not visible yet. While they
// are not, their receipt handles stand, and ChangeMessageVisibility can make them visible after
// all: a worker that stops takes back what it has put off, so that others need not wait for it.
// The zero value is empty. Safe for concurrent use.
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

// recall makes what was released for later visible, as far as SQS lets it: whatever it does not
// becomes visible in its own time.
func (s *Subscriber) recall() {
	var all sync.WaitGroup
	for _, r := range s.away.take() {
		all.Go(func() { _, _ = r.requests.visibilities.Do(s.settling, visibility{receipt: r.receipt}) })
	}
	all.Wait()
}
