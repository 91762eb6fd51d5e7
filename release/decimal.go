package release

import (
	"strconv"
	"strings"
)

// decimal is the exact value of a JSON number: 0.DIGITS times ten to the power of point.
// Claims go up to 2^64-1 and beyond, which a float64 rounds: two firmware versions must not
// become one. Digits have no zeros at either end; zero has none, and no sign.
type decimal struct {
	digits   string
	point    int64
	negative bool
}

// farthest bounds powers of ten. It is far beyond what a policy may write, so that a claim
// with a larger exponent still has its place above or below each number of a policy.
const farthest = 1 << 40

// newDecimal reads the text of a JSON number (RFC 8259, section 6), which the caller has checked.
func newDecimal(text string) decimal {
	var d decimal
	text, d.negative = strings.CutPrefix(text, "-")
	exponent := int64(0)
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		n, err := strconv.ParseInt(text[at+1:], 10, 64)
		if err != nil { // out of range
			n = farthest
			if text[at+1] == '-' {
				n = -farthest
			}
		}
		exponent = min(max(n, -farthest), farthest)
		text = text[:at]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	digits := whole + fraction
	d.point = int64(len(whole)) + exponent
	significant := strings.TrimLeft(digits, "0")
	d.point -= int64(len(digits) - len(significant))
	d.digits = strings.TrimRight(significant, "0")
	if d.digits == "" {
		return decimal{}
	}
	return d
}

// integerText reads the one canonical text of a whole number: no plus, no leading zeros, no
// fraction and no exponent. A policy may write a number as a string in this form.
func integerText(text string) (decimal, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	switch {
	case digits == "", strings.Trim(digits, "0123456789") != "",
		digits[0] == '0' && (len(digits) > 1 || negative):
		return decimal{}, false
	}
	return newDecimal(text), true
}

// compare returns -1, 0 or 1, as d is less than, equal to or greater than other.
func (d decimal) compare(other decimal) int {
	switch {
	case d.sign() != other.sign():
		if d.sign() < other.sign() {
			return -1
		}
		return 1
	case d.negative:
		return other.magnitude(d)
	default:
		return d.magnitude(other)
	}
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	default:
		return 1
	}
}

// magnitude compares without signs. Digits are compared as text: the first has the same weight.
func (d decimal) magnitude(other decimal) int {
	switch {
	case d.digits != "" && d.point < other.point:
		return -1
	case d.digits != "" && d.point > other.point:
		return 1
	default:
		return strings.Compare(d.digits, other.digits)
	}
}
