package main

import (
	"slices"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim"
	"github.com/rescindhq/rescind/internal/awssim/iam"
)

// TestIAMOperator: what "rescind dlq" asks of AWS is what "rescind iam operator" prints, all of it and nothing else, where
// the dead-letter queue is named, and where the queue's redrive policy names it.
func TestIAMOperator(t *testing.T) {
	for name, isNamed := range map[string]bool{"named": true, "found": false} {
		t.Run(name, func(t *testing.T) {
			b := newLetterbox(t, awssim.Options{History: true})
			policy := "--redrive-arn=" + b.QueueARN(b.dead)
			if isNamed {
				t.Setenv("RESCIND_DLQ_URL", b.dead)
				policy = "--dlq-url=" + b.dead
			}
			code, out, complaints := ran(t, "", "iam", "operator", policy)
			if code != exitDone {
				t.Fatalf("exit %d: %s", code, complaints)
			}
			p, err := iam.Parse([]byte(out))
			if err != nil {
				t.Fatal(err)
			}
			b.fill(25)
			t.Setenv("AWS_ACCESS_KEY_ID", "operator")
			b.asked(exitDone, "list")
			b.asked(exitDone, "send", "--id", "c-1")
			b.asked(exitDone, "purge", "--all", "--yes")
			b.holds(1, 0)
			var made []iam.Access
			for _, record := range b.History() {
				if record.Caller == "operator" {
					made = append(made, record.Accesses...)
				}
			}
			for _, a := range refusedBy(p, made) {
				t.Errorf("the policy does not allow %s on %s", a.Action, a.Resource)
			}
			for _, each := range notNeeded(p, made) {
				t.Errorf("the policy has more than is needed: %s on %s", each.Action, each.Resource)
			}
			p.Statement = append(p.Statement, iam.Statement{Effect: "Allow", Action: []string{"sqs:PurgeQueue"}, Resource: []string{b.QueueARN(b.dead)}})
			if more := notNeeded(p, made); len(more) != 1 || more[0].Action[0] != "sqs:PurgeQueue" {
				t.Errorf("with sqs:PurgeQueue, what is not needed is %v", more)
			}
		})
	}
}

// refusedBy are the accesses that a policy does not allow.
func refusedBy(p *iam.Policy, made []iam.Access) []iam.Access {
	return slices.DeleteFunc(slices.Clone(made), p.Allows)
}

// notNeeded are the pairs of an action and a resource without which a policy would allow as much of what was made.
func notNeeded(p *iam.Policy, made []iam.Access) (more []iam.Statement) {
	var pairs []iam.Statement
	for _, s := range p.Statement {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				pairs = append(pairs, iam.Statement{Effect: s.Effect, Action: []string{action}, Resource: []string{resource}, Condition: s.Condition})
			}
		}
	}
	for i, pair := range pairs {
		less := &iam.Policy{Statement: slices.Delete(slices.Clone(pairs), i, i+1)}
		if len(refusedBy(less, made)) == len(refusedBy(p, made)) {
			more = append(more, pair)
		}
	}
	return more
}
