package queue

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// MarkAttribute is the one message attribute of a buried message: a String that holds a Mark as
// JSON.
const MarkAttribute = "rescind"

const (
	markType = "String"
	// messageMaxBytes is the largest message, attributes included: 1 MiB ("Amazon SQS message
	// quotas", SQS Developer Guide).
	messageMaxBytes = 1 << 20
	// shortMark is what a mark is cut to where the message does not fit otherwise.
	shortMark = 1 << 10
	// markOverhead is what SQS counts of the attribute besides its value: name and data type.
	markOverhead = len(MarkAttribute) + len(markType)
)

// Mark says why a message was buried.
type Mark struct {
	Reason    string `json:"reason"`
	Field     string `json:"field,omitempty"`
	CommandID string `json:"commandId,omitempty"`

	// The rest is filled by Bury.

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

// size is what SQS counts of a buried message.
func (g grave) size() int { return len(g.body) + len(g.mark) + markOverhead }

// fitMark makes the body and the mark of a buried message fit into SQS's limit: first the mark
// gives way, down to 1 KiB, and then the end of the body.
func fitMark(l *Lease, m Mark) (body, mark string) {
	m.Sender, m.Attributes, m.Cut, m.BodyBytes = l.SenderID, markAttributes(l.Attributes), nil, 0
	body, mark = l.Body, m.text()
	if (grave{body, mark}).size() <= messageMaxBytes {
		return body, mark
	}
	if len(mark) > shortMark {
		m = m.shorten()
		mark = m.text()
	}
	if (grave{body, mark}).size() <= messageMaxBytes {
		return body, mark
	}
	m.Cut, m.BodyBytes = append(m.Cut, "body"), len(body)
	m = m.shorten()
	mark = m.text()
	short := cut(body, messageMaxBytes-len(mark)-markOverhead)
	if short == body { // to say that the body is cut, the mark gave way so far that it is not
		m.Cut, m.BodyBytes = slices.DeleteFunc(m.Cut, func(name string) bool { return name == "body" }), 0
		mark = m.text()
	}
	return short, mark
}

// shorten cuts a mark until its JSON is within shortMark. Characters that JSON escapes take up to
// six bytes each there, so that texts which are short may have to give way too.
func (m Mark) shorten() Mark {
	if len(m.text()) > shortMark && len(m.Attributes) > 0 {
		m.Attributes, m.Cut = nil, append(m.Cut, "attributes")
	}
	// Each in turn is halved until the whole fits; the reason, which people read, comes last.
	for _, least := range []int{128, 16} {
		for _, part := range []struct {
			name string
			text *string
		}{{"sender", &m.Sender}, {"commandId", &m.CommandID}, {"field", &m.Field}, {"reason", &m.Reason}} {
			for len(m.text()) > shortMark && len(*part.text) > least {
				if !slices.Contains(m.Cut, part.name) {
					m.Cut = append(m.Cut, part.name)
				}
				*part.text = cut(*part.text, len(*part.text)/2)
			}
		}
	}
	return m
}

// text is the mark as JSON, of characters that SQS takes: it refuses U+FFFE and U+FFFF, which
// JSON does not escape.
func (m Mark) text() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(m) // strings, bytes and numbers cannot fail
	return strings.NewReplacer("\n", "", "\uFFFE", `\ufffe`, "\uFFFF", `\uffff`).Replace(b.String())
}

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
