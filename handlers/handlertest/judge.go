package handlertest

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/rescindhq/rescind/handlers"
)

// fromHandlers are the statuses that a handler may give; the others are the worker's.
var fromHandlers = []handlers.Status{
	"", handlers.Cancelled, handlers.AlreadyCancelled, handlers.AlreadyEnded, handlers.Accepted,
	handlers.NotCancellable, handlers.NotFound, handlers.Conflict, handlers.Denied, handlers.Failed,
}

// reading is one reading to be judged.
type reading struct {
	handlers.Reading
	about string
	ended bool
	known bool // the state is one of the suite's
}

// checkJudge: every reading that AWS can give, and some it should not, under everything that
// can have been tried, comes to a status that claims no more than it shows.
func checkJudge(s *subject) []error {
	t := s.targets(1)[0]
	for _, r := range s.readings(t) {
		for _, tried := range tries() {
			about := fmt.Sprintf("Judge(%s, taken %v, unsure %v, refusal %v)", r.about, tried.Taken, tried.Unsure, tried.Refusal)
			a, b := s.judge(about, t, tried, r.Reading), s.judge(about, t, tried, r.Reading)
			if !reflect.DeepEqual(a, b) {
				s.errorf("%s: %+v, then %+v", about, a, b)
			}
			s.checkVerdict(about, tried, r, a)
		}
	}
	return s.errs
}

func (s *subject) judge(about string, t handlers.Target, tried handlers.Tried, r handlers.Reading) (a handlers.Answer) {
	defer func() {
		if p := recover(); p != nil {
			s.errorf("%s panicked: %v", about, p)
		}
	}()
	return s.h.Judge(t, tried, r)
}

// checkVerdict holds one judgement to what is true of every service.
func (s *subject) checkVerdict(about string, tried handlers.Tried, r reading, a handlers.Answer) {
	breaks := func(rule string) { s.errorf("%s: status %q: %s", about, a.Status, rule) }
	stopped := a.Status.Verdict() == handlers.Stopped
	switch {
	case !slices.Contains(fromHandlers, a.Status):
		breaks("is not a handler's to give")
	case r.Err != nil && a.Status != "":
		breaks("of a state that could not be read")
	case r.Err != nil:
	case stopped && !r.ended:
		breaks("the state does not show that it stopped")
	case r.ended && !stopped:
		breaks("the state shows that it has ended")
	case !r.Found && (a.Status == handlers.Accepted || a.Status == handlers.NotCancellable):
		breaks("of a target that AWS does not know")
	case r.Found && tried.Taken && a.Status == "":
		breaks("AWS took the request, which is accepted at least")
	}
	if (a.Status == handlers.Failed || a.Status == handlers.Denied) && (a.Err == nil || a.Err.Code == "") {
		breaks("has no code")
	}
	if r.Err == nil && a.After != r.State {
		s.errorf("%s: after is %q, want the state read, %q", about, a.After, r.State)
	}
}

// readings are the suite's states and extras as the handler itself reads them, and beside
// them what a reading should never be.
func (s *subject) readings(t handlers.Target) []reading {
	all := []reading{
		{about: "not found"},
		{about: "not read", Reading: handlers.Reading{Err: &handlers.Error{Class: handlers.Unavailable, Code: "InternalFailure"}}},
		{about: "a state never heard of", Reading: handlers.Reading{Found: true, State: "NEVER_HEARD_OF"}},
		{about: "no state", Reading: handlers.Reading{Found: true}},
	}
	for _, state := range s.States {
		for _, extra := range append([]any{nil}, s.Extras...) {
			about := fmt.Sprintf("%s %+v", state.Name, extra)
			item := Item{ID: t.ID, State: state.Name, Extra: extra}
			for _, sd := range s.sides {
				if !sd.tells {
					continue
				}
				rs, ok := s.call(sd, about, []handlers.Target{t}, sd.with([]Item{item}))
				if !ok {
					continue
				}
				s.want(sd, about, rs, each(Want{Status: found}))
				r, _ := rs[0].whole.(handlers.Reading)
				all = append(all, reading{about: sd.operation + " " + about, Reading: r, ended: state.Ended, known: true})
			}
		}
		bare := handlers.Reading{Found: true, State: state.Name}
		all = append(all, reading{about: state.Name + " without detail", Reading: bare, ended: state.Ended, known: true})
	}
	return all
}

// tries is everything that can have been tried.
func tries() []handlers.Tried {
	classes := []handlers.Class{
		0, handlers.Refused, handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch,
		handlers.NotAuthorized, handlers.Final,
	}
	all := make([]handlers.Tried, 0, 4*len(classes))
	for _, c := range classes {
		var refusal *handlers.Error
		if c != 0 {
			refusal = &handlers.Error{Class: c, Code: "SomeException", Message: "no"}
		}
		all = append(all,
			handlers.Tried{Refusal: refusal},
			handlers.Tried{Refusal: refusal, Unsure: true},
			handlers.Tried{Refusal: refusal, Taken: true},
			handlers.Tried{Refusal: refusal, Taken: true, Unsure: true},
		)
	}
	return all
}
