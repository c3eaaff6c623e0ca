package queue

import (
	"container/heap"
	"sync"
	"time"
)

// away remembers the messages that were released for later and are not visible yet. While they
// are not, their receipt handles stand, and ChangeMessageVisibility can make them visible after
// all: a worker that stops takes back what it has put off, so that others need not wait for it, and
// one that has work for some of them before their time takes those. The zero value is empty.
// Safe for concurrent use.
type away struct {
	mu     sync.Mutex
	byID   map[messageKey]*released
	groups map[any]*backHeap
}

// released is one message that was released for later.
type released struct {
	key      messageKey
	requests *requests
	receipt  string
	until    time.Time
	group    any
}

// awayMost bounds what is remembered; what comes beyond it becomes visible in its own time.
const awayMost = 100_000

// add remembers a message, and forgets those that are visible again.
func (a *away) add(r released) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byID == nil {
		a.byID, a.groups = map[messageKey]*released{}, map[any]*backHeap{}
	}
	now := time.Now()
	for group := range a.groups {
		a.dropLocked(group, now)
	}
	if _, known := a.byID[r.key]; !known && len(a.byID) >= awayMost {
		return
	}
	h := a.groups[r.group]
	if h == nil {
		h = &backHeap{}
		a.groups[r.group] = h
	}
	a.byID[r.key] = &r
	heap.Push(h, &r)
}

// dropLocked forgets those of a group that are visible at a time, and at the head of its heap those
// that have been released again since.
func (a *away) dropLocked(group any, visible time.Time) {
	h := a.groups[group]
	for h.Len() > 0 {
		r := (*h)[0]
		current := a.byID[r.key] == r
		if current && r.until.After(visible) {
			return
		}
		if current {
			delete(a.byID, r.key)
		}
		heap.Pop(h)
	}
	delete(a.groups, group)
}

// take returns those that are away now, and forgets them.
func (a *away) take() []*released {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	var all []*released
	for _, r := range a.byID {
		if now.Before(r.until) {
			all = append(all, r)
		}
	}
	a.byID, a.groups = nil, nil
	return all
}

// takeSome returns up to most of a group that are away for a while yet, the first to come back
// first, and forgets them.
func (a *away) takeSome(group any, most int) []*released {
	a.mu.Lock()
	defer a.mu.Unlock()
	var some []*released
	soonest := time.Now().Add(recallable)
	for len(some) < most && a.groups[group] != nil {
		a.dropLocked(group, soonest)
		if h := a.groups[group]; h != nil {
			r := (*h)[0]
			some = append(some, r)
			delete(a.byID, r.key)
		}
	}
	return some
}

// backHeap orders messages by when they come back.
type backHeap []*released

func (h backHeap) Len() int           { return len(h) }
func (h backHeap) Less(i, j int) bool { return h[i].until.Before(h[j].until) }
func (h backHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push and Pop are for container/heap.
func (h *backHeap) Push(x any) { *h = append(*h, x.(*released)) }

func (h *backHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
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
