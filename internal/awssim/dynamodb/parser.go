package dynamodb

import (
	_ "embed"
	"maps"
	"slices"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxExpression is the most bytes of an expression ("Quotas", expression parameters).
const maxExpression = 4096

// placeholders are embedded by every request with expressions, which share them.
type placeholders struct {
	Names  map[string]string `json:"ExpressionAttributeNames"`
	Values Item              `json:"ExpressionAttributeValues"`

	used []string // those that an expression used
}

// finish refuses placeholders that no expression used, after all were parsed.
func (s *placeholders) finish() *service.Error {
	for _, placeholder := range slices.AppendSeq(slices.Collect(maps.Keys(s.Names)), maps.Keys(s.Values)) {
		if !slices.Contains(s.used, placeholder) {
			return invalid("Value provided in ExpressionAttributeNames or ExpressionAttributeValues unused in expressions: keys: {%s}", placeholder)
		}
	}
	return nil
}

// parser reads one expression by recursive descent. After its first refusal it has no more tokens, so
// that whoever reads on comes to the end.
type parser struct {
	*placeholders
	what    string // "ConditionExpression"
	rest    string // behind the token
	token   string // a word, #placeholder, :placeholder or sign; "" at the end
	refusal *service.Error
}

// parse reads an expression with read, up to its end; the zero value where there is none.
func parse[T any](what string, expression *string, s *placeholders, read func(*parser) T) (out T, _ *service.Error) {
	if expression == nil {
		return out, nil
	}
	p := &parser{placeholders: s, what: what, rest: *expression}
	if len(p.rest) > maxExpression {
		p.refuse("Expression size has exceeded the maximum allowed size; expression size: %d", len(p.rest))
	}
	if p.next(); p.token == "" {
		p.refuse("The expression can not be empty;")
	}
	out = read(p)
	if p.token != "" {
		p.unexpected()
	}
	return out, p.refusal
}

func (p *parser) refuse(format string, args ...any) {
	p.stop(invalid("Invalid "+p.what+": "+format, args...))
}

func (p *parser) undone(what string) { p.stop(undone(what + " in a " + p.what)) }

func (p *parser) stop(refusal *service.Error) {
	if p.refusal == nil {
		p.refusal = refusal
	}
	p.token, p.rest = "", ""
}

func (p *parser) unexpected() {
	switch {
	case p.token == "." || p.token == "[":
		p.undone("document paths")
	case p.is("BETWEEN") || p.is("IN"):
		p.undone(strings.ToUpper(p.token))
	default:
		p.refuse("Syntax error; token: %q, before: %q", p.token, p.rest)
	}
}

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

func inWord(r rune) bool { return r < 0x80 && letter(byte(r)) || r >= '0' && r <= '9' || r == '_' }

// next goes to the next token.
func (p *parser) next() {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	n := min(1, len(p.rest))
	switch {
	case n == 0:
	case strings.HasPrefix(p.rest, "<>"), strings.HasPrefix(p.rest, "<="), strings.HasPrefix(p.rest, ">="):
		n = 2
	case p.rest[0] == '#' || p.rest[0] == ':' || inWord(rune(p.rest[0])):
		n = len(p.rest) - len(strings.TrimLeftFunc(p.rest[1:], inWord))
	}
	p.token, p.rest = p.rest[:n], p.rest[n:]
}

// is reports whether the token is a sign or a keyword, which may be in any case.
func (p *parser) is(text string) bool { return strings.EqualFold(p.token, text) }

// accept takes the token if it is this sign or keyword.
func (p *parser) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.next()
	return true
}

func (p *parser) want(text string) {
	if !p.accept(text) {
		p.unexpected()
	}
}

// calls reports whether the token is the name of a function.
func (p *parser) calls() bool {
	return p.token != "" && letter(p.token[0]) && strings.HasPrefix(strings.TrimLeft(p.rest, " \t\r\n"), "(")
}

// operand is an attribute, or a value where attribute is "".
type operand struct {
	attribute string
	value     Value
}

// of is what an operand stands for in an item.
func (o operand) of(item Item) (v Value, ok bool) {
	if o.attribute == "" {
		return o.value, true
	}
	v, ok = item[o.attribute]
	return v, ok
}

func (p *parser) operand() operand {
	if !strings.HasPrefix(p.token, ":") {
		return operand{attribute: p.attribute()}
	}
	v, ok := p.Values[p.token]
	if !ok {
		p.refuse("An expression attribute value used in expression is not defined; attribute value: %s", p.token)
	}
	p.used = append(p.used, p.token)
	p.next()
	return operand{value: v}
}

// attribute reads the name of an attribute, or the placeholder of one.
func (p *parser) attribute() (name string) {
	switch {
	case p.token == "" || p.token[0] != '#' && !letter(p.token[0]):
		p.unexpected()
	case p.calls():
		p.function()
	case p.token[0] == '#':
		if name = p.Names[p.token]; name == "" {
			p.refuse("An expression attribute name used in the document path is not defined; attribute name: %s", p.token)
		}
		p.used = append(p.used, p.token)
	default:
		if name = p.token; reserved(name) {
			p.refuse("Attribute name is a reserved keyword; reserved keyword: %s", name)
		}
	}
	if p.next(); p.token == "." || p.token == "[" {
		p.unexpected()
	}
	return name
}

// functions are DynamoDB's, and how many operands they take; 0 for those that the simulator does not do.
var functions = map[string]int{
	"attribute_exists": 1, "attribute_not_exists": 1, "if_not_exists": 2,
	"attribute_type": 0, "begins_with": 0, "contains": 0, "list_append": 0, "size": 0,
}

// function reads the name of a function, which must be one of those that may stand here, and what it
// is given: an attribute first.
func (p *parser) function(here ...string) (name string, given []operand) {
	name = p.token
	n, known := functions[name]
	switch {
	case !known:
		p.refuse("Invalid function name; function: %s", name)
	case n == 0:
		p.undone("the function " + name)
	case !slices.Contains(here, name):
		p.refuse("The function is not allowed to be used this way in an expression; function: %s", name)
	}
	p.next()
	p.want("(")
	p.each(func() { given = append(given, p.operand()) })
	p.want(")")
	switch {
	case p.refusal != nil:
	case len(given) != n:
		p.refuse("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, len(given))
	case given[0].attribute == "":
		p.refuse("Operator or function requires a document path; operator or function: %s", name)
	}
	return name, append(given, operand{}, operand{}) // so that there are two after a refusal
}

func (p *parser) wrongType(operator string, kind Kind) {
	p.refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", operator, kind)
}

//go:embed reserved.txt
var reservedText string

// reservedWords are AWS's, sorted, which cannot be names of attributes without a placeholder ("Reserved
// words in DynamoDB").
var reservedWords = strings.Fields(reservedText)

func reserved(word string) bool {
	_, found := slices.BinarySearch(reservedWords, strings.ToUpper(word))
	return found
}
