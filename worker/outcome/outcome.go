// Package outcome is what goes out: for every command one event that says what became of it.
// It owns the event's form, its id and its bound in bytes; it knows no ledger, no topic and no
// clock, and takes every time and name from its caller.
//
// A value travels like this. The pipeline gathers [Target]s; [Of] says what they come to as a
// whole; [Encode] writes the [Data] as a CloudEvent (encode.go), cut where it is too large
// (cut.go). The bytes are stored in the ledger and published, again and again if need be;
// [Attributes] are what subscribers filter by. [Parse] is for those who read them.
package outcome

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// Codes of outcomes that are Rescind's own words, not AWS's.
const (
	CodeInvalid  = "Invalid"  // the command breaks a rule; the message is the rule's sentence
	CodeGaveUp   = "GaveUp"   // time ran out before AWS took the request
	CodeInternal = "Internal" // we broke
)

// Confirmation is how it was seen that a target stopped. The set is closed.
type Confirmation string

// The confirmations. An empty one is written as ConfirmedByNone.
const (
	ConfirmedByNone  Confirmation = "none"
	ConfirmedByPoll  Confirmation = "poll" // any read of state
	ConfirmedByEvent Confirmation = "event"
)

// Data is what became of one command. Empty texts and zero times are left out of the JSON,
// false and zero numbers are not, save ParametersOmitted and TargetsOmitted.
type Data struct {
	CommandID string `json:"commandId,omitempty"`
	// MessageID is SQS's id of the message that brought the command, the first one where it was deferred.
	MessageID string          `json:"messageId,omitempty"`
	Action    handlers.Action `json:"action,omitempty"`
	// Parameters are those of the command as sent, so that the outcome names its target and can be sent
	// again. Encode leaves them out, and sets ParametersOmitted, where they are longer than 16 KiB.
	Parameters        jsontext.Value   `json:"parameters,omitempty"`
	ParametersOmitted bool             `json:"parametersOmitted,omitzero"`
	Status            handlers.Status  `json:"status"`
	Verdict           handlers.Verdict `json:"verdict"`
	// Counts is the number of targets by status, the omitted ones included.
	Counts  map[handlers.Status]int `json:"counts"`
	Targets []Target                `json:"targets"`
	// TargetsOmitted is how many targets Encode left off the end for want of space.
	TargetsOmitted int `json:"targetsOmitted,omitzero"`
	// Code and Message are the command's own, where it did not come to calls: one of the Codes
	// above, or a guard's.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`

	Account     string `json:"account,omitempty"`
	Region      string `json:"region,omitempty"`
	Reason      string `json:"reason,omitempty"`
	RequestedBy string `json:"requestedBy,omitempty"`
	// Sender is SQS's SenderId. Behind SNS and EventBridge that is the service, so that by what
	// the command came follows it, as far as its envelope tells:
	// "AIDAEXAMPLE via arn:aws:sns:us-east-1:123456789012:cancels", or for EventBridge "… via "
	// and the rule's ARN or "EventBridge source " and the source; both, the topic first, where a
	// rule sent to a topic. SQS vouches for the first word alone.
	Sender   string `json:"sender,omitempty"`
	Campaign string `json:"campaign,omitempty"`

	DryRun      bool         `json:"dryRun"`
	Resumed     bool         `json:"resumed"`
	Escalated   bool         `json:"escalated"`
	ConfirmedBy Confirmation `json:"confirmedBy"`
	Attempts    Attempts     `json:"attempts"`

	EnqueuedAt time.Time `json:"enqueuedAt,omitzero"`
	ReceivedAt time.Time `json:"receivedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	Worker     string    `json:"worker,omitempty"`

	// TraceParent stands in the event, beside its data.
	TraceParent string `json:"-"`
}

// Target is what became of one target. Before and After are AWS's states, where known; Code
// and Message AWS's refusal, or ours. Of a dry run, Prediction is the status that the real command would most
// likely have; where that cannot be known it is left out, and Message says why.
type Target struct {
	ID         string          `json:"id"`
	Status     handlers.Status `json:"status"`
	Before     string          `json:"before,omitempty"`
	After      string          `json:"after,omitempty"`
	Prediction handlers.Status `json:"prediction,omitempty"`
	Code       string          `json:"code,omitempty"`
	Message    string          `json:"message,omitempty"`
	RequestID  string          `json:"requestId,omitempty"`
	// Verdict overrules the status's own, for a target that policy and not AWS denied:
	// handlers.NotRun. It is no part of the JSON, where the command's verdict counts it.
	Verdict handlers.Verdict `json:"-"`
}

// Attempts counts the AWS calls made for a command, and quotes the first and the last error.
type Attempts struct {
	Calls       int    `json:"calls"`
	Throttled   int    `json:"throttled"`
	Unavailable int    `json:"unavailable"`
	FirstError  string `json:"firstError,omitempty"`
	LastError   string `json:"lastError,omitempty"`
}

// Of says what a command's targets come to: their status where all ended alike, else partial;
// the worst of their verdicts; and how many there are of each status. Of no targets it says
// nothing: "", "" and no counts.
func Of(targets []Target) (handlers.Status, handlers.Verdict, map[handlers.Status]int) {
	var status handlers.Status
	var verdict handlers.Verdict
	counts := map[handlers.Status]int{}
	for _, t := range targets {
		counts[t.Status]++
		own := t.Verdict
		if own == "" {
			own = t.Status.Verdict()
		}
		verdict = handlers.Worst(verdict, own)
		status = t.Status
	}
	if len(counts) > 1 {
		status = handlers.Partial
	}
	return status, verdict, counts
}

// Attributes are the SNS message attributes that subscribers filter by, all strings; those that
// would be empty are left out. A character that SNS and SQS do not take in a message, which a
// campaign may hold, is replaced by U+FFFD, for one such would have the publishing refused for
// ever.
func Attributes(d *Data) map[string]string {
	attributes := make(map[string]string, 8)
	for _, a := range [...]struct{ name, value string }{
		{"action", string(d.Action)}, {"service", d.Action.Service()}, {"status", string(d.Status)}, {"verdict", string(d.Verdict)},
		{"campaign", d.Campaign}, {"account", d.Account}, {"region", d.Region},
	} {
		if a.value != "" {
			attributes[a.name] = strings.Map(sendable, a.value)
		}
	}
	return attributes
}

// sendable keeps the characters that the SQS API reference's SendMessage page allows in a
// message: #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD, #x10000 to #x10FFFF.
func sendable(r rune) rune {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
	case r < ' ' || r == 0xFFFE || r == 0xFFFF:
		return '\uFFFD'
	}
	return r
}
