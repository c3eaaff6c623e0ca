// Package handlers is the vocabulary of cancelling: what an action is, what its targets are,
// what AWS may answer and what each answer means. It knows no AWS SDK, no queue and no clock;
// it imports the standard library alone, so that every other package can use these words.
//
// A value travels like this. The worker reads a command's parameters by the handler's
// [Field]s; [Handler.Targets] turns them into [Target]s; each target goes through the
// handler's Cancel call, in one request with others of the same key where the API takes several, and
// comes back as an [Answer]; where the answer does not show what became of the target, it goes
// through the handler's Read call and the [Reading] is judged by [Handler.Judge]. In a dry run it goes
// through Read alone, and [Handler.Predict] says what the call would come to.
//
// What only some services have is an interface of its own: [Resolver], where parameters leave open which
// target is meant; [Holder], where targets are in something that may be at fault; [Escalator], where there is a
// stronger action; [Lister], where one request lists many targets that have ended; [EventReader], where AWS sends an
// event when one has; [Explainer], where AWS may take a cancel and leave a target as it is for a time. [Permitter] says which IAM permissions the calls need.
//
// status.go has the statuses, errors.go the classes of errors and what follows from each, origin.go whose
// word an error is, fields.go the rules of parameters, permissions.go those of IAM, common.go and perlocation.go what
// handlers share; selection.go has the words of selecting targets by listing.
// One folder below this one is one AWS service. To add one, see ARCHITECTURE.md.
package handlers

import (
	"context"
	"time"
)

// Action names what a command asks for: "service:Operation", the AWS API's own names.
type Action string

// Service is the part before the colon: "batch".
func (a Action) Service() string {
	for i := range len(a) {
		if a[i] == ':' {
			return string(a[:i])
		}
	}
	return string(a)
}

// Location is where a call is made: one account in one region.
type Location struct {
	Account string // twelve digits
	Region  string
}

// Target is one thing to be stopped.
type Target struct {
	// ID names the target in outcomes and in the ledger; unique within its command.
	ID string
	// Key is everything besides the id that a cancelling request says. Targets of one location
	// and equal Key may share a request. Empty is a key like any other.
	Key string
	// ReadKey is the same for reads of state.
	ReadKey string
	// Pin is what Resolve found (SWF's run id): stored in the ledger before the first call,
	// so that a later try means the same thing. Empty where nothing is to be resolved.
	Pin string
	// Params is the handler's own reading of the parameters, opaque to everybody else. It
	// must not be changed once Targets has returned it.
	Params any
}

// Handler knows one action: how its parameters are read, which calls it makes, and what
// their answers mean. A handler holds no goroutine, sleep, retry or limiter: it is asked,
// it makes one request, it answers. Its methods are safe for concurrent use.
type Handler interface {
	// Action is the name that commands call it by.
	Action() Action
	// Fields are the action's parameters, as AWS documents them. The worker checks a
	// command against them before Targets is called.
	Fields() []Field
	// Targets turns checked parameters into at least one target, in the order of the
	// parameters. An error is a *FieldError, for rules that Fields cannot say.
	Targets(p Parameters) ([]Target, error)
	// Cancel is the cancelling call.
	Cancel() Call[Answer]
	// Read is the call that reads the state of targets.
	Read() Call[Reading]
	// Judge says what a reading shows about a target, given what was tried. It is pure.
	// A Status of "" means that it shows nothing: the worker then decides by what it knows.
	Judge(t Target, tried Tried, r Reading) Answer
	// Predict says what a real command would most likely come to for a target of which nothing was tried
	// and whose state is r: one of the statuses that Judge gives after a call. It is pure. A Status of ""
	// means that this cannot be known; Err then says why, unless it is that of the reading.
	Predict(t Target, r Reading) Answer
}

// Resolver is implemented by handlers whose parameters may leave open which target is
// meant (SWF without a runId). Unresolved returns true for a target that needs it.
type Resolver interface {
	Unresolved(t Target) bool
	// Resolve reads what the target's Pin is to be. A Reading with Found false means that
	// there is nothing to cancel; otherwise its State is the pin.
	Resolve() Call[Reading]
	// Last reads how the newest of those that an unresolved target could mean ended, where
	// Resolve found nothing to cancel. The target keeps no Pin, no cancelling call is made, and
	// Judge says what the Reading shows, nothing having been tried; Found false means that AWS
	// knows, or remembers, none.
	Last() Call[Reading]
}

// Holder is implemented by handlers whose cancelling request names what holds its targets, as EMR's does the
// cluster. It returns a target without an ID, whose Read is of what holds t: Found, where AWS
// knows that, and refused, where AWS would refuse to read any target of it.
type Holder interface {
	Holder(t Target) Target
}

