package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// shown puts n targets of each service in for people to try commands on.
func (f *fleet) shown(n int) []shown {
	var all []shown
	for _, p := range parts() {
		all = append(all, p.shown(f, n)...)
	}
	return all
}

// boxKeys are settings under which every AWS tool finds the box. Version 1 of the aws CLI reads
// neither AWS_ENDPOINT_URL nor AWS_REGION, and would go to AWS itself; --endpoint-url and
// AWS_DEFAULT_REGION hold for every version.
const boxKeys = "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1"

// banner says what there is, and what to type.
func (b *box) banner(w io.Writer, targets []shown) {
	fmt.Fprintf(w, `  endpoint  %s
  queue     %s
  buried    %s
  topic     %s

`, b.url, b.queue, b.buried, b.topic)
	if len(targets) == 0 {
		return
	}
	rows := [][]string{{"target", "state", "to try it, rescind send --action"}, nil}
	for _, t := range targets {
		rows = append(rows, []string{t.id, t.state, t.flags()})
	}
	table(w, len(rows[0]), rows)
	t := targets[0]
	fmt.Fprintf(w, `
In another terminal, with the aws CLI:

  `+boxKeys+` \
    aws --endpoint-url %s sqs send-message --queue-url %s \
    --message-body '%s'

or with rescind itself:

  AWS_ENDPOINT_URL=%s RESCIND_QUEUE_URL=%s \
    `+boxKeys+` \
    rescind send --action %s --reason "trying it out"
`, b.url, b.queue, text(map[string]any{"action": t.action, "parameters": t.parameters, "reason": "trying it out"}),
		b.url, b.queue, t.flags())
}

// flags are those of rescind send that name a target, after --action.
func (t shown) flags() string {
	words := []string{t.action}
	for _, name := range slices.Sorted(maps.Keys(t.parameters)) {
		value, isText := t.parameters[name].(string)
		if !isText {
			value = "'" + text(t.parameters[name]) + "'"
		}
		words = append(words, "-p "+name+"="+value)
	}
	return strings.Join(words, " ")
}
