package appraisal_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/nitro"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/evidence/uvm"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
)

// TestPoliciesKnowEveryClaim: what evidence can state, the linter knows, with
// its type, and no policy can make up, nor any member of a token.
func TestPoliciesKnowEveryClaim(t *testing.T) {
	turin := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Turin})
	milan := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	publisher, enclaves, arm := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now}),
		evidencetest.NewNitro(evidencetest.NitroConfig{Now: now}), evidencetest.NewArm()
	chip := turin.Chip(evidencetest.ChipConfig{})
	lent := milan.Chip(evidencetest.ChipConfig{CSP: "CN=cc-x.amazonaws.com"})
	machine, kernel, azure := evidencetest.NewGuest(evidencetest.TPMConfig{Now: now}),
		evidencetest.NewSecureKernel(), milan.Chip(evidencetest.ChipConfig{})
	authority, err := tpmca.Parse(machine.Root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	trust := []uvm.Trust{{Issuer: publisher.DID(), Feed: "ContainerPlat-AMD-UVM", Status: "azure-compliant-uvm"}}
	data := &evidence.Data{Bytes: []byte("{}"), Type: evidence.JSON}
	bound := evidencetest.BindData(data.Bytes)
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	platform := pki.Platform(evidencetest.HealthyPlatform())
	intel := appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}
	source, err := collateral.NewStatic(&collateral.Bundle{Intel: []*collateral.Intel{
		pki.Collateral(platform, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)}),
		pki.Collateral(platform, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := instanceSigner(t, key)
	provider := appraisal.Provider{
		Signer: signer, TokenTime: now, Audience: []string{"a", "b"}, Subject: "x-ms-attestation-type",
		PolicySigner: []byte(`{}`),
	}
	enclave, td := evidencetest.DemoEnclave(), evidencetest.HealthyTD()
	enclave.ReportData, td.ReportData = bound, bound
	for name, tc := range map[string]struct {
		kind  evidence.Kind
		trust appraisal.Trust
		raw   []byte
		init  *evidence.Data
	}{
		"Turin with an endorsement": {
			evidence.SEVSNPVM,
			appraisal.Trust{AMD: snp.Config{Roots: turin.Roots(), UVM: trust}},
			chip.Evidence(turin,
				chip.Report(evidencetest.ReportConfig{ReportData: bound, HostData: [32]byte(bound[:32])}),
				publisher.Endorse(make([]byte, 48), evidencetest.EndorsementConfig{})),
			data,
		},
		"Milan with a VLEK": {
			evidence.SEVSNPVM, appraisal.Trust{AMD: snp.Config{Roots: milan.Roots()}},
			lent.Evidence(milan, lent.Report(evidencetest.ReportConfig{ReportData: bound})), nil,
		},
		"Nitro": {evidence.NitroEnclave, appraisal.Trust{AWS: nitro.Config{Root: enclaves.Root()}},
			enclaves.Document(evidencetest.DocumentConfig{UserData: bound[:32],
				Edit: func(p map[string]any) { p["nonce"], p["public_key"] = []byte{1}, []byte{2} }}), nil},
		"CCA": {
			evidence.ArmCCA,
			appraisal.Trust{Arm: cca.Config{Anchors: []cca.Anchor{{Key: &arm.CPAK.PublicKey}}}},
			arm.CCA(evidencetest.CCAConfig{
				Challenge:       bound,
				Personalization: bound,
				EditPlatform:    func(c map[int64]any) { c[2400] = "x" },
			}),
			data,
		},
		"PSA": {
			evidence.ArmCCA,
			appraisal.Trust{Arm: cca.Config{Anchors: []cca.Anchor{{Key: &arm.CPAK.PublicKey}}}},
			arm.PSA([32]byte(bound[:32]), func(c map[int64]any) {
				c[2397], c[2398], c[2400] = []byte{1}, "x", "y"
			}),
			nil,
		},
		"TPM": {evidence.TPM, appraisal.Trust{TPM: tpm.Config{Authorities: authority}},
			machine.Evidence(evidencetest.TPMEvidence{
				Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{}),
				Challenge: []byte("c"),
			}), nil},
		"SGX": {evidence.SGXEnclave, intel, platform.Quote(evidencetest.QuoteConfig{Enclave: enclave}), nil},
		"TDX": {evidence.TDXVM, intel, platform.Quote(evidencetest.QuoteConfig{TD: td}), nil},
		"an enclave": {evidence.VBSEnclave, appraisal.Trust{TPM: tpm.Config{Authorities: authority}},
			machine.Evidence(evidencetest.TPMEvidence{Challenge: []byte("c"),
				Boot: evidencetest.HealthyBoot(evidencetest.BootConfig{
					Windows: evidencetest.HealthyWindows(kernel.Measured()),
				}),
				Enclave: func(signed []byte) []byte {
					return kernel.Report(signed, evidencetest.EnclaveReport{})
				}}), nil},
		"an Azure guest": {evidence.AzureGuest, appraisal.Trust{AMD: snp.Config{Roots: milan.Roots()}},
			machine.Info(evidencetest.GuestConfig{
				Boot:      evidencetest.HealthyBoot(evidencetest.BootConfig{}),
				Isolation: "SevSnp",
				Proof: func(runtime []byte) []byte {
					return azure.Evidence(milan,
						azure.Report(evidencetest.ReportConfig{ReportData: evidencetest.BindData(runtime)}))
				},
			}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			data := data
			if tc.kind == evidence.TPM || tc.kind == evidence.VBSEnclave || tc.kind == evidence.AzureGuest {
				data = nil
			}
			a := &appraisal.Appraiser{
				Verifiers:  appraisal.Verifiers(tc.trust),
				Collateral: source,
				Random:     rand.Reader,
			}
			v, err := a.Appraise(t.Context(), appraisal.Request{
				Kind: tc.kind, Evidence: tc.raw, RuntimeData: data, InitTimeData: tc.init,
				Nonce: []byte("1"), Time: now,
			}, provider)
			if err != nil || !v.Accepted {
				t.Fatalf("%+v, %v", v, err)
			}
			checkVocabulary(t, tc.kind, v)
			_, payload, err := token.Decode(v.Token)
			members := map[string]any{}
			if err := errors.Join(err, json.Unmarshal(payload, &members)); err != nil {
				t.Fatal(err)
			}
			for member := range members {
				if !policy.Reserved(member) {
					t.Errorf("a policy may make up the member %s of tokens", member)
				}
			}
		})
	}
}

