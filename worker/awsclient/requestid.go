package awsclient

import (
	"context"
	"errors"
	"fmt"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// errNoRequestID says that something answered with success that is not the service. The request may
// have reached the service all the same.
var errNoRequestID = errors.New("an answer that is not AWS's: it has no request id; what stands between?")

// requestIDCheck fails every answer of a control plane that says success and has no request id. The
// body cannot show whose an answer is: some operations have none (CancelJobExecution, SWF's), and the
// SDK takes an empty body for an object without members. Every AWS service sends the id, and so does moto.
type requestIDCheck struct{}

// WithRequestID makes a client of a control plane fail every answer that says success and has no request id.
func WithRequestID(stack *middleware.Stack) error {
	if err := stack.Deserialize.Add(requestIDCheck{}, middleware.Before); err != nil {
		return fmt.Errorf("checking answers for request ids: %w", err)
	}
	return nil
}

// ID implements middleware.DeserializeMiddleware.
func (requestIDCheck) ID() string { return "RescindRequestID" }

// HandleDeserialize implements middleware.DeserializeMiddleware.
func (requestIDCheck) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok {
		return out, metadata, err
	}
	if id, _ := awsmiddleware.GetRequestIDMetadata(metadata); id != "" {
		return out, metadata, nil
	}
	// An answer came: of a plain error it would be taken that nothing was sent (handlers.OriginOf).
	return out, metadata, &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{Response: response, Err: errNoRequestID},
	}
}
