package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// object is a JSON object: its members in their order.
type object []member

type member struct {
	name  string
	value jsontext.Value
}

func (m member) isNull() bool { return m.value.Kind() == jsontext.KindNull }

var (
	errNotObject = errors.New("not an object")
	errTrailing  = errors.New("something follows the object")
)

// decoders are used again, since a new one makes its tables of names anew: half of what reading a command takes.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// read reads an object, whose values share text's memory. Text that is not exactly one JSON object in
// UTF-8 with unique names at every depth, 10,000 deep at most (jsontext's own bound), gives an error
// and the members that stand before the fault.
func read(text []byte) (object, error) {
	dec := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(dec)
	dec.Reset(bytes.NewBuffer(text))
	switch token, err := dec.ReadToken(); {
	case err != nil:
		return nil, err
	case token.Kind() != jsontext.KindBeginObject:
		return nil, errNotObject
	}
	o := make(object, 0, 12)
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return o, err
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return o, err
		}
		// jsontext lends its value until the next read only; the same bytes stand in text.
		end := int(dec.InputOffset())
		o = append(o, member{name, text[end-len(value) : end : end]})
	}
	if _, err := dec.ReadToken(); err != nil { // the closing brace
		return o, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return o, errTrailing
	}
	return o, nil
}

// value is the member of that name; nil: there is none, or it is null, which says the same.
func (o object) value(name string) jsontext.Value {
	for _, m := range o {
		if m.name == name && !m.isNull() {
			return m.value
		}
	}
	return nil
}

// withoutNulls is the object's text without its members that are null. Where there are none it is the same
// text.
func (o object) withoutNulls(text jsontext.Value) jsontext.Value {
	if !slices.ContainsFunc(o, member.isNull) {
		return text
	}
	rest := []byte{'{'}
	for _, m := range o {
		if m.isNull() {
			continue
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		rest, _ = jsontext.AppendQuote(rest, m.name)
		rest = append(append(rest, ':'), m.value...)
	}
	return append(rest, '}')
}

// items are the elements of a JSON list; none of anything else.
func items(list jsontext.Value) []jsontext.Value {
	var all []jsontext.Value
	if list.Kind() == jsontext.KindBeginArray {
		_ = json.Unmarshal(list, &all) // it was read before, as a part of the body
	}
	return all
}

// unquote is the text of a JSON string, "" of anything else.
func unquote(value jsontext.Value) string {
	if value.Kind() != jsontext.KindString {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, value)
	return string(text)
}

// kinds are the names of JSON's kinds in an error's sentence.
var kinds = map[jsontext.Kind]string{
	jsontext.KindInvalid: "nothing that JSON knows", jsontext.KindNull: "null", jsontext.KindTrue: "a boolean", jsontext.KindFalse: "a boolean",
	jsontext.KindString: "a string", jsontext.KindNumber: "a number", jsontext.KindBeginObject: "an object", jsontext.KindBeginArray: "a list",
}

// unreadable says which rule of JSON a text breaks, which stood in the field at ("body" or an
// envelope's), from the error of read.
func unreadable(at string, body []byte, err error) *handlers.FieldError {
	fault := func(format string, args ...any) *handlers.FieldError {
		return &handlers.FieldError{Field: at, Rule: fmt.Sprintf(format, args...)}
	}
	var syntax *jsontext.SyntacticError
	isSyntax := errors.As(err, &syntax)
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return fault("must not be empty")
	case errors.Is(err, errNotObject):
		return fault("must be a JSON object, not %s", kinds[jsontext.Value(body).Kind()])
	case isSyntax && errors.Is(err, jsontext.ErrDuplicateName):
		return &handlers.FieldError{Field: pathOf(syntax.JSONPointer), Rule: "must not be given twice"}
	case !utf8.Valid(body):
		return fault("must be UTF-8; it is not at byte %d", invalidAt(body))
	case errors.Is(err, errTrailing):
		return fault("must be one JSON object; something follows it")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault("must be JSON; it ends too early, at byte %d", len(body))
	case isSyntax && syntax.Err != nil:
		return fault("must be JSON; at byte %d: %s", syntax.ByteOffset, clip(syntax.Err.Error(), 200))
	}
	return fault("must be JSON; %v", err)
}

// invalidAt is where the first bytes stand that are not UTF-8.
func invalidAt(text []byte) int {
	for i, r := range string(text) {
		if r == utf8.RuneError && !bytes.HasPrefix(text[i:], []byte("\uFFFD")) {
			return i
		}
	}
	return len(text)
}

// pathOf writes a JSON pointer as a path from the command's root.
func pathOf(p jsontext.Pointer) string {
	var names []string
	for name := range p.Tokens() {
		names = append(names, plain(name))
	}
	return clip(strings.Join(names, "."), 200)
}
