// Package awsclient is what the worker adds to the SDK's clients: one attempt for each request, the host in
// errors, a look at whose answer it is, and bodies that net/http sends whole. It knows no service.
package awsclient

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// hostError names the host that a request was sent to: the SDK drops the URL where time runs out.
type hostError struct {
	error
	host string
}

func (e *hostError) Unwrap() error { return e.error }

// Host is where the request was sent.
func (e *hostError) Host() string { return e.host }

// Once makes clients make one attempt, since their users own the retries, and name the host in errors.
func Once(c aws.Config) aws.Config {
	c = c.Copy()
	c.APIOptions = append(slices.Clone(c.APIOptions), withHost)
	c.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return c
}

func withHost(stack *middleware.Stack) error {
	named := middleware.DeserializeMiddlewareFunc("RescindHost", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
		middleware.DeserializeOutput, middleware.Metadata, error,
	) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		if request, ok := in.Request.(*smithyhttp.Request); ok && err != nil && request.URL != nil {
			err = &hostError{err, request.URL.Host}
		}
		return out, metadata, err
	})
	if err := stack.Deserialize.Add(named, middleware.After); err != nil {
		return fmt.Errorf("naming hosts in errors: %w", err)
	}
	return nil
}
