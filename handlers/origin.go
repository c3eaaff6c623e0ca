package handlers

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
)

// Origin says whose word an error of an SDK call is. The set is closed.
type Origin int

const (
	// FromUs means that nothing of this request was sent: credentials, signing, the endpoint or the
	// connection could not be had. It is our own trouble and leaves no doubt.
	FromUs Origin = iota + 1
	// FromNobody means that no service has answered: the connection broke, time ran out, or what
	// answered showed neither an AWS error code nor a request id. The request may have arrived.
	FromNobody
	// FromService means that the service answered this request.
	FromService
)

func (o Origin) String() string {
	switch o {
	case FromUs:
		return "from us"
	case FromNobody:
		return "from nobody"
	case FromService:
		return "from the service"
	}
	return fmt.Sprintf("Origin(%d)", int(o))
}

// OriginOf says whose word the error of an SDK call is. A code that errors.As finds anywhere in an
// error may be another request's: that of a credentials endpoint, or of STS. So whoever acts on
// a code asks this first. err is not nil.
func OriginOf(err error) Origin { return traced(err).origin }

// The shapes of the SDK's errors, named here so that this package need not import it.
type (
	apiError interface {
		ErrorCode() string
		ErrorMessage() string
	}
	operation interface {
		Service() string
		Operation() string
	}
	response interface {
		HTTPStatusCode() int
		ServiceRequestID() string
	}
	sendError interface{ ConnectionError() bool }
	canceled  interface{ CanceledError() bool }
	// nothingSent is implemented by errors that say of themselves that they arose before a
	// request was sent.
	nothingSent interface{ NothingSent() bool }
)

// madeUp is the code that the SDK puts in where an answer names none.
const madeUp = "UnknownError"

// trace is what an error shows of its request.
type trace struct {
	origin  Origin
	status  int    // of the answer; 0: there was none
	id      string // AWS's id of the request
	code    string // AWS's error code
	message string // AWS's own words
	unread  bool   // the answer is an error whose words cannot be read: cut off, or no JSON
}

// traced follows an error from the operation that returned it towards its cause, until it comes to
// what this request met: an answer, or a failure to send it. What fails before a request is sent
// is wrapped by the SDK with fmt.Errorf ("get identity: %w"), and may hold another operation's error;
// what is found beyond either of the two says nothing of this request.
func traced(err error) trace {
	var before nothingSent
	if errors.As(err, &before) && before.NothingSent() {
		return trace{origin: FromUs}
	}
	at := err
	for ; at != nil; at = errors.Unwrap(at) {
		if _, ok := at.(operation); ok {
			break
		}
	}
	if at == nil {
		return traceOf(err, FromNobody) // no operation's error: nobody knows where it arose
	}
	for at = errors.Unwrap(at); at != nil; at = errors.Unwrap(at) {
		switch e := at.(type) { //nolint:errorlint // each link of the chain is looked at
		case operation:
			return trace{origin: FromUs}
		case response:
			if e.HTTPStatusCode() == 0 {
				continue // the SDK's stand-in for an answer, around the failure to send
			}
			t := traceOf(at, FromNobody)
			t.status, t.id = e.HTTPStatusCode(), e.ServiceRequestID()
			var api apiError // the SDK makes one of every error that it can read
			t.unread = !errors.As(at, &api)
			if t.id != "" {
				t.origin = FromService
			}
			return t
		case sendError:
			if neverConnected(at) {
				return trace{origin: FromUs}
			}
			return trace{origin: FromNobody}
		case canceled:
			return trace{origin: FromNobody}
		}
		if reflect.TypeOf(at) == wrapped {
			return trace{origin: FromUs}
		}
	}
	return trace{origin: FromUs}
}

// wrapped is the type of what fmt.Errorf returns.
var wrapped = reflect.TypeOf(fmt.Errorf("%w", errors.ErrUnsupported))

// traceOf is what an error says in AWS's words, if it does.
func traceOf(err error, otherwise Origin) trace {
	var api apiError
	if errors.As(err, &api) && api.ErrorCode() != "" && api.ErrorCode() != madeUp {
		return trace{origin: FromService, code: api.ErrorCode(), message: api.ErrorMessage()}
	}
	return trace{origin: otherwise}
}

// neverConnected reports whether a request could not be sent for want of a connection.
func neverConnected(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && (dial.Op == "dial" || dial.Op == "proxyconnect") {
		return true
	}
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}
