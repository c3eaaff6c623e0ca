// Package trouble says who does not get through: a lane, a role's credentials, the results topic,
// the ledger, a queue or its dead-letter queue. Whoever makes requests reports each attempt to a
// [Peer]. One log line says that a peer has stopped getting through, why, and what to do; one a
// minute says that it goes on; one says that it gets through again. [Peers.Failing] lists the same
// for /readyz and for gauges.
//
// The package owns when a line is due. It does not know what a peer is and retries nothing. It has
// no goroutine: attempts drive it, and one timer, which is set only while an attempt is under way
// or a peer fails, so that a request that is never answered is said too.
//
// # When a line is due
//
//   - A peer does not get through when an attempt fails two seconds or more after the first that
//     failed, and none got through between; or when ten seconds have passed without a success
//     after one that failed; or when attempts are under way and nothing has come back for ten
//     seconds (a queue's long poll: 25).
//   - Throttling is no failure for 30 seconds: AWS asks for fewer requests, and gets fewer.
//     When nothing at all gets through for longer, that is said.
//   - A peer that nobody has tried for two minutes after its last failure is said not to be tried
//     now: nobody knows how it is. For an hour it is listed as one that failed when last tried.
//   - What fails for want of credentials logs nothing while these fail: one cause is one line.
//   - One thing (a target) that fails for a minute where others of its peer get through is not the
//     peer's trouble. One line a minute counts such things and names one.
//   - What is amiss at a peer that gets through (Warn: it denies calls; credentials cannot be renewed) is said at once, once
//     a minute while it goes on, and once when it has not happened for two minutes. [Peers.Warnings] lists it meanwhile.
//   - At most 20 lines of a kind are logged in a minute; the rest are counted in one more.
package trouble

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Kind is what a peer is. The set is closed.
type Kind string

// The kinds.
const (
	Lane            Kind = "lane"              // the calls of one operation in one location
	Credentials     Kind = "credentials"       // of the worker itself, or of a role
	Topic           Kind = "topic"             // results
	Ledger          Kind = "ledger"            // the record of commands
	Queue           Kind = "queue"             // of commands: receiving, deleting, changing visibility
	DeadLetterQueue Kind = "dead-letter queue" // where messages are sent that cannot be run
)

// Own is the name of the worker's own credentials.
const Own = "the worker's own"

// Kinds are all of them, in order.
var Kinds = [...]Kind{Credentials, DeadLetterQueue, Lane, Ledger, Queue, Topic}

const (
	// grace is how long a peer must give nothing before that is said: what the next attempt mends
	// is not worth a line.
	grace = 2 * time.Second
	// silence is the same where there is no second attempt, or no answer at all.
	silence = 10 * time.Second
	// pollSilence is the same for a queue, whose long polls take 20 s.
	pollSilence = 25 * time.Second
	// throttledGrace is the same where every attempt was throttled.
	throttledGrace = 30 * time.Second
	// every is the time between two lines about the same trouble.
	every = time.Minute
	// untriedAfter is how long after its last failed attempt a peer counts as one that nobody tries:
	// longer than any backoff between two attempts.
	untriedAfter = 2 * time.Minute
	// forgotten is how long after it such a peer is listed.
	forgotten = time.Hour
	// look is the time between two looks at peers that fail or are waited for.
	look = time.Second
	// linesMost is the most lines of one kind in a minute.
	linesMost = 20
	// idlePeers is the number of peers from which on those that are idle are dropped.
	idlePeers = 1000
	// seriesMost is the most peers that are ever named in metrics, since their names come from
	// commands; others are only counted.
	seriesMost = 200
)

// Peers are those that one worker talks to. Its methods are safe for concurrent use.
type Peers struct {
	log   *zap.Logger
	armed atomic.Bool // the timer is set

	mu     sync.Mutex
	peers  map[key]*Peer
	series map[key]struct{} // that metrics name
	lines  map[Kind]*budget
	closed bool
	pruned time.Time // when idle peers were dropped last
}

type key struct {
	kind Kind
	name string
}

// budget bounds the lines of one kind.
type budget struct {
	since      time.Time
	lines      int
	suppressed int
}

// New returns Peers that log to log; nil logs nothing.
func New(log *zap.Logger) *Peers {
	if log == nil {
		log = zap.NewNop()
	}
	return &Peers{log: log, peers: make(map[key]*Peer), series: make(map[key]struct{}), lines: make(map[Kind]*budget)}
}

