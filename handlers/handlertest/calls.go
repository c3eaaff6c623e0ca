package handlertest

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/rescindhq/rescind/handlers"
)

// sizes are the numbers of targets to try with a call: one, a few, a full request.
func (sd side) sizes() []int {
	sizes := []int{1, min(3, sd.max), sd.max}
	return slices.Compact(sizes)
}

// checkRequest: a call sends one request, of its operation, that names each target once, and
// good items come back as good results.
func checkRequest(s *subject) []error {
	known := s.facts()
	for _, sd := range s.sides {
		for _, n := range sd.sizes() {
			targets, about := s.targets(n), fmt.Sprintf("%d targets", n)
			items := s.items(targets)
			rs, ok := s.call(sd, about, targets, sd.with(items))
			if !ok {
				continue
			}
			s.want(sd, about, rs, each(Want{Status: sd.good}))
			for i, r := range rs {
				if r.id != requestID {
					s.errorf("%s, %s: target %d has request id %q, want the response's", sd.operation, about, i, r.id)
					break
				}
				if sd.good == found && r.state != items[i].State {
					s.errorf("%s, %s: target %d has state %q, want %q", sd.operation, about, i, r.state, items[i].State)
					break
				}
			}
			for _, r := range s.wire.seen() {
				s.checkWire(sd, known.wires[sd.operation], r)
				if sd.Asked != nil {
					s.sameIDs(sd, sd.Asked(r), targets)
				}
			}
		}
	}
	return s.errs
}

func (s *subject) sameIDs(sd side, asked []string, targets []handlers.Target) {
	want := make([]string, len(targets))
	for i, t := range targets {
		want[i] = t.ID
	}
	asked = slices.Sorted(slices.Values(asked))
	slices.Sort(want)
	if !slices.Equal(asked, want) {
		s.errorf("%s: the request names %q, want each target once: %q", sd.operation, asked, want)
	}
}

// checkOrder: results follow the targets, however the answer is ordered, whatever strangers
// and repeats stand in it.
func checkOrder(s *subject) []error {
	for _, sd := range s.sides {
		if sd.max == 1 {
			continue
		}
		targets := s.targets(min(7, sd.max))
		items, wants := s.mixed(sd, targets)
		straight, ok := s.call(sd, "in order", targets, sd.with(items))
		if !ok {
			continue
		}
		s.want(sd, "answered in order", straight, func(i int) Want { return wants[i] })
		reversed := slices.Clone(items)
		slices.Reverse(reversed)
		stranger := Item{ID: s.strangerTo(targets), State: s.States[0].Name}
		for about, shuffled := range map[string][]Item{
			"reversed":             reversed,
			"rotated":              slices.Concat(items[2:], items[:2]),
			"with strangers":       slices.Concat([]Item{stranger}, items, []Item{stranger}),
			"with repeats":         slices.Concat(items, items),
			"strangers in reverse": slices.Concat([]Item{stranger}, reversed),
		} {
			rs, ok := s.call(sd, about, targets, sd.with(shuffled))
			for i := range rs {
				if ok && !reflect.DeepEqual(rs[i].whole, straight[i].whole) {
					s.errorf("%s, answered %s: target %d came to %+v, in order to %+v", sd.operation, about, i, rs[i].whole, straight[i].whole)
					break
				}
			}
		}
	}
	return s.errs
}

// mixed are items as different from their neighbours as the service allows, and what each
// comes to.
func (s *subject) mixed(sd side, targets []handlers.Target) ([]Item, []Want) {
	items, wants := s.items(targets), make([]Want, len(targets))
	for i := range items {
		wants[i] = Want{Status: sd.good}
		if len(sd.Items) > 0 && i%2 == 1 {
			r := sd.Items[(i/2)%len(sd.Items)]
			items[i].Code, items[i].Message, wants[i] = r.Code, r.Text, r.Want
			if r.Text == "" {
				items[i].Message = "item " + items[i].ID
			}
		}
	}
	return items, wants
}

// strangerTo is the id of a target that none of these is.
func (s *subject) strangerTo(targets []handlers.Target) string {
	more := s.targets(len(targets) + 1)
	return more[len(targets)].ID
}

// checkItems: a refusal of one item is that item's alone, and is judged by its code.
func checkItems(s *subject) []error {
	for _, sd := range s.sides {
		targets := s.targets(min(3, sd.max))
		for _, refusal := range sd.Items {
			for at := range targets {
				for _, text := range refusal.texts() {
					items := s.items(targets)
					items[at].Code, items[at].Message = refusal.Code, text
					about := fmt.Sprintf("item %d refused with %s: %q", at, refusal.Code, text)
					rs, _ := s.call(sd, about, targets, sd.with(items))
					s.want(sd, about, rs, func(i int) Want {
						if i == at {
							return refusal.Want
						}
						return Want{Status: sd.good}
					})
				}
			}
		}
	}
	return s.errs
}

