package awssim

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Handler answers every service on one endpoint. It may be served by any server; those of
// [Sim.Serve] and [Sim.Config] are closed by [Sim.Close].
func (s *Sim) Handler() http.Handler { return http.HandlerFunc(s.serveHTTP) }

func (s *Sim) serveHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, leave, ok := s.enter(r.Context())
	if !ok {
		panic(http.ErrAbortHandler) // closed: as if nobody listened
	}
	defer leave()

	began := time.Now()
	req, refusal := s.identify(r)
	var a answer
	if refusal != nil {
		a = answer{err: refusal}
	} else {
		a = s.answer(ctx, req)
	}
	record := Record{
		Service: req.call.Service, Operation: req.call.Operation,
		Account: req.call.Account, Region: req.call.Region,
		Caller: req.call.AccessKey,
		Items:  a.items, Began: began, Ended: time.Now(),
		FailedItems: req.call.FailedItems, Fault: a.fault,
	}
	if s.history.full && refusal == nil {
		record.Accesses = iam.Of(&req.call, &req.wire)
	}
	if a.cut {
		s.history.add(record, false)
		panic(http.ErrAbortHandler) // the way in which net/http cuts a connection
	}
	var reply reply
	if a.foreign != nil {
		reply = a.foreign.reply()
	} else {
		reply = encode(req, a)
	}
	record.Status, record.Code = reply.status, reply.code
	s.history.add(record, a.throttled)
	reply.write(w)
}

// answer is what becomes of a request: out, err, or a cut connection.
type answer struct {
	out       any
	err       *service.Error
	foreign   *Answer // in place of out and err
	cut       bool
	throttled bool
	items     []string
	fault     FaultKind
}

// answer runs one request through everything that may befall it, in the order of the
// package comment.
func (s *Sim) answer(ctx context.Context, req *request) (a answer) {
	if sleep(ctx, s.options.Latency) != nil {
		return answer{cut: true}
	}
	if s.outages.wait(ctx, req.service.Name) != nil {
		return answer{cut: true, fault: Hung}
	}
	if s.outages.isDown(req.service.Name, req.call.Region) {
		return answer{err: unavailable, fault: Down}
	}
	in, err := req.operation.Decode(&req.wire)
	if err != nil {
		return answer{err: refusalOf(err)}
	}
	if req.operation.Items != nil {
		a.items = req.operation.Items(in)
	}
	f := s.failures.find(req, a.items)
	if f != nil && f.early() {
		s.befall(ctx, req, &a, f.Kind, f, in)
		return a
	}
	if !s.limiter.take(time.Now(), req.service.Name, req.call.Operation, req.call.Account, req.call.Region) {
		a.err, a.throttled = req.service.Throttled, true
		return a
	}
	if f != nil {
		s.befall(ctx, req, &a, f.Kind, f, in)
		return a
	}
	items := a.items
	if len(items) == 0 {
		items = []string{""}
	}
	d := s.faults.draw(req.service, req.call.Operation, items)
	if d == nil {
		s.befall(ctx, req, &a, NoFault, nil, in)
		return a
	}
	req.call.Draws = d
	if sleep(ctx, d.delay()) != nil {
		a.cut = true
		return a
	}
	s.befall(ctx, req, &a, d.whole(), d, in)
	return a
}

// befaller says how a fault is answered.
type befaller interface {
	failure(*service.Service) *service.Error
	refusal() *service.Error
	foreign() *Answer
}

// befall carries a request out as far as a fault lets it, and answers as the fault does.
func (s *Sim) befall(ctx context.Context, req *request, a *answer, kind FaultKind, by befaller, in any) {
	a.fault = kind
	if kind.CarriedOut() {
		var err error
		if a.out, err = req.operation.Do(ctx, &req.call, in); err != nil {
			a.err = refusalOf(err)
		}
	}
	switch kind {
	case Unsent, Lost:
		a.cut = true
	case Broken, Doubtful:
		a.err = by.failure(req.service)
	case Down:
		a.err = unavailable
	case Denied:
		a.err = req.service.Denied
	case Refused:
		a.err = by.refusal()
	case Middlebox, MiddleboxAfter:
		a.foreign = by.foreign()
	case NoAnswer, NoAnswerAfter:
		<-ctx.Done()
	case NoFault, Hung:
	}
	if ctx.Err() != nil {
		a.cut = true // nobody is left to read an answer
	}
}

// unavailable is what a service that is down answers; "Common Errors" of the AWS references.
var unavailable = &service.Error{
	Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable",
	Message: "The request has failed due to a temporary failure of the server.",
}

func refusalOf(err error) *service.Error {
	var refusal *service.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return service.Refuse("SerializationException", "%v", err)
}

// sleep waits for d, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
