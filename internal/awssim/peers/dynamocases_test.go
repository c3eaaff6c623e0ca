package peers_test

import (
	"errors"
	"fmt"
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

// spread puts 30 items into one partition of the table, and three groups of the index.
func (w *world) spread() *string {
	table := w.table(true)
	for i := range 30 {
		w.put(table, fields{"pk": "p", "sk": fmt.Sprintf("s%02d", i), "group": fmt.Sprintf("g%d", i%3), "at": i - 15, "even": i%2 == 0})
	}
	w.put(table, fields{"pk": "other", "sk": "s00"})
	return table
}

// walk asks for all pages of a query, and returns the sort keys that it gave.
func (w *world) walk(in *dynamodb.QueryInput) (keys string, pages int) {
	var got []string
	for {
		out, err := w.dynamodb.Query(w.ctx, in)
		w.must(err)
		pages++
		for _, i := range out.Items {
			got = append(got, i["sk"].(*types.AttributeValueMemberS).Value)
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; out.LastEvaluatedKey == nil {
			return strings.Join(got, " "), pages
		}
	}
}

// queryCases are asked of what spread puts in ("Key condition expressions for the Query operation").
func queryCases() []test {
	var out []test
	for _, row := range []struct {
		index, condition, filter string
		values                   fields
		back                     bool
		limit                    int32
		want                     string // "refused", or the sort keys
		pages                    int
	}{
		{condition: "pk = :p AND sk = :s", values: fields{":p": "p", ":s": "s07"}, want: "s07", pages: 1},
		{condition: "pk = :p AND begins_with(sk, :s)", values: fields{":p": "p", ":s": "s1"}, want: "s10 s11 s12 s13 s14 s15 s16 s17 s18 s19", pages: 1},
		{condition: "pk = :p AND sk BETWEEN :a AND :b", values: fields{":p": "p", ":a": "s03", ":b": "s05"}, want: "s03 s04 s05", pages: 1},
		{condition: "sk > :s AND pk = :p", values: fields{":p": "p", ":s": "s27"}, want: "s28 s29", pages: 1},
		{condition: "pk = :p AND sk < :s", values: fields{":p": "p", ":s": "s02"}, want: "s00 s01", pages: 1},
		{condition: "pk = :p AND sk <= :s", back: true, values: fields{":p": "p", ":s": "s02"}, want: "s02 s01 s00", pages: 1},
		{condition: "pk = :p AND sk >= :s", limit: 1, values: fields{":p": "p", ":s": "s28"}, want: "s28 s29", pages: 3},
		{condition: "pk = :p", values: fields{":p": "nobody"}, want: "", pages: 1},
		{condition: "pk = :p", back: true, limit: 13, values: fields{":p": "p"}, want: "s29 s28 s27 s26 s25 s24 s23 s22 s21 s20 s19 s18 s17 s16 s15 s14 s13 s12 s11 s10 s09 s08 s07 s06 s05 s04 s03 s02 s01 s00", pages: 3},
		{condition: "pk = :p AND sk >= :s", filter: "even = :t", values: fields{":p": "p", ":s": "s26", ":t": true}, want: "s26 s28", pages: 1},
		{condition: "pk = :p AND sk >= :s", filter: "even = :t", limit: 3, values: fields{":p": "p", ":s": "s26", ":t": true}, want: "s26 s28", pages: 2}, // the limit counts before the filter
		{index: "by-group", condition: "#group = :g", values: fields{":g": "g1"}, want: "s01 s04 s07 s10 s13 s16 s19 s22 s25 s28", pages: 1},
		{index: "by-group", condition: "#group = :g AND #at < :n", values: fields{":g": "g1", ":n": -7}, want: "s01 s04 s07", pages: 1},
		{index: "by-group", condition: "#group = :g AND #at BETWEEN :m AND :n", back: true, limit: 2, values: fields{":g": "g1", ":m": -5, ":n": 5}, want: "s19 s16 s13 s10", pages: 3},
		{index: "by-group", condition: "#group = :g AND #at > :n", back: true, values: fields{":g": "g1", ":n": n("9.5")}, want: "s28 s25", pages: 1},
		{condition: "pk > :p", values: fields{":p": "p"}, want: "refused"},
		{condition: "sk = :s", values: fields{":s": "p"}, want: "refused"},
		{condition: "pk = :p AND even = :e", values: fields{":p": "p", ":e": true}, want: "refused"},
		{condition: "pk = :p OR sk = :s", values: fields{":p": "p", ":s": "s"}, want: "refused"},
		{condition: "pk = :p AND sk <> :s", values: fields{":p": "p", ":s": "s"}, want: "refused"},
		{condition: "pk = :p", values: fields{":p": 1}, want: "refused"},
		{condition: "pk = :p", filter: "sk = :s", values: fields{":p": "p", ":s": "s"}, want: "refused"},
		{index: "nobody", condition: "pk = :p", values: fields{":p": "p"}, want: "refused"},
	} {
		title := fmt.Sprintf("query %s %s %s back %t limit %d %s", row.index, row.condition, row.filter, row.back, row.limit, told(item(row.values)))
		out = append(out, test{title, "API_Query", func(w *world) {
			in := &dynamodb.QueryInput{
				TableName: w.spread(), KeyConditionExpression: &row.condition, ScanIndexForward: aws.Bool(!row.back),
				ExpressionAttributeNames: placeholders(row.condition, row.filter), ExpressionAttributeValues: item(row.values),
			}
			if row.index != "" {
				in.IndexName = &row.index
			}
			if row.filter != "" {
				in.FilterExpression = &row.filter
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
		table := w.table(false)
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
		_, err = w.dynamodb.DeleteTable(w.ctx, &dynamodb.DeleteTableInput{TableName: table})
		w.must(err)
		_, err = w.dynamodb.DescribeTable(w.ctx, &dynamodb.DescribeTableInput{TableName: table})
		w.refused(err, "ResourceNotFoundException")
	}},
	{"a table that is not there", "API_GetItem", func(w *world) {
		_, err := w.dynamodb.GetItem(w.ctx, &dynamodb.GetItemInput{TableName: name(), Key: item(fields{"pk": "x"})})
		w.refused(err, "ResourceNotFoundException")
	}},
	{"time to live is set once", "API_UpdateTimeToLive", func(w *world) {
		table := w.table(false)
		set := &dynamodb.UpdateTimeToLiveInput{TableName: table, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ends"), Enabled: aws.Bool(true)}}
		_, err := w.dynamodb.UpdateTimeToLive(w.ctx, set)
		w.must(err)
		out, err := w.dynamodb.DescribeTimeToLive(w.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: table})
		w.must(err)
		same(w, "AttributeName", aws.ToString(out.TimeToLiveDescription.AttributeName), "ends")
		_, err = w.dynamodb.UpdateTimeToLive(w.ctx, set)
		w.refused(err, refused)
	}},
	{"every kind of value is kept", "API_AttributeValue", func(w *world) {
		table := w.table(false)
		w.put(table, sample)
		w.sameItem("the item", w.get(table, fields{"pk": "key"}), item(sample))
		w.sameItem("what is not there", w.get(table, fields{"pk": "none"}), nil)
	}},
	{"numbers lose their zeros", "Supported data types", func(w *world) {
		table := w.table(false)
		w.put(table, fields{"pk": "k", "a": n("1.500"), "b": n("007"), "c": n("-0"), "d": n("1e3"), "e": n("1.2E-3")})
		w.sameItem("the item", w.get(table, fields{"pk": "k"}), item(fields{"pk": "k", "a": n("1.5"), "b": n("7"), "c": n("0"), "d": n("1000"), "e": n("0.0012")}))
	}},
	{"numbers that are none or too long", "Supported data types", func(w *world) {
		table := w.table(false)
		for _, bad := range []n{"x", "", "1234567890123456789012345678901234567890", "1e126", "1e-131"} {
			_, err := w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(fields{"pk": "k", "n": bad})})
			if codeOf(err) != refused {
				w.fail("%q: %v, want ValidationException", bad, err)
			}
		}
	}},
	{"an item of 400 KB", "Quotas", func(w *world) {
		table := w.table(false)
		w.put(table, fields{"pk": "k", "v": strings.Repeat("x", 400<<10-4)})
		_, err := w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(fields{"pk": "k", "v": strings.Repeat("x", 400<<10-3)})})
		w.refused(err, refused)
	}},
	{"keys that are none", "API_PutItem", func(w *world) {
		table := w.table(false)
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
		table := w.table(false)
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
		table := w.table(false)
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
		w.sameItem("UPDATED_OLD", set("UPDATED_OLD"), item(fields{"a": 1}))
		w.sameItem("UPDATED_NEW", set("UPDATED_NEW"), item(fields{"a": 2, "c": 1}))
		out, err := w.dynamodb.DeleteItem(w.ctx, &dynamodb.DeleteItemInput{TableName: table, Key: item(fields{"pk": "k"}), ReturnValues: "ALL_OLD"})
		w.must(err)
		w.sameItem("of a removal, ALL_OLD", out.Attributes, item(fields{"pk": "k", "a": 2, "b": 2, "c": 1}))
		_, err = w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: table, Item: item(fields{"pk": "k"}), ReturnValues: "ALL_NEW"})
		w.refused(err, refused)
	}},
	{"an update makes what is not there", "API_UpdateItem", func(w *world) {
		table := w.table(false)
		_, err := w.dynamodb.UpdateItem(w.ctx, &dynamodb.UpdateItemInput{
			TableName: table, Key: item(fields{"pk": "k"}), UpdateExpression: aws.String("SET a = :v"), ExpressionAttributeValues: item(fields{":v": 1}),
		})
		w.must(err)
		w.sameItem("the item", w.get(table, fields{"pk": "k"}), item(fields{"pk": "k", "a": 1}))
	}},
	{"a projection", "API_GetItem", func(w *world) {
		table := w.table(false)
		w.put(table, sample)
		out, err := w.dynamodb.GetItem(w.ctx, &dynamodb.GetItemInput{
			TableName: table, Key: item(fields{"pk": "key"}), ProjectionExpression: aws.String("s, m.a.b[1], l[0], l[2], #status, absent"),
			ExpressionAttributeNames: map[string]string{"#status": "status"},
		})
		w.must(err)
		w.sameItem("what is left", out.Item, item(fields{"s": "hello", "m": fields{"a": fields{"b": []any{7}}}, "l": []any{"x", []any{"deep"}}, "status": "NEW"}))
	}},
	{"a scan goes over all pages", "API_Scan", func(w *world) {
		table := w.spread()
		in := &dynamodb.ScanInput{TableName: table, Limit: aws.Int32(7), FilterExpression: aws.String("even = :t"), ExpressionAttributeValues: item(fields{":t": true})}
		found, scanned := 0, 0
		for {
			out, err := w.dynamodb.Scan(w.ctx, in)
			w.must(err)
			found, scanned = found+int(out.Count), scanned+int(out.ScannedCount)
			if in.ExclusiveStartKey = out.LastEvaluatedKey; out.LastEvaluatedKey == nil {
				break
			}
		}
		same(w, "Count", found, 15)
		same(w, "ScannedCount", scanned, 31)
	}},
	{"a page is a megabyte at most", "API_Query", func(w *world) {
		table := w.table(true)
		for i := range 4 {
			w.put(table, fields{"pk": "p", "sk": fmt.Sprint(i), "v": strings.Repeat("x", 300<<10)})
		}
		got, pages := w.walk(&dynamodb.QueryInput{TableName: table, KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: item(fields{":p": "p"})})
		same(w, "what was found", got, "0 1 2 3")
		same(w, "the number of pages", pages, 2)
	}},
	{"an index forgets what lost its key", "Using global secondary indexes", func(w *world) {
		table := w.spread()
		_, err := w.dynamodb.UpdateItem(w.ctx, &dynamodb.UpdateItemInput{
			TableName: table, Key: item(fields{"pk": "p", "sk": "s01"}), UpdateExpression: aws.String("REMOVE #at"), ExpressionAttributeNames: map[string]string{"#at": "at"},
		})
		w.must(err)
		got, _ := w.walk(&dynamodb.QueryInput{
			TableName: table, IndexName: aws.String("by-group"), KeyConditionExpression: aws.String("#group = :g"),
			ExpressionAttributeNames: map[string]string{"#group": "group"}, ExpressionAttributeValues: item(fields{":g": "g1"}),
		})
		same(w, "what was found", got, "s04 s07 s10 s13 s16 s19 s22 s25 s28")
	}},
	{"an index has no consistent reads", "API_Query", func(w *world) {
		_, err := w.dynamodb.Query(w.ctx, &dynamodb.QueryInput{
			TableName: w.table(false), IndexName: aws.String("by-group"), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("#group = :g"),
			ExpressionAttributeNames: map[string]string{"#group": "group"}, ExpressionAttributeValues: item(fields{":g": "g1"}),
		})
		w.refused(err, refused)
	}},
	{"a batch is written and read", "API_BatchWriteItem", func(w *world) {
		table := w.table(false)
		w.put(table, fields{"pk": "old"})
		writes := []types.WriteRequest{{DeleteRequest: &types.DeleteRequest{Key: item(fields{"pk": "old"})}}}
		var keys []attributes
		for i := range 24 {
			made := item(fields{"pk": fmt.Sprint(i)})
			writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: made}})
			keys = append(keys, made)
		}
		out, err := w.dynamodb.BatchWriteItem(w.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*table: writes}})
		w.must(err)
		same(w, "UnprocessedItems", len(out.UnprocessedItems), 0)
		keys = append(keys, item(fields{"pk": "old"}))
		got, err := w.dynamodb.BatchGetItem(w.ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*table: {Keys: keys}}})
		w.must(err)
		same(w, "what was read", len(got.Responses[*table]), 24)
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: item(fields{"pk": "more"})}})
		_, err = w.dynamodb.BatchWriteItem(w.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*table: writes}})
		w.refused(err, refused)
		_, err = w.dynamodb.BatchWriteItem(w.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*table: {writes[1], writes[1]}}})
		w.refused(err, refused)
		_, err = w.dynamodb.BatchGetItem(w.ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*table: {Keys: []attributes{keys[0], keys[0]}}}})
		w.refused(err, refused)
	}},
	{"a transaction does all four", "API_TransactWriteItems", func(w *world) {
		table := w.table(false)
		w.put(table, fields{"pk": "b", "n": 1}, fields{"pk": "c"}, fields{"pk": "d"})
		w.must(w.transact("", putAction(table, fields{"pk": "a"}, "attribute_not_exists(pk)"),
			types.TransactWriteItem{Update: &types.Update{TableName: table, Key: item(fields{"pk": "b"}), UpdateExpression: aws.String("SET n = n + :v"), ExpressionAttributeValues: item(fields{":v": 1})}},
			types.TransactWriteItem{Delete: &types.Delete{TableName: table, Key: item(fields{"pk": "c"})}},
			types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: table, Key: item(fields{"pk": "d"}), ConditionExpression: aws.String("attribute_exists(pk)")}},
		))
		w.sameItem("a", w.get(table, fields{"pk": "a"}), item(fields{"pk": "a"}))
		w.sameItem("b", w.get(table, fields{"pk": "b"}), item(fields{"pk": "b", "n": 2}))
		w.sameItem("c", w.get(table, fields{"pk": "c"}), nil)
		w.sameItem("d", w.get(table, fields{"pk": "d"}), item(fields{"pk": "d"}))
	}},
	{"a cancelled transaction tells its reasons in order", "API_TransactWriteItems", func(w *world) {
		table := w.table(false)
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
		table := w.table(false)
		w.refused(w.transact("", putAction(table, fields{"pk": "a"}, ""), types.TransactWriteItem{Delete: &types.Delete{TableName: table, Key: item(fields{"pk": "a"})}}), refused)
	}},
	{"a transaction has a hundred actions", "API_TransactWriteItems", func(w *world) {
		table := w.table(false)
		var actions []types.TransactWriteItem
		for i := range 101 {
			actions = append(actions, putAction(table, fields{"pk": fmt.Sprint(i)}, ""))
		}
		w.refused(w.transact("", actions...), refused)
		w.must(w.transact("", actions[:100]...))
	}},
	{"a token makes a transaction once", "API_TransactWriteItems", func(w *world) {
		table := w.table(false)
		token := *name()
		add := types.TransactWriteItem{Update: &types.Update{TableName: table, Key: item(fields{"pk": "k"}), UpdateExpression: aws.String("ADD a :v, b :v, c :v"), ExpressionAttributeValues: item(fields{":v": 1})}}
		for range 3 {
			w.must(w.transact(token, add))
		}
		w.sameItem("the item", w.get(table, fields{"pk": "k"}), item(fields{"pk": "k", "a": 1, "b": 1, "c": 1}))
		w.refused(w.transact(token, putAction(table, fields{"pk": "z"}, "")), "IdempotentParameterMismatchException")
	}},
	{"what a write costs", "Read and write operations", func(w *world) {
		table := w.table(false)
		for _, row := range []struct {
			size int
			want float64
		}{{10, 1}, {1024, 1}, {1025, 2}, {4000, 4}} {
			out, err := w.dynamodb.PutItem(w.ctx, &dynamodb.PutItemInput{
				TableName: table, Item: item(fields{"pk": fmt.Sprint(row.size), "v": strings.Repeat("x", row.size-3-len(fmt.Sprint(row.size)))}), ReturnConsumedCapacity: "TOTAL",
			})
			w.must(err)
			same(w, fmt.Sprintf("what %d bytes cost", row.size), *out.ConsumedCapacity.CapacityUnits, row.want)
		}
	}},
	{"what a read costs", "Read and write operations", func(w *world) {
		table := w.table(false)
		w.put(table, fields{"pk": "k", "v": strings.Repeat("x", 5000)})
		for consistent, want := range map[bool]float64{true: 2, false: 1} {
			out, err := w.dynamodb.GetItem(w.ctx, &dynamodb.GetItemInput{TableName: table, Key: item(fields{"pk": "k"}), ConsistentRead: &consistent, ReturnConsumedCapacity: "TOTAL"})
			w.must(err)
			same(w, fmt.Sprintf("consistent %t", consistent), *out.ConsumedCapacity.CapacityUnits, want)
		}
	}},
	{"what a transaction costs", "DynamoDB transactions", func(w *world) {
		table := w.table(false)
		out, err := w.dynamodb.TransactWriteItems(w.ctx, &dynamodb.TransactWriteItemsInput{
			ReturnConsumedCapacity: "TOTAL",
			TransactItems:          []types.TransactWriteItem{putAction(table, fields{"pk": "a"}, ""), putAction(table, fields{"pk": "b", "v": strings.Repeat("x", 1500)}, "")},
		})
		w.must(err)
		same(w, "the number of tables", len(out.ConsumedCapacity), 1)
		same(w, "CapacityUnits", *out.ConsumedCapacity[0].CapacityUnits, 6)
	}},
}
