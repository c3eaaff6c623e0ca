package awssim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// reply is an answer in the words of its protocol.
type reply struct {
	status int
	code   string // AWS's error code; "" for a success
	header [][2]string
	body   []byte
}

func (r reply) write(w http.ResponseWriter) {
	for _, h := range r.header {
		// Set by assignment: AWS's own spelling, which the canonical one would change.
		w.Header()[h[0]] = []string{h[1]}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // whoever does not read its answer finds out by itself
}

// encode writes an answer down. An answer that cannot be marshalled is the simulator's own fault,
// and says so as a 500.
func encode(req *request, a answer) reply {
	protocol := service.JSON10
	if req.service != nil {
		protocol = req.service.Protocol
	}
	r := reply{status: http.StatusOK, header: [][2]string{{"x-amzn-RequestId", req.call.RequestID}}}
	if a.err != nil {
		r.status, r.code = a.err.HTTPStatus(), plain(a.err.Code)
	}
	var err error
	switch protocol {
	case service.JSON10:
		r.header = append(r.header, [2]string{"Content-Type", "application/x-amz-json-1.0"})
		err = r.json(req, a)
	case service.JSON11:
		r.header = append(r.header, [2]string{"Content-Type", "application/x-amz-json-1.1"})
		err = r.json(req, a)
	case service.REST:
		r.header = append(r.header, [2]string{"Content-Type", "application/json"})
		err = r.json(req, a)
	case service.Query:
		r.header = append(r.header, [2]string{"Content-Type", "text/xml"})
		err = r.xml(req, a)
	}
	if err != nil && a.err == nil {
		return encode(req, answer{err: &service.Error{Status: 500, Code: "InternalFailure", Message: err.Error()}})
	}
	return r
}

// plain is an error's code without the namespace that some services put before it.
func plain(code string) string { return code[strings.LastIndexByte(code, '#')+1:] }

func (r *reply) json(req *request, a answer) (err error) {
	if a.err == nil {
		if _, empty := a.out.(*service.Empty); empty {
			return nil
		}
		r.body, err = json.Marshal(a.out)
		return err
	}
	shape := a.err.Code
	if req.service != nil && req.service.Shapes != "" {
		shape = req.service.Shapes + "#" + shape
	}
	r.header = append(r.header, [2]string{"x-amzn-errortype", a.err.Code})
	if a.err.QueryCode != "" {
		fault := "Sender"
		if a.err.Receiver() {
			fault = "Receiver"
		}
		r.header = append(r.header, [2]string{"x-amzn-query-error", a.err.QueryCode + ";" + fault})
	}
	r.body, err = json.Marshal(struct {
		Type    string         `json:"__type"`
		Message string         `json:"message"`
		Fields  map[string]any `json:",embed"`
	}{shape, a.err.Message, a.err.Fields})
	return err
}

func (r *reply) xml(req *request, a answer) error {
	var b bytes.Buffer
	e := xml.NewEncoder(&b)
	op, ns := req.call.Operation, req.service.XMLNS
	if a.err != nil {
		kind := "Sender"
		if a.err.Receiver() {
			kind = "Receiver"
		}
		err := e.Encode(xmlError{NS: ns, Type: kind, Code: a.err.Code, Message: a.err.Message, RequestID: req.call.RequestID})
		r.body = b.Bytes()
		return err
	}
	fmt.Fprintf(&b, "<%sResponse xmlns=%q>", op, ns)
	if _, empty := a.out.(*service.Empty); !empty {
		if err := e.EncodeElement(a.out, xml.StartElement{Name: xml.Name{Local: op + "Result"}}); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>", req.call.RequestID, op)
	r.body = b.Bytes()
	return nil
}

type xmlError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	NS        string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}
