package handlers

import (
	"context"
	"errors"
	"fmt"
)

// Class says what an error of an AWS call means for the target it befell. The set is closed.
type Class int

const (
	// Throttled means that AWS asks for fewer calls. Costs time, never a try.
	Throttled Class = iota + 1
	// Unavailable means that AWS answered that it cannot now (5xx). Whether the request took
	// effect is not known.
	Unavailable
	// Unanswered means that no answer came; the request may have arrived.
	Unanswered
	// Refused means that the request as a whole was refused for what may be one target's
	// fault. Alone in its request, the target carries the refusal.
	Refused
	// Unsettled means that AWS refused this target in words that do not say how it ended: read
	// its state.
	Unsettled
	// NoSuchTarget means that AWS does not know the target.
	NoSuchTarget
	// VersionMismatch means that expectedVersion did not match. It does not say that the target
	// runs: read its state, and where that shows no end, it is a conflict.
	VersionMismatch
	// NotAuthorized means that AWS refused for want of permission.
	NotAuthorized
	// Final means that AWS answered something final that is none of the above.
	Final
)

func (c Class) String() string {
	switch c {
	case Throttled:
		return "throttled"
	case Unavailable:
		return "unavailable"
	case Unanswered:
		return "unanswered"
	case Refused:
		return "refused"
	case Unsettled:
		return "unsettled"
	case NoSuchTarget:
		return "no such target"
	case VersionMismatch:
		return "version mismatch"
	case NotAuthorized:
		return "not authorized"
	case Final:
		return "final"
	}
	return fmt.Sprintf("Class(%d)", int(c))
}

// Error is an AWS refusal, or the want of an answer, for one target.
type Error struct {
	Class   Class
	Code    string // AWS's error code; "Unanswered" where there was no answer
	Message string // AWS's own words
	// NotRun: AWS refused the request before doing anything, though its class would leave that
	// open: a credential or a clock was at fault.
	NotRun bool
	// MayHaveRun: the request may have taken effect on the target, though its class is one of a
	// refusal. A state that shows a cancel may then be our own doing.
	MayHaveRun bool
}

// notRun are the Unavailable codes of requests that AWS did not take up.
var notRun = map[string]bool{
	"ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true, "RequestTimeTooSkewed": true,
	"InvalidSignatureException": true, "SignatureDoesNotMatch": true,
	"UnrecognizedClientException": true, "InvalidClientTokenId": true,
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// Codes maps a service's own error codes to their classes.
type Codes map[string]Class

// Codes that mean the same from every AWS service. Throttle codes are those of
// aws-sdk-go-v2's retryer (facts/aws.json, sdk_retry.throttle_codes), less the three that name
// resource limits of a service rather than call rates; the others are from the "Common
// Errors" pages of the services' API references.
var common = Codes{
	"Throttling":                             Throttled,
	"ThrottlingException":                    Throttled,
	"ThrottledException":                     Throttled,
	"RequestThrottledException":              Throttled,
	"TooManyRequestsException":               Throttled,
	"ProvisionedThroughputExceededException": Throttled,
	"RequestLimitExceeded":                   Throttled,
	"BandwidthLimitExceeded":                 Throttled,
	"RequestThrottled":                       Throttled,
	"SlowDown":                               Throttled,
	"EC2ThrottledException":                  Throttled,

	"RequestTimeout":              Unavailable,
	"RequestTimeoutException":     Unavailable,
	"ServiceUnavailable":          Unavailable,
	"ServiceUnavailableException": Unavailable,
	"InternalFailure":             Unavailable,
	"InternalServerError":         Unavailable,
	"InternalServerException":     Unavailable,
	"InternalServiceError":        Unavailable,
	"ServerException":             Unavailable,
	// A credential that has run out or was rotated, and a clock that is off, are mended beside
	// the command, which is not at fault.
	"ExpiredToken":                Unavailable,
	"ExpiredTokenException":       Unavailable,
	"RequestExpired":              Unavailable,
	"RequestTimeTooSkewed":        Unavailable,
	"InvalidSignatureException":   Unavailable,
	"SignatureDoesNotMatch":       Unavailable,
	"UnrecognizedClientException": Unavailable,
	"InvalidClientTokenId":        Unavailable,

	"AccessDenied":               NotAuthorized,
	"AccessDeniedException":      NotAuthorized,
	"UnauthorizedOperation":      NotAuthorized,
	"NotAuthorized":              NotAuthorized,
	"MissingAuthenticationToken": NotAuthorized,
	"OptInRequired":              NotAuthorized,
}

// The shapes of the SDK's errors, named here so that this package need not import it.
type (
	apiError  interface{ ErrorCode() string }
	message   interface{ ErrorMessage() string }
	response  interface{ HTTPStatusCode() int }
	requestID interface{ ServiceRequestID() string }
)

// Classify turns an error of an SDK call into an *Error, and finds AWS's request id. The
// service's own codes rule over the common ones; a code that neither knows is judged by the
// HTTP status: 429 throttled, 5xx unavailable, else Final. An error without an HTTP response
// is Unanswered, except those that the SDK raises before sending, which are Final where they
// carry a code of their own. A nil error gives nil.
func Classify(err error, codes Codes) (e *Error, id string) {
	if err == nil {
		return nil, ""
	}
	var rid requestID
	if errors.As(err, &rid) {
		id = rid.ServiceRequestID()
	}
	var api apiError
	if errors.As(err, &api) && api.ErrorCode() != "" {
		e = &Error{Code: api.ErrorCode(), NotRun: notRun[api.ErrorCode()]}
		var m message
		if errors.As(err, &m) {
			e.Message = m.ErrorMessage()
		}
		e.Class = ClassOf(e.Code, codes, httpStatus(err))
		return e, id
	}
	if status := httpStatus(err); status > 0 {
		// An answer that names no code: a proxy, or a body that broke on the way.
		e = &Error{Code: fmt.Sprintf("HTTP%d", status), Message: err.Error()}
		e.Class = ClassOf("", nil, status)
		if status < 400 {
			e.Class = Unanswered
		}
		return e, id
	}
	code := "Unanswered"
	if errors.Is(err, context.DeadlineExceeded) {
		code = "Timeout"
	}
	return &Error{Class: Unanswered, Code: code, Message: err.Error()}, id
}

func httpStatus(err error) int {
	var r response
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

// ClassOf is the class of an error code: by the service's own codes, then by the common
// ones, then by the HTTP status (0 where there is none, as for an item of a bulk answer).
func ClassOf(code string, codes Codes, httpStatus int) Class {
	if c, ok := codes[code]; ok {
		return c
	}
	if c, ok := common[code]; ok {
		return c
	}
	switch {
	case httpStatus == 429:
		return Throttled
	case httpStatus >= 500:
		return Unavailable
	}
	return Final
}
