package snp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
)

func std(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// zeroSignature empties r and s.
func zeroSignature(b []byte) { clear(b[0x2a0:0x330]) }

// TestMustRefuseReports alters the report; every case is signed by the right
// key unless it says otherwise.
func TestMustRefuseReports(t *testing.T) {
	flip := func(at int) evidencetest.ReportConfig {
		return evidencetest.ReportConfig{After: func(b []byte) { b[at] ^= 1 }}
	}
	set := func(at int, values ...byte) evidencetest.ReportConfig {
		return evidencetest.ReportConfig{Edit: func(b []byte) { copy(b[at:], values) }}
	}
	for name, tc := range map[string]struct {
		report evidencetest.ReportConfig
		want   string
	}{
		"the result of the ECDSA check ignored":              {flip(0x90), "snp.report.signature"},
		"raw bytes hashed as parsed: a reserved bit is lost": {flip(0x29f), "snp.report.reserved"},
		"a signed reserved bit":                              {set(0x29f, 1), "snp.report.reserved"},
		"padding after the signature":                        {flip(0x340), "snp.report.reserved"},
		"the last byte":                                      {flip(0x49f), "snp.report.reserved"},
		"upper bytes of r":                                   {flip(0x2a0 + 50), "snp.report.reserved"},
		"upper bytes of s":                                   {flip(0x2e8 + 71), "snp.report.reserved"},
		"r altered":                                          {flip(0x2a0), "snp.report.signature"},
		"s altered":                                          {flip(0x2e8), "snp.report.signature"},
		"r and s zero": {
			evidencetest.ReportConfig{After: zeroSignature}, "snp.report.signature",
		},
		"r and s beyond the order": {evidencetest.ReportConfig{After: func(b []byte) {
			copy(b[0x2a0:], bytes.Repeat([]byte{255}, 48))
			copy(b[0x2e8:], bytes.Repeat([]byte{255}, 48))
		}}, "snp.report.signature"},
		"report data altered": {flip(0x50), "snp.report.signature"},
		"host data altered":   {flip(0xc0), "snp.report.signature"},
		"the debug bit cleared": {
			evidencetest.ReportConfig{Policy: 0xb0000, After: func(b []byte) { b[10] &^= 8 }},
			"snp.report.signature",
		},
		"version 1":                            {set(0, 1), "snp.report.format"},
		"version 6":                            {set(0, 6), "snp.report.format"},
		"signature algorithm 0":                {set(0x34, 0), "snp.report.signature-algorithm"},
		"signature algorithm 2":                {set(0x34, 2), "snp.report.signature-algorithm"},
		"signed with no key":                   {set(0x48, 7<<2), "snp.report.signing-key"},
		"an unknown signing key":               {set(0x48, 2<<2), "snp.report.signing-key"},
		"reserved bits beside the signing key": {set(0x48, 0x20), "snp.report.reserved"},
		"reserved bytes after the signing key": {set(0x4c, 1), "snp.report.reserved"},
		"CPUID fields in version 2": {evidencetest.ReportConfig{Version: 2, Edit: func(b []byte) {
			b[0x188] = 0x19
		}}, "snp.report.reserved"},
		"mitigation vectors in version 3": {set(0x1f8, 1), "snp.report.reserved"},
		"reserved policy bits": {
			evidencetest.ReportConfig{Policy: 1<<17 | 1<<26}, "snp.report.policy",
		},
		"bit 17 of the policy not set": {
			evidencetest.ReportConfig{Policy: 1 << 16}, "snp.report.policy",
		},
		"requested by the host":          {set(0x30, 255, 255, 255, 255), "snp.report.vmpl"},
		"VMPL 4":                         {set(0x30, 4), "snp.report.vmpl"},
		"CHIP_ID not compared with HWID": {set(0x1a0, 1, 2, 3), "snp.vcek.hwid"},
		"SPLs not compared with REPORTED_TCB": {evidencetest.ReportConfig{Reported: &snp.RawTCB{
			4, 0, 0, 0, 0, 0, 25, 219,
		}, Committed: &snp.RawTCB{4, 0, 0, 0, 0, 0, 25, 219}}, "snp.vcek.tcb"},
		"a key of an old TCB": {
			evidencetest.ReportConfig{Reported: &snp.RawTCB{4, 0, 0, 0, 0, 0, 23, 219}},
			"snp.vcek.tcb",
		},
		"a reserved byte in REPORTED_TCB": {
			evidencetest.ReportConfig{Reported: &snp.RawTCB{4, 0, 1, 0, 0, 0, 24, 219}},
			"snp.vcek.tcb",
		},
		"COMMITTED_TCB below REPORTED_TCB": {
			evidencetest.ReportConfig{Committed: &snp.RawTCB{4, 0, 0, 0, 0, 0, 23, 219}},
			"snp.report.tcb-order",
		},
		"committed firmware above the current": {evidencetest.ReportConfig{Edit: func(b []byte) {
			b[0x1ec] = 42
		}}, "snp.report.firmware-order"},
		"a reserved byte of COMMITTED_TCB above CURRENT_TCB": {
			evidencetest.ReportConfig{Edit: func(b []byte) { b[0x1e4] = 1 }}, "snp.report.tcb-order",
		},
		"CURRENT_TCB below COMMITTED_TCB": {
			evidencetest.ReportConfig{Edit: func(b []byte) { b[0x38] = 3 }}, "snp.report.tcb-order",
		},
		"a CPU of another line": {
			evidencetest.ReportConfig{Family: 0x19, Model: 0x11}, "snp.product",
		},
		"a CPU of another family": {evidencetest.ReportConfig{Family: 0x1a, Model: 1}, "snp.product"},
		"a CPU that is not known": {
			evidencetest.ReportConfig{Family: 0x19, Model: 0x50}, "snp.product",
		},
		"a report of a VLEK with a VCEK": {set(0x48, 1<<2), "snp.vcek.kind"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
			result, err := l.verify(t, tc.report)
			if got := refusal(t, err); got != tc.want {
				t.Errorf("refused by %q, want %q", got, tc.want)
			}
			if result.Claims.Len() != 0 {
				t.Errorf("a refused report gave claims: %v", result.Claims)
			}
		})
	}
}

