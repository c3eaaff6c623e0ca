package dynamo

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// errNoProof says that something answered with success that is not DynamoDB. What it was sent may
// have been stored all the same.
var errNoProof = errors.New("an answer that is not DynamoDB's: it has neither a request id nor a checksum; what stands between?")

// proof fails every answer that says success and does not show that DynamoDB gave it. The body
// cannot show it: DynamoDB's to a write is {}, and the SDK takes an empty one for the same. A request
// id and a checksum stand in all of DynamoDB's answers, and in those of DynamoDB Local and moto.
type proof struct{}

func withProof(stack *middleware.Stack) error {
	if err := stack.Deserialize.Add(proof{}, middleware.Before); err != nil {
		return fmt.Errorf("checking the answers of DynamoDB: %w", err)
	}
	return nil
}

// ID implements middleware.DeserializeMiddleware.
func (proof) ID() string { return "RescindProof" }

// HandleDeserialize implements middleware.DeserializeMiddleware.
func (proof) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok {
		return out, metadata, err
	}
	for _, name := range []string{"X-Amzn-Requestid", "X-Amz-Crc32"} {
		if response.Header.Get(name) != "" {
			return out, metadata, nil
		}
	}
	return out, metadata, &smithyhttp.ResponseError{Response: response, Err: errNoProof}
}
