package trouble

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// What is amiss at a peer that gets through all the same.
const (
	// Denies says that AWS refuses the caller a cancelling call: no retry mends that, and each command ends as denied.
	Denies = "answers, and denies calls: their commands end as denied"
	// DeniesReads says that AWS refuses the caller a read, or a listing: less is known then, or later.
	DeniesReads = "answers, and denies reads"
	// CannotRenew says that credentials are still good, and that newer ones cannot be had.
	CannotRenew = "cannot be renewed, and will expire"
)

// warning is one such thing.
type warning struct {
	what                string
	why                 error
	since, last, logged time.Time
	times               int
}

// Warn reports that something is amiss at a peer that gets through: Denies, CannotRenew. One line says so, one a minute
// while it goes on, and one when it has not happened for two minutes.
func (p *Peer) Warn(what string, why error) {
	now := time.Now()
	p.mu.Lock()
	w := p.warnings[what]
	if w == nil {
		w = &warning{what: what, since: now}
		if p.warnings == nil {
			p.warnings = make(map[string]*warning)
		}
		p.warnings[what] = w
	}
	w.why, w.last = why, now
	w.times++
	var l *line
	if now.Sub(w.logged) >= every {
		w.logged = now
		level := zapcore.WarnLevel
		if what == Denies {
			level = zapcore.ErrorLevel // commands end by it
		}
		l = p.warningLocked(w, now, level, what)
	}
	p.mu.Unlock()
	l.say()
	p.of.keep(p)
	p.of.arm()
}

func (p *Peer) warningLocked(w *warning, now time.Time, level zapcore.Level, what string) *line {
	r := p.warned(w)
	if level == zapcore.InfoLevel {
		r.do = ""
	}
	return &line{peer: p, level: level, text: string(p.kind) + " " + what, fields: append([]zap.Field{
		zap.String("name", Clean(p.name, nameMost)), zap.Time("since", w.since), zap.String("for", rounded(now.Sub(w.since))), zap.Int("times", w.times),
	}, r.fields()...)}
}

// warned is why, and what to do.
func (p *Peer) warned(w *warning) reason {
	r := causeOf(p.kind, p.name, w.why, w.last, 0).reason()
	if w.what == Denies {
		r.do = strings.TrimPrefix(r.do+"; then send these commands again, under new ids", "; ")
	}
	return r
}

// warningsDue are the lines about warnings that are over, which are forgotten.
func (p *Peer) warningsDue(now time.Time) (over []*line) {
	for _, what := range slices.Sorted(maps.Keys(p.warnings)) {
		if w := p.warnings[what]; now.Sub(w.last) > untriedAfter {
			over = append(over, p.warningLocked(w, now, zapcore.InfoLevel, what+": not in the last two minutes"))
			delete(p.warnings, what)
		}
	}
	return over
}

// Warnings say line by line what is amiss at peers that get through, by kind and name, and what to do about it.
func (p *Peers) Warnings() (all []string) {
	now := time.Now()
	for _, each := range p.all() {
		each.mu.Lock()
		name := string(each.kind) + " " + Clean(each.name, nameMost) + " "
		for _, what := range slices.Sorted(maps.Keys(each.warnings)) {
			w := each.warnings[what]
			all = append(all, fmt.Sprintf("%s%s since %s (%d times, the last %s ago): %s", name, what, w.since.UTC().Format(time.RFC3339),
				w.times, rounded(now.Sub(w.last)), each.warned(w)))
		}
		if failing := each.single.failing(each); len(failing) > 0 && each.said.IsZero() {
			_, r := each.single.describe(each, failing)
			all = append(all, fmt.Sprintf("%sgets through, but not for %s: %s", name, named(failing), r))
		}
		each.mu.Unlock()
	}
	return all
}
