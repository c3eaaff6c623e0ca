package peers_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

type (
	attributes = map[string]types.AttributeValue
	// n is a number as text.
	n string
)

// value is an attribute value of one of Go's own types.
func value(v any) types.AttributeValue {
	switch v := v.(type) {
	case string:
		return &types.AttributeValueMemberS{Value: v}
	case int:
		return &types.AttributeValueMemberN{Value: strconv.Itoa(v)}
	case n:
		return &types.AttributeValueMemberN{Value: string(v)}
	case []byte:
		return &types.AttributeValueMemberB{Value: v}
	case []any:
		out := &types.AttributeValueMemberL{Value: []types.AttributeValue{}}
		for _, e := range v {
			out.Value = append(out.Value, value(e))
		}
		return out
	}
	panic(fmt.Sprintf("%T is no attribute value", v))
}

type fields = map[string]any

func item(v fields) attributes {
	if v == nil {
		return nil
	}
	out := attributes{}
	for name, e := range v {
		out[name] = value(e)
	}
	return out
}

// sameItem wants an item.
func (w *world) sameItem(what string, got, want attributes) {
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		w.fail("%s is %s, want %s", what, readable(got), readable(want))
	}
}

// readable writes an item for people.
func readable(i attributes) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(i)) {
		parts = append(parts, name+"="+textOf(i[name]))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

func textOf(v types.AttributeValue) string {
	if v, ok := v.(*types.AttributeValueMemberL); ok {
		var parts []string
		for _, e := range v.Value {
			parts = append(parts, textOf(e))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	kind := strings.TrimPrefix(fmt.Sprintf("%T", v), "*types.AttributeValueMember")
	return fmt.Sprintf("%s %v", kind, reflect.ValueOf(v).Elem().Field(0))
}

// table makes a table of the key "pk" with an index "by-group" by "group", which holds keys alone.
func (w *world) table() *string { return w.tableNamed(*name()) }

func (w *world) tableNamed(name string) *string {
	key := func(name string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &name, KeyType: types.KeyTypeHash}}
	}
	in := &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: key("pk"),
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: "S"}, {AttributeName: aws.String("group"), AttributeType: "S"}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String("by-group"), KeySchema: key("group"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	}
	_, err := w.dynamodb.CreateTable(w.ctx, in)
	w.must(err)
	return in.TableName
}

func (w *world) put(table *string, items ...fields) {
	for _, i := range items {
		_, err := w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(i)})
		w.must(err)
	}
}

func (w *world) get(table *string, key fields) attributes {
	out, err := w.dynamodb.GetItem(w.ctx, &dynamodb.GetItemInput{TableName: table, Key: item(key), ConsistentRead: aws.Bool(true)})
	w.must(err)
	return out.Item
}

// placeholders are those names of an expression that begin with #, each standing for itself.
func placeholders(expressions ...string) map[string]string {
	var names map[string]string
	for _, expression := range expressions {
		for _, word := range strings.FieldsFunc(expression, func(r rune) bool { return strings.ContainsRune(" ,.()[]=<>", r) }) {
			if after, is := strings.CutPrefix(word, "#"); is {
				if names == nil {
					names = map[string]string{}
				}
				names[word] = after
			}
		}
	}
	return names
}

// sample is the item on which conditions and updates are tried.
var sample = fields{
	"pk": "key", "s": "hello", "n": 5, "big": n("123456789012345678901234567890"), "b": []byte("bytes"), "l": []any{"x", 2, []byte("y")}, "status": "NEW",
}

const (
	holds   = ""
	fails   = "ConditionalCheckFailedException"
	refused = "ValidationException"
)

