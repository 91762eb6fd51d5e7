package openenclave_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/evidence/sgx"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var (
	formatECDSA = [16]byte{
		0xa3, 0xa2, 0x1e, 0x87, 0x1b, 0x4d, 0x40, 0x14, 0xb7, 0x0a, 0xa1, 0x25, 0xd2, 0xfb, 0xcd, 0x8c,
	}
	formatLegacy = [16]byte{
		0xc8, 0x30, 0x34, 0x54, 0xd9, 0x23, 0x4c, 0x2c, 0xa6, 0x91, 0xdf, 0x7d, 0xef, 0x46, 0x0a, 0x76,
	}
	formatRaw = [16]byte{
		0x19, 0x23, 0xd9, 0x1e, 0x12, 0xd2, 0x4c, 0x72, 0xb2, 0x20, 0x25, 0xcd, 0x8d, 0xac, 0xe8, 0x71,
	}
	formatLocal = [16]byte{
		0x09, 0x26, 0x8c, 0x33, 0x6e, 0x0b, 0x45, 0xe5, 0x8a, 0x27, 0x15, 0x64, 0x4d, 0x0e, 0xf8, 0x9a,
	}
)

type lab struct {
	pki    *evidencetest.Intel
	m      *evidencetest.Platform
	source collateral.Source
	v      *openenclave.Verifier
}

func newLab() *lab {
	l := &lab{pki: evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})}
	l.m = l.pki.Platform(evidencetest.HealthyPlatform())
	l.source = collateral.Fixed(l.pki.Collateral(l.m,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}))
	l.v = openenclave.New(sgx.New(dcap.New(dcap.Config{Anchor: l.pki.Anchor()})))
	return l
}

// quote makes a quote whose report data bind the given bytes.
func (l *lab) quote(bound []byte) []byte {
	enclave := evidencetest.DemoEnclave()
	if bound != nil {
		enclave.ReportData = evidencetest.BindData(bound)
	}
	return l.m.Quote(evidencetest.QuoteConfig{Enclave: enclave})
}

func (l *lab) verify(raw []byte, runtimeData []byte) (*evidence.Result, string) {
	ev := evidence.Evidence{Raw: raw, Collateral: l.source, Time: now}
	if runtimeData != nil {
		ev.RuntimeData = &evidence.Data{Bytes: runtimeData, Type: evidence.Binary}
	}
	result, err := l.v.Verify(context.Background(), ev)
	var r *evidence.Rejection
	switch {
	case errors.As(err, &r):
		return result, r.Check.ID
	case err != nil:
		return result, err.Error()
	}
	return result, ""
}

