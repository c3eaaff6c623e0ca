package awsclient

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// plainBodies gives net/http a request's body as bytes in memory, for two reasons. Of a body whose
// type it does not know, net/http sends the headers ahead, in a write and a packet of their own,
// and copies the body through a buffer that it makes anew. And the SDK (smithy-go v1.28.8) closes
// its body as soon as an answer is there, which may be before net/http has looked for the body's
// end; the WriteTo of the closed body fails with EOF where a Read would just end, and net/http
// then closes the connection under the answer.
type plainBodies struct{ client aws.HTTPClient }

func (p plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength > 0 {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, fmt.Errorf("reading the request's body: %w", err)
		}
		if err := r.Body.Close(); err != nil {
			return nil, fmt.Errorf("closing the request's body: %w", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return p.client.Do(r)
}

// WithPlainBodies is the configuration with a client that gives net/http its requests' bodies as bytes in memory.
func WithPlainBodies(c aws.Config) aws.Config {
	c = c.Copy()
	if c.HTTPClient == nil {
		c.HTTPClient = awshttp.NewBuildableClient()
	}
	c.HTTPClient = plainBodies{c.HTTPClient}
	return c
}
