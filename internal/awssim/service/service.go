// Package service is the vocabulary between awssim's dispatcher and the services in the simulator.
// A service says what it is called on the wire and lists its operations; an operation decodes
// its own parameters, names the items it is about, and does what AWS does. Everything that
// holds for every service alike (finding the operation, throttling, faults, writing answers
// and errors, history) is the dispatcher's, so that a new service is one folder and one
// line. This package knows no service and no dispatcher.
package service

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
)

// Protocol is how a service speaks. The set is closed.
type Protocol int

const (
	// JSON10 is AWS JSON 1.0: POST to /, the operation in X-Amz-Target.
	JSON10 Protocol = iota + 1
	// JSON11 is AWS JSON 1.1: the same under another content type.
	JSON11
	// REST is REST JSON: the operation is a method and a path.
	REST
	// Query is a form with an Action, answered in XML.
	Query
)

// Service is one AWS service in the simulator. It must not be changed after it was registered.
type Service struct {
	// Name is what quotas, faults and the history call it: "sqs", "emr".
	Name string
	// Signing is its name in the credential scope, where that is another: "elasticmapreduce".
	Signing  string
	Protocol Protocol
	// Target is what stands before the operation in X-Amz-Target ("AmazonSQS"); JSON only.
	Target string
	// Shapes is the namespace of error names in __type ("com.amazonaws.sqs"), "" for none.
	Shapes string
	// XMLNS is the namespace of answers; Query only.
	XMLNS string
	// Throttled is how the service asks for fewer calls; Denied how it refuses for want of
	// permission. Nil stands for the answers that AWS's "Common Errors" pages give.
	Throttled, Denied *Error
	// Broken are the 5xx answers it may give in place of doing anything; none stands for 503
	// ServiceUnavailable alone. Faults choose among them.
	Broken []*Error
	// ItemErrors are the passing errors that single items of its bulk answers may carry.
	ItemErrors []*Error
	// Operations by the API's own names.
	Operations map[string]Operation
}

// Operation is one API operation. All three functions are called concurrently.
type Operation struct {
	// Method and Path say where it is found; REST only. A segment of the path in braces
	// matches any one segment: "/things/{thingName}".
	Method, Path string
	// Decode reads the parameters. An error that is no *Error is answered as a
	// SerializationException.
	Decode func(*Request) (any, error)
	// Items names what a request is about, for faults and history: job ids, message ids.
	Items func(in any) []string
	// Do does it. out is marshalled by the service's protocol; an *Error is AWS's refusal.
	// ctx ends when the client disconnects or the simulator is closed.
	Do func(ctx context.Context, c *Call, in any) (out any, err error)
}

// Request is what came over the wire.
type Request struct {
	Body   []byte
	Form   Form              // Query only
	Path   map[string]string // REST only: the segments in braces, unescaped
	Query  url.Values        // REST only
	Header http.Header
}

// Call is the setting in which an operation runs.
type Call struct {
	Service, Operation string
	Account, Region    string
	// AccessKey is the caller's; "" for an unsigned request.
	AccessKey string
	RequestID string
	// Base is the endpoint as the caller named it, "http://127.0.0.1:4566".
	Base string
	// Draws are the faults of this request; nil for none.
	Draws Draws
	// FailedItems counts the items that the answer reports as failed; the operation keeps it,
	// for the history.
	FailedItems int
}

// Draws are what the dispatcher has drawn for the items of a request.
type Draws interface {
	// Fails returns the error that this item of a bulk answer shall carry, or nil.
	Fails(item string) *Error
	// Slow returns how much longer a state change of this item takes.
	Slow(item string) time.Duration
	// Twice reports whether this delivery of an item, the how-manieth it is, comes twice.
	Twice(item string, delivery uint32) bool
	// Stale returns by how much this read of an item is behind.
	Stale(item string) time.Duration
}

// Fails returns the error that this item of a bulk answer shall carry, or nil.
func (c *Call) Fails(item string) *Error {
	if c.Draws == nil {
		return nil
	}
	return c.Draws.Fails(item)
}

// Slow returns how much longer a state change of this item takes; 0 where no fault says so.
func (c *Call) Slow(item string) time.Duration {
	if c.Draws == nil {
		return 0
	}
	return c.Draws.Slow(item)
}

// Twice reports whether this delivery of an item, the how-manieth it is, comes twice.
func (c *Call) Twice(item string, delivery uint32) bool {
	return c.Draws != nil && c.Draws.Twice(item, delivery)
}

// Stale returns by how much this read of an item is behind; 0 where no fault says so. See [Past].
func (c *Call) Stale(item string) time.Duration {
	if c.Draws == nil {
		return 0
	}
	return c.Draws.Stale(item)
}

// Error is an AWS refusal.
type Error struct {
	// Status is the HTTP status; 0 is 400.
	Status int
	Code   string
	// QueryCode, where set, is the code that SQS clients of the older protocol know, which
	// goes into the x-amzn-query-error header.
	QueryCode string
	Message   string
	// Fields are what else the error's body says; JSON only.
	Fields map[string]any
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// HTTPStatus is the status, 400 where none was set.
func (e *Error) HTTPStatus() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}

// Receiver says that the fault is the service's and not the sender's.
func (e *Error) Receiver() bool { return e.HTTPStatus() >= 500 }

// Refuse makes a 400.
func Refuse(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Empty is the answer of an operation that says nothing: in JSON an empty body, in XML no
// result.
type Empty struct{}

// JSON makes an operation whose parameters are a JSON object. items may be nil.
func JSON[I, O any](items func(*I) []string, do func(context.Context, *Call, *I) (*O, error)) Operation {
	return operation(func(r *Request) (any, error) {
		in := new(I)
		if len(r.Body) == 0 {
			return in, nil
		}
		if err := json.Unmarshal(r.Body, in); err != nil {
			return nil, fmt.Errorf("reading the request's JSON: %w", err)
		}
		return in, nil
	}, items, do)
}

// Post is JSON as a REST operation whose parameters all stand in the body.
func Post[I, O any](path string, items func(*I) []string, do func(context.Context, *Call, *I) (*O, error)) Operation {
	op := JSON(items, do)
	op.Method, op.Path = http.MethodPost, path
	return op
}

// Action makes a Query operation, which reads its parameters from the form itself. items
// may be nil.
func Action[O any](items func(*Form) []string, do func(context.Context, *Call, *Form) (*O, error)) Operation {
	return operation(func(r *Request) (any, error) { return &r.Form, nil }, items, do)
}

func operation[I, O any](decode func(*Request) (any, error), items func(*I) []string,
	do func(context.Context, *Call, *I) (*O, error),
) Operation {
	op := Operation{Decode: decode}
	if items != nil {
		op.Items = func(in any) []string { return items(in.(*I)) }
	}
	op.Do = func(ctx context.Context, c *Call, in any) (any, error) {
		out, err := do(ctx, c, in.(*I))
		if err != nil {
			return nil, err
		}
		return out, nil
	}
	return op
}
