package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker"
	"github.com/rescindhq/rescind/worker/command"
)

// checker completes commands and checks them.
type checker struct {
	decoder    *command.Decoder
	kinds      map[string]map[string]handlers.Kind // by action and parameter
	members    map[string]any                      // from flags
	parameters map[string]string                   // from flags
}

// newChecker returns a checker of commands for a queue.
func newChecker(queueURL, region string, c *sendCmd) *checker {
	k := &checker{kinds: map[string]map[string]handlers.Kind{}, members: c.members(), parameters: c.Param}
	all := allHandlers()
	for _, h := range all {
		kinds := map[string]handlers.Kind{}
		for _, f := range h.Fields() {
			kinds[f.Name] = f.Kind
		}
		k.kinds[string(h.Action())] = kinds
	}
	k.decoder = command.NewDecoder(all, handlers.Location{Account: accountOf(queueURL), Region: region})
	return k
}

// allHandlers returns the handlers of every service, to ask what they know; they cannot call.
func allHandlers() (all []handlers.Handler) {
	for _, service := range worker.Services() {
		all = append(all, service(func(handlers.Location) aws.Config { return aws.Config{} })...)
	}
	return all
}

// actionNames returns the actions of this binary, in the order of the alphabet.
func actionNames() (names []string) {
	for _, h := range allHandlers() {
		names = append(names, string(h.Action()))
	}
	slices.Sort(names)
	return names
}

// accountOf returns the account in a queue's URL, https://HOST/ACCOUNT/NAME. It is only used to group
// messages.
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

// all adds every command of the input to the report: those that are valid, and why the others are not. Two
// commands of one id that differ refuse the whole input.
func (k *checker) all(input []byte, r *sendReport) error {
	values, err := split(input)
	if err != nil {
		return err
	}
	first := map[string]*sending{} // by key in the ledger
	for _, v := range values {
		c := k.one(v)
		r.Commands = append(r.Commands, c)
		if c.State == stateRefused {
			continue
		}
		key := c.command.Key()
		switch known := first[key]; {
		case known == nil:
			first[key] = c
		case known.command.Fingerprint() != c.command.Fingerprint():
			which := fmt.Sprintf("lines %d and %d", known.Line, c.Line)
			if known.Line == c.Line {
				which = fmt.Sprintf("two commands on line %d", c.Line)
			}
			return misused("%s have the id %q and other content (action, parameters, account or region): give one of them another id; nothing was sent", which, c.ID)
		}
	}
	return nil
}

// one completes and checks one command.
func (k *checker) one(v value) *sending {
	body := v.text
	given := map[string]jsontext.Value{}
	members := k.members
	if err := json.Unmarshal(body, &given); err == nil {
		members = k.complete(given)
		body, _ = json.Marshal(members, json.Deterministic(true)) // flags and parsed members always marshal
	} // otherwise the decoder returns the error
	c, err := k.decoder.DecodeBare(body, command.Message{ID: "unsent"})
	var bad *command.Error
	if errors.As(err, &bad) {
		id := bad.Command.ID
		if id == "sqs:unsent" {
			id = ""
		}
		return &sending{Line: v.line, ID: id, State: stateRefused, Field: bad.Field, Error: bad.Error()}
	}
	return &sending{
		Line: v.line, ID: c.ID, State: stateUnsent, body: string(body),
		group: groupOf(c),
		// What Key, Fingerprint and confirmOf need. The rest would take memory while the outcomes are awaited.
		command:       command.Command{ID: c.ID, DryRun: c.DryRun, Confirm: c.Confirm, Action: c.Action, Parameters: c.Parameters, Account: c.Account, Region: c.Region},
		statesAccount: members["account"] != nil, statesRegion: members["region"] != nil,
		madeID: given["id"].Kind() != jsontext.KindString && k.members["id"] == nil,
	}
}

// groupOf is the MessageGroupId of a command: SQS serves the groups of a standard queue fairly.
func groupOf(c *command.Command) string {
	return c.Action.Service() + "/" + c.Account + "/" + c.Region
}

// complete returns the members of a command with those that it leaves out. It always adds an id, so that
// a repeated request does not make a second command.
func (k *checker) complete(given map[string]jsontext.Value) map[string]any {
	all := maps.Clone(k.members)
	for name, value := range given {
		if value.Kind() != jsontext.KindNull { // null says that it is left out
			all[name] = value
		}
	}
	if all["id"] == nil {
		all["id"] = uuid.NewString()
	}
	if len(k.parameters) > 0 {
		k.completeParameters(all)
	}
	return all
}

// completeParameters adds the parameters of the flags that a command leaves out.
func (k *checker) completeParameters(all map[string]any) {
	parameters := map[string]any{}
	if own, there := all["parameters"].(jsontext.Value); there {
		if json.Unmarshal(own, &parameters) != nil || parameters == nil {
			return // not an object: the decoder refuses it
		}
	}
	action, _ := all["action"].(string)
	if own, ok := all["action"].(jsontext.Value); ok {
		_ = json.Unmarshal(own, &action) // if it is not a string the decoder refuses it
	}
	for name, text := range k.parameters {
		if parameters[name] != nil {
			continue
		}
		parameters[name] = text
		// A value that should be JSON and is not is sent on as a string, which the decoder refuses.
		if kind, known := k.kinds[action][name]; known && kind != handlers.String {
			if value := jsontext.Value(text); value.IsValid() {
				parameters[name] = value
			}
		}
	}
	all["parameters"] = parameters
}
