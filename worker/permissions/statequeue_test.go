package permissions_test

import (
	"slices"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/worker/permissions"
)

// TestOnlyTheRuleSendsToTheStateQueue: not even whoever may send to every queue.
func TestOnlyTheRuleSendsToTheStateQueue(t *testing.T) {
	const rule = "arn:aws:events:us-east-1:123456789012:rule/rescind-states"
	d := deployment(options{states: true}, nil)
	text, err := permissions.StateQueue(d, []string{rule}).Text()
	if err != nil {
		t.Fatal(err)
	}
	p, err := iam.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Statement {
		if to, ofAll := s.Principal["Service"], s.Principal["AWS"]; s.Effect == "Allow" != slices.Equal(to, []string{"events.amazonaws.com"}) || s.Effect == "Deny" != slices.Equal(ofAll, []string{"*"}) {
			t.Errorf("%s: %s of %v", s.Sid, s.Effect, s.Principal)
		}
	}
	// An administrator's own policy.
	p.Statement = append(p.Statement, iam.Statement{Sid: "Everything", Effect: "Allow", Action: []string{"*"}, Resource: []string{"*"}})
	by := func(source ...string) map[string][]string { return map[string][]string{"aws:SourceArn": source} }
	for _, row := range []struct {
		what   string
		access iam.Access
		want   bool
	}{
		{"the rule", iam.Access{Action: "sqs:SendMessage", Resource: stateQueueARN, Context: by(rule)}, true},
		{"another rule", iam.Access{Action: "sqs:SendMessage", Resource: stateQueueARN, Context: by(rule + "2")}, false},
		{"another account's rule", iam.Access{Action: "sqs:SendMessage", Resource: stateQueueARN, Context: by("arn:aws:events:us-east-1:999999999999:rule/rescind-states")}, false},
		{"a topic", iam.Access{Action: "sqs:SendMessage", Resource: stateQueueARN, Context: by(topicARN)}, false},
		{"an administrator", iam.Access{Action: "sqs:SendMessage", Resource: stateQueueARN}, false},
		{"an administrator, of another queue", iam.Access{Action: "sqs:SendMessage", Resource: queueARN}, true},
		{"the worker", iam.Access{Action: "sqs:ReceiveMessage", Resource: stateQueueARN}, true},
		{"an administrator, of the policy", iam.Access{Action: "sqs:SetQueueAttributes", Resource: stateQueueARN}, true},
	} {
		if got := p.Allows(row.access); got != row.want {
			t.Errorf("%s: %s is allowed: %t, want %t", row.what, row.access.Action, got, row.want)
		}
	}
	p.Statement = p.Statement[:2]
	if p.Allows(iam.Access{Action: "sqs:ReceiveMessage", Resource: stateQueueARN, Context: by(rule)}) {
		t.Error("the rule may receive")
	}
}