// TestMustRefuseCertificates alters the certificate of the key.
func TestMustRefuseCertificates(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	arc := func(arcs ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}, arcs...)
	}
	drop := func(arcs ...int) evidencetest.ChipConfig {
		return evidencetest.ChipConfig{EditExtensions: func(list []pkix.Extension) []pkix.Extension {
			return slices.DeleteFunc(list, func(e pkix.Extension) bool { return e.Id.Equal(arc(arcs...)) })
		}}
	}
	replace := func(value []byte, arcs ...int) evidencetest.ChipConfig {
		return evidencetest.ChipConfig{EditExtensions: func(list []pkix.Extension) []pkix.Extension {
			for i := range list {
				if list[i].Id.Equal(arc(arcs...)) {
					list[i].Value = value
				}
			}
			return list
		}}
	}
	milan, foreign := hierarchies[snp.Milan](), evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	genoa := hierarchies[snp.Genoa]()
	for name, tc := range map[string]struct {
		line snp.Line
		chip evidencetest.ChipConfig
		want string
	}{
		"signed by another ASK of the same name": {
			snp.Milan, evidencetest.ChipConfig{Issuer: &foreign.ASK}, "snp.vcek.signature",
		},
		"signed by the root itself": {
			snp.Milan, evidencetest.ChipConfig{Issuer: &milan.ARK}, "snp.vcek.signature",
		},
		"signed by the ASVK": {
			snp.Milan, evidencetest.ChipConfig{Issuer: &milan.ASVK}, "snp.vcek.signature",
		},
		"signed by the ASK of another line": {
			snp.Milan, evidencetest.ChipConfig{Issuer: &genoa.ASK}, "snp.vcek.signature",
		},
		"a VLEK accepted through the VCEK branch": {
			snp.Milan, evidencetest.ChipConfig{CSP: cloud, Issuer: &milan.ASK}, "snp.vcek.signature",
		},
		"a VLEK of any cloud": {
			snp.Milan, evidencetest.ChipConfig{CSP: "CN=cc-evil.example.org"}, "snp.vlek.csp-id",
		},
		"a VLEK whose cloud only ends alike": {
			snp.Milan, evidencetest.ChipConfig{CSP: "CN=cc-eu.evil.amazonaws.com"}, "snp.vlek.csp-id",
		},
		"a VLEK whose cloud has no region": {
			snp.Milan, evidencetest.ChipConfig{CSP: "CN=cc-.amazonaws.com"}, "snp.vlek.csp-id",
		},
		"a VLEK whose cloud has more behind": {
			snp.Milan, evidencetest.ChipConfig{CSP: cloud + ".evil"}, "snp.vlek.csp-id",
		},
		"a VLEK with a HWID": {snp.Milan,
			evidencetest.ChipConfig{CSP: cloud, EditExtensions: func(l []pkix.Extension) []pkix.Extension {
				return append(l, pkix.Extension{Id: arc(4), Value: make([]byte, 64)})
			}}, "snp.vcek.format"},
		"an expired VCEK": {snp.Milan, evidencetest.ChipConfig{Edit: func(c *x509.Certificate) {
			c.NotAfter = now.AddDate(0, 0, -1)
		}}, "snp.vcek.validity"},
		"an expired VLEK, good at its issue time": {snp.Milan, evidencetest.ChipConfig{CSP: cloud,
			Edit: func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, -1) }}, "snp.vcek.validity"},
		"a VCEK that is not valid yet": {snp.Milan, evidencetest.ChipConfig{Edit: func(c *x509.Certificate) {
			c.NotBefore = now.AddDate(0, 0, 1)
		}}, "snp.vcek.validity"},
		"a key on P-256": {snp.Milan, evidencetest.ChipConfig{Key: p256}, "snp.vcek.format"},
		"a leaf that is a CA": {snp.Milan, evidencetest.ChipConfig{Edit: func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid = true, true
		}}, "snp.vcek.format"},
		"a critical extension": {
			snp.Milan, evidencetest.ChipConfig{EditExtensions: func(l []pkix.Extension) []pkix.Extension {
				return append(l, pkix.Extension{Id: arc(99), Critical: true, Value: []byte{5, 0}})
			}}, "snp.vcek.format",
		},
		"no HWID":                 {snp.Milan, drop(4), "snp.vcek.format"},
		"a HWID cut short":        {snp.Milan, replace(make([]byte, 63), 4), "snp.vcek.format"},
		"no boot loader SPL":      {snp.Milan, drop(3, 1), "snp.vcek.format"},
		"no TEE SPL":              {snp.Milan, drop(3, 2), "snp.vcek.format"},
		"no SNP SPL":              {snp.Milan, drop(3, 3), "snp.vcek.format"},
		"no microcode SPL":        {snp.Milan, drop(3, 8), "snp.vcek.format"},
		"an SPL beyond a byte":    {snp.Milan, replace([]byte{2, 2, 1, 0}, 3, 8), "snp.vcek.format"},
		"a negative SPL":          {snp.Milan, replace([]byte{2, 1, 0xff}, 3, 8), "snp.vcek.format"},
		"an SPL with more behind": {snp.Milan, replace([]byte{2, 1, 219, 0}, 3, 8), "snp.vcek.format"},
		"no product":              {snp.Milan, drop(2), "snp.vcek.format"},
		"an unknown product": {
			snp.Milan, evidencetest.ChipConfig{Product: "Naples"}, "snp.vcek.format",
		},
		"a product that only begins alike": {
			snp.Milan, evidencetest.ChipConfig{Product: "Milano"}, "snp.vcek.format",
		},
		"a product of another line": {
			snp.Milan, evidencetest.ChipConfig{Product: "Genoa"}, "snp.product",
		},
		"Turin without FMC":             {snp.Turin, drop(3, 9), "snp.vcek.format"},
		"Turin with another FMC":        {snp.Turin, replace([]byte{2, 1, 2}, 3, 9), "snp.vcek.tcb"},
		"Turin with a HWID of 64 bytes": {snp.Turin, replace(make([]byte, 64), 4), "snp.vcek.format"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, tc.line, tc.chip)
			if _, err := l.verify(t, evidencetest.ReportConfig{}); refusal(t, err) != tc.want {
				t.Errorf("refused by %q, want %q", refusal(t, err), tc.want)
			}
		})
	}
}

