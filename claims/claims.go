// Package claims describes what is known about an attester and who says so: typed,
// attributed statements in the claim model of the attestation policy language
// (versions 1.0 to 1.2).
//
// A [Claim] has a type, a [Value] and an [Issuer]; a [Set] keeps claims in the
// order in which they were added and drops exact duplicates. Verifiers produce
// sets, policies read and extend them, tokens carry them.
//
// The package gives names and values no meaning: which claims an attestation
// type offers is the verifier's business, what they are worth is the policy's.
package claims

import (
	"slices"
	"strconv"
)

// Issuer says who vouches for a claim.
type Issuer string

// The issuers that the policy language knows.
const (
	// AttestationService marks claims that the service derived from evidence.
	AttestationService Issuer = "AttestationService"
	// AttestationPolicy marks claims that a policy rule made.
	AttestationPolicy Issuer = "AttestationPolicy"
	// CustomClaim marks claims that the client sent; they are not verified.
	CustomClaim Issuer = "CustomClaim"
)

// Type is the value type of a claim, as a policy's valueType names it.
type Type string

// The value types of the policy language.
const (
	String  Type = "String"
	Integer Type = "Integer"
	Boolean Type = "Boolean"
)

// Value is the value of a claim: a string, a 64-bit integer or a boolean. A
// string may be marked as JSON text: policies read the text, tokens carry what
// it encodes. The zero Value is the empty string. Values are comparable.
type Value struct {
	text string
	num  int64
	kind kind
	json bool
	// readOnly marks a value that policies may compare but not issue.
	readOnly bool
}

// kind is a Type in one byte: policies compare many values.
type kind uint8

const (
	kindString kind = iota
	kindInteger
	kindBoolean
)

// StringValue returns a string value.
func StringValue(s string) Value { return Value{text: s} }

// IntegerValue returns an integer value.
func IntegerValue(n int64) Value { return Value{kind: kindInteger, num: n} }

// BooleanValue returns a boolean value.
func BooleanValue(b bool) Value {
	v := Value{kind: kindBoolean}
	if b {
		v.num = 1
	}
	return v
}

// JSONValue returns a string value whose text is JSON; the caller has made
// sure that it parses.
func JSONValue(text string) Value { return Value{text: text, json: true} }

// Type returns the value's type.
func (v Value) Type() Type {
	return [...]Type{String, Integer, Boolean}[v.kind]
}

// Text returns the text of a string value, and whether v is one.
func (v Value) Text() (string, bool) { return v.text, v.kind == kindString }

// Int returns the number of an integer value, and whether v is one.
func (v Value) Int() (int64, bool) { return v.num, v.kind == kindInteger }

// Bool returns the truth of a boolean value, and whether v is one.
func (v Value) Bool() (value, ok bool) { return v.num != 0, v.kind == kindBoolean }

// ReadOnly returns v marked as read-only: policies may compare it, and may not
// issue it or what they derive from it.
func (v Value) ReadOnly() Value {
	v.readOnly = true
	return v
}

// Equal reports whether two values have the same type and value. Marks (JSON,
// read-only) do not matter.
func (v *Value) Equal(other *Value) bool {
	return v.kind == other.kind && v.num == other.num && v.text == other.text
}

// IsReadOnly reports whether the value is marked as read-only.
func (v Value) IsReadOnly() bool { return v.readOnly }

// IsJSON reports whether the value is JSON text.
func (v Value) IsJSON() bool { return v.json }

// String renders the value for people: strings quoted, the rest bare.
func (v Value) String() string {
	switch v.kind {
	case kindInteger:
		return strconv.FormatInt(v.num, 10)
	case kindBoolean:
		return strconv.FormatBool(v.num != 0)
	default:
		return strconv.Quote(v.text)
	}
}

// Claim is one statement.
type Claim struct {
	Type   string
	Value  Value
	Issuer Issuer
	// ReadOnlyType says that a policy made the type of a read-only value: it is compared
	// but not issued either.
	ReadOnlyType bool
}

// Set is an ordered collection of claims without exact duplicates. The zero
// Set is empty and ready to use. A Set is not safe for concurrent writes.
type Set struct {
	list []Claim
	// known has the claims of a long set, so that duplicates are found fast. It is right as
	// long as it has as many claims as the list: a copy that grew by itself makes its own.
	known map[Claim]struct{}
}

// indexed is from how many claims on a set keeps them in a map: fewer are compared faster.
const indexed = 256

// NewSet returns a set of the given claims.
func NewSet(list ...Claim) Set {
	var s Set
	for _, c := range list {
		s.Add(c)
	}
	return s
}

// Add appends c unless the set already contains a claim of equal type, value and
// issuer. It reports whether c was added.
func (s *Set) Add(c Claim) bool {
	if len(s.list) < indexed {
		if slices.Contains(s.list, c) {
			return false
		}
		s.list = append(s.list, c)
		return true
	}
	if len(s.known) != len(s.list) {
		s.known = make(map[Claim]struct{}, max(2*len(s.list), cap(s.list)))
		for _, have := range s.list {
			s.known[have] = struct{}{}
		}
	}
	if _, has := s.known[c]; has {
		return false
	}
	s.known[c] = struct{}{}
	s.list = append(s.list, c)
	return true
}

// Grow makes room for n more claims: a list that grows claim by claim is copied each time.
func (s *Set) Grow(n int) { s.list = slices.Grow(s.list, n) }

// All returns the claims in order. The caller must not change them.
func (s Set) All() []Claim { return s.list }

// Len returns the number of claims.
func (s Set) Len() int { return len(s.list) }

// Text returns the text of the first claim of the given type, and whether there is one and
// its value is a string.
func (s Set) Text(typ string) (string, bool) {
	v, ok := s.Get(typ)
	if !ok {
		return "", false
	}
	return v.Text()
}

// Has reports whether the set has a claim of the given type.
func (s Set) Has(typ string) bool {
	return slices.ContainsFunc(s.list, func(c Claim) bool { return c.Type == typ })
}

// Get returns the first value of the given type.
func (s Set) Get(typ string) (Value, bool) {
	for _, c := range s.list {
		if c.Type == typ {
			return c.Value, true
		}
	}
	return Value{}, false
}

// Clone returns a copy that can grow independently of s. Claims are never
// changed in place, so the two share what they have in common.
func (s Set) Clone() Set { return Set{list: s.list[:len(s.list):len(s.list)]} }
