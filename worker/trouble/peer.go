package trouble

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Peer is one of those that a worker talks to. Its methods are safe for concurrent use.
type Peer struct {
	of    *Peers
	kind  Kind
	name  string
	held  func() int
	under atomic.Pointer[Peer] // what fails as well says nothing while that one does

	mu      sync.Mutex
	open    int           // attempts under way
	heard   time.Time     // when an attempt came back last, or the first of those under way began
	through time.Time     // when one got through last
	since   time.Time     // from when on none got through; zero: no failure since
	hard    time.Time     // when the first since failed that was not throttled; zero: none
	last    time.Time     // when one failed last
	said    time.Time     // when the last line was due; zero: none about this trouble
	failed  int           // attempts since
	why     error         // of the last; nil: none has come back
	took    time.Duration // that the last one lasted
	wants   *Peer         // the credentials for want of which the last one failed; nil: it did not
	folded  bool          // the lines are that peer's
	untried bool          // it failed, and nobody has tried it for a while
	single  singles
	// warnings are what is amiss though it gets through.
	warnings map[string]*warning
}

// Attempt is one request to a peer. Exactly one of its methods is to be called, once.
type Attempt struct {
	peer  *Peer
	began time.Time
}

// Under makes p say nothing while another one fails, such as the receives of the same queue: one
// outage is one line. It returns p.
func (p *Peer) Under(other *Peer) *Peer {
	if p != other {
		p.under.Store(other)
	}
	return p
}

// Begin notes that a request is made now, so that one which is never answered is noticed before
// its time runs out.
func (p *Peer) Begin() Attempt {
	now := time.Now()
	p.mu.Lock()
	if p.open == 0 {
		p.heard = now
	}
	p.open++
	p.mu.Unlock()
	p.of.arm()
	return Attempt{p, now}
}

// Failed reports that the attempt gave nothing of what was asked for, and why.
func (a Attempt) Failed(why error) { a.peer.fail(a.began, why, true) }

// Throttled reports that AWS asked for fewer requests.
func (a Attempt) Throttled(why error) { a.peer.fail(a.began, why, false) }

// Through reports that the attempt got its answer.
func (a Attempt) Through() { a.peer.succeed() }

// Dropped reports that the attempt tells nothing: whoever made it has given it up.
func (a Attempt) Dropped() {
	a.peer.mu.Lock()
	defer a.peer.mu.Unlock()
	a.peer.open--
}

// Answered reports that the attempt got its answer where err is nil, and failed where it is not.
func (a Attempt) Answered(err error) {
	if err == nil {
		a.Through()
		return
	}
	a.Failed(err)
}

// fail takes in a failed attempt that began then.
func (p *Peer) fail(began time.Time, why error, hard bool) {
	now := time.Now()
	wants := p.of.find(Credentials, causeOf(p.kind, p.name, why, now, 0).see)
	p.mu.Lock()
	p.open--
	p.heard = now
	if p.untried && now.Sub(p.last) > forgotten {
		p.forgetLocked()
	}
	if p.since.IsZero() {
		p.since = began // a request that hung has failed for as long
		if p.through.After(began) {
			p.since = now // others got through meanwhile
		}
	}
	if hard && p.hard.IsZero() {
		p.hard = p.since
		if began.After(p.since) {
			p.hard = began
		}
	}
	p.failed++
	delete(p.warnings, CannotRenew) // they have expired
	p.last, p.why, p.took, p.wants, p.untried = now, why, now.Sub(began), wants, false
	late := now.Sub(p.since) >= throttledGrace || !p.hard.IsZero() && now.Sub(p.hard) >= grace
	line := p.dueLocked(now, late)
	p.mu.Unlock()
	line.say()
	p.of.keep(p)
	p.of.arm()
}

func (p *Peer) succeed() {
	now := time.Now()
	p.mu.Lock()
	p.open--
	p.heard, p.through = now, now
	var l *line
	if !p.said.IsZero() {
		clear(p.single.things) // they failed with the peer: whatever fails from now on does so alone
		if !p.folded {
			_, _, again := p.wordsLocked()
			l = p.lineLocked(now, zapcore.InfoLevel, again)
		}
	}
	p.forgetLocked()
	p.mu.Unlock()
	l.say()
}

func (p *Peer) forgetLocked() {
	p.since, p.hard, p.said, p.failed = time.Time{}, time.Time{}, time.Time{}, 0
	p.why, p.wants, p.folded, p.untried = nil, nil, false, false
}

// looked says what is due by the clock, and reports whether to look again.
func (p *Peer) looked(now time.Time) (again bool) {
	p.mu.Lock()
	// A moment more: what is given up after just this time then says itself why.
	if quiet := now.Sub(p.heard); p.since.IsZero() && p.open > 0 && quiet >= p.silence()+look/2 {
		p.since, p.hard, p.last = p.heard, p.heard, now
	}
	var l *line
	switch {
	case p.since.IsZero():
	case p.open == 0 && now.Sub(p.last) > untriedAfter:
		switch {
		case p.said.IsZero() || now.Sub(p.last) > forgotten:
			p.forgetLocked()
		case !p.untried:
			p.untried = true
			if !p.folded {
				l = p.lineLocked(now, zapcore.InfoLevel, string(p.kind)+": no command needs it now; when last tried it failed")
			}
		}
	default:
		l = p.dueLocked(now, !p.hard.IsZero() && now.Sub(p.since) >= p.silence())
	}
	single := p.single.due(now, p, !p.said.IsZero())
	over := p.warningsDue(now)
	again = p.activeLocked()
	p.mu.Unlock()
	l.say()
	single.say()
	for _, each := range over {
		each.say()
	}
	return again
}

