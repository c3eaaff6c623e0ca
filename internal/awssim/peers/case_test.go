package peers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/batch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iot"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// test is one thing that AWS's documentation says, put to every peer.
type test struct {
	name string
	page string // of AWS's documentation
	ask  func(w *world)
}

// run asks one peer everything. Where it is listed to differ, it must: a row of the table that
// no longer holds fails, so that the table remains true.
func run(t *testing.T, peer, url, endedJob string, tests []test) {
	cfg := config(t, url)
	for _, each := range tests {
		t.Run(each.name, func(t *testing.T) {
			t.Parallel()
			w := &world{
				ctx: t.Context(), endedJob: endedJob,
				sqs: sqs.NewFromConfig(cfg), sns: sns.NewFromConfig(cfg), batch: batch.NewFromConfig(cfg), iot: iot.NewFromConfig(cfg),
				dynamodb: dynamodb.NewFromConfig(cfg),
			}
			err := w.try(each.ask)
			row, listed := differs(peer, each.name)
			switch {
			case !listed && err != nil:
				t.Errorf("%s says otherwise than %s: %v", peer, each.page, err)
			case listed && err == nil:
				t.Errorf("%s is listed to differ from %s (%s), and does not: take the row out", peer, each.page, row)
			case listed:
				t.Skipf("left out for %s: %s; AWS: %s. It says: %v", peer, row, each.page, err)
			}
		})
	}
}

// config makes clients that try once, as any user of an endpoint does.
func config(t *testing.T, url string) aws.Config {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, HTTPClient: plainBodies{&http.Client{Transport: transport}},
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAANY", SecretAccessKey: "any"}, nil
		}),
	}
}

// plainBodies keeps quick answers from being lost: the SDK (smithy-go v1.28) closes a request's
// body as soon as an answer is there, the WriteTo of a closed body fails, and net/http, which may
// not have looked for the body's end yet, then closes the connection.
type plainBodies struct{ aws.HTTPClient }

func (c plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return c.HTTPClient.Do(r)
}

// world is a peer as one test sees it. Its methods end the test by a panic with a mismatch.
type world struct {
	ctx      context.Context
	endedJob string // a Batch job that has SUCCEEDED
	sqs      *sqs.Client
	sns      *sns.Client
	batch    *batch.Client
	iot      *iot.Client
	dynamodb *dynamodb.Client
}

// mismatch is what a peer does otherwise.
type mismatch struct{ error }

// try runs a test, and returns how the peer differs; nil where it does not.
func (w *world) try(ask func(w *world)) (err error) {
	defer func() {
		switch failed := recover().(type) {
		case nil:
		case mismatch:
			err = failed.error
		default:
			panic(failed)
		}
	}()
	ask(w)
	return nil
}

func (w *world) fail(format string, args ...any) { panic(mismatch{fmt.Errorf(format, args...)}) }

func (w *world) must(err error) {
	if err != nil {
		panic(mismatch{err})
	}
}

// refused wants an error of this code.
func (w *world) refused(err error, code string) {
	if got := codeOf(err); got != code {
		w.fail("got code %q, want %q (error: %v)", got, code, err)
	}
}

// codeOf returns AWS's code of an error; "" for none.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return "no answer"
	}
	return ""
}

// same wants two values to be equal.
func same[T comparable](w *world, what string, got, want T) {
	if got != want {
		w.fail("%s is %v, want %v", what, got, want)
	}
}

var names atomic.Int64

// name makes a name that no other test has.
func name() *string { return aws.String("peers-" + strconv.FormatInt(names.Add(1), 10)) }
