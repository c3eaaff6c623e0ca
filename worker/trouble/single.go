package trouble

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// singleGrace is how long one thing must fail before that is said.
	singleGrace = time.Minute
	// singlesMost bounds what is remembered of things that fail.
	singlesMost = 1000
	// singleIDMost bounds what is remembered of an id, in bytes.
	singleIDMost = 100
)

// singles are things that fail at a peer that others get through to.
type singles struct {
	things map[string]*thing
	logged time.Time
}

type thing struct {
	since, last time.Time
	why         error
}

func (s *singles) any() bool { return len(s.things) > 0 }

// Item reports what became of one thing of an attempt, such as a target: why it failed, or nil.
func (p *Peer) Item(id string, why error) {
	if why != nil {
		defer p.of.arm()
		defer p.of.keep(p)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.single
	if why == nil && len(s.things) == 0 {
		return
	}
	if len(id) > singleIDMost {
		id = strings.Clone(id[:singleIDMost])
	}
	if why == nil {
		delete(s.things, id)
		return
	}
	now := time.Now()
	found := s.things[id]
	if found == nil {
		if len(s.things) >= singlesMost {
			return
		}
		if s.things == nil {
			s.things = make(map[string]*thing)
		}
		found = &thing{since: now}
		s.things[id] = found
	}
	found.last, found.why = now, why
}

// failing are the things that have failed for a minute where others of the peer got through since, the oldest first.
func (s *singles) failing(p *Peer) (old []string) {
	now := time.Now()
	for id, each := range s.things {
		if now.Sub(each.since) >= singleGrace && p.through.After(each.since) {
			old = append(old, id)
		}
	}
	slices.SortFunc(old, func(a, b string) int {
		return cmp.Or(s.things[a].since.Compare(s.things[b].since), cmp.Compare(a, b))
	})
	return old
}

// describe is the one that has failed for longest, and why.
func (s *singles) describe(p *Peer, failing []string) (*thing, reason) {
	one := s.things[failing[0]]
	r := causeOf(p.kind, p.name, one.why, one.last, 0).reason()
	if r.do == doWait || r.do == "" { // others of the peer are well
		r.do = doSingle
	}
	return one, r
}

// namesMost is how many things a line names.
const namesMost = 3

// named names things: "3 targets (a, b, c)".
func named(failing []string) string {
	some := make([]string, 0, namesMost)
	for _, id := range failing[:min(len(failing), namesMost)] {
		some = append(some, Clean(id, singleIDMost))
	}
	more, noun := "", "targets"
	if len(failing) > namesMost {
		more = ", …"
	}
	if len(failing) == 1 {
		noun = "target"
	}
	return fmt.Sprintf("%d %s (%s%s)", len(failing), noun, strings.Join(some, ", "), more)
}

// due is the line about things that have failed for a minute, where others of the peer got through
// since, or that none does any more; nil for none. What nobody tries any more is forgotten.
func (s *singles) due(now time.Time, p *Peer, isDown bool) *line {
	for id, each := range s.things {
		if now.Sub(each.last) > untriedAfter {
			delete(s.things, id)
		}
	}
	failing := s.failing(p)
	switch {
	case len(failing) == 0 && !s.logged.IsZero() && !isDown:
		s.logged = time.Time{}
		return &line{peer: p, level: zapcore.InfoLevel, text: string(p.kind) + " gets through for all targets that are tried", fields: []zap.Field{
			zap.String("name", Clean(p.name, nameMost)),
		}}
	case isDown || len(failing) == 0 || now.Sub(s.logged) < every:
		return nil
	}
	s.logged = now
	one, r := s.describe(p, failing)
	return &line{peer: p, level: zapcore.WarnLevel, text: string(p.kind) + " gets through, but not for some targets", fields: append([]zap.Field{
		zap.String("name", Clean(p.name, nameMost)), zap.String("targets", named(failing)),
		zap.Time("since", one.since), zap.String("for", rounded(now.Sub(one.since))), zap.Time("lastFailed", one.last),
	}, r.fields()...)}
}
