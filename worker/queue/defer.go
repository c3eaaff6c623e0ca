package queue

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A message is deferred by sending a copy of it to its own queue, with a delay, and then deleting the
// received one. Delayed messages do not count towards SQS's 120,000 in flight, and the copy's
// receives count from one again. The copy carries one message attribute that says which
// message it replaces; the HMAC in it shows that a worker of this deployment wrote it.

const (
	// delayMax is the longest DelaySeconds ("SendMessage", SQS API Reference).
	delayMax = 900 * time.Second
	// shortWait is the wait below which a longer visibility timeout is cheaper than a copy: one
	// request in place of two.
	shortWait = time.Minute
	// messageMaxDefault is the MaximumMessageSize of a queue that does not say: the least that AWS
	// has had as a default.
	messageMaxDefault = 256 << 10
)

// carried is what the attribute of a deferred copy says, as JSON, about the message that was first
// sent. MAC is over everything else and the body.
type carried struct {
	MessageID string `json:"messageId"`
	Sender    string `json:"sender,omitempty"`
	SentAt    int64  `json:"sentAt"` // Unix milliseconds
	// Receives counts those of the copies before this one.
	Receives int `json:"receives"`
	// Exhausted counts the copies that came to their last receive.
	Exhausted  int                           `json:"exhausted,omitempty"`
	Attributes map[string]MarkAttributeValue `json:"attributes,omitempty"`
	MAC        string                        `json:"mac,omitempty"`
}

// seal returns the attribute's text for a copy with this body.
func (c carried) seal(key []byte, body string) string {
	c.MAC = base64.RawURLEncoding.EncodeToString(c.mac(key, body))
	return asText(c)
}

// mac is the HMAC-SHA-256 of the carried fields and the body. The length of the first part comes
// first, so that nothing can move from one part to the other.
func (c carried) mac(key []byte, body string) []byte {
	c.MAC = ""
	fields := asText(c)
	h := hmac.New(sha256.New, key)
	_ = json.NewEncoder(h).Encode(len(fields))
	h.Write([]byte(fields))
	h.Write([]byte(body))
	return h.Sum(nil)
}

// openCarried reads what a message carries. ok is false where it has no such attribute; forged is
// true where it has one that no worker with this key wrote for this body.
func openCarried(key []byte, m types.Message) (c carried, ok, forged bool) {
	attribute, there := m.MessageAttributes[MarkAttribute]
	if !there {
		return carried{}, false, false
	}
	d := json.NewDecoder(strings.NewReader(aws.ToString(attribute.StringValue)))
	d.DisallowUnknownFields()
	if len(key) == 0 || d.Decode(&c) != nil || d.More() {
		return carried{}, false, true
	}
	mac, err := base64.RawURLEncoding.DecodeString(c.MAC)
	if err != nil || !hmac.Equal(mac, c.mac(key, aws.ToString(m.Body))) {
		return carried{}, false, true
	}
	return c, true, false
}

// sqsAttributes are the carried message attributes as SQS has them.
func (c carried) sqsAttributes() map[string]types.MessageAttributeValue {
	if len(c.Attributes) == 0 {
		return nil
	}
	list := make(map[string]types.MessageAttributeValue, len(c.Attributes))
	for name, a := range c.Attributes {
		v := types.MessageAttributeValue{DataType: aws.String(a.Type)}
		if strings.HasPrefix(a.Type, "Binary") {
			v.BinaryValue = a.Binary
		} else {
			v.StringValue = aws.String(a.Value)
		}
		list[name] = v
	}
	return list
}

// outgoing is one message to be sent, to a dead-letter queue or again to its own.
type outgoing struct {
	body      string
	attribute string // the value of the one message attribute
	groupID   string
	delay     time.Duration // whole seconds
}

// size is what SQS counts of it.
func (o outgoing) size() int { return len(o.body) + len(o.attribute) + markOverhead }

func (o outgoing) entry(i int) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{
		Id:           entryID(i),
		MessageBody:  aws.String(o.body),
		DelaySeconds: int32(o.delay / time.Second),
		MessageAttributes: map[string]types.MessageAttributeValue{
			MarkAttribute: {DataType: aws.String(markType), StringValue: aws.String(o.attribute)},
		},
	}
	if o.groupID != "" {
		e.MessageGroupId = aws.String(o.groupID)
	}
	return e
}

// copyOf is the message that replaces a lease's in its queue after a delay.
func (s *Subscriber) copyOf(l *Lease, delay time.Duration) outgoing {
	c := carried{
		MessageID: l.MessageID, Sender: l.SenderID, SentAt: l.SentAt.UnixMilli(), Receives: l.Receives(), Exhausted: l.exhausted,
		Attributes: markAttributes(l.Attributes),
	}
	if l.OnLastReceive() {
		c.Exhausted++
	}
	return outgoing{
		body: l.Body, attribute: c.seal(s.o.Key, l.Body), groupID: l.GroupID,
		delay: min(wholeSeconds(delay), delayMax),
	}
}

// deferMessage makes a message come back after a delay of at most 15 minutes: by a copy, or by its
// visibility timeout where the wait is short and a receive can be spared, or a copy cannot be sent.
func (s *Subscriber) deferMessage(l *Lease, delay time.Duration, byCopy bool) {
	short := !byCopy && delay < shortWait && (l.MaxReceives == 0 || l.ReceiveCount+1 < l.MaxReceives)
	again := s.copyOf(l, delay)
	if short || len(s.o.Key) == 0 || again.size() > l.maxBytes {
		s.release(l, min(delay, delayMax))
		return
	}
	// Where the worker dies in between there are two copies, and the ledger makes them one.
	s.replace(l, "deferring", l.QueueURL, again, &s.stats.Deferred, func() {})
}

// asText is a value as JSON, of characters that SQS takes: it refuses U+FFFE and U+FFFF, which JSON
// does not escape.
func asText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings, bytes and numbers cannot fail
	return strings.NewReplacer("\n", "", "\uFFFE", `\ufffe`, "\uFFFF", `\uffff`).Replace(b.String())
}
