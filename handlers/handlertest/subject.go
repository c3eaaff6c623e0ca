package handlertest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/rescindhq/rescind/handlers"
)

const requestID = "5f0c1e9e-0000-4000-8000-000000000001"

var location = handlers.Location{Account: "123456789012", Region: "us-east-1"}

// found is the status of a reading that has a state, so that answers and readings can be
// compared in the same words.
const found handlers.Status = "found"

// subject is a handler under test with AWS in the suite's hands.
type subject struct {
	Suite
	h     handlers.Handler
	wire  *transport
	keys  *keys
	sides []side
	errs  []error
}

// side is one of the handler's calls.
type side struct {
	Peer
	operation string
	max       int
	good      handlers.Status // what a taken, or known, target comes to
	gap       Want            // what a target comes to that the answer leaves out
	tells     bool            // it reads states, which Judge judges
	do        func(context.Context, []handlers.Target) []result
}

// result is an answer or a reading in the same words.
type result struct {
	Want
	code, state, id string
	notRun          bool // its error says that nothing was done
	whole           any  // the handlers.Answer or handlers.Reading
}

func newSubject(s Suite) *subject {
	sub := &subject{Suite: s, wire: &transport{}, keys: &keys{from: good}}
	sub.h = s.New(func(at handlers.Location) aws.Config {
		return aws.Config{
			Region:      at.Region,
			Credentials: sub.keys,
			HTTPClient:  sub.wire,
			// Eager on purpose: a handler that leaves retries to its configuration is caught.
			Retryer: func() aws.Retryer {
				return retry.NewStandard(func(o *retry.StandardOptions) {
					o.MaxAttempts = 3
					o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
				})
			},
		}
	})
	cancel := sub.h.Cancel()
	sub.sides = []side{{
		Peer: s.Cancel, operation: cancel.Operation, max: cancel.Max, good: s.Cancel.Taken,
		gap: Want{Class: cmp.Or(s.Cancel.Gap, handlers.Unanswered)},
		do: func(ctx context.Context, targets []handlers.Target) []result {
			return answers(cancel.Do(ctx, location, targets))
		},
	}, readSide(s.Read, sub.h.Read(), true)}
	if r, ok := sub.h.(handlers.Resolver); ok && s.Resolve != nil && s.Last != nil {
		sub.sides = append(sub.sides, readSide(*s.Resolve, r.Resolve(), false), readSide(*s.Last, r.Last(), true))
	}
	return sub
}

func readSide(p Peer, call handlers.Call[handlers.Reading], tells bool) side {
	return side{
		Peer: p, tells: tells, operation: call.Operation, max: call.Max, good: found,
		gap: Want{Status: handlers.NotFound},
		do: func(ctx context.Context, targets []handlers.Target) []result {
			return readings(call.Do(ctx, location, targets))
		},
	}
}

func answers(as []handlers.Answer) []result {
	rs := make([]result, len(as))
	for i, a := range as {
		rs[i] = result{Want: Want{Status: a.Status}, state: a.After, id: a.RequestID, whole: a}
		rs[i].setErr(a.Err)
	}
	return rs
}

func readings(as []handlers.Reading) []result {
	rs := make([]result, len(as))
	for i, r := range as {
		rs[i] = result{state: r.State, id: r.RequestID, whole: r}
		switch {
		case r.Err != nil && r.Found:
			rs[i].Status = "found, and an error" // no Want asks for it
		case r.Found:
			rs[i].Status = found
		case r.Err == nil:
			rs[i].Status = handlers.NotFound
		}
		rs[i].setErr(r.Err)
	}
	return rs
}

func (r *result) setErr(e *handlers.Error) {
	if e != nil {
		r.Class, r.code, r.notRun = e.Class, e.Code, e.NotRun
	}
}

// targets returns n targets that may share a request.
func (s *subject) targets(n int) []handlers.Target {
	var all []handlers.Target
	for _, p := range s.Commands(n) {
		targets, err := s.h.Targets(p)
		if err != nil {
			s.errorf("Targets(%v): %v", p, err)
		}
		all = append(all, targets...)
	}
	if len(all) != n {
		s.errorf("Commands(%d) came to %d targets", n, len(all))
	}
	return all
}

