// Package handlertest is the conformance suite of handlers: what the worker relies on, asked
// of every handler in the same words. It drives the handler through the real SDK client over
// a transport of its own, which no network lies behind, and knows no service: the service's
// part, how its API is answered, is the [Suite] that a handler's test hands in.
//
// What it holds a handler to:
//
//   - as many results as targets, in order, whatever the order, gaps and strangers of the
//     answer, and an error each;
//   - one HTTP request, at most, for a call, of the operation it names and as aws.json says
//     that it travels; no retry, nothing held between calls, nothing left running;
//   - refusals judged by code before text; a request refused as a whole gives each target
//     the same class; what was never or not readably answered is Unanswered;
//   - what was never sent, and what something other than the service answered, is no word of
//     AWS's: it waits, and only the former leaves no doubt;
//   - fields, batch sizes, states and documented errors agree with aws.json;
//   - Judge is total and pure, and claims no more than the state shows;
//   - Predict foretells what Judge gives after a call, or says why that cannot be known;
//   - a stronger action is of the same target and has an end; a page of a listing that was not had
//     is no page.
//
// For the tables that each service has of its own, from a state to a status, [OnRig] puts the
// handler before the AWS simulator, and [Drive] does with targets what the worker does.
package handlertest

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/rescindhq/rescind/handlers"
	"go.uber.org/goleak"
)

// Suite is what must be known of a handler to test it. Fields without a default are required.
type Suite struct {
	// New makes the handler with SDK clients of the configuration that config gives.
	New func(config func(handlers.Location) aws.Config) handlers.Handler
	// Commands returns the parameters of commands which have n targets between them, all
	// different, that may share a request: one command of n targets or n of one, as the action
	// goes. Equal n gives equal parameters, and the first targets of a larger n are those of
	// a smaller.
	Commands func(n int) []handlers.Parameters
	// Cancel and Read answer the two calls that every handler has.
	Cancel, Read Peer
	// Resolve and Last answer those of a handlers.Resolver, which has both.
	Resolve, Last *Peer
	// States are the states that a reading can show, as the handler writes them; a part after
	// a slash is the handler's own refinement of aws.json's state ("CLOSED/CANCELED").
	States []State
	// Extras are what else an item of a reading can say, opaque here: each goes with each
	// state into [Item.Extra], beside no extra at all.
	Extras []any
	// Beyond names the fields whose bounds differ from those that aws.json gives for the
	// action, and where the bounds come from instead.
	Beyond map[string]string
}

// State is one state of a target.
type State struct {
	Name  string
	Ended bool // a state that is not left
}

// Peer plays AWS for one operation.
type Peer struct {
	// Asked returns the ids of the targets that a request names, as the handler's Targets
	// name them. Nil where requests do not name them (a listing).
	Asked func(r Request) []string
	// Answer answers a request with these items, in this order: what became of each, or
	// its state. A target that AWS does not know is not among them. An API that says so in
	// another way than by leaving it out answers with a refusal.
	Answer func(r Request, items []Item) Response
	// Taken is the status of a target that was taken: "", or Accepted where the answer is
	// proof enough. Cancel only.
	Taken handlers.Status
	// NoBody: a success says nothing in its body, so that an empty one is a success.
	NoBody bool
	// Gap is the class of a target that the answer to a request of several leaves out. 0 is
	// Unanswered: it is called again, as after an answer that was lost. Unsettled says that its
	// state is read instead, and comes with MayHaveRun, since the request did arrive: for a
	// service where a call is dearer than a reading, or less sure to be harmless. Cancel only.
	Gap handlers.Class
	// Items are the refusals that a single item of a success can carry.
	Items []Refusal
	// Whole are the refusals of a whole request that this service documents; each error
	// that aws.json lists for the operation is among them. Those that all services share
	// are tried without being listed.
	Whole []Refusal
}

// Item is one target in an answer. A Code makes it a refusal.
type Item struct {
	ID            string // as the handler's Targets name it
	Code, Message string
	State         string
	Extra         any
}

// Refusal is a documented refusal and what it comes to.
type Refusal struct {
	Code string
	HTTP int // of a whole request; unused for an item
	// Text is the message where the message, for want of codes, tells refusals apart; empty:
	// the code rules, and misleading texts are put beside it.
	Text string
	Want Want
	// Alone, where set, is what it comes to if the request had one target only.
	Alone *Want
}

// Want is what a target comes to. For a reading, the status NotFound says that AWS does not
// know the target. A Class of 0 is no error.
type Want struct {
	Status handlers.Status
	Class  handlers.Class
}

// Request is an HTTP request as it reached the peer.
type Request struct {
	*http.Request
	Payload []byte // the body
}

// Response is an HTTP response; Status 0 is 200.
type Response struct {
	Status int
	Header map[string]string
	Body   string
	lost   bool // the connection breaks after the body
}

// Refuse is an error in the form that AWS's JSON protocols share: the code in a header, as
// REST has it, and in the body, as JSON 1.0 and 1.1 have it.
func Refuse(status int, code, message string) Response {
	return Response{
		Status: status,
		Header: map[string]string{"X-Amzn-Errortype": code},
		Body:   `{"__type":` + quote(code) + `,"message":` + quote(message) + `}`,
	}
}

// Problem is a breach of the contract that one check found.
type Problem struct {
	Check string
	Err   error
}

// Run holds a handler to the contract, with a subtest for each check. It must not run beside
// tests that start or end goroutines.
func Run(t *testing.T, s Suite) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, err := range c.run(newSubject(s)) {
				t.Error(err)
			}
		})
	}
	goleak.VerifyNone(t, before)
}

// Check is Run for those who want the breaches and no test: the empty list is conformity.
func Check(s Suite) []Problem {
	var problems []Problem
	for _, c := range checks {
		for _, err := range c.run(newSubject(s)) {
			problems = append(problems, Problem{Check: c.name, Err: err})
		}
	}
	return problems
}

// The checks by name. The names are those of the subtests.
var checks = []struct {
	name string
	run  func(*subject) []error
}{
	{"suite", checkSuite},
	{"fields", checkFields},
	{"targets", checkTargets},
	{"request", checkRequest},
	{"order", checkOrder},
	{"items", checkItems},
	{"missing", checkMissing},
	{"refusals", checkRefusals},
	{"unreadable", checkUnreadable},
	{"unanswered", checkUnanswered},
	{"origin", checkOrigin},
	{"repeatable", checkRepeatable},
	{"judge", checkJudge},
	{"predict", checkPredict},
	{"stronger", checkStronger},
	{"listing", checkListing},
}