// texts are the messages to try with a refusal: its own where the text tells refusals apart,
// otherwise some that name other refusals.
func (r Refusal) texts() []string {
	if r.Text != "" {
		return []string{r.Text}
	}
	return []string{"", "ThrottlingException: Rate exceeded", "AccessDeniedException: not authorized; not found; already ended"}
}

// checkMissing: a target that the answer leaves out harms no other. A cancelling call does
// not know then what became of it; a reading says that AWS does not know it.
func checkMissing(s *subject) []error {
	for _, sd := range s.sides {
		if sd.max == 1 && sd.gap.Class != 0 {
			continue // an answer about one target leaves nobody out
		}
		targets := s.targets(min(3, sd.max))
		for gap := range targets {
			items := s.items(targets)
			items = slices.Delete(items, gap, gap+1)
			about := fmt.Sprintf("without item %d of %d", gap, len(targets))
			refused := false
			rs, _ := s.call(sd, about, targets, func(r Request) (Response, error) {
				resp := sd.Answer(r, items)
				refused = resp.Status >= 300
				return resp, nil
			})
			s.want(sd, about, rs, func(i int) Want {
				switch {
				case refused && len(targets) > 1:
					return Want{Class: handlers.Refused}
				case i == gap:
					return sd.gap
				}
				return Want{Status: sd.good}
			})
			if len(rs) > gap && rs[gap].Class == handlers.Unsettled {
				if a, is := rs[gap].whole.(handlers.Answer); is && !a.Err.MayHaveRun {
					s.errorf("%s, %s: the error does not say that the request may have run for it", sd.operation, about)
				}
			}
		}
	}
	return s.errs
}

// shared are the refusals that every service can give (aws.json: sdk_retry.throttle_codes;
// the "Common Errors" page of each API reference).
var shared = []Refusal{
	{Code: "ThrottlingException", HTTP: 400, Want: Want{Class: handlers.Throttled}},
	{Code: "Throttling", HTTP: 400, Want: Want{Class: handlers.Throttled}},
	{Code: "TooManyRequestsException", HTTP: 429, Want: Want{Class: handlers.Throttled}},
	{Code: "NeverHeardOfThrottle", HTTP: 429, Want: Want{Class: handlers.Throttled}},
	{Code: "ServiceUnavailable", HTTP: 503, Want: Want{Class: handlers.Unavailable}},
	{Code: "InternalFailure", HTTP: 500, Want: Want{Class: handlers.Unavailable}},
	{Code: "NeverHeardOfFault", HTTP: 500, Want: Want{Class: handlers.Unavailable}},
	{Code: "ExpiredTokenException", HTTP: 403, Want: Want{Class: handlers.Unavailable}},
	{Code: "AccessDeniedException", HTTP: 403, Want: Want{Status: handlers.Denied, Class: handlers.NotAuthorized}},
}

// checkRefusals: a request that is refused as a whole gives every target the same, by code.
func checkRefusals(s *subject) []error {
	for _, sd := range s.sides {
		refusals := slices.Clone(sd.Whole)
		for _, r := range shared {
			own := func(w Refusal) bool { return w.Code == r.Code }
			if sd.good == found {
				r.Want.Status = "" // a reading has no status of its own
			}
			if !slices.ContainsFunc(sd.Whole, own) {
				refusals = append(refusals, r)
			}
		}
		for _, r := range refusals {
			for _, n := range sd.sizes() {
				want := r.Want
				if n == 1 && r.Alone != nil {
					want = *r.Alone
				}
				for _, text := range r.texts() {
					s.allWant(sd, fmt.Sprintf("%d targets refused with %d %s: %q", n, r.HTTP, r.Code, text),
						n, always(Refuse(r.HTTP, r.Code, text)), want)
				}
			}
		}
	}
	return s.errs
}

// allWant: each of n targets comes to the same.
func (s *subject) allWant(sd side, about string, n int, answer func(Request) (Response, error), want Want) {
	rs, _ := s.call(sd, about, s.targets(n), answer)
	s.want(sd, about, rs, each(want))
}

