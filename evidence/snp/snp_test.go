package snp_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
)

func TestEveryGenerationVerifies(t *testing.T) {
	for name, tc := range map[string]struct {
		line   snp.Line
		chip   evidencetest.ChipConfig
		report evidencetest.ReportConfig
	}{
		"Milan, version 2": {
			snp.Milan, evidencetest.ChipConfig{Product: "Milan-B0"},
			evidencetest.ReportConfig{Version: 2},
		},
		"Milan, version 3": {
			snp.Milan, evidencetest.ChipConfig{Product: "Milan-B1"},
			evidencetest.ReportConfig{Version: 3},
		},
		"Milan, version 4": {
			snp.Milan, evidencetest.ChipConfig{}, evidencetest.ReportConfig{Version: 4},
		},
		"Milan, VLEK": {
			snp.Milan, evidencetest.ChipConfig{CSP: cloud}, evidencetest.ReportConfig{},
		},
		"Milan, masked chip": {
			snp.Milan, evidencetest.ChipConfig{}, evidencetest.ReportConfig{MaskChip: true},
		},
		"Genoa, version 3": {
			snp.Genoa, evidencetest.ChipConfig{Product: "Genoa-B1"},
			evidencetest.ReportConfig{Version: 3},
		},
		"Bergamo is of line Genoa": {
			snp.Genoa, evidencetest.ChipConfig{},
			evidencetest.ReportConfig{Version: 5, Family: 0x19, Model: 0xa0, Stepping: 2},
		},
		"Siena is of line Genoa": {
			snp.Genoa, evidencetest.ChipConfig{},
			evidencetest.ReportConfig{Version: 5, Family: 0x19, Model: 0xa1, Stepping: 0},
		},
		"Genoa, VLEK": {
			snp.Genoa, evidencetest.ChipConfig{CSP: cloud}, evidencetest.ReportConfig{Version: 5},
		},
		"Turin, version 5": {snp.Turin, evidencetest.ChipConfig{}, evidencetest.ReportConfig{}},
		"Turin, another model": {
			snp.Turin, evidencetest.ChipConfig{}, evidencetest.ReportConfig{Family: 0x1a, Model: 0x11},
		},
		"a host that lowered the TCB": {
			snp.Milan, evidencetest.ChipConfig{},
			evidencetest.ReportConfig{Committed: &snp.RawTCB{9, 1, 0, 0, 0, 0, 99, 255}},
		},
		"all mitigation bits, v5": {snp.Turin, evidencetest.ChipConfig{}, evidencetest.ReportConfig{
			Edit: func(b []byte) { copy(b[0x1f8:], bytes.Repeat([]byte{0xff}, 16)) },
		}},
		"unknown platform information": {
			snp.Milan, evidencetest.ChipConfig{},
			evidencetest.ReportConfig{Edit: func(b []byte) { b[0x41] = 0xff }},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, tc.line, tc.chip)
			result, err := l.verify(t, tc.report)
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Checks) < 12 || result.TCB.Status != "UpToDate" || len(result.Reservations) != 0 {
				t.Errorf("result = %+v", result)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	l := newLab(t, snp.Turin, evidencetest.ChipConfig{})
	data := []byte(`{"keys":[],"b":1}`)
	policyText := []byte("package policy")
	report := evidencetest.ReportConfig{
		ReportData:  bound(data),
		HostData:    sha256.Sum256(policyText),
		Measurement: [48]byte{7},
		Policy:      1<<16 | 1<<17 | 1<<18,
		Edit:        func(b []byte) { b[0x10], b[0x20], b[0xe0], b[0x110], b[0x30] = 1, 2, 3, 4, 1 },
	}
	l.ev.RuntimeData = &evidence.Data{Bytes: data, Type: evidence.JSON}
	l.ev.InitTimeData = &evidence.Data{Bytes: policyText}
	result, err := l.verify(t, report)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(result.Claims)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	hexOf := func(size int, first ...byte) string {
		return hex.EncodeToString(append(first, make([]byte, size-len(first))...))
	}
	rd := bound(data)
	want := map[string]any{
		"x-ms-attestation-type": "sevsnpvm", "x-ms-runtime": map[string]any{"keys": []any{}, "b": 1.0},
		"x-ms-sevsnpvm-authorkeydigest": hexOf(48, 4), "x-ms-sevsnpvm-idkeydigest": hexOf(48, 3),
		"x-ms-sevsnpvm-familyId": hexOf(16, 1),
		"x-ms-sevsnpvm-imageId":  hexOf(16, 2), "x-ms-sevsnpvm-launchmeasurement": hexOf(48, 7),
		"x-ms-sevsnpvm-reportdata":     hex.EncodeToString(rd[:]),
		"x-ms-sevsnpvm-bootloader-svn": 1.0, "x-ms-sevsnpvm-tee-svn": 1.0,
		"x-ms-sevsnpvm-snpfw-svn": 4.0, "x-ms-sevsnpvm-microcode-svn": 81.0,
		"x-ms-sevsnpvm-guestsvn": 2.0, "x-ms-sevsnpvm-vmpl": 1.0, "x-ms-sevsnpvm-is-debuggable": false,
		"x-ms-sevsnpvm-migration-allowed": true,
		"x-ms-sevsnpvm-smt-allowed":       true,
	}
	host := sha256.Sum256(policyText)
	want["x-ms-sevsnpvm-hostdata"] = hex.EncodeToString(host[:])
	want["x-ms-sevsnpvm-reportid"] = got["x-ms-sevsnpvm-reportid"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	for name, value := range map[string]string{
		"x-probity-snp-product":     "Turin",
		"x-probity-snp-signing-key": "VCEK",
		"x-probity-snp-revocation":  "unknown",
	} {
		claim, _ := result.Aliases.Get(name)
		if text, _ := claim.Text(); text != value {
			t.Errorf("%s = %q, want %q", name, text, value)
		}
	}
}

func TestADebugGuestIsAReservation(t *testing.T) {
	l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
	report := evidencetest.ReportConfig{Policy: 0xb0000}
	if _, err := l.verify(t, report); !errors.Is(err, snp.CheckDebug) {
		t.Errorf("a debug guest that is not accepted by name: %v", err)
	}
	l.ev.DebugByPolicy = true
	if _, err := l.verify(t, report); !errors.Is(err, snp.CheckDebug) {
		t.Errorf("a debug guest, where a policy judges the debug flag of enclaves: %v", err)
	}
	l.ev.Accept = []string{evidence.DebugGuest}
	result, err := l.verify(t, report)
	if err != nil || len(result.Reservations) != 1 || result.Reservations[0].Accept != evidence.DebugGuest {
		t.Errorf("result = %+v, %v", result.Reservations, err)
	}
	if claim, _ := result.Claims.Get("x-ms-sevsnpvm-is-debuggable"); claim.String() != "true" {
		t.Errorf("is-debuggable = %v", claim)
	}
}

func TestTheFloorOfEachGeneration(t *testing.T) {
	for name, tc := range map[string]struct {
		line snp.Line
		tcb  snp.RawTCB
		want string
	}{
		"Milan at its floor":          {snp.Milan, snp.RawTCB{4, 0, 0, 0, 0, 0, 0x18, 200}, "UpToDate"},
		"Milan below":                 {snp.Milan, snp.RawTCB{4, 0, 0, 0, 0, 0, 0x17, 255}, "OutOfDate"},
		"Genoa at its floor":          {snp.Genoa, snp.RawTCB{10, 0, 0, 0, 0, 0, 0x17, 84}, "UpToDate"},
		"Genoa below":                 {snp.Genoa, snp.RawTCB{255, 255, 0, 0, 0, 0, 0x16, 255}, "OutOfDate"},
		"Turin is not read like them": {snp.Turin, snp.RawTCB{1, 1, 1, 4, 0, 0, 0, 81}, "UpToDate"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, tc.line, evidencetest.ChipConfig{TCB: tc.tcb})
			result, err := l.verify(t, evidencetest.ReportConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if result.TCB.Status != tc.want || (tc.want == "OutOfDate") != (len(result.TCB.Shortfall) == 1 &&
				len(result.TCB.Advisories) == 1) {
				t.Errorf("TCB = %+v, want %s", result.TCB, tc.want)
			}
		})
	}
}

func TestFraming(t *testing.T) {
	l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
	report := l.chip.Report(evidencetest.ReportConfig{})
	vcek := source(t, &collateral.Bundle{VCEK: []*collateral.VCEK{l.chip.VCEK()}})
	certs := append(l.chip.PEM(), l.Chain(false)...)
	framed := func(certs []byte) []byte {
		f := snp.Framed{Report: report, Certificates: certs}
		b, err := f.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	host, err := json.Marshal(map[string]string{
		"vcekCert":         string(l.chip.PEM()),
		"certificateChain": string(l.Chain(false)),
		"tcbm":             "0",
		"cacheControl":     "86400",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		raw    []byte
		source collateral.Source
	}{
		"report, VCEK from the collateral":  {report, vcek},
		"report with a certificate table":   {append(bytes.Clone(report), table(l, true)...), nil},
		"the table in the other byte order": {append(bytes.Clone(report), table(l, false)...), nil},
		"JSON, PEM":                         {framed(certs), nil},
		"JSON, PEM with CRLF": {
			framed(bytes.ReplaceAll(certs, []byte("\n"), []byte("\r\n"))), nil,
		},
		"JSON, the chain in the other order": {
			framed(append(l.ARK.PEM(), append(l.ASK.PEM(), l.chip.PEM()...)...)), nil,
		},
		"JSON, the leaf alone":             {framed(l.chip.PEM()), nil},
		"JSON, the leaf and the root":      {framed(append(l.chip.PEM(), l.ARK.PEM()...)), nil},
		"JSON, the leaf in DER":            {framed(l.chip.Cert.Raw), nil},
		"JSON, the object of Azure's host": {framed(host), nil},
		"JSON, no certificate":             {framed(nil), vcek},
		"JSON, the CAs alone":              {framed(l.Chain(false)), vcek},
		"JSON, padded base64 and other case": {
			[]byte(`{"snpreport":"` + std(report) + `","VCEKCERTCHAIN":"` + std(certs) +
				`","Endorsements":""}`),
			nil,
		},
		"JSON, white space around, more names": {[]byte(" \n" + `{"SnpReport":"` + std(report) +
			`","VcekCertChain":"` + std(certs) + `","Future":1}` + "\n"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			l.ev.Raw, l.ev.Collateral = tc.raw, tc.source
			if _, err := l.run(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// table makes the certificate table of an extended guest request.
func table(l *lab, mixed bool) []byte {
	entries := []struct {
		guid string
		der  []byte
	}{
		{"63da758de6644564adc5f4b93be8accd", l.chip.Cert.Raw},
		{"4ab7b379bbac4fe4a02f05aef327c782", l.ASK.Cert.Raw},
		{"c0b406a4a803495297433fb6014cd0ae", l.ARK.Cert.Raw},
		{"00112233445566778899aabbccddeeff", []byte("something else")},
	}
	head, body := make([]byte, 24*(len(entries)+1)), []byte(nil)
	for i, e := range entries {
		guid, _ := hex.DecodeString(e.guid)
		if mixed {
			guid[0], guid[1], guid[2], guid[3], guid[4], guid[5], guid[6], guid[7] = guid[3], guid[2],
				guid[1], guid[0], guid[5], guid[4], guid[7], guid[6]
		}
		copy(head[24*i:], guid)
		binary.LittleEndian.PutUint32(head[24*i+16:], uint32(len(head)+len(body)))
		binary.LittleEndian.PutUint32(head[24*i+20:], uint32(len(e.der)))
		body = append(body, e.der...)
	}
	return append(head, body...)
}

func TestRevocationLists(t *testing.T) {
	l := newLab(t, snp.Genoa, evidencetest.ChipConfig{})
	foreign := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Genoa})
	amd := func(crl []byte, vlek bool) collateral.Source {
		return source(t, &collateral.Bundle{
			AMD: []*collateral.AMD{{AMDQuery: collateral.AMDQuery{Line: "Genoa", VLEK: vlek}, CRL: crl}},
		})
	}
	for name, tc := range map[string]struct {
		source         collateral.Source
		loose, strict  string // the check that refuses
		wantRevocation string
	}{
		"none":                {nil, "", "snp.crl", "unknown"},
		"of the other branch": {amd(l.CRL(evidencetest.CRLConfig{}), true), "", "snp.crl", "unknown"},
		"empty":               {amd(nil, false), "", "snp.crl", "unknown"},
		"current":             {amd(l.CRL(evidencetest.CRLConfig{}), false), "", "", "good"},
		"current, with another CA": {
			amd(l.CRL(evidencetest.CRLConfig{Revoked: []*big.Int{big.NewInt(0x020001)}}), false), "",
			"", "good",
		},
		"stale": {amd(l.CRL(evidencetest.CRLConfig{NextUpdate: now.AddDate(0, 0, -1)}),
			false), "", "snp.crl", "stale"},
		"revoked": {amd(l.CRL(evidencetest.CRLConfig{Revoked: []*big.Int{l.ASK.Cert.SerialNumber}}),
			false), "snp.ask.revoked", "snp.ask.revoked", ""},
		"revoked, in a stale list": {amd(l.CRL(evidencetest.CRLConfig{
			Revoked:    []*big.Int{l.ASK.Cert.SerialNumber},
			NextUpdate: now.AddDate(0, 0, -1),
		}), false), "snp.ask.revoked", "snp.ask.revoked", ""},
		"signed by the ASK": {
			amd(l.CRL(evidencetest.CRLConfig{Signer: &l.ASK}), false), "snp.crl", "snp.crl", "",
		},
		"signed by another root": {
			amd(foreign.CRL(evidencetest.CRLConfig{}), false), "snp.crl", "snp.crl", "",
		},
		"not a list": {amd([]byte{0x30, 0}, false), "snp.crl", "snp.crl", ""},
		"altered":    {amd(altered(l.CRL(evidencetest.CRLConfig{})), false), "snp.crl", "snp.crl", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l.ev.Collateral = tc.source
			l.cfg.RequireCRL = false
			result, err := l.verify(t, evidencetest.ReportConfig{})
			if got := refusal(t, err); got != tc.loose {
				t.Errorf("refused by %q, want %q", got, tc.loose)
			}
			if claim, ok := result.Aliases.Get("x-probity-snp-revocation"); ok {
				if text, _ := claim.Text(); text != tc.wantRevocation {
					t.Errorf("revocation = %q, want %q", text, tc.wantRevocation)
				}
			}
			l.cfg.RequireCRL = true
			if _, err := l.run(t); refusal(t, err) != tc.strict {
				t.Errorf("with a list required: refused by %q, want %q", refusal(t, err), tc.strict)
			}
		})
	}
}

func altered(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)-1] ^= 1
	return c
}

// TestTheWithdrawnCAOfGenoa is refused without a list available too.
func TestTheWithdrawnCAOfGenoa(t *testing.T) {
	a := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Line: snp.Genoa, Edit: func(c *x509.Certificate) {
		if c.Subject.CommonName == "SEV-Genoa" {
			c.SerialNumber = big.NewInt(0x020001)
		}
	}})
	l := &lab{
		AMD: a, chip: a.Chip(evidencetest.ChipConfig{}), cfg: snp.Config{Roots: a.Roots()},
		ev: evidence.Evidence{Time: now},
	}
	if _, err := l.verify(t, evidencetest.ReportConfig{}); refusal(t, err) != "snp.ask.revoked" {
		t.Errorf("error = %v", err)
	}
}

// TestMemoryForgetsNothingThatMatters verifies good evidence first, so that its
// chain is remembered, then the same chain under other circumstances.
func TestMemoryForgetsNothingThatMatters(t *testing.T) {
	l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
	v := snp.New(l.cfg)
	good := l.chip.Evidence(l.AMD, l.chip.Report(evidencetest.ReportConfig{}))
	revoked := source(t, &collateral.Bundle{AMD: []*collateral.AMD{{AMDQuery: collateral.AMDQuery{Line: "Milan"},
		CRL: l.CRL(evidencetest.CRLConfig{Revoked: []*big.Int{l.ASK.Cert.SerialNumber}})}}})
	flipped := l.chip.Report(evidencetest.ReportConfig{After: func(b []byte) { b[0x90] ^= 1 }})
	other := l.chip.Report(evidencetest.ReportConfig{Reported: &snp.RawTCB{3, 0, 0, 0, 0, 0, 24, 219}})
	bare := l.chip.Report(evidencetest.ReportConfig{})
	vcek := source(t, &collateral.Bundle{VCEK: []*collateral.VCEK{l.chip.VCEK()}})
	strange, err := (&snp.Framed{Report: bare, Certificates: hierarchies[snp.Genoa]().Chain(false)}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for i, tc := range []struct {
		ev   evidence.Evidence
		want string
	}{
		{evidence.Evidence{Raw: good, Time: now}, ""},
		{evidence.Evidence{Raw: good, Time: now}, ""},
		{evidence.Evidence{Raw: good, Time: now.AddDate(8, 0, 0)}, "snp.vcek.validity"},
		{evidence.Evidence{Raw: good, Time: now.AddDate(-6, 0, 0)}, "snp.ask.validity"},
		{evidence.Evidence{Raw: good, Time: now, Collateral: revoked}, "snp.ask.revoked"},
		{evidence.Evidence{Raw: l.chip.Evidence(l.AMD, flipped), Time: now}, "snp.report.signature"},
		{evidence.Evidence{Raw: l.chip.Evidence(l.AMD, other), Time: now}, "snp.vcek.tcb"},
		{evidence.Evidence{Raw: bare, Time: now, Collateral: vcek}, ""},
		{evidence.Evidence{Raw: strange, Time: now, Collateral: vcek}, "snp.ask.signature"},
		{evidence.Evidence{Raw: good, Time: now}, ""},
	} {
		if _, err := v.Verify(t.Context(), tc.ev); refusal(t, err) != tc.want {
			t.Errorf("step %d: refused by %q, want %q", i, refusal(t, err), tc.want)
		}
	}
}

func TestAMDRootsArePinned(t *testing.T) {
	want := map[string]bool{}
	for _, sum := range []string{
		"69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
		"67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
		"c5e081f59b7efab1fe2f8b505e159704e72f29cab7ef7cf628a05a42439082f5",
		"4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
		"5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
		"197e610743a917d6b9bb982a5a9226ccc0a15b611be0619e626aca9151457372",
		"1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
		"5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
		"104e10a8bd060a3c20a434261a57d0588fd65a88915b4f65b08bdecaf8df1a3c",
	} {
		want[sum] = true
	}
	for rest := snp.RootsPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		sum := sha256.Sum256(block.Bytes)
		if !want[hex.EncodeToString(sum[:])] {
			t.Errorf("unexpected certificate %x", sum)
		}
		delete(want, hex.EncodeToString(sum[:]))
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}
