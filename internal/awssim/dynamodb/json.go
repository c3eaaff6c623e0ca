package dynamodb

import (
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// UnmarshalJSONFrom reads a value as the wire has it, {"S":"text"}, and checks it.
func (v *Value) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '{' {
		return fmt.Errorf("an attribute value is an object, and not JSON %s", token.Kind())
	}
	if token, err = dec.ReadToken(); err != nil {
		return err
	}
	if token.Kind() == '}' {
		return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	}
	*v = Value{kind: Kind(token.String())}
	if err := v.readContent(dec); err != nil {
		return err
	}
	if token, err = dec.ReadToken(); err == nil && token.Kind() != '}' {
		return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	return err
}

func (v *Value) readContent(dec *jsontext.Decoder) error {
	switch v.kind {
	case String, Number, Binary:
	case List:
		err := json.UnmarshalDecode(dec, &v.list)
		if slices.ContainsFunc(v.list, func(e Value) bool { return e.kind == List }) {
			return undone("lists in lists")
		}
		return err
	case "BOOL", "NULL", "M", "SS", "NS", "BS":
		return undone("attribute values of type " + string(v.kind))
	default:
		return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	}
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '"' {
		return fmt.Errorf("a value of type %s is a string, and not JSON %s", v.kind, token.Kind())
	}
	v.text = token.String()
	switch v.kind { //nolint:exhaustive // of the others the text is the value
	case Binary:
		b, err := base64.StdEncoding.DecodeString(v.text)
		v.text = string(b)
		return err
	case Number:
		var refusal *service.Error
		if v.text, refusal = readNumber(v.text); refusal != nil {
			return refusal
		}
	}
	return nil
}

// MarshalJSONTo writes a value as the wire has it.
func (v Value) MarshalJSONTo(enc *jsontext.Encoder) error {
	if v.kind == List {
		return json.MarshalEncode(enc, map[Kind][]Value{List: v.list})
	}
	text := v.text
	if v.kind == Binary {
		text = base64.StdEncoding.EncodeToString([]byte(text))
	}
	for _, token := range []jsontext.Token{jsontext.BeginObject, jsontext.String(string(v.kind)), jsontext.String(text), jsontext.EndObject} {
		if err := enc.WriteToken(token); err != nil {
			return err
		}
	}
	return nil
}
