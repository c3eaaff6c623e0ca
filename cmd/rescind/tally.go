package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/outcome"
)

// tally gathers outcomes as they are published. Its methods are safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	seen     map[string]*sight // by event id
	last     time.Time         // when an outcome was last seen
	problems []string
}

// sight is one outcome, however often it was published.
type sight struct {
	bytes   [sha256.Size]byte
	times   int
	service string
	ending
	command string
}

// unread is the service of commands that name no action that could be read.
const unread = "(unread)"

func newTally() *tally { return &tally{seen: map[string]*sight{}, last: time.Now()} }

// see takes in one published outcome.
func (t *tally) see(event string) error {
	e, err := outcome.Parse([]byte(event))
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
	sum := sha256.Sum256([]byte(event))
	s := t.seen[e.ID]
	if s == nil {
		s = &sight{bytes: sum, service: e.Data.Action.Service(), ending: endingOf(e.Data), command: e.Data.CommandID}
		if s.service == "" {
			s.service = unread
		}
		t.seen[e.ID] = s
	}
	s.times++
	if s.bytes != sum {
		t.problems = append(t.problems, fmt.Sprintf("the outcome of command %s was published with two contents under one event id", s.command))
	}
	return nil
}

func endingOf(d outcome.Data) ending {
	e := ending{status: d.Status}
	if len(d.Targets) > 1 {
		e.each = make(map[string]handlers.Status, len(d.Targets))
		for _, t := range d.Targets {
			e.each[t.ID] = t.Status
		}
	}
	return e
}

// known is how many commands have outcomes, and when the last outcome was seen.
func (t *tally) known() (n int, last time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.seen), t.last
}

// times is how often an outcome was published so far.
func (t *tally) times(event string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.seen[event]; s != nil {
		return s.times
	}
	return 0
}

// repeats is how many publications told again what was told before.
func (t *tally) repeats() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, s := range t.seen {
		n += s.times - 1
	}
	return n
}

// counts is the number of commands by service and status.
func (t *tally) counts() map[string]map[handlers.Status]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[string]map[handlers.Status]int{}
	for _, s := range t.seen {
		if counts[s.service] == nil {
			counts[s.service] = map[handlers.Status]int{}
		}
		counts[s.service][s.status]++
	}
	return counts
}

// targets is the number of targets by service.
func (t *tally) targets(orders []order) map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[string]int{}
	for i := range orders {
		if s := t.seen[orders[i].event]; s != nil {
			counts[s.service] += orders[i].targets
		}
	}
	return counts
}

// check says everything that is wrong with the outcomes of orders; it is asked once all is done.
func (t *tally) check(orders []order) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	problems := slices.Clone(t.problems)
	strange := maps.Clone(t.seen)
	for i := range orders {
		o := &orders[i]
		s := t.seen[o.event]
		if s == nil {
			problems = append(problems, "no outcome for "+o.body)
			continue
		}
		if _, first := strange[o.event]; !first {
			problems = append(problems, "two commands share an event id: "+o.body)
		}
		delete(strange, o.event)
		if err := o.check(s.ending); err != nil {
			problems = append(problems, fmt.Sprintf("the outcome of %s %v", o.body, err))
		}
	}
	for event, s := range strange {
		problems = append(problems, fmt.Sprintf("outcome %s (command %s, %s) belongs to no command", event, s.command, s.status))
	}
	return problems
}
