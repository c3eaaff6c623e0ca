package dynamodb

import (
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// tokenKind is what a token of an expression is. The set is closed.
type tokenKind int

const (
	endToken    tokenKind = iota
	wordToken             // an attribute's name, a keyword, a function
	nameToken             // #placeholder
	valueToken            // :placeholder
	digitsToken           // of a list index
	signToken             // = <> < <= > >= + - ( ) [ ] , .
)

type token struct {
	kind tokenKind
	text string
	at   int // where it begins
}

// is reports whether it is a sign, or a keyword in any case.
func (t token) is(text string) bool {
	switch t.kind {
	case signToken:
		return t.text == text
	case wordToken:
		return strings.EqualFold(t.text, text)
	case endToken, nameToken, valueToken, digitsToken:
	}
	return false
}

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func digit(b byte) bool  { return b >= '0' && b <= '9' }
func inWord(b byte) bool { return letter(b) || digit(b) || b == '_' }

// lex cuts an expression into tokens, of which the last is an endToken. A name that begins with
// anything but a letter needs a placeholder ("Referring to item attributes when using
// expressions").
func (p *parser) lex() *service.Error {
	p.tokens = make([]token, 0, len(p.text)/3+2)
	for at := 0; ; {
		for at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[at]) >= 0 {
			at++
		}
		if at == len(p.text) {
			p.tokens = append(p.tokens, token{endToken, "<EOF>", at})
			return nil
		}
		t := p.next(at)
		if t.kind == endToken {
			return p.unexpected(token{endToken, p.text[at : at+1], at})
		}
		p.tokens = append(p.tokens, t)
		at += len(t.text)
	}
}

// next returns the token that begins at a place; an endToken where none does.
func (p *parser) next(at int) token {
	run := func(from int, in func(byte) bool) string {
		end := from
		for end < len(p.text) && in(p.text[end]) {
			end++
		}
		return p.text[at:end]
	}
	switch first := p.text[at]; {
	case letter(first):
		return token{wordToken, run(at, inWord), at}
	case digit(first):
		return token{digitsToken, run(at, digit), at}
	case first == '#' || first == ':':
		kind := nameToken
		if first == ':' {
			kind = valueToken
		}
		if text := run(at+1, inWord); len(text) > 1 {
			return token{kind, text, at}
		}
		return token{kind: endToken}
	}
	for _, sign := range [...]string{"<>", "<=", ">=", "=", "<", ">", "+", "-", "(", ")", "[", "]", ",", "."} {
		if strings.HasPrefix(p.text[at:], sign) {
			return token{signToken, sign, at}
		}
	}
	return token{kind: endToken}
}