// checkUnreadable: answers that cannot be read are classed by their HTTP status, and a
// success that cannot be read is no success.
func checkUnreadable(s *subject) []error {
	const page = "<html><body>Bad things happened</body></html>"
	for _, sd := range s.sides {
		for _, n := range sd.sizes() {
			for _, c := range []struct {
				about string
				resp  Response
				class handlers.Class
			}{
				{"200 with half a body", Response{Body: `{"`}, handlers.Unanswered},
				{"200 with a page", Response{Body: page}, handlers.Unanswered},
				{"200 with an empty body", Response{}, handlers.Unanswered},
				{"200 with an empty object", Response{Body: "{}"}, handlers.Unanswered},
				{"429 with an empty body", Response{Status: 429}, handlers.Throttled},
				{"429 with a page", Response{Status: 429, Body: page}, handlers.Throttled},
				{"500 with an empty body", Response{Status: 500}, handlers.Unavailable},
				{"502 with a page", Response{Status: 502, Body: page}, handlers.Unavailable},
				{"503 with an empty body", Response{Status: 503}, handlers.Unavailable},
				{"504 with half a body", Response{Status: 504, Body: `{"message":`}, handlers.Unavailable},
				{"400 with half a body", Response{Status: 400, Body: `{"__type":"Throttl`}, handlers.Unavailable},
				{"403 with half a body", Response{Status: 403, Body: `{"__type":"ExpiredTo`}, handlers.Unavailable},
				{"404 with a page", Response{Status: 404, Body: page}, handlers.Unavailable},
				{"connection lost within a refusal", Response{Status: 400, Body: `{"__type":"Throttl`, lost: true}, handlers.Unavailable},
			} {
				want := Want{Class: c.class}
				if sd.NoBody && c.resp.Status == 0 {
					if strings.Trim(c.resp.Body, "{}") != "" {
						continue // whether a body that says nothing is read at all is the SDK's affair
					}
					want = Want{Status: sd.good}
				}
				s.allWant(sd, fmt.Sprintf("%d targets, %s", n, c.about), n, always(c.resp), want)
			}
		}
	}
	return s.errs
}

// checkUnanswered: without an answer, or when the caller's context ends under way, every target
// is Unanswered, at once.
func checkUnanswered(s *subject) []error {
	unanswered := Want{Class: handlers.Unanswered}
	for _, sd := range s.sides {
		for _, n := range sd.sizes() {
			s.allWant(sd, "connection reset", n, func(Request) (Response, error) {
				return Response{}, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
			}, unanswered)
			if !sd.NoBody {
				s.allWant(sd, "connection lost within the answer", n, always(Response{Body: "{", lost: true}), unanswered)
			}
			s.checkContext(sd, n, unanswered)
		}
	}
	return s.errs
}

func (s *subject) checkContext(sd side, n int, want Want) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, about := range []string{"context ends under way", "context ended before"} {
		if ctx.Err() != nil {
			want = Want{Class: handlers.Unavailable} // nothing was sent
		}
		rs, _ := s.callContext(ctx, sd, about, s.targets(n), func(r Request) (Response, error) {
			cancel()
			if err := r.Context().Err(); err != nil {
				return Response{}, err
			}
			// A request under another context would go on, and Do with it.
			s.errorf("%s, %s: the request does not carry the caller's context", sd.operation, about)
			return Response{}, context.Canceled
		})
		s.want(sd, about, rs, each(want))
	}
}

// checkRepeatable: calls leave nothing behind, in the handler or in the targets, one beside
// the other included. What fails one after the other is not tried side by side: that would
// only add races to the report.
func checkRepeatable(s *subject) []error {
	for _, sd := range s.sides {
		targets, untouched := s.targets(sd.max), s.targets(sd.max)
		items := s.items(targets)
		if len(sd.Items) > 0 {
			items[0].Code, items[0].Message = sd.Items[0].Code, sd.Items[0].Text
		}
		first, _ := s.call(sd, "first call", targets, sd.with(items))
		s.call(sd, "throttled call", targets, always(Refuse(400, "ThrottlingException", "Rate exceeded")))
		again, _ := s.call(sd, "same call again", targets, sd.with(items))
		switch {
		case !reflect.DeepEqual(targets, untouched):
			s.errorf("%s: the call changed its targets", sd.operation)
			continue
		case !reflect.DeepEqual(again, first):
			s.errorf("%s: the same call came to other results the second time", sd.operation)
			continue
		}
		beside := make([][]result, 4)
		var wg sync.WaitGroup
		for i := range beside {
			wg.Go(func() { beside[i] = sd.do(context.Background(), targets) })
		}
		wg.Wait()
		for _, rs := range beside {
			if !reflect.DeepEqual(rs, first) {
				s.errorf("%s: calls side by side came to other results than one alone", sd.operation)
			}
		}
	}
	return s.errs
}
