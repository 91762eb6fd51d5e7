package appraisal_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

func TestCertificatesOfAttestedTLSAreReadByTheKindOfTheirEvidence(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, _ := x509.MarshalPKIXPublicKey(key.Public())
	sum := sha256.Sum256(der)
	claims := evidencetest.DICEClaims(1, sum[:])
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	sgx := func(bound []byte) []byte {
		e := evidencetest.DemoEnclave()
		e.ReportData = evidencetest.BindData(bound)
		return m.Quote(evidencetest.QuoteConfig{Enclave: e})
	}
	td := func(bound []byte) []byte {
		guest := evidencetest.HealthyTD()
		guest.ReportData = evidencetest.BindData(bound)
		return m.Quote(evidencetest.QuoteConfig{TD: guest})
	}
	intel, err := collateral.NewStatic(&collateral.Bundle{Intel: []*collateral.Intel{
		pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}),
		pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)})}})
	if err != nil {
		t.Fatal(err)
	}
	a := &appraisal.Appraiser{
		Verifiers:  appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
		Collateral: intel,
		Random:     rand.Reader,
	}
	gramine := func(quote []byte) []byte {
		return evidencetest.TLSCertificate(key, nil, evidencetest.OIDGramine(), quote)
	}
	dice := func(quote []byte) []byte {
		return evidencetest.TLSCertificate(key, other, evidencetest.OIDDICE(),
			evidencetest.DICE(60000, quote, claims))
	}
	for name, tc := range map[string]struct {
		kind    evidence.Kind
		raw     []byte
		refused string
	}{
		"SGX, Gramine": {evidence.SGXEnclave, gramine(sgx(der)), ""},
		"SGX, DICE":    {evidence.SGXEnclave, dice(sgx(claims)), ""},
		"SGX in PEM": {
			evidence.SGXEnclave,
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: gramine(sgx(der))}), "",
		},
		"TDX, Gramine":                 {evidence.TDXVM, gramine(td(der)), ""},
		"TDX, DICE":                    {evidence.TDXVM, dice(td(claims)), ""},
		"SGX, Gramine, as OpenEnclave": {evidence.OpenEnclave, gramine(sgx(der)), ""},
		"SGX, another key": {evidence.SGXEnclave, evidencetest.TLSCertificate(other, nil,
			evidencetest.OIDGramine(), sgx(der)), "ratls.certificate.key"},
		"SGX, DICE, key alone bound": {evidence.SGXEnclave, dice(sgx(der)), "ratls.certificate.key"},
		"TDX, nothing bound":         {evidence.TDXVM, gramine(td(nil)), "ratls.certificate.key"},
		"TDX, another key": {evidence.TDXVM, evidencetest.TLSCertificate(other, nil,
			evidencetest.OIDGramine(), td(der)), "ratls.certificate.key"},
		"TDX sent as SGX": {evidence.SGXEnclave, gramine(td(der)), "dcap.quote.tee"},
		"Open Enclave sent as SGX": {evidence.SGXEnclave, evidencetest.TLSCertificate(key, nil,
			evidencetest.OIDOpenEnclave(), evidencetest.OpenEnclaveReport(sgx(der))), "ratls.certificate"},
		"SEV-SNP sent as TDX": {evidence.TDXVM, evidencetest.TLSCertificate(key, nil, evidencetest.OIDDICE(),
			evidencetest.DICE(0x1a7504, make([]byte, 1184), claims)), "ratls.certificate"},
	} {
		v, err := a.Appraise(t.Context(), appraisal.Request{Kind: tc.kind, Evidence: tc.raw, Time: now},
			appraisal.Provider{})
		if err != nil {
			t.Fatal(name, err)
		}
		got := ""
		if v.Rejection != nil {
			got = v.Rejection.Check.ID
		}
		if got != tc.refused {
			t.Errorf("%s: refused by %q, expected %q: %v", name, got, tc.refused, v.Rejection)
		}
	}
}

func TestDebugEnclavesAreRefusedUnlessTheyAreAcceptedByName(t *testing.T) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	e := evidencetest.DemoEnclave()
	e.Debug = true
	quote := m.Quote(evidencetest.QuoteConfig{Enclave: e})
	a := &appraisal.Appraiser{
		Verifiers: appraisal.Verifiers(appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}),
		Random:    rand.Reader,
		Collateral: collateral.Fixed(pki.Collateral(m,
			evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)})),
	}
	for kind, raw := range map[evidence.Kind][]byte{
		evidence.SGXEnclave: quote, evidence.OpenEnclave: evidencetest.OpenEnclaveReport(quote),
	} {
		for name, tc := range map[string]struct {
			tcb     appraisal.TCBPolicy
			refused string
		}{
			"by default":        {appraisal.TCBPolicy{}, "sgx.debug"},
			"a status accepted": {appraisal.TCBPolicy{Accept: []string{"OutOfDate", "UpToDate"}}, "sgx.debug"},
			"another one":       {appraisal.TCBPolicy{Accept: []string{evidence.BoundServiceTD}}, "sgx.debug"},
			"accepted":          {appraisal.TCBPolicy{Accept: []string{evidence.DebugGuest}}, ""},
			"left to a policy":  {appraisal.TCBPolicy{EnclaveDebugByPolicy: true}, ""},
		} {
			v, err := a.Appraise(t.Context(), appraisal.Request{Kind: kind, Evidence: raw, Time: now},
				appraisal.Provider{TCB: tc.tcb})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if v.Rejection != nil {
				got = v.Rejection.Check.ID
			}
			if got != tc.refused || v.Accepted != (tc.refused == "") {
				t.Errorf("%s, %s: refused by %q, expected %q", kind, name, got, tc.refused)
			}
		}
	}
}
