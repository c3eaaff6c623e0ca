package handlertest

import (
	"context"
	"slices"
	"time"

	"github.com/rescindhq/rescind/handlers"
)

// pause stands between a request that was throttled or not answered and the next: one token
// of the scarcest quota there is (facts/aws.json: core.emr, CancelSteps, 0.5 a second).
const pause = 2 * time.Second

// Drive does with targets of one key what the worker does without confirm, and returns what
// each comes to, in their order: what is left open is resolved; then full requests, again after
// a pause what was throttled or not answered, in halves what was refused together; then what
// the answers do not tell is read and judged. It has no patience to lose, so the service must
// come to an answer, and it is meant for virtual time. The targets have different ids.
func Drive(ctx context.Context, h handlers.Handler, at handlers.Location, targets []handlers.Target) []handlers.Answer {
	targets, answers := Resolve(ctx, h, at, targets)
	var standing, open []handlers.Target
	places := map[string]*handlers.Answer{}
	for i, t := range targets {
		if places[t.ID] = &answers[i]; answers[i].Status == "" {
			standing = append(standing, t)
		}
	}
	unsure := map[string]bool{}
	called := send(ctx, h.Cancel(), at, standing, func(t handlers.Target, a handlers.Answer) *handlers.Error {
		if a.Err != nil && (a.Err.MayHaveRun || a.Err.Class == handlers.Unavailable || a.Err.Class == handlers.Unanswered) {
			unsure[t.ID] = true
		}
		return a.Err
	})
	for i, t := range standing {
		*places[t.ID] = called[i]
		if !settle(places[t.ID], unsure[t.ID]) {
			open = append(open, t)
		}
	}
	readings := Read(ctx, h, at, open)
	for i, t := range open {
		a := places[t.ID]
		refusal := a.Err
		*a = h.Judge(t, handlers.Tried{Taken: refusal == nil, Unsure: unsure[t.ID], Refusal: refusal}, readings[i])
		if a.Status == "" {
			a.Status, a.Err = handlers.Failed, refusal
			if refusal != nil && refusal.Class == handlers.VersionMismatch {
				a.Status = handlers.Conflict
			}
		}
	}
	return answers
}

// Resolve gives pins to the targets that leave open what is meant, as the worker does before the
// first call. The answer has a status for each that nothing is to be called for.
func Resolve(ctx context.Context, h handlers.Handler, at handlers.Location, targets []handlers.Target) ([]handlers.Target, []handlers.Answer) {
	targets, answers := slices.Clone(targets), make([]handlers.Answer, len(targets))
	resolver, ok := h.(handlers.Resolver)
	for i, t := range targets {
		if !ok || t.Pin != "" || !resolver.Unresolved(t) {
			continue
		}
		rd := send(ctx, resolver.Resolve(), at, []handlers.Target{t}, readingError)[0]
		switch {
		case rd.Err != nil:
			answers[i].Err = rd.Err
		case rd.Found:
			targets[i].Pin = rd.State
		default:
			answers[i] = h.Judge(t, handlers.Tried{}, send(ctx, resolver.Last(), at, []handlers.Target{t}, readingError)[0])
		}
		if a := &answers[i]; a.Err != nil && a.Status == "" {
			settle(a, false)
		}
	}
	return targets, answers
}

func readingError(_ handlers.Target, r handlers.Reading) *handlers.Error { return r.Err }

// Read reads the state of targets of one key as the worker does, and returns a reading for
// each, in their order. What holds of Drive's calls holds of these.
func Read(ctx context.Context, h handlers.Handler, at handlers.Location, targets []handlers.Target) []handlers.Reading {
	return send(ctx, h.Read(), at, targets, readingError)
}

// settle completes an answer that is enough to tell what became of its target; false where
// the state is to be read.
func settle(a *handlers.Answer, unsure bool) bool {
	if a.Err == nil {
		return a.Status != ""
	}
	switch a.Err.Class {
	case handlers.NoSuchTarget:
		a.Status = handlers.NotFound
		return !unsure // else perhaps the echo of our own cancel
	case handlers.NotAuthorized:
		a.Status = handlers.Denied
	case handlers.Final:
		a.Status = handlers.Failed
		return !unsure
	case handlers.Unsettled:
		return a.Status != "" && !unsure
	case handlers.Throttled, handlers.Unavailable, handlers.Unanswered, handlers.Refused, handlers.VersionMismatch:
		return false
	}
	return true
}

// send makes requests until each target has its last result.
func send[R any](ctx context.Context, call handlers.Call[R], at handlers.Location, targets []handlers.Target,
	errOf func(handlers.Target, R) *handlers.Error,
) []R {
	results := make(map[string]R, len(targets))
	pieces := slices.Collect(slices.Chunk(targets, call.Max))
	for len(pieces) > 0 {
		piece := pieces[0]
		pieces = pieces[1:]
		var again, halve []handlers.Target
		for i, result := range call.Do(ctx, at, piece) {
			results[piece[i].ID] = result
			e := errOf(piece[i], result)
			if e == nil {
				continue
			}
			switch e.Class {
			case handlers.Throttled, handlers.Unavailable, handlers.Unanswered:
				again = append(again, piece[i])
			case handlers.Refused:
				halve = append(halve, piece[i])
			case handlers.Unsettled, handlers.NoSuchTarget, handlers.VersionMismatch, handlers.NotAuthorized, handlers.Final:
			}
		}
		if len(halve) > 1 {
			pieces = append(pieces, halve[:len(halve)/2], halve[len(halve)/2:])
		}
		if len(again) > 0 {
			time.Sleep(pause)
			pieces = append(pieces, again)
		}
	}
	all := make([]R, len(targets))
	for i, t := range targets {
		all[i] = results[t.ID]
	}
	return all
}
