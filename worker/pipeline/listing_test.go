package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/lane"
	"github.com/rescindhq/rescind/worker/ledger"
)

// lister is a handler whose listings a test answers; n counts the pages.
type lister struct {
	handlers.Handler
	quota handlers.Quota
	n     atomic.Int64
	page  func(ctx context.Context, n int, of handlers.Listing) handlers.Reading
}

func (h *lister) ListKey(handlers.Target) string { return "all" }

func (h *lister) List() handlers.Call[handlers.Reading] {
	return handlers.Call[handlers.Reading]{Operation: "List", Max: 1, Quota: h.quota, Do: func(ctx context.Context, _ handlers.Location, targets []handlers.Target) []handlers.Reading {
		return []handlers.Reading{h.page(ctx, int(h.n.Add(1)), targets[0].Params.(handlers.Listing))}
	}}
}

// shows is a page of ends, by id, with what comes after it.
func shows(next string, ids ...string) handlers.Reading {
	page := handlers.Page{Readings: map[string]handlers.Reading{}, Next: next}
	for _, id := range ids {
		page.Readings[id] = handlers.Reading{Found: true, State: "FAILED"}
	}
	return handlers.Reading{Found: true, Detail: page}
}

// awaited is a target that AWS has taken, of a command that asks for proof.
func (y *yard) awaited(h handlers.Handler, id string) *target {
	now := time.Now()
	return &target{
		Target: handlers.Target{ID: id}, handler: h, taken: true,
		execution: &execution{
			command: &command.Command{}, handler: h, at: handlers.Location{Account: own, Region: "us-east-1"}, confirm: time.Hour,
			acceptedAt: now, giveUp: now.Add(72 * time.Hour),
		},
	}
}

// looked looks for targets in a listing, each by itself, and returns their errors.
func (y *yard) looked(ctx context.Context, targets ...*target) []error {
	errs := make([]error, len(targets))
	done := make(chan struct{})
	for i, t := range targets {
		go func() {
			key := listingKey{t.handler.Action(), t.execution.at, "all"}
			y.lanes.listings.each(ctx, y.lanes, key, []*target{t}, func(_ int, err error) { errs[i] = err })
			done <- struct{}{}
		}()
	}
	for range targets {
		<-done
	}
	return errs
}

func (g *listings) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.open)
}

// Whatever a listing says, each look is answered, and nothing is left of it.
func TestListingsAnswerEveryLook(t *testing.T) {
	denied := &handlers.Error{Class: handlers.NotAuthorized, Code: "AccessDenied"}
	for name, row := range map[string]struct {
		page  func(n int) handlers.Reading
		pages int
		err   bool
		state string // that is shown of the target
	}{
		"found at once":                  {func(int) handlers.Reading { return shows("2", "a") }, 1, false, "FAILED"},
		"found after pages with nothing": {func(n int) handlers.Reading { return shows(fmt.Sprint(n), []string{"z", "y", "a"}[n-1]) }, 3, false, "FAILED"},
		"not found":                      {func(int) handlers.Reading { return shows("") }, 1, false, ""},
		"an empty page before it":        {func(n int) handlers.Reading { return shows([]string{"2", ""}[n-1], []string{"", "a"}[n-1]) }, 2, false, "FAILED"},
		"the same token again":           {func(int) handlers.Reading { return shows("same") }, 2, true, ""},
		"no end":                         {func(n int) handlers.Reading { return shows(fmt.Sprint(n)) }, pagesMost, true, ""},
		"no page":                        {func(int) handlers.Reading { return handlers.Reading{Found: true} }, 1, true, ""},
		"a panic":                        {func(int) handlers.Reading { panic("handler") }, 1, true, ""},
		"refused":                        {func(int) handlers.Reading { return handlers.Reading{Err: denied} }, 1, true, ""},
		"a state that nobody knows is a look": {func(int) handlers.Reading {
			return handlers.Reading{Found: true, Detail: handlers.Page{Readings: map[string]handlers.Reading{"a": {Found: true, State: "NEW"}}}}
		}, 1, false, "NEW"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard()
				defer y.Close()
				h := &lister{Handler: y.handler, page: func(_ context.Context, n int, _ handlers.Listing) handlers.Reading { return row.page(n) }}
				a := y.awaited(h, "a")
				err := y.looked(t.Context(), a)[0]
				if (err != nil) != row.err || a.reading.State != row.state || int(h.n.Load()) != row.pages {
					t.Errorf("%v after %d pages, and it is %q", err, h.n.Load(), a.reading.State)
				}
				time.Sleep(2 * lookLeast)
				if row.err != (y.lanes.listings.count() == 1) { // one that failed is remembered
					t.Errorf("%d listings are left", y.lanes.listings.count())
				}
				if _, served := y.lanes.listings.serves(y.lanes, a, time.Now()); row.err && served {
					t.Error("a listing that failed serves looks")
				}
				time.Sleep(unlistedFor)
				if n := y.lanes.listings.count(); n != 0 {
					t.Errorf("after ten minutes %d listings are left", n)
				}
			})
		})
	}
}

// A listing that does not answer is left when nobody waits any more: an outage leaves nothing behind.
func TestAListingThatNobodyWaitsForIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard()
		defer y.Close()
		down := handlers.Reading{Err: &handlers.Error{Class: handlers.Unavailable, Code: "503"}}
		h := &lister{Handler: y.handler, page: func(context.Context, int, handlers.Listing) handlers.Reading { return down }}
		ctx, stop := context.WithTimeoutCause(t.Context(), time.Minute, errPatience)
		defer stop()
		if err := y.looked(ctx, y.awaited(h, "a"))[0]; !errors.Is(err, errPatience) {
			t.Errorf("it ended with %v", err)
		}
		time.Sleep(time.Minute)
		n := h.n.Load()
		time.Sleep(time.Hour)
		if h.n.Load() != n || y.lanes.listings.count() != 0 {
			t.Errorf("%d pages more, and %d listings are left", h.n.Load()-n, y.lanes.listings.count())
		}
	})
}

