package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// listingAttempts and listingBackoff are how patient a listing is with throttling: about ten minutes. requestTime is how long
// one request may take.
const (
	listingAttempts = 40
	listingBackoff  = 20 * time.Second
	requestTime     = time.Minute
)

// callerConfig is the AWS configuration, and whose credentials it has.
func callerConfig(ctx context.Context) (aws.Config, *sts.GetCallerIdentityOutput, error) {
	cfg, err := awsConfigWithin(ctx, requestTime)
	if err != nil {
		return cfg, nil, err
	}
	caller, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return cfg, nil, fmt.Errorf("asking AWS whose credentials these are: %w", advised(err, ""))
	}
	return cfg, caller, nil
}

// patient makes the SDK's standard retries go on through throttling. It counts attempts that failed.
func patient(failed *atomic.Int64) func() aws.Retryer {
	return func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = listingAttempts, listingBackoff, ratelimit.None
			o.Retryables = append([]retry.IsErrorRetryable{
				retry.IsErrorRetryableFunc(func(error) aws.Ternary {
					failed.Add(1)
					return aws.UnknownTernary // the others decide
				}),
				// EMR's answer for an error of its own has status 400, which the SDK does not try again.
				retry.RetryableErrorCode{Codes: map[string]struct{}{"InternalServerError": {}, "InternalServerException": {}}},
			}, o.Retryables...)
		})
	}
}
