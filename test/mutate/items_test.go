package mutate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"slices"
	"testing"

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
)

func items(t *testing.T) []item {
	t.Helper()
	return slices.Concat(intelItems(), amdItems(t), cborItems(), bootItems(t))
}

// verifierOf returns a maker of verifiers of one kind.
func verifierOf(kind evidence.Kind, trust appraisal.Trust) func() evidence.Verifier {
	return func() evidence.Verifier {
		list := appraisal.Verifiers(trust)
		return list[slices.IndexFunc(list, func(v evidence.Verifier) bool { return v.Kind() == kind })]
	}
}

// all marks every byte as open.
func all(n int) []bool { return slices.Repeat([]bool{true}, n) }

// armour marks what PEM has besides the base64 of certificates: lines that begin with
// hyphens, and the ends of lines.
func armour(b []byte) []bool {
	open := make([]bool, len(b))
	at := bytes.Index(b, []byte("-----BEGIN "))
	if at < 0 {
		return open
	}
	for line := range bytes.Lines(b[at:]) {
		for i, c := range line {
			open[at+i] = bytes.HasPrefix(line, []byte("-----")) || c == '\n' || c == '\r'
		}
		at += len(line)
	}
	return open
}

// zeros marks the zero bytes at the end.
func zeros(b []byte) []bool {
	open := make([]bool, len(b))
	for i := len(bytes.TrimRight(b, "\x00")); i < len(b); i++ {
		open[i] = true
	}
	return open
}

func intelItems() (list []item) {
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(evidencetest.HealthyPlatform())
	trust := appraisal.Trust{Intel: dcap.Config{Anchor: pki.Anchor()}}
	sgxSet := pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTCB(now)})
	tdxSet := pki.Collateral(m, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)})
	with := func(set *collateral.Intel) func([]byte) evidence.Evidence {
		source := collateral.Fixed(set)
		return func(b []byte) evidence.Evidence { return evidence.Evidence{Raw: b, Collateral: source, Time: now} }
	}
	td := evidencetest.HealthyTD()
	td.V15 = true
	quote := m.Quote(evidencetest.QuoteConfig{})
	report := evidencetest.OpenEnclaveReport(quote)
	for _, q := range []struct {
		name  string
		kind  evidence.Kind
		bytes []byte
		set   *collateral.Intel
	}{
		{"SGX quote, version 3", evidence.SGXEnclave, quote, sgxSet},
		{
			"TDX quote, version 4", evidence.TDXVM,
			m.Quote(evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()}), tdxSet,
		},
		{"TDX quote, version 5", evidence.TDXVM, m.Quote(evidencetest.QuoteConfig{TD: td, Version: 5}), tdxSet},
		{"Open Enclave report", evidence.OpenEnclave, report, sgxSet},
	} {
		list = append(list, item{q.name, q.bytes, with(q.set), verifierOf(q.kind, trust), armour(q.bytes)})
	}
	for _, p := range []struct {
		name string
		at   func(*collateral.Intel) *[]byte
	}{
		{"TCB info", func(c *collateral.Intel) *[]byte { return &c.TCBInfo }},
		{"TCB info's signature", func(c *collateral.Intel) *[]byte { return &c.TCBInfoSignature }},
		{"TCB info's chain", func(c *collateral.Intel) *[]byte { return &c.TCBInfoIssuerChain }},
		{"QE identity", func(c *collateral.Intel) *[]byte { return &c.QEIdentity }},
		{"QE identity's signature", func(c *collateral.Intel) *[]byte { return &c.QEIdentitySignature }},
		{"root CRL", func(c *collateral.Intel) *[]byte { return &c.RootCRL }},
		{"PCK CRL", func(c *collateral.Intel) *[]byte { return &c.PCKCRL }},
	} {
		genuine := *p.at(sgxSet)
		list = append(list, item{"Intel's " + p.name, genuine, func(b []byte) evidence.Evidence {
			c := *sgxSet
			*p.at(&c) = b
			return evidence.Evidence{Raw: quote, Collateral: collateral.Fixed(&c), Time: now}
		}, verifierOf(evidence.SGXEnclave, trust), armour(genuine)})
	}
	return list
}

