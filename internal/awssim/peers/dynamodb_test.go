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
	// ns is a set of numbers.
	ns []string
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
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}
	case nil:
		return &types.AttributeValueMemberNULL{Value: true}
	case []string:
		return &types.AttributeValueMemberSS{Value: v}
	case ns:
		return &types.AttributeValueMemberNS{Value: v}
	case []any:
		out := &types.AttributeValueMemberL{Value: []types.AttributeValue{}}
		for _, e := range v {
			out.Value = append(out.Value, value(e))
		}
		return out
	case map[string]any:
		return &types.AttributeValueMemberM{Value: item(v)}
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

// sameItem wants an item, in which the order of sets says nothing.
func (w *world) sameItem(what string, got, want attributes) {
	for _, all := range [...]attributes{got, want} {
		for _, v := range all {
			switch v := v.(type) {
			case *types.AttributeValueMemberSS:
				slices.Sort(v.Value)
			case *types.AttributeValueMemberNS:
				slices.Sort(v.Value)
			}
		}
	}
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		w.fail("%s is %s, want %s", what, told(got), told(want))
	}
}

// told writes an item for people.
func told(i attributes) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(i)) {
		parts = append(parts, name+"="+toldValue(i[name]))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

func toldValue(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberM:
		return told(v.Value)
	case *types.AttributeValueMemberL:
		var parts []string
		for _, e := range v.Value {
			parts = append(parts, toldValue(e))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	kind := strings.TrimPrefix(fmt.Sprintf("%T", v), "*types.AttributeValueMember")
	return fmt.Sprintf("%s %v", kind, reflect.ValueOf(v).Elem().Field(0))
}

// table makes a table of the key "pk", and "sk" where it is asked for, with an index "by-group"
// by "group" and "at", which is a number.
func (w *world) table(sorted bool) *string {
	in := &dynamodb.CreateTableInput{
		TableName: name(), BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: "S"}, {AttributeName: aws.String("group"), AttributeType: "S"}, {AttributeName: aws.String("at"), AttributeType: "N"},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String("by-group"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
			KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("group"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("at"), KeyType: types.KeyTypeRange}},
		}},
	}
	if sorted {
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange})
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String("sk"), AttributeType: "S"})
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
	"pk": "key", "s": "hello", "n": 5, "big": n("123456789012345678901234567890"), "b": []byte("bytes"), "yes": true, "nul": nil,
	"ss": []string{"a", "b"}, "ns": ns{"1", "2"}, "l": []any{"x", 2, []any{"deep"}}, "m": fields{"a": fields{"b": []any{"c", 7}}}, "status": "NEW",
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
		{"n = :v", fields{":v": n("5.00")}, holds},
		{"n = :v", fields{":v": "5"}, fails},
		{"n < :v", fields{":v": 10}, holds}, // as text, 10 comes before 5
		{"n > :v", fields{":v": -10}, holds},
		{"n >= :v", fields{":v": 5}, holds},
		{"n <= :v", fields{":v": n("4.999")}, fails},
		{"n < :v", fields{":v": "a"}, fails},
		{"big = :v", fields{":v": n("123456789012345678901234567891")}, fails},
		{"big > :v", fields{":v": n("123456789012345678901234567889")}, holds},
		{"n BETWEEN :a AND :b", fields{":a": 5, ":b": 6}, holds},
		{"n BETWEEN :a AND :b AND s = :v", fields{":a": 1, ":b": 2, ":v": "hello"}, fails},
		{"n BETWEEN :b AND :a", fields{":a": 5, ":b": 6}, refused},
		{"s IN (:a, :b)", fields{":a": "x", ":b": "hello"}, holds},
		{"s IN (:a)", fields{":a": "x"}, fails},
		{"#status = :v", fields{":v": "NEW"}, holds},
		{"status = :v", fields{":v": "NEW"}, refused}, // a reserved word
		{"attribute_exists(m.a.b[1])", nil, holds},
		{"attribute_exists(m.a.b[2])", nil, fails},
		{"attribute_not_exists(m.x.y)", nil, holds},
		{"attribute_not_exists(pk)", nil, fails},
		{"attribute_not_exists(:v)", fields{":v": "x"}, refused},
		{"attribute_type(nul, :t)", fields{":t": "NULL"}, holds},
		{"attribute_type(ss, :t)", fields{":t": "S"}, fails},
		{"attribute_type(s, :t)", fields{":t": "TEXT"}, refused},
		{"begins_with(s, :v)", fields{":v": "he"}, holds},
		{"begins_with(s, :v)", fields{":v": "lo"}, fails},
		{"begins_with(b, :v)", fields{":v": []byte("by")}, holds},
		{"begins_with(s, :v)", fields{":v": 1}, refused},
		{"contains(s, :v)", fields{":v": "ell"}, holds},
		{"contains(ss, :v)", fields{":v": "b"}, holds},
		{"contains(ss, :v)", fields{":v": "c"}, fails},
		{"contains(ns, :v)", fields{":v": n("2.0")}, holds},
		{"contains(l, :v)", fields{":v": 2}, holds},
		{"size(s) = :v", fields{":v": 5}, holds},
		{"size(l) > :v AND size(ss) = :w", fields{":v": 2, ":w": 2}, holds},
		{"size(n) = :v", fields{":v": 1}, fails},
		{"ss = :v", fields{":v": []string{"b", "a"}}, holds},
		{"l[2][0] = :v", fields{":v": "deep"}, holds},
		{"m.a = :v", fields{":v": fields{"b": []any{"c", 7}}}, holds},
		{"s = :a OR s = :b AND n = :c", fields{":a": "hello", ":b": "x", ":c": 0}, holds}, // AND binds more
		{"(s = :a OR s = :b) AND n = :c", fields{":a": "hello", ":b": "x", ":c": 0}, fails},
		{"NOT s = :a AND n = :c", fields{":a": "x", ":c": 5}, holds},
		{"NOT (s = :a AND n = :c)", fields{":a": "hello", ":c": 5}, fails},
		{"not attribute_exists(q) and s = :a", fields{":a": "hello"}, holds},
		{"yes = :v and nul = :w", fields{":v": true, ":w": nil}, holds},
		{"yes < :v", fields{":v": true}, refused},
		{"((s = :v))", fields{":v": "hello"}, refused},
		{"s = :v", fields{":v": "hello", ":unused": 1}, refused},
		{"s = :undefined", fields{":v": "hello"}, refused},
		{"#s = :v AND #other = :v", fields{":v": "hello"}, fails},
		{"s = ", nil, refused},
		{"s = :v extra", fields{":v": "x"}, refused},
		{"nofunction(s)", nil, refused},
		{" ", nil, refused},
	} {
		out = append(out, test{"condition " + row.condition + " " + told(item(row.values)), "Condition and filter expressions", func(w *world) {
			table := w.table(false)
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
		{"SET n = n + :v", fields{":v": n("0.5")}, fields{"n": n("5.5")}},
		{"SET n = n - :v", fields{":v": 7}, fields{"n": -2}},
		{"SET big = big + :v", fields{":v": 1}, fields{"big": n("123456789012345678901234567891")}},
		{"SET n = s + :v", fields{":v": 7}, nil},
		{"SET n = absent + :v", fields{":v": 7}, nil},
		{"SET n = n + :v", fields{":v": "7"}, nil},
		{"SET q = if_not_exists(q, :v)", fields{":v": "first"}, fields{"q": "first"}},
		{"SET s = if_not_exists(s, :v)", fields{":v": "first"}, fields{}},
		{"SET q = if_not_exists(q, :z) + :v", fields{":v": 1, ":z": 10}, fields{"q": 11}},
		{"SET l = list_append(l, :v)", fields{":v": []any{"end"}}, fields{"l": []any{"x", 2, []any{"deep"}, "end"}}},
		{"SET l = list_append(:v, l)", fields{":v": []any{"end"}}, fields{"l": []any{"end", "x", 2, []any{"deep"}}}},
		{"SET l = list_append(l, :v)", fields{":v": "end"}, nil},
		{"SET l[1] = :v", fields{":v": "two"}, fields{"l": []any{"x", "two", []any{"deep"}}}},
		{"SET l[9] = :v", fields{":v": "end"}, fields{"l": []any{"x", 2, []any{"deep"}, "end"}}},
		{"SET m.a.b[0] = :v, m.fresh = :v", fields{":v": "set"}, fields{"m": fields{"a": fields{"b": []any{"set", 7}}, "fresh": "set"}}},
		{"SET absent.a = :v", fields{":v": "set"}, nil},
		{"SET s.a = :v", fields{":v": "set"}, nil},
		{"SET m.a = :v, m.a.b = :v", fields{":v": "set"}, nil}, // overlap
		{"SET s = :v, s = :v", fields{":v": "set"}, nil},
		{"SET pk = :v", fields{":v": "other"}, nil},
		{"SET #status = :v", fields{":v": "OLD"}, fields{"status": "OLD"}},
		{"SET status = :v", fields{":v": "OLD"}, nil},
		{"REMOVE s, m.a.b, q", nil, fields{"s": gone{}, "m": fields{"a": fields{}}}},
		{"REMOVE l[0], l[2]", nil, fields{"l": []any{2}}},
		{"REMOVE l[7]", nil, fields{}},
		{"ADD n :v", fields{":v": 3}, fields{"n": 8}},
		{"ADD q :v", fields{":v": 3}, fields{"q": 3}},
		{"ADD ss :v", fields{":v": []string{"b", "c"}}, fields{"ss": []string{"a", "b", "c"}}},
		{"ADD q :v", fields{":v": []string{"b"}}, fields{"q": []string{"b"}}},
		{"ADD s :v", fields{":v": 3}, nil},
		{"ADD n :v", fields{":v": "3"}, nil},
		{"DELETE ss :v", fields{":v": []string{"a", "z"}}, fields{"ss": []string{"b"}}},
		{"DELETE ss :v", fields{":v": []string{"a", "b"}}, fields{"ss": gone{}}},
		{"DELETE q :v", fields{":v": []string{"a"}}, fields{}},
		{"DELETE ss :v", fields{":v": "a"}, nil},
		{"SET s = :v REMOVE n ADD q :one DELETE ns :set", fields{":v": "new", ":one": 1, ":set": ns{"1"}}, fields{"s": "new", "n": gone{}, "q": 1, "ns": ns{"2"}}},
		{"SET s = :v SET n = :v", fields{":v": "new"}, nil},
		{"SET s = :v,", fields{":v": "new"}, nil},
		{"SET s :v", fields{":v": "new"}, nil},
		{"SET s = :v", fields{":v": "new", ":w": "unused"}, nil},
		{"s = :v", fields{":v": "new"}, nil},
	} {
		out = append(out, test{"update " + row.update + " " + told(item(row.values)), "Update expressions", func(w *world) {
			table := w.table(false)
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
