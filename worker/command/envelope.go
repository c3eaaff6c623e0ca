package command

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// Type is the CloudEvents type of a command.
const Type = "io.rescind.command.v1"

// maxVia is how many characters of each envelope's origin are kept: more than the ARN of a topic
// or a rule, or an EventBridge source, may have.
const maxVia = 512

// form is what a JSON object is by its mark: a member that no other form has.
type form int

// The forms. Of an object with several marks, which nobody writes, the first of these counts.
const (
	formSNS         form = iota // "Type": what SNS delivers unless raw delivery is on
	formEventBridge             // "detail-type"
	formCloudEvent              // "specversion"
	formBare                    // no mark
)

// formOf is the form whose mark a member's name is.
func formOf(name string) form {
	switch name {
	case "Type":
		return formSNS
	case "detail-type":
		return formEventBridge
	case "specversion":
		return formCloudEvent
	}
	return formBare
}

// opened is a command's text on its way out of its envelopes, and what they said.
type opened struct {
	text []byte
	at   string // the envelope's field that it stood in; "body" where there is no envelope
	id   string // for a command that brings none
	via  string // see Command.Via
	// traceParent is that of the innermost envelope with one.
	traceParent string
}

// receive takes a message as it comes.
func (o *opened) receive(body []byte, m Message) {
	o.text, o.at, o.id = body, "body", "sqs:"+m.ID
	o.trace(m.TraceParent)
}

// open takes off the envelopes around o's text, and returns the command's members. A fault is
// an envelope's own.
func (o *opened) open() (*reader, *handlers.FieldError) {
	r := read(o.text)
	if r.form == formSNS {
		if fault := o.takeOff(r); fault != nil {
			return nil, fault
		}
		r = read(o.text)
		if r.form == formSNS {
			return nil, &handlers.FieldError{Field: o.at, Rule: "must be a command, or a CloudEvents or EventBridge event with one, not another notification"}
		}
	}
	if r.form == formBare {
		return r, nil
	}
	if fault := o.takeOff(r); fault != nil {
		return nil, fault
	}
	// What stands in data or detail is the command: a mark there is a field that no command has.
	return read(o.text), nil
}

// takeOff takes off the envelope whose members r holds, unless it is no sound JSON.
func (o *opened) takeOff(r *reader) *handlers.FieldError {
	if r.broken != nil {
		return unreadable(o.at, o.text, r.broken)
	}
	switch r.form {
	case formSNS:
		return o.notification()
	case formEventBridge:
		return o.eventBridge()
	case formCloudEvent:
		return o.cloudEvent()
	case formBare:
	}
	return nil
}