// TestMustRefuseTurinReadLikeMilan has patch levels that agree only if the
// bytes are read with the older layout.
func TestMustRefuseTurinReadLikeMilan(t *testing.T) {
	l := newLab(t, snp.Turin, evidencetest.ChipConfig{TCB: snp.RawTCB{1, 1, 1, 4, 0, 0, 0, 81}})
	for _, reported := range []snp.RawTCB{
		{1, 1, 1, 5, 0, 0, 0, 81},
		{1, 1, 2, 4, 0, 0, 0, 81},
		{2, 1, 1, 4, 0, 0, 0, 81},
		{1, 1, 1, 4, 0, 0, 9, 81},
	} {
		_, err := l.verify(t,
			evidencetest.ReportConfig{Reported: &reported, Committed: &snp.RawTCB{9, 9, 9, 9, 0, 0, 9, 99}})
		if refusal(t, err) != "snp.vcek.tcb" {
			t.Errorf("%x: refused by %q", reported, refusal(t, err))
		}
	}
	// The chip's id has 8 bytes; what follows must be zero.
	_, err := l.verify(t, evidencetest.ReportConfig{Edit: func(b []byte) { b[0x1a0+8] = 1 }})
	if refusal(t, err) != "snp.vcek.hwid" {
		t.Errorf("refused by %q", refusal(t, err))
	}
}

