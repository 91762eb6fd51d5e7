package crl_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/evidence/internal/crl"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ca makes lists and verifies them.
type ca struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCA(t testing.TB, name string) ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now,
		NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte{1}, KeyUsage: x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca{key, cert}
}

func (c ca) list(t testing.TB, edit func(*x509.RevocationList)) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.AddDate(0, 1, 0),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: now}}}
	if edit != nil {
		edit(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c.cert, c.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (c ca) issuer() crl.Issuer {
	return crl.Issuer{Algorithm: x509.ECDSAWithSHA256,
		Named: func(rawName []byte) bool { return string(rawName) == string(c.cert.RawSubject) },
		Signed: func(tbs, signature []byte) bool {
			sum := sha256.Sum256(tbs)
			return ecdsa.VerifyASN1(&c.key.PublicKey, sum[:], signature)
		}}
}

func TestAListTellsWhatIsRevoked(t *testing.T) {
	c := newCA(t, "CA")
	list, err := crl.Read(c.list(t, nil), c.issuer())
	if err != nil {
		t.Fatal(err)
	}
	if !list.Has(big.NewInt(7)) || list.Has(big.NewInt(-7)) || list.Has(big.NewInt(8)) || list.Len() != 1 ||
		!list.ThisUpdate.Equal(now) || !list.NextUpdate.Equal(now.AddDate(0, 1, 0)) {
		t.Errorf("%+v", list)
	}
}

func TestListsThatAreRefused(t *testing.T) {
	c := newCA(t, "CA")
	good := c.list(t, nil)
	for name, tc := range map[string]struct {
		der  []byte
		by   crl.Issuer
		want string
	}{
		"nothing":              {nil, c.issuer(), "x509"},
		"bytes after the list": {append(append([]byte{}, good...), 0), c.issuer(), "data after the list"},
		"too large":            {make([]byte, crl.MaxSize+1), c.issuer(), "at most"},
		"a negative serial": {c.list(t, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].SerialNumber = big.NewInt(-7)
		}), c.issuer(), "entry 1 has a negative serial number"},
		"a changed byte":        {append(append([]byte{}, good[:len(good)-1]...), good[len(good)-1]^1), c.issuer(), "signature"},
		"a CA of the same name": {newCA(t, "CA").list(t, nil), c.issuer(), "signature verification failed"},
		"a CA of another name":  {newCA(t, "other").list(t, nil), c.issuer(), "a different CA"},
		"another algorithm": {c.list(t, nil), crl.Issuer{Algorithm: x509.SHA384WithRSAPSS, Named: c.issuer().Named,
			Signed: c.issuer().Signed}, "other than SHA384-RSAPSS"},
		"no nextUpdate": {c.unlimited(t), c.issuer(), "no nextUpdate"},
		"a delta list": {c.list(t, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}), c.issuer(), "critical extension 2.5.29.27"},
	} {
		if _, err := crl.Read(tc.der, tc.by); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// parts returns the elements of a constructed element.
func parts(t testing.TB, der []byte) (list [][]byte) {
	t.Helper()
	var whole asn1.RawValue
	if _, err := asn1.Unmarshal(der, &whole); err != nil {
		t.Fatal(err)
	}
	for rest := whole.Bytes; len(rest) > 0; {
		var one asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &one); err != nil {
			t.Fatal(err)
		}
		list = append(list, one.FullBytes)
	}
	return list
}

// joined makes an element with the class and tag of another one.
func joined(t testing.TB, like []byte, list ...[]byte) []byte {
	t.Helper()
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(like, &v); err != nil {
		t.Fatal(err)
	}
	v = asn1.RawValue{Class: v.Class, Tag: v.Tag, IsCompound: true, Bytes: bytes.Join(list, nil)}
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// unlimited is a list without nextUpdate, which crypto/x509 does not make.
func (c ca) unlimited(t testing.TB) []byte {
	t.Helper()
	list := parts(t, c.list(t, nil))
	fields := parts(t, list[0]) // version, algorithm, issuer, thisUpdate, nextUpdate, entries, extensions
	tbs := joined(t, list[0], slices.Delete(fields, 4, 5)...)
	sum := sha256.Sum256(tbs)
	signature, err := c.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	bits, err := asn1.Marshal(asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)})
	if err != nil {
		t.Fatal(err)
	}
	return joined(t, c.list(t, nil), tbs, list[1], bits)
}

// shifted moves the content of a BIT STRING two bits to the left and declares two unused bits.
func shifted(bitString []byte) []byte {
	b := slices.Clone(bitString)
	b[2] = 2 // after tag and length
	content := b[3:]
	for i := range content {
		content[i] <<= 2
		if i+1 < len(content) {
			content[i] |= content[i+1] >> 6
		}
	}
	return b
}

// TestDataAfterAPartIsRefused uses lists that crypto/x509 accepts, with any signature.
func TestDataAfterAPartIsRefused(t *testing.T) {
	c, null := newCA(t, "CA"), []byte{5, 0}
	by := c.issuer()
	by.Signed = func([]byte, []byte) bool { return true }
	der := c.list(t, nil)
	outer := parts(t, der)
	tbs := parts(t, outer[0]) // version, algorithm, issuer, two dates, entries, extensions
	with := func(list ...[]byte) []byte {
		return joined(t, der, joined(t, outer[0], list...), outer[1], outer[2])
	}
	wrapper := joined(t, tbs[6], append(parts(t, tbs[6]), null)...)
	if _, err := crl.Read(with(tbs...), by); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"after the signature":               joined(t, der, outer[0], outer[1], outer[2], null),
		"unused bits of the signature":      joined(t, der, outer[0], outer[1], shifted(outer[2])),
		"after the extensions":              with(append(slices.Clone(tbs), null)...),
		"in the wrapper of the extensions":  with(append(slices.Clone(tbs[:6]), wrapper)...),
		"a third date":                      with(slices.Insert(slices.Clone(tbs), 5, tbs[4])...),
		"between the dates and the entries": with(slices.Insert(slices.Clone(tbs), 5, null)...),
	} {
		if _, err := x509.ParseRevocationList(b); err != nil {
			t.Errorf("%s: crypto/x509 refuses it: %v", name, err)
		}
		if _, err := crl.Read(b, by); err == nil || err.Error() != "data after a part of the list" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The other encodings carry genuine signatures.
	if _, err := crl.Read(joined(t, der, outer[0], outer[1], shifted(outer[2])), c.issuer()); err == nil {
		t.Error("one signed list is accepted in two encodings")
	}
}

// FuzzRead: without the signature of the issuer nothing is a list.
func FuzzRead(f *testing.F) {
	c := newCA(f, "CA")
	f.Add(c.list(f, nil))
	by := c.issuer()
	by.Signed = func([]byte, []byte) bool { return false }
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := crl.Read(b, by); err == nil {
			t.Error("accepted a list whose signature did not verify")
		}
	})
}
