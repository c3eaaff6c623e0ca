package dynamodb

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// decimal is a number of DynamoDB: up to 38 digits, from 1E-130 to just below 1E+126
// ("Supported data types and naming rules", Number).
type decimal struct {
	negative bool
	digits   string // with neither leading nor trailing zeros; "" is zero
	exp      int    // the value is 0.digits × 10^exp
}

const (
	maxDigits      = 38
	maxExp, minExp = 126, -129
)

// inOurForm reports whether a text is a number as String writes it, of those that most are: whole
// ones of few digits.
func inOurForm(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > maxDigits || digits[0] == '0' && text != "0" {
		return false
	}
	for i := range len(digits) {
		if !digit(digits[i]) {
			return false
		}
	}
	return true
}

// parseDecimal reads a number, which must be within bounds.
func parseDecimal(text string) (decimal, *service.Error) {
	var d decimal
	rest := text
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		d.negative = rest[0] == '-'
		rest = rest[1:]
	}
	mantissa, exponent, scientific := strings.Cut(strings.ReplaceAll(rest, "E", "e"), "e")
	if scientific {
		var err error
		if d.exp, err = strconv.Atoi(exponent); err != nil || d.exp < -1_000_000 || d.exp > 1_000_000 {
			return d, notNumber(text)
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.digits = whole + fraction
	if d.digits == "" || strings.Trim(d.digits, "0123456789") != "" {
		return d, notNumber(text)
	}
	d.exp += len(whole)
	return d.bounded()
}

// bounded brings a decimal into its form, and checks its bounds.
func (d decimal) bounded() (decimal, *service.Error) {
	trimmed := strings.TrimLeft(d.digits, "0")
	d.exp -= len(d.digits) - len(trimmed)
	d.digits = strings.TrimRight(trimmed, "0")
	switch {
	case d.digits == "":
		return decimal{}, nil
	case len(d.digits) > maxDigits:
		return d, invalid("Attempting to store more than 38 significant digits in a Number")
	case d.exp > maxExp:
		return d, invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case d.exp < minExp:
		return d, invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return d, nil
}

func notNumber(text string) *service.Error {
	return invalid("The parameter cannot be converted to a numeric value: %s", text)
}

// String writes the number out without an exponent. How AWS writes very large and very small
// ones is not documented.
func (d decimal) String() string {
	if d.digits == "" {
		return "0"
	}
	sign := ""
	if d.negative {
		sign = "-"
	}
	switch {
	case d.exp <= 0:
		return sign + "0." + strings.Repeat("0", -d.exp) + d.digits
	case d.exp >= len(d.digits):
		return sign + d.digits + strings.Repeat("0", d.exp-len(d.digits))
	default:
		return sign + d.digits[:d.exp] + "." + d.digits[d.exp:]
	}
}

// order is a text that stands to the texts of other numbers as the number to them.
func (d decimal) order() string {
	if d.digits == "" {
		return "\x80"
	}
	exp := byte(d.exp - minExp)
	if !d.negative {
		return "\x81" + string([]byte{exp}) + d.digits
	}
	b := append(make([]byte, 0, len(d.digits)+3), 0x7f, 255-exp)
	for _, digit := range []byte(d.digits) {
		b = append(b, '0'+'9'-digit)
	}
	return string(append(b, 0xff)) // -0.12 is more than -0.123
}

// plus adds; with minus it subtracts.
func (d decimal) plus(other decimal, minus bool) (decimal, *service.Error) {
	low := min(d.exp-len(d.digits), other.exp-len(other.digits))
	a, b := d.scaled(low), other.scaled(low)
	if minus {
		b.Neg(b)
	}
	a.Add(a, b)
	sum := decimal{negative: a.Sign() < 0, digits: a.Abs(a).String()}
	sum.exp = low + len(sum.digits)
	return sum.bounded()
}

// scaled is the number as a count of 10^low.
func (d decimal) scaled(low int) *big.Int {
	n := new(big.Int)
	if d.digits == "" {
		return n
	}
	n.SetString(d.digits+strings.Repeat("0", d.exp-len(d.digits)-low), 10)
	if d.negative {
		n.Neg(n)
	}
	return n
}

// whole is a count as a number.
func whole(n int) decimal {
	d, _ := parseDecimal(strconv.Itoa(n)) // of few digits
	return d
}
