package queue

import (
	"slices"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// MarkAttribute is the one message attribute of a dead-lettered message: a String that holds a Mark as
// JSON.
const MarkAttribute = "rescind"

const (
	markType = "String"
	// messageMaxBytes is the largest message, attributes included: 1 MiB ("Amazon SQS message
	// quotas", SQS Developer Guide).
	messageMaxBytes = 1 << 20
	// Where a message does not fit, its mark is cut to shortMark: its texts to 128 bytes each, and then to 24
	// (four texts of characters that JSON escapes with six bytes, and the names).
	shortMark = 1 << 10
	// bodyCut is what the mark grows by when it says that the body was cut, and how long that was.
	bodyCut = 64
	// markOverhead is what SQS counts of the attribute besides its value: name and data type.
	markOverhead = len(MarkAttribute) + len(markType)
)

// Mark says why a message was dead-lettered.
type Mark struct {
	Reason    string `json:"reason"`
	Field     string `json:"field,omitempty"`
	CommandID string `json:"commandId,omitempty"`

	// The rest is filled when the message is settled; see fitMark.

	// MessageID is SQS's id of the original: the copy has one of its own.
	MessageID string `json:"messageId,omitempty"`
	// Sender is the SQS SenderId of the original.
	Sender string `json:"sender,omitempty"`
	// Attributes are the original's message attributes.
	Attributes map[string]MarkAttributeValue `json:"attributes,omitempty"`
	// Cut lists what did not fit: "attributes" left out, "reason", "field", "commandId" or
	// "sender" shortened, "body" shortened from BodyBytes bytes.
	Cut       []string `json:"cut,omitempty"`
	BodyBytes int      `json:"bodyBytes,omitempty"`
}

// MarkAttributeValue is one message attribute of the original: Value, or Binary (base64 in JSON)
// where the data type is a Binary one.
type MarkAttributeValue struct {
	Type   string `json:"type"`
	Value  string `json:"value,omitempty"`
	Binary []byte `json:"binary,omitempty"`
}

// fitMark makes the body and the mark of a dead-lettered message fit into SQS's limit: a mark longer
// than shortMark gives way first, then the end of the body.
func fitMark(l *Lease, m Mark) (body, mark string) {
	m.MessageID, m.Sender, m.Attributes, m.Cut, m.BodyBytes = l.MessageID, l.SenderID, markAttributes(l.Attributes), nil, 0
	space := messageMaxBytes - markOverhead - len(l.Body)
	if mark = m.text(); len(mark) <= space {
		return l.Body, mark
	}
	m.shorten(max(space, shortMark-bodyCut))
	if mark = m.text(); len(mark) <= space {
		return l.Body, mark
	}
	m.Cut, m.BodyBytes = append(m.Cut, "body"), len(l.Body)
	mark = m.text()
	return cut(l.Body, messageMaxBytes-markOverhead-len(mark)), mark
}

// shorten leaves out the attributes, and then cuts the texts, until the mark's JSON has at most most
// bytes. Lengths are of JSON, where an escaped character takes up to six bytes.
func (m *Mark) shorten(most int) {
	if len(m.Attributes) > 0 && len(m.text()) > most {
		m.Attributes, m.Cut = nil, append(m.Cut, "attributes")
	}
	for _, part := range []int{128, 24} {
		for _, of := range []struct {
			name string
			text *string
		}{{"sender", &m.Sender}, {"commandId", &m.CommandID}, {"field", &m.Field}, {"reason", &m.Reason}} {
			if len(m.text()) <= most || len(*of.text) <= part {
				continue
			}
			*of.text = cut(*of.text, part)
			if !slices.Contains(m.Cut, of.name) {
				m.Cut = append(m.Cut, of.name)
			}
		}
	}
}

func (m Mark) text() string { return asText(m) }

// cut returns the beginning of a text, of at most n bytes and of whole characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func markAttributes(attributes map[string]types.MessageAttributeValue) map[string]MarkAttributeValue {
	if len(attributes) == 0 {
		return nil
	}
	list := make(map[string]MarkAttributeValue, len(attributes))
	for name, a := range attributes {
		list[name] = MarkAttributeValue{
			Type:   aws.ToString(a.DataType),
			Value:  aws.ToString(a.StringValue),
			Binary: a.BinaryValue,
		}
	}
	return list
}
