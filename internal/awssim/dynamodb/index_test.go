package dynamodb

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An index has an item while the item has the index's key, under the one that it has.
func TestIndexesFollowItems(t *testing.T) {
	d := New(Options{})
	if _, err := ask(t, d, "CreateTable", ledgerTable); err != nil {
		t.Fatal(err)
	}
	found := func() (out []string) {
		for _, group := range []string{"a", "b"} {
			said, err := ask(t, d, "Query", `{"TableName":"ledger","IndexName":"by-group","KeyConditionExpression":"(#g = :g)",
				"ExpressionAttributeNames":{"#g":"group"},"ExpressionAttributeValues":{":g":{"S":"`+group+`"}}}`)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range (*said.(*answer))["Items"].([]Item) {
				out = append(out, fmt.Sprint(i.plain()))
			}
		}
		return out
	}
	update := func(expression, values string) string {
		return `{"TableName":"ledger","Key":{"pk":{"S":"k"}},"UpdateExpression":"` + expression + `","ExpressionAttributeNames":{"#g":"group"}` + values + `}`
	}
	const a, b = `,"ExpressionAttributeValues":{":g":{"S":"a"}}`, `,"ExpressionAttributeValues":{":g":{"S":"b"}}`
	const inA, inB = "map[group:a pk:k]", "map[group:b pk:k]"
	for _, s := range []struct{ name, operation, body, want string }{
		{"no key", "PutItem", `{"TableName":"ledger","Item":{"pk":{"S":"k"},"n":{"N":"0"}}}`, ""},
		{"a key", "UpdateItem", update("SET #g = :g", a), inA},
		{"the same key", "UpdateItem", update("SET #g = :g, m = n", a), inA},
		{"another key", "UpdateItem", update("SET #g = :g", b), inB},
		{"no key any more", "UpdateItem", update("REMOVE #g", ""), ""},
		{"a key anew", "UpdateItem", update("SET #g = :g", a), inA},
		{"replaced under another", "PutItem", `{"TableName":"ledger","Item":{"pk":{"S":"k"},"group":{"S":"b"}}}`, inB},
		{"replaced in a batch", "BatchWriteItem", `{"RequestItems":{"ledger":[{"PutRequest":{"Item":{"pk":{"S":"k"},"group":{"S":"a"}}}}]}}`, inA},
		{"deleted", "DeleteItem", `{"TableName":"ledger","Key":{"pk":{"S":"k"}}}`, ""},
		{"there again", "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"ledger","Item":{"pk":{"S":"k"},"group":{"S":"b"}}}}]}`, inB},
	} {
		if _, err := ask(t, d, s.operation, s.body); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if got := strings.Join(found(), ", "); got != s.want {
			t.Errorf("%s: the index has %s, want %s", s.name, got, s.want)
		}
	}
}

// An index does what sorted lists do, one for each key.
func TestIndexIsSortedLists(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	x, want := index{partitions: map[string][]entry{}}, map[string]map[string]bool{}
	for round := range 20_000 {
		key, primary := strconv.Itoa(random.IntN(5)), strconv.Itoa(random.IntN(400))
		if random.IntN(5) < 2+round%2 {
			x.put(key, entry{primary: primary})
			if want[key] == nil {
				want[key] = map[string]bool{}
			}
			want[key][primary] = true
		} else {
			x.remove(key, primary)
			delete(want[key], primary)
		}
		if round%500 > 0 {
			continue
		}
		for key := range want {
			var got []string
			for _, e := range x.partitions[key] {
				got = append(got, e.primary)
			}
			if !slices.Equal(got, slices.Sorted(maps.Keys(want[key]))) {
				t.Fatalf("round %d: key %s has %v", round, key, got)
			}
		}
	}
	for key := range want {
		for primary := range want[key] {
			x.remove(key, primary)
		}
	}
	if len(x.partitions) > 0 {
		t.Errorf("%d keys are left of which nothing is", len(x.partitions))
	}
}