func TestFramings(t *testing.T) {
	l := newLab()
	claims := evidencetest.CustomClaims("pk", "key bytes", "empty", "")
	data := []byte("runtime data\x00")
	report := evidencetest.OpenEnclaveReport(l.quote(data))
	withClaims := slices.Concat(l.quote(claims), claims)
	for name, tc := range map[string]struct {
		raw, runtime []byte
		want         string
	}{
		"report":                        {report, data, ""},
		"bare quote":                    {l.quote(data), data, ""},
		"bare quote with zero padding":  {append(l.quote(data), make([]byte, 64)...), data, ""},
		"evidence without header":       {withClaims, nil, ""},
		"evidence with header":          {evidencetest.AttestationHeader(formatECDSA, withClaims), nil, ""},
		"legacy report in a header":     {evidencetest.AttestationHeader(formatLegacy, report), data, ""},
		"raw quote in a header":         {evidencetest.AttestationHeader(formatRaw, l.quote(data)), data, ""},
		"custom claims as runtime data": {withClaims, claims, ""},
		"21 local report":               {edit(report, 4, 1), nil, "openenclave.format"},
		"21 report size larger":         {edit(report, 8, report[8]+1), nil, "openenclave.format"},
		"21 report size smaller":        {edit(report, 8, report[8]-1), nil, "openenclave.format"},
		"21 report size of 2^63":        {edit(report, 15, 0x80), nil, "openenclave.format"},
		"21 report version 2":           {edit(report, 0, 2), nil, "openenclave.format"},
		"21 custom claims changed": {
			edit(withClaims, len(withClaims)-1, 'X'), nil, "openenclave.custom-claims.binding",
		},
		"21 custom claims that are not bound": {
			slices.Concat(l.quote(nil), claims), nil, "openenclave.custom-claims.binding",
		},
		"21 custom claims cut short": {
			withClaims[:len(withClaims)-1], nil, "openenclave.custom-claims.binding",
		},
		"an opaque buffer": {
			slices.Concat(l.quote([]byte("no list")), []byte("no list")), nil, "",
		},
		"an opaque buffer after a header": {evidencetest.AttestationHeader(formatECDSA,
			slices.Concat(l.quote([]byte("no list")), []byte("no list"))), nil, ""},
		"an opaque buffer of one zero byte": {
			evidencetest.AttestationHeader(formatECDSA, append(l.quote([]byte{0}), 0)), nil, "",
		},
		"a header and an empty buffer": {
			evidencetest.AttestationHeader(formatECDSA, l.quote([]byte{})), nil, "",
		},
		"the same with zero padding": {
			evidencetest.AttestationHeader(formatECDSA, append(l.quote([]byte{}), 0, 0, 0)), nil, "",
		},
		"21 custom claims cut off": {evidencetest.AttestationHeader(formatECDSA,
			l.quote(claims)), nil, "openenclave.custom-claims.binding"},
		"21 the same with zero padding": {evidencetest.AttestationHeader(formatECDSA,
			append(l.quote(claims), 0, 0)), nil, "openenclave.custom-claims.binding"},
		"21 cut off, sent as runtime data": {evidencetest.AttestationHeader(formatECDSA,
			l.quote(claims)), claims, "openenclave.custom-claims.binding"},
		"21 a header and nothing bound": {evidencetest.AttestationHeader(formatECDSA,
			l.quote(nil)), nil, "openenclave.custom-claims.binding"},
		"21 an opaque buffer changed": {slices.Concat(l.quote([]byte("no list")),
			[]byte("No list")), nil, "openenclave.custom-claims.binding"},
		"21 local evidence": {
			evidencetest.AttestationHeader(formatLocal, withClaims), nil, "openenclave.format",
		},
		"21 EPID evidence": {evidencetest.AttestationHeader([16]byte{0xf2, 0x28, 0xaa, 0x3f},
			withClaims), nil, "openenclave.format"},
		"21 header size larger": {edit(evidencetest.AttestationHeader(formatECDSA, withClaims), 20,
			0), nil, "openenclave.format"},
		"header version 2": {edit(evidencetest.AttestationHeader(formatECDSA, withClaims), 0,
			2), nil, "openenclave.format"},
		"header alone": {
			evidencetest.AttestationHeader(formatECDSA, nil)[:27], nil, "openenclave.format",
		},
		"empty":                             {nil, nil, "openenclave.format"},
		"20 other runtime data":             {report, []byte("runtime data"), "sgx.report-data.runtime-data"},
		"20 runtime data of another length": {report, append(data, 0), "sgx.report-data.runtime-data"},
		"20 no bytes do not match by lack":  {report, []byte{}, "sgx.report-data.runtime-data"},
		"quote changed": {
			edit(report, 16+48+64, report[16+48+64]^1), nil, "dcap.quote.signature",
		},
	} {
		t.Run(name, func(t *testing.T) {
			result, got := l.verify(tc.raw, tc.runtime)
			if got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
			if len(result.Checks) == 0 || result.Checks[len(result.Checks)-1].OK != (tc.want == "") {
				t.Errorf("the checks do not say so: %+v", result.Checks)
			}
		})
	}
}

