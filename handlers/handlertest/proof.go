package handlertest

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"slices"
	"syscall"
	"time"

	"github.com/rescindhq/rescind/handlers"
)

// checkStronger: a stronger action is asked of the same target, is the same each time, and ends: there is none
// beyond it. Only a state that was read, and that has not ended, is one that it alone may stop.
func checkStronger(s *subject) []error {
	escalator, ok := s.h.(handlers.Escalator)
	if !ok {
		return nil
	}
	t := s.targets(1)[0]
	stronger, ok := escalator.Stronger(t)
	again, okAgain := escalator.Stronger(t)
	switch {
	case ok != okAgain || !reflect.DeepEqual(stronger, again):
		s.errorf("Stronger: %+v, then %+v", stronger, again)
	case !reflect.DeepEqual(t, s.targets(1)[0]):
		s.errorf("Stronger changed its target")
	case !ok: // it asks for the strongest already
	case stronger.Target.ID != t.ID:
		s.errorf("Stronger is for %q, want %q", stronger.Target.ID, t.ID)
	case stronger.Name == "" || stronger.Action.Service() != s.h.Action().Service():
		s.errorf("Stronger is %q, %q: want a name, and an action of the same service", stronger.Name, stronger.Action)
	}
	if ok && stronger.Action == s.h.Action() {
		if beyond, more := escalator.Stronger(stronger.Target); more {
			s.errorf("Stronger of the stronger action is %+v: it has no end", beyond)
		}
	}
	for _, r := range s.readings(t) {
		only := escalator.OnlyStronger(r.Reading)
		if only != escalator.OnlyStronger(r.Reading) {
			s.errorf("OnlyStronger(%s) is not always the same", r.about)
		}
		if only && (!r.known || r.ended || r.Err != nil) {
			s.errorf("OnlyStronger(%s): no state is known in which the target goes on", r.about)
		}
	}
	return s.errs
}

// checkListing: a listing is read by one request of its operation, and a page that was not had is an
// error of the same class as a read by id that was not had. Whether what a page shows is what a read by id shows is
// for [Rig.Listed].
func checkListing(s *subject) []error {
	lister, ok := s.h.(handlers.Lister)
	if !ok {
		return nil
	}
	t := s.targets(1)[0]
	if key := lister.ListKey(t); key != lister.ListKey(t) {
		s.errorf("ListKey is %q, then another", key)
	}
	call := lister.List()
	if call.Max != 1 || call.Operation == "" {
		s.errorf("List is of %d targets, operation %q: want one, and a name", call.Max, call.Operation)
		return s.errs
	}
	sd := readSide(Peer{}, call, false)
	reads := s.sides[1]
	page := []handlers.Target{{Params: handlers.Listing{Of: t, Since: time.Unix(1_000_000_000, 0)}}}
	if wire, known := s.facts().wires[sd.operation]; known {
		s.wire.reset(always(Response{Body: "{"}))
		sd.do(context.Background(), page)
		for _, r := range s.wire.seen() {
			s.checkWire(sd, wire, r)
		}
	}
	for about, answer := range unhadAnswers() {
		rs, ok := s.call(sd, about, page, answer)
		byID, okByID := s.call(reads, about, []handlers.Target{t}, answer)
		if !ok || !okByID {
			continue
		}
		s.want(sd, about, rs, each(Want{Class: byID[0].Class}))
		if r, _ := rs[0].whole.(handlers.Reading); r.Detail != nil {
			s.errorf("%s, %s: a page beside an error: %+v", sd.operation, about, r.Detail)
		}
	}
	return s.errs
}

// unhadAnswers are answers that show nothing, by what is wrong with them.
func unhadAnswers() map[string]func(Request) (Response, error) {
	all := map[string]func(Request) (Response, error){
		"half a body":      always(Response{Body: `{"`}),
		"a page of HTML":   always(Response{Body: "<html><body>Bad things happened</body></html>"}),
		"502 with nothing": always(Response{Status: 502}),
		"403 of a proxy":   always(Response{Status: 403, Body: "<html></html>", Header: map[string]string{"X-Amzn-Requestid": ""}}),
		"connection reset": func(Request) (Response, error) {
			return Response{}, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		},
	}
	for _, r := range shared {
		all[fmt.Sprintf("%d %s", r.HTTP, r.Code)] = always(Refuse(r.HTTP, r.Code, "no"))
	}
	return all
}

// Listed reads a listing of targets to its end and holds it to what reads by id show: it has each of those that a
// cancel has ended, it has none that goes on, what it shows judges as what a read shows after a call that was taken,
// and it ends. It returns how many requests that took. All targets have the same ListKey.
func (r *Rig) Listed(targets []handlers.Target, since time.Time) (pages int) {
	r.Helper()
	lister := r.Handler.(handlers.Lister)
	shown := map[string]handlers.Reading{}
	for page, more := "", true; more; pages++ {
		if pages > len(targets) {
			r.Fatalf("the listing of %d targets has more than %d pages", len(targets), pages)
		}
		rd := lister.List().Do(r.Context(), location, []handlers.Target{{
			ID: page, ReadKey: lister.ListKey(targets[0]), Params: handlers.Listing{Of: targets[0], Since: since, Page: page},
		}})[0]
		got, ok := rd.Detail.(handlers.Page)
		if rd.Err != nil || !ok {
			r.Fatalf("page %d: %v, %T", pages, rd.Err, rd.Detail)
		}
		for id, reading := range got.Readings {
			shown[id] = reading
		}
		page, more = got.Next, got.Next != ""
	}
	taken := handlers.Tried{Taken: true}
	for _, t := range targets {
		if lister.ListKey(t) != lister.ListKey(targets[0]) {
			r.Fatalf("%s is of another listing", t.ID)
		}
		byID := r.Look(t, taken)
		reading, listed := shown[t.ID]
		judged := r.Handler.Judge(t, taken, reading)
		stoppedByCancel := slices.Contains([]handlers.Status{handlers.Cancelled, handlers.AlreadyCancelled}, byID.Status)
		switch {
		case listed && byID.Status.Verdict() != handlers.Stopped:
			r.Errorf("the listing has %s as %s, which is %s", t.ID, reading.State, byID.Status)
		case listed && judged.Status != byID.Status:
			r.Errorf("the listing shows %s as %s, which is %s by id", t.ID, judged.Status, byID.Status)
		case !listed && stoppedByCancel:
			r.Errorf("the listing lacks %s, which is %s", t.ID, byID.Status)
		}
	}
	return pages
}
