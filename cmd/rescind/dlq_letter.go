package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/worker/command"
	"github.com/rescindhq/rescind/worker/queue"
)

// deadLetter is one message of a dead-letter queue; --json prints it.
type deadLetter struct {
	MessageID string `json:"messageId"`
	// OriginalMessageID is the id that the message had on the command queue.
	OriginalMessageID string    `json:"originalMessageId"`
	CommandID         string    `json:"commandId,omitempty"`
	Field             string    `json:"field,omitempty"`
	Reason            string    `json:"reason"`
	Sender            string    `json:"sender,omitempty"`
	SentAt            time.Time `json:"sentAt"`
	Receives          int       `json:"receives"`
	// Attributes are the original's message attributes.
	Attributes map[string]queue.MarkAttributeValue `json:"attributes,omitempty"`
	Cut        []string                            `json:"cut,omitempty"` // what the worker had to shorten
	Body       string                              `json:"body"`

	marked  bool   // the worker wrote the reason
	receipt string // the newest receipt handle
	group   string // MessageGroupId
	deleted bool
}

// readDeadLetter reads a message, and its rescind attribute: that of a dead-lettered one has the reason, and that of
// a deferred copy, which SQS has moved by itself, has what the original was.
func readDeadLetter(m types.Message, d *command.Decoder) *deadLetter {
	system := func(name types.MessageSystemAttributeName) string { return m.Attributes[string(name)] }
	millis, _ := strconv.ParseInt(system(types.MessageSystemAttributeNameSentTimestamp), 10, 64)
	receives, _ := strconv.Atoi(system(types.MessageSystemAttributeNameApproximateReceiveCount))
	l := &deadLetter{
		MessageID: aws.ToString(m.MessageId), Body: aws.ToString(m.Body), SentAt: time.UnixMilli(millis).UTC(), Receives: receives,
		receipt: aws.ToString(m.ReceiptHandle), group: system(types.MessageSystemAttributeNameMessageGroupId),
	}
	var mark queue.Mark // a deferred copy's attribute has the same members, as far as it has them
	text := aws.ToString(m.MessageAttributes[queue.MarkAttribute].StringValue)
	if err := json.Unmarshal([]byte(text), &mark, jsontext.AllowInvalidUTF8(true)); err != nil || mark.MessageID == "" {
		mark = queue.Mark{}
	}
	l.marked = mark.Reason != ""
	l.OriginalMessageID = cmp.Or(mark.MessageID, l.MessageID)
	l.CommandID, l.Field, l.Reason, l.Cut = mark.CommandID, mark.Field, mark.Reason, mark.Cut
	l.Sender = cmp.Or(mark.Sender, system(types.MessageSystemAttributeNameSenderId))
	l.Attributes = mark.Attributes
	if mark.MessageID == "" {
		l.Attributes = attributesOf(m)
	}
	if !l.marked {
		l.Reason = fmt.Sprintf("received %d times, never settled", max(0, receives-1)) // this reading is the last receive
		l.CommandID = l.idIn(d)
	}
	return l
}

// idIn returns the id of the command in the body, as far as it can be read.
func (l *deadLetter) idIn(d *command.Decoder) string {
	c, err := d.Decode([]byte(l.Body), command.Message{ID: l.OriginalMessageID})
	var bad *command.Error
	if errors.As(err, &bad) {
		return bad.Command.ID
	}
	return c.ID
}

// attributesOf returns a message's own attributes, without the worker's.
func attributesOf(m types.Message) map[string]queue.MarkAttributeValue {
	all := map[string]queue.MarkAttributeValue{}
	for name, a := range m.MessageAttributes {
		if name != queue.MarkAttribute {
			all[name] = queue.MarkAttributeValue{Type: aws.ToString(a.DataType), Value: aws.ToString(a.StringValue), Binary: a.BinaryValue}
		}
	}
	return all
}

var attributeName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)

// sqsAttributes returns the original's attributes as SQS takes them. Who can write to the dead-letter queue
// can have written anything into them, and SQS would refuse the messages beside this one too.
func (l *deadLetter) sqsAttributes() (map[string]types.MessageAttributeValue, error) {
	all := map[string]types.MessageAttributeValue{}
	for name, a := range l.Attributes {
		v := types.MessageAttributeValue{DataType: aws.String(a.Type)}
		kind, _, _ := strings.Cut(a.Type, ".")
		switch {
		case !attributeName.MatchString(name):
			return nil, fmt.Errorf("SQS would not take the name of its attribute %q", name)
		case kind == "Binary" && len(a.Binary) > 0:
			v.BinaryValue = a.Binary
		case (kind == "String" || kind == "Number") && a.Value != "":
			v.StringValue = aws.String(a.Value)
		default:
			return nil, fmt.Errorf("SQS would not take its attribute %q, which is of the type %q or empty", name, a.Type)
		}
		all[name] = v
	}
	return all, nil
}

// label is the id that people know a message by: its command's, or the message's own.
func (l *deadLetter) label() string {
	if l.CommandID == "" || strings.HasPrefix(l.CommandID, "sqs:") {
		return l.MessageID
	}
	return l.CommandID
}

// named reports whether an id is one of the message's.
func (l *deadLetter) named(id string) bool {
	return id == l.MessageID || id == l.OriginalMessageID || id == l.CommandID && id != ""
}
