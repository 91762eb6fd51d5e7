package release

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a policy.
const (
	// MaxPolicySize bounds the text of a policy, in bytes.
	MaxPolicySize = 64 << 10
	// MaxConditions bounds the conditions of a policy, groups among them.
	MaxConditions = 512
	// MaxNesting bounds how deeply anyOf and allOf are nested below an authority.
	MaxNesting = 24
	// MaxClaimName bounds the name of a claim, dots included, in bytes.
	MaxClaimName = 512
	// maxNumber bounds the text of a number, and maxExponent its power of ten.
	maxNumber, maxExponent = 100, 1000
)

// Policy is a release policy (grammar 1.0.0): a key is released to a token if one of the
// authorities is its issuer and the conditions of this authority are met. A Policy is not
// changed after Parse; many goroutines may use it.
type Policy struct {
	// Version is the policy's version as written: "1.0.0", "1.0", "0.2", or "" if there is
	// none. All mean the same.
	Version     string
	Authorities []Authority
}

// Authority is one issuer of tokens, with what its tokens must claim.
type Authority struct {
	Pos Pos
	// URL is the issuer as written. It is compared by [SameAuthority].
	URL    string
	URLPos Pos
	// Conditions is the anyOf or allOf of the authority.
	Conditions *Group
}

// Condition is a [*Group] or a [*Comparison].
type Condition interface {
	// Start is where the condition begins.
	Start() Pos
	condition()
}

// Group joins conditions.
type Group struct {
	Pos Pos
	// All tells allOf, which needs every condition, from anyOf, which needs one.
	All        bool
	Conditions []Condition
}

// Start returns the place of the group's name.
func (g *Group) Start() Pos { return g.Pos }
func (*Group) condition()   {}

// Name is anyOf or allOf.
func (g *Group) Name() string {
	if g.All {
		return allOf
	}
	return anyOf
}

// Comparison compares a claim with a value.
type Comparison struct {
	Pos Pos
	// Claim is the path of the claim: names of members, separated by dots.
	Claim    string
	Operator Operator
	Value    Value
}

// Start returns the place of the comparison.
func (c *Comparison) Start() Pos { return c.Pos }
func (*Comparison) condition()   {}

// Operator is a comparison of the grammar.
type Operator string

// The operators. A claim that is missing, or null, meets only "exists": false.
const (
	// Equals is met by the same JSON value. A string of the policy also equals a boolean or
	// whole number of this text; an array equals what one of its members equals.
	Equals Operator = "equals"
	// NotEquals is met by each claim that is present and is not equal.
	NotEquals Operator = "notEquals"
	// Less, LessOrEquals, Greater and GreaterOrEquals compare numbers, exactly.
	Less            Operator = "less"
	LessOrEquals    Operator = "lessOrEquals"
	Greater         Operator = "greater"
	GreaterOrEquals Operator = "greaterOrEquals"
	// Exists is met if the claim is present (true) or missing (false).
	Exists Operator = "exists"
)

// Operators lists the operators in the order of the grammar.
func Operators() []Operator {
	return []Operator{Equals, NotEquals, Less, LessOrEquals, Greater, GreaterOrEquals, Exists}
}

// orders reports whether the operator compares numbers by size.
func (o Operator) orders() bool {
	switch o {
	case Less, LessOrEquals, Greater, GreaterOrEquals:
		return true
	case Equals, NotEquals, Exists:
		return false
	default:
		return false
	}
}

// Value is what a policy compares a claim with: a string, a number, true or false. The zero
// Value is none of them.
type Value struct{ scalar scalar }

// String gives the value as JSON text, strings in quotes and cut to a length for people.
func (v Value) String() string { return v.scalar.String() }

// Text returns the text of a string, and whether the value is one.
func (v Value) Text() (string, bool) { return v.of('"') }

// Number returns the JSON text of a number, and whether the value is one.
func (v Value) Number() (string, bool) { return v.of('0') }

func (v Value) of(kind jsontext.Kind) (string, bool) {
	if v.scalar.kind != kind {
		return "", false
	}
	return v.scalar.text, true
}

// Bool returns the truth of a boolean, and whether the value is one.
func (v Value) Bool() (value, ok bool) {
	return v.scalar.kind == 't', v.scalar.kind == 't' || v.scalar.kind == 'f'
}

// String gives a scalar for people.
func (s scalar) String() string {
	switch s.kind {
	case '"':
		return quoted(s.text)
	case '0':
		if len(s.text) > shown {
			return s.text[:shown] + "…"
		}
		return s.text
	case 't':
		return "true"
	case 'f':
		return "false"
	default:
		return kindName(s.kind)
	}
}

// kindName names the kind of a JSON value in a sentence.
func kindName(k jsontext.Kind) string {
	switch k {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	case '{':
		return "an object"
	case '[':
		return "an array"
	default:
		return "null"
	}
}

// SameAuthority reports whether two issuers are the same, as an authority of a policy and the iss
// of a token are compared: without trailing slashes, scheme and host without case.
func SameAuthority(a, b string) bool { return normalAuthority(a) == normalAuthority(b) }

func normalAuthority(url string) string {
	url = strings.TrimRight(url, "/")
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	host, path, _ := strings.Cut(rest, "/")
	return strings.TrimRight(lowerASCII(scheme)+"://"+lowerASCII(host)+"/"+path, "/")
}

// lowerASCII leaves other letters as they are: strings.ToLower makes a k of the Kelvin sign.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return string(b)
}
