package awssim

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// pipeBase names the endpoint inside the process; nothing looks it up.
const pipeBase = "http://awssim.internal"

// pipes is a listener whose connections are net.Pipe: no socket, so that everything in a
// synctest bubble waits on what the bubble knows.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

// Network implements net.Addr.
func (pipeAddr) Network() string { return "pipe" }

// String implements net.Addr.
func (pipeAddr) String() string { return "awssim" }

// Config returns a configuration for real SDK clients that talks to the simulator without a socket:
// default account and region, the SDK's own retryer. It is what tests in a synctest bubble
// use; the simulator must then be made, and closed, in the same bubble. For another account use
// [Sim.Credentials].
func (s *Sim) Config() aws.Config {
	s.pipeOnce.Do(func() {
		s.pipes = newPipes()
		s.pipeClient = &http.Transport{
			DialContext: s.pipes.dial,
			// A connection costs nothing here, and making one anew for each request costs much.
			MaxIdleConnsPerHost: 4096,
			DisableCompression:  true,
		}
		s.background.Go(func() { _ = s.server.Serve(s.pipes) })
	})
	return aws.Config{
		Region:       s.options.Region,
		Credentials:  s.Credentials(s.options.Account),
		BaseEndpoint: aws.String(pipeBase),
		HTTPClient: &http.Client{
			Transport: readOnly{s.pipeClient},
			// As the SDK's own client: a 302 is an answer.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// readOnly hides the WriteTo of request bodies. Of a body that is closed, as the SDK does once
// an answer begins, smithy-go v1.28.8 has WriteTo return io.EOF, which net/http takes for a
// failed request: it drops the connection from which the answer is still being read. A server
// behind a pipe answers soon enough for that.
type readOnly struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		hidden := *r // a RoundTripper must not change its request
		hidden.Body = struct{ io.ReadCloser }{r.Body}
		r = &hidden
	}
	return t.RoundTripper.RoundTrip(r)
}

// Credentials returns credentials whose calls run in an account.
func (s *Sim) Credentials(account string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: account, SecretAccessKey: "secret", Source: "awssim"}, nil
	})
}
