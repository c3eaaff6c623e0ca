package peers_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func putAction(table *string, i fields, condition string) types.TransactWriteItem {
	out := &types.Put{TableName: table, Item: item(i), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}
	if condition != "" {
		out.ConditionExpression = &condition
	}
	return types.TransactWriteItem{Put: out}
}

func (w *world) transact(token string, actions ...types.TransactWriteItem) error {
	in := &dynamodb.TransactWriteItemsInput{TransactItems: actions}
	if token != "" {
		in.ClientRequestToken = &token
	}
	_, err := w.dynamodb.TransactWriteItems(w.ctx, in)
	return err
}

// spread puts in 30 items of three groups, and one of none.
func (w *world) spread() *string {
	table := w.table()
	for i := range 30 {
		w.put(table, fields{"pk": fmt.Sprintf("s%02d", i), "group": fmt.Sprintf("g%d", i%3), "n": i})
	}
	w.put(table, fields{"pk": "other"})
	return table
}

// walk asks for all pages of a query, and returns the keys that it gave, sorted: an index without a
// sort key has no order.
func (w *world) walk(in *dynamodb.QueryInput) (keys string, pages int) {
	var got []string
	for {
		out, err := w.dynamodb.Query(w.ctx, in)
		w.must(err)
		pages++
		same(w, "Count", int(out.Count), len(out.Items))
		for _, i := range out.Items {
			got = append(got, i["pk"].(*types.AttributeValueMemberS).Value)
			same(w, "the number of attributes", len(i), 2) // keys alone
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; out.LastEvaluatedKey == nil {
			slices.Sort(got)
			return strings.Join(got, " "), pages
		}
	}
}

// queryCases are asked of what spread puts in ("Key condition expressions for the Query operation").
func queryCases() []test {
	var out []test
	for _, row := range []struct {
		index, condition string
		values           fields
		limit            int32
		want             string // "refused", or the keys
		pages            int
	}{
		{condition: "#group = :g", values: fields{":g": "g1"}, want: "s01 s04 s07 s10 s13 s16 s19 s22 s25 s28", pages: 1},
		{condition: "#group = :g", limit: 3, values: fields{":g": "g2"}, want: "s02 s05 s08 s11 s14 s17 s20 s23 s26 s29", pages: 4},
		{condition: "#group = :g", limit: 5, values: fields{":g": "g0"}, want: "s00 s03 s06 s09 s12 s15 s18 s21 s24 s27", pages: 3},
		{condition: "#group = :g", values: fields{":g": "nobody"}, want: "", pages: 1},
		{condition: "#group > :g", values: fields{":g": "g"}, want: "refused"},
		{condition: "#group <> :g", values: fields{":g": "g"}, want: "refused"},
		{condition: "pk = :p", values: fields{":p": "s01"}, want: "refused"},
		{condition: "attribute_exists(#group)", want: "refused"},
		{condition: "#group = :g OR pk = :p", values: fields{":g": "g", ":p": "s01"}, want: "refused"},
		{condition: "#group = :g", values: fields{":g": 1}, want: "refused"},
		{index: "nobody", condition: "pk = :p", values: fields{":p": "p"}, want: "refused"},
	} {
		title := fmt.Sprintf("query %s %s limit %d %s", row.index, row.condition, row.limit, readable(item(row.values)))
		out = append(out, test{title, "API_Query", func(w *world) {
			in := &dynamodb.QueryInput{
				TableName: w.spread(), IndexName: aws.String(cmp.Or(row.index, "by-group")), KeyConditionExpression: &row.condition,
				ExpressionAttributeNames: placeholders(row.condition), ExpressionAttributeValues: item(row.values),
			}
			if row.limit != 0 {
				in.Limit = &row.limit
			}
			if row.want == "refused" {
				_, err := w.dynamodb.Query(w.ctx, in)
				w.refused(err, refused)
				return
			}
			got, pages := w.walk(in)
			same(w, "what was found", got, row.want)
			same(w, "the number of pages", pages, row.pages)
		}})
	}
	return out
}

var dynamoCases = []test{
	{"a table is made once", "API_CreateTable", func(w *world) {
		table := w.table()
		_, err := w.dynamodb.CreateTable(w.ctx, &dynamodb.CreateTableInput{
			TableName: table, BillingMode: types.BillingModePayPerRequest,
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: "S"}},
		})
		w.refused(err, "ResourceInUseException")
		out, err := w.dynamodb.DescribeTable(w.ctx, &dynamodb.DescribeTableInput{TableName: table})
		w.must(err)
		same(w, "TableStatus", out.Table.TableStatus, types.TableStatusActive)
		same(w, "the index's status", out.Table.GlobalSecondaryIndexes[0].IndexStatus, types.IndexStatusActive)
		_, err = w.dynamodb.DescribeTable(w.ctx, &dynamodb.DescribeTableInput{TableName: name()})
		w.refused(err, "ResourceNotFoundException")
	}},
	{"a table that is not there", "API_GetItem", func(w *world) {
		_, err := w.dynamodb.GetItem(w.ctx, &dynamodb.GetItemInput{TableName: name(), Key: item(fields{"pk": "x"})})
		w.refused(err, "ResourceNotFoundException")
	}},
	{"time to live is set once", "API_UpdateTimeToLive", func(w *world) {
		table := w.table()
		set := &dynamodb.UpdateTimeToLiveInput{TableName: table, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ends"), Enabled: aws.Bool(true)}}
		_, err := w.dynamodb.UpdateTimeToLive(w.ctx, set)
		w.must(err)
		out, err := w.dynamodb.DescribeTimeToLive(w.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: table})
		w.must(err)
		same(w, "AttributeName", aws.ToString(out.TimeToLiveDescription.AttributeName), "ends")
		_, err = w.dynamodb.UpdateTimeToLive(w.ctx, set)
		w.refused(err, refused)
	}},
	{"every kind of value is stored", "API_AttributeValue", func(w *world) {
		table := w.table()
		w.put(table, sample)
		w.sameItem("the item", w.get(table, fields{"pk": "key"}), item(sample))
		w.sameItem("what is not there", w.get(table, fields{"pk": "none"}), nil)
	}},
	{"numbers lose their zeros", "Supported data types", func(w *world) {
		table := w.table()
		w.put(table, fields{"pk": "k", "a": n("+15"), "b": n("007"), "c": n("-0"), "d": n("-0100")})
		w.sameItem("the item", w.get(table, fields{"pk": "k"}), item(fields{"pk": "k", "a": n("15"), "b": n("7"), "c": n("0"), "d": n("-100")}))
	}},
	{"numbers that are none or too long", "Supported data types", func(w *world) {
		table := w.table()
		for _, bad := range []n{"x", "", "-", "--1", "1 ", "1234567890123456789012345678901234567891"} {
			_, err := w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(fields{"pk": "k", "n": bad})})
			if codeOf(err) != refused {
				w.fail("%q: %v, want ValidationException", bad, err)
			}
		}
	}},
	{"an item of 400 KB", "Quotas", func(w *world) {
		table := w.table()
		w.put(table, fields{"pk": "k", "v": strings.Repeat("x", 400<<10-4)})
		_, err := w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(fields{"pk": "k", "v": strings.Repeat("x", 400<<10-3)})})
		w.refused(err, refused)
	}},
	{"keys that are none", "API_PutItem", func(w *world) {
		table := w.table()
		for _, bad := range []fields{{"x": "y"}, {"pk": 1}, {"pk": ""}, {"pk": "k", "group": 1}} {
			_, err := w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(bad)})
			if codeOf(err) != refused {
				w.fail("%v: %v, want ValidationException", bad, err)
			}
		}
		for _, bad := range []fields{{"x": "y"}, {"pk": 1}, {"pk": "k", "x": "y"}} {
			_, err := w.dynamodb.GetItem(w.ctx, &dynamodb.GetItemInput{TableName: table, Key: item(bad)})
			if codeOf(err) != refused {
				w.fail("%v: %v, want ValidationException", bad, err)
			}
		}
	}},
	{"a failed condition shows the item", "API_PutItem", func(w *world) {
		table := w.table()
		w.put(table, sample)
		in := &dynamodb.PutItemInput{TableName: table, Item: item(fields{"pk": "key"}), ConditionExpression: aws.String("attribute_not_exists(pk)")}
		for _, show := range []types.ReturnValuesOnConditionCheckFailure{"NONE", "ALL_OLD"} {
			in.ReturnValuesOnConditionCheckFailure = show
			_, err := w.dynamodb.PutItem(w.ctx, in)
			var failed *types.ConditionalCheckFailedException
			if !errors.As(err, &failed) {
				w.fail("got %v, want ConditionalCheckFailedException", err)
			}
			if show == "NONE" {
				w.sameItem("the item", failed.Item, nil)
			} else {
				w.sameItem("the item", failed.Item, item(sample))
			}
		}
	}},
	{"what a write returns", "API_UpdateItem", func(w *world) {
		table := w.table()
		set := func(values types.ReturnValue) attributes {
			w.put(table, fields{"pk": "k", "a": 1, "b": 2})
			out, err := w.dynamodb.UpdateItem(w.ctx, &dynamodb.UpdateItemInput{
				TableName: table, Key: item(fields{"pk": "k"}), UpdateExpression: aws.String("SET a = a + :one, c = :one"),
				ExpressionAttributeValues: item(fields{":one": 1}), ReturnValues: values,
			})
			w.must(err)
			return out.Attributes
		}
		w.sameItem("NONE", set("NONE"), nil)
		w.sameItem("ALL_OLD", set("ALL_OLD"), item(fields{"pk": "k", "a": 1, "b": 2}))
		w.sameItem("ALL_NEW", set("ALL_NEW"), item(fields{"pk": "k", "a": 2, "b": 2, "c": 1}))
		out, err := w.dynamodb.DeleteItem(w.ctx, &dynamodb.DeleteItemInput{TableName: table, Key: item(fields{"pk": "k"}), ReturnValues: "ALL_OLD"})
		w.must(err)
		w.sameItem("of a removal, ALL_OLD", out.Attributes, item(fields{"pk": "k", "a": 2, "b": 2, "c": 1}))
		_, err = w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(fields{"pk": "k"}), ReturnValues: "ALL_NEW"})
		w.refused(err, refused)
	}},
	{"an update makes what is not there", "API_UpdateItem", func(w *world) {
		table := w.table()
		_, err := w.dynamodb.UpdateItem(w.ctx, &dynamodb.UpdateItemInput{
			TableName: table, Key: item(fields{"pk": "k"}), UpdateExpression: aws.String("SET a = :v"), ExpressionAttributeValues: item(fields{":v": 1}),
		})
		w.must(err)
		w.sameItem("the item", w.get(table, fields{"pk": "k"}), item(fields{"pk": "k", "a": 1}))
	}},
	{"keys of 2,048 bytes", "Quotas", func(w *world) {
		table, most := w.table(), strings.Repeat("k", 2048)
		w.put(table, fields{"pk": most, "group": most})
		for _, bad := range []fields{{"pk": most + "k"}, {"pk": "k", "group": most + "k"}, {"pk": "k", "group": strings.Repeat("é", 1025)}} {
			_, err := w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(bad)})
			if codeOf(err) != refused {
				w.fail("%v: %v, want ValidationException", bad, err)
			}
		}
		_, err := w.dynamodb.UpdateItem(w.ctx, &dynamodb.UpdateItemInput{
			TableName: table, Key: item(fields{"pk": "k"}), UpdateExpression: aws.String("SET #group = :g"),
			ExpressionAttributeNames: map[string]string{"#group": "group"}, ExpressionAttributeValues: item(fields{":g": most + "k"}),
		})
		w.refused(err, refused)
		reasons := w.reasons(w.transact("", putAction(table, fields{"pk": "a"}, ""), putAction(table, fields{"pk": "b", "group": most + "k"}, "")), 2)
		same(w, "the first's reason", aws.ToString(reasons[0].Code), "None")
		same(w, "the second's reason", aws.ToString(reasons[1].Code), "ValidationError")
		w.sameItem("what was not written", w.get(table, fields{"pk": "k"}), nil)
	}},
	{"a page of an index is a megabyte at most", "API_Query", func(w *world) {
		table, group := w.table(), strings.Repeat("g", 2048)
		for i := range 600 {
			w.put(table, fields{"pk": fmt.Sprintf("%04d", i), "group": group})
		}
		got, pages := w.walk(&dynamodb.QueryInput{
			TableName: table, IndexName: aws.String("by-group"), KeyConditionExpression: aws.String("#group = :g"),
			ExpressionAttributeNames: map[string]string{"#group": "group"}, ExpressionAttributeValues: item(fields{":g": group}),
		})
		same(w, "the number of items", len(strings.Fields(got)), 600)
		same(w, "the number of pages", pages, 2)
	}},
	{"an index forgets what lost its key", "Using global secondary indexes", func(w *world) {
		table := w.spread()
		_, err := w.dynamodb.UpdateItem(w.ctx, &dynamodb.UpdateItemInput{
			TableName: table, Key: item(fields{"pk": "s01"}), UpdateExpression: aws.String("REMOVE #group"), ExpressionAttributeNames: map[string]string{"#group": "group"},
		})
		w.must(err)
		got, _ := w.walk(&dynamodb.QueryInput{
			TableName: table, IndexName: aws.String("by-group"), KeyConditionExpression: aws.String("#group = :g"),
			ExpressionAttributeNames: map[string]string{"#group": "group"}, ExpressionAttributeValues: item(fields{":g": "g1"}),
		})
		same(w, "what was found", got, "s04 s07 s10 s13 s16 s19 s22 s25 s28")
	}},
	{"an item is deleted where a condition holds", "API_DeleteItem", func(w *world) {
		table := w.table()
		w.put(table, fields{"pk": "k", "n": 1})
		in := &dynamodb.DeleteItemInput{
			TableName: table, Key: item(fields{"pk": "k"}), ConditionExpression: aws.String("n = :n"),
			ExpressionAttributeValues: item(fields{":n": 2}), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}
		_, err := w.dynamodb.DeleteItem(w.ctx, in)
		var failed *types.ConditionalCheckFailedException
		if !errors.As(err, &failed) {
			w.fail("got %v, want ConditionalCheckFailedException", err)
		}
		w.sameItem("the item", failed.Item, item(fields{"pk": "k", "n": 1}))
		in.ExpressionAttributeValues = item(fields{":n": 1})
		_, err = w.dynamodb.DeleteItem(w.ctx, in)
		w.must(err)
		w.sameItem("what is left", w.get(table, fields{"pk": "k"}), nil)
	}},
	{"an index has no consistent reads", "API_Query", func(w *world) {
		_, err := w.dynamodb.Query(w.ctx, &dynamodb.QueryInput{
			TableName: w.table(), IndexName: aws.String("by-group"), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("#group = :g"),
			ExpressionAttributeNames: map[string]string{"#group": "group"}, ExpressionAttributeValues: item(fields{":g": "g1"}),
		})
		w.refused(err, refused)
	}},
	{"a batch is written and read", "API_BatchWriteItem", func(w *world) {
		table := w.table()
		var writes []types.WriteRequest
		var keys []attributes
		for i := range 25 {
			made := item(fields{"pk": fmt.Sprint(i)})
			writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: made}})
			keys = append(keys, made)
		}
		write := func(writes ...types.WriteRequest) (*dynamodb.BatchWriteItemOutput, error) {
			return w.dynamodb.BatchWriteItem(w.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*table: writes}})
		}
		out, err := write(writes...)
		w.must(err)
		same(w, "UnprocessedItems", len(out.UnprocessedItems), 0)
		keys = append(keys, item(fields{"pk": "nobody"}))
		got, err := w.dynamodb.BatchGetItem(w.ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*table: {Keys: keys}}})
		w.must(err)
		same(w, "what was read", len(got.Responses[*table]), 25)
		_, err = write(append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: item(fields{"pk": "more"})}})...)
		w.refused(err, refused)
		_, err = write(writes[1], writes[1])
		w.refused(err, refused)
		_, err = w.dynamodb.BatchGetItem(w.ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*table: {Keys: []attributes{keys[0], keys[0]}}}})
		w.refused(err, refused)
	}},
	{"a transaction puts, updates and deletes", "API_TransactWriteItems", func(w *world) {
		table := w.table()
		w.put(table, fields{"pk": "b", "n": 1}, fields{"pk": "c"})
		w.must(w.transact("", putAction(table, fields{"pk": "a"}, "attribute_not_exists(pk)"),
			types.TransactWriteItem{Update: &types.Update{TableName: table, Key: item(fields{"pk": "b"}), UpdateExpression: aws.String("SET n = n + :v"), ExpressionAttributeValues: item(fields{":v": 1})}},
			types.TransactWriteItem{Delete: &types.Delete{TableName: table, Key: item(fields{"pk": "c"})}},
		))
		w.sameItem("a", w.get(table, fields{"pk": "a"}), item(fields{"pk": "a"}))
		w.sameItem("b", w.get(table, fields{"pk": "b"}), item(fields{"pk": "b", "n": 2}))
		w.sameItem("c", w.get(table, fields{"pk": "c"}), nil)
	}},
	{"a cancelled transaction returns its reasons in order", "API_TransactWriteItems", func(w *world) {
		table := w.table()
		w.put(table, fields{"pk": "b", "n": 1})
		reasons := w.reasons(w.transact("", putAction(table, fields{"pk": "a"}, ""), putAction(table, fields{"pk": "b"}, "attribute_not_exists(pk)"),
			putAction(table, fields{"pk": "c"}, "attribute_exists(pk)")), 3)
		for i, want := range []string{"None", "ConditionalCheckFailed", "ConditionalCheckFailed"} {
			same(w, fmt.Sprintf("reason %d", i), aws.ToString(reasons[i].Code), want)
		}
		w.sameItem("the first's item", reasons[0].Item, nil)
		w.sameItem("the second's item", reasons[1].Item, item(fields{"pk": "b", "n": 1}))
		w.sameItem("the third's item", reasons[2].Item, nil)
		w.sameItem("what was not written", w.get(table, fields{"pk": "a"}), nil)
	}},
	{"a transaction writes an item once", "API_TransactWriteItems", func(w *world) {
		table := w.table()
		w.refused(w.transact("", putAction(table, fields{"pk": "a"}, ""), types.TransactWriteItem{Delete: &types.Delete{TableName: table, Key: item(fields{"pk": "a"})}}), refused)
	}},
	{"a transaction has a hundred actions", "API_TransactWriteItems", func(w *world) {
		table := w.table()
		var actions []types.TransactWriteItem
		for i := range 101 {
			actions = append(actions, putAction(table, fields{"pk": fmt.Sprint(i)}, ""))
		}
		w.refused(w.transact("", actions...), refused)
		w.must(w.transact("", actions[:100]...))
	}},
	{"a token makes a transaction once", "API_TransactWriteItems", func(w *world) {
		table := w.table()
		token := *name()
		add := types.TransactWriteItem{Update: &types.Update{TableName: table, Key: item(fields{"pk": "k"}), UpdateExpression: aws.String("ADD a :v, b :v, c :v"), ExpressionAttributeValues: item(fields{":v": 1})}}
		for range 3 {
			w.must(w.transact(token, add))
		}
		w.sameItem("the item", w.get(table, fields{"pk": "k"}), item(fields{"pk": "k", "a": 1, "b": 1, "c": 1}))
		w.refused(w.transact(token, putAction(table, fields{"pk": "z"}, "")), "IdempotentParameterMismatchException")
	}},
}
