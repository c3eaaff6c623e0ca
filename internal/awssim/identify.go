package awssim

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// maxBody bounds a request body: above the largest that a service here takes (SQS, 1 MiB of
// messages, escaped in JSON), below what would hurt.
const maxBody = 8 << 20

// request is one HTTP request, once it is known what it asks for.
type request struct {
	service   *service.Service
	operation service.Operation
	call      service.Call
	wire      service.Request
}

// identify finds out what an HTTP request asks for. Service and region come from the
// credential scope; of a request that is not signed, the service comes from X-Amz-Target,
// the form's Action or the path, and the region is the default one. On an error the request
// is filled as far as it was understood.
func (s *Sim) identify(r *http.Request) (*request, *service.Error) {
	req := &request{call: service.Call{RequestID: s.ids.next(), Base: "http://" + r.Host, Region: s.options.Region}}
	if r.TLS != nil {
		req.call.Base = "https://" + r.Host
	}
	body, err := bodyOf(r)
	if err != nil {
		return req, &service.Error{Status: http.StatusRequestEntityTooLarge, Code: "RequestEntityTooLarge", Message: err.Error()}
	}
	req.wire = service.Request{Body: body, Header: r.Header}

	key, region, name := scope(r.Header.Get("Authorization"))
	req.call.AccessKey = key
	req.call.Account = s.accountOf(key)
	if region != "" {
		req.call.Region = region
	}
	target := r.Header.Get("X-Amz-Target")
	isForm := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	if isForm {
		if req.wire.Form, err = service.ParseForm(body); err != nil {
			return req, service.Refuse("MalformedQueryString", "%v", err)
		}
	}
	for _, candidate := range s.services {
		if name != "" && candidate.Signing != name {
			continue
		}
		if op, ok := s.find(req, candidate, r, target, isForm); ok {
			req.service, req.call.Service, req.call.Operation = candidate, candidate.Name, op
			req.operation = candidate.Operations[op]
			return req, nil
		}
		if name != "" {
			req.service, req.call.Service = candidate, candidate.Name
			break
		}
	}
	asked := target
	switch {
	case asked != "":
	case isForm:
		asked = "Action " + req.wire.Form.Text("Action")
	default:
		asked = r.Method + " " + r.URL.Path
	}
	return req, &service.Error{
		Status: http.StatusBadRequest, Code: "UnknownOperationException",
		Message: fmt.Sprintf("the simulator has no %q of service %q", asked, name),
	}
}

// bodyOf reads a body into one piece of memory, where the client says how long it is; who says
// more than is taken here gets no more than that.
func bodyOf(r *http.Request) ([]byte, error) {
	said := min(max(r.ContentLength, 0), maxBody)
	// bytes.MinRead, so that the read that finds the end does not make the buffer grow.
	b := bytes.NewBuffer(make([]byte, 0, said+bytes.MinRead))
	_, err := b.ReadFrom(http.MaxBytesReader(nil, r.Body, maxBody))
	return b.Bytes(), err
}

// find returns the operation of one service that a request names.
func (s *Sim) find(req *request, in *service.Service, r *http.Request, target string, isForm bool) (operation string, ok bool) {
	switch in.Protocol {
	case service.JSON10, service.JSON11:
		prefix, op, cut := strings.Cut(target, ".")
		if !cut || prefix != in.Target {
			return "", false
		}
		_, ok = in.Operations[op]
		return op, ok
	case service.Query:
		op := req.wire.Form.Text("Action")
		_, ok = in.Operations[op]
		return op, ok && isForm
	case service.REST:
		if target != "" || isForm {
			return "", false
		}
		path := strings.Split(strings.TrimSuffix(r.URL.EscapedPath(), "/"), "/")
		for _, route := range s.routes[in] {
			if route.method != r.Method {
				continue
			}
			if values, matches := route.match(path); matches {
				req.wire.Path, req.wire.Query = values, r.URL.Query()
				return route.operation, true
			}
		}
	}
	return "", false
}

// route is where a REST operation is found.
type route struct {
	operation, method string
	pattern           []string // the segments of its path
}

// routesOf are the routes of a service, by the names of the operations; nil unless it is REST.
func routesOf(in *service.Service) []route {
	if in.Protocol != service.REST {
		return nil
	}
	routes := make([]route, 0, len(in.Operations))
	for _, name := range slices.Sorted(maps.Keys(in.Operations)) {
		op := in.Operations[name]
		routes = append(routes, route{name, op.Method, strings.Split(op.Path, "/")})
	}
	return routes
}

// match matches a path, cut into its segments, against the pattern.
func (r route) match(path []string) (values map[string]string, ok bool) {
	if len(r.pattern) != len(path) {
		return nil, false
	}
	for i, segment := range r.pattern {
		if !strings.HasPrefix(segment, "{") {
			if segment != path[i] {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(path[i])
		if err != nil || value == "" {
			return nil, false
		}
		if values == nil {
			values = map[string]string{}
		}
		values[strings.Trim(segment, "{}")] = value
	}
	return values, true
}

// scope reads access key, region and service from a SigV4 Authorization header:
// "AWS4-HMAC-SHA256 Credential=KEY/20261121/us-east-1/sqs/aws4_request, …".
func scope(authorization string) (key, region, name string) {
	_, rest, ok := strings.Cut(authorization, "Credential=")
	if !ok {
		return "", "", ""
	}
	rest, _, _ = strings.Cut(rest, ",")
	parts := strings.Split(strings.TrimSpace(rest), "/")
	if len(parts) < 5 {
		return "", "", ""
	}
	// An access key has no slash; should one have, the scope is still the last four parts.
	n := len(parts)
	return strings.Join(parts[:n-4], "/"), parts[n-3], parts[n-2]
}

// accountOf returns the account in which an access key's calls run.
func (s *Sim) accountOf(key string) string {
	if account, ok := s.sts.AccountOf(key); ok {
		return account
	}
	if isAccount(key) {
		return key
	}
	return s.options.Account
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}
