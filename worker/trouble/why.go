package trouble

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

const (
	// whyMost, doMost and nameMost bound what goes into a log line, in bytes.
	whyMost, doMost, nameMost = 300, 500, 200
	// skewed is how far a clock may be off before AWS refuses signatures, less a minute.
	skewed = 4 * time.Minute
)

// Error is a failure whose finder knows how to say it.
type Error struct {
	Fails string // the verb, where "does not get through" does not fit
	Why   string
	Do    string
}

func (e *Error) Error() string { return e.Why }

// noCredentials is an error for want of credentials: whose, from which of the SDK's providers
// ("": not known), and why.
type noCredentials interface {
	NoCredentials() (name, from string, why error)
}

// reason is why a peer fails, in words of one line.
type reason struct {
	why, do   string
	requestID string
	see       string // the credentials that are the cause, as kind and name; "": none are
}

// cause is what an error's tree says, from the innermost error that says it.
type cause struct {
	kind Kind
	name string
	at   time.Time
	took time.Duration // that the attempt lasted

	err                error // the innermost error of all
	known              *Error
	service, operation string
	code, message      string
	status             int
	header             http.Header // of the answer
	host               string
	requestID          string
	see, from          string        // whose credentials are the cause; where these come from
	skew               time.Duration // of the answer's clock before ours; 0: none seen
	dns                *net.DNSError
	dial               *net.OpError
	errno              syscall.Errno
	tls, timeout       bool
	unreadable         bool // the answer
}

func (c *cause) reason() reason {
	r := reason{why: Clean(c.words(), whyMost), do: Clean(c.remedy(), doMost), requestID: Clean(c.requestID, nameMost)}
	if c.see != "" {
		r.see = string(Credentials) + " " + Clean(c.see, nameMost)
	}
	return r
}

// Why says in one line why a peer fails of which an attempt took so long (0: not known), and what to do about
// it, "" where that is not known.
func Why(kind Kind, name string, err error, took time.Duration) (why, do string) {
	r := causeOf(kind, name, err, time.Now(), took).reason()
	do, r.do = r.do, ""
	return r.String(), do
}

// Explain is an error that says the same as Why of a question at start, in place of the many words of the SDK,
// and unwraps to err.
func Explain(kind Kind, name string, err error, took time.Duration) error {
	why, do := Why(kind, name, err, took)
	switch do {
	case "":
	case doWait:
		do = "start the worker again in a minute; AWS itself has trouble (https://health.aws.amazon.com)"
	case doThrottled:
		do = "start the worker again in a minute; AWS gets too many requests from this account"
	}
	if do != "" {
		why += "; do: " + do
	}
	return &explained{why, err}
}

type explained struct {
	text string
	err  error
}

func (e *explained) Error() string { return e.text }

func (e *explained) Unwrap() error { return e.err }

func (r reason) String() string {
	s := r.why
	if r.see != "" {
		s += "; see: " + r.see
	}
	if r.do != "" {
		s += "; do: " + r.do
	}
	return s
}

func causeOf(kind Kind, name string, err error, at time.Time, took time.Duration) *cause {
	c := &cause{kind: kind, name: name, at: at, took: took, err: err}
	c.take(err)
	return c
}

func (c *cause) take(err error) {
	switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at by itself
	case noCredentials:
		name, from, why := e.NoCredentials()
		if c.kind != Credentials || c.name != "" && c.name != name {
			c.see = name
			return
		}
		c.name, c.from = name, from
		c.take(why)
		return
	case *Error:
		c.known = e
	case *smithy.OperationError:
		c.service, c.operation = e.ServiceID, e.OperationName
	case interface{ Host() string }:
		c.host = e.Host()
	case *url.Error:
		if u, err := url.Parse(e.URL); err == nil {
			c.host = u.Host
		}
	case *smithy.DeserializationError:
		c.unreadable = true
	case *net.DNSError:
		c.dns = e
	case *net.OpError:
		c.dial = e
	case syscall.Errno:
		c.errno = e
	case x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError, *tls.CertificateVerificationError, tls.RecordHeaderError:
		c.tls = true
	case smithy.APIError:
		c.code, c.message = e.ErrorCode(), e.ErrorMessage()
		c.readClock(c.message)
	}
	if r, ok := err.(interface{ HTTPResponse() *smithyhttp.Response }); ok { //nolint:errorlint // likewise
		c.answered(r.HTTPResponse())
	}
	if r, ok := err.(interface{ HTTPStatusCode() int }); ok && c.status == 0 { //nolint:errorlint // likewise
		c.status = r.HTTPStatusCode()
	}
	if r, ok := err.(interface{ ServiceRequestID() string }); ok && r.ServiceRequestID() != "" { //nolint:errorlint // likewise
		c.requestID = r.ServiceRequestID()
	}
	c.timeout = c.timeout || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	switch e := err.(type) { //nolint:errorlint // likewise
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			c.take(inner)
			return
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if inner != nil {
				c.take(inner)
			}
		}
		return
	}
	c.err = err
}

