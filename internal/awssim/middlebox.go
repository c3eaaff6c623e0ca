package awssim

import (
	"net/http"
	"slices"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Answer is what something that is no AWS service answers: a proxy, a firewall, a captive portal,
// a load balancer. It carries no request id, no checksum and no AWS error code.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

const page = "<!DOCTYPE html><html><head><title>Network</title></head><body><h1>This request was stopped here.</h1></body></html>\n"

var middleboxAnswers = []Answer{
	{Status: http.StatusForbidden, Header: map[string]string{"Content-Type": "text/html", "Server": "firewall"}, Body: page},
	{Status: http.StatusProxyAuthRequired, Header: map[string]string{"Content-Type": "text/html", "Proxy-Authenticate": `Basic realm="proxy"`}, Body: page},
	{Status: http.StatusNotFound},
	{Status: http.StatusFound, Header: map[string]string{"Location": "http://portal.invalid/login"}},
	{Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/html"}, Body: page},
	{Status: http.StatusOK},
	{Status: http.StatusBadGateway, Header: map[string]string{"Content-Type": "text/html"}, Body: page},
}

// MiddleboxAnswers returns the answers of [Fault.Middlebox] where a rule names none: 403 with a
// page, 407 with a page, 404 and empty, 302 to a portal, 200 with a page, 200 and empty, 502 with
// a page.
func MiddleboxAnswers() []Answer { return slices.Clone(middleboxAnswers) }

func (a *Answer) reply() reply {
	r := reply{status: a.Status, body: []byte(a.Body)}
	for name, value := range a.Header {
		r.header = append(r.header, [2]string{name, value})
	}
	return r
}

// refusals are the codes by which AWS refuses a request for its credentials or its clock before it
// looks at what is asked: "Common Errors" of the AWS references, and what SigV4 checks answer. All
// of them are passing: the next key, or the next minute, mends them.
var refusals = []string{
	"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
	"InvalidSignatureException", "RequestTimeTooSkewed", "RequestInTheFuture", "RequestExpired",
}

func refusalFor(code string) *service.Error {
	return &service.Error{Status: http.StatusForbidden, Code: code, Message: "The request was refused for its credentials or its clock."}
}
