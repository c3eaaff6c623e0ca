package credentials

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/rescindhq/rescind/worker/chance"
	"github.com/rescindhq/rescind/worker/trouble"
)

const (
	// limit is how long one retrieval may take: an agent or STS answers in well under a second.
	limit = 10 * time.Second
	// early is how long before their expiry credentials are asked for anew, or half of the time that
	// they are good for, where that is less.
	early = 5 * time.Minute
	// backoffBase and backoffMost bound the full-jitter wait after a failure: the n-th is drawn
	// evenly from 0 to the lesser of base·2ⁿ and most, so that an outage's end is seen within seconds.
	backoffBase = 200 * time.Millisecond
	backoffMost = 5 * time.Second
	// warnAfter is how many retrievals in a row must fail, while the credentials are still good, before that is said.
	warnAfter = 4
)

// Own is the name of the worker's own credentials.
const Own = trouble.Own

// Error says that credentials cannot be had, and so that a request was not sent. It does not unwrap:
// the code of whoever refused the credentials is not AWS's word about the request.
type Error struct {
	Name string // the role's ARN, or Own
	from string // the SDK's provider that gave the last ones; "": none did
	why  error
}

func (e *Error) Error() string {
	why, _ := trouble.Why(trouble.Credentials, e.Name, e, limit)
	return "no credentials (" + e.Name + "): " + why
}

// NoCredentials says whose credentials are wanting, which of the SDK's providers gave them before,
// and why it gives none.
func (e *Error) NoCredentials() (name, from string, why error) { return e.Name, e.from, e.why }

// NothingSent is true: see handlers.OriginOf.
func (*Error) NothingSent() bool { return true }

// Source hands out credentials. It implements aws.CredentialsProvider, and its methods are safe for
// concurrent use.
type Source struct {
	name   string
	from   aws.CredentialsProvider
	chance *rand.Rand

	mu       sync.Mutex
	peer     *trouble.Peer
	have     aws.Credentials // the last ones that were got; the zero value: none were
	renewAt  time.Time       // when to ask for others; zero: never
	flight   chan struct{}   // closed when the retrieval under way has ended; nil: none is
	failures int             // in a row
	again    time.Time       // when the next retrieval may begin after a failure
	why      *Error          // the last failure; nil: the last retrieval succeeded, or none was
	renewing bool            // it was while the credentials were still good, and is not reported
}

// New returns a source of what a provider gives, and reports to peers under the given name. A
// provider that is a Source is returned as it is, and reports to these peers from now on. Jitter is drawn
// from the last argument; nil means a source of a seed drawn now.
func New(from aws.CredentialsProvider, name string, peers *trouble.Peers, jitter *rand.Rand) *Source {
	s, ok := from.(*Source)
	if !ok {
		s = &Source{name: name, from: from, chance: chance.Or(jitter)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer = peers.Peer(trouble.Credentials, s.name, nil)
	return s
}

// Retrieve returns credentials that have not expired, or an *Error: once ctx ends, or after 10 s, and at
// once while the last retrieval has failed.
func (s *Source) Retrieve(ctx context.Context) (aws.Credentials, error) {
	s.mu.Lock()
	now := time.Now().Round(0)
	good, have, why := s.goodLocked(now), s.have, s.why
	if good && (s.renewAt.IsZero() || now.Before(s.renewAt)) {
		s.mu.Unlock()
		return have, nil
	}
	flight := s.flight
	if flight == nil && !now.Before(s.again) {
		flight = s.beginLocked()
		why = nil // whoever begins one waits for it
	}
	expired, peer := !good && s.renewing && why != nil, s.peer
	if expired {
		s.renewing = false
	}
	s.mu.Unlock()
	switch {
	case good:
		return have, nil
	case why != nil:
		if expired {
			peer.Begin().Failed(why)
		}
		return aws.Credentials{}, why
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return aws.Credentials{}, &Error{Name: s.name, why: errors.New("the caller did not wait: " + context.Cause(ctx).Error())}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.goodLocked(time.Now().Round(0)) {
		return s.have, nil
	}
	if s.why == nil {
		return aws.Credentials{}, &Error{Name: s.name, from: s.have.Source, why: errors.New("those that were retrieved have expired since")}
	}
	return aws.Credentials{}, s.why
}

// From is the SDK's provider that gave the last credentials; "": none did.
func (s *Source) From() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have.Source
}

// IsCredentialsProvider says whether the provider behind the source is one like target.
func (s *Source) IsCredentialsProvider(target aws.CredentialsProvider) bool {
	return aws.IsCredentialsProvider(s.from, target)
}

func (s *Source) goodLocked(now time.Time) bool {
	return s.have.HasKeys() && (!s.have.CanExpire || now.Before(s.have.Expires))
}

// beginLocked begins a retrieval. A cache in the provider would give again what it has.
func (s *Source) beginLocked() chan struct{} {
	if cache, ok := s.from.(interface{ Invalidate() }); ok && s.have.HasKeys() {
		cache.Invalidate()
	}
	s.flight = make(chan struct{})
	go s.retrieve(s.flight, s.peer.Begin())
	return s.flight
}

func (s *Source) retrieve(flight chan struct{}, asked trouble.Attempt) {
	got, err := s.ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(flight)
	s.flight = nil
	now := time.Now().Round(0)
	if err != nil {
		s.why = &Error{Name: s.name, from: s.have.Source, why: err}
		s.again = now.Add(chance.Below(s.chance, min(backoffMost, backoffBase<<min(s.failures, 16))) + 1)
		s.failures++
		if s.goodLocked(now) {
			asked.Dropped()
			s.renewing = true
			if s.failures >= warnAfter {
				s.peer.Warn(trouble.CannotRenew, s.why)
			}
		} else {
			asked.Failed(s.why)
		}
		return
	}
	s.have, s.why, s.renewing, s.failures, s.again, s.renewAt = got, nil, false, 0, time.Time{}, time.Time{}
	if got.CanExpire {
		left := got.Expires.Sub(now)
		s.renewAt = now.Add(max(left-early, left/2))
	}
	asked.Through()
}

// linger is how long a provider may take to say itself that its time ran out: it knows whom it asked.
const linger = 100 * time.Millisecond

// ask makes one retrieval. A provider that does not heed its context is left alone with it.
func (s *Source) ask() (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	type answer struct {
		got aws.Credentials
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		defer func() { // the SDK's client of container agents panics where JSON says null
			if p := recover(); p != nil {
				a.err = fmt.Errorf("what was answered cannot be read: %v", p)
			}
			answered <- a
		}()
		a.got, a.err = s.from.Retrieve(ctx)
	}()
	var a answer
	select {
	case a = <-answered:
	case <-ctx.Done():
		select {
		case a = <-answered:
		case <-time.After(linger):
			a.err = ctx.Err()
		}
	}
	switch {
	case a.err != nil:
		return aws.Credentials{}, a.err
	case !a.got.HasKeys():
		return aws.Credentials{}, errors.New("the answer has no keys")
	case a.got.Expired():
		return aws.Credentials{}, &trouble.Error{
			Why: "those in the answer expired at " + a.got.Expires.UTC().Format(time.RFC3339),
			Do:  "look at this machine's or container's clock, which says " + time.Now().UTC().Format(time.RFC3339) + ", and at what gives the credentials",
		}
	}
	return a.got, nil
}