func amdItems(t *testing.T) []item {
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip := amd.Chip(evidencetest.ChipConfig{})
	cloud := amd.Chip(evidencetest.ChipConfig{CSP: "CN=cc-us-east-2.amazonaws.com"})
	publisher := evidencetest.NewUVM(evidencetest.UVMConfig{Now: now})
	measurement := [48]byte{7, 8}
	report := chip.Report(evidencetest.ReportConfig{Measurement: measurement})
	vlek := cloud.Report(evidencetest.ReportConfig{Measurement: measurement})
	chain, vlekChain := append(chip.PEM(), amd.Chain(false)...), append(cloud.PEM(), amd.Chain(true)...)
	plain := publisher.Endorse(measurement[:], evidencetest.EndorsementConfig{})
	envelope := publisher.Endorse(measurement[:], evidencetest.EndorsementConfig{Envelope: true})
	verifier := verifierOf(evidence.SEVSNPVM, appraisal.Trust{AMD: snp.Config{Roots: amd.Roots(),
		UVM: []uvm.Trust{{
			Issuer: publisher.DID(),
			Feed:   "ContainerPlat-AMD-UVM",
			MinSVN: 100,
			Status: "azure-compliant-uvm",
		}}}})
	frame := func(report, chain []byte, endorsements ...[]byte) evidence.Evidence {
		b, err := (&snp.Framed{Report: report, Certificates: chain, Endorsements: endorsements}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return evidence.Evidence{Raw: b, Time: now}
	}
	block, _ := pem.Decode(chip.PEM())
	return []item{
		{"SEV-SNP report", report, func(b []byte) evidence.Evidence { return frame(b, chain) }, verifier, nil},
		{
			"SEV-SNP report signed by a VLEK", vlek,
			func(b []byte) evidence.Evidence { return frame(b, vlekChain) }, verifier, nil,
		},
		{"VCEK certificate", block.Bytes, func(b []byte) evidence.Evidence {
			return frame(report,
				append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}), amd.Chain(false)...))
		}, verifier, nil},
		{
			"endorsement of a utility VM", plain,
			func(b []byte) evidence.Evidence { return frame(report, chain, b) }, verifier, nil,
		},
		{
			"endorsement in an envelope", envelope,
			func(b []byte) evidence.Evidence { return frame(report, chain, b) }, verifier, nil,
		},
	}
}

func cborItems() []item {
	n, arm := evidencetest.NewNitro(evidencetest.NitroConfig{Now: now}), evidencetest.NewArm()
	trust := appraisal.Trust{
		AWS: nitro.Config{Root: n.Root()},
		Arm: cca.Config{Anchors: []cca.Anchor{{Key: &arm.CPAK.PublicKey}}},
	}
	raw := func(b []byte) evidence.Evidence { return evidence.Evidence{Raw: b, Time: now} }
	return []item{
		{"Nitro document", n.Document(evidencetest.DocumentConfig{}), raw, verifierOf(evidence.NitroEnclave,
			trust), nil},
		{"CCA token", arm.CCA(evidencetest.CCAConfig{}), raw, verifierOf(evidence.ArmCCA, trust), nil},
		{"PSA token", arm.PSA([32]byte{1}, nil), raw, verifierOf(evidence.ArmCCA, trust), nil},
	}
}

func bootItems(t *testing.T) (list []item) {
	m := evidencetest.NewTPM(evidencetest.TPMConfig{Now: now})
	roots, err := tpmca.Parse(m.Root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	trust := appraisal.Trust{
		Intel: dcap.Config{Anchor: pki.Anchor()},
		AMD:   snp.Config{Roots: amd.Roots()},
		TPM:   tpm.Config{Authorities: roots},
	}
	trust.Azure.Authorities = roots
	challenge := []byte("sixteen bytes...")
	kernel := evidencetest.NewSecureKernel()
	boot := evidencetest.HealthyBoot(evidencetest.BootConfig{
		Windows: evidencetest.HealthyWindows(kernel.Measured()),
	})
	ima, imaRegister := evidencetest.IMA(evidencetest.IMAEntry{Path: "/usr/bin/bash"},
		evidencetest.IMAEntry{Path: "/etc/passwd"})
	withIMA := *boot
	withIMA.PCRs[10] = imaRegister
	attestation := m.Attestation(evidencetest.TPMEvidence{Boot: boot}, challenge)
	for _, part := range []string{"quote", "signature", "aik_cert"} {
		genuine, err := base64.RawURLEncoding.DecodeString(attestation[part].(string))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, item{"TPM: " + part, genuine, func(b []byte) evidence.Evidence {
			return current(t, challenge, attestation, part, base64.RawURLEncoding.EncodeToString(b))
		}, verifierOf(evidence.TPM, trust), map[bool][]bool{true: zeros(genuine)}[part == "aik_cert"]})
	}
	list = append(list, item{"TPM: log of measured boot", boot.Log, func(b []byte) evidence.Evidence {
		return current(t, challenge, attestation, "logs",
			[]any{map[string]any{"type": "TCG", "log": base64.RawURLEncoding.EncodeToString(b)}})
	}, verifierOf(evidence.TPM, trust), all(len(boot.Log))})
	listed := m.Attestation(evidencetest.TPMEvidence{Boot: &withIMA, IMA: ima}, challenge)
	list = append(list, item{"TPM: list of IMA", ima, func(b []byte) evidence.Evidence {
		return current(t, challenge, listed, "logs", []any{
			map[string]any{"type": "TCG", "log": base64.RawURLEncoding.EncodeToString(boot.Log)},
			map[string]any{"type": "IMA", "log": base64.RawURLEncoding.EncodeToString(b)},
		})
	}, verifierOf(evidence.TPM, trust), all(len(ima))})
	whole := m.Evidence(evidencetest.TPMEvidence{Boot: boot, Challenge: challenge})
	list = append(list, item{"TPM: request", whole, func(b []byte) evidence.Evidence {
		return evidence.Evidence{Raw: b, Challenge: challenge, Time: now}
	}, verifierOf(evidence.TPM, trust), nil})
	list = append(list, enclaveItem(m, kernel, boot, challenge, verifierOf(evidence.VBSEnclave, trust)),
		item{"VBS: log of measured boot", boot.Log, func(b []byte) evidence.Evidence {
			changed := *boot
			changed.Log = b
			return evidence.Evidence{Raw: m.Evidence(evidencetest.TPMEvidence{
				Boot:      &changed,
				Challenge: challenge,
				Enclave: func(signed []byte) []byte {
					return kernel.Report(signed, evidencetest.EnclaveReport{SVN: 9})
				},
			}), Challenge: challenge, Time: now}
		}, verifierOf(evidence.VBSEnclave, trust), all(len(boot.Log))})
	return append(list, guestItems(t, m, amd, boot, verifierOf(evidence.AzureGuest, trust))...)
}