func TestMustRefuseChains(t *testing.T) {
	l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
	evil := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	genoa := hierarchies[snp.Genoa]()
	stranger := evil.Chip(evidencetest.ChipConfig{HWID: l.chip.HWID})
	weakCA := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Edit: func(c *x509.Certificate) {
		if c.Subject.CommonName == "SEV-Milan" {
			c.IsCA, c.MaxPathLenZero, c.KeyUsage = false, false, x509.KeyUsageDigitalSignature
		}
	}})
	oldCA := evidencetest.NewAMD(evidencetest.AMDConfig{Now: now, Edit: func(c *x509.Certificate) {
		if c.Subject.CommonName == "SEV-Milan" {
			c.NotAfter = now.AddDate(0, 0, -1)
		}
	}})
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, tc := range map[string]struct {
		roots *evidencetest.AMD
		chip  *evidencetest.Chip
		certs []byte
		want  string
	}{
		"the trust anchor read from the evidence": {
			l.AMD, stranger, join(stranger.PEM(), evil.ASK.PEM(), evil.ARK.PEM()), "snp.ask.signature",
		},
		"a foreign ASK under the right root": {
			l.AMD, stranger, join(stranger.PEM(), evil.ASK.PEM(), l.ARK.PEM()), "snp.ask.signature",
		},
		"a foreign VCEK under the right CAs": {
			l.AMD, stranger, join(stranger.PEM(), l.Chain(false)), "snp.vcek.signature",
		},
		"a foreign VCEK alone": {l.AMD, stranger, stranger.PEM(), "snp.vcek.signature"},
		"the CAs of another line": {
			l.AMD, l.chip, join(l.chip.PEM(), genoa.Chain(false)), "snp.ask.signature",
		},
		"the CAs of the VLEK branch": {
			l.AMD, l.chip, join(l.chip.PEM(), l.Chain(true)), "snp.ask.signature",
		},
		"no certificate and no collateral": {l.AMD, l.chip, nil, "snp.collateral"},
		"the CAs alone":                    {l.AMD, l.chip, l.Chain(false), "snp.collateral"},
		"two leaves": {
			l.AMD, l.chip, join(l.chip.PEM(), stranger.PEM(), l.Chain(false)), "snp.certificates",
		},
		"the same leaf twice": {
			l.AMD, l.chip, join(l.chip.PEM(), l.chip.PEM(), l.Chain(false)), "snp.certificates",
		},
		"not certificates": {l.AMD, l.chip, []byte("hello"), "snp.certificates"},
		"more certificates than anyone needs": {
			l.AMD, l.chip, bytes.Repeat(l.ARK.PEM(), 9), "snp.certificates",
		},
		"more bytes than anyone needs": {
			l.AMD, l.chip, bytes.Repeat([]byte{'\n'}, 65<<10), "snp.report.format",
		},
		"a key instead of a certificate": {
			l.AMD, l.chip, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
			"snp.certificates",
		},
		"an intermediate that is no CA": {
			weakCA, weakCA.Chip(evidencetest.ChipConfig{}), nil, "snp.ask.signature",
		},
		"an intermediate that has expired": {
			oldCA, oldCA.Chip(evidencetest.ChipConfig{}), nil, "snp.ask.validity",
		},
		"test roots, in a verifier for production": {
			nil, l.chip, join(l.chip.PEM(), l.Chain(false)), "snp.ask.signature",
		},
	} {
		t.Run(name, func(t *testing.T) {
			certs := tc.certs
			if strings.HasPrefix(name, "an intermediate") {
				certs = join(tc.chip.PEM(), tc.roots.Chain(false))
			}
			cfg := snp.Config{}
			if tc.roots != nil {
				cfg.Roots = tc.roots.Roots()
			}
			f := snp.Framed{Report: tc.chip.Report(evidencetest.ReportConfig{}), Certificates: certs}
			raw, err := f.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			_, err = snp.New(cfg).Verify(t.Context(), evidence.Evidence{Raw: raw, Time: now})
			if refusal(t, err) != tc.want {
				t.Errorf("refused by %q, want %q", refusal(t, err), tc.want)
			}
		})
	}
}

