package handlertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/rescindhq/rescind/handlers"
)

// good are credentials that nobody checks.
var good = credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")

// keys are the subject's credentials, from a source that a check can change.
type keys struct{ from aws.CredentialsProvider }

func (k *keys) Retrieve(ctx context.Context) (aws.Credentials, error) { return k.from.Retrieve(ctx) }

// peerOf is an HTTP client of a credentials provider that is always answered with this.
type peerOf func(*http.Request) (*http.Response, error)

func (p peerOf) Do(r *http.Request) (*http.Response, error) { return p(r) }

func says(status int, header http.Header, body string) peerOf {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: status, Header: header.Clone(), Body: io.NopCloser(bytes.NewBufferString(body)),
			ContentLength: int64(len(body)), Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	}
}

func breaks(err error) peerOf {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func container(p peerOf) aws.CredentialsProvider {
	return endpointcreds.New("http://169.254.170.2/v2/credentials", func(o *endpointcreds.Options) {
		o.HTTPClient, o.Retryer = p, aws.NopRetryer{}
	})
}

func instance(p peerOf) aws.CredentialsProvider {
	return ec2rolecreds.New(func(o *ec2rolecreds.Options) {
		o.Client = imds.New(imds.Options{HTTPClient: p, Retryer: aws.NopRetryer{}, Endpoint: "http://169.254.169.254"})
	})
}

func role(p peerOf) aws.CredentialsProvider {
	c := sts.New(sts.Options{Region: location.Region, Credentials: good, HTTPClient: p, Retryer: aws.NopRetryer{}})
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(c, "arn:aws:iam::222222222222:role/rescind"))
}

var (
	asJSON = http.Header{"Content-Type": {"application/json"}}
	asXML  = http.Header{"Content-Type": {"text/xml"}, "X-Amzn-Requestid": {"sts-request"}}
	asPage = http.Header{"Content-Type": {"text/html"}}
)

const page = "<html><body><h1>403 Forbidden</h1></body></html>"

// noCredentials are the ways in which credentials cannot be had, each with codes and answers that
// would mean something, had they come from the service.
func noCredentials() map[string]aws.CredentialsProvider {
	denied := `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error><RequestId>sts-request</RequestId></ErrorResponse>`
	return map[string]aws.CredentialsProvider{
		"container: 400 InvalidIdInRequest":    container(says(400, asJSON, `{"code":"InvalidIdInRequest","message":"no"}`)),
		"container: 403 AccessDeniedException": container(says(403, asJSON, `{"code":"AccessDeniedException","message":"no"}`)),
		"container: 404 ResourceNotFound":      container(says(404, asJSON, `{"code":"ResourceNotFoundException","message":"no"}`)),
		"container: 500 ThrottlingException":   container(says(500, asJSON, `{"code":"ThrottlingException","message":"no"}`)),
		"container: 500 with an empty body":    container(says(500, nil, "")),
		"container: 200 with an empty body":    container(says(200, asJSON, "")),
		"container: 200 with other JSON":       container(says(200, asJSON, `["no"]`)),
		"container: 200 with a page":           container(says(200, asPage, page)),
		"container: 403 with a page":           container(says(403, asPage, page)),
		"container: nobody listens":            container(breaks(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})),
		"container: the connection breaks":     container(breaks(io.ErrUnexpectedEOF)),
		"container: no time left":              container(breaks(context.DeadlineExceeded)),
		"instance: 403 with a page":            instance(says(403, asPage, page)),
		"instance: 404":                        instance(says(404, nil, "")),
		"instance: the connection breaks":      instance(breaks(io.ErrUnexpectedEOF)),
		"role: STS says AccessDenied":          role(says(403, asXML, denied)),
		"role: STS answers 503":                role(says(503, asXML, "")),
		"role: a page in the name of STS":      role(says(403, asPage, page)),
		"role: STS answers 200 with nothing":   role(says(200, asXML, "")),
		"role: the connection to STS breaks":   role(breaks(io.ErrUnexpectedEOF)),
		"role: STS says ExpiredToken":          role(says(403, asXML, strings.Replace(denied, "AccessDenied", "ExpiredToken", 1))),
		"web identity: there is no token":      webIdentity(says(200, asXML, ""), stscreds.IdentityTokenFile("/nowhere/token")),
		"web identity: STS says AccessDenied":  webIdentity(says(403, asXML, denied), token("jwt")),
		"static: none":                         credentials.NewStaticCredentialsProvider("", "", ""),
		"a provider's own words, and no more":  fails(errors.New("no")),
		"a provider whose caller has gone":     fails(&aws.RequestCanceledError{Err: context.Canceled}),
	}
}

func webIdentity(p peerOf, token stscreds.IdentityTokenRetriever) aws.CredentialsProvider {
	c := sts.New(sts.Options{Region: location.Region, HTTPClient: p, Retryer: aws.NopRetryer{}})
	return aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(c, "arn:aws:iam::222222222222:role/rescind", token))
}

// token is a web identity's.
type token string

func (t token) GetIdentityToken() ([]byte, error) { return []byte(t), nil }

func fails(err error) aws.CredentialsProvider {
	return aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, err
	}))
}

