package oracle

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/validate"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
)

// googleSNP is go-sev-guest with everything on that needs no network: chain and
// signature, then the comparisons of report and certificate.
func googleSNP(report, leaf, asvk []byte, roots map[string][]*trust.AMDRootCerts, at time.Time) error {
	parsed, err := abi.ReportToProto(report)
	if err != nil {
		return err
	}
	chain := &spb.CertificateChain{VcekCert: leaf}
	if asvk != nil {
		chain = &spb.CertificateChain{VlekCert: leaf, AskCert: asvk}
	}
	// Reports of version 2 do not tell their product; the certificate does.
	attestation := &spb.Attestation{
		Report:           parsed,
		CertificateChain: chain,
		Product:          &spb.SevProduct{Name: spb.SevProduct_SEV_PRODUCT_MILAN},
	}
	if err := verify.SnpAttestation(attestation, &verify.Options{
		DisableCertFetching: true, Now: at, TrustedRoots: roots, Product: attestation.Product,
	}); err != nil {
		return err
	}
	return validate.SnpAttestation(attestation,
		&validate.Options{PermitProvisionalFirmware: true, GuestPolicy: abi.SnpPolicy{
			Debug: true, SMT: true, MigrateMA: true, SingleSocket: false, CXLAllowed: true}})
}

