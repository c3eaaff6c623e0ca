// Package command is what comes in: one request to cancel, read from the body of a queue
// message and checked against everything that is known before anything is sent. It knows the
// actions by their [handlers.Handler]s; it knows no queue, no ledger and no AWS SDK, asks no
// clock, and does not judge what the worker may do (accounts, regions, expiry): that is for
// the worker's guards.
//
// A body travels like this. [Decoder.Decode] reads it as an object (object.go) and takes the command
// out of its envelopes (envelope.go); each of its members is held to the rules of
// the contract (decode.go, text.go); its parameters are held to the action's own fields
// (parameters.go) and turned into targets. What breaks a rule comes back as an [*Error] that
// names the field and the rule. [Schema] says the same rules as a JSON Schema, for those who
// write commands.
//
// The envelopes, distinguished by a member that only they have:
//
//   - none: the command itself, also by SNS's raw delivery;
//   - "specversion": a CloudEvents 1.0 event in structured JSON, of the type [Type], the
//     command in data;
//   - "Type": an SNS notification, the command or one of the two events in Message;
//   - "detail-type": an EventBridge event, the command in detail.
//
// Other nestings are refused: nobody routes them, and each would be one more place where a
// member could hide. A CloudEvents event must have id and source, as its standard
// demands. Members of an envelope that are not read are not checked either, while the command
// in it is held to every rule. null in an optional field is what leaving the field out is, in
// commands, parameters and envelopes alike: serializers write it so. A command in an envelope is not trusted more: signatures are not
// checked, since the queue's policy says who may send.
package command

import (
	"crypto/sha256"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/handlers"
)

// MaxBytes is the largest command, without its envelopes: 256 KiB.
const MaxBytes = 256 * 1024

// Message is what Decode must know of the queue message besides its body.
type Message struct {
	ID string // SQS's message id
	// TraceParent is the message attribute of that name, the W3C trace context; empty: none.
	TraceParent string
}

// Command is one checked request to cancel. It is not changed once Decode has returned it,
// and may then be read by any number of goroutines.
type Command struct {
	// ID is the idempotency key. A command that brings none has the id of its innermost
	// envelope with an id: "ce:" and a hash of CloudEvents source and id, "eb:" and EventBridge's
	// id, "sns:" and SNS's message id, "sqs:" and SQS's.
	ID     string
	Action handlers.Action
	// Parameters is the JSON object as it was sent, but without members that are null, which say no more
	// than members that are left out. It may share the memory of the body.
	Parameters []byte
	// Params are the same, checked, with the API's own reason filled in.
	Params handlers.Parameters
	// Targets are what the handler made of Params; at least one.
	Targets []handlers.Target
	// Account and Region are those of an ARN among the parameters where the command names none, and the
	// worker's own where there is none either.
	Account, Region string
	// Reason, RequestedBy and Campaign are empty where the command does not say.
	Reason, RequestedBy, Campaign string
	// ExpiresAt bounds the beginning of any cancelling call, in UTC; zero: no bound.
	ExpiresAt time.Time
	// Confirm is how long to look for proof, 12 hours at most, counted from AWS's first acceptance; 0: not at
	// all; nil: for the worker's default. Where the command says Escalate alone, it is twice that.
	Confirm *time.Duration
	// Escalate is how long after acceptance the stronger action is taken of what has not stopped, 6 hours at
	// most; 0: never.
	Escalate time.Duration
	// DryRun asks for a preview: reads and no cancelling call.
	DryRun bool
	// Via is by what the command came to the queue, where its envelope tells, since SQS then
	// knows a service as the sender: an SNS topic's ARN; an EventBridge rule's ARN, where it
	// stands among the event's resources, else "EventBridge source " and the event's source;
	// "TOPIC via RULE" for an event that a rule sent to a topic. It is what the message says of
	// itself, and at most 512 characters of each.
	Via string
	// TraceParent is the W3C trace context of the innermost of these that has a well-formed one:
	// the CloudEvents extension, the message attribute in an SNS notification, Message's.
	TraceParent string
}

// Location is where the command's calls are made.
func (c *Command) Location() handlers.Location {
	return handlers.Location{Account: c.Account, Region: c.Region}
}

// Key is the command's key in the ledger: its id, in a key space of its own for a dry run
// ("/" cannot stand in an id).
func (c *Command) Key() string {
	if c.DryRun {
		return "dry/" + c.ID
	}
	return c.ID
}

// Fingerprint tells whether two commands ask for the same: SHA-256 over the canonical JSON
// (RFC 8785) of account, action, parameters as sent, and region. RFC 8785 writes every number
// as a double, in which whole numbers beyond 2^53 run together; Decode refuses those, so that
// commands that differ have fingerprints that differ.
func (c *Command) Fingerprint() [32]byte {
	text, err := json.Marshal(struct {
		Account    string          `json:"account"`
		Action     handlers.Action `json:"action"`
		Parameters jsontext.Value  `json:"parameters"`
		Region     string          `json:"region"`
	}{c.Account, c.Action, c.Parameters, c.Region}, jsontext.AllowInvalidUTF8(true))
	canonical := jsontext.Value(text)
	if err != nil || canonical.Canonicalize() != nil {
		return sha256.Sum256(c.Parameters) // not met: Decode returns none that are not JSON
	}
	return sha256.Sum256(canonical)
}

// Error is a command that cannot be read or breaks a rule. As a sentence it is the field and
// the rule. It unwraps to a [*handlers.FieldError].
type Error struct {
	// OwnEvent is the type of an event that a worker published, where the message is one: what is wrong
	// then is that it came in, and an outcome for it would come in again. "" for everything else.
	OwnEvent string
	// Field is the path from the command's root; "body" where the body itself is at fault; the
	// envelope's field ("data", "Message", "type") where an envelope or the text in it is.
	handlers.FieldError
	// Command holds what could be read and obeys its own rules, for the outcome to name: ID,
	// Action (known or not), Account, Region, Reason, RequestedBy, Campaign, ExpiresAt and
	// DryRun. What could not is zero, and of a command in a faulty envelope nothing is read. Via
	// and TraceParent are the envelopes' as far as they were taken off. Where the body was read to its end and does not say, ID,
	// Account and Region are filled as in a sound command.
	Command Command
}

func (e *Error) Unwrap() error { return &e.FieldError }
