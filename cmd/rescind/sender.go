package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/coalesce"
	"github.com/rescindhq/rescind/worker/command"
)

const (
	// sendWaiting bounds the commands held in memory.
	sendWaiting = 2000
	// refusedKept and refusedShown bound the refusals that are told with --json and without;
	// all are counted.
	refusedKept, refusedShown = 1000, 20
	// fieldsCounted bounds the fields that refusals are counted by: a line may name any.
	fieldsCounted = 50
	// idsKept is how many ids of what was sent are told.
	idsKept = 10
)

// refusal is a command that was not sent, for a fault of its own.
type refusal struct {
	Line  int    `json:"line,omitzero"`
	ID    string `json:"id,omitempty"`
	Field string `json:"field,omitempty"`
	Error string `json:"error"`
}

// sender completes commands, checks them and sends them.
type sender struct {
	decoder    *command.Decoder
	kinds      map[string]map[string]handlers.Kind // by action and parameter
	members    map[string]any                      // from flags
	parameters map[string]string                   // from flags
	group      *coalesce.Group[letter, posted]
	waiting    chan struct{}
	stop       context.CancelCauseFunc

	mu     sync.Mutex
	report sendReport
}

// sendReport is what --json prints.
type sendReport struct {
	Sent    int `json:"sent"`
	Refused int `json:"refused"`
	// Unsent counts commands without a fault that the queue did not take, and UnsentFrom is the
	// first of their lines.
	Unsent     int            `json:"unsent"`
	UnsentFrom int            `json:"unsentFrom,omitzero"`
	IDs        []string       `json:"firstIds"`
	ByField    map[string]int `json:"refusedByField,omitempty"`
	Refusals   []refusal      `json:"firstRefusals"`
}

// newSender returns a sender to a queue. It sends until ctx ends, and calls stop when a request
// fails as a whole.
func newSender(ctx context.Context, stop context.CancelCauseFunc, api *sqs.Client, queueURL, region string, c *sendCmd) *sender {
	s := &sender{
		kinds: map[string]map[string]handlers.Kind{}, members: c.members(), parameters: c.Param,
		group: newPost(ctx, api, queueURL), waiting: make(chan struct{}, sendWaiting), stop: stop,
	}
	var all []handlers.Handler
	for _, service := range worker.Services() {
		all = append(all, service(func(handlers.Place) aws.Config { return aws.Config{} })...)
	}
	for _, h := range all {
		kinds := map[string]handlers.Kind{}
		for _, f := range h.Fields() {
			kinds[f.Name] = f.Kind
		}
		s.kinds[string(h.Action())] = kinds
	}
	s.decoder = command.NewDecoder(all, handlers.Place{Account: accountOf(queueURL), Region: region})
	return s
}

// accountOf is the account that a queue's URL names, as https://HOST/ACCOUNT/NAME does; it
// serves to group messages alone.
func accountOf(queueURL string) string {
	const unknown = "000000000000"
	u, err := url.Parse(queueURL)
	if err != nil {
		return unknown
	}
	account, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if _, err := strconv.ParseUint(account, 10, 64); err != nil || len(account) != len(unknown) {
		return unknown
	}
	return account
}

// all sends every line, until ctx ends.
func (s *sender) all(ctx context.Context, in <-chan line) error {
	var err error
reading:
	for {
		select {
		case l, more := <-in:
			if !more {
				break reading
			}
			if l.err != nil {
				err = l.err
				break reading
			}
			s.one(l)
		case <-ctx.Done():
			break reading
		}
	}
	// What is under way ends with ctx too, and is counted either way.
	_ = s.group.Wait(context.WithoutCancel(ctx))
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			cause = errors.New("interrupted")
		}
		err = errors.Join(err, cause)
	}
	return err
}

// one completes, checks and sends one command.
func (s *sender) one(l line) {
	body := []byte(l.text)
	given := map[string]jsontext.Value{}
	if err := json.Unmarshal(body, &given); err == nil {
		body = s.complete(given)
	} // else the decoder says what is wrong
	c, err := s.decoder.DecodeBare(body, command.Message{ID: "unsent"})
	var bad *command.Error
	if errors.As(err, &bad) {
		s.refuse(refusal{Line: l.number, ID: bad.Command.ID, Field: bad.Field, Error: bad.Error()})
		return
	}
	s.waiting <- struct{}{}
	made := letter{line: l.number, id: c.ID, body: string(body), fair: c.Action.Service() + "/" + c.Account + "/" + c.Region}
	s.group.Go(made, func(p posted) {
		<-s.waiting
		s.settle(made, p.err)
	})
}

