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

// UnmarshalJSONFrom reads a value as the wire has it, {"S":"text"}, and checks it.
func (v *Value) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return v.read(dec, 1) }

func (v *Value) read(dec *jsontext.Decoder, depth int) error {
	if depth > maxDepth+1 {
		return invalid("Nesting Levels have exceeded supported limits")
	}
	if dec.PeekKind() != '{' {
		return errors.New(`an attribute value is an object such as {"S":"text"}`)
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for n := 0; ; n++ {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if name.Kind() == '}' {
			if n == 0 {
				return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
			}
			return nil
		}
		if n > 0 {
			return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		}
		v.kind = Kind(name.String())
		if err := v.readContent(dec, depth); err != nil {
			return err
		}
	}
}

func (v *Value) readContent(dec *jsontext.Decoder, depth int) (err error) {
	switch v.kind {
	case String:
		return json.UnmarshalDecode(dec, &v.text)
	case Number, Binary:
		if err := json.UnmarshalDecode(dec, &v.text); err != nil {
			return err
		}
		*v, err = scalar(v.kind, v.text)
		return err
	case Bool:
		return json.UnmarshalDecode(dec, &v.yes)
	case Null:
		if err := json.UnmarshalDecode(dec, &v.yes); err != nil {
			return err
		}
		if !v.yes {
			return badValue("Null attribute value types must have the value of true")
		}
		return nil
	case StringSet, NumberSet, BinarySet:
		return v.readSet(dec)
	case List:
		return v.readList(dec, depth)
	case Map:
		return v.readMap(dec, depth)
	}
	return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

// scalar makes a text of the wire an S, N or B.
func scalar(kind Kind, wire string) (Value, error) {
	switch kind {
	case Number:
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

func (v *Value) readSet(dec *jsontext.Decoder) error {
	if err := json.UnmarshalDecode(dec, &v.set); err != nil {
		return err
	}
	if len(v.set) == 0 {
		name := map[Kind]string{StringSet: "string", NumberSet: "number", BinarySet: "binary"}[v.kind]
		return badValue("An %s set  may not be empty", name)
	}
	for i, wire := range v.set {
		member, err := scalar(v.member(), wire)
		if err != nil {
			return err
		}
		v.set[i] = member.text
	}
	if sorted := slices.Sorted(slices.Values(v.set)); len(slices.Compact(sorted)) < len(v.set) {
		return badValue("Input collection contains duplicates.")
	}
	return nil
}

func (v *Value) readList(dec *jsontext.Decoder, depth int) error {
	if dec.PeekKind() != '[' {
		return errors.New("a list is an array")
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		var e Value
		if err := e.read(dec, depth+1); err != nil {
			return err
		}
		v.list = append(v.list, e)
	}
	_, err := dec.ReadToken()
	return err
}

func (v *Value) readMap(dec *jsontext.Decoder, depth int) error {
	if dec.PeekKind() != '{' {
		return errors.New("a map is an object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	v.fields = map[string]Value{}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		field := name.String() // the token is of no use after the next read
		var e Value
		if err := e.read(dec, depth+1); err != nil {
			return err
		}
		v.fields[field] = e
	}
	_, err := dec.ReadToken()
	return err
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
		return enc.WriteToken(jsontext.Bool(v.yes))
	case Null:
		return enc.WriteToken(jsontext.True)
	case StringSet, NumberSet:
		return json.MarshalEncode(enc, v.set)
	case BinarySet:
		return json.MarshalEncode(enc, v.plain())
	case List:
		if err := enc.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for _, e := range v.list {
			if err := e.MarshalJSONTo(enc); err != nil {
				return err
			}
		}
		return enc.WriteToken(jsontext.EndArray)
	case Map:
		return json.MarshalEncode(enc, v.fields)
	}
	return fmt.Errorf("a value of no kind %q", v.kind)
}