// notification takes off what SNS puts around a message ("HTTP/HTTPS JSON format", Amazon SNS
// Developer Guide; SQS gets the same). Its signature is not checked: who may send to the queue
// is for the queue's policy.
func (o *opened) notification() *handlers.FieldError {
	e := o.fields("Type", "MessageId", "TopicArn", "Message", "MessageAttributes")
	kind, topic := e.text("Type"), e.text("TopicArn")
	if e.fault == nil && kind != "Notification" {
		e.fail("Type", brokenType(kind, topic))
	}
	o.came(topic)
	o.identify(&e, "sns:", "MessageId")
	o.trace(traceAttribute(e.values["MessageAttributes"]))
	if e.values["Message"] == nil {
		e.fail("Message", "is required: the command, or a CloudEvents or EventBridge event with one")
	}
	o.text, o.at = []byte(e.text("Message")), "Message"
	return e.fault
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

// traceAttribute is the message attribute traceparent of an SNS notification. What has not the
// form of one is passed over.
func traceAttribute(attributes jsontext.Value) string {
	var value string
	within := func(v jsontext.Value, name string, then func(jsontext.Value)) {
		_ = members(v, func(n string, v jsontext.Value) error {
			if n == name {
				then(v)
			}
			return nil
		})
	}
	within(attributes, "traceparent", func(a jsontext.Value) {
		within(a, "Value", func(v jsontext.Value) {
			if kindOf(v) == jsontext.KindString {
				value = unquote(v)
			}
		})
	})
	return value
}

// eventBridge takes off what EventBridge puts around a detail ("AWS service event metadata",
// Amazon EventBridge User Guide). Any detail-type will do, since the rule has chosen. An event
// does not name the rule that sent it, save a schedule's, in resources; of others the source is
// recorded.
func (o *opened) eventBridge() *handlers.FieldError {
	e := o.fields("id", "source", "resources", "detail")
	from := "EventBridge source " + e.text("source")
	if rule := ruleARN(e.values["resources"]); rule != "" {
		from = rule
	}
	o.came(from)
	o.identify(&e, "eb:", "id")
	if e.values["detail"] == nil {
		e.fail("detail", "is required of an EventBridge event: the command")
	}
	o.text, o.at = e.values["detail"], "detail"
	return e.fault
}

// ruleARN is the first ARN of an EventBridge rule in a list.
func ruleARN(resources jsontext.Value) string {
	var rule string
	if kindOf(resources) != jsontext.KindBeginArray {
		return ""
	}
	_ = elements("resources", resources, func(v jsontext.Value) *handlers.FieldError {
		if rule == "" && kindOf(v) == jsontext.KindString {
			arn := unquote(v)
			parts := strings.SplitN(arn, ":", 6)
			if len(parts) == 6 && parts[0] == "arn" && parts[2] == "events" && strings.HasPrefix(parts[5], "rule/") {
				rule = arn
			}
		}
		return nil
	})
	return rule
}

// cloudEvent takes off a CloudEvents 1.0 event in structured JSON. Extensions and the optional
// attributes are passed over, save traceparent and what says that data is no JSON.
func (o *opened) cloudEvent() *handlers.FieldError {
	e := o.fields("specversion", "type", "id", "source", "datacontenttype", "traceparent", "data", "data_base64")
	e.mustBe("specversion", "1.0")
	e.mustBe("type", Type)
	id, source := e.needed("id"), e.needed("source")
	if media := e.text("datacontenttype"); media != "" && !isJSON(media) {
		e.fail("datacontenttype", `must be "application/json" or be left out, not `+quote(media))
	}
	switch {
	case e.values["data_base64"] != nil:
		e.fail("data_base64", "is not taken: put the command into data, as JSON")
	case e.values["data"] == nil:
		e.fail("data", "is required of a CloudEvents event: the command")
	}
	o.id = "ce:" + eventHash(source, id)
	if trace := e.values["traceparent"]; kindOf(trace) == jsontext.KindString {
		o.trace(unquote(trace))
	}
	o.text, o.at = e.values["data"], "data"
	return e.fault
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

// identify makes the id for a command that brings none of the envelope's own; an envelope
// without one leaves it to the next envelope.
func (o *opened) identify(e *envelope, prefix, name string) {
	if e.values[name] == nil {
		return
	}
	id := e.text(name)
	if rule := brokenIDText(id, maxID-len(prefix)); rule != "" {
		e.fail(name, rule)
		return
	}
	o.id = prefix + id
}

// came keeps what an envelope says it came by, behind what the envelope around it said.
func (o *opened) came(by string) {
	if o.via != "" && by != "" {
		o.via += " via "
	}
	o.via += clip(by, maxVia)
}

// trace keeps an envelope's trace context where it is well formed.
func (o *opened) trace(value string) {
	if traceParentForm.MatchString(value) {
		o.traceParent = value
	}
}

// traceParentForm is a W3C trace context of version 00 ("Trace Context", W3C Recommendation):
// two, 32, 16 and two hexadecimal digits. Later versions may have more behind, which is refused.
var traceParentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// envelope holds the members of an envelope that are asked for, and the first fault.
type envelope struct {
	values map[string]jsontext.Value
	fault  *handlers.FieldError
}

// fields finds members of o's text, which has been found to be an object. One that is null
// counts as left out, as CloudEvents has it.
func (o *opened) fields(wanted ...string) envelope {
	e := envelope{values: make(map[string]jsontext.Value, len(wanted))}
	_ = members(o.text, func(name string, value jsontext.Value) error {
		if slices.Contains(wanted, name) && kindOf(value) != jsontext.KindNull {
			e.values[name] = value
		}
		return nil
	})
	return e
}

// fail keeps the first fault.
func (e *envelope) fail(field, rule string) {
	if e.fault == nil {
		e.fault = &handlers.FieldError{Field: field, Rule: rule}
	}
}

// text is a string member; "" where it is left out, or is something else, which is a fault.
func (e *envelope) text(name string) string {
	value := e.values[name]
	if value == nil {
		return ""
	}
	if kind := kindOf(value); kind != jsontext.KindString {
		e.fail(name, "must be a string, not "+nameOf(kind))
		return ""
	}
	return unquote(value)
}

// needed is the text of a member that CloudEvents demands.
func (e *envelope) needed(name string) string {
	s := e.text(name)
	if s == "" {
		e.fail(name, "is required of a CloudEvents event, and must not be empty")
	}
	return s
}

func (e *envelope) mustBe(name, want string) {
	if got := e.text(name); got != want {
		e.fail(name, fmt.Sprintf("must be %q in a CloudEvents event, not %s", want, quote(got)))
	}
}
