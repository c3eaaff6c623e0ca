package simulation

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/eventbridge"
	"github.com/rescindhq/rescind/worker/outcome"
)

// This file is AWS's own events of state changes: how they come in, what others put on their queue, and what may be
// said because of them.

// stateQueue is the name of the queue that events come in on.
const stateQueue = "states"

// events says how AWS's own events come in.
type events struct {
	Delay, LateBy       time.Duration
	Lost, Doubled, Late float64
	Others              []other
}

// other is a message that somebody else puts on the state queue. It proves nothing.
type other struct {
	At   time.Duration
	Kind otherKind
	// Target is an index into the plan's: what the event is like one of.
	Target int
	Body   string
}

// otherKind is why a message on the state queue proves nothing. The set is closed.
type otherKind string

// The kinds. Of each the target is one that was or will be cancelled, and may not have ended.
const (
	otherAccounts otherKind = "another account's"
	otherRegions  otherKind = "another region's"
	otherServices otherKind = "another service's"
	otherTargets  otherKind = "of another target"
	otherHolders  otherKind = "of another cluster" // EMR's
	otherReasons  otherKind = "of another reason"  // Batch's: FAILED, and not for what was asked
	ofBefore      otherKind = "of before the cancel"
	ofNoEnd       otherKind = "of no end"
	ofNoTime      otherKind = "of no time"
	malformed     otherKind = "of a malformed detail"
	noEvent       otherKind = "no event"
)

func otherKinds() []otherKind {
	return []otherKind{
		otherAccounts, otherRegions, otherServices, otherTargets, otherHolders, otherReasons, ofBefore, ofNoEnd, ofNoTime, malformed, noEvent,
	}
}

