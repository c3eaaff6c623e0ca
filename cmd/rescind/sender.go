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
func (s *sender) all(ctx context.Context, from *lineReader) error {
	var err error
reading:
	for {
		select {
		case l, more := <-from.lines:
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
