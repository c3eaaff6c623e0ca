package dynamodb

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxExpression is the most bytes of an expression ("Quotas", expression parameters).
const maxExpression = 4096

// scope is the names and values of a request, which all its expressions share.
type scope struct {
	names  map[string]string
	values Item
	uses   []*uses      // of the expressions so far
	parsed bool         // there was an expression
	known  *expressions // nil: every expression is parsed
}

// expressing is embedded by every request with placeholders.
type expressing struct {
	Names  map[string]string `json:"ExpressionAttributeNames"`
	Values Item              `json:"ExpressionAttributeValues"`
}

func (e *expressing) scope() *scope {
	return &scope{names: e.Names, values: e.Values}
}

// finish refuses placeholders that no expression used.
func (s *scope) finish() *service.Error {
	if !s.parsed {
		switch {
		case s.names != nil:
			return invalid("ExpressionAttributeNames can only be specified when using expressions")
		case s.values != nil:
			return invalid("ExpressionAttributeValues can only be specified when using expressions")
		}
		return nil
	}
	if left := unused(s.values, s.uses, func(u *uses, key string) bool { return u.values[key] != "" }); len(left) > 0 {
		return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", strings.Join(left, ", "))
	}
	if left := unused(s.names, s.uses, func(u *uses, key string) bool { _, is := u.names[key]; return is }); len(left) > 0 {
		return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", strings.Join(left, ", "))
	}
	return nil
}

// unused returns the sorted keys that no expression uses.
func unused[V any](given map[string]V, all []*uses, used func(u *uses, key string) bool) []string {
	var left []string
	for key := range given {
		if !slices.ContainsFunc(all, func(u *uses) bool { return used(u, key) }) {
			left = append(left, key)
		}
	}
	slices.Sort(left)
	return left
}

// parser reads one expression by recursive descent.
type parser struct {
	what   string // "ConditionExpression"
	text   string
	scope  *scope
	uses   *uses
	tokens []token
	at     int
}

func newParser(what, expression string, s *scope) (*parser, *service.Error) {
	p := &parser{what: what, text: expression, scope: s, uses: &uses{names: map[string]string{}, values: map[string]Kind{}}}
	if strings.TrimSpace(p.text) == "" {
		return nil, p.refuse("The expression can not be empty;")
	}
	if len(p.text) > maxExpression {
		return nil, p.refuse("Expression size has exceeded the maximum allowed size; expression size: %d", len(p.text))
	}
	return p, p.lex()
}

func (p *parser) refuse(format string, args ...any) *service.Error {
	return invalid("Invalid "+p.what+": "+format, args...)
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) take() token {
	t := p.tokens[p.at]
	if t.kind != endToken {
		p.at++
	}
	return t
}

// accept takes the next token if it is this sign or keyword.
func (p *parser) accept(text string) bool {
	if !p.peek().is(text) {
		return false
	}
	p.at++
	return true
}

func (p *parser) want(text string) *service.Error {
	if !p.accept(text) {
		return p.unexpected(p.peek())
	}
	return nil
}

func (p *parser) unexpected(t token) *service.Error {
	near := strings.TrimSpace(p.text[max(0, t.at-8):min(len(p.text), t.at+len(t.text)+8)])
	return p.refuse("Syntax error; token: %q, near: %q", t.text, near)
}

func (p *parser) end() *service.Error {
	if t := p.peek(); t.kind != endToken {
		return p.unexpected(t)
	}
	return nil
}

// value reads a :placeholder.
func (p *parser) value() (string, *service.Error) {
	t := p.take()
	if t.kind != valueToken {
		return "", p.unexpected(t)
	}
	v, ok := p.scope.values[t.text]
	if !ok {
		return "", p.refuse("An expression attribute value used in expression is not defined; attribute value: %s", t.text)
	}
	p.uses.values[t.text] = v.kind
	return t.text, nil
}

// valueOf is the value of an operand that is a placeholder. What is made of more of it than its
// kind must be noted in uses.
func (p *parser) valueOf(o operand) Value { return p.scope.values[o.placeholder] }

// path reads a document path: a.b[0].#c.
func (p *parser) path() (path, *service.Error) {
	var out path
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		out = append(out, step{name: name})
		for p.accept("[") {
			t := p.take()
			n, err := strconv.Atoi(t.text)
			if t.kind != digitsToken || err != nil {
				return nil, p.unexpected(t)
			}
			if err := p.want("]"); err != nil {
				return nil, err
			}
			out = append(out, step{index: n})
		}
		if !p.accept(".") {
			break
		}
	}
	if len(out) > maxDepth {
		return nil, p.refuse("The document path has too many nesting elements; nesting levels: %d", len(out))
	}
	return out, nil
}

// name reads one name of a path.
func (p *parser) name() (string, *service.Error) {
	t := p.take()
	switch t.kind {
	case nameToken:
		name, ok := p.scope.names[t.text]
		if !ok {
			return "", p.refuse("An expression attribute name used in the document path is not defined; attribute name: %s", t.text)
		}
		p.uses.names[t.text] = name
		return name, nil
	case wordToken:
		if reserved(t.text) {
			return "", p.refuse("Attribute name is a reserved keyword; reserved keyword: %s", t.text)
		}
		return t.text, nil
	case endToken, valueToken, digitsToken, signToken:
	}
	return "", p.unexpected(t)
}

// paths reads paths with commas between them, which must not overlap.
func (p *parser) paths() ([]path, *service.Error) {
	var out []path
	for {
		next, err := p.path()
		if err != nil {
			return nil, err
		}
		out = append(out, next)
		if !p.accept(",") {
			return out, p.distinct(out)
		}
	}
}

// distinct refuses paths of which one is another or part of it. It costs the square of their
// number, which 4,096 bytes bound.
func (p *parser) distinct(paths []path) *service.Error {
	for i, a := range paths {
		for _, b := range paths[:i] {
			if n := min(len(a), len(b)); slices.Equal(a[:n], b[:n]) {
				return p.refuse("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [%s], path two: [%s]", b, a)
			}
		}
	}
	return nil
}

// projection reads a ProjectionExpression; nil where there is none.
func projection(expression *string, s *scope) ([]path, *service.Error) {
	return parsed("ProjectionExpression", expression, s, func(p *parser) ([]path, *service.Error) {
		out, err := p.paths()
		if err != nil {
			return nil, err
		}
		return out, p.end()
	})
}

//go:embed reserved.txt
var reservedText string

// reservedWords are AWS's, sorted ("Reserved words in DynamoDB").
var reservedWords = strings.Fields(reservedText)

func reserved(word string) bool {
	_, found := slices.BinarySearch(reservedWords, strings.ToUpper(word))
	return found
}
