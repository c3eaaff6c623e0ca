package command

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"mime"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// Type is the CloudEvents type of a command.
const Type = "io.rescind.command.v1"

// maxVia is how many characters of each envelope's origin are stored: more than the ARN of a topic
// or a rule, or an EventBridge source, may have.
const maxVia = 512

// The marks: members that one form of envelope has and no other form.
const (
	markSNS         = "Type" // what SNS delivers unless raw delivery is on
	markEventBridge = "detail-type"
	markCloudEvent  = "specversion"
)

// mark tells which envelope an object is; "": none. Of several marks, which nobody writes, the first counts.
func (o object) mark() string {
	for _, mark := range []string{markSNS, markEventBridge, markCloudEvent} {
		if o.value(mark) != nil {
			return mark
		}
	}
	return ""
}

// takeOff takes off the envelopes around a command. What stands in data or detail is the command: a mark
// there is a field that no command has.
func (r *reader) takeOff() {
	if r.mark() == markSNS {
		r.envelope(r.notification)
		if r.fault == nil && r.mark() == markSNS {
			r.fail(r.at, "must be a command, or a CloudEvents or EventBridge event with one, not another notification")
		}
	}
	switch {
	case r.fault != nil:
	case r.mark() == markEventBridge:
		r.envelope(r.eventBridge)
	case r.mark() == markCloudEvent:
		r.envelope(r.cloudEvent)
	}
}

// envelope takes off one, and opens what it holds, unless it is at fault.
func (r *reader) envelope(take func() (at string, content []byte)) {
	if r.broken != nil {
		r.failUnreadable()
		return
	}
	if at, content := take(); r.fault == nil {
		r.open(at, content)
	}
}

// notification takes off what SNS puts around a message ("HTTP/HTTPS JSON format", Amazon SNS
// Developer Guide; SQS gets the same). Its signature is not checked: who may send to the queue
// is for the queue's policy.
func (r *reader) notification() (at string, content []byte) {
	kind, topic := r.attribute("Type"), r.attribute("TopicArn")
	if kind != "Notification" {
		r.fail("Type", brokenType(kind, topic))
	}
	r.came(topic)
	r.identify("sns:", "MessageId")
	attributes, _ := read(r.value("MessageAttributes"))
	attribute, _ := read(attributes.value("traceparent"))
	r.trace(unquote(attribute.value("Value")))
	if r.value("Message") == nil {
		r.fail("Message", "is required: the command, or a CloudEvents or EventBridge event with one")
	}
	return "Message", []byte(r.attribute("Message"))
}

// brokenType says what is wrong with the type of a message from SNS.
func brokenType(kind, topic string) string {
	switch kind {
	case "SubscriptionConfirmation":
		return fmt.Sprintf("is %q: the queue's subscription to %s is not confirmed yet, and no command comes by it until it is: "+
			"open the SubscribeURL of this message, or call sns:ConfirmSubscription with its Token", kind, quote(topic))
	case "UnsubscribeConfirmation":
		return fmt.Sprintf("is %q: the queue's subscription to %s has ended; if that was not meant, "+
			"open the SubscribeURL of this message, or call sns:ConfirmSubscription with its Token", kind, quote(topic))
	}
	return `must be "Notification", as in what SNS delivers, not ` + quote(kind) + "; a command by itself has no such field"
}

// eventBridge takes off what EventBridge puts around a detail ("AWS service event metadata",
// Amazon EventBridge User Guide). Any detail-type will do, since the rule has chosen. An event
// does not name the rule that sent it, save a schedule's, in resources; of others the source is
// recorded.
func (r *reader) eventBridge() (at string, content []byte) {
	from := "EventBridge source " + r.attribute("source")
	if rule := ruleARN(r.value("resources")); rule != "" {
		from = rule
	}
	r.came(from)
	r.identify("eb:", "id")
	if r.value("detail") == nil {
		r.fail("detail", "is required of an EventBridge event: the command")
	}
	return "detail", r.value("detail")
}

// ruleARN is the first ARN of an EventBridge rule in a list.
func ruleARN(resources jsontext.Value) string {
	for _, item := range items(resources) {
		text := unquote(item)
		arn, ok := handlers.ParseARN(text)
		if ok && arn.Service == "events" && strings.HasPrefix(arn.Resource, "rule/") {
			return text
		}
	}
	return ""
}

// cloudEvent takes off a CloudEvents 1.0 event in structured JSON. Extensions and the optional
// attributes are passed over, save traceparent and what says that data is no JSON.
func (r *reader) cloudEvent() (at string, content []byte) {
	for _, must := range []struct{ name, be string }{{"specversion", "1.0"}, {"type", Type}} {
		if got := r.attribute(must.name); got != must.be {
			r.fail(must.name, fmt.Sprintf("must be %q in a CloudEvents event, not %s", must.be, quote(got)))
		}
	}
	for _, name := range []string{"id", "source"} {
		if r.attribute(name) == "" {
			r.fail(name, "is required of a CloudEvents event, and must not be empty")
		}
	}
	if media := r.attribute("datacontenttype"); media != "" && !isJSON(media) {
		r.fail("datacontenttype", `must be "application/json" or be left out, not `+quote(media))
	}
	switch {
	case r.value("data_base64") != nil:
		r.fail("data_base64", "is not taken: put the command into data, as JSON")
	case r.value("data") == nil:
		r.fail("data", "is required of a CloudEvents event: the command")
	}
	r.id = "ce:" + eventHash(r.attribute("source"), r.attribute("id"))
	r.trace(unquote(r.value("traceparent")))
	return "data", r.value("data")
}

// isJSON tells whether a media type is JSON's: CloudEvents' JSON format names any subtype json
// and any with the suffix +json.
func isJSON(media string) bool {
	kind, _, err := mime.ParseMediaType(media)
	return err == nil && (strings.HasSuffix(kind, "/json") || strings.HasSuffix(kind, "+json"))
}

// eventHash is SHA-256, in hexadecimal, over source and id of a CloudEvent, each behind its
// length in eight bytes, the highest first, so that no two pairs read alike.
func eventHash(source, id string) string {
	text := binary.BigEndian.AppendUint64(nil, uint64(len(source)))
	text = append(text, source...)
	text = binary.BigEndian.AppendUint64(text, uint64(len(id)))
	text = append(text, id...)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// attribute is a text of an envelope, "" where it is left out.
func (r *reader) attribute(name string) string {
	return r.member(name, "", func(string) string { return "" })
}

// identify makes the id for a command that brings none of the envelope's own; an envelope
// without one leaves it to the next envelope.
func (r *reader) identify(prefix, name string) {
	if id := r.member(name, "", func(s string) string { return brokenIDText(s, maxID-len(prefix)) }); id != "" {
		r.id = prefix + id
	}
}

// came keeps what an envelope says it came by, behind what the envelope around it said.
func (r *reader) came(by string) {
	if r.via != "" && by != "" {
		r.via += " via "
	}
	r.via += clip(by, maxVia)
}

// trace keeps an envelope's trace context where it is well formed.
func (r *reader) trace(value string) {
	if traceParentForm.MatchString(value) {
		r.traceParent = value
	}
}

// traceParentForm is a W3C trace context of version 00 ("Trace Context", W3C Recommendation):
// two, 32, 16 and two hexadecimal digits. Later versions may have more behind, which is refused.
var traceParentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
