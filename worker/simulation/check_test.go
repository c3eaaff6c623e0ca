package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/outcome"
)

// check says what a history violates of "What must always hold". It reads nothing but the
// history.
func check(h *history) []string {
	c := newChecker(h)
	if !h.Settled {
		c.fault("after %s not all is settled: %+v on the queue, no outcome for %v", h.Took, h.Left, unanswered(h))
	}
	for key, events := range c.events {
		c.oneContent(key, events)
	}
	c.burials()
	for _, s := range h.Sent {
		c.order(s)
	}
	c.memory()
	c.escalated()
	c.shut()
	c.stopped()
	c.heard()
	slices.Sort(c.found)
	return slices.Compact(c.found)
}

// event is one publication of an outcome.
type event struct {
	published
	outcome.Event
}

type checker struct {
	*history
	events   map[string][]event // by event id, in the order of their publication
	stored   map[string][]step  // what was completed, by event id
	calls    map[string][]awssim.Record
	denied   map[string]bool            // the items of requests that AWS denied
	deletes  map[string][]awssim.Record // by message
	orders   map[string]order           // those that call, by key
	progress map[string][]step          // what the ledger took of progress, by key
	lives    map[string]life            // by worker
	found    []string
}

func (c *checker) fault(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func newChecker(h *history) *checker {
	c := &checker{
		history: h, events: map[string][]event{}, stored: map[string][]step{},
		calls: map[string][]awssim.Record{}, deletes: map[string][]awssim.Record{},
		orders: map[string]order{}, denied: map[string]bool{}, progress: map[string][]step{}, lives: map[string]life{},
	}
	for _, o := range h.Plan.Commands {
		if o.Kind == plain || o.Kind == expires {
			c.orders[o.ID] = o
		}
	}
	for slot, lives := range h.Plan.Slots {
		for i, l := range lives {
			c.lives[nameOf(slot, i)] = l
		}
	}
	for _, p := range h.Outcomes {
		e, err := outcome.Parse([]byte(p.Body))
		if err != nil {
			c.fault("an outcome cannot be read: %v: %s", err, p.Body)
			continue
		}
		c.events[e.ID] = append(c.events[e.ID], event{p, e})
	}
	for _, s := range h.Steps {
		// What was stored without the worker being answered is seen by the next claim at the latest.
		if s.Outcome != "" && !s.Fenced && !s.Maybe {
			id := outcome.EventID(s.Key)
			c.stored[id] = append(c.stored[id], s)
		}
		if s.Progress != nil && !s.Fenced && !s.Maybe {
			c.progress[s.Key] = append(c.progress[s.Key], s)
		}
	}
	cancels := slices.Collect(maps.Values(calling))
	for _, r := range h.Requests {
		for _, item := range r.Items {
			switch {
			case r.Fault == awssim.Denied && slices.Contains(planes, r.Service):
				c.denied[item] = true
			case r.Operation == "DeleteMessage", r.Operation == "DeleteMessageBatch":
				c.deletes[item] = append(c.deletes[item], r)
			}
			if slices.Contains(cancels, r.Operation) {
				c.calls[item] = append(c.calls[item], r)
			}
		}
	}
	return c
}

// callsOf are the cancelling requests that name a target.
func (c *checker) callsOf(t target) (all []awssim.Record) {
	for _, item := range t.items() {
		all = append(all, c.calls[item]...)
	}
	return all
}

// wasDenied: AWS denied a request that names a target, be it a cancel or a read.
func (c *checker) wasDenied(t target) bool {
	return slices.ContainsFunc(t.items(), func(item string) bool { return c.denied[item] })
}

// carriedOut is whether a request had, or may have had, its effect.
func carriedOut(r awssim.Record) bool {
	return r.Fault.CarriedOut() && (r.Status >= 200 && r.Status < 300 || r.Fault != awssim.NoFault)
}

// oneContent: an event has one content, that which the ledger stored before, and stands for
// something that was sent.
func (c *checker) oneContent(id string, events []event) {
	for _, e := range events[1:] {
		if e.Body != events[0].Body {
			c.fault("event %s of %s was published with two contents:\n\t%s\n\t%s", id, e.Data.CommandID, events[0].Body, e.Body)
		}
	}
	first := events[0]
	stored := c.stored[id]
	switch {
	case len(stored) == 0:
		c.fault("event %s of %s was published and never stored", id, first.Data.CommandID)
	case first.At.Before(stored[0].At):
		c.fault("event %s of %s was published at %s, before it was stored at %s", id, first.Data.CommandID, clock(first.At), clock(stored[0].At))
	case stored[0].Outcome != first.Body:
		c.fault("event %s of %s was published as\n\t%s\nand stored as\n\t%s", id, first.Data.CommandID, first.Body, stored[0].Outcome)
	}
	for _, s := range stored {
		if s.Outcome != stored[0].Outcome {
			c.fault("the ledger stored two outcomes for %s", s.Key)
		}
	}
	for _, s := range c.Sent {
		if slices.Contains(c.ids(s), id) {
			return
		}
	}
	c.fault("event %s of %s belongs to nothing that was sent", id, first.Data.CommandID)
}

func clock(t time.Time) string { return t.Sub(begin).String() }

// ids are the ids that the event of a message may have: that of its command, or its own where
// it is refused.
func (h *history) ids(s sent) []string {
	o := h.Plan.Commands[s.Order]
	own := outcome.EventID("msg:" + s.Message)
	switch o.Kind {
	case garbage:
		return []string{own}
	case dry:
		return []string{outcome.EventID("dry/" + o.ID)}
	case reuse:
		return []string{outcome.EventID(o.ID), own}
	case plain, expires, foreign:
	}
	return []string{outcome.EventID(o.ID)}
}

// unanswered are the messages that no event stands for.
func unanswered(h *history) []string {
	return newChecker(h).unanswered()
}

func (c *checker) unanswered() (missing []string) {
	for _, s := range c.Sent {
		if c.answer(s) == "" && !c.ranOut(c.Plan.Commands[s.Order].Body) {
			missing = append(missing, c.Plan.Commands[s.Order].ID+" "+s.Message)
		}
	}
	return missing
}

// ranOut: SQS moved a message with this body to the dead-letter queue, as workers that died, or replies that
// were lost, had used up its receives.
func (c *checker) ranOut(body string) bool {
	return c.Plan.MaxReceives < fewReceives && slices.ContainsFunc(c.DeadLetters, func(b deadLetter) bool { return b.Body == body && b.Mark == "" })
}

// fewReceives is the maxReceiveCount below which the plan lets receives run out.
const fewReceives = 100

// answer is the id of the event that answers a message, "" for none.
func (c *checker) answer(s sent) string {
	o := c.Plan.Commands[s.Order]
	ids := c.ids(s)
	if o.Kind != reuse {
		if len(c.events[ids[0]]) > 0 {
			return ids[0]
		}
		return ""
	}
	// Of two commands with one id the ledger knows one: the other is answered as a message.
	if winner := c.events[ids[0]]; len(winner) > 0 && strings.Contains(o.Body, strings.Split(winner[0].Data.Targets[0].ID, "/")[0]+`"`) {
		return ids[0]
	}
	if len(c.events[ids[1]]) > 0 {
		return ids[1]
	}
	return ""
}

// burials: what was refused lies in the dead-letter queue, with its mark unless SQS moved it there itself, and
// nothing else does.
func (c *checker) burials() {
	refused := map[string]bool{}
	for _, s := range c.Sent {
		id := c.answer(s)
		if id == "" || c.events[id][0].Data.Status != handlers.Invalid {
			continue
		}
		body := c.Plan.Commands[s.Order].Body
		refused[body] = true
		if !c.ranOut(body) && !slices.ContainsFunc(c.DeadLetters, func(b deadLetter) bool { return b.Body == body && b.Mark != "" }) {
			c.fault("message %s is answered as invalid and not dead-lettered: %s", s.Message, body)
		}
	}
	for _, b := range c.DeadLetters {
		switch {
		case b.Mark == "" && c.Plan.MaxReceives >= fewReceives:
			c.fault("SQS moved a message to the dead-letter queue: %s", b.Body)
		case b.Mark == "", refused[b.Body], c.Plan.MaxReceives < fewReceives && strings.Contains(b.Mark, outcome.CodeInternal):
		default:
			c.fault("dead-lettered for no reason (%s): %s", b.Mark, b.Body)
		}
	}
}

// shut: a worker that could not publish receives nothing until the topic is back.
func (c *checker) shut() {
	const notice = 2 * time.Second
	for _, o := range c.Plan.Outages {
		if o.Service != "sns" {
			continue
		}
		down, up := begin.Add(o.At), begin.Add(o.At+o.For)
		noticed := map[string]time.Time{}
		for _, r := range c.Requests {
			if r.Service == "sns" && r.Fault == awssim.Down && r.Began.After(down) && r.Ended.Before(up) && noticed[r.Caller].IsZero() {
				noticed[r.Caller] = r.Ended
			}
		}
		for _, r := range c.Requests {
			since, ok := noticed[r.Caller]
			if ok && r.Operation == "ReceiveMessage" && r.Began.After(since.Add(notice)) && r.Began.Before(up) {
				c.fault("%s received at %s, and could not publish from %s until %s", r.Caller, clock(r.Began), clock(since), clock(up))
			}
		}
	}
}

// memory: what a worker knew when it released a command is in the ledger, and no call is made
// where the claim that it is made under knew better.
func (c *checker) memory() {
	claims := map[string]map[string][]step{} // by worker and key
	for _, s := range c.Steps {
		if s.Operation == opClaim && s.State == ledger.Claimed && !s.Silent {
			if claims[s.Worker] == nil {
				claims[s.Worker] = map[string][]step{}
			}
			claims[s.Worker][s.Key] = append(claims[s.Worker][s.Key], s)
		}
	}
	for key, o := range c.orders {
		for _, at := range o.Targets {
			if t := c.Plan.Targets[at]; !t.Shared {
				c.known(key, t, claims)
			}
		}
	}
}

// known checks one target that one command alone names.
func (c *checker) known(key string, t target, claims map[string]map[string][]step) {
	calls := c.callsOf(t)
	for _, r := range calls {
		claim, ok := newest(claims[r.Caller][key], r.Began)
		if !ok {
			c.fault("%s: %s was called at %s by %s, which had not claimed it", key, t.ID, clock(r.Began), r.Caller)
			continue
		}
		if over, ok := c.over(claim); ok && r.Began.After(over) {
			c.fault("%s: %s was called at %s by %s, whose claim was over at %s", key, t.ID, clock(r.Began), r.Caller, clock(over))
		}
		if o := c.orders[key]; o.Kind == expires && r.Began.After(o.Expires.Add(time.Second)) && c.lives[r.Caller].Pause == 0 {
			c.fault("%s: %s was called at %s, and its expiresAt is %s", key, t.ID, clock(r.Began), clock(o.Expires))
		}
		if p, ok := progressOf(claim, t); ok && (p.Taken && r.Operation == calling[t.Action] && (stronger[t.Action] != calling[t.Action] || c.orders[key].Escalate == 0) || p.Status != "") {
			c.fault("%s: %s was called at %s by %s, whose claim knew: %+v", key, t.ID, clock(r.Began), r.Caller, p)
		}
	}
	for _, s := range c.Steps {
		if s.Operation != opRelease || s.Key != key || s.Fenced || s.Maybe {
			continue
		}
		claim, _ := newest(claims[s.Worker][key], s.At)
		for _, r := range calls {
			if r.Caller != s.Worker || r.Began.Before(claim.At) || !r.Ended.Before(s.At) {
				continue
			}
			if p, ok := progressOf(s, t); !ok || !p.Begun {
				c.fault("%s: %s was called at %s by %s, which released it at %s without saying so", key, t.ID, clock(r.Began), r.Caller, clock(s.At))
			}
		}
	}
}

// over is when a worker itself ended a claim.
func (c *checker) over(claim step) (time.Time, bool) {
	for _, s := range c.Steps {
		if s.Worker == claim.Worker && s.Key == claim.Key && s.Number == claim.Number && !s.Maybe && !s.Silent && (s.Operation == opRelease || s.Operation == opComplete) {
			return s.At, true
		}
	}
	return time.Time{}, false
}

// newest is the last claim before a time.
func newest(claims []step, at time.Time) (step, bool) {
	for _, s := range slices.Backward(claims) {
		if !s.At.After(at) {
			return s, true
		}
	}
	return step{}, false
}

// progressOf is what a step says of a target, whose handler names it by one of its words.
func progressOf(s step, t target) (ledger.TargetProgress, bool) {
	if s.Progress == nil {
		return ledger.TargetProgress{}, false
	}
	for id, p := range s.Progress.Targets {
		if slices.Contains(strings.Split(id, "/"), t.ID) {
			return p, true
		}
	}
	return ledger.TargetProgress{}, false
}
