package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"

	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/awsclient"
	"github.com/rescindhq/rescind/worker/credentials"
	"github.com/rescindhq/rescind/worker/trouble"
)

// This file has what "rescind worker" and "rescind send" share.

const (
	// credentialsBound is how long finding AWS credentials may take. An instance's metadata service
	// answers in milliseconds; if there is none, the SDK tries for some seconds.
	credentialsBound = 10 * time.Second
	// credentialsRequest is how long one request for credentials may take. The SDK makes up to three,
	// and its cache lets every later caller wait for a request that is never answered.
	credentialsRequest = 3 * time.Second
)

var errNoQueue = misused("no queue: set RESCIND_QUEUE_URL, or --queue-url, to the URL of an SQS queue")

// awsConfig reads AWS_* variables and profiles as every AWS tool does. It also retrieves credentials,
// so that missing ones are reported at once.
func awsConfig(ctx context.Context) (aws.Config, error) { return awsConfigWithin(ctx, 0) }

// awsConfigWithin is awsConfig with clients whose requests may each take so long; 0: any time.
func awsConfigWithin(ctx context.Context, each time.Duration) (aws.Config, error) {
	// Only the providers of credentials use the bound: it is removed below for all other clients.
	bounded := worker.HTTPClient().WithTimeout(credentialsRequest)
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(bounded),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = bounded }),
		// No expiry window: package credentials renews them early.
		config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = 0 }))
	if err != nil {
		return cfg, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cfg, misused("no AWS region: set AWS_REGION, or region in the profile")
	}
	if c, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok { // it has AWS_CA_BUNDLE, if that is set
		cfg.HTTPClient = c.WithTimeout(each)
	}
	cfg.Credentials = credentials.New(cfg.Credentials, credentials.Own, trouble.New(nil), nil)
	ctx, cancel := context.WithTimeout(ctx, credentialsBound)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		_, do := trouble.Why(trouble.Credentials, credentials.Own, err, 0)
		return cfg, misused("%w; do: %s", err, do)
	}
	// Or net/http may close a connection under an answer: messages that it brought would be hidden for a while.
	return awsclient.WithPlainBodies(cfg), nil
}