// checkOrigin: an error is AWS's word only if AWS said it about this request. What was never sent
// leaves no doubt; what something else answered, or nobody, may have arrived; either waits.
func checkOrigin(s *subject) []error {
	for about, from := range noCredentials() {
		s.keys.from = from
		for _, sd := range s.sides {
			s.wire.reset(sd.with(nil))
			rs := sd.do(context.Background(), s.targets(sd.sizes()[0]))
			if n := len(s.wire.seen()); n > 0 {
				s.errorf("%s, %s: %d requests were sent", sd.operation, about, n)
			}
			s.wantOrigin(sd, about, rs, unsent)
		}
	}
	s.keys.from = good
	for about, err := range map[string]error{
		"nobody listens":             &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED},
		"no such host":               &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "batch", IsNotFound: true}},
		"no proxy":                   &net.OpError{Op: "proxyconnect", Net: "tcp", Err: syscall.ECONNREFUSED},
		"a certificate is not AWS's": &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
	} {
		s.eachSide(about, func(Request) (Response, error) { return Response{}, err }, unsent)
	}
	for about, err := range brokenOff() {
		s.eachSide(about, func(Request) (Response, error) { return Response{}, err }, origin{Class: handlers.Unanswered})
	}
	for about, resp := range strangers() {
		for _, sd := range s.sides {
			rs, _ := s.call(sd, about, s.targets(sd.sizes()[0]), always(resp))
			want := origin{Class: handlers.Unavailable}
			if resp.Status < 400 {
				want.Class = handlers.Unanswered
			}
			s.wantOrigin(sd, about, rs, want)
		}
	}
	for _, code := range []string{
		"RequestInTheFuture", "RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch",
		"ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken",
		"IncompleteSignature",
	} {
		for _, status := range []int{400, 403} {
			s.eachSide(code, always(Refuse(status, code, "Signature not yet current")), unsent)
		}
	}
	return s.errs
}

// brokenOff are the ways in which a request that was begun gets no answer.
func brokenOff() map[string]error {
	return map[string]error{
		"what listens speaks no TLS":      tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
		"TLS is refused":                  &net.OpError{Op: "remote error", Net: "tcp", Err: tls.AlertError(40)},
		"the proxy wants a password":      errors.New("proxy authentication required"),
		"the connection is closed":        io.EOF,
		"the connection is reset":         &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE},
		"nothing comes for half a minute": &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded},
	}
}

// strangers are answers that are not the service's.
func strangers() map[string]Response {
	nobody := map[string]string{"X-Amzn-Requestid": ""}
	html := map[string]string{"X-Amzn-Requestid": "", "Content-Type": "text/html"}
	return map[string]Response{
		"403 with a page":              {Status: 403, Header: html, Body: page},
		"407 with nothing":             {Status: 407, Header: nobody},
		"407 with a page":              {Status: 407, Header: html, Body: page},
		"404 with nothing":             {Status: 404, Header: nobody},
		"400 with an empty object":     {Status: 400, Header: nobody, Body: "{}"},
		"451 with text":                {Status: 451, Header: nobody, Body: "blocked"},
		"403 with a gateway's JSON":    {Status: 403, Header: nobody, Body: `{"code":"Forbidden","message":"no"}`},
		"403 AccessDenied of no one":   {Status: 403, Header: nobody, Body: `{"__type":"AccessDeniedException","message":"no"}`},
		"502 with a page":              {Status: 502, Header: html, Body: page},
		"301 to a login":               {Status: 301, Header: map[string]string{"X-Amzn-Requestid": "", "Location": "https://login.example/"}},
		"200 with a page":              {Status: 200, Header: html, Body: page},
		"200 with nothing":             {Status: 200, Header: nobody},
		"200 with an empty object":     {Status: 200, Header: nobody, Body: "{}"},
		"200 with half a page as JSON": {Status: 200, Header: nobody, Body: `"<html>`},
		"200 with null":                {Status: 200, Header: nobody, Body: "null"},
		"204 with nothing":             {Status: 204, Header: nobody},
		"302 to a login":               {Status: 302, Header: map[string]string{"X-Amzn-Requestid": "", "Location": "https://login.example/"}, Body: page},
		"401 that asks for a password": {Status: 401, Header: map[string]string{"X-Amzn-Requestid": "", "Www-Authenticate": `Basic realm="proxy"`}},
		"404 of a router":              {Status: 404, Header: nobody, Body: `{"message":"no Route matched with those values"}`},
		"429 with nothing":             {Status: 429, Header: nobody},
		"429 with a page":              {Status: 429, Header: html, Body: page},
		"413 with a page":              {Status: 413, Header: html, Body: page},
		"403 with half a page":         {Status: 403, Header: html, Body: "<html><bo", lost: true},
		"403 SignatureDoesNotMatch":    {Status: 403, Header: nobody, Body: `{"code":"RequestForbidden","message":"SignatureDoesNotMatch"}`},
	}
}

// origin is what is to be known of a request that is not the service's word.
type origin struct {
	Class  handlers.Class
	notRun bool
}

var unsent = origin{handlers.Unavailable, true}

func (s *subject) eachSide(about string, answer func(Request) (Response, error), want origin) {
	for _, sd := range s.sides {
		rs, _ := s.call(sd, about, s.targets(sd.sizes()[0]), answer)
		s.wantOrigin(sd, about, rs, want)
	}
}

func (s *subject) wantOrigin(sd side, about string, rs []result, want origin) {
	if len(rs) == 0 {
		s.errorf("%s, %s: no results", sd.operation, about)
	}
	for _, r := range rs {
		if r.Status != "" || r.Class != want.Class || r.notRun != want.notRun || r.code == "" {
			s.errorf("%s, %s: came to status %q class %s code %q, nothing done: %t; want no status, class %s, nothing done: %t",
				sd.operation, about, r.Status, class(r.Class), r.code, r.notRun, want.Class, want.notRun)
			return
		}
	}
}