// silence is how long a peer may say nothing.
func (p *Peer) silence() time.Duration {
	if p.kind == Queue {
		return pollSilence
	}
	return silence
}

func (p *Peer) isDown() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.since.IsZero() && !p.untried
}

// isActive reports whether a peer is tried, fails, or has things that fail.
func (p *Peer) isActive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.activeLocked()
}

func (p *Peer) activeLocked() bool {
	return p.open > 0 || !p.since.IsZero() && !p.untried || p.single.any() || len(p.warnings) > 0
}

// whyLocked is why it fails, also where no attempt has come back yet.
func (p *Peer) whyLocked(now time.Time) error {
	switch {
	case p.why != nil:
		return p.why
	case p.kind == Ledger: // which tries throttled requests again by itself
		return &Error{
			Why: "nothing has been stored for so long: the table throttles, or does not answer",
			Do:  "look at the table's throttled requests and write capacity, and at the network to AWS",
		}
	}
	requests := fmt.Sprintf("%d requests are", p.open)
	if p.open == 1 {
		requests = "1 request is"
	}
	return &Error{Why: fmt.Sprintf("no answer for %s; %s out", rounded(now.Sub(p.since)), requests), Do: network("")}
}

func (p *Peer) reasonLocked(now time.Time) reason {
	return causeOf(p.kind, p.name, p.whyLocked(now), p.last, p.took).reason()
}

// wordsLocked are how its lines begin: what fails, that it still does, and that it does no more.
func (p *Peer) wordsLocked() (fails, still, again string) {
	subject, verb, end := string(p.kind), p.failsLocked(), "gets through again"
	switch {
	case p.kind == Credentials:
		end = "can be had again"
	case p.isDeleting():
		subject, end = "deleting from the queue", "works again"
	case verb != "does not get through":
		subject, end = "receiving", "works again"
	}
	return subject + " " + verb, subject + " still " + verb, subject + " " + end
}

// failsLocked is the verb of its failing.
func (p *Peer) failsLocked() string {
	var known *Error
	switch {
	case errors.As(p.why, &known) && known.Fails != "":
		return known.Fails
	case p.kind == Credentials:
		return "cannot be had"
	case p.isDeleting():
		return "fails"
	}
	return "does not get through"
}

func (p *Peer) isDeleting() bool { return p.kind == Queue && strings.HasSuffix(p.name, " (deleting)") }

// dueLocked is the line that is due: that the peer does not get through, where it is late enough,
// or that it still does not; nil for none. A peer that fails for want of credentials leaves the
// lines to these.
func (p *Peer) dueLocked(now time.Time, late bool) *line {
	level := zapcore.WarnLevel
	if p.kind == Topic || p.kind == Ledger || p.kind == Queue || p.kind == Credentials && p.name == Own {
		level = zapcore.ErrorLevel // nothing goes on without it
	}
	if p.said.IsZero() {
		if other := p.under.Load(); other != nil && other.isDown() {
			p.since, p.hard = now, now // from its end on it counts again
			return nil
		}
	}
	text, still, _ := p.wordsLocked()
	fold := p.wants != nil
	switch {
	case p.said.IsZero() && late, p.folded && !fold:
		p.folded = fold
	case !p.said.IsZero() && now.Sub(p.said) >= every:
		text = still
	default:
		return nil
	}
	p.said = now
	if fold {
		return p.wants.due(now)
	}
	return p.lineLocked(now, level, text)
}

// due is the line that is due about a peer for want of which another one fails.
func (p *Peer) due(now time.Time) *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return nil
	}
	return p.dueLocked(now, true)
}

// line is one to be logged, with no lock held.
type line struct {
	peer   *Peer
	level  zapcore.Level
	text   string
	fields []zap.Field
}

func (p *Peer) lineLocked(now time.Time, level zapcore.Level, text string) *line {
	r := p.reasonLocked(now)
	if level == zapcore.InfoLevel {
		r.do = ""
	}
	return &line{peer: p, level: level, text: text, fields: append([]zap.Field{
		zap.String("name", Clean(p.name, nameMost)), zap.Time("since", p.since), zap.String("for", rounded(now.Sub(p.since))),
		zap.Int("failedAttempts", p.failed),
	}, r.fields()...)}
}

func (r reason) fields() []zap.Field {
	return []zap.Field{zap.String("why", r.why), orNone("see", r.see), orNone("do", r.do), orNone("requestId", r.requestID)}
}

func orNone(name, value string) zap.Field {
	if value == "" {
		return zap.Skip()
	}
	return zap.String(name, value)
}

// say logs a line; nil logs none.
func (l *line) say() {
	if l == nil {
		return
	}
	if l.peer.held != nil {
		l.fields = append(l.fields, zap.Int("held", l.peer.held()))
	}
	l.peer.of.say(l.level, l.peer.kind, l.text, l.fields)
}

// failing is what Peers.Failing lists.
func (p *Peer) failing(now time.Time) (f Failing, yes bool) {
	p.mu.Lock()
	if p.said.IsZero() || p.open == 0 && now.Sub(p.last) > forgotten {
		p.mu.Unlock()
		return f, false
	}
	f = Failing{Kind: p.kind, Name: Clean(p.name, nameMost), Since: p.since, fails: p.failsLocked(), reason: p.reasonLocked(now)}
	if p.untried {
		f.fails = "failed when last tried, at " + p.last.UTC().Format(time.RFC3339) + "; none got through"
	}
	p.mu.Unlock()
	if p.held != nil {
		f.held = fmt.Sprintf("; held: %d", p.held())
	}
	return f, true
}

// rounded is a duration for people: 9.3s, 1m40s.
func rounded(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