// settle counts what became of a command that was sent.
func (s *sender) settle(l letter, err error) {
	switch {
	case errors.Is(err, errNotTaken):
		s.stop(err) // the first one rules
		s.mu.Lock()
		defer s.mu.Unlock()
		s.report.Unsent++
		if s.report.UnsentFrom == 0 || l.line < s.report.UnsentFrom {
			s.report.UnsentFrom = l.line
		}
	case err != nil:
		s.refuse(refusal{Line: l.line, ID: l.id, Error: err.Error()})
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.report.Sent++
		if len(s.report.IDs) < idsKept {
			s.report.IDs = append(s.report.IDs, l.id)
		}
	}
}

func (s *sender) refuse(r refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Refused++
	if len(s.report.Refusals) < refusedKept {
		s.report.Refusals = append(s.report.Refusals, r)
	}
	if r.Field == "" {
		r.Field = "SQS"
	}
	if _, known := s.report.ByField[r.Field]; !known && len(s.report.ByField) >= fieldsCounted {
		r.Field = "others"
	}
	if s.report.ByField == nil {
		s.report.ByField = map[string]int{}
	}
	s.report.ByField[r.Field]++
}

// complete fills what a command leaves out. An id is always filled, so that a request that
// has to be repeated makes no second command.
func (s *sender) complete(given map[string]jsontext.Value) []byte {
	all := maps.Clone(s.members)
	for name, value := range given {
		all[name] = value
	}
	if all["id"] == nil {
		all["id"] = uuid.NewString()
	}
	if len(s.parameters) > 0 {
		s.completeParameters(all)
	}
	body, err := json.Marshal(all, json.Deterministic(true))
	if err != nil {
		return nil // the decoder refuses it; flags and parsed members always marshal
	}
	return body
}

// completeParameters fills the parameters that a command leaves out with those of the flags.
func (s *sender) completeParameters(all map[string]any) {
	parameters := map[string]any{}
	if own, there := all["parameters"].(jsontext.Value); there {
		if json.Unmarshal(own, &parameters) != nil || parameters == nil {
			return // no object: the decoder says so
		}
	}
	action, _ := all["action"].(string)
	if own, ok := all["action"].(jsontext.Value); ok {
		_ = json.Unmarshal(own, &action) // no string: the decoder says so
	}
	for name, text := range s.parameters {
		if _, there := parameters[name]; there {
			continue
		}
		parameters[name] = text
		// Text that is not JSON where JSON is called for stays text, which the decoder refuses.
		if kind, known := s.kinds[action][name]; known && kind != handlers.String {
			if value := jsontext.Value(text); value.IsValid() {
				parameters[name] = value
			}
		}
	}
	all["parameters"] = parameters
}

// progress tells how far it has come, every other second, until it is stopped.
func (s *sender) progress(to streams) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				s.mu.Lock()
				fmt.Fprintf(to.err, "%d sent, %d refused\n", s.report.Sent, s.report.Refused)
				s.mu.Unlock()
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// tellOne says what became of the one command that flags made. That it breaks a rule is misuse.
func (s *sender) tellOne(to streams, asJSON bool) error {
	s.mu.Lock()
	r := s.report
	s.mu.Unlock()
	switch {
	case r.Refused > 0 && r.Refusals[0].Field != "":
		return misused("%s", r.Refusals[0].Error)
	case r.Refused > 0:
		return errors.New(r.Refusals[0].Error)
	case asJSON:
		return printJSON(to.out, r)
	case r.Sent > 0:
		fmt.Fprintf(to.out, "sent %s\n", r.IDs[0])
	}
	return nil
}

// tell says what became of the lines, and returns an error where not all were sent.
func (s *sender) tell(to streams, asJSON bool) error {
	s.mu.Lock()
	r := s.report
	s.mu.Unlock()
	if asJSON {
		if err := printJSON(to.out, r); err != nil {
			return err
		}
	} else {
		for _, bad := range r.Refusals[:min(refusedShown, len(r.Refusals))] {
			fmt.Fprintf(to.err, "line %d: %s\n", bad.Line, bad.Error)
		}
		if r.Refused > refusedShown {
			fmt.Fprintf(to.err, "… and %d more; --json tells %d\n", r.Refused-refusedShown, refusedKept)
		}
		fmt.Fprintf(to.out, "%d sent, %d refused%s\n", r.Sent, r.Refused, byField(r.ByField))
	}
	switch {
	case r.Unsent > 0:
		return fmt.Errorf("stopped: lines from %d on may not have been sent (%d that were read were not); with ids of their own they can safely be sent again", r.UnsentFrom, r.Unsent)
	case r.Refused > 0:
		return fmt.Errorf("%d of %d commands were refused and not sent", r.Refused, r.Sent+r.Refused)
	}
	return nil
}

// byField says what refusals were about, most first.
func byField(counts map[string]int) string {
	if len(counts) == 0 {
		return ""
	}
	fields := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	for i, field := range fields {
		fields[i] = fmt.Sprintf("%s %d", field, counts[field])
	}
	return " (" + strings.Join(fields, ", ") + ")"
}
