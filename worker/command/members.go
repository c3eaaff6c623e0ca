package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// members calls each with the members of the JSON object in text, in their order, until each
// returns an error. Values share text's memory. Text that is not exactly one JSON object in
// UTF-8 with unique names at every depth, 10,000 deep at most (jsontext's own bound), gives
// an error; members that stand before the fault have then been seen.
func members(text []byte, each func(name string, value jsontext.Value) error) error {
	dec := decoderOf(text)
	defer decoders.Put(dec)
	switch token, err := dec.ReadToken(); {
	case err != nil:
		return err
	case token.Kind() != jsontext.KindBeginObject:
		return errNotObject
	}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		// jsontext lends its value until the next read only; the same bytes stand in text.
		end := int(dec.InputOffset())
		if err := each(name, text[end-len(value):end:end]); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil { // the closing brace
		return err
	}
	switch _, err := dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil
	default:
		return errTrailing
	}
}

// decoders are used again: a new one for each object would be a tenth of what reading a command
// allocates. Each keeps the text that it read last until its next use, or the garbage collector
// takes both.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

func decoderOf(text []byte) *jsontext.Decoder {
	dec := decoders.Get().(*jsontext.Decoder)
	dec.Reset(bytes.NewBuffer(text))
	return dec
}

var (
	errNotObject = errors.New("not an object")
	errTrailing  = errors.New("something follows the object")
)

// object calls each with the members of a value that stands at path, until one is at fault.
func object(path string, value jsontext.Value, each func(string, jsontext.Value) *handlers.FieldError) *handlers.FieldError {
	var fault *handlers.FieldError
	err := members(value, func(name string, value jsontext.Value) error {
		if fault = each(name, value); fault != nil {
			return fault
		}
		return nil
	})
	switch {
	case errors.Is(err, errNotObject):
		return &handlers.FieldError{Field: path, Rule: "must be an object, not " + nameOf(kindOf(value))}
	case fault == nil && err != nil: // not met: the value was read before, with its body
		return &handlers.FieldError{Field: path, Rule: "must be JSON: " + err.Error()}
	}
	return fault
}

// elements calls each with the elements of the list that stands at path, until one is at
// fault. The values are lent until each returns.
func elements(path string, list jsontext.Value, each func(jsontext.Value) *handlers.FieldError) *handlers.FieldError {
	dec := decoderOf(list)
	defer decoders.Put(dec)
	_, err := dec.ReadToken()
	for err == nil && dec.PeekKind() != jsontext.KindEndArray {
		var value jsontext.Value
		if value, err = dec.ReadValue(); err == nil {
			if fault := each(value); fault != nil {
				return fault
			}
		}
	}
	if err != nil { // not met: the list was read before, with its body
		return &handlers.FieldError{Field: path, Rule: "must be JSON: " + err.Error()}
	}
	return nil
}

// unreadable says which rule of JSON a text breaks, which stood in the field at ("body" or an
// envelope's), from the error of members.
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
		return fault("must be a JSON object, not %s", nameOf(kindOf(body)))
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

func invalidAt(text []byte) int {
	at := 0
	for at < len(text) {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return at
}

// pathOf writes a JSON pointer as a path from the command's root.
func pathOf(p jsontext.Pointer) string {
	var names []string
	for name := range p.Tokens() {
		names = append(names, plain(name))
	}
	return clip(strings.Join(names, "."), 200)
}

// kindOf is the kind of a JSON value by its first byte that is not white space.
func kindOf(text []byte) jsontext.Kind { return jsontext.Value(text).Kind() }

// nameOf is the name of a JSON kind in an error's sentence.
func nameOf(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "a list"
	case jsontext.KindInvalid, jsontext.KindEndObject, jsontext.KindEndArray:
	}
	return "nothing that JSON knows"
}

// unquote is the text of a JSON string that members has found to be sound.
func unquote(value jsontext.Value) string {
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	text, _ := jsontext.AppendUnquote(nil, []byte(value))
	return string(text)
}