// conditionCases are tried on the sample item ("Condition and filter expressions, operators, and functions").
func conditionCases() []test {
	var out []test
	for _, row := range []struct {
		condition string
		values    fields
		want      string
	}{
		{"s = :v", fields{":v": "hello"}, holds},
		{"s = :v", fields{":v": "other"}, fails},
		{"s <> :v", fields{":v": "other"}, holds},
		{"absent <> :v", fields{":v": "other"}, holds},
		{"absent = :v", fields{":v": "other"}, fails},
		{"absent < :v", fields{":v": "other"}, fails},
		{"n = :v", fields{":v": 5}, holds},
		{"n = :v", fields{":v": "5"}, fails},
		{"n < :v", fields{":v": 10}, holds}, // as text, 10 comes before 5
		{"n > :v", fields{":v": -10}, holds},
		{"n >= :v", fields{":v": 5}, holds},
		{"n <= :v", fields{":v": 4}, fails},
		{"n < :v", fields{":v": "a"}, fails},
		{"s < :v", fields{":v": "hello!"}, holds},
		{"s > :v", fields{":v": "hellO"}, holds},
		{"b >= :v", fields{":v": []byte("bytes")}, holds},
		{"b = :v", fields{":v": "bytes"}, fails},
		{":v = s", fields{":v": "hello"}, holds},
		{"big = :v", fields{":v": n("123456789012345678901234567891")}, fails},
		{"big > :v", fields{":v": n("123456789012345678901234567889")}, holds},
		{"l = :v", fields{":v": []any{"x", 2, []byte("y")}}, holds},
		{"l = :v", fields{":v": []any{"x", 2}}, fails},
		{"#status = :v", fields{":v": "NEW"}, holds},
		{"status = :v", fields{":v": "NEW"}, refused}, // a reserved word
		{"attribute_exists(l)", nil, holds},
		{"attribute_exists(absent)", nil, fails},
		{"attribute_not_exists(absent)", nil, holds},
		{"attribute_not_exists(pk)", nil, fails},
		{"attribute_not_exists(#status)", nil, fails},
		{"attribute_not_exists(:v)", fields{":v": "x"}, refused},
		{"attribute_exists(s, n)", nil, refused},
		{"s = :a OR s = :b AND n = :c", fields{":a": "hello", ":b": "x", ":c": 0}, holds}, // AND binds more
		{"(s = :a OR s = :b) AND n = :c", fields{":a": "hello", ":b": "x", ":c": 0}, fails},
		{"NOT s = :a AND n = :c", fields{":a": "x", ":c": 5}, holds},
		{"NOT (s = :a AND n = :c)", fields{":a": "hello", ":c": 5}, fails},
		{"not attribute_exists(q) and s = :a", fields{":a": "hello"}, holds},
		{"attribute_not_exists(pk) OR s = :a", fields{":a": "hello"}, holds}, // as a claim has it
		{"n = :c AND s = :a AND #status < :b", fields{":a": "hello", ":b": "NEWER", ":c": 5}, holds},
		{"l < :v", fields{":v": []any{"x"}}, refused},
		{"((s = :v))", fields{":v": "hello"}, refused},
		{"((s = :v) AND n = :n)", fields{":v": "hello", ":n": 5}, holds},
		{"s = :v", fields{":v": "hello", ":unused": 1}, refused},
		{"s = :undefined", fields{":v": "hello"}, refused},
		{"#s = :v AND #other = :v", fields{":v": "hello"}, fails},
		{"s = ", nil, refused},
		{"s = :v extra", fields{":v": "x"}, refused},
		{"s = :v AND", fields{":v": "x"}, refused},
		{"(s = :v", fields{":v": "x"}, refused},
		{"nofunction(s)", nil, refused},
		{"if_not_exists(s, n)", nil, refused},
		{" ", nil, refused},
	} {
		out = append(out, test{"condition " + row.condition + " " + readable(item(row.values)), "Condition and filter expressions", func(w *world) {
			table := w.table()
			w.put(table, sample)
			_, err := w.dynamodb.DeleteItem(w.ctx, &dynamodb.DeleteItemInput{
				TableName: table, Key: item(fields{"pk": "key"}), ConditionExpression: &row.condition,
				ExpressionAttributeNames: placeholders(row.condition), ExpressionAttributeValues: item(row.values),
			})
			w.refused(err, row.want)
			same(w, "what is left", len(w.get(table, fields{"pk": "key"})) > 0, row.want != holds)
		}})
	}
	return out
}