// checkVocabulary compares the claims of a verdict with the vocabulary of its kind.
func checkVocabulary(t *testing.T, kind evidence.Kind, v *appraisal.Verdict) {
	t.Helper()
	terms := map[string]policy.Term{}
	for _, term := range policy.Vocabulary(string(kind)) {
		terms[term.Name] = term
	}
	for _, c := range v.Known.All() {
		term, ok := terms[c.Type]
		if !ok {
			t.Errorf("claim %s is not in the vocabulary of policies", c.Type)
			continue
		}
		if got := c.Value.Type(); got != term.Type {
			t.Errorf("claim %s is of type %v, the vocabulary says %v", c.Type, got, term.Type)
		}
		if inToken := v.Claims.Has(c.Type); inToken == term.PolicyOnly {
			t.Errorf("claim %s is in the token: %t; the vocabulary says that policies alone see it: %t",
				c.Type, inToken, term.PolicyOnly)
		}
		if !policy.Reserved(c.Type) || !policy.Reserved(strings.ToUpper(c.Type)) {
			t.Errorf("a policy may make up %s", c.Type)
		}
	}
}

// instanceSigner signs tokens of https://x with a key.
func instanceSigner(t *testing.T, key crypto.Signer) *token.Signer {
	t.Helper()
	cert, err := token.InstanceCertificate(rand.Reader, "https://x", key, now)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner("https://x", key, cert, "")
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
