package outcome

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// MaxBytes is the largest event: 200 KiB, so that it fits SNS's 256 KiB with its attributes
// and whatever a subscription wraps around it.
const MaxBytes = 200 * 1024

// maxParameters is the longest JSON of parameters that an event holds: 16 KiB.
const maxParameters = 16 * 1024

// Type is the CloudEvents type of an outcome.
const Type = "io.rescind.outcome.v1"

// namespace is the UUID namespace of outcomes' event ids, drawn once at random. It may never
// change: a command that is published again must keep its event id.
var namespace = uuid.MustParse("9fa54bcd-c61f-4e1e-91a4-39c3904ce50c")

// Event is an outcome as a CloudEvents 1.0 structured JSON event.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time,omitzero"`
	DataContentType string    `json:"datacontenttype"`
	// TraceParent is the extension of CloudEvents' distributed tracing: the W3C trace context
	// that the command came with.
	TraceParent string `json:"traceparent,omitempty"`
	Data        Data   `json:"data"`
}

// EventID is the id of the outcome of the command that has this key in the ledger: a UUID of
// version 5.
func EventID(key string) string { return uuid.NewSHA1(namespace, []byte(key)).String() }

// Encode writes an outcome as the event of this id (see EventID), by the deployment of this name:
// valid JSON and UTF-8 of at most MaxBytes, the same bytes for the same input. Times are written
// in UTC, text that is not UTF-8 with U+FFFD in it. What is too large is cut, messages first; see
// cut. d and its targets are not changed. The error is that of a time whose year has not four digits.
func Encode(name, id string, d *Data) ([]byte, error) {
	e := newEvent(name, id, d)
	text, err := write(e)
	if err == nil && len(text) > MaxBytes {
		text, err = cut(e)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding the outcome of %q: %w", d.CommandID, err)
	}
	return text, nil
}

func newEvent(name, id string, d *Data) *Event {
	e := &Event{
		SpecVersion:     "1.0",
		ID:              id,
		Source:          "/rescind/" + name,
		Type:            Type,
		Subject:         d.CommandID,
		Time:            d.FinishedAt.UTC(),
		DataContentType: "application/json",
		TraceParent:     d.TraceParent,
		Data:            *d,
	}
	own := &e.Data
	if own.ConfirmedBy == "" {
		own.ConfirmedBy = ConfirmedByNone
	}
	if len(own.Parameters) > maxParameters {
		own.Parameters, own.ParametersOmitted = nil, true
	}
	own.EnqueuedAt, own.ReceivedAt, own.FinishedAt = d.EnqueuedAt.UTC(), d.ReceivedAt.UTC(), d.FinishedAt.UTC()
	return e
}

// write is the event's JSON. It may hold U+FFFE and U+FFFF as they are; SNS and SQS messages may not.
// They stand only inside of strings, where their escapes mean the same.
func write(e *Event) ([]byte, error) {
	text, err := json.Marshal(e, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	text = bytes.ReplaceAll(text, []byte("\uFFFE"), []byte(`\ufffe`))
	text = bytes.ReplaceAll(text, []byte("\uFFFF"), []byte(`\uffff`))
	return text, err
}

// maxError is how many bytes of what the decoder says an error has: it cites the text.
const maxError = 512

// Parse reads an outcome. Fields that it does not know are passed over, since newer workers
// may write more.
func Parse(text []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(text, &e); err != nil {
		return Event{}, errors.New("reading an outcome: " + shorten(err.Error(), maxError))
	}
	if e.Type != Type || e.SpecVersion != "1.0" {
		return Event{}, fmt.Errorf("reading an outcome: it is a CloudEvent %q of type %q, want %q of type %q",
			shorten(e.SpecVersion, maxError), shorten(e.Type, maxError), "1.0", Type)
	}
	return e, nil
}
