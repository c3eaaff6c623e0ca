package simulation

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/worker/outcome"
)

// enough is how many seeds must have met everything: as many as CI runs.
const enough = 300

// Things that a history may have met, by the names that a [tally] counts them under.
func crashAt(stage string, after bool) string {
	if after {
		return "crash after: " + stage
	}
	return "crash before: " + stage
}

func faultOf(service, kind string) string      { return "fault of " + service + ": " + kind }
func outageOf(service string) string           { return "outage of " + service }
func commandOf(k kind) string                  { return "command: " + string(k) }
func commandIn(e envelope) string              { return "envelope: " + string(e) }
func called(action handlers.Action) string     { return "called: " + string(action) }
func targetThat(is fate) string                { return "target: " + string(is) }
func reportedAs(status handlers.Status) string { return "reported as " + string(status) }
func aWorker(does string) string               { return "worker: " + does }
func keysNotHad(w way) string                  { return "credential endpoint " + string(w) }
func failsForEver(action handlers.Action) string {
	return "ended, as its target always fails: " + string(action)
}
func forgedAs(f forgery) string            { return "attribute: " + string(f) }
func escalatedBy(a handlers.Action) string { return "escalated: " + string(a) }
func received(how string) string           { return "received " + how }

// everything is what enough seeds must meet.
func everything() (all []string) {
	for _, s := range slices.Concat(stages, inDynamo) {
		all = append(all, crashAt(s.name, false), crashAt(s.name, true))
	}
	for _, service := range append([]string{"sqs", "sns", "dynamodb"}, planes...) {
		all = append(all, outageOf(service))
		for _, kind := range []awssim.FaultKind{
			awssim.Unsent, awssim.Broken, awssim.Denied, awssim.Doubtful, awssim.Lost,
			awssim.Middlebox, awssim.MiddleboxAfter, awssim.Refused, awssim.NoAnswer, awssim.NoAnswerAfter,
		} {
			all = append(all, faultOf(service, string(kind)))
		}
		all = append(all, faultOf(service, late))
	}
	for _, service := range planes {
		all = append(all, faultOf(service, throttled))
	}
	for _, service := range []string{"sqs", "sns", "batch"} {
		all = append(all, faultOf(service, items))
	}
	for _, kind := range []awssim.FaultKind{awssim.Denied, awssim.Broken, awssim.Middlebox, awssim.Refused, awssim.NoAnswer} {
		all = append(all, faultOf("sts", string(kind)))
	}
	for _, w := range ways() {
		all = append(all, keysNotHad(w))
	}
	for action := range states {
		all = append(all, failsForEver(action))
	}
	for _, what := range []string{befellDown, befellLate, befellUndone, befellUnanswered} {
		all = append(all, faultOf(theLedger, what))
	}
	for _, k := range kinds() {
		all = append(all, commandOf(k))
	}
	for _, e := range envelopes() {
		all = append(all, commandIn(e))
	}
	for _, f := range forgeries() {
		all = append(all, forgedAs(f))
	}
	for action := range states {
		all = append(all, called(action))
	}
	for action := range stronger {
		all = append(all, escalatedBy(action))
	}
	for _, f := range []fate{alive, running, stubborn, ended, cancelled, unknown} {
		all = append(all, targetThat(f))
	}
	for _, s := range handlers.Statuses() {
		if s != handlers.Aborted { // until a campaign can be aborted
			all = append(all, reportedAs(s))
		}
	}
	all = append(all, everythingOfEvents()...)
	return append(all, otherAccount, deniedByAWS, received(twice), aWorker(drains), aWorker(drainsCalmly), aWorker(stands), aWorker(skewed))
}

const (
	late         = "late"
	throttled    = "throttled"
	items        = "items"
	twice        = "twice"
	otherAccount = "called in another account"
	deniedByAWS  = "reported as denied by AWS, not by policy"
	drains       = "drains"
	drainsCalmly = "drains with messages while SQS is sound"
	stands       = "stands still"
	skewed       = "has another clock"
)

// met is what a history has met of everything.
func met(h *history) map[string]bool {
	all := map[string]bool{}
	metByWorkers(h, all)
	metByRequests(h, all)
	metByEvents(h, all)
	for _, o := range h.Plan.Commands {
		all[commandOf(o.Kind)], all[commandIn(o.Envelope)] = true, true
	}
	for _, s := range h.Sent {
		if s.Forged {
			all[forgedAs(h.Plan.Commands[s.Order].Forged)] = true
		}
	}
	for _, t := range h.Plan.Targets {
		all[targetThat(t.Fate)] = true
	}
	for _, p := range h.Outcomes {
		if e, err := outcome.Parse([]byte(p.Body)); err == nil {
			all[reportedAs(e.Data.Status)] = true
			metByTargets(h, &e.Data, all)
			all[deniedByAWS] = all[deniedByAWS] || e.Data.Status == handlers.Denied && e.Data.Verdict == handlers.NotStopped
		}
	}
	for _, w := range ways() {
		all[keysNotHad(w)] = h.Befell[string(w)] > 0
	}
	for what := range h.Befell {
		all[faultOf(theLedger, what)] = true
	}
	return all
}