// reported is, by the service of an action, how its events say what they are of, and their states: those of no end, and of ends.
var reported = map[string]struct {
	source, detailType string
	open, ends         []string
}{
	"batch":         {"aws.batch", "Batch Job State Change", []string{"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "GONE"}, []string{"FAILED", "FAILED", "SUCCEEDED"}},
	"emr":           {"aws.emr", "EMR Step Status Change", []string{"PENDING", "CANCEL_PENDING", "RUNNING", "GONE"}, []string{"CANCELLED", "CANCELLED", "COMPLETED", "FAILED", "INTERRUPTED"}},
	"stepfunctions": {"aws.states", "Step Functions Execution Status Change", []string{"RUNNING", "PENDING_REDRIVE", "GONE"}, []string{"ABORTED", "ABORTED", "SUCCEEDED", "TIMED_OUT"}},
}

// noEvents are messages that are no events of EventBridge's.
var noEvents = []string{
	`FAILED`, `{}`, `[]`, `{"id":`, `{"source":"aws.batch","detail":{"jobId":"batch-1","status":"FAILED"}}`,
	`{"id":"x","action":"batch:CancelJob","parameters":{"jobId":"batch-1"}}`,
	`{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:us-east-1:123456789012:states","Message":"{\"source\":\"aws.batch\",\"detail-type\":\"Batch Job State Change\"}"}`,
}

// eventStages are where a worker may crash as well that listens to events.
var eventStages = []stage{
	{"store events", []string{opPutEvents}, 1},
	{"ask for events", []string{opEvents}, 2},
}

// events has AWS's own events come in, in half of the plans. It draws from a source of its own, so that the others are as they
// would be if there were no events at all.
func (p *planner) events() {
	p.Rand = rand.New(rand.NewPCG(p.Seed, 0xe7e27)) //nolint:gosec // repeatable on purpose
	if p.maybe(0.5) {
		return
	}
	e := &events{LateBy: p.between(time.Second, 90*time.Second)}
	if p.maybe(0.7) {
		e.Delay = p.between(0, 4*time.Second)
	}
	for _, chance := range []*float64{&e.Lost, &e.Doubled, &e.Late} {
		if p.maybe(0.5) {
			*chance = p.Float64() * 0.6
		}
	}
	p.Events = e
	if p.maybe(0.7) { // or little is waited for
		p.StopAfter = p.between(5*time.Second, 20*time.Second)
	}
	for i, o := range p.Commands {
		_, isReported := reported[actionOf(p.plan, o).Service()]
		for isReported && o.Kind.calls() && !o.Calm && (o.Confirm > 0 && p.maybe(0.7) || p.maybe(0.05)) {
			p.other(i)
		}
	}
	for range p.IntN(3) {
		e.Others = append(e.Others, other{At: p.between(0, p.Chaos), Kind: noEvent, Body: pick(p, noEvents...)})
	}
	for slot, lives := range p.Slots {
		for i := range lives {
			l, last := &lives[i], slot == 0 && i == len(lives)-1 // which takes in what is left
			switch {
			case !last && p.maybe(0.15):
				l.Deaf = true
			case l.Crash != nil && p.maybe(0.2):
				at := p.stage(eventStages)
				l.Crash = &point{Stage: at.name, Operations: at.operations, Nth: 1 + p.IntN(2), After: p.maybe(0.5)}
			}
		}
	}
}

// actionOf is the action of an order; "" where that names no target.
func actionOf(p plan, o order) handlers.Action {
	if len(o.Targets) == 0 {
		return ""
	}
	return p.Targets[o.Targets[0]].Action
}

// other draws what somebody else sends because of a command.
func (p *planner) other(command int) {
	o := p.Commands[command]
	at := pick(p, o.Targets...)
	t := p.Targets[at]
	// Most likely while it is waited for: soon after it was sent, and before it may have stopped; or any time later.
	after := p.between(0, p.StopAfter+6*time.Second)
	if p.maybe(0.4) {
		after = p.between(0, max(o.Confirm, time.Minute))
	}
	x := other{At: min(o.At+after, p.Chaos), Target: at, Kind: pick(p, otherKinds()...)}
	switch {
	case t.Action.Service() == "batch" && p.maybe(0.3): // jobs are waited for least
		x.Kind = otherReasons
	case x.Kind == otherHolders && t.Action != cancelSteps, x.Kind == otherReasons && t.Action.Service() != "batch":
		x.Kind = ofBefore
	case x.Kind == noEvent:
		x.Body = pick(p, noEvents...)
	}
	if x.Kind != noEvent {
		x.Body = p.otherEvent(&x, t)
	}
	p.Events.Others = append(p.Events.Others, x)
}

// otherEvent writes an event of a target's end that proves nothing.
func (p *planner) otherEvent(x *other, t target) string {
	of := reported[t.Action.Service()]
	e := struct {
		Version    string   `json:"version"`
		ID         string   `json:"id"`
		DetailType string   `json:"detail-type"`
		Source     string   `json:"source"`
		Account    string   `json:"account"`
		Time       string   `json:"time,omitempty"`
		Region     string   `json:"region"`
		Resources  []string `json:"resources"`
		Detail     any      `json:"detail"`
	}{
		"0", fmt.Sprintf("other-%d", len(p.Events.Others)), of.detailType, of.source, account,
		begin.Add(x.At).Format(time.RFC3339), "us-east-1", []string{}, nil,
	}
	if t.Account != "" {
		e.Account = t.Account
	}
	id, cluster, state, reason := t.ID, t.Group, pick(p, of.ends...), "over budget"
	switch x.Kind {
	case otherAccounts:
		e.Account = pick(p, slices.DeleteFunc([]string{account, "111111111111", "222222222222", "999999999999"}, func(own string) bool { return own == e.Account })...)
	case otherRegions:
		e.Region = pick(p, "eu-west-1", "us-west-2")
	case otherServices:
		others := slices.DeleteFunc([]string{"batch", "emr", "stepfunctions"}, func(own string) bool { return own == t.Action.Service() })
		if e.Source = reported[pick(p, others...)].source; p.maybe(0.5) {
			e.Source, e.DetailType = "aws.ecs", "ECS Task State Change"
		}
	case otherTargets:
		id += "X" // a digit could make it another target of the plan
	case otherHolders:
		cluster += "0"
	case otherReasons:
		state, reason = "FAILED", pick(p, "Host EC2 (instance i-0123456789abcdef0) terminated.", "Essential container in task exited", "")
	case ofBefore:
		e.Time = begin.Add(p.firstSent(x.Target) - p.between(2*time.Second, time.Hour)).Format(time.RFC3339)
	case ofNoEnd:
		state = pick(p, of.open...)
	case ofNoTime:
		e.Time = ""
	case malformed, noEvent:
	}
	switch t.Action.Service() {
	case "batch":
		e.Detail = map[string]any{"jobId": id, "status": state, "statusReason": reason}
	case "emr":
		e.Detail = map[string]any{"stepId": id, "clusterId": cluster, "state": state}
	case "stepfunctions":
		e.Detail = map[string]any{"executionArn": id, "status": state}
	}
	if x.Kind == malformed {
		e.Detail = pick(p, any("FAILED"), any(nil), any([]any{e.Detail}), any(map[string]any{"detail": e.Detail}),
			any(map[string]any{"jobId": []string{id}, "stepId": 7, "executionArn": nil, "status": state, "state": state, "clusterId": cluster}))
	}
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // it is made of texts
	}
	return string(body)
}

// firstSent is when the first command for a target is sent.
func (p *planner) firstSent(target int) time.Duration {
	first := p.Chaos
	for _, o := range p.Commands {
		if slices.Contains(o.Targets, target) {
			first = min(first, o.At)
		}
	}
	return first
}

// rule is what the simulated EventBridge does.
func (e *events) rule() eventbridge.Options {
	if e == nil {
		return eventbridge.Options{}
	}
	return eventbridge.Options{
		Queue: "arn:aws:sqs:us-east-1:" + account + ":" + stateQueue,
		Delay: e.Delay, Lost: e.Lost, Doubled: e.Doubled, Late: e.Late, LateBy: e.LateBy,
	}
}

// others puts on the state queue what others send.
func (w *world) others() {
	if w.plan.Events == nil {
		return
	}
	all := slices.Clone(w.plan.Events.Others)
	slices.SortStableFunc(all, func(a, b other) int { return int(a.At - b.At) })
	for _, x := range all {
		time.Sleep(x.At - time.Since(begin))
		w.must(w.sim.Send(stateQueue, x.Body))
	}
}

// onStates are the messages on the state queue.
func (w *world) onStates() (bodies []string) {
	for _, m := range w.sim.Messages(stateQueue) {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// isHeard: no event is left on the state queue.
func (w *world) isHeard() bool {
	return !slices.ContainsFunc(w.onStates(), func(body string) bool { return !w.plan.Events.isNone(body) })
}

// isNone: a message on the state queue is no event.
func (e *events) isNone(body string) bool {
	return e != nil && slices.ContainsFunc(e.Others, func(x other) bool { return x.Kind == noEvent && x.Body == body })
}

// arrival is an event of the state queue that a receive brought.
type arrival struct {
	At      time.Time
	Message string
	ID      string    // the event's own
	Time    time.Time // the event's own
	Target  string    // whose event it is, by itself
}

// arrivalOf reads a message of the state queue.
func arrivalOf(id, body string) (a arrival, ok bool) {
	var e struct {
		ID     string
		Source string
		Time   time.Time
		Detail json.RawMessage
	}
	var of struct{ JobID, StepID, ExecutionARN string }
	ok = strings.HasPrefix(body, `{"version":"0","id":`) && json.Unmarshal([]byte(body), &e) == nil && strings.HasPrefix(e.Source, "aws.")
	_ = json.Unmarshal(e.Detail, &of) // what others send may be malformed
	return arrival{At: time.Now(), Message: id, ID: e.ID, Time: e.Time, Target: of.JobID + of.StepID + of.ExecutionARN}, ok
}

// heard: everything that is an event is gone from the state queue, and what is none is still there.
func (c *checker) heard() {
	left := map[string]int{}
	for _, body := range c.States {
		left[body]++
		if !c.Plan.Events.isNone(body) {
			c.fault("an event is left on the state queue: %s", body)
		}
	}
	if c.Plan.Events == nil {
		return
	}
	for _, x := range c.Plan.Events.Others {
		if x.Kind != noEvent {
			continue
		}
		if left[x.Body]--; left[x.Body] < 0 {
			c.fault("it is gone from the state queue, and is no event: %s", x.Body)
		}
	}
}

// grain is the grain of the times of events.
const grain = time.Second

// shown: what an event is said to have shown has happened by then, and not before it was asked for.
func (c *checker) shown(o order, e event) {
	if e.Data.ConfirmedBy != outcome.ConfirmedByEvent {
		return
	}
	if c.Plan.Events == nil {
		c.fault("%s: confirmed by an event, and there are none", o.ID)
	}
	if _, ok := reported[e.Data.Action.Service()]; !ok {
		c.fault("%s: confirmed by an event, and %s has none", o.ID, e.Data.Action)
	}
	stopped := 0
	for i, says := range e.Data.Targets {
		if says.Status.Verdict() != handlers.Stopped {
			continue
		}
		t, end := c.Plan.Targets[o.Targets[i]], c.Ends[o.Targets[i]]
		if len(o.Targets) > 1 && (t.Fate == ended || t.Fate == cancelled) {
			continue // EMR says so as it refuses to cancel it
		}
		stopped++
		calls := c.callsOf(t)
		switch {
		case end.At.IsZero(), end.At.After(e.Data.FinishedAt.Add(time.Millisecond)):
			c.fault("%s: an event showed at %s that %s is %s, and it ended at %s", o.ID, clock(e.Data.FinishedAt), t.ID, says.Status, clock(end.At))
		case len(calls) == 0, end.At.Before(calls[0].Began.Add(-grain)):
			c.fault("%s: an event showed that %s is %s, which had ended at %s, before it was called", o.ID, t.ID, says.Status, clock(end.At))
		case says.Status == handlers.Cancelled && (!slices.ContainsFunc(calls, carriedOut) || !end.Stopped):
			c.fault("%s: an event showed that %s is %s, which no cancel has stopped", o.ID, t.ID, says.Status)
		}
	}
	if stopped == 0 {
		c.fault("%s: confirmed by an event, and none of its targets has stopped since it was called", o.ID)
	}
}

// What of events must be met.
func proved(service string) string { return "confirmed by an event: " + service }
func inTime(k otherKind) string {
	return "on the state queue while its target was waited for: " + string(k)
}
func eventThat(is string) string { return "event " + is }

const (
	noEventLeft  = "on the state queue: no event"
	eventLost    = "lost"
	eventDoubled = "doubled"
	eventLate    = "late"
	deaf         = "has no state queue, and others have"
)

func everythingOfEvents() (all []string) {
	for service := range reported {
		all = append(all, proved(service))
	}
	for _, k := range otherKinds() {
		if k != noEvent {
			all = append(all, inTime(k))
		}
	}
	for _, s := range eventStages {
		all = append(all, crashAt(s.name, false), crashAt(s.name, true))
	}
	return append(all, noEventLeft, eventThat(eventLost), eventThat(eventDoubled), eventThat(eventLate), aWorker(deaf))
}

func metByEvents(h *history, all map[string]bool) {
	e := h.Plan.Events
	if e == nil {
		return
	}
	c := newChecker(h)
	for _, published := range c.events {
		if d := published[0].Data; d.ConfirmedBy == outcome.ConfirmedByEvent {
			all[proved(d.Action.Service())] = true
		}
	}
	for _, end := range h.Endings {
		all[aWorker(deaf)] = all[aWorker(deaf)] || c.lives[end.Worker].Deaf && !end.Stopped.IsZero()
	}
	came := map[string]arrival{} // by the event's own id
	of := map[string]bool{}
	for _, a := range h.Arrived {
		of[a.Target] = true
		if first, again := came[a.ID]; !again {
			came[a.ID] = a
		} else if first.Message != a.Message {
			all[eventThat(eventDoubled)] = true
		}
		all[eventThat(eventLate)] = all[eventThat(eventLate)] || e.Late > 0 && !strings.HasPrefix(a.ID, "other-") && a.At.Sub(a.Time) > e.LateBy
	}
	for i, t := range h.Plan.Targets {
		_, isReported := reported[t.Action.Service()]
		all[eventThat(eventLost)] = all[eventThat(eventLost)] || e.Lost > 0 && isReported && h.Ends[i].At.After(begin) && !of[t.ID]
	}
	for i, x := range e.Others {
		all[noEventLeft] = all[noEventLeft] || x.Kind == noEvent
		if a, ok := came[fmt.Sprintf("other-%d", i)]; ok && c.isAwaited(x.Target, a.At) {
			all[inTime(x.Kind)] = true
		}
	}
}

// isAwaited: at a time AWS had taken a cancel of a target, and a command was waiting for its proof.
func (c *checker) isAwaited(target int, at time.Time) bool {
	t := c.Plan.Targets[target]
	return slices.ContainsFunc(c.callsOf(t), func(r awssim.Record) bool { return carriedOut(r) && r.Ended.Before(at) }) &&
		slices.ContainsFunc(c.Plan.Commands, func(o order) bool {
			published := c.events[outcome.EventID(o.ID)]
			return o.Confirm > 0 && slices.Contains(o.Targets, target) && len(published) > 0 && at.Before(published[0].At)
		})
}
