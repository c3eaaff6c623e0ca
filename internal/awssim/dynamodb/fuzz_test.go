package dynamodb

import (
	"errors"
	"math/big"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Whatever an expression is, it is refused or can be worked out.
func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{
		"attribute_not_exists(pk) OR (#s = :v AND NOT n < :a)", "size(l) > :a", "a BETWEEN :a AND :b", "((a = :v))", "a.b[0].#s = :v",
		"SET l = if_not_exists(n, :a) + :b, m = s REMOVE s ADD n :a", "SET a = a - :a", "REMOVE l, l", "SET s = :v SET s = :v", "DELETE s :v", "é = :v", "SET a =",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		given := func() *placeholders {
			return &placeholders{Names: map[string]string{"#s": "s"}, Values: Item{":v": {kind: String, text: "S"}, ":a": {kind: Number, text: "1"}, ":b": {kind: Number, text: "7"}}}
		}
		sample := Item{"pk": {kind: String, text: "key"}, "s": {kind: String, text: "S"}, "n": {kind: Number, text: "5"}, "l": {kind: List, list: []Value{{kind: String, text: "a"}}}}
		before := sample.size()
		check := func(refusal *service.Error) bool {
			if refusal != nil && (refusal.Code != "ValidationException" && refusal.Code != "NotSimulated" || refusal.Message == "") {
				t.Errorf("refused by %v", refusal)
			}
			return refusal == nil
		}
		if c, refusal := parseCondition("ConditionExpression", &expression, given()); check(refusal) {
			if (negation{c}).holds(sample) == c.holds(sample) {
				t.Error("a condition and its opposite say the same")
			}
			c.holds(nil)
		}
		if u, refusal := parseUpdate(&expression, given()); check(refusal) {
			if made, refusal := u.apply(sample); check(refusal) && made == nil {
				t.Error("an update made nothing")
			}
		}
		if sample.size() != before {
			t.Error("the item was changed in its place")
		}
	})
}

// Numbers are what they say, have one form, order like what they are, and add up.
func FuzzNumbers(f *testing.F) {
	for _, seed := range [][2]string{{"1", "2"}, {"-12", "-123"}, {"00", "-0"}, {"+5", "1.5"}, {"12345678901234567890123456789012345678", "-1"}, {"1e999999999", "--1"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, errX := readNumber(a)
		y, errY := readNumber(b)
		if errX != nil || errY != nil {
			return
		}
		intX, okX := new(big.Int).SetString(a, 10)
		intY, okY := new(big.Int).SetString(b, 10)
		if !okX || !okY || intX.String() != x || intY.String() != y {
			t.Fatalf("%q and %q are written %q and %q", a, b, x, y)
		}
		v, w := Value{kind: Number, text: x}, Value{kind: Number, text: y}
		if got, ok := v.compare(w); !ok || got != intX.Cmp(intY) || v.equal(w) != (got == 0) {
			t.Errorf("%s to %s orders as %d", x, y, got)
		}
		if sum, err := v.plus(w, "-"); err == nil && sum.text != intX.Sub(intX, intY).String() {
			t.Errorf("%s - %s is %s", x, y, sum.text)
		}
	})
}

// A value that can be read is written as one that reads the same; what cannot is refused.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{`{"S":"x"}`, `{"N":"007"}`, `{"B":"AA=="}`, `{"L":[{"S":""},{"N":"1"}]}`, `{"L":[{"L":[]}]}`, `{"L":null}`, `{"M":{}}`, `{}`, `{"S":"x","N":"1"}`, `null`, `{"S":null}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		var v, again Value
		if err := json.Unmarshal([]byte(wire), &v); err != nil {
			if refusal, ok := errors.AsType[*service.Error](err); ok && refusal.Message == "" {
				t.Errorf("refused by %v", refusal)
			}
			return
		}
		written, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(written, &again)
		}
		if err != nil || !again.equal(v) {
			t.Errorf("%s is written %s, which reads as %v (%v)", wire, written, again, err)
		}
	})
}