func TestMustRefuseBindings(t *testing.T) {
	data := []byte(`{"a":1}`)
	full := bound(data)
	full[63] = 1
	prefix := bound(data)
	prefix[31] ^= 1
	for name, tc := range map[string]struct {
		report evidencetest.ReportConfig
		data   *evidence.Data
		init   *evidence.Data
		want   string
	}{
		"REPORT_DATA mismatch treated as a note": {
			evidencetest.ReportConfig{}, &evidence.Data{Bytes: data}, nil,
			"snp.report-data.runtime-data",
		},
		"only a prefix compared": {
			evidencetest.ReportConfig{ReportData: prefix}, &evidence.Data{Bytes: data}, nil,
			"snp.report-data.runtime-data",
		},
		"the second half of REPORT_DATA not zero": {
			evidencetest.ReportConfig{ReportData: full}, &evidence.Data{Bytes: data}, nil,
			"snp.report-data.runtime-data",
		},
		"one byte more": {
			evidencetest.ReportConfig{ReportData: bound(data)},
			&evidence.Data{Bytes: append(bytes.Clone(data), ' ')}, nil, "snp.report-data.runtime-data",
		},
		"HOST_DATA of another policy": {
			evidencetest.ReportConfig{HostData: [32]byte{1}}, nil, &evidence.Data{Bytes: data},
			"snp.host-data.init-time-data",
		},
		"JSON that is none": {
			evidencetest.ReportConfig{ReportData: bound([]byte("x"))},
			&evidence.Data{Bytes: []byte("x"), Type: evidence.JSON}, nil, "snp.runtime-data.json",
		},
		"JSON with a duplicate member": {
			evidencetest.ReportConfig{ReportData: bound([]byte(`{"a":1,"a":2}`))},
			&evidence.Data{Bytes: []byte(`{"a":1,"a":2}`), Type: evidence.JSON}, nil,
			"snp.runtime-data.json",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
			l.ev.RuntimeData, l.ev.InitTimeData = tc.data, tc.init
			if _, err := l.verify(t, tc.report); refusal(t, err) != tc.want {
				t.Errorf("refused by %q, want %q", refusal(t, err), tc.want)
			}
		})
	}
}

func TestMustRefuseByConfiguration(t *testing.T) {
	l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
	turin := newLab(t, snp.Turin, evidencetest.ChipConfig{})
	for name, tc := range map[string]struct {
		lab    *lab
		edit   func(*snp.Config)
		report evidencetest.ReportConfig
		want   string
	}{
		"a refused line": {
			l, func(c *snp.Config) { c.RefuseLines = []snp.Line{snp.Milan} },
			evidencetest.ReportConfig{}, "snp.product.refused",
		},
		"a refused line, version 2": {
			l, func(c *snp.Config) { c.RefuseLines = []snp.Line{snp.Milan} },
			evidencetest.ReportConfig{Version: 2}, "snp.product.refused",
		},
		"another line is refused": {
			l, func(c *snp.Config) { c.RefuseLines = []snp.Line{snp.Genoa} },
			evidencetest.ReportConfig{}, "",
		},
		"a refused chip": {
			l, func(c *snp.Config) { c.RefuseChips = [][]byte{l.chip.HWID} },
			evidencetest.ReportConfig{}, "snp.chip.refused",
		},
		"a refused chip that masks its id": {
			l, func(c *snp.Config) { c.RefuseChips = [][]byte{l.chip.HWID} },
			evidencetest.ReportConfig{MaskChip: true}, "snp.chip.refused",
		},
		"a refused chip of 8 bytes": {
			turin, func(c *snp.Config) { c.RefuseChips = [][]byte{turin.chip.HWID} },
			evidencetest.ReportConfig{}, "snp.chip.refused",
		},
		"another chip is refused": {
			l, func(c *snp.Config) { c.RefuseChips = [][]byte{make([]byte, 64)} },
			evidencetest.ReportConfig{}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			saved := tc.lab.cfg
			defer func() { tc.lab.cfg = saved }()
			tc.edit(&tc.lab.cfg)
			if _, err := tc.lab.verify(t, tc.report); refusal(t, err) != tc.want {
				t.Errorf("refused by %q, want %q", refusal(t, err), tc.want)
			}
		})
	}
}

