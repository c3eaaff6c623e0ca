package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// maxInput bounds the input in bytes: all of it is checked before any of it is sent.
const maxInput = 512 << 20

// value is one command as the input has it, with the number of the line on which it begins, from 1.
type value struct {
	line int
	text []byte
}

// split takes the input apart: JSON lines, JSON arrays, or objects over several lines. A line that is not
// JSON among JSON lines is returned as a value, for the decoder to refuse. Any other input that is not JSON is an error.
func split(input []byte) ([]value, error) {
	input = bytes.TrimPrefix(input, []byte("\ufeff"))
	values, err := parse(input)
	if err == nil {
		return values, nil
	}
	lines := linesOf(input)
	// A first line that stands alone says that every line does.
	if first := lines[0].text; first[0] != '{' && first[0] != '[' || jsontext.Value(first).IsValid(lenient...) {
		return lines, nil
	}
	return nil, misused("%w; nothing was sent", err)
}

// lenient leaves what the decoder refuses, with better words, to it.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// parse reads one JSON value after the other, and the elements of those that are arrays.
func parse(input []byte) ([]value, error) {
	var values []value
	decoder := jsontext.NewDecoder(bytes.NewReader(input), lenient...)
	line, counted := 1, 0
	for {
		kind := decoder.PeekKind()
		if kind == '[' && decoder.StackDepth() == 0 || kind == ']' {
			if _, err := decoder.ReadToken(); err != nil {
				return nil, syntax(input, err)
			}
			continue
		}
		text, err := decoder.ReadValue()
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return nil, syntax(input, err)
		}
		begin := int(decoder.InputOffset()) - len(text)
		line += bytes.Count(input[counted:begin], []byte("\n"))
		counted = begin
		values = append(values, value{line, input[begin : begin+len(text)]})
	}
}

// syntax says where the input is not JSON.
func syntax(input []byte, err error) error {
	at := len(input)
	var bad *jsontext.SyntacticError
	if errors.As(err, &bad) {
		at = min(at, int(bad.ByteOffset))
		err = bad.Err
	}
	before := input[:at]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := at - bytes.LastIndexByte(before, '\n')
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the input ends within a JSON value")
	}
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}

// linesOf returns the lines that are not blank.
func linesOf(input []byte) []value {
	var lines []value
	number := 0
	for text := range bytes.Lines(input) {
		number++
		if text = bytes.TrimSpace(text); len(text) > 0 {
			lines = append(lines, value{number, text})
		}
	}
	return lines
}
