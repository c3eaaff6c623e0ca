package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/facts"
)

// answered is an error as the SDK wraps it when a response came.
func answered(status int, err error) error {
	return &smithy.OperationError{ServiceID: "Batch", OperationName: "CancelJobs", Err: &awshttp.ResponseError{
		RequestID: "req-1",
		ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err,
		},
	}}
}

// unanswered is an error as the SDK wraps it when none came.
func unanswered(err error) error {
	return &smithy.OperationError{ServiceID: "Batch", OperationName: "CancelJobs", Err: &smithyhttp.RequestSendError{Err: err}}
}

func api(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }

func TestClassify(t *testing.T) {
	codes := handlers.Codes{
		"ClientException":      handlers.Refused,
		"InternalServerError":  handlers.Unavailable,
		"AccessDenied":         handlers.Unsettled, // a service may mean something else by a shared code
		"ResourceNotFoundFake": handlers.NoSuchTarget,
	}
	for _, row := range []struct {
		about string
		err   error
		class handlers.Class
		code  string
		id    string
	}{
		{"the service's own code", answered(400, api("ClientException", "")), handlers.Refused, "ClientException", "req-1"},
		{"the service's own code over a common one", answered(403, api("AccessDenied", "")), handlers.Unsettled, "AccessDenied", "req-1"},
		{"EMR's InternalServerError is HTTP 400", answered(400, api("InternalServerError", "")), handlers.Unavailable, "InternalServerError", "req-1"},
		{"IoT's throttling in the SDK's model", answered(400, api("ThrottlingException", "")), handlers.Throttled, "ThrottlingException", "req-1"},
		{"IoT's throttling on the API page", answered(429, api("ThrottlingException", "")), handlers.Throttled, "ThrottlingException", "req-1"},
		{"Batch's throttling", answered(429, api("TooManyRequestsException", "")), handlers.Throttled, "TooManyRequestsException", "req-1"},
		{"code before text", answered(400, api("ThrottlingException", "AccessDenied")), handlers.Throttled, "ThrottlingException", "req-1"},
		{"code before status", answered(503, api("ClientException", "")), handlers.Refused, "ClientException", "req-1"},
		{"want of permission", answered(403, api("AccessDeniedException", "")), handlers.NotAuthorized, "AccessDeniedException", "req-1"},
		{"credentials that ran out", answered(403, api("ExpiredTokenException", "")), handlers.Unavailable, "ExpiredTokenException", "req-1"},
		{"unknown code, 400", answered(400, api("NeverHeardOf", "")), handlers.Final, "NeverHeardOf", "req-1"},
		{"unknown code, 429", answered(429, api("NeverHeardOf", "")), handlers.Throttled, "NeverHeardOf", "req-1"},
		{"unknown code, 500", answered(500, api("NeverHeardOf", "")), handlers.Unavailable, "NeverHeardOf", "req-1"},
		{"no code, 502", answered(502, &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}), handlers.Unavailable, "HTTP502", "req-1"},
		{"no code, 429", answered(429, &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}), handlers.Throttled, "HTTP429", "req-1"},
		{"no code, 404", answered(404, api("UnknownError", "")), handlers.Final, "HTTP404", "req-1"},
		{"a refusal that cannot be read", answered(400, &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}), handlers.Unavailable, "HTTP400", "req-1"},
		{"a success that cannot be read is none", answered(200, &smithy.DeserializationError{Err: io.ErrUnexpectedEOF}), handlers.Unanswered, "HTTP200", "req-1"},
		{"a broken connection", unanswered(io.ErrUnexpectedEOF), handlers.Unanswered, "Unanswered", ""},
		{"no time left", unanswered(context.DeadlineExceeded), handlers.Unanswered, "Timeout", ""},
		{"the caller left", &smithy.CanceledError{Err: context.Canceled}, handlers.Unanswered, "Unanswered", ""},
		{"an error nobody knows", errors.New("odd"), handlers.Unanswered, "Unanswered", ""},
		{"wrapped once more", fmt.Errorf("cancelling: %w", answered(400, api("ClientException", ""))), handlers.Refused, "ClientException", "req-1"},
	} {
		t.Run(row.about, func(t *testing.T) {
			e, id := handlers.Classify(row.err, codes)
			if e == nil || e.Class != row.class || e.Code != row.code || id != row.id {
				t.Errorf("Classify(%v) = %+v, %q, want %s %s, %q", row.err, e, id, row.class, row.code, row.id)
			}
		})
	}
}

