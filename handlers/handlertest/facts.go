package handlertest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/internal/facts"
)

// known is what aws.json says of an action.
type known struct {
	action    facts.Operation
	wires     map[string]facts.Wire    // by operation
	errors    map[string][]facts.Error // by operation
	cancelMax int
	readMax   map[string]int // by operation, of those that read by id
	states    []string
}

// facts looks the action up among the services of the first release, then in the breadth.
// What is not there is left empty, and checkSuite says so.
func (s *subject) facts() known {
	service := s.h.Action().Service()
	operation := strings.TrimPrefix(string(s.h.Action()), service+":")
	if svc, ok := facts.Core()[service]; ok {
		return coreFacts(svc, service, operation)
	}
	return s.breadthFacts(service, operation)
}

func (s *subject) breadthFacts(service, operation string) known {
	var entries []json.RawMessage
	if err := facts.Raw(&entries, "breadth"); err != nil {
		s.errorf("reading the breadth of aws.json: %w", err)
	}
	for _, raw := range entries {
		var name struct{ Service, Operation string }
		if err := json.Unmarshal(raw, &name); err != nil || name.Service != service || name.Operation != operation {
			continue
		}
		// Read only now: entries of other actions write some of this in prose.
		var e struct {
			facts.Operation
			Describe     string     `json:"describe"`
			DescribeWire facts.Wire `json:"describe_wire"`
			CancelMax    int        `json:"batch_cancel_max"`
			DescribeMax  int        `json:"batch_describe_max"`
			Cancelled    []string   `json:"cancelled_state"`
			Terminal     []string   `json:"terminal_states"`
			Intermediate []string   `json:"intermediate_states"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			s.errorf("reading %s of aws.json: %w", s.h.Action(), err)
		}
		return known{
			action:    e.Operation,
			wires:     map[string]facts.Wire{operation: e.Wire, e.Describe: e.DescribeWire},
			errors:    map[string][]facts.Error{operation: e.Errors},
			cancelMax: e.CancelMax,
			readMax:   map[string]int{e.Describe: e.DescribeMax},
			states:    slices.Concat(e.Cancelled, e.Terminal, e.Intermediate),
		}
	}
	return known{}
}

func coreFacts(svc facts.Service, service, operation string) known {
	k := known{
		action:    svc.Operations[operation],
		wires:     map[string]facts.Wire{},
		errors:    map[string][]facts.Error{},
		cancelMax: svc.Batch["cancel_max"],
		readMax:   map[string]int{},
		states:    svc.States,
	}
	for name, op := range svc.Operations {
		k.wires[name], k.errors[name] = op.Wire, op.Errors
	}
	var best string
	if facts.Raw(&best, "core", service, "batch", "describe_best") == nil && svc.Batch["describe_ids_max"] > 0 {
		k.readMax[best] = svc.Batch["describe_ids_max"]
	}
	if service == "iot" && operation == "CancelJob" {
		// A whole job is another thing than its executions, and has states of its own.
		k.states = nil
		_ = facts.Raw(&k.states, "core", service, "job_states") // empty, which checkSuite reports
	}
	return k
}

// checkSuite: aws.json knows the action, the calls are those it describes, and the suite
// speaks of every state and every refusal that is documented.
func checkSuite(s *subject) []error {
	k := s.facts()
	if len(k.action.Fields) == 0 || len(k.states) == 0 {
		s.errorf("aws.json has no fields or no states for %s", s.h.Action())
	}
	if k.cancelMax != 0 && s.sides[0].max != k.cancelMax {
		s.errorf("%s takes %d targets, aws.json says %d", s.sides[0].operation, s.sides[0].max, k.cancelMax)
	}
	if most := k.readMax[s.sides[1].operation]; most != 0 && s.sides[1].max != most {
		s.errorf("%s takes %d targets, aws.json says %d", s.sides[1].operation, s.sides[1].max, most)
	}
	for _, sd := range s.sides {
		if sd.max < 1 {
			s.errorf("%s takes %d targets", sd.operation, sd.max)
		}
		if _, ok := k.wires[sd.operation]; !ok {
			s.errorf("aws.json does not know the operation %s", sd.operation)
		}
		for _, e := range k.errors[sd.operation] {
			if !slices.ContainsFunc(sd.Whole, func(r Refusal) bool { return r.Code == e.Code && (e.HTTP == 0 || r.HTTP == e.HTTP) }) {
				s.errorf("the suite does not say what %s's %d %s comes to", sd.operation, e.HTTP, e.Code)
			}
		}
	}
	if _, ok := s.h.(handlers.Resolver); ok != (s.Resolve != nil) || ok != (s.Last != nil) {
		s.errorf("handlers.Resolver, Suite.Resolve and Suite.Last go together")
	}
	for _, state := range k.states {
		if !slices.ContainsFunc(s.States, func(st State) bool { return st.Name == state || strings.HasPrefix(st.Name, state+"/") }) {
			s.errorf("the suite leaves out the state %s", state)
		}
	}
	return s.errs
}

var uriLabel = regexp.MustCompile(`\\\{[^/]*\\\}`)

// checkWire: a request travels as aws.json says of its operation.
func (s *subject) checkWire(sd side, w facts.Wire, r Request) {
	path := "^" + uriLabel.ReplaceAllString(regexp.QuoteMeta(w.Path), "[^/]+") + "$"
	if !regexp.MustCompile(path).MatchString(r.URL.EscapedPath()) || r.Method != w.Method {
		s.errorf("%s: the request was %s %s, want %s %s", sd.operation, r.Method, r.URL.EscapedPath(), w.Method, w.Path)
	}
	if got := r.Header.Get("X-Amz-Target"); got != w.Target {
		s.errorf("%s: X-Amz-Target %q, want %q", sd.operation, got, w.Target)
	}
	if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "/"+location.Region+"/"+w.SigningName+"/aws4_request") {
		s.errorf("%s: not signed for %s in %s: %q", sd.operation, w.SigningName, location.Region, auth)
	}
}