func TestFramesThatAreRefused(t *testing.T) {
	l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
	report := l.chip.Report(evidencetest.ReportConfig{})
	for name, raw := range map[string][]byte{
		"nothing": nil, "one byte short": report[:1183],
		"one byte more": append(bytes.Clone(report), 0), "no report": []byte(`{"VcekCertChain":"AAAA"}`),
		"cut JSON":         []byte(`{"SnpReport":"AAAA"`),
		"duplicate member": []byte(`{"SnpReport":"` + std(report) + `","SnpReport":""}`),
		"not base64":       []byte(`{"SnpReport":"!"}`), "a list": []byte(`[]`),
		"a report cut short in JSON": []byte(`{"SnpReport":"` + std(report[:1000]) + `"}`),
		"chain not base64":           []byte(`{"SnpReport":"` + std(report) + `","VcekCertChain":"!"}`),
		"endorsements not JSON":      []byte(`{"SnpReport":"` + std(report) + `","Endorsements":"AAAA"}`),
		"an endorsement not base64": []byte(
			`{"SnpReport":"` + std(report) + `","Endorsements":"` + std([]byte(`{"Uvm":["!"]}`)) + `"}`,
		),
		"an empty endorsement": []byte(
			`{"SnpReport":"` + std(report) + `","Endorsements":"` + std([]byte(`{"Uvm":[""]}`)) + `"}`,
		),
		"too many endorsements": []byte(`{"SnpReport":"` + std(report) + `","Endorsements":"` +
			std([]byte(`{"Uvm":["AAAA","AAAA","AAAA","AAAA","AAAA"]}`)) + `"}`),
		"a table without an end": append(bytes.Clone(report), bytes.Repeat([]byte{1}, 100)...),
	} {
		t.Run(name, func(t *testing.T) {
			l.ev.Raw = raw
			if _, err := l.run(t); refusal(t, err) != "snp.report.format" {
				t.Errorf("refused by %q", refusal(t, err))
			}
		})
	}
}

func TestTheVCEKIsAskedFor(t *testing.T) {
	l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
	other := l.AMD.Chip(evidencetest.ChipConfig{})
	vlek := newLab(t, snp.Milan, evidencetest.ChipConfig{CSP: cloud})
	wrong := &collateral.VCEK{Path: l.chip.VCEK().Path, Certificate: other.Cert.Raw}
	for name, tc := range map[string]struct {
		chip   *evidencetest.Chip
		report evidencetest.ReportConfig
		held   []*collateral.VCEK
		want   string
	}{
		"found": {
			l.chip, evidencetest.ReportConfig{}, []*collateral.VCEK{l.chip.VCEK()}, "",
		},
		"found, version 2": {
			l.chip, evidencetest.ReportConfig{Version: 2}, []*collateral.VCEK{l.chip.VCEK()}, "",
		},
		"that of another chip is there": {
			l.chip, evidencetest.ReportConfig{}, []*collateral.VCEK{other.VCEK()}, "snp.collateral",
		},
		"that of another chip is given": {
			l.chip, evidencetest.ReportConfig{}, []*collateral.VCEK{wrong}, "snp.vcek.hwid",
		},
		"garbage is given": {
			l.chip, evidencetest.ReportConfig{},
			[]*collateral.VCEK{{Path: l.chip.VCEK().Path, Certificate: []byte("x")}},
			"snp.vcek.format",
		},
		"a masked chip cannot be asked": {
			l.chip, evidencetest.ReportConfig{MaskChip: true}, []*collateral.VCEK{l.chip.VCEK()},
			"snp.collateral",
		},
		"a VLEK cannot be asked for": {vlek.chip, evidencetest.ReportConfig{}, nil, "snp.collateral"},
		"an unknown CPU has no line": {
			l.chip, evidencetest.ReportConfig{Family: 0x19, Model: 0x60},
			[]*collateral.VCEK{l.chip.VCEK()}, "snp.product",
		},
	} {
		t.Run(name, func(t *testing.T) {
			l.ev = evidence.Evidence{
				Time:       now,
				Raw:        tc.chip.Report(tc.report),
				Collateral: source(t, &collateral.Bundle{VCEK: tc.held}),
			}
			if _, err := l.run(t); refusal(t, err) != tc.want {
				t.Errorf("refused by %q, want %q", refusal(t, err), tc.want)
			}
		})
	}
}

