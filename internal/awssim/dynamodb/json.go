package dynamodb

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep values may be nested ("Quotas", nested attribute depth).
const maxDepth = 32

// UnmarshalJSONFrom reads an item without reflection, of which it would be the dearest part.
func (i *Item) UnmarshalJSONFrom(dec *jsontext.Decoder) (err error) {
	if dec.PeekKind() == 'n' {
		*i = nil
		return dec.SkipValue()
	}
	*i, err = readFields(dec, 1)
	return err
}

// UnmarshalJSONFrom reads a value as the wire has it, {"S":"text"}, and checks it.
func (v *Value) UnmarshalJSONFrom(dec *jsontext.Decoder) (err error) {
	*v, err = readValue(dec, 1)
	return err
}

func readValue(dec *jsontext.Decoder, depth int) (v Value, err error) {
	if depth > maxDepth+1 {
		return v, invalid("Nesting Levels have exceeded supported limits")
	}
	if dec.PeekKind() != '{' {
		return v, errors.New(`an attribute value is an object such as {"S":"text"}`)
	}
	if _, err := dec.ReadToken(); err != nil {
		return v, err
	}
	for n := 0; ; n++ {
		name, err := dec.ReadToken()
		if err != nil {
			return v, err
		}
		if name.Kind() == '}' {
			if n == 0 {
				return v, invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
			}
			return v, nil
		}
		if n > 0 {
			return v, invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		}
		if v, err = readContent(dec, Kind(name.String()), depth); err != nil {
			return v, err
		}
	}
}

func readContent(dec *jsontext.Decoder, kind Kind, depth int) (v Value, err error) {
	switch kind {
	case String, Number, Binary:
		wire, err := readText(dec)
		if err != nil {
			return v, err
		}
		return scalar(kind, wire)
	case Bool, Null:
		var yes bool
		if err := json.UnmarshalDecode(dec, &yes); err != nil {
			return v, err
		}
		if kind == Bool {
			return Value{kind: Bool, inner: yes}, nil
		}
		if !yes {
			return v, badValue("Null attribute value types must have the value of true")
		}
		return Value{kind: Null}, nil
	case StringSet, NumberSet, BinarySet:
		return readSet(dec, kind)
	case List:
		return readList(dec, depth)
	case Map:
		if dec.PeekKind() != '{' {
			return v, errors.New("a map is an object")
		}
		fields, err := readFields(dec, depth+1)
		return mapOf(fields), err
	}
	return v, invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

// readText reads a string; null is an empty one.
func readText(dec *jsontext.Decoder) (string, error) {
	token, err := dec.ReadToken()
	switch {
	case err != nil:
		return "", err
	case token.Kind() == '"':
		return token.String(), nil
	case token.Kind() == 'n':
		return "", nil
	}
	return "", fmt.Errorf("the value is to be a JSON string, and is %s", token.Kind())
}

// scalar makes a text of the wire an S, N or B.
func scalar(kind Kind, wire string) (Value, error) {
	switch kind {
	case Number:
		if inOurForm(wire) {
			return Value{kind: Number, text: wire}, nil
		}
		d, refusal := parseDecimal(wire)
		if refusal != nil {
			return Value{}, refusal
		}
		return number(d), nil
	case Binary:
		b, err := base64.StdEncoding.DecodeString(wire)
		if err != nil {
			return Value{}, fmt.Errorf("reading a binary value: %w", err)
		}
		return Value{kind: Binary, text: string(b)}, nil
	case String, Bool, Null, StringSet, NumberSet, BinarySet, List, Map:
	}
	return text(wire), nil
}

func readSet(dec *jsontext.Decoder, kind Kind) (v Value, err error) {
	var set []string
	if err := json.UnmarshalDecode(dec, &set); err != nil {
		return v, err
	}
	if len(set) == 0 {
		name := map[Kind]string{StringSet: "string", NumberSet: "number", BinarySet: "binary"}[kind]
		return v, badValue("An %s set  may not be empty", name)
	}
	v = setOf(kind, set)
	for i, wire := range set {
		member, err := scalar(v.member(), wire)
		if err != nil {
			return v, err
		}
		set[i] = member.text
	}
	if sorted := slices.Sorted(slices.Values(set)); len(slices.Compact(sorted)) < len(set) {
		return v, badValue("Input collection contains duplicates.")
	}
	return v, nil
}

func readList(dec *jsontext.Decoder, depth int) (v Value, err error) {
	if dec.PeekKind() != '[' {
		return v, errors.New("a list is an array")
	}
	if _, err := dec.ReadToken(); err != nil {
		return v, err
	}
	var list []Value
	for dec.PeekKind() != ']' {
		e, err := readValue(dec, depth+1)
		if err != nil {
			return v, err
		}
		list = append(list, e)
	}
	_, err = dec.ReadToken()
	return listOf(list), err
}

// readFields reads an object of values, each of which is so deep.
func readFields(dec *jsontext.Decoder, depth int) (map[string]Value, error) {
	if dec.PeekKind() != '{' {
		return nil, errors.New("an item is an object of attribute values")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	type field struct {
		name  string
		value Value
	}
	var few [16]field // so that the map is made in its size
	fields := few[:0]
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		f := field{name: name.String()} // the token is of no use after the next read
		if f.value, err = readValue(dec, depth); err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	out := make(map[string]Value, len(fields))
	for _, f := range fields {
		out[f.name] = f.value
	}
	_, err := dec.ReadToken()
	return out, err
}

// MarshalJSONTo writes a value as the wire has it.
func (v Value) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	if err := enc.WriteToken(jsontext.String(string(v.kind))); err != nil {
		return err
	}
	if err := v.writeContent(enc); err != nil {
		return err
	}
	return enc.WriteToken(jsontext.EndObject)
}

func (v Value) writeContent(enc *jsontext.Encoder) error {
	switch v.kind {
	case String, Number:
		return enc.WriteToken(jsontext.String(v.text))
	case Binary:
		return enc.WriteToken(jsontext.String(base64.StdEncoding.EncodeToString([]byte(v.text))))
	case Bool:
		return enc.WriteToken(jsontext.Bool(v.yes()))
	case Null:
		return enc.WriteToken(jsontext.True)
	case StringSet, NumberSet:
		return json.MarshalEncode(enc, v.set())
	case BinarySet:
		return json.MarshalEncode(enc, v.plain())
	case List:
		if err := enc.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for _, e := range v.list() {
			if err := e.MarshalJSONTo(enc); err != nil {
				return err
			}
		}
		return enc.WriteToken(jsontext.EndArray)
	case Map:
		return json.MarshalEncode(enc, v.fields())
	}
	return fmt.Errorf("a value of no kind %q", v.kind)
}
