package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rescindhq/rescind/handlers"
	"github.com/rescindhq/rescind/worker/permissions"
)

// ofStateQueue asks for the state queue's own policy, and no role's.
const ofStateQueue = "state-queue"

func (c *iamCmd) printStateQueue(ctx context.Context, s streams) error {
	d := &permissions.Deployment{}
	rules, err := c.rules()
	if err = errors.Join(c.placed(ctx, d), c.stateQueue(d), err); err != nil {
		return misused("%w", err)
	}
	if d.StateQueueARN == "" {
		return misused("no state queue: set --state-queue-url, or RESCIND_STATE_QUEUE_URL, to its URL")
	}
	return printPolicy(s, permissions.StateQueue(d, rules))
}

// rules are the ARNs of the rules that may send to the state queue.
func (c *iamCmd) rules() (rules []string, err error) {
	rules = trimmed(c.RuleARN)
	for _, each := range rules {
		if arn, ok := handlers.ParseARN(each); !ok || arn.Service != "events" || !strings.HasPrefix(arn.Resource, "rule/") || strings.ContainsAny(each, "*? ") {
			return nil, fmt.Errorf("--rule-arn must be the ARN of an EventBridge rule, like arn:aws:events:us-east-1:123456789012:rule/rescind-states, not %q", each)
		}
	}
	if len(rules) == 0 {
		return nil, errors.New("the rule is not known: set --rule-arn to the ARN of the EventBridge rule that sends to the state queue")
	}
	return rules, nil
}