func TestCustomClaimsAreTheEnclavesWord(t *testing.T) {
	l := newLab()
	buffer := evidencetest.CustomClaims("pk", "key")
	result, refused := l.verify(slices.Concat(l.quote(buffer), buffer), nil)
	if refused != "" {
		t.Fatal(refused)
	}
	for _, c := range result.Aliases.All() {
		if c.Type == "openenclave.pk" {
			if text, _ := c.Value.Text(); text != "a2V5" || c.Issuer != "CustomClaim" {
				t.Errorf("claim = %+v", c)
			}
			return
		}
	}
	t.Error("the custom claim is missing")
}

func TestAnOpaqueBufferIsOneClaim(t *testing.T) {
	l := newLab()
	result, refused := l.verify(slices.Concat(l.quote([]byte("no list")), []byte("no list")), nil)
	if refused != "" {
		t.Fatal(refused)
	}
	value, ok := result.Aliases.Get("openenclave.custom_claims_buffer")
	if text, _ := value.Text(); !ok || text != "bm8gbGlzdA" {
		t.Errorf("claim = %v, %v", value, ok)
	}
	buffer := evidencetest.CustomClaims("pk", "key")
	result, _ = l.verify(slices.Concat(l.quote(buffer), buffer), nil)
	if _, ok := result.Aliases.Get("openenclave.custom_claims_buffer"); ok {
		t.Error("a list of claims is stated as an opaque buffer too")
	}
}

