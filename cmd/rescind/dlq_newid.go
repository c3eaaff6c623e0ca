package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rescindhq/rescind/worker/command"
)

// newIDOf returns the id under which a command is run again. It is made from the one that it had, so that sending
// it twice makes one command. An id that an envelope or the message made is taken without its prefix.
func newIDOf(c *command.Command) (string, error) {
	id := c.ID
	if !command.MayBeID(id) {
		_, id, _ = strings.Cut(id, ":")
	}
	next := command.NextID(id)
	if next == "" {
		return "", errors.New("its id is too long to be added to: send the command by itself, under another id")
	}
	return next, nil
}

// withID returns the body with another id in its command, and the same envelopes around that.
func withID(body []byte, id string) ([]byte, error) {
	object := map[string]jsontext.Value{}
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	quoted, err := json.Marshal(id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("writing the id: %w", err)
	case object["Type"] != nil: // SNS: the message is JSON in a text
		var text string
		var inner []byte
		if err = json.Unmarshal(object["Message"], &text); err == nil {
			if inner, err = withID([]byte(text), id); err == nil {
				object["Message"], err = json.Marshal(string(inner))
			}
		}
	case object["detail-type"] != nil: // EventBridge
		object["detail"], err = withID(object["detail"], id)
	case object["specversion"] != nil: // CloudEvents
		object["data"], err = withID(object["data"], id)
	default:
		object["id"] = quoted
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(object, json.Deterministic(true))
}