// Escalator is implemented by handlers whose service has a stronger action for what this one does not stop.
type Escalator interface {
	// Stronger is the stronger action for a target; ok is false where t asks for the strongest already.
	Stronger(t Target) (s Stronger, ok bool)
	// OnlyStronger reports whether a reading shows a state that the stronger action alone may stop: there
	// is nothing to wait for.
	OnlyStronger(r Reading) bool
}

// Stronger is a stronger action and the target as it takes it, under the same ID.
type Stronger struct {
	Action Action // the same one, where a parameter makes it stronger
	Target Target
	Name   string // for people: "TerminateJob", "CancelSteps with TERMINATE_PROCESS"
}

// Lister is implemented by handlers whose service lists many targets that have ended in one request.
type Lister interface {
	// ListKey names the listing that shows a target once it has ended by a cancel; "": none does.
	ListKey(t Target) string
	// List reads one page of a listing. Its target's Params are a [Listing], and its Reading's Detail is a [Page].
	List() Call[Reading]
}

// Listing says which page of which listing is meant.
type Listing struct {
	Of    Target    // one of those that it shows
	Since time.Time // what has ended before need not be shown
	Page  string    // as Page.Next has it; "" is the first
}

// Page is one page of a listing.
type Page struct {
	Readings map[string]Reading // by target ID
	Next     string             // the page after it; "": this is the last
}

// Explainer is implemented by handlers whose service may take a cancel and leave a target as it is for a time, by what it
// documents. Explain says why that may be of a target whose state was last read as r (zero: it was not read), in a
// sentence without a full stop; "" where nothing is known. It is pure.
type Explainer interface {
	Explain(t Target, r Reading) string
}

// EventReader is implemented by handlers whose service sends an EventBridge event when the state of a target changes.
type EventReader interface {
	// EventSource is the source of such events and their detail-type: "aws.batch", "Batch Job State Change".
	EventSource() (source, detailType string)
	// ReadEvent reads an event's detail. It reports false where that is not as AWS documents it, or shows no end.
	ReadEvent(detail []byte) (Ended, bool)
	// Shows is what a read would have shown of a target that ended like this, in the words that Judge reads. It reports
	// false where the event does not say enough: the target is then to be read.
	Shows(t Target, e Ended) (Reading, bool)
}

// Ended is what an event shows of a target.
type Ended struct {
	ID     string // as Targets gives it
	In     string // what holds it, as EMR's cluster does; "" where nothing does
	State  string // AWS's own word
	Reason string // that AWS recorded, where the event has one
}

// Call is one AWS operation as a handler makes it.
type Call[R any] struct {
	// Operation is the API's own name, which is also the name of its quota: "CancelJobs".
	Operation string
	// Max is the most targets that one request takes; 1 for an API that takes one.
	Max int
	// Quota is what AWS publishes for this operation, and ServiceQuota for all operations of
	// the service together, per account and region. Zero: nothing is published.
	Quota, ServiceQuota Quota
	// QuotaIn is Quota in the regions in which AWS publishes another one. nil: it is the same everywhere.
	QuotaIn map[string]Quota
	// Gather is how long a target may wait for others to share its request, where a call is scarce and
	// takes many. 0: not at all.
	Gather time.Duration
	// Do makes one request, at most, for targets of one location and one key, and returns as
	// many results as there are targets, in their order. The targets have different ids.
	// Do returns when ctx ends; it does not retry.
	Do func(ctx context.Context, at Location, targets []Target) []R
}

// QuotaAt is the operation's quota in a region.
func (c *Call[R]) QuotaAt(region string) Quota {
	if q, ok := c.QuotaIn[region]; ok {
		return q
	}
	return c.Quota
}

// Quota is AWS's token bucket for calls.
type Quota struct {
	Rate  float64 // calls a second
	Burst float64 // calls at once, the bucket's size
}

// Answer is what is known of one target after a call, or after a reading was judged.
type Answer struct {
	// Status is what became of the target, where the answer shows it. Empty with a nil Err
	// means that the request was taken and the state is to be read.
	Status Status
	// Before and After are AWS states, where the answer tells them.
	Before, After string
	// Err is AWS's refusal, or why there was no answer. It may stand beside a Status (a
	// denied target), or alone: then its Class says what is to be done.
	Err *Error
	// RequestID is AWS's id of the request.
	RequestID string
}

// Reading is the state of one target as AWS tells it.
type Reading struct {
	// Found is false where AWS answered and does not know the target.
	Found bool
	// State is AWS's own word for it.
	State string
	// Detail is what else the handler's Judge needs; opaque to everybody else.
	Detail any
	// Err is set where the state could not be read.
	Err *Error
	// RequestID is AWS's id of the request.
	RequestID string
}

// Tried is what the worker knows of the cancelling calls made for a target.
type Tried struct {
	// Taken: AWS answered a cancelling call for this target with success.
	Taken bool
	// Unsure: a call may have reached AWS and was never answered, or with a 5xx.
	Unsure bool
	// Refusal is the last final refusal of a cancelling call, if any.
	Refusal *Error
}