// Who looks is answered when everything ends, in the middle of a page and after it.
func TestListingsEndWithTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard()
		h := &lister{Handler: y.handler, page: func(ctx context.Context, _ int, _ handlers.Listing) handlers.Reading {
			<-ctx.Done()
			return handlers.Reading{Err: &handlers.Error{Class: handlers.Unanswered, Code: "none"}}
		}}
		time.AfterFunc(time.Second, y.Close)
		if err := y.looked(t.Context(), y.awaited(h, "a"))[0]; !errors.Is(err, lane.ErrDraining) {
			t.Errorf("it ended with %v", err)
		}
		y.lanes.readers.Wait()
		if err := y.looked(t.Context(), y.awaited(h, "b"))[0]; !errors.Is(err, lane.ErrDraining) {
			t.Errorf("what came later ended with %v", err)
		}
	})
}

// A target may be changed by its owner while the listing that has shown it is read on for others.
func TestAListingKeepsNoTargetOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard()
		defer y.Close()
		h := &lister{Handler: y.handler}
		h.page = func(_ context.Context, n int, _ handlers.Listing) handlers.Reading {
			time.Sleep(time.Second)
			return shows([]string{"2", "3", ""}[n-1], []string{"a", "", "b"}[n-1])
		}
		a, b := y.awaited(h, "a"), y.awaited(h, "b")
		done := make(chan error)
		go func() {
			err := y.looked(t.Context(), a)[0]
			a.Target, a.handler = handlers.Target{ID: "other"}, nil // as strengthen does
			done <- err
		}()
		synctest.Wait()
		if errs := y.looked(t.Context(), b); errs[0] != nil || b.reading.State != "FAILED" {
			t.Errorf("%v, and b is %q", errs, b.reading.State)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// One of those that wait finds out for all how long targets take to stop, and nobody waits for it without an end.
func TestListingsWaitForTheFirstToFindSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard()
		defer y.Close()
		h := &lister{Handler: y.handler, quota: handlers.Quota{Rate: 0.5, Burst: 10}}
		_, leave := y.lanes.of(h, listingVerb, handlers.Location{Account: own, Region: "us-east-1"})
		leave()
		key := listingKey{h.Action(), handlers.Location{Account: own, Region: "us-east-1"}, "all"}
		if y.lanes.isEarly(key, time.Second, 20, 0) {
			t.Error("the first waits")
		}
		if !y.lanes.isEarly(key, time.Second, 20, 0) || !y.lanes.isEarly(key, time.Second, 20, 39*time.Second) || y.lanes.isEarly(key, time.Second, 20, 40*time.Second) {
			t.Error("those after it do not wait for as long as it takes to read 20 pages")
		}
		if y.lanes.isEarly(key, 3*time.Second, 20, 0) || !y.lanes.isEarly(key, 3*time.Second, 20, 0) {
			t.Error("the next one is not that of older targets")
		}
		y.lanes.stopped(key, 3*time.Second)
		if y.lanes.isEarly(key, 3*time.Second, 20, 0) {
			t.Error("they wait though targets of that age were seen to have stopped")
		}
		y.lanes.drain()
		if y.lanes.isEarly(key, 0, 20, 0) {
			t.Error("they wait while the worker drains")
		}
	})
}

// The last look is by id, whatever waits.
func TestTheLastLookIsByID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard()
		defer y.Close()
		a := y.awaited(&lister{Handler: y.handler}, "a")
		key := listingKey{a.handler.Action(), a.execution.at, "all"}
		y.lanes.listings.open = map[listingKey]*listing{key: {running: true}}
		if _, served := y.lanes.listings.serves(y.lanes, a, time.Now().Add(59*time.Minute)); !served {
			t.Error("a look before the last is by id")
		}
		if _, served := y.lanes.listings.serves(y.lanes, a, time.Now().Add(time.Hour)); served {
			t.Error("the last look is not by id")
		}
	})
}

// What another version of the worker has begun, or another clock has written, is taken in.
func TestAResumedEscalationOfAnotherVersion(t *testing.T) {
	y := newYard()
	defer y.Close()
	now := time.Now()
	x := &execution{handler: y.handler, command: &command.Command{Targets: []handlers.Target{{ID: "job"}}}}
	x.begin(&claimed{Claim: &ledger.Claim{Progress: ledger.Progress{
		Begun: true, AcceptedAt: now.Add(time.Hour), EscalatedAt: now,
		Targets: map[string]ledger.TargetProgress{"job": {Begun: true, Taken: true, Escalation: ledger.EscalationBegun}},
	}}}, now, map[handlers.Action]handlers.Handler{y.handler.Action(): y.handler}) // without TerminateJob
	if job := x.targets[0]; job.handler != y.handler || !job.isAnswered() {
		t.Errorf("%s is called again", job.handler.Action())
	}
	if x.acceptedAt.After(time.Now()) {
		t.Error("it was accepted in the future")
	}
	if x.escalated() == "" {
		t.Error("it was not escalated")
	}
	x.handler = struct{ handlers.Handler }{y.handler} // no Escalator
	if x.escalated() == "" || x.targets[0].strengthen(nil) {
		t.Error("it was not escalated by another version")
	}
}