func TestEndorsementsOfTheUtilityVM(t *testing.T) {
	l := newLab(t, snp.Milan, evidencetest.ChipConfig{})
	l.cfg.UVM = trust()
	measurement := [48]byte{1, 2, 3}
	good := publisher().Endorse(measurement[:], evidencetest.EndorsementConfig{})
	for name, tc := range map[string]struct {
		list   [][]byte
		want   string
		status string
	}{
		"none":      {nil, "", ""},
		"JSON form": {[][]byte{good}, "", "azure-compliant-uvm"},
		"envelope form": {
			[][]byte{publisher().Endorse(measurement[:], evidencetest.EndorsementConfig{Envelope: true})},
			"", "azure-compliant-uvm",
		},
		"svn below the minimum": {
			[][]byte{publisher().Endorse(measurement[:], evidencetest.EndorsementConfig{SVN: "99"})},
			"", "",
		},
		"another feed": {
			[][]byte{publisher().Endorse(measurement[:], evidencetest.EndorsementConfig{Feed: "Other"})},
			"", "",
		},
		"another measurement": {
			[][]byte{publisher().Endorse(make([]byte, 48), evidencetest.EndorsementConfig{})},
			"uvm.measurement", "",
		},
		"one that holds, one not": {
			[][]byte{good, publisher().Endorse(make([]byte, 48), evidencetest.EndorsementConfig{})},
			"uvm.measurement", "",
		},
		"altered": {[][]byte{altered(good)}, "uvm.signature", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l.ev.Raw = l.chip.Evidence(l.AMD,
				l.chip.Report(evidencetest.ReportConfig{Measurement: measurement}), tc.list...)
			result, err := l.run(t)
			if got := refusal(t, err); got != tc.want {
				t.Fatalf("refused by %q, want %q", got, tc.want)
			}
			claim, _ := result.Claims.Get("x-ms-compliance-status")
			if text, _ := claim.Text(); text != tc.status {
				t.Errorf("compliance status = %q, want %q", text, tc.status)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	l := newLab(f, snp.Milan, evidencetest.ChipConfig{})
	report := l.chip.Report(evidencetest.ReportConfig{})
	f.Add(l.chip.Evidence(l.AMD, report))
	f.Add(report)
	f.Add(append(bytes.Clone(report), table(l, true)...))
	v := snp.New(l.cfg)
	f.Fuzz(func(t *testing.T, raw []byte) {
		result, err := v.Verify(t.Context(), evidence.Evidence{Raw: raw, Time: now})
		if err == nil {
			framed, err := snp.Frame(raw)
			if err != nil || !bytes.Equal(framed.Report, report) {
				t.Errorf("accepted an unsigned report")
			}
			return
		}
		if refusal(t, err) == "" || result.Claims.Len() > 0 {
			t.Errorf("refused without a reason, or with claims")
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	l := newLab(f, snp.Turin, evidencetest.ChipConfig{})
	f.Add(append(l.chip.PEM(), l.Chain(false)...))
	f.Add(l.chip.Cert.Raw)
	f.Add(table(l, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := snp.ParseCertificates(b)
		if err == nil && len(list) > 16 {
			t.Errorf("%d certificates", len(list))
		}
	})
}
