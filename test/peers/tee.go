package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/cloudflare/circl/ecc/p384"
	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	snpverify "github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/testdata"
	tdxverify "github.com/google/go-tdx-guest/verify"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tdx"
)

// acceptDebug lets samples of debug machines pass, as the peers do, so that all do the same work.
var acceptDebug = []string{evidence.DebugGuest, evidence.BoundServiceTD}

// snpPairs measures SEV-SNP beside go-sev-guest, on the genuine report and
// certificate that ship with it, and beside the bare signature check.
func snpPairs() {
	at := time.Date(2022, 10, 24, 12, 0, 0, 0, time.UTC)
	report := testdata.AttestationBytes[:abi.ReportSize]
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: testdata.VcekBytes})
	raw := append(bytes.Clone(report), certificateTable(testdata.VcekBytes)...)
	ours := func(cfg snp.Config) func() {
		v := snp.New(cfg)
		return func() {
			_, err := v.Verify(context.Background(), evidence.Evidence{Raw: raw, Accept: acceptDebug, Time: at})
			must(err)
		}
	}
	// A new certificate each time, AMD's CAs known: line breaks after the PEM,
	// which mean nothing, make the bytes others than those that are remembered.
	fresh := func() func() {
		v := snp.New(snp.Config{})
		frames := make([][]byte, 8192)
		for i := range frames {
			pad := make([]byte, 0, 16)
			for bit := range 13 {
				pad = append(pad, "\n\r"[i>>bit&1])
			}
			var err error
			frames[i], err = (&snp.Framed{Report: report, Certificates: append(bytes.Clone(chain), pad...)}).Marshal()
			must(err)
		}
		n := 0
		return func() {
			n++
			_, err := v.Verify(context.Background(), evidence.Evidence{Raw: frames[n%len(frames)], Accept: acceptDebug, Time: at})
			must(err)
		}
	}
	peer := func() {
		parsed, err := abi.ReportToProto(report)
		must(err)
		attestation := &spb.Attestation{
			Report:           parsed,
			CertificateChain: &spb.CertificateChain{VcekCert: testdata.VcekBytes},
			Product:          &spb.SevProduct{Name: spb.SevProduct_SEV_PRODUCT_MILAN},
		}
		must(snpverify.SnpAttestation(attestation,
			&snpverify.Options{DisableCertFetching: true, Now: at, Product: attestation.Product}))
	}
	bare := bareP384()
	compare("SNP, no cache, beside go-sev-guest", ours(snp.Config{Memory: -1}), peer, -1.8)
	compare("SNP, new VCEK, beside go-sev-guest", fresh(), peer, -2.3)
	compare("SNP, VCEK seen before, beside go-sev-guest", ours(snp.Config{}), peer, -3.5)
	compare("SNP, VCEK seen before, beside bare P-384 (circl)", ours(snp.Config{}), bare, 0.7)
}

// certificateTable puts a VCEK into the table of an extended guest request.
func certificateTable(der []byte) []byte {
	b := make([]byte, 48, 48+len(der))
	copy(b, []byte{
		0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd,
	})
	b[16] = 48
	b[20], b[21] = byte(len(der)), byte(len(der)>>8)
	return append(b, der...)
}

// bareP384 is one signature check with circl, and nothing else.
func bareP384() func() {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(err)
	digest := sha512.Sum384([]byte("message"))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	must(err)
	n := elliptic.P384().Params().N
	point, err := key.PublicKey.Bytes()
	must(err)
	x, y := new(big.Int).SetBytes(point[1:49]), new(big.Int).SetBytes(point[49:])
	return func() {
		w := new(big.Int).ModInverse(s, n)
		u1 := new(big.Int).Mul(new(big.Int).SetBytes(digest[:]), w)
		u2 := new(big.Int).Mul(r, w)
		got, _ := p384.P384().CombinedMult(x, y, u1.Mod(u1, n).Bytes(), u2.Mod(u2, n).Bytes())
		if got.Mod(got, n).Cmp(r) != 0 {
			panic("bad signature")
		}
	}
}

// tdxGetter answers go-tdx-guest from memory.
type tdxGetter struct{ answers map[string]tdxAnswer }

type tdxAnswer struct {
	header map[string][]string
	body   []byte
}

// Get implements trust.HTTPSGetter.
func (g tdxGetter) Get(address string) (map[string][]string, []byte, error) {
	for part, a := range g.answers {
		if strings.Contains(address, part) {
			return a.header, a.body, nil
		}
	}
	return nil, nil, fmt.Errorf("no answer for %s", address)
}

// tdxPairs measures TDX beside go-tdx-guest: same quote, same collateral, and
// revocation lists for both.
func tdxPairs() {
	at := time.Now()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: at, Edit: func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{"https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"}
	}})
	cfg := evidencetest.HealthyPlatform()
	cfg.Edit = func(c *x509.Certificate) {
		c.CRLDistributionPoints, c.SubjectKeyId = []string{
			"https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl",
		}, []byte{1}
	}
	machine := pki.Platform(cfg)
	td, tcb := evidencetest.HealthyTD(), evidencetest.HealthyTDXTCB(at)
	td.TEETCBSVN, tcb.Modules = [16]byte{5, 0, 8}, tcb.Modules[:1]
	quote := machine.Quote(evidencetest.QuoteConfig{TD: td})
	set := pki.Collateral(machine, evidencetest.CollateralConfig{TCB: tcb})
	roots := x509.NewCertPool()
	roots.AddCert(pki.Root.Cert)
	chain := func(name string, text []byte) map[string][]string {
		return map[string][]string{name: {strings.ReplaceAll(url.QueryEscape(string(text)), "+", "%20")}}
	}
	g := tdxGetter{map[string]tdxAnswer{
		"/qe/identity": {
			chain("Sgx-Enclave-Identity-Issuer-Chain", set.QEIdentityIssuerChain),
			fmt.Appendf(nil, `{"enclaveIdentity":%s,"signature":"%x"}`, set.QEIdentity,
				set.QEIdentitySignature),
		},
		"/tcb?": {
			chain("Tcb-Info-Issuer-Chain", set.TCBInfoIssuerChain),
			fmt.Appendf(nil, `{"tcbInfo":%s,"signature":"%x"}`, set.TCBInfo, set.TCBInfoSignature),
		},
		"/pckcrl": {chain("Sgx-Pck-Crl-Issuer-Chain", set.PCKCRLIssuerChain), set.PCKCRL},
		"RootCA":  {nil, set.RootCRL},
	}}
	peer := func() {
		must(tdxverify.RawTdxQuote(quote, &tdxverify.Options{
			GetCollateral: true, CheckRevocations: true, Getter: g,
			Now: &tdxverify.TimeSet{
				PckCertChain: at, TcbInfo: at, QeIdentity: at, PckCrl: at, RootCaCrl: at,
			},
			TrustedRoots: roots,
		}))
	}
	ours := func(memory int) func() {
		v := tdx.New(dcap.New(dcap.Config{Anchor: pki.Anchor(), Chains: memory, Collateral: memory}))
		source := collateral.Fixed(set)
		return func() {
			_, err := v.Verify(context.Background(), evidence.Evidence{Raw: quote, Collateral: source, Accept: acceptDebug, Time: at})
			must(err)
		}
	}
	compare("TDX, everything cold, beside go-tdx-guest", ours(-1), peer, -2)
	compare("TDX, seen before, beside go-tdx-guest", ours(0), peer, -10)
}
