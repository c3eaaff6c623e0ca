package dynamodb

import (
	"math/big"
	"strings"
	"testing"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// Whatever an expression is, it is refused by a ValidationException or can be worked out.
func FuzzExpressions(f *testing.F) {
	for _, seed := range []string{
		"attribute_not_exists(pk) OR (#s = :v AND n BETWEEN :a AND :b)", "size(l[0].m) > :a", "NOT contains(#s, :v) AND a IN (:a, :b)",
		"begins_with(s, :v)", "attribute_type(s, :v)", "SET l[1] = if_not_exists(n, :a) + :b, m.x = list_append(l, l) REMOVE s ADD n :a DELETE ss :set",
		"a.b[0].#s, c", "((a = :v))", "SET a = a - :a", "REMOVE l[0], l[2]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		in := expressing{
			Names:  map[string]string{"#s": "s", "#m": "m"},
			Values: map[string]Value{":v": text("S"), ":a": number(whole(1)), ":b": number(whole(7)), ":set": setOf(StringSet, []string{"a"})},
		}
		sample := Item{
			"pk": text("key"), "s": text("S"), "n": number(whole(5)), "l": listOf([]Value{text("a"), number(whole(2)), {kind: Null}}),
			"m": mapOf(Item{"x": text("y")}), "ss": setOf(StringSet, []string{"a", "b"}),
		}
		before := sample.size()
		check := func(refusal *service.Error) bool {
			if refusal != nil && (refusal.Code != "ValidationException" || refusal.Message == "") {
				t.Errorf("refused by %v", refusal)
			}
			return refusal == nil
		}
		if c, refusal := parseCondition("ConditionExpression", &expression, in.scope()); check(refusal) {
			if negated := (negated{c}); negated.holds(sample, in.Values) == c.holds(sample, in.Values) {
				t.Error("a condition and its opposite say the same")
			}
			c.holds(nil, in.Values)
		}
		if u, refusal := parseUpdate(&expression, in.scope()); check(refusal) {
			made, refusal := u.apply(sample, in.Values)
			if check(refusal) && made == nil {
				t.Error("an update made nothing")
			}
		}
		if paths, refusal := projection(&expression, in.scope()); check(refusal) && project(sample, paths).size() > before {
			t.Error("a projection is larger than the item")
		}
		if sample.size() != before {
			t.Error("the item was changed in its place")
		}
	})
}

// Numbers are what they say, order like what they are, and add up.
func FuzzNumbers(f *testing.F) {
	for _, seed := range [][2]string{{"1", "2"}, {"-0.12", "-0.123"}, {"1e125", "9.99E-130"}, {"00", "-0"}, {"+5.", ".5"}, {"12345678901234567890123456789012345678", "-1"}, {"1e999999999", "e"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, errX := parseDecimal(a)
		y, errY := parseDecimal(b)
		if errX != nil || errY != nil {
			return
		}
		ratX, okX := new(big.Rat).SetString(x.String())
		ratY, okY := new(big.Rat).SetString(y.String())
		if !okX || !okY {
			t.Fatalf("%q and %q are written %q and %q, which are no numbers", a, b, x, y)
		}
		if given, ok := new(big.Rat).SetString(a); !ok || given.Cmp(ratX) != 0 {
			t.Errorf("%q is written %q", a, x)
		}
		if again, err := parseDecimal(x.String()); err != nil || again != x {
			t.Errorf("%q is read again as %v (%v)", x, again, err)
		}
		if got, want := strings.Compare(x.order(), y.order()), ratX.Cmp(ratY); got != want {
			t.Errorf("%s to %s orders as %d, want %d", x, y, got, want)
		}
		if sum, err := x.plus(y, true); err == nil {
			want := new(big.Rat).Sub(ratX, ratY)
			if got, _ := new(big.Rat).SetString(sum.String()); got.Cmp(want) != 0 {
				t.Errorf("%s - %s is %s", x, y, sum)
			}
		}
	})
}
