package awssim

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/iam"
)

// Record is one request, as the simulator served it.
type Record struct {
	// Number counts requests from 1 in the order in which they were answered: of two that
	// overlapped, the second to be answered is the later one.
	Number             uint64
	Service, Operation string
	Account, Region    string
	// Caller is the access key that the request was signed with; "" where it was not.
	Caller string
	// Items are the ids that the request was about, in its order: job ids, message ids, and
	// for messages that have none yet the MD5 of their body.
	Items []string
	// Began and Ended bound the time in the simulator. A request has its effect between the two.
	Began, Ended time.Time
	// Status is the HTTP status; 0 where the connection was cut. Code is AWS's error code.
	Status int
	Code   string
	// FailedItems counts the items that the answer, a 200, reported as failed.
	FailedItems int
	Fault       FaultKind
	// Accesses are the IAM permissions that the request needs, whatever became of it; none where the simulator could
	// not tell what it asks for.
	Accesses []iam.Access
}

// Count sums up the requests of one operation.
type Count struct {
	// Requests is all of them, Items what they were about. The others say how requests ended.
	Requests, Items int64
	OK              int64 // 2xx
	Throttled       int64 // by a quota
	Refused         int64 // other 4xx
	Broken          int64 // 5xx
	Cut             int64 // no answer: lost, unsent, hung, or the client disconnected
	// FailedItems counts items that a 200 reported as failed.
	FailedItems int64
}

// history always counts, and records when asked to.
type history struct {
	mu      sync.Mutex
	full    bool
	number  uint64
	records []Record
	counts  map[string]*Count
}

func (h *history) add(r Record, throttled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.number++
	r.Number = h.number
	name := r.Service + ":" + r.Operation
	c := h.counts[name]
	if c == nil {
		c = &Count{}
		h.counts[name] = c
	}
	c.Requests++
	c.Items += int64(len(r.Items))
	c.FailedItems += int64(r.FailedItems)
	switch {
	case throttled:
		c.Throttled++
	case r.Status == 0:
		c.Cut++
	case r.Status >= 500:
		c.Broken++
	case r.Status >= 400:
		c.Refused++
	default:
		c.OK++
	}
	if h.full {
		h.records = append(h.records, r)
	}
}

// History returns every request so far, in the order of Record.Number; nothing unless
// [Options.History] was set. Requests still under way are not in it.
func (s *Sim) History() []Record {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	return slices.Clone(s.history.records)
}

// Counts returns what was asked of the simulator so far, by "service:Operation".
func (s *Sim) Counts() map[string]Count {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	counts := make(map[string]Count, len(s.history.counts))
	for name := range maps.Keys(s.history.counts) {
		counts[name] = *s.history.counts[name]
	}
	return counts
}
