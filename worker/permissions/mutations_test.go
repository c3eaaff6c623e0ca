package permissions_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/rescindhq/rescind/internal/awssim/iam"
	"github.com/rescindhq/rescind/worker/ledger"
	"github.com/rescindhq/rescind/worker/ledger/dynamo"
	"github.com/rescindhq/rescind/worker/permissions"
)

// TestThePolicyTestCanFail removes each permission of a worker and of the role in other accounts in turn, each resource
// of it, and adds some that nothing needs: each time the test of policies names what is wrong.
func TestThePolicyTestCanFail(t *testing.T) {
	some := registered(every)
	o := options{states: true}
	d := deployment(o, some)
	for role, made := range map[permissions.Role][]iam.Access{
		permissions.Worker: slices.Concat(engine(t, o), needs(t, some, own)), permissions.Target: needs(t, some, other),
	} {
		rows := rowsOf(t, role, d)
		if found := faults(t, rows, made); len(found) > 0 {
			t.Fatalf("%s: %v", role, found)
		}
		removed := 0
		for i, row := range rows {
			for n, resource := range row.Resources {
				less := slices.Clone(rows)
				less[i].Resources = slices.Delete(slices.Clone(row.Resources), n, n+1)
				if len(less[i].Resources) == 0 {
					less = slices.Delete(less, i, i+1)
				}
				removed++
				if found := strings.Join(faults(t, less, made), "\n"); !strings.Contains(found, "missing: "+row.Action+" on ") {
					t.Errorf("%s: without %s on %s of %s the test says %q", role, row.Action, resource, row.Feature, found)
				}
			}
		}
		if removed < 15 {
			t.Errorf("%s: only %d permissions were removed", role, removed)
		}
		for _, extra := range []permissions.Row{
			{Feature: "Extra", Action: "batch:SubmitJob", Resources: []string{"*"}},
			{Feature: "Extra", Action: "sqs:PurgeQueue", Resources: []string{queueARN}},
			{Feature: "Extra", Action: "dynamodb:DeleteItem", Resources: []string{tableARN}},
			{Feature: "Extra", Action: "sqs:ReceiveMessage", Resources: []string{queueARN + "-dlq"}}, // the worker never does
			{Feature: "Extra", Action: "batch:CancelJob", Resources: []string{"*"}},                  // wider than what is there
		} {
			if found := strings.Join(faults(t, append(slices.Clone(rows), extra), made), "\n"); !strings.Contains(found, "not needed: ") || !strings.Contains(found, extra.Action) {
				t.Errorf("%s: with %s on %s the test says %q", role, extra.Action, extra.Resources[0], found)
			}
		}
	}
}

// TestWhoReadsOutcomesDoesNotReadTheDeploymentsKey: an auditor's policy is what looking up commands needs, by id, by
// campaign and by target; it, and a sender's, does not let the deployment's key be read.
func TestWhoReadsOutcomesDoesNotReadTheDeploymentsKey(t *testing.T) {
	var looked, stolen []iam.Access
	run(t, options{}, func(r *rig) {
		cfg := r.sim.Config()
		cfg.Credentials = r.sim.Credentials("auditor")
		records, err := dynamo.Open(r.Context(), cfg, table, dynamo.Options{})
		r.must(err)
		none := func(ledger.Record) bool { return true }
		r.settle(`{"id":"one","action":"batch:CancelJob","campaign":"c","parameters":{"jobId":"job"}}`)
		_, err = records.Ended(r.Context(), "one")
		r.must(err)
		r.must(records.ByCampaign(r.Context(), "c", none))
		r.must(records.ByTarget(r.Context(), "job", none))
		r.must(records.Close())
		looked = asked(r)
		key := map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "/deployment-key"}}
		out, err := dynamodb.NewFromConfig(cfg).BatchGetItem(r.Context(), &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{table: {Keys: []map[string]types.AttributeValue{key}}},
		})
		r.must(err)
		if len(out.Responses[table]) != 1 {
			t.Errorf("the deployment's key is not where the policy says: %v", out.Responses)
		}
		stolen = asked(r)[len(looked):]
	})
	d := deployment(options{}, nil)
	rows := rowsOf(t, permissions.Auditor, d)
	hold(t, "auditor", rows, looked)
	for _, role := range []permissions.Role{permissions.Auditor, permissions.Sender} {
		p := policyOf(t, rowsOf(t, role, d))
		for _, a := range stolen {
			if p.Allows(a) {
				t.Errorf("the policy of the %s allows %+v", role, a)
			}
		}
	}
	if len(stolen) == 0 || !policyOf(t, rowsOf(t, permissions.Worker, d)).Allows(stolen[0]) {
		t.Errorf("reading the deployment's key needs %+v, which a worker may not", stolen)
	}
}

// asked are the permissions that the auditor's requests needed.
func asked(r *rig) (all []iam.Access) {
	for _, record := range r.sim.History() {
		if record.Caller == "auditor" {
			all = append(all, record.Accesses...)
		}
	}
	return all
}
