package ratls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/ratls"
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func spki(t testing.TB, key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestBindings(t *testing.T) {
	key := newKey(t)
	der := spki(t, key)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0)
	field := func(hash []byte, rest ...byte) []byte {
		out := make([]byte, 64)
		copy(out, hash)
		copy(out[len(hash):], rest)
		return out
	}
	sum := func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
	sum384 := func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }
	sum512 := func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }
	claims := evidencetest.DICEClaims(1, sum(der))
	tagged := evidencetest.DICE(60000, []byte("quote"), claims)
	plain := evidencetest.TLSCertificate(key, nil, evidencetest.OIDGramine(), []byte("quote"))
	dice := evidencetest.TLSCertificate(key, nil, evidencetest.OIDDICE(), tagged)
	for name, tc := range map[string]struct {
		cert  []byte
		field []byte
		found string
	}{
		"PEM and NUL":  {plain, field(sum(text)), "SHA-256 of the PEM public key with its NUL"},
		"DER":          {plain, field(sum(der)), "SHA-256 of the DER public key"},
		"DER, SHA-384": {plain, field(sum384(der)), "SHA-384 of the DER public key"},
		"DER, SHA-512": {plain, field(sum512(der)), "SHA-512 of the DER public key"},
		"DICE": {
			dice, field(sum(claims)),
			"SHA-256 of the claims, which contain a hash of the DER public key",
		},
		"PEM without NUL":       {plain, field(sum(text[:len(text)-1])), ""},
		"another key":           {plain, field(sum(spki(t, newKey(t)))), ""},
		"zeros":                 {plain, make([]byte, 64), ""},
		"a field cut short":     {plain, sum(der)[:31], ""},
		"no field":              {plain, nil, ""},
		"SHA-384 and more":      {plain, field(sum384(der), 1), ""},
		"DICE, but bytes after": {dice, field(sum(claims), 1), ""},
		"DICE bound as Gramine": {dice, field(sum(der)), ""},
	} {
		c, err := ratls.Parse(tc.cert)
		if err != nil {
			t.Fatal(name, err)
		}
		result := &evidence.Result{}
		err = c.CheckKey(result, ratls.CheckKey, "REPORTDATA", tc.field)
		var rejection *evidence.Rejection
		switch last := result.Checks[len(result.Checks)-1]; {
		case tc.found != "" && (err != nil || last.Found != tc.found):
			t.Errorf("%s: %+v, %v", name, last, err)
		case tc.found == "" && (!errors.As(err, &rejection) ||
			rejection.Check.ID != "ratls.certificate.key" || rejection.Check.Remedy == ""):
			t.Errorf("%s: accepted: %+v", name, last)
		}
	}
}