func (c *cause) answered(r *smithyhttp.Response) {
	if r == nil || r.Response == nil {
		return
	}
	c.status, c.header = r.StatusCode, r.Header
	if r.Request != nil && r.Request.URL != nil {
		c.host = r.Request.URL.Host
	}
	if date, err := http.ParseTime(r.Header.Get("Date")); err == nil {
		c.sawClock(date)
	}
}

// clockInText is the server's time in "Signature expired: A is now earlier than B (C - 5 min.)".
var clockInText = regexp.MustCompile(`\((\d{8}T\d{6}Z) [+-] \d+ min`)

func (c *cause) readClock(text string) {
	if m := clockInText.FindStringSubmatch(text); m != nil {
		if date, err := time.Parse("20060102T150405Z", m[1]); err == nil {
			c.sawClock(date)
		}
	}
}

func (c *cause) sawClock(theirs time.Time) {
	if skew := theirs.Sub(c.at); skew.Abs() > skewed {
		c.skew = skew
	}
}

// isForeign reports whether an answer came that AWS did not give: neither a code nor a request id.
func (c *cause) isForeign() bool {
	return c.status > 0 && c.requestID == "" && !c.hasCode() && !c.isOwnSource()
}

// hasCode reports whether there is a code that is not what the SDK calls an error of none.
func (c *cause) hasCode() bool { return c.code != "" && c.code != "UnknownError" }

// isRole reports whether it is about the credentials of a role.
func (c *cause) isRole() bool { return c.kind == Credentials && c.name != Own && c.name != "" }

// isOwnSource reports whether it is about what gives the worker its own credentials, which is no
// AWS service but an agent, an instance's metadata or a file.
func (c *cause) isOwnSource() bool {
	return c.kind == Credentials && !c.isRole() && !strings.HasPrefix(c.service, "STS") && !strings.HasPrefix(c.service, "SSO")
}

// by is what was asked.
func (c *cause) by() string {
	if c.isRole() {
		return "STS AssumeRole " + c.name
	}
	if c.kind == Lane {
		if name, _, _ := strings.Cut(c.name, " "); c.operation != "" && strings.HasSuffix(name, ":"+c.operation) {
			return name
		}
	}
	if c.operation == "" {
		return c.from
	}
	return c.service + " " + c.operation
}

func (c *cause) words() string {
	switch {
	case c.known != nil:
		return c.known.Why
	case c.see != "":
		return "no credentials"
	}
	by, what := c.by(), c.code
	switch {
	case c.hasCode() && c.message != "":
		what += ": " + c.message
	case !c.hasCode():
		what = c.fault()
		if c.host != "" && (c.status > 0 || c.timeout || c.tls || c.dial != nil || c.errno != 0) {
			by = strings.TrimPrefix(by+" at "+c.host, " ")
		}
	}
	if by == "" {
		return what
	}
	return by + ": " + what
}

// fault says what is wrong where AWS gave no code.
func (c *cause) fault() string {
	switch {
	case c.isForeign():
		what := []string{fmt.Sprintf("HTTP %d, not from AWS (no error code, no request id)", c.status)}
		for _, name := range []string{"Server", "Via"} {
			if value := c.header.Get(name); value != "" {
				what = append(what, name+": "+value)
			}
		}
		return strings.Join(what, ", ")
	case c.dns != nil:
		return c.dns.Err + ": " + c.dns.Name
	case c.tls:
		return "TLS: " + c.err.Error()
	case c.dial != nil && c.dial.Addr != nil:
		return fmt.Sprintf("%s %s: %s", c.dial.Op, c.dial.Addr, c.err)
	case c.timeout:
		return "no answer " + c.within()
	case c.errno != 0:
		return c.errno.Error()
	case c.status >= http.StatusBadRequest && c.message != "" && c.message != c.code:
		return fmt.Sprintf("HTTP %d: %s", c.status, c.message)
	case c.status >= http.StatusBadRequest:
		return fmt.Sprintf("HTTP %d and no error code", c.status)
	case c.unreadable:
		return "the answer cannot be read: " + c.err.Error()
	}
	return c.err.Error()
}

func (c *cause) within() string {
	within := "in time"
	if c.took >= time.Second {
		within = "within " + c.took.Round(time.Second).String()
	}
	for _, verb := range []string{"Describe", "Get", "List"} {
		if strings.HasPrefix(c.operation, verb) {
			return within
		}
	}
	if c.kind == Lane || c.kind == Topic {
		within += " (the request may have been carried out)"
	}
	return within
}

// Clean makes a text fit for one line of a log or a page: about so many bytes of whole
// characters at most, and what is not printable as an escape.
func Clean(text string, most int) string {
	var b strings.Builder
	for i, r := range text {
		part := string(r)
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			part = " "
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], part):
			part = fmt.Sprintf(`\x%02x`, text[i])
		case !unicode.IsPrint(r):
			part = fmt.Sprintf(`\u%04x`, r)
		}
		if b.Len()+len(part) > most {
			b.WriteString("…")
			return b.String()
		}
		b.WriteString(part)
	}
	return b.String()
}
