package worker

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// plainBodies keeps answers from being lost that come before net/http has looked for the end
// of the request's body. The SDK (smithy-go v1.28.8) closes the body as soon as an answer is
// there; the WriteTo of its closed body fails with EOF where a Read would just end, and
// net/http then closes the connection under the answer.
type plainBodies struct{ client aws.HTTPClient }

func (p plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return p.client.Do(r)
}

// withPlainBodies is the configuration with such a client.
func withPlainBodies(c aws.Config) aws.Config {
	c = c.Copy()
	if c.HTTPClient == nil {
		c.HTTPClient = awshttp.NewBuildableClient()
	}
	c.HTTPClient = plainBodies{c.HTTPClient}
	return c
}