// oursSNP is the check id that refuses, or "".
func oursSNP(v *snp.Verifier, report, leaf []byte, at time.Time) string {
	f := snp.Framed{
		Report:       report,
		Certificates: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}),
	}
	raw, err := f.Marshal()
	if err != nil {
		return "frame"
	}
	// The oracle has no opinion on debug guests, which the recorded reports are of.
	_, err = v.Verify(context.Background(), evidence.Evidence{
		Raw: raw, Time: at, Accept: []string{evidence.DebugGuest},
	})
	var r *evidence.Rejection
	if errors.As(err, &r) {
		return r.Check.ID
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestAlteredReports alters a genuine report and its genuine certificate.
func TestAlteredReports(t *testing.T) {
	at := time.Date(2022, 10, 24, 12, 0, 0, 0, time.UTC)
	v := snp.New(snp.Config{})
	report := testdata.AttestationBytes[:abi.ReportSize]
	ours := oursSNP(v, report, testdata.VcekBytes, at)
	theirs := googleSNP(report, testdata.VcekBytes, nil, nil, at)
	if ours != "" || theirs != nil {
		t.Fatalf("the genuine report: %q, %v", ours, theirs)
	}
	random := rand.New(rand.NewPCG(1, 2))
	refused := map[string]int{}
	for i := range inputs(t) {
		r, leaf := report, testdata.VcekBytes
		if i%4 == 0 {
			leaf = alter(leaf, random)
		} else {
			r = alter(r, random)
		}
		id := oursSNP(v, r, leaf, at)
		refused[id]++
		if id != "" {
			continue
		}
		if err := googleSNP(r, leaf, nil, nil, at); err != nil {
			t.Errorf("input %d: accepted, the oracle says %v", i, err)
		}
	}
	t.Logf("refused by %d checks; %d accepted (changes that changed nothing)", len(refused)-1, refused[""])
}

// TestResignedReports alters reports before they are signed with the right key,
// so that only their fields can tell.
func TestResignedReports(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := evidencetest.NewAMD(evidencetest.AMDConfig{Now: at, Bits: 4096, Edit: func(c *x509.Certificate) {
		// Google's verifier looks at where AMD's CRLs are said to be.
		if strings.HasPrefix(c.Subject.CommonName, "ARK") ||
			strings.HasPrefix(c.Subject.CommonName, "SEV-") && c.IsCA {
			c.CRLDistributionPoints = []string{"https://kdsintf.amd.com/vcek/v1/Milan/crl"}
		}
	}})
	roots := map[string][]*trust.AMDRootCerts{"Milan": {{
		ProductLine:  "Milan",
		ProductCerts: &trust.ProductCerts{Ask: a.ASK.Cert, Ark: a.ARK.Cert, Asvk: a.ASVK.Cert},
	}}}
	v := snp.New(snp.Config{Roots: a.Roots()})
	chip := a.Chip(evidencetest.ChipConfig{Product: "Milan-B0"})
	random := rand.New(rand.NewPCG(3, 4))
	n, accepted, both := inputs(t)/4, 0, 0
	for i := range n {
		version := uint32(2 + random.IntN(2))
		report := chip.Report(evidencetest.ReportConfig{Version: version, Policy: 0x30000, Edit: func(b []byte) {
			if i == 0 {
				return
			}
			for range 1 + random.IntN(2) {
				switch random.IntN(4) {
				case 0: // any signed byte
					b[random.IntN(0x2a0)] ^= 1 << random.IntN(8)
				case 1: // the fields that have rules
					at := []int{
						0x00, 0x08, 0x09, 0x0a, 0x0b, 0x30, 0x34, 0x38, 0x3e, 0x3f, 0x40, 0x48, 0x49,
						0x4c, 0x180, 0x186, 0x187, 0x188, 0x189, 0x1a0, 0x1e0, 0x1e6, 0x1e7, 0x1eb,
						0x1f0, 0x1f8, 0x208,
					}
					b[at[random.IntN(len(at))]] ^= 1 << random.IntN(8)
				case 2: // what the guest and the host choose
					b[0x50+random.IntN(0x90)] = byte(random.IntN(256))
				default:
					b[0x140+random.IntN(0x40)] = byte(random.IntN(256))
				}
			}
		}})
		id := oursSNP(v, report, chip.Cert.Raw, at)
		if id != "" {
			continue
		}
		accepted++
		if err := googleSNP(report, chip.Cert.Raw, nil, roots, at); err != nil {
			if listedSNP(err) || loses(t, report) {
				continue
			}
			t.Errorf("input %d: accepted, the oracle says %v", i, err)
			continue
		}
		both++
	}
	t.Logf("%d re-signed reports: %d accepted by us, %d of them by the oracle", n, accepted, both)
	if both < n/10 {
		t.Errorf("only %d of %d were accepted by both: the test shows little", both, n)
	}
}

// loses reports whether the oracle, which checks the signature over bytes that it
// builds again from parsed fields, builds others than it was given: for instance,
// it keeps four bits of CPUID_STEP.
func loses(t *testing.T, report []byte) bool {
	t.Helper()
	parsed, err := abi.ReportToProto(report)
	if err != nil {
		return false
	}
	rebuilt, err := abi.ReportToAbiBytes(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return !bytes.Equal(rebuilt, report)
}

// listedSNP reports whether the oracle's refusal is one of its known defects.
func listedSNP(err error) bool {
	for _, known := range []string{
		// go-sev-guest v0.15.0 knows three exact CPUID values per line and calls
		// the others "Unknown": Bergamo and Siena, and other steppings.
		// With roots given, it finds none for such a product.
		`no embedded roots available for product line: "Unknown"`,
		"could not be verified by any trusted roots. Last error: <nil>",
		// It does not know the FMC patch level of Turin's VCEKs.
		"not an AMD KDS OID: 1.3.6.1.4.1.3704.1.3.9",
	} {
		if strings.Contains(err.Error(), known) {
			return true
		}
	}
	return false
}

// TestRecordedReports compares over the recorded evidence.
func TestRecordedReports(t *testing.T) {
	corpus := os.Getenv("PROBITY_CORPUS")
	if corpus == "" {
		t.Skip("PROBITY_CORPUS names no folder with recorded evidence")
	}
	var manifest struct {
		Cases []struct {
			Name           string         `json:"name"`
			EvaluationTime any            `json:"evaluation_time"`
			Files          map[string]any `json:"files"`
		} `json:"cases"`
	}
	b, err := os.ReadFile(filepath.Join(corpus, "hardware-MANIFEST.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	v := snp.New(snp.Config{})
	compared, both := 0, 0
	for _, c := range manifest.Cases {
		folder := filepath.Join(corpus, c.Name)
		report, err := os.ReadFile(filepath.Join(folder, "report.bin"))
		if err != nil || !strings.HasPrefix(c.Name, "snp/") && !strings.HasPrefix(c.Name, "aci-uvm/") {
			continue
		}
		text, _ := c.EvaluationTime.(string)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			continue
		}
		leaf, err := os.ReadFile(filepath.Join(folder, "vcek.der"))
		var asvk []byte
		var roots map[string][]*trust.AMDRootCerts
		if errors.Is(err, os.ErrNotExist) {
			if leaf, err = os.ReadFile(filepath.Join(folder, "vlek.der")); err != nil {
				continue
			}
			asvk, roots = milanRoots(t, corpus)
		}
		ours, theirs := oursSNP(v, report, leaf, at), googleSNP(report, leaf, asvk, roots, at)
		compared++
		if ours == "" && theirs == nil {
			both++
		}
		if ours == "" && theirs != nil && !listedSNP(theirs) {
			t.Errorf("%s: accepted, the oracle says %v", c.Name, theirs)
		}
		t.Logf("%s: ours %q, theirs %v", c.Name, ours, theirs)
	}
	if compared < 20 || both < 10 {
		t.Errorf("%d cases were compared, %d accepted by both", compared, both)
	}
}

// milanRoots returns what a VLEK of Milan chains to: the ASVK, and it and the ARK as roots.
func milanRoots(t *testing.T, corpus string) (asvk []byte, roots map[string][]*trust.AMDRootCerts) {
	t.Helper()
	chain, err := os.ReadFile(filepath.Join(corpus, "snp", "_roots", "milanv.pem"))
	if err != nil {
		t.Fatal(err)
	}
	first, rest := pem.Decode(chain)
	second, _ := pem.Decode(rest)
	certs := &trust.ProductCerts{}
	if certs.Asvk, err = x509.ParseCertificate(first.Bytes); err != nil {
		t.Fatal(err)
	}
	if certs.Ark, err = x509.ParseCertificate(second.Bytes); err != nil {
		t.Fatal(err)
	}
	return first.Bytes, map[string][]*trust.AMDRootCerts{
		"Milan": {{ProductLine: "Milan", ProductCerts: certs}},
	}
}
