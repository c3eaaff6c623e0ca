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
	Code    string // AWS's error code, or one of our own where AWS said nothing: see [Classify]
	Message string // AWS's own words
	// NotRun: nothing was done, though its class would leave that open. The request was not sent,
	// or AWS refused it before doing anything: a credential or a clock was at fault.
	NotRun bool
	// MayHaveRun: the request may have taken effect on the target, though its class is one of a
	// refusal. A state that shows a cancel may then be our own doing.
	MayHaveRun bool

	cause error // the SDK's error, where the whole request failed
}

// Unwrap returns the SDK's error, where the whole request failed; else nil.
func (e *Error) Unwrap() error { return e.cause }

// notTakenUp are the codes of requests that AWS did not take up, because a credential has run out, was
// rotated or is none, or a clock is off. That is mended beside the command, which is not at fault.
var notTakenUp = []string{
	"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired",
	"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId",
	"MissingAuthenticationToken", "MissingAuthenticationTokenException",
	"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException",
	"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture",
}

// notRun holds them.
var notRun = func() map[string]bool {
	m := make(map[string]bool, len(notTakenUp))
	for _, code := range notTakenUp {
		m[code] = true
	}
	return m
}()

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

	"AccessDenied":          NotAuthorized,
	"AccessDeniedException": NotAuthorized,
	"UnauthorizedOperation": NotAuthorized,
	"NotAuthorized":         NotAuthorized,
	"OptInRequired":         NotAuthorized,
}

// Classify turns an error of an SDK call into an *Error, and finds AWS's request id. AWS's word is
// only what AWS said about this request ([OriginOf]); all else waits, and is said in a code of
// our own: "NotSent", "Unanswered", "Timeout", or "HTTP403" after the answer's status. The service's own
// codes rule over the common ones; a code that neither knows is judged by the HTTP status: 429
// throttled, 5xx unavailable, else Final. An answer without a request id is believed where it has
// a code that we know, but not that it refuses the caller; without a code, or cut off, it says
// nothing. A nil error gives nil.
func Classify(err error, codes Codes) (e *Error, id string) {
	if err == nil {
		return nil, ""
	}
	defer func() { e.cause = err }()
	t := traced(err)
	switch {
	case t.origin == FromUs:
		return &Error{Class: Unavailable, Code: "NotSent", Message: reason(err), NotRun: true}, ""
	case t.code != "":
		e = &Error{Code: t.code, Message: t.message, NotRun: notRun[t.code], Class: ClassOf(t.code, codes, t.status)}
		if t.status > 0 && t.id == "" && (e.Class == NotAuthorized || e.Class == Final) {
			e.Class = Unavailable // AWS names the request when it refuses one
		}
		return e, t.id
	case t.status > 0:
		return uncoded(t), t.id
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Class: Unanswered, Code: "Timeout", Message: err.Error()}, ""
	}
	return &Error{Class: Unanswered, Code: "Unanswered", Message: err.Error()}, ""
}

// uncoded is the error of an answer that names no code: the service's own if it has a request id,
// and else that of whatever stands between us and AWS.
func uncoded(t trace) *Error {
	e := &Error{Class: ClassOf("", nil, t.status), Code: fmt.Sprintf("HTTP%d", t.status)}
	e.Message = fmt.Sprintf("answered with HTTP status %d and no AWS error code", t.status)
	switch {
	case t.status < 400:
		e.Class = Unanswered
		e.Message = fmt.Sprintf("answered with HTTP status %d, and the answer cannot be read", t.status)
	case t.id == "": // nobody's quota either, were it a 429
		e.Class = Unavailable
	case t.unread && e.Class == Final:
		e.Class = Unavailable // its words may have been a throttle's, or about a credential
		e.Message = fmt.Sprintf("answered with HTTP status %d, and the error cannot be read", t.status)
	}
	if t.id == "" {
		e.Message += " or request id: is there a proxy or firewall in between?"
	}
	return e
}

// reason is why a request was not sent. What says so of itself says it without the SDK's words
// around it.
func reason(err error) string {
	var before nothingSent
	if errors.As(err, &before) {
		if own, ok := before.(error); ok {
			return own.Error()
		}
	}
	return err.Error()
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
	if notRun[code] {
		return Unavailable
	}
	switch {
	case httpStatus == 429:
		return Throttled
	case httpStatus >= 500:
		return Unavailable
	}
	return Final
}
