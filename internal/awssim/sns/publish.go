package sns

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rescindhq/rescind/internal/awssim/service"
	"github.com/rescindhq/rescind/internal/awssim/sqs"
)

// maxSize bounds a message and the sum of a batch, bodies and attributes together
// (API_PublishBatch: 262,144 bytes unless the topic's MaximumMessageSize says more, which
// the simulator does not act on).
const maxSize = 256 << 10

// message is what is published.
type message struct {
	id         string
	body       string
	sum        [md5.Size]byte // of body
	subject    string
	group      string
	attributes map[string]sqs.Attribute
	sent       time.Time
}

type (
	publishOutput struct {
		MessageID string `xml:"MessageId"`
	}
	publishBatchOutput struct {
		Successful []publishedEntry `xml:"Successful>member"`
		Failed     []failedEntry    `xml:"Failed>member"`
	}
	publishedEntry struct {
		ID        string `xml:"Id"`
		MessageID string `xml:"MessageId"`
	}
	failedEntry struct {
		ID          string `xml:"Id"`
		Code        string `xml:"Code"`
		Message     string `xml:"Message"`
		SenderFault bool   `xml:"SenderFault"`
	}
)

const entriesField = "PublishBatchRequestEntries"

func sumOf(body string) [md5.Size]byte { return md5.Sum([]byte(body)) }

// itemOf names a message that has no id yet, by the MD5 of its body.
func itemOf(sum [md5.Size]byte) string {
	var b [2 * md5.Size]byte
	hex.Encode(b[:], sum[:])
	return string(b[:])
}

func publishItems(in *service.Form) []string { return []string{itemOf(sumOf(in.Text("Message")))} }

type (
	// batch is a PublishBatch, with what naming its entries and carrying them out both need.
	batch struct {
		*service.Form
		entries []entry
	}
	entry struct {
		service.Form
		sum [md5.Size]byte // of Message
	}
)

func (s *SNS) publishBatchOperation() service.Operation {
	return service.Operation{
		Decode: func(r *service.Request) (any, error) {
			forms := r.Form.List(entriesField)
			in := &batch{Form: &r.Form, entries: make([]entry, len(forms))}
			var text []byte // used again for each, where sumOf would allocate
			for i, form := range forms {
				text = append(text[:0], form.Text("Message")...)
				in.entries[i] = entry{form, md5.Sum(text)}
			}
			return in, nil
		},
		Items: func(in any) []string {
			entries := in.(*batch).entries
			items := make([]string, len(entries))
			for i, e := range entries {
				items[i] = itemOf(e.sum)
			}
			return items
		},
		Do: func(_ context.Context, c *service.Call, in any) (any, error) {
			return s.publishBatch(c, in.(*batch))
		},
	}
}

func (s *SNS) publish(_ context.Context, _ *service.Call, in *service.Form) (*publishOutput, error) {
	m := &message{}
	if err := m.read(entry{*in, sumOf(in.Text("Message"))}); err != nil {
		return nil, err
	}
	if m.size() > maxSize {
		return nil, invalid("Message too long")
	}
	s.mu.Lock()
	t, err := s.topicLocked(in)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	to := s.acceptLocked(t, m)
	s.mu.Unlock()
	s.deliver(m, to)
	return &publishOutput{m.id}, nil
}

func (s *SNS) publishBatch(c *service.Call, in *batch) (*publishBatchOutput, error) {
	if err := checkBatch(in.entries); err != nil {
		return nil, err
	}
	messages := make([]message, len(in.entries))
	errs := make([]error, len(in.entries))
	total := 0
	for i, e := range in.entries {
		errs[i] = messages[i].read(e)
		total += messages[i].size()
	}
	if total > maxSize {
		return nil, service.Refuse("BatchRequestTooLong", "The length of all the messages put together is more than the limit.")
	}
	s.mu.Lock()
	t, err := s.topicLocked(in.Form)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	out := &publishBatchOutput{Successful: make([]publishedEntry, 0, len(in.entries))}
	for i, e := range in.entries {
		id, m := e.Text("Id"), &messages[i]
		if failure := c.Fails(itemOf(m.sum)); failure != nil && errs[i] == nil {
			errs[i] = failure
		}
		if errs[i] != nil {
			c.FailedItems++
			out.Failed = append(out.Failed, failed(id, errs[i]))
			continue
		}
		s.mu.Lock()
		to := s.acceptLocked(t, m)
		s.mu.Unlock()
		s.deliver(m, to)
		out.Successful = append(out.Successful, publishedEntry{id, m.id})
	}
	return out, nil
}

