package dynamodb

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// An expression that is known says to every request what it would have said to it alone.
func TestKnownExpressionsHoldForTheirRequest(t *testing.T) {
	const refused = "ValidationException"
	n, s := number(whole(1)), text("x")
	for _, c := range []struct {
		name, expression string
		values           Item
		names            map[string]string
		want             string // the refusal's code; "" for none
		holds            bool   // for an item of n = 1, s = "x"
	}{
		{name: "a value", expression: "n = :v", values: Item{":v": n}, holds: true},
		{name: "another value", expression: "n = :v", values: Item{":v": number(whole(2))}},
		{name: "a value of another kind", expression: "n = :v", values: Item{":v": s}},
		{name: "no value", expression: "n = :v", want: refused},
		{name: "a value too many", expression: "n = :v", values: Item{":v": n, ":w": n}, want: refused},
		{name: "a kind that has an order", expression: "n < :v", values: Item{":v": number(whole(2))}, holds: true},
		{name: "a kind that has none", expression: "n < :v", values: Item{":v": {kind: Null}}, want: refused},
		{name: "a name", expression: "#a = :v", values: Item{":v": n}, names: map[string]string{"#a": "n"}, holds: true},
		{name: "another name", expression: "#a = :v", values: Item{":v": n}, names: map[string]string{"#a": "s"}},
		{name: "no name", expression: "#a = :v", values: Item{":v": n}, want: refused},
		{name: "a name too many", expression: "#a = :v", values: Item{":v": n}, names: map[string]string{"#a": "n", "#b": "n"}, want: refused},
		{name: "bounds", expression: "n BETWEEN :v AND :w", values: Item{":v": n, ":w": number(whole(2))}, holds: true},
		{name: "bounds the wrong way round", expression: "n BETWEEN :v AND :w", values: Item{":v": number(whole(2)), ":w": n}, want: refused},
		{name: "a type", expression: "attribute_type(s, :v)", values: Item{":v": text("S")}, holds: true},
		{name: "no type", expression: "attribute_type(s, :v)", values: Item{":v": s}, want: refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := expressing{Names: c.names, Values: c.values}
			for _, known := range []*expressions{nil, {}, shared} {
				for range 2 {
					scope := in.scope()
					scope.known = known
					when, refusal := parseCondition("ConditionExpression", &c.expression, scope)
					if refusal == nil {
						refusal = scope.finish()
					}
					switch {
					case c.want != "":
						if refusal == nil || refusal.Code != c.want {
							t.Errorf("got %v, want %s", refusal, c.want)
						}
					case refusal != nil:
						t.Errorf("refused: %v", refusal)
					case when.holds(Item{"n": n, "s": s}, c.values) != c.holds:
						t.Errorf("it holds: %v, want %v", !c.holds, c.holds)
					}
				}
			}
		})
	}
}

// shared is what the requests of the test above have in common, as those of one box do.
var shared = &expressions{}

// What is kept is bounded, whatever is sent.
func TestKnownExpressionsAreFew(t *testing.T) {
	var known expressions
	for i := range 10 * maxKnown {
		scope := (&expressing{}).scope()
		scope.known = &known
		expression := fmt.Sprintf("attribute_exists(a%d)", i)
		if _, refusal := parseCondition("ConditionExpression", &expression, scope); refusal != nil {
			t.Fatal(refusal)
		}
		if len(known.parsed) > maxKnown {
			t.Fatalf("%d are kept, want %d at most", len(known.parsed), maxKnown)
		}
	}
	if len(known.parsed) == 0 {
		t.Error("none is kept")
	}
}

// A request is the same in whatever order its maps are written, and another one if anything that
// it asks for is another.
func TestFingerprint(t *testing.T) {
	const update = `{"TransactItems":[{"Update":{"TableName":"ledger","Key":{"pk":{"S":"k"}},"UpdateExpression":"SET a = :a, b = :b","ConditionExpression":"#c = :a",
		"ExpressionAttributeNames":{"#c":"c"},"ExpressionAttributeValues":{":a":{"L":[{"N":"1"},{"BOOL":true}]},":b":{"M":{"x":{"SS":["p","q"]},"y":{"NULL":true}}}}}}]}`
	of := func(body string) digest {
		in, err := service.JSON(nil, New(Options{}).transactWriteItems).Decode(&service.Request{Body: []byte(body)})
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return in.(*transactInput).fingerprint()
	}
	swap := func(old, made string) string {
		t.Helper()
		if !strings.Contains(update, old) {
			t.Fatalf("the request has no %s", old)
		}
		return strings.Replace(update, old, made, 1)
	}
	for _, same := range []string{
		swap(`"TableName":"ledger","Key":{"pk":{"S":"k"}}`, `"Key":{"pk":{"S":"k"}},"TableName":"ledger"`),
		swap(`"x":{"SS":["p","q"]},"y":{"NULL":true}`, `"y":{"NULL":true},"x":{"SS":["p","q"]}`),
		swap(`{"N":"1"}`, `{"N":"1.0"}`),
		swap(`{"TransactItems"`, `{"ClientRequestToken":"t","ReturnConsumedCapacity":"TOTAL","TransactItems"`),
	} {
		if of(same) != of(update) {
			t.Errorf("it is another request, and should be the same: %s", same)
		}
	}
	seen := map[digest]string{of(update): update}
	for _, other := range []string{
		swap(`"ledger"`, `"ledges"`), swap(`"Update":{`, `"Delete":{`), swap(`{"S":"k"}`, `{"S":"l"}`), swap(`{"S":"k"}`, `{"B":"aw=="}`),
		swap(`{"pk":`, `{"pq":`), swap(`"Key":`, `"Item":`), swap("SET a = :a, b", "SET b = :a, a"), swap("#c = :a", "#c = :b"), swap(`"#c":"c"`, `"#c":"d"`),
		swap(`{"N":"1"}`, `{"N":"2"}`), swap(`{"N":"1"},{"BOOL":true}`, `{"BOOL":true},{"N":"1"}`), swap("true", "false"), swap(`["p","q"]`, `["p"]`),
		swap(`":a":{`, `":b2":{`), swap(`"y":{"NULL":true}`, `"y":{"N":"0"}`), swap(`,"y":{"NULL":true}`, ``),
		swap(`"ConditionExpression":"#c = :a",`, `"ConditionExpression":"#c = :a","ReturnValuesOnConditionCheckFailure":"ALL_OLD",`),
		swap(`"UpdateExpression":"SET a = :a, b = :b","ConditionExpression":"#c = :a"`, `"ConditionExpression":"SET a = :a, b = :b","UpdateExpression":"#c = :a"`),
		`{"TransactItems":[{"Put":{"TableName":"ledger"}},{"Delete":{"TableName":"ledger"}}]}`, `{"TransactItems":[{"Delete":{"TableName":"ledger"}},{"Put":{"TableName":"ledger"}}]}`,
		`{"TransactItems":[{"Put":{"TableName":"ledger"},"Delete":{"TableName":"ledger"}}]}`,
	} {
		d := of(other)
		if twin, ok := seen[d]; ok {
			t.Errorf("these are the same, and should not be:\n%s\n%s", twin, other)
		}
		seen[d] = other
	}
}
