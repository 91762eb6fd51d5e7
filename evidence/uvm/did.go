package uvm

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// DID is a parsed did:x509 identifier, version 0: the fingerprint of a CA and
// what must be in the leaf certificate below it.
type DID struct {
	Text        string
	algorithm   string
	fingerprint []byte
	predicates  []predicate
}

type predicate struct {
	name   string
	values []string
}

// maxDID bounds an identifier, in bytes.
const maxDID = 2048

// ParseDID reads an identifier such as
// did:x509:0:sha256:<base64url>::eku:1.2.3. Unknown predicates are refused.
func ParseDID(text string) (*DID, error) {
	if len(text) > maxDID {
		return nil, fmt.Errorf("a did:x509 of more than %d bytes", maxDID)
	}
	parts := strings.Split(text, "::")
	head := strings.Split(parts[0], ":")
	if len(head) != 5 || head[0] != "did" || head[1] != "x509" || head[2] != "0" {
		return nil, errors.New("not did:x509:0:<hash>:<fingerprint>")
	}
	d := &DID{Text: text, algorithm: head[3]}
	size := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}[d.algorithm]
	var err error
	d.fingerprint, err = base64.RawURLEncoding.Strict().DecodeString(head[4])
	if err != nil || size == 0 || len(d.fingerprint) != size {
		return nil, errors.New("the fingerprint is not a base64url sha256, sha384 or sha512")
	}
	if len(parts) < 2 {
		return nil, errors.New("no predicate on the leaf")
	}
	for _, part := range parts[1:] {
		p, err := parsePredicate(part)
		if err != nil {
			return nil, err
		}
		d.predicates = append(d.predicates, p)
	}
	return d, nil
}

func parsePredicate(text string) (predicate, error) {
	fields := strings.Split(text, ":")
	p := predicate{name: fields[0]}
	for _, field := range fields[1:] {
		value, err := unescape(field)
		if err != nil {
			return p, err
		}
		p.values = append(p.values, value)
	}
	want := map[string]bool{
		"subject": len(p.values) >= 2 && len(p.values)%2 == 0, "san": len(p.values) == 2,
		"eku": len(p.values) == 1, "fulcio-issuer": len(p.values) == 1,
	}
	fits, known := want[p.name]
	if !known {
		return p, fmt.Errorf("unknown predicate %q", p.name)
	}
	if !fits {
		return p, fmt.Errorf("predicate %s with %d values", p.name, len(p.values))
	}
	for i := 0; p.name == "subject" && i < len(p.values); i += 2 {
		for j := 0; j < i; j += 2 {
			if p.values[j] == p.values[i] {
				return p, fmt.Errorf("subject names %s twice", p.values[i])
			}
		}
	}
	return p, nil
}

// unescape undoes percent-encoding; other characters than letters, digits and
// "-._" must be encoded.
func unescape(text string) (string, error) {
	for _, c := range text {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.ContainsRune("-._%", c)) {
			return "", fmt.Errorf("character %q must be percent-encoded", c)
		}
	}
	value, err := url.PathUnescape(text)
	if err != nil || value == "" {
		return "", errors.New("an empty or badly encoded value")
	}
	return value, nil
}

// Resolve reports why the chain, leaf first and already checked for its
// signatures, is not one that the identifier names; nil if it is.
func (d *DID) Resolve(chain []*x509.Certificate) error {
	if len(chain) < 2 {
		return errors.New("a chain of fewer than two certificates")
	}
	anchored := slices.ContainsFunc(chain[1:],
		func(c *x509.Certificate) bool { return bytes.Equal(d.hash(c.Raw), d.fingerprint) })
	if !anchored {
		return errors.New("no CA of the chain has the fingerprint")
	}
	for _, p := range d.predicates {
		if !p.holds(chain[0]) {
			return fmt.Errorf("the leaf lacks %s %s", p.name, strings.Join(p.values, ":"))
		}
	}
	return nil
}

func (d *DID) hash(b []byte) []byte {
	switch d.algorithm {
	case "sha384":
		sum := sha512.Sum384(b)
		return sum[:]
	case "sha512":
		sum := sha512.Sum512(b)
		return sum[:]
	default:
		sum := sha256.Sum256(b)
		return sum[:]
	}
}

var oidFulcioIssuer = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}

// subjectNames are the attribute types that did:x509 has names for.
var subjectNames = map[string]string{
	"CN": "2.5.4.3", "L": "2.5.4.7", "ST": "2.5.4.8", "O": "2.5.4.10", "OU": "2.5.4.11", "C": "2.5.4.6",
	"STREET": "2.5.4.9",
}

func (p predicate) holds(leaf *x509.Certificate) bool {
	switch p.name {
	case "eku":
		for _, usage := range leaf.UnknownExtKeyUsage {
			if usage.String() == p.values[0] {
				return true
			}
		}
		return slices.ContainsFunc(leaf.ExtKeyUsage,
			func(u x509.ExtKeyUsage) bool { return u.OID().String() == p.values[0] })
	case "san":
		switch p.values[0] {
		case "dns":
			return slices.Contains(leaf.DNSNames, p.values[1])
		case "email":
			return slices.Contains(leaf.EmailAddresses, p.values[1])
		case "uri":
			return slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == p.values[1] })
		}
		return false
	case "fulcio-issuer":
		return slices.ContainsFunc(leaf.Extensions, func(e pkixExtension) bool {
			return e.Id.Equal(oidFulcioIssuer) && !e.Critical && string(e.Value) == "https://"+p.values[0]
		})
	default: // subject
		for i := 0; i < len(p.values); i += 2 {
			if !subjectHas(leaf, p.values[i], p.values[i+1]) {
				return false
			}
		}
		return true
	}
}

// subjectHas reports whether the subject contains the attribute exactly once and
// with that value.
func subjectHas(leaf *x509.Certificate, name, value string) bool {
	oid, ok := subjectNames[name]
	if !ok {
		oid = name
	}
	var found []any
	for _, attribute := range leaf.Subject.Names {
		if attribute.Type.String() == oid {
			found = append(found, attribute.Value)
		}
	}
	return len(found) == 1 && found[0] == any(value)
}
