package permissions

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxSize is how many characters a managed policy may have, white space not counted ("IAM and AWS STS quotas", IAM User
// Guide).
const MaxSize = 6144

// Document is a policy in the form that IAM takes.
type Document struct {
	Version   string
	Statement []Statement
}

// Statement is one statement of a policy.
type Statement struct {
	Sid       string
	Effect    string
	Principal map[string][]string `json:",omitempty"`
	Action    []string
	Resource  []string  `json:",omitempty"`
	Condition Condition `json:",omitempty"`
}

// Policy makes a document of rows: a statement for each feature and each set of its resources, in the order of their
// Sids. The same rows make the same document.
func Policy(rows []Row) Document {
	d := newDocument()
	at := map[string]int{} // statements by feature and resources
	of := map[string]int{} // how many statements a feature has
	for _, row := range rows {
		key := row.Feature + " " + strings.Join(row.Resources, " ")
		i, ok := at[key]
		if !ok {
			of[row.Feature]++
			sid := row.Feature
			if n := of[row.Feature]; n > 1 {
				sid += strconv.Itoa(n)
			}
			i = len(d.Statement)
			at[key] = i
			d.Statement = append(d.Statement, Statement{Sid: sid, Effect: effect(row), Resource: row.Resources, Condition: row.Condition})
		}
		d.Statement[i].Action = append(d.Statement[i].Action, row.Action)
	}
	for _, s := range d.Statement {
		slices.Sort(s.Action)
	}
	slices.SortFunc(d.Statement, func(a, b Statement) int { return cmp.Compare(a.Sid, b.Sid) })
	return d
}

func newDocument() Document { return Document{Version: "2012-10-17"} }

func effect(row Row) string {
	if row.Deny {
		return "Deny"
	}
	return "Allow"
}

// Trust is the trust policy of the role in other accounts: the worker's role may assume it, for sessions by the
// name that this deployment's have.
func Trust(d *Deployment, workerRole string) Document {
	trust := newDocument()
	trust.Statement = []Statement{{
		Sid: "WorkerAssumesRole", Effect: "Allow", Principal: map[string][]string{"AWS": {workerRole}}, Action: []string{"sts:AssumeRole"},
		Condition: Condition{"StringEquals": {"sts:RoleSessionName": {SessionName(d.Name)}}},
	}}
	return trust
}

// StateQueue is the policy of the state queue itself: EventBridge's rules send to it, and nobody else, whatever their own
// policies allow ("Using resource-based policies for Amazon EventBridge", Amazon EventBridge User Guide).
func StateQueue(d *Deployment, rules []string) Document {
	send, on := []string{"sqs:SendMessage"}, []string{d.StateQueueARN}
	policy := newDocument()
	policy.Statement = []Statement{
		// ArnNotEquals holds also for requests that have no aws:SourceArn: those of users and roles.
		{Sid: "NobodyElseSends", Effect: "Deny", Principal: map[string][]string{"AWS": {"*"}}, Action: send, Resource: on, Condition: Condition{"ArnNotEquals": {"aws:SourceArn": rules}}},
		{Sid: "RuleSends", Effect: "Allow", Principal: map[string][]string{"Service": {"events.amazonaws.com"}}, Action: send, Resource: on, Condition: Condition{"ArnEquals": {"aws:SourceArn": rules}}},
	}
	return policy
}

// SessionName is the name of a deployment's sessions in other accounts.
func SessionName(deployment string) string { return "rescind-" + deployment }

// Text is the document as IAM takes it, in lines.
func (d Document) Text() ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the policy: %w", err)
	}
	return append(text, '\n'), nil
}

// Size is how many characters of [MaxSize] the document has.
func (d Document) Size() (int, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return 0, fmt.Errorf("writing the policy: %w", err)
	}
	return len(text), nil // all are ASCII, and none is white space
}
