package dynamodb

import (
	"sync"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxKnown is how many expressions are kept: programs have a few dozen texts, and what makes
// texts without end only loses what this spares.
const maxKnown = 256

// expressions are those that were parsed lately, by their texts: a transaction of a hundred
// actions has the same few a hundred times. Its methods are safe for concurrent use; the zero
// value is empty, and nil keeps nothing.
type expressions struct {
	mu     sync.Mutex
	parsed map[expressionKey]knownExpression
}

type expressionKey struct{ what, text string }

// knownExpression is what was made of a text, which never changes, and under what it holds.
type knownExpression struct {
	made any
	uses *uses
}

// uses is what an expression takes from its request. It does not change once it is known.
type uses struct {
	names  map[string]string // placeholders, and the attributes that they stood for
	values map[string]Kind   // placeholders, and the kinds of their values
	exact  bool              // it was checked by more of a value than its kind
}

// fit reports whether an expression comes out the same under the names and values of another
// request.
func (u *uses) fit(s *scope) bool {
	if u.exact {
		return false
	}
	for placeholder, name := range u.names {
		if given, ok := s.names[placeholder]; !ok || given != name {
			return false
		}
	}
	for placeholder, kind := range u.values {
		if s.values[placeholder].kind != kind { // a value that is not there has none
			return false
		}
	}
	return true
}

// find returns what was made of an expression, if that holds for this request.
func (e *expressions) find(key expressionKey, s *scope) (known knownExpression, ok bool) {
	if e == nil {
		return known, false
	}
	e.mu.Lock()
	known, ok = e.parsed[key]
	e.mu.Unlock()
	return known, ok && known.uses.fit(s)
}

// keep notes what was made of an expression. Only what was not refused is kept.
func (e *expressions) keep(key expressionKey, known knownExpression) {
	if e == nil || known.uses.exact {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.parsed == nil || len(e.parsed) >= maxKnown {
		e.parsed = map[expressionKey]knownExpression{}
	}
	e.parsed[key] = known
}

// parsed parses an expression of a request, unless it is known; it is T's zero value where there
// is none.
func parsed[T any](what string, expression *string, s *scope, parse func(p *parser) (T, *service.Error)) (made T, _ *service.Error) {
	if expression == nil {
		return made, nil
	}
	s.parsed = true
	key := expressionKey{what, *expression}
	if known, ok := s.known.find(key, s); ok {
		s.uses = append(s.uses, known.uses)
		return known.made.(T), nil
	}
	p, refusal := newParser(what, *expression, s)
	if refusal != nil {
		return made, refusal
	}
	if made, refusal = parse(p); refusal != nil {
		return made, refusal
	}
	s.uses = append(s.uses, p.uses)
	s.known.keep(key, knownExpression{made, p.uses})
	return made, nil
}