func TestParse(t *testing.T) {
	key, parent := newKey(t), newKey(t)
	der := spki(t, key)
	sum := sha256.Sum256(der)
	good384 := sha512.Sum384(der)
	claims := evidencetest.DICEClaims(1, sum[:])
	gramine := pkix.Extension{Id: evidencetest.OIDGramine(), Value: []byte("quote")}
	tagged := pkix.Extension{
		Id:    evidencetest.OIDDICE(),
		Value: evidencetest.DICE(60000, []byte("quote"), claims),
	}
	wrapped, _ := asn1.Marshal([]byte("quote"))
	self := evidencetest.TLSCertificate(key, nil, evidencetest.OIDGramine(), []byte("quote"))
	huge := hugeRSA(t)
	dice := func(value []byte) []byte {
		return evidencetest.TLSCertificate(key, nil, evidencetest.OIDDICE(), value)
	}
	cborText := func(v any) []byte {
		b, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tc := range map[string]struct {
		raw  []byte
		want string // text of the error
		form ratls.Form
	}{
		"Gramine": {self, "", ratls.Gramine},
		"in PEM": {
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: self}), "", ratls.Gramine,
		},
		"in PEM after white space": {append([]byte("\r\n "),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: self})...), "", ratls.Gramine},
		"issued by a parent": {evidencetest.TLSCertificate(key, parent, evidencetest.OIDGramine(),
			[]byte("quote")), "", ratls.Gramine},
		"Open Enclave": {evidencetest.TLSCertificate(key, nil, evidencetest.OIDOpenEnclave(),
			[]byte("report")), "", ratls.OpenEnclave},
		"in a further octet string": {evidencetest.TLSCertificate(key, nil, evidencetest.OIDOpenEnclave(),
			wrapped), "", ratls.OpenEnclave},
		"DICE": {dice(tagged.Value), "", ratls.DICE},
		"DICE with SHA-384": {
			dice(evidencetest.DICE(60000, []byte("quote"), evidencetest.DICEClaims(7, good384[:]))),
			"", ratls.DICE,
		},
		"DICE beside Gramine": {evidencetest.TLSCertificateWith(key, nil, tagged, gramine), "", ratls.DICE},
		"Gramine beside DICE": {evidencetest.TLSCertificateWith(key, nil, gramine, tagged), "", ratls.DICE},
		"not a certificate":   {[]byte{0x30, 0x82, 0, 1, 0}, "not a certificate", ""},
		"empty PEM":           {[]byte("-----BEGIN CERTIFICATE-----\n"), "PEM that cannot be read", ""},
		"bytes after it":      {append(slices.Clone(self), 0), "trailing data", ""},
		"without evidence": {evidencetest.TLSCertificate(key, nil, asn1.ObjectIdentifier{1, 2, 3},
			nil), "no evidence", ""},
		"evidence twice": {evidencetest.TLSCertificateWith(key, nil, gramine, pkix.Extension{
			Id:    evidencetest.OIDOpenEnclave(),
			Value: []byte("report"),
		}), "evidence twice", ""},
		"a certificate inside": {evidencetest.TLSCertificate(key, nil, evidencetest.OIDGramine(),
			self), "a certificate inside", ""},
		"a certificate inside DICE": {
			dice(evidencetest.DICE(60000, self, claims)), "a certificate inside", "",
		},
		"a huge RSA key":   {huge, "at most 8192", ""},
		"DICE without tag": {dice(cborText([][]byte{{1}, claims})), "not one tagged", ""},
		"DICE with another tag": {
			dice(evidencetest.DICE(60001, []byte("report"), claims)), "tag 60001 is not known", "",
		},
		"DICE of three": {
			dice(cborText(cbor.Tag{Number: 60000, Content: [][]byte{{1}, claims, {1}}})),
			"not an array of evidence and claims", "",
		},
		"DICE with bytes after": {dice(append(slices.Clone(tagged.Value), 0)), "not one tagged", ""},
		"DICE claims of no form": {
			dice(evidencetest.DICE(60000, []byte("quote"), []byte{1})), "not a CBOR map", "",
		},
		"DICE without a key hash": {
			dice(evidencetest.DICE(60000, []byte("quote"), cborText(map[string]any{"nonce": []byte{1}}))),
			"no pubkey-hash", "",
		},
		"DICE with another key": {
			dice(evidencetest.DICE(60000, []byte("quote"), evidencetest.DICEClaims(1, make([]byte, 32)))),
			"the certificate's key has", "",
		},
		"DICE with an empty hash": {
			dice(evidencetest.DICE(60000, []byte("quote"), evidencetest.DICEClaims(1, nil))),
			"the certificate's key has", "",
		},
		"DICE with a hash cut short": {
			dice(evidencetest.DICE(60000, []byte("quote"), evidencetest.DICEClaims(1, sum[:8]))),
			"the certificate's key has", "",
		},
		"DICE with another algorithm": {
			dice(evidencetest.DICE(60000, []byte("quote"), evidencetest.DICEClaims(2, sum[:16]))),
			"hash algorithm 2 is not known", "",
		},
		"DICE with a hash of no form": {
			dice(evidencetest.DICE(60000, []byte("quote"), cborText(map[string]any{"pubkey-hash": sum[:]}))),
			"not an array", "",
		},
		"DICE with two key hashes": {dice(evidencetest.DICE(60000, []byte("quote"),
			append([]byte{0xa2}, append(claims[1:], claims[1:]...)...))), "not a CBOR map", ""},
	} {
		c, err := ratls.Parse(tc.raw)
		switch {
		case tc.want == "" && (err != nil || c.Form != tc.form || !bytes.Equal(c.PublicKey, der)):
			t.Errorf("%s: %+v, %v", name, c, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, expected %q", name, err, tc.want)
		}
	}
}

// hugeRSA is a certificate with an RSA key of 16,384 bits, which signs nothing.
func hugeRSA(t *testing.T) []byte {
	n := new(big.Int).SetBit(big.NewInt(1), 16383, 1)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "huge"},
		ExtraExtensions: []pkix.Extension{{Id: evidencetest.OIDGramine(), Value: []byte("quote")}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template,
		&rsa.PublicKey{N: n, E: 65537}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func FuzzParse(f *testing.F) {
	key := newKey(f)
	sum := sha256.Sum256(spki(f, key))
	f.Add(evidencetest.TLSCertificate(key, nil, evidencetest.OIDGramine(), []byte("quote")))
	f.Add(evidencetest.TLSCertificate(key, nil, evidencetest.OIDDICE(),
		evidencetest.DICE(60000, []byte("quote"), evidencetest.DICEClaims(1, sum[:]))))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ratls.Parse(b); err == nil && (len(c.PublicKey) == 0 || c.Form == "" || !ratls.Is(b)) {
			t.Errorf("%+v", c)
		}
	})
}

// TestAChangedCertificateIsRefused: the evidence binds the key, but not the rest of a
// certificate; its own signature does.
func TestAChangedCertificateIsRefused(t *testing.T) {
	key, parent := newKey(t), newKey(t)
	for name, tc := range map[string]struct {
		parent *ecdsa.PrivateKey
		at     int // the byte from the end that is changed, 0 for no change
		ok     bool
	}{
		"genuine":                          {nil, 0, true},
		"signature changed":                {nil, 1, false},
		"issued by a parent":               {parent, 0, true},
		"parent's signature is not needed": {parent, 1, true},
	} {
		raw := evidencetest.TLSCertificate(key, tc.parent, evidencetest.OIDGramine(), []byte("quote"))
		if tc.at > 0 {
			raw[len(raw)-tc.at] ^= 1
		}
		c, err := ratls.Parse(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum := sha256.Sum256(c.PublicKey)
		result := &evidence.Result{}
		err = c.CheckKey(result, ratls.CheckKey, "REPORTDATA", append(sum[:], make([]byte, 32)...))
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		} else if !tc.ok && !strings.Contains(result.Checks[0].Found, "which another key signed") {
			t.Errorf("%s: %+v", name, result.Checks)
		}
	}
}