// Close ends the timer: nothing is logged any more. Attempts may still be reported.
func (p *Peers) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// Peer returns the peer of a kind and name, and makes it where there is none. held, where it is
// not nil, says how much is held here for it; it is called when a line is logged, with no lock held.
func (p *Peers) Peer(kind Kind, name string, held func() int) *Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := key{kind, name}
	if found := p.peers[k]; found != nil {
		return found
	}
	if now := time.Now(); len(p.peers) >= idlePeers && now.Sub(p.pruned) >= look {
		p.pruned = now
		for k, each := range p.peers {
			if !each.isActive() {
				delete(p.peers, k)
			}
		}
	}
	made := &Peer{of: p, kind: kind, name: name, held: held}
	p.peers[k] = made
	return made
}

// find returns the peer of a kind and name, nil where there is none.
func (p *Peers) find(kind Kind, name string) *Peer {
	if name == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peers[key{kind, name}]
}

// Known is how many peers of a kind there are.
func (p *Peers) Known(kind Kind) (n int) {
	for _, each := range p.all() {
		if each.kind == kind {
			n++
		}
	}
	return n
}

// arm sets the timer if it is not set.
func (p *Peers) arm() {
	if !p.armed.Load() && p.armed.CompareAndSwap(false, true) {
		time.AfterFunc(look, p.tick)
	}
}

// tick says what is due though no attempt has come back.
func (p *Peers) tick() {
	p.armed.Store(false) // before looking: whoever begins later sets the timer again
	now := time.Now()
	goesOn := false
	for _, each := range p.all() {
		if each.looked(now) {
			goesOn = true
		}
	}
	if p.summed(now) {
		goesOn = true
	}
	if goesOn {
		p.arm()
	}
}

// all are the peers by kind and name; none once closed.
func (p *Peers) all() []*Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	list := make([]*Peer, 0, len(p.peers))
	for _, each := range p.peers {
		list = append(list, each)
	}
	slices.SortFunc(list, func(a, b *Peer) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name)) })
	return list
}

// keep puts a peer that was dropped while it was idle back in its place, if that is free.
func (p *Peers) keep(each *Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := key{each.kind, each.name}
	if p.peers[k] == nil {
		p.peers[k] = each
	}
}

// say logs a line, within what is logged of a kind in a minute.
func (p *Peers) say(level zapcore.Level, kind Kind, message string, fields []zap.Field) {
	now := time.Now()
	p.mu.Lock()
	b := p.lines[kind]
	if b == nil {
		b = &budget{since: now}
		p.lines[kind] = b
	}
	if now.Sub(b.since) >= every && b.suppressed == 0 {
		b.since, b.lines = now, 0
	}
	b.lines++
	suppress := b.lines > linesMost
	if suppress {
		b.suppressed++
	}
	closed := p.closed
	p.mu.Unlock()
	if !closed && !suppress {
		p.log.Log(level, message, fields...)
	}
}

// summed says how many lines were left out in the minute that is over, and reports whether some
// were in the one that is not.
func (p *Peers) summed(now time.Time) (goesOn bool) {
	for _, kind := range Kinds {
		p.mu.Lock()
		b, left := p.lines[kind], 0
		if b != nil && b.suppressed > 0 {
			if now.Sub(b.since) >= every {
				left = b.suppressed
				*b = budget{since: now}
			} else {
				goesOn = true
			}
		}
		p.mu.Unlock()
		if left > 0 {
			p.log.Warn(string(kind)+": more lines than are logged in a minute; /readyz lists who fails", zap.Int("leftOut", left))
		}
	}
	return goesOn
}

// Failing is a peer that does not get through, or did not when it was last tried.
type Failing struct {
	Kind  Kind
	Name  string // of no control characters, and at most 200 bytes
	Since time.Time
	// Named says that metrics may name it: so many names at most are ever given.
	Named bool

	fails, held string
	reason
}

// String says it in one line: why, and what to do about it.
func (f Failing) String() string {
	return fmt.Sprintf("%s %s %s since %s (%s): %s%s", f.Kind, f.Name, f.fails,
		f.Since.UTC().Format(time.RFC3339), rounded(time.Since(f.Since)), f.reason, f.held)
}

// Failing lists those that do not get through by kind and name: those that the log named, or whose
// credentials it named, and of which it has not said the end. What nobody has tried for an hour is left out.
func (p *Peers) Failing() []Failing {
	var list []Failing
	now := time.Now()
	for _, each := range p.all() {
		if f, yes := each.failing(now); yes {
			f.Named = p.named(key{each.kind, each.name})
			list = append(list, f)
		}
	}
	return list
}

// named reports whether metrics may name a peer.
func (p *Peers) named(k key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, yes := p.series[k]; yes {
		return true
	}
	if len(p.series) >= seriesMost {
		return false
	}
	p.series[k] = struct{}{}
	return true
}