// nobody is an error as the SDK wraps it when an answer came that names no request.
func nobody(status int, err error) error {
	return &smithy.OperationError{ServiceID: "Batch", OperationName: "CancelJobs", Err: &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err,
		},
	}}
}

// before is an error as the SDK wraps it when it arose before the request was sent.
func before(err error) error {
	return &smithy.OperationError{ServiceID: "Batch", OperationName: "CancelJobs", Err: fmt.Errorf("get identity: get credentials: %w", err)}
}

// ours is an error that says of itself that nothing was sent.
type ours struct{ error }

func (ours) NothingSent() bool { return true }

// TestOrigin: the wire's own cases are in handlertest, for every call of every handler.
func TestOrigin(t *testing.T) {
	assumeRole := &smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: &awshttp.ResponseError{
		RequestID: "sts-1",
		ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusForbidden}}, Err: api("AccessDenied", "no"),
		},
	}}
	for _, row := range []struct {
		about string
		err   error
		want  handlers.Origin
		class handlers.Class
		code  string
	}{
		{"the service's refusal", answered(403, api("AccessDenied", "")), handlers.FromService, handlers.NotAuthorized, "AccessDenied"},
		{"the service, without a code", answered(403, api("UnknownError", "")), handlers.FromService, handlers.Final, "HTTP403"},
		{"STS's refusal, before", before(assumeRole), handlers.FromUs, handlers.Unavailable, "NotSent"},
		{"STS's refusal, not wrapped", &smithy.OperationError{Err: assumeRole}, handlers.FromUs, handlers.Unavailable, "NotSent"},
		{"an agent's refusal, before", before(api("AccessDeniedException", "")), handlers.FromUs, handlers.Unavailable, "NotSent"},
		{"an agent's connection, before", before(&smithyhttp.RequestSendError{Err: io.EOF}), handlers.FromUs, handlers.Unavailable, "NotSent"},
		{"wrapped around all of it", fmt.Errorf("cancelling: %w", before(api("Throttling", ""))), handlers.FromUs, handlers.Unavailable, "NotSent"},
		{"what says so of itself", &smithy.OperationError{Err: ours{api("Throttling", "")}}, handlers.FromUs, handlers.Unavailable, "NotSent"},
		{"parameters that the SDK refuses", &smithy.OperationError{Err: &smithy.SerializationError{Err: io.EOF}}, handlers.FromUs, handlers.Unavailable, "NotSent"},
		{"the send failed", unanswered(io.ErrUnexpectedEOF), handlers.FromNobody, handlers.Unanswered, "Unanswered"},
		{"the send failed, as the SDK says it", nobody(0, &smithyhttp.RequestSendError{Err: io.EOF}), handlers.FromNobody, handlers.Unanswered, "Unanswered"},
		{"no connection, as the SDK says it", nobody(0, &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: io.EOF}}), handlers.FromUs, handlers.Unavailable, "NotSent"},
		{"a proxy", nobody(407, api("UnknownError", "")), handlers.FromNobody, handlers.Unavailable, "HTTP407"},
		{"a proxy that limits rates", nobody(429, api("UnknownError", "")), handlers.FromNobody, handlers.Unavailable, "HTTP429"},
		{"a proxy that names a code", nobody(403, api("Forbidden", "")), handlers.FromService, handlers.Unavailable, "Forbidden"},
		{"a refusal that names no request", nobody(403, api("AccessDenied", "")), handlers.FromService, handlers.Unavailable, "AccessDenied"},
		{"a throttle that names no request", nobody(400, api("Throttling", "")), handlers.FromService, handlers.Throttled, "Throttling"},
		{"nobody knows", errors.New("odd"), handlers.FromNobody, handlers.Unanswered, "Unanswered"},
	} {
		t.Run(row.about, func(t *testing.T) {
			e, _ := handlers.Classify(row.err, nil)
			if got := handlers.OriginOf(row.err); got != row.want || e.Class != row.class || e.Code != row.code {
				t.Errorf("%v is %s, %s %s; want %s, %s %s", row.err, got, e.Class, e.Code, row.want, row.class, row.code)
			}
			if e.NotRun != (row.want == handlers.FromUs) {
				t.Errorf("%v: nothing was done: %t", row.err, e.NotRun)
			}
		})
	}
}

