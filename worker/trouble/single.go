package trouble

import (
	"cmp"
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

// due is the line about things that have failed for a minute, where others of the peer got through
// since; nil for none. What nobody tries any more is forgotten.
func (s *singles) due(now time.Time, p *Peer, isDown bool) *line {
	var old []string
	for id, each := range s.things {
		switch {
		case now.Sub(each.last) > untriedAfter:
			delete(s.things, id)
		case now.Sub(each.since) >= singleGrace && p.through.After(each.since):
			old = append(old, id)
		}
	}
	if isDown || len(old) == 0 || now.Sub(s.logged) < every {
		return nil
	}
	s.logged = now
	first := slices.MinFunc(old, func(a, b string) int {
		return cmp.Or(s.things[a].since.Compare(s.things[b].since), cmp.Compare(a, b))
	})
	one := s.things[first]
	return &line{peer: p, level: zapcore.WarnLevel, text: string(p.kind) + " gets through, but not for some targets", fields: append([]zap.Field{
		zap.String("name", Clean(p.name, nameMost)), zap.Int("targets", len(old)), zap.String("one", Clean(first, singleIDMost)),
		zap.Time("since", one.since), zap.String("for", rounded(now.Sub(one.since))),
	}, causeOf(p.kind, p.name, one.why, one.last, 0).reason().fields()...)}
}
