package sns

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/sqs"
)

// senderID is what SQS records as the sender of what SNS delivers; AWS has an id of its own
// for the service.
const senderID = "AIDASNSDELIVERSMESSAGE"

// deliver puts a message on the queues of its subscriptions. An error is a client-side one,
// and drops the message for that subscription ("Amazon SNS message delivery retries").
func (s *SNS) deliver(m *message, to []*subscription) {
	for _, sub := range to {
		s.mu.Lock()
		raw, wanted := sub.raw, sub.filter.matches(m.attributes)
		s.mu.Unlock()
		if !wanted {
			continue
		}
		d := sqs.Delivery{GroupID: m.group, SenderID: senderID}
		switch {
		case !raw:
			d.Body = m.notification(sub)
			d.MD5 = md5.Sum([]byte(d.Body))
		case len(m.attributes) > 10:
			continue // "Amazon SNS raw message delivery": more than SQS takes are discarded
		default:
			d.Body, d.MD5, d.Attributes = m.body, m.sum, m.attributes
		}
		_, _ = s.queues.Deliver(sub.endpoint, d)
	}
}

// notification is a message in the envelope that SNS writes, in its order and spacing ("Amazon
// SNS HTTP/HTTPS notification JSON format", which SQS queues get too). The signature is not
// one.
func (m *message) notification(sub *subscription) string {
	host := "https://sns." + sub.topic.region + ".amazonaws.com/"
	fields := [][2]string{
		{"Type", "Notification"},
		{"MessageId", m.id},
		{"TopicArn", sub.topic.arn},
		{"Subject", m.subject},
		{"Message", m.body},
		{"Timestamp", m.sent.UTC().Format("2006-01-02T15:04:05.000Z")},
		{"SignatureVersion", "1"},
		{"Signature", base64.StdEncoding.EncodeToString([]byte("not a signature: " + m.id))},
		{"SigningCertURL", host + "SimpleNotificationService-awssim.pem"},
		{"UnsubscribeURL", host + "?Action=Unsubscribe&SubscriptionArn=" + sub.arn},
	}
	var b strings.Builder
	b.WriteString("{")
	separator := "\n"
	for _, f := range fields {
		if f[0] == "Subject" && f[1] == "" {
			continue
		}
		b.WriteString(separator + `  "` + f[0] + `" : ` + quote(f[1]))
		separator = ",\n"
	}
	if len(m.attributes) > 0 {
		b.WriteString(separator + `  "MessageAttributes" : {`)
		separator = "\n"
		for _, name := range slices.Sorted(maps.Keys(m.attributes)) {
			a := m.attributes[name]
			b.WriteString(separator + `    ` + quote(name) + ` : {"Type":` + quote(a.DataType) + `,"Value":` + quote(text(a)) + `}`)
			separator = ",\n"
		}
		b.WriteString("\n  }")
	}
	b.WriteString("\n}")
	return b.String()
}

func text(a sqs.Attribute) string {
	if len(a.BinaryValue) > 0 {
		return base64.StdEncoding.EncodeToString(a.BinaryValue)
	}
	return a.StringValue
}

func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always marshals
	return strings.TrimSuffix(b.String(), "\n")
}
