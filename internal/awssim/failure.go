package awssim

import (
	"cmp"
	"slices"
	"sync"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Failure is what befalls every request that it matches, from [Sim.Break] on until it is ended.
// Fields that are "" match all requests.
type Failure struct {
	// Service and Operation are names as in the history: "batch", "CancelJobs".
	Service, Operation string
	// Item matches requests that name it: a target, a queue, for AssumeRole the role's ARN. Of a
	// bulk request all items share its fate.
	Item string
	// Caller matches requests that are signed with this access key, Account those that run in
	// this account, whatever role or key they have.
	Caller, Account string
	// Kind is what befalls the request: Broken, Denied, Middlebox, MiddleboxAfter, Refused, NoAnswer
	// or NoAnswerAfter. Down stands for "503 before anything else", as SetDown does it.
	Kind FaultKind
	// Code is that of Refused; "" is ExpiredTokenException.
	Code string
	// Answer is that of Middlebox and MiddleboxAfter; the zero value is 403 with a page.
	Answer Answer
}

// failures are those that stand.
type failures struct {
	mu  sync.Mutex
	all []*Failure
}

// Break begins a failure and returns what ends it. Where several match a request, the first one
// that was begun counts. A request that waits for an answer (NoAnswer) does not get one when the
// failure ends: its client must leave.
func (s *Sim) Break(f Failure) (mend func()) {
	s.failures.mu.Lock()
	defer s.failures.mu.Unlock()
	s.failures.all = append(s.failures.all, &f)
	return func() {
		s.failures.mu.Lock()
		defer s.failures.mu.Unlock()
		s.failures.all = slices.DeleteFunc(s.failures.all, func(other *Failure) bool { return other == &f })
	}
}

// find returns the failure that befalls a request; nil for none.
func (s *failures) find(req *request, items []string) *Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.all {
		if f.matches(req, items) {
			return f
		}
	}
	return nil
}

func (f *Failure) matches(req *request, items []string) bool {
	matches := func(want, is string) bool { return want == "" || want == is }
	return matches(f.Service, req.service.Name) && matches(f.Operation, req.call.Operation) &&
		matches(f.Caller, req.call.AccessKey) && matches(f.Account, req.call.Account) &&
		(f.Item == "" || slices.Contains(items, f.Item))
}

// early: the request does not come so far as to count towards a quota.
func (f *Failure) early() bool {
	return slices.Contains([]FaultKind{Middlebox, Refused, NoAnswer, Down}, f.Kind)
}

func (f *Failure) failure(in *service.Service) *service.Error { return in.Broken[0] }

func (f *Failure) refusal() *service.Error {
	return refusalFor(cmp.Or(f.Code, "ExpiredTokenException"))
}

func (f *Failure) foreign() *Answer {
	if f.Answer.Status == 0 {
		return &middleboxAnswers[0]
	}
	return &f.Answer
}
