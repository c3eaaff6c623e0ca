package handlertest

import (
	"reflect"
	"slices"

	"github.com/rescindhq/rescind/handlers"
)

// predictable are the statuses that a state can foretell: no state shows that AWS would deny a call, or fail it.
var predictable = []handlers.Status{
	"", handlers.Cancelled, handlers.AlreadyCancelled, handlers.AlreadyEnded, handlers.Accepted,
	handlers.NotCancellable, handlers.NotFound, handlers.Conflict,
}

// checkPredict: every reading that AWS can give, and some it should not, comes to a prediction that Judge
// gives too after some call, or to none and why.
func checkPredict(s *subject) []error {
	t := s.targets(1)[0]
	for _, r := range s.readings(t) {
		about := "Predict(" + r.about + ")"
		a, b := s.predict(about, t, r.Reading), s.predict(about, t, r.Reading)
		if !reflect.DeepEqual(a, b) {
			s.errorf("%s: %+v, then %+v", about, a, b)
		}
		s.checkPrediction(about, t, r, a)
	}
	return s.errs
}

func (s *subject) predict(about string, t handlers.Target, r handlers.Reading) (a handlers.Answer) {
	defer func() {
		if p := recover(); p != nil {
			s.errorf("%s panicked: %v", about, p)
		}
	}()
	return s.h.Predict(t, r)
}

func (s *subject) checkPrediction(about string, t handlers.Target, r reading, a handlers.Answer) {
	breaks := func(rule string) { s.errorf("%s: prediction %q: %s", about, a.Status, rule) }
	stopped := a.Status.Verdict() == handlers.Stopped
	switch {
	case !slices.Contains(predictable, a.Status):
		breaks("no state foretells it")
	case a.Status == "" && (a.Err == nil || a.Err.Code == "" || r.Err == nil && a.Err.Message == ""):
		breaks("does not say why there is none")
	case r.Err != nil && a.Status != "":
		breaks("of a state that could not be read")
	case r.Err != nil:
	case !r.Found && a.Status != handlers.NotFound:
		breaks("of a target that AWS does not know")
	case r.Found && !r.known && a.Status != "":
		breaks("of a state that nobody knows")
	case stopped && !r.ended:
		breaks("the state does not show that it stopped")
	case r.ended && !stopped && a.Status != "":
		breaks("the state shows that it has ended")
	case a.Status != "" && !s.comesTo(about, t, r, a.Status):
		breaks("Judge gives no such status, whatever was tried")
	}
	if r.Err == nil && a.After != r.State {
		s.errorf("%s: after is %q, want the state read, %q", about, a.After, r.State)
	}
}

// comesTo is whether Judge gives a status of a reading after some call.
func (s *subject) comesTo(about string, t handlers.Target, r reading, status handlers.Status) bool {
	return slices.ContainsFunc(tries(), func(tried handlers.Tried) bool {
		return (tried.Taken || tried.Refusal != nil) && s.judge(about, t, tried, r.Reading).Status == status
	})
}