func TestClassifyNil(t *testing.T) {
	if e, id := handlers.Classify(nil, nil); e != nil || id != "" {
		t.Errorf("Classify(nil) = %v, %q, want none", e, id)
	}
}

// The message of an outcome is AWS's own words, without the SDK's around them.
func TestClassifyKeepsTheWords(t *testing.T) {
	e, _ := handlers.Classify(answered(400, api("ClientException", "Job not found")), nil)
	if e.Message != "Job not found" || e.Error() != "ClientException: Job not found" {
		t.Errorf("message %q, error %q", e.Message, e)
	}
	if e := (&handlers.Error{Code: "Timeout"}); e.Error() != "Timeout" {
		t.Errorf("error without a message: %q", e)
	}
}

func TestClassOfItemHasNoStatus(t *testing.T) {
	// An item inside a 200: aws.json, core.batch.throttle.
	if c := handlers.ClassOf("ThrottlingException", nil, 0); c != handlers.Throttled {
		t.Errorf("ThrottlingException = %s", c)
	}
	if c := handlers.ClassOf("NeverHeardOf", nil, 0); c != handlers.Final {
		t.Errorf("NeverHeardOf = %s, want final", c)
	}
}

// Every code by which AWS asks for fewer calls costs time and no try.
func TestThrottleCodesOfFacts(t *testing.T) {
	// Limits on resources rather than on calls: waiting does not end them.
	resources := []string{"TransactionInProgressException", "LimitExceededException", "PriorRequestNotComplete"}
	var sdk struct {
		Codes []string `json:"throttle_codes"`
	}
	if err := facts.Raw(&sdk, "sdk_retry"); err != nil {
		t.Fatal(err)
	}
	if len(sdk.Codes) == 0 {
		t.Fatal("aws.json lists no throttle codes")
	}
	for _, code := range sdk.Codes {
		throttled := handlers.ClassOf(code, nil, 400) == handlers.Throttled
		if throttled == slices.Contains(resources, code) {
			t.Errorf("%s: throttled %v", code, throttled)
		}
	}
	for name, service := range facts.Core() {
		for _, c := range service.Throttle.Codes {
			class := handlers.ClassOf(c.Code, nil, c.HTTP)
			if class != handlers.Throttled && class != handlers.Unavailable && c.Code != "LimitExceededException" {
				t.Errorf("%s's %d %s is %s", name, c.HTTP, c.Code, class)
			}
		}
	}
}

func TestClassNames(t *testing.T) {
	seen := map[string]handlers.Class{}
	for c := handlers.Throttled; c <= handlers.Final; c++ {
		if other, twice := seen[c.String()]; twice {
			t.Errorf("classes %d and %d are both called %q", other, c, c)
		}
		seen[c.String()] = c
	}
	if got := handlers.Class(0).String(); got != "Class(0)" {
		t.Errorf("Class(0) is called %q", got)
	}
}
