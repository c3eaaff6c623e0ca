package command

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// ownTypes are the CloudEvents types of what workers publish.
var ownTypes = []string{"io.rescind.outcome.v1", "io.rescind.control.v1"}

// maxForwards is how deep an event is looked for, in envelopes of topic, bus and Lambda and some more: objects,
// lists and texts count alike.
const maxForwards = 12

// ownEvent is the type of the event in a body that workers published, "" where there is none. It looks
// through any nesting of envelopes, where [Decoder.Decode] takes few, and into those that nobody knows,
// save what has a command's action or parameters: an outcome that was forwarded in a way that no command
// may be would go round in circles like any other.
func ownEvent(body []byte) string { return ownWithin(body, maxForwards) }

func ownWithin(value jsontext.Value, depth int) string {
	value = bytes.TrimSpace(value)
	if depth == 0 || !value.IsValid() {
		return ""
	}
	var own string
	inside := items(value)
	switch value.Kind() { //nolint:exhaustive // nothing else holds anything
	case jsontext.KindString:
		inside = []jsontext.Value{jsontext.Value(unquote(value))}
	case jsontext.KindBeginObject:
		own, inside = forwarded(value)
	}
	if slices.Contains(ownTypes, own) {
		return own
	}
	for _, v := range inside {
		if own := ownWithin(v, depth-1); own != "" {
			return own
		}
	}
	return ""
}

// forwarded is the type of the event that an object is, and what it forwards, which is any member of an
// envelope that nobody knows.
func forwarded(text []byte) (kind string, content []jsontext.Value) {
	o, _ := read(text)
	switch o.mark() {
	case markSNS:
		return "", []jsontext.Value{o.value("Message")}
	case markEventBridge:
		return unquote(o.value("detail-type")), []jsontext.Value{o.value("detail")}
	case markCloudEvent:
		return unquote(o.value("type")), []jsontext.Value{o.value("data")}
	}
	if o.value("action") == nil && o.value("parameters") == nil {
		for _, m := range o {
			content = append(content, m.value)
		}
	}
	return "", content
}