func TestParseCustomClaimsRefuses(t *testing.T) {
	good := evidencetest.CustomClaims("a", "b")
	list, err := openenclave.ParseCustomClaims(good)
	if err != nil || len(list) != 1 || list[0].Name != "a" || string(list[0].Value) != "b" {
		t.Fatalf("ParseCustomClaims = %v, %v", list, err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "version 2": edit(good, 0, 2), "count of 2^63": edit(good, 15, 0x80),
		"one claim too many":  edit(good, 8, 2),
		"no claims but bytes": edit(good, 8, 0), "name size of zero": edit(good, 16, 0),
		"name size of 2^63":  edit(good, 23, 0x80),
		"value size of 2^63": edit(good, 31, 0x80), "trailing byte": append(slices.Clone(good), 0),
		"cut short":        good[:len(good)-1],
		"name without NUL": edit(good, 33, 'x'), "name with two NULs": evidencetest.CustomClaims("a\x00", "b"),
	} {
		if _, err := openenclave.ParseCustomClaims(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// items are the items of an endorsements blob as the SDK writes them.
func (l *lab) items() [9][]byte {
	set, err := l.source.Intel(context.Background(), collateral.Query{})
	if err != nil {
		panic(err)
	}
	response := func(member string, signed, signature []byte) []byte {
		return append(
			[]byte(`{"`+member+`":`+string(signed)+`,"signature":"`+hex.EncodeToString(signature)+`"}`),
			0,
		)
	}
	return [9][]byte{
		{1, 0, 0, 0}, response("tcbInfo", set.TCBInfo, set.TCBInfoSignature),
		append(slices.Clone(set.TCBInfoIssuerChain), 0),
		append(slices.Clone(set.PCKCRL), 0),
		set.RootCRL, append(slices.Clone(set.PCKCRLIssuerChain), 0),
		response("enclaveIdentity", set.QEIdentity, set.QEIdentitySignature),
		append(slices.Clone(set.QEIdentityIssuerChain), 0),
		[]byte("2026-03-01T00:00:00Z\x00"),
	}
}

func TestEndorsementsServeAsCollateral(t *testing.T) {
	l := newLab()
	blob := evidencetest.Endorsements(l.items())
	set, err := openenclave.ParseEndorsements(blob)
	if err != nil {
		t.Fatal(err)
	}
	l.source = collateral.Fixed(set)
	if _, refused := l.verify(evidencetest.OpenEnclaveReport(l.quote(nil)), nil); refused != "" {
		t.Errorf("refused by %s", refused)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "version 2": edit(blob, 0, 2), "type 1": edit(blob, 4, 1), "eight items": edit(blob, 12, 8),
		"size too large": edit(blob, 8, blob[8]+1), "trailing byte": append(slices.Clone(blob), 0),
		"first offset not zero": edit(blob, 16, 1),
		"offsets not ascending": edit(blob, 20, 0xff), "offset after the end": edit(blob, 16+4*8+3, 0x7f),
	} {
		if _, err := openenclave.ParseEndorsements(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// structBlob writes TDX endorsements as the SDK does: the structure with pointers of
// some process, and the data after it.
func (l *lab) structBlob(version uint32) []byte {
	items := l.items()
	crls := func(der []byte) []byte { return append([]byte(hex.EncodeToString(der)), 0) }
	if version == 0x10003 {
		crls = func(der []byte) []byte { return der }
	}
	set, err := l.source.Intel(context.Background(), collateral.Query{})
	if err != nil {
		panic(err)
	}
	pieces := [][]byte{items[5], crls(set.RootCRL), crls(set.PCKCRL), items[2], items[1], items[7], items[6]}
	b := binary.LittleEndian.AppendUint32(nil, version)
	b = binary.LittleEndian.AppendUint32(b, 0x81)
	var data []byte
	for _, piece := range pieces {
		b = binary.LittleEndian.AppendUint64(b, uint64(0x7f0000001000+len(data)))
		b = binary.LittleEndian.AppendUint64(b, uint64(len(piece)))
		data = append(data, piece...)
	}
	return append(b, data...)
}

func TestTDXEndorsementsAreRead(t *testing.T) {
	l := newLab()
	want, err := l.source.Intel(t.Context(), collateral.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint32{3, 0x10003, 4} {
		set, err := openenclave.ParseEndorsements(l.structBlob(version))
		if err != nil {
			t.Fatal(err)
		}
		if set.Seal().Digest() != want.Seal().Digest() {
			t.Errorf("version %x: another set", version)
		}
	}
	blob := l.structBlob(4)
	for name, b := range map[string][]byte{
		"version 9":        edit(blob, 0, 9),
		"cut off":          blob[:len(blob)-1],
		"only a header":    blob[:120],
		"a size too large": edit(blob, 19, 0xff),
		"a size too small": edit(blob, 16, blob[16]-5),
		"bytes after":      append(slices.Clone(blob), 1),
	} {
		if _, err := openenclave.ParseEndorsements(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCertificatesCarryEvidence(t *testing.T) {
	l := newLab()
	other := l.pki.TCBSigner
	key := l.pki.PlatformCA.Key
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	bound := append(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 0)
	quote := l.quote(bound)
	sum := sha256.Sum256(spki)
	keyClaims := evidencetest.DICEClaims(1, sum[:])
	issue := func(key *ecdsa.PrivateKey, extensions ...pkix.Extension) []byte {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "https://x"}, NotBefore: now,
			NotAfter: now.AddDate(1, 0, 0), ExtraExtensions: extensions,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	wrap := func(b []byte) []byte {
		out, err := asn1.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	oldOID := asn1.ObjectIdentifier{1, 2, 840, 113556, 10, 1, 1}
	newOID := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 105, 1}
	report := evidencetest.OpenEnclaveReport(quote)
	good := issue(key, pkix.Extension{Id: newOID, Value: report})
	for name, tc := range map[string]struct {
		raw  []byte
		want string
	}{
		"report under the new identifier":  {good, ""},
		"bare quote under the old":         {issue(key, pkix.Extension{Id: oldOID, Value: quote}), ""},
		"report in a further octet string": {issue(key, pkix.Extension{Id: oldOID, Value: wrap(report)}), ""},
		"evidence in another's certificate": {
			issue(other.Key, pkix.Extension{Id: newOID, Value: report}), "openenclave.certificate.key",
		},
		"no evidence": {issue(key), "openenclave.format"},
		"evidence twice": {
			issue(key, pkix.Extension{Id: newOID, Value: report}, pkix.Extension{Id: oldOID, Value: quote}),
			"openenclave.format",
		},
		"certificate inside": {
			issue(key, pkix.Extension{Id: newOID, Value: good}), "openenclave.format",
		},
		"certificate changed after signing": {
			edit(good, len(good)-1, good[len(good)-1]^1), "openenclave.certificate.key",
		},
		"certificate without evidence": {l.m.PCK.Cert.Raw, "openenclave.format"},
		"issued by a parent": {
			evidencetest.TLSCertificate(key, other.Key, evidencetest.OIDOpenEnclave(), report), "",
		},
		"another's, issued by a parent": {
			evidencetest.TLSCertificate(other.Key, key, evidencetest.OIDOpenEnclave(), report),
			"openenclave.certificate.key",
		},
		"key bound by the hash of its DER": {issue(key,
			pkix.Extension{Id: newOID, Value: evidencetest.OpenEnclaveReport(l.quote(spki))}), ""},
		"in PEM": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good}), ""},
		"attested TLS, version 2": {issue(key, pkix.Extension{
			Id:    newOID,
			Value: evidencetest.AttestationHeader(formatECDSA, slices.Concat(quote, bound)),
		}), ""},
		"the same without the key": {
			issue(key, pkix.Extension{Id: newOID, Value: evidencetest.AttestationHeader(formatECDSA, quote)}),
			"openenclave.custom-claims.binding",
		},
		"Gramine": {
			evidencetest.TLSCertificate(key, nil, evidencetest.OIDGramine(), l.quote(spki)), "",
		},
		"SEV-SNP in DICE": {evidencetest.TLSCertificate(key, nil, evidencetest.OIDDICE(),
			evidencetest.DICE(0x1a7504, make([]byte, 1184), keyClaims)), "openenclave.format"},
		"bytes after the certificate": {append(slices.Clone(good), 0), "openenclave.format"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := l.verify(tc.raw, nil); got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	l := newLab()
	claims := evidencetest.CustomClaims("pk", "x")
	f.Add(evidencetest.OpenEnclaveReport(l.quote(nil)))
	f.Add(evidencetest.AttestationHeader(formatECDSA, slices.Concat(l.quote(claims), claims)))
	f.Fuzz(func(t *testing.T, b []byte) {
		framed, err := openenclave.Parse(b)
		if err == nil && len(framed.Quote)+len(framed.CustomClaims) > len(b) {
			t.Error("the parts are larger than the whole")
		}
	})
}

func FuzzParseCustomClaims(f *testing.F) {
	f.Add(evidencetest.CustomClaims("a", "b", "c", ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := openenclave.ParseCustomClaims(b)
		if err != nil {
			return
		}
		var pairs []string
		for _, c := range list {
			pairs = append(pairs, c.Name, string(c.Value))
		}
		if !bytes.Equal(evidencetest.CustomClaims(pairs...), b) {
			t.Errorf("%x is not the only form of %q", b, pairs)
		}
	})
}

func FuzzParseEndorsements(f *testing.F) {
	f.Add(evidencetest.Endorsements(newLab().items()))
	f.Add(newLab().structBlob(4))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := openenclave.ParseEndorsements(b)
		if err == nil && (len(set.TCBInfo) == 0 || len(set.QEIdentity) == 0) {
			t.Error("accepted without TCB info or QE identity")
		}
	})
}

// edit returns b with one byte replaced.
func edit(b []byte, at int, value byte) []byte {
	b = slices.Clone(b)
	b[at] = value
	return b
}

func TestHeaderFieldsAreLittleEndian(t *testing.T) {
	report := evidencetest.OpenEnclaveReport([]byte("0123456789abcdef"))
	if binary.LittleEndian.Uint64(report[8:]) != 16 {
		t.Fatal("the test's own framing is wrong")
	}
	framed, err := openenclave.Parse(report)
	if err != nil || string(framed.Quote) != "0123456789abcdef" {
		t.Errorf("Parse = %+v, %v", framed, err)
	}
}
