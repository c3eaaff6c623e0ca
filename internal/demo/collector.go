package demo

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

// collector collects outcomes as they are published, and checks them. It is safe for concurrent use.
type collector struct {
	mu       sync.Mutex
	byEvent  map[string]*published // by event id
	last     time.Time             // when the last outcome was added
	problems []string

	services map[string]string // of the commands that are expected, by event id
	ended    map[string]int    // expected commands that have an outcome, by service
}

// published is one outcome and how often it was published.
type published struct {
	hash      [sha256.Size]byte
	times     int
	service   string
	commandID string
	verdict   handlers.Verdict
	result
}

// unreadable stands for the service of commands whose action could not be read.
const unreadable = "unknown"

func newCollector() *collector {
	return &collector{
		byEvent: map[string]*published{}, last: time.Now(),
		services: map[string]string{}, ended: map[string]int{},
	}
}

// expect says whose command an event id belongs to. The outcome may be there already.
func (c *collector) expect(eventID, service string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.services[eventID]; again {
		return
	}
	c.services[eventID] = service
	if c.byEvent[eventID] != nil {
		c.ended[service]++
	}
}

// endedOf returns how many expected commands of a service have an outcome.
func (c *collector) endedOf(service string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended[service]
}

// add takes one published outcome.
func (c *collector) add(event string) error {
	e, err := outcome.Parse([]byte(event))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	hash := sha256.Sum256([]byte(event))
	p := c.byEvent[e.ID]
	if p == nil {
		p = &published{hash: hash, service: e.Data.Action.Service(), commandID: e.Data.CommandID, verdict: e.Data.Verdict, result: resultOf(e.Data)}
		if p.service == "" {
			p.service = unreadable
		}
		c.byEvent[e.ID] = p
		if service, known := c.services[e.ID]; known {
			c.ended[service]++
		}
	}
	p.times++
	if p.hash != hash {
		c.problems = append(c.problems, fmt.Sprintf("the outcome of command %s was published with two contents under one event id", p.commandID))
	}
	return nil
}

func resultOf(d outcome.Data) result {
	r := result{status: d.Status}
	if len(d.Targets) > 1 {
		r.targets = make(map[string]handlers.Status, len(d.Targets))
		for _, t := range d.Targets {
			r.targets[t.ID] = t.Status
		}
	}
	return r
}

// count returns how many different outcomes there are, and when the last one was added.
func (c *collector) count() (n int, last time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byEvent), c.last
}

// times returns how often an outcome was published.
func (c *collector) times(eventID string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byEvent[eventID]; p != nil {
		return p.times
	}
	return 0
}

// repeats returns how many publications repeated an earlier one.
func (c *collector) repeats() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.byEvent {
		n += p.times - 1
	}
	return n
}

// statuses returns the number of commands by service and status.
func (c *collector) statuses() map[string]map[handlers.Status]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[string]map[handlers.Status]int{}
	for _, p := range c.byEvent {
		if counts[p.service] == nil {
			counts[p.service] = map[handlers.Status]int{}
		}
		counts[p.service][p.status]++
	}
	return counts
}

// verdicts returns the number of commands by service and verdict.
func (c *collector) verdicts() map[string]map[handlers.Verdict]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[string]map[handlers.Verdict]int{}
	for _, p := range c.byEvent {
		if counts[p.service] == nil {
			counts[p.service] = map[handlers.Verdict]int{}
		}
		counts[p.service][p.verdict]++
	}
	return counts
}

// targets returns the number of targets of the commands that have an outcome, by service.
func (c *collector) targets(commands []command) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[string]int{}
	for i := range commands {
		if p := c.byEvent[commands[i].eventID]; p != nil {
			counts[p.service] += commands[i].targets
		}
	}
	return counts
}

// check compares the outcomes with the commands and returns what is wrong. Call it after the run.
func (c *collector) check(commands []command) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	problems := slices.Clone(c.problems)
	unmatched := maps.Clone(c.byEvent)
	for i := range commands {
		sent := &commands[i]
		p := c.byEvent[sent.eventID]
		if p == nil {
			problems = append(problems, "no outcome for "+sent.body)
			continue
		}
		if _, first := unmatched[sent.eventID]; !first {
			problems = append(problems, "two commands share an event id: "+sent.body)
		}
		delete(unmatched, sent.eventID)
		if err := sent.check(p.result); err != nil {
			problems = append(problems, fmt.Sprintf("the outcome of %s %v", sent.body, err))
		}
	}
	for eventID, p := range unmatched {
		problems = append(problems, fmt.Sprintf("outcome %s (command %s, %s) belongs to no command", eventID, p.commandID, p.status))
	}
	return problems
}