func failed(id string, err error) failedEntry {
	f := failedEntry{ID: id, Code: "InternalError", Message: err.Error()}
	var refused *service.Error
	if errors.As(err, &refused) {
		f.Code, f.Message, f.SenderFault = refused.Code, refused.Message, !refused.Receiver()
	}
	return f
}

// checkBatch holds a batch to the errors of API_PublishBatch.
func checkBatch(entries []entry) error {
	if len(entries) == 0 {
		return service.Refuse("EmptyBatchRequest", "The batch request doesn't contain any entries.")
	}
	if len(entries) > 10 {
		return service.Refuse("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible (more than 10).")
	}
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		id := e.Text("Id")
		if id == "" || len(id) > 80 || strings.Trim(id, plain) != "" {
			return service.Refuse("InvalidBatchEntryId", "The Id of a batch entry in a batch request doesn't abide by the specification.")
		}
		if slices.Contains(ids, id) {
			return service.Refuse("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
		}
		ids = append(ids, id)
	}
	return nil
}

// read reads a message from an entry. On an error the message still has what was read.
func (m *message) read(in entry) error {
	m.body, m.sum = in.Text("Message"), in.sum
	m.subject, m.group = in.Text("Subject"), in.Text("MessageGroupId")
	if m.body == "" {
		return invalid("Empty message")
	}
	if !utf8.ValidString(m.body) {
		return invalid("Message must be valid UTF-8")
	}
	switch in.Text("MessageStructure") {
	case "":
	case "json":
		var by map[string]string
		if json.Unmarshal([]byte(m.body), &by) != nil || by["default"] == "" {
			return invalid("Message Structure - No default entry in JSON message body")
		}
		m.body = by["default"]
		if own, ok := by["sqs"]; ok {
			m.body = own
		}
		m.sum = sumOf(m.body)
	default:
		return invalid("Message Structure - the only one is json")
	}
	attributes := in.List("MessageAttributes")
	if len(attributes) == 0 {
		return nil
	}
	m.attributes = make(map[string]sqs.Attribute, len(attributes))
	for _, e := range attributes {
		name := e.Text("Name")
		a := sqs.Attribute{DataType: e.Text("Value.DataType"), StringValue: e.Text("Value.StringValue")}
		if e.Has("Value.BinaryValue") {
			var err error
			if a.BinaryValue, err = base64.StdEncoding.DecodeString(e.Text("Value.BinaryValue")); err != nil {
				return service.Refuse("ParameterValueInvalid", "The message attribute '%s' has a BinaryValue that is not base64.", name)
			}
		}
		if name == "" || a.DataType == "" || a.StringValue == "" && len(a.BinaryValue) == 0 {
			return service.Refuse("ParameterValueInvalid", "The message attribute '%s' must contain a non-empty type and value.", name)
		}
		m.attributes[name] = a
	}
	return nil
}

func (m *message) size() int {
	n := len(m.body)
	for name, a := range m.attributes {
		n += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	return n
}

// acceptLocked gives a message its id and returns who is to have it.
func (s *SNS) acceptLocked(t *topic, m *message) []*subscription {
	key := binary.BigEndian.Uint64(m.sum[:8])
	s.bodies[key]++
	m.id = sqs.NewID(s.seed, t.arn, m.sum, s.bodies[key]).String()
	m.sent = time.Now()
	return t.subscriptions
}