// updateCases are tried on the sample item ("Update expressions"); made is what changes, with
// gone for what goes.
func updateCases() []test {
	type gone struct{}
	var out []test
	for _, row := range []struct {
		update string
		values fields
		made   fields // nil: refused
	}{
		{"SET s = :v", fields{":v": "new"}, fields{"s": "new"}},
		{"SET s = n, n = s", nil, fields{"s": 5, "n": "hello"}}, // both as they were
		{"SET n = n + :v", fields{":v": 7}, fields{"n": 12}},
		{"SET n = n - :v", fields{":v": 7}, fields{"n": -2}},
		{"SET n = :v + n", fields{":v": -5}, fields{"n": 0}},
		{"SET big = big + :v", fields{":v": 1}, fields{"big": n("123456789012345678901234567891")}},
		{"SET n = s + :v", fields{":v": 7}, nil},
		{"SET n = absent + :v", fields{":v": 7}, nil},
		{"SET n = n + :v", fields{":v": "7"}, nil},
		{"SET q = absent", nil, nil},
		{"SET q = if_not_exists(q, :v)", fields{":v": "first"}, fields{"q": "first"}},
		{"SET q = if_not_exists(q, s)", nil, fields{"q": "hello"}},
		{"SET s = if_not_exists(s, :v)", fields{":v": "first"}, fields{}},
		{"SET q = if_not_exists(q, :z) + :v", fields{":v": 1, ":z": 10}, fields{"q": 11}},
		{"SET n = if_not_exists(n, :z) + :v", fields{":v": 1, ":z": 10}, fields{"n": 6}}, // a counter
		{"SET l = :v", fields{":v": []any{"two"}}, fields{"l": []any{"two"}}},
		{"SET s = :v, s = :v", fields{":v": "set"}, nil},
		{"SET s = :v REMOVE s", fields{":v": "set"}, nil},
		{"SET pk = :v", fields{":v": "other"}, nil},
		{"REMOVE pk", nil, nil},
		{"SET #status = :v", fields{":v": "OLD"}, fields{"status": "OLD"}},
		{"SET status = :v", fields{":v": "OLD"}, nil},
		{"REMOVE s, l, q", nil, fields{"s": gone{}, "l": gone{}}},
		{"ADD n :v", fields{":v": 3}, fields{"n": 8}},
		{"ADD n :v, q :w", fields{":v": -6, ":w": 3}, fields{"n": -1, "q": 3}},
		{"ADD s :v", fields{":v": 3}, nil},
		{"ADD n :v", fields{":v": "3"}, nil},
		{"ADD n n", nil, nil},
		{"set s = :v remove n add q :one", fields{":v": "new", ":one": 1}, fields{"s": "new", "n": gone{}, "q": 1}},
		{"SET s = :v SET n = :v", fields{":v": "new"}, nil},
		{"SET s = :v,", fields{":v": "new"}, nil},
		{"SET s :v", fields{":v": "new"}, nil},
		{"SET s = :v", fields{":v": "new", ":w": "unused"}, nil},
		{"s = :v", fields{":v": "new"}, nil},
	} {
		out = append(out, test{"update " + row.update + " " + readable(item(row.values)), "Update expressions", func(w *world) {
			table := w.table()
			w.put(table, sample)
			got, err := w.dynamodb.UpdateItem(w.ctx, &dynamodb.UpdateItemInput{
				TableName: table, Key: item(fields{"pk": "key"}), UpdateExpression: &row.update, ReturnValues: types.ReturnValueAllNew,
				ExpressionAttributeNames: placeholders(row.update), ExpressionAttributeValues: item(row.values),
			})
			want := maps.Clone(sample)
			if row.made == nil {
				w.refused(err, refused)
			} else {
				w.must(err)
			}
			for name, v := range row.made {
				if want[name] = v; v == (any)(gone{}) {
					delete(want, name)
				}
			}
			w.sameItem("what is stored", w.get(table, fields{"pk": "key"}), item(want))
			if row.made != nil {
				w.sameItem("what is returned", got.Attributes, item(want))
			}
		}})
	}
	return out
}

// reasons returns why a transaction of so many actions was cancelled.
func (w *world) reasons(err error, actions int) []types.CancellationReason {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		w.fail("got %v, want TransactionCanceledException", err)
	}
	same(w, "the number of reasons", len(cancelled.CancellationReasons), actions)
	return cancelled.CancellationReasons
}
