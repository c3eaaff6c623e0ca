package iam

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Access is one permission that a request needs.
type Access struct {
	Action   string // "batch:CancelJob"
	Resource string // an ARN; "*" where AWS checks none, or it is not known here
	// Context are the condition keys that are known of the request, by name.
	Context map[string][]string
}

// Of returns the permissions that a request needs, all of them, in an order of their own; none where AWS asks for none.
func Of(c *service.Call, r *service.Request) []Access {
	q := &request{call: c, wire: r}
	name := c.Service + ":" + c.Operation
	if of, ok := special[name]; ok {
		return of(q)
	}
	act, ok := rules[name]
	if !ok {
		return []Access{{Action: name, Resource: "*"}}
	}
	var all []Access
	for _, resource := range act.on(q) {
		all = append(all, Access{Action: act.action, Resource: resource})
	}
	return all
}

// request is one request, whose parameters are read as the rules ask for them.
type request struct {
	call *service.Call
	wire *service.Request
	body map[string]any
}

// parameters is the request's JSON body; empty where it has none that can be read.
func (q *request) parameters() map[string]any {
	if q.body == nil {
		q.body = map[string]any{}
		_ = json.Unmarshal(q.wire.Body, &q.body)
	}
	return q.body
}

func (q *request) text(name string) string { return text(q.parameters()[name]) }

func (q *request) texts(name string) (all []string) {
	list, _ := q.parameters()[name].([]any)
	for _, each := range list {
		all = append(all, text(each))
	}
	return all
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// arn is that of a resource in the request's account and region.
func (q *request) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + q.call.Region + ":" + q.call.Account + ":" + resource
}

// queue is the queue that a request's URL names; its account is the URL's.
func (q *request) queue() []string {
	parts := strings.Split(strings.TrimRight(q.text("QueueUrl"), "/"), "/")
	if len(parts) < 2 {
		return []string{"*"}
	}
	return []string{"arn:aws:sqs:" + q.call.Region + ":" + parts[len(parts)-2] + ":" + parts[len(parts)-1]}
}

func (q *request) queueNamed() []string { return []string{q.arn("sqs", q.text("QueueName"))} }

func (q *request) topic() []string { return []string{q.wire.Form.Text("TopicArn")} }

// jobs are Batch jobs, by id or by ARN.
func (q *request) jobs(name string) func() []string {
	return func() (all []string) {
		ids := q.texts(name)
		if one := q.text(name); one != "" {
			ids = []string{one}
		}
		for _, id := range ids {
			if !strings.HasPrefix(id, "arn:") {
				id = q.arn("batch", "job/"+id)
			}
			all = append(all, id)
		}
		return all
	}
}

func (q *request) item(key any) []string {
	fields, _ := key.(map[string]any)
	if len(fields) != 1 {
		return nil // the partition key is not known apart from the sort key
	}
	for _, v := range fields {
		typed, _ := v.(map[string]any)
		return []string{text(typed["S"])}
	}
	return nil
}

// table is an access to a table; keys are the partition keys of its items, where they are known.
func (q *request) table(operation, name string, keys []string) Access {
	a := Access{Action: "dynamodb:" + operation, Resource: q.arn("dynamodb", "table/"+name)}
	if len(keys) > 0 {
		a.Context = map[string][]string{"dynamodb:LeadingKeys": keys}
	}
	return a
}

// tables are the accesses of a batch, by the tables that it names.
func (q *request) tables(operation string) (all []Access) {
	asked, _ := q.parameters()["RequestItems"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		var keys []string
		if of, ok := asked[name].(map[string]any); ok {
			list, _ := of["Keys"].([]any)
			for _, key := range list {
				keys = append(keys, q.item(key)...)
			}
		}
		all = append(all, q.table(operation, name, keys))
	}
	return all
}