func metByTargets(h *history, reported *outcome.Data, all map[string]bool) {
	if reported.Escalated && reported.Status == handlers.Cancelled {
		all[escalatedBy(reported.Action)] = true
	}
	for _, t := range h.Plan.Targets {
		if t.Fails && len(reported.Targets) == 1 && reported.Action == t.Action && reported.Code == outcome.CodeGaveUp && slices.Contains(t.items(), reported.Targets[0].ID) {
			all[failsForEver(t.Action)] = true
		}
		if reported.Account == t.Account && t.Account != "" && reported.Status == handlers.Cancelled {
			all[otherAccount] = true
		}
	}
}

func metByWorkers(h *history, all map[string]bool) {
	c := newChecker(h)
	for _, end := range h.Endings {
		switch {
		case end.Crash != nil:
			all[crashAt(end.Crash.Stage, end.Crash.After)] = true
		case !end.Stopped.IsZero():
			all[aWorker(drains)] = true
			if c.calm(end) && slices.ContainsFunc(h.Requests, func(r awssim.Record) bool {
				return r.Caller == end.Worker && r.Operation == "ChangeMessageVisibilityBatch" && r.Began.After(end.Asked) && carriedOut(r)
			}) {
				all[aWorker(drainsCalmly)] = true
			}
		}
		l := c.lives[end.Worker]
		all[aWorker(stands)] = all[aWorker(stands)] || l.Pause > 0 && end.Stopped.Sub(begin) > l.PauseAt
		all[aWorker(skewed)] = all[aWorker(skewed)] || l.Skew != 0 && h.Plan.Ledger == onDynamo && !end.Stopped.IsZero()
	}
}

func metByRequests(h *history, all map[string]bool) {
	lateBy := map[string]time.Duration{}
	for _, r := range h.Plan.Rules {
		for _, service := range append([]string{"sqs", "sns", "dynamodb"}, planes...) {
			if r.Name == service+":*" && r.Late > 0 {
				lateBy[service] = r.LateBy
			}
		}
	}
	moved := map[string][]time.Time{} // when the visibility of a message was changed
	for _, r := range h.Requests {
		if slices.Contains([]string{"ThrottlingException", "TooManyRequestsException", "ThrottledException"}, r.Code) {
			all[faultOf(r.Service, throttled)] = true
		}
		switch {
		case r.Fault == awssim.Down:
			all[outageOf(r.Service)] = true
		case r.Fault != awssim.NoFault:
			all[faultOf(r.Service, string(r.Fault))] = true
		}
		if r.FailedItems > 0 {
			all[faultOf(r.Service, items)] = true
		}
		// A receive takes its time by itself, and who waits for others may give up waiting.
		if by := lateBy[r.Service]; by > 0 && r.Operation != "ReceiveMessage" && r.Ended.Sub(r.Began) >= min(by, 2*time.Second) {
			all[faultOf(r.Service, late)] = true
		}
		for action, operation := range calling {
			if r.Operation == operation && carriedOut(r) {
				all[called(action)] = true
			}
		}
		if r.Operation == "ChangeMessageVisibilityBatch" {
			for _, item := range r.Items {
				moved[item] = append(moved[item], r.Ended)
			}
		}
	}
	last := map[string]time.Time{}
	for _, r := range h.Receipts {
		before, again := last[r.Message]
		last[r.Message] = r.At
		// Sooner than any lease ends.
		if again && r.At.Sub(before) < time.Second && !slices.ContainsFunc(moved[r.Message], func(at time.Time) bool { return !at.Before(before) && !at.After(r.At) }) {
			all[received(twice)] = true
		}
	}
}

// tally counts in how many histories each thing was met. Safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (y *tally) add(h *history) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for what, is := range met(h) {
		if is {
			y.counts[what]++
		}
	}
}

// check says what none of so many seeds has met.
func (y *tally) check(t *testing.T, seeds uint64) {
	t.Helper()
	if seeds < enough {
		t.Skipf("NOT TESTED: that everything which may befall a worker did; -seeds %d tests it", enough)
	}
	all := everything()
	slices.Sort(all)
	for _, what := range all {
		t.Logf("%5d  %s", y.counts[what], what)
		if y.counts[what] == 0 {
			t.Errorf("none of %d seeds has met: %s", seeds, what)
		}
	}
}