// call makes one call, answered by answer, and checks what holds of every call: one request
// at most, as many results as targets. ok is false where there is no result for each target.
func (s *subject) call(sd side, about string, targets []handlers.Target, answer func(Request) (Response, error)) (rs []result, ok bool) {
	return s.callContext(context.Background(), sd, about, targets, answer)
}

func (s *subject) callContext(ctx context.Context, sd side, about string, targets []handlers.Target, answer func(Request) (Response, error)) (rs []result, ok bool) {
	s.wire.reset(answer)
	rs = sd.do(ctx, targets)
	if n := len(s.wire.seen()); n != 1 && ctx.Err() == nil || n > 1 {
		s.errorf("%s, %s: %d HTTP requests for one call, want 1", sd.operation, about, n)
	}
	if len(rs) != len(targets) {
		s.errorf("%s, %s: %d results for %d targets", sd.operation, about, len(rs), len(targets))
		return nil, false
	}
	return rs, true
}

// want checks what each target came to. One wrong target of a call is enough to read: it
// reports the first and counts the others.
func (s *subject) want(sd side, about string, rs []result, want func(i int) Want) {
	wrong, first := 0, 0
	for i, r := range rs {
		if r.Want != want(i) || r.Class != 0 && r.code == "" {
			if wrong++; wrong == 1 {
				first = i
			}
		}
	}
	if wrong > 0 {
		r, w := rs[first], want(first)
		s.errorf("%s, %s: target %d (of %d, %d wrong) came to status %q class %s code %q, want status %q class %s, a code with a class",
			sd.operation, about, first, len(rs), wrong, r.Status, class(r.Class), r.code, w.Status, class(w.Class))
	}
}

// each wants the same of every target.
func each(want Want) func(int) Want { return func(int) Want { return want } }

func class(c handlers.Class) string {
	if c == 0 {
		return "none"
	}
	return c.String()
}

func (s *subject) errorf(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// items are good items for the targets.
func (s *subject) items(targets []handlers.Target) []Item {
	items := make([]Item, len(targets))
	for i, t := range targets {
		items[i] = Item{ID: t.ID, State: s.States[i%len(s.States)].Name}
	}
	return items
}

// with answers by the side's peer.
func (sd side) with(items []Item) func(Request) (Response, error) {
	return func(r Request) (Response, error) { return sd.Answer(r, items), nil }
}

// always answers with one response.
func always(resp Response) func(Request) (Response, error) {
	return func(Request) (Response, error) { return resp, nil }
}

// http is the response as net/http would hand it on.
func (resp Response) http(r *http.Request) *http.Response {
	status := resp.Status
	if status == 0 {
		status = http.StatusOK
	}
	h := http.Header{"Content-Type": {"application/json"}, "X-Amzn-Requestid": {requestID}}
	for k, v := range resp.Header {
		h.Set(k, v)
	}
	body, length := io.Reader(strings.NewReader(resp.Body)), int64(len(resp.Body))
	if resp.lost {
		body, length = io.MultiReader(body, broken{}), -1
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(body), ContentLength: length, Request: r,
	}
}

// transport is the SDK's HTTP client: a function in place of a network.
type transport struct {
	mu       sync.Mutex
	answer   func(Request) (Response, error)
	requests []Request
}

func (t *transport) reset(answer func(Request) (Response, error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answer, t.requests = answer, nil
}

func (t *transport) seen() []Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.requests
}

// Do answers one request. Like net/http, it sends nothing under a context that has ended.
func (t *transport) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	req := Request{Request: r}
	if r.Body != nil {
		var err error
		if req.Payload, err = io.ReadAll(r.Body); err != nil {
			return nil, errors.Join(err, r.Body.Close())
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	answer := t.answer
	t.requests = append(t.requests, req)
	t.mu.Unlock()
	resp, err := answer(req)
	if err != nil {
		return nil, err
	}
	return resp.http(r), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return string(b)
}