// current makes a message with one part of an attestation replaced.
func current(
	t *testing.T, challenge []byte, attestation map[string]any, part string, value any,
) evidence.Evidence {
	changed := map[string]any{}
	for name, v := range attestation {
		changed[name] = v
	}
	changed[part] = value
	b, err := json.Marshal(map[string]any{"current_attestation": changed})
	if err != nil {
		t.Fatal(err)
	}
	return evidence.Evidence{Raw: b, Challenge: challenge, Time: now}
}

// enclaveItem is the report of a VBS enclave: the change is made in each new report, which
// signs the evidence around it.
func enclaveItem(
	m *evidencetest.TPM, kernel *evidencetest.SecureKernel, boot *evidencetest.Boot, challenge []byte,
	verifier func() evidence.Verifier,
) item {
	make := func(edit func([]byte)) []byte {
		return m.Evidence(evidencetest.TPMEvidence{
			Boot:      boot,
			Challenge: challenge,
			Enclave: func(signed []byte) []byte {
				report := kernel.Report(signed, evidencetest.EnclaveReport{SVN: 9})
				edit(report)
				return report
			},
		})
	}
	var genuine []byte
	make(func(b []byte) { genuine = bytes.Clone(b) })
	return item{"VBS: report of an enclave", genuine, func(b []byte) evidence.Evidence {
		return evidence.Evidence{Raw: make(func(report []byte) {
			for i := range report {
				report[i] ^= genuine[i] ^ b[i]
			}
		}), Challenge: challenge, Time: now}
	}, verifier, nil}
}

func guestItems(
	t *testing.T, m *evidencetest.TPM, amd *evidencetest.AMD, boot *evidencetest.Boot,
	verifier func() evidence.Verifier,
) (list []item) {
	chip := amd.Chip(evidencetest.ChipConfig{})
	guest := evidencetest.NewGuest(evidencetest.TPMConfig{Now: now, Root: &m.Root})
	base := guest.Info(evidencetest.GuestConfig{
		Boot: boot, Mask: 0xffffff, Isolation: "SevSnp", Proof: func(runtime []byte) []byte {
			return chip.Evidence(amd,
				chip.Report(evidencetest.ReportConfig{ReportData: evidencetest.BindData(runtime)}))
		},
	})
	std := base64.StdEncoding
	put := func(path []string, value string) (was string, out []byte) {
		var info map[string]any
		if err := json.Unmarshal(base, &info); err != nil {
			t.Fatal(err)
		}
		at := info
		for _, name := range path[:len(path)-1] {
			at = at[name].(map[string]any)
		}
		was = at[path[len(path)-1]].(string)
		at[path[len(path)-1]] = value
		out, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		return was, out
	}
	for _, path := range [][]string{
		{"TcgLogs"}, {"OSDistro"}, {"TpmInfo", "AikPub"}, {"TpmInfo", "AikCert"},
		{"TpmInfo", "PcrQuote"}, {"TpmInfo", "PcrSignature"}, {"TpmInfo", "EncKeyPub"},
		{"TpmInfo", "EncKeyCertifyInfo"}, {"TpmInfo", "EncKeyCertifyInfoSignature"},
		{"IsolationInfo", "Evidence", "RunTimeData"},
	} {
		was, _ := put(path, "")
		genuine, err := std.DecodeString(was)
		if err != nil {
			t.Fatal(err)
		}
		last := path[len(path)-1]
		var open []bool
		switch last {
		case "TcgLogs", "OSDistro", "AikCert":
			open = all(len(genuine)) // the hardware report names the key; the certificate is not asked
		case "AikPub":
			open = make([]bool, len(genuine))
			copy(open[len(open)-3:], all(3)) // of a buffer of fixed size
		}
		list = append(list, item{"Azure guest: " + last, genuine, func(b []byte) evidence.Evidence {
			_, out := put(path, std.EncodeToString(b))
			return evidence.Evidence{Raw: out, Time: now}
		}, verifier, open})
	}
	return list
}
