package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/nitro"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
	"github.com/probity-dev/probity/internal/provider"
)

// guests is a service that trusts test hierarchies of AMD, AWS and Arm.
type guests struct {
	*bench
	amd   *evidencetest.AMD
	uvm   *evidencetest.UVM
	nitro *evidencetest.Nitro
	arm   *evidencetest.Arm
}

func newGuests(t *testing.T, edit func(*Config), settings ...func(*provider.Config)) *guests {
	t.Helper()
	g := &guests{
		amd:   evidencetest.NewAMD(evidencetest.AMDConfig{Now: now}),
		uvm:   evidencetest.NewUVM(evidencetest.UVMConfig{Now: now}),
		nitro: evidencetest.NewNitro(evidencetest.NitroConfig{Now: now}),
		arm:   evidencetest.NewArm(),
	}
	g.bench = newBench(t, func(c *Config) {
		c.Appraiser = &appraisal.Appraiser{Random: rand.Reader, Verifiers: appraisal.Verifiers(appraisal.Trust{
			AMD: snp.Config{Roots: g.amd.Roots(), UVM: []uvm.Trust{{
				Issuer: g.uvm.DID(),
				Feed:   "ContainerPlat-AMD-UVM",
				MinSVN: 100,
				Status: "azure-compliant-uvm",
			}}},
			AWS: nitro.Config{Root: g.nitro.Root()},
			Arm: cca.Config{Anchors: []cca.Anchor{{Key: &g.arm.CPAK.PublicKey}}}})}
		if edit != nil {
			edit(c)
		}
	}, settings...)
	return g
}

// claims returns the token's payload as it stands.
func (g *guests) claims(t *testing.T, path, body string) string {
	t.Helper()
	w := g.do("POST", path, body)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

const snpPath = "/attest/SevSnpVm?api-version=2022-08-01"

// TestSNPTokenToTheByte compares the whole payload of a token for a plain report
// with the text that Azure Attestation gives for such a report.
func TestSNPTokenToTheByte(t *testing.T) {
	g := newGuests(t, nil)
	chip := g.amd.Chip(evidencetest.ChipConfig{TCB: snp.RawTCB{3, 0, 0, 0, 0, 0, 0x19, 0x73}})
	report := chip.Report(evidencetest.ReportConfig{
		ReportData:  [64]byte{0x40, 0xfc, 63: 9},
		HostData:    [32]byte{0x73},
		Measurement: [48]byte{2, 0xc3},
		Edit: func(b []byte) {
			b[0x10], b[0x20], b[0xe0] = 1, 2, 0x81
			copy(b[0x140:0x160], make([]byte, 32))
			b[0x140] = 0xa9
		},
	})
	f := snp.Framed{Report: report, Certificates: append(chip.PEM(), g.amd.Chain(false)...)}
	raw, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got := g.claims(t, snpPath, `{"report":"`+base64.RawURLEncoding.EncodeToString(raw)+`"}`)
	zeros := func(n int) string { return strings.Repeat("00", n) }
	at := strings.Index(got, `"jti":"`)
	if at < 0 {
		t.Fatal(got)
	}
	id := got[at+7 : at+7+64]
	made := now.Unix() - 5 // for clocks that run slow
	want := fmt.Sprintf(`{"exp":%d,"iat":%d,"iss":"%s","jti":"%s","nbf":%d,"x-ms-attestation-type":"sevsnpvm",`+
		`"x-ms-policy-hash":"9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco",`+
		`"x-ms-sevsnpvm-authorkeydigest":"%s","x-ms-sevsnpvm-bootloader-svn":3,`+
		`"x-ms-sevsnpvm-familyId":"01%s","x-ms-sevsnpvm-guestsvn":2,"x-ms-sevsnpvm-hostdata":"73%s",`+
		`"x-ms-sevsnpvm-idkeydigest":"81%s",`+
		`"x-ms-sevsnpvm-imageId":"02%s","x-ms-sevsnpvm-is-debuggable":false,`+
		`"x-ms-sevsnpvm-launchmeasurement":"02c3%s","x-ms-sevsnpvm-microcode-svn":115,`+
		`"x-ms-sevsnpvm-migration-allowed":false,"x-ms-sevsnpvm-reportdata":"40fc%s09",`+
		`"x-ms-sevsnpvm-reportid":"a9%s","x-ms-sevsnpvm-smt-allowed":true,`+
		`"x-ms-sevsnpvm-snpfw-svn":25,"x-ms-sevsnpvm-tee-svn":0,"x-ms-sevsnpvm-vmpl":0,"x-ms-ver":"1.0"}`,
		made+28800, made, issuer, id, made, zeros(48), zeros(15), zeros(31), zeros(47), zeros(15), zeros(46),
		zeros(61), zeros(31))
	if got != want {
		t.Errorf("payload:\n%s\nwant:\n%s", got, want)
	}
}

// TestRequestsOfRealClients has the shapes of the two clients in the field: the
// side-car of confidential containers, and the tools for confidential VMs.
func TestRequestsOfRealClients(t *testing.T) {
	g := newGuests(t, nil)
	chip := g.amd.Chip(evidencetest.ChipConfig{})
	runtime := `{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"}]}`
	measurement := [48]byte{9}
	report := chip.Report(evidencetest.ReportConfig{
		ReportData:  evidencetest.BindData([]byte(runtime)),
		Measurement: measurement,
	})
	chain := append(chip.PEM(), g.amd.Chain(false)...)
	padded, plain := base64.URLEncoding.EncodeToString, base64.RawURLEncoding.EncodeToString
	endorsement := g.uvm.Endorse(measurement[:], evidencetest.EndorsementConfig{})
	sidecar := `{"SnpReport":"` + padded(report) + `","VcekCertChain":"` + padded(chain) + `","Endorsements":"` +
		padded([]byte(`{"Uvm":["`+padded(endorsement)+`"]}`)) + `"}`
	tools := `{"SnpReport":"` + plain(report) + `","VcekCertChain":"` +
		plain([]byte(strings.ReplaceAll(string(chain), "\n", "\r\n"))) + `"}`
	for name, tc := range map[string]struct {
		path, body string
		want       []string
	}{
		"side-car of confidential containers": {"/attest/SevSnpVm?api-version=2020-10-01",
			`{"report":"` + padded([]byte(sidecar)) + `","runtimeData":{"data":"` + padded([]byte(runtime)) +
				`","dataType":"JSON"},"initTimeData":{"data":"","dataType":""},"nonce":9007199254740993}`,
			[]string{
				`"x-ms-compliance-status":"azure-compliant-uvm"`,
				`"x-ms-runtime":{"keys":[`,
				`"nonce":9007199254740993`,
			}},
		"tools for confidential VMs": {
			"/attest/sevsnpvm?api-version=2022-08-01",
			`{"report":"` + plain([]byte(tools)) + `","runtimeData":{"data":"` + plain([]byte(runtime)) +
				`","dataType":"JSON"}}`,
			[]string{`"x-ms-runtime":{"keys":[`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := g.claims(t, tc.path, tc.body)
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in %s", want, got)
				}
			}
			if name != "tools for confidential VMs" {
				return
			}
			if strings.Contains(got, "compliance") {
				t.Error("a compliance status without an endorsement")
			}
		})
	}
}

func TestRefusedGuests(t *testing.T) {
	g := newGuests(t, nil)
	chip := g.amd.Chip(evidencetest.ChipConfig{})
	encode := base64.RawURLEncoding.EncodeToString
	frame := func(cfg evidencetest.ReportConfig) string {
		return `{"report":"` + encode(chip.Evidence(g.amd, chip.Report(cfg))) + `"}`
	}
	old := g.amd.Chip(evidencetest.ChipConfig{TCB: snp.RawTCB{3, 0, 0, 0, 0, 0, 8, 115}})
	for name, tc := range map[string]struct{ path, body, want string }{
		"SNP: debug": {snpPath, frame(evidencetest.ReportConfig{Policy: 0xb0000}), "snp.policy.debug"},
		"SNP: below the floor": {
			snpPath,
			`{"report":"` + encode(old.Evidence(g.amd, old.Report(evidencetest.ReportConfig{}))) + `"}`,
			"snp.tcb.status",
		},
		"SNP: altered": {snpPath, frame(evidencetest.ReportConfig{After: func(b []byte) {
			b[0x90] ^= 1
		}}), "snp.report.signature"},
		"SNP: as a quote": {snpPath, strings.Replace(frame(evidencetest.ReportConfig{}), "report", "quote",
			1), "request.body"},
		"SNP: with an event log": {snpPath, strings.Replace(frame(evidencetest.ReportConfig{}), "{",
			`{"eventLog":"AAAA",`, 1), "request.body"},
		"Nitro: debug": {
			"/attest/NitroEnclave?api-version=2025-06-01",
			`{"document":"` + encode(g.nitro.Document(evidencetest.DocumentConfig{Debug: true})) + `"}`,
			"nitro.pcrs.debug",
		},
		"Nitro: altered": {
			"/attest/NitroEnclave?api-version=2025-06-01",
			`{"document":"` + encode(g.nitro.Document(evidencetest.DocumentConfig{})[:100]) + `"}`,
			"nitro.format",
		},
		"CCA: debug": {
			"/attest/ArmCca?api-version=2025-06-01",
			`{"token":"` + encode(g.arm.CCA(evidencetest.CCAConfig{Lifecycle: 0x5000})) + `"}`,
			"cca.platform.debug",
		},
		"CCA: nothing": {"/attest/ArmCca?api-version=2025-06-01", `{}`, "request.body"},
	} {
		t.Run(name, func(t *testing.T) {
			w := g.do("POST", tc.path, tc.body)
			doc := decodeError(t, w)
			if w.Code != 400 || len(doc.Error.Details) != 1 || doc.Error.Details[0].Check != tc.want ||
				doc.Error.Details[0].Remedy == "" {
				t.Errorf("%d %+v, want %s", w.Code, doc, tc.want)
			}
		})
	}
	t.Run("by the default policy, where the provider accepts debug guests", func(t *testing.T) {
		g := newGuests(t, nil, func(c *provider.Config) { c.Defaults.TCB = evidence.DebugGuest })
		for path, body := range map[string]string{
			"/attest/NitroEnclave?api-version=2025-06-01": `{"document":"` +
				encode(g.nitro.Document(evidencetest.DocumentConfig{Debug: true})) + `"}`,
			"/attest/ArmCca?api-version=2025-06-01": `{"token":"` +
				encode(g.arm.CCA(evidencetest.CCAConfig{Lifecycle: 0x5000})) + `"}`,
		} {
			doc := decodeError(t, g.do("POST", path, body))
			if len(doc.Error.Details) == 0 || doc.Error.Details[0].Check != "policy" {
				t.Errorf("%s: %+v", path, doc)
			}
		}
	})
}

func TestNitroAndCCAAttest(t *testing.T) {
	g := newGuests(t, nil)
	encode := base64.RawURLEncoding.EncodeToString
	runtime := `{"key":"value"}`
	sum := sha256.Sum256([]byte(runtime))
	data := `"runtimeData":{"data":"` + encode([]byte(runtime)) + `","dataType":"JSON"}`
	for path, tc := range map[string]struct {
		body string
		want []string
	}{
		"/attest/NitroEnclave?api-version=2025-06-01": {`{"document":"` +
			encode(g.nitro.Document(evidencetest.DocumentConfig{UserData: sum[:]})) + `",` + data + `}`,
			[]string{
				`"x-ms-attestation-type":"nitroenclave"`,
				`"nitro_debug":false`,
				`"nitro_module_id":"i-0123-enc0456"`,
				`"x-ms-runtime":{"key":"value"}`,
			}},
		"/attest/armcca?api-version=2025-06-01": {`{"token":"` + encode(
			g.arm.CCA(evidencetest.CCAConfig{Challenge: evidencetest.BindData([]byte(runtime))}),
		) + `",` + data + `}`,
			[]string{
				`"x-ms-attestation-type":"armcca"`,
				`"dbgstat":"disabled"`,
				`"cca-platform-sw-components":[{`,
				`"x-ms-runtime":{"key":"value"}`,
			}},
	} {
		got := g.claims(t, path, tc.body)
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", path, want, got)
			}
		}
	}
}

// unavailable is a source whose vendors cannot be reached.
type unavailable struct{}

func (unavailable) Intel(context.Context, collateral.Query) (*collateral.Intel, error) {
	return nil, fmt.Errorf("intel: %w", collateral.ErrUnavailable)
}

func (unavailable) AMD(context.Context, collateral.AMDQuery) (*collateral.AMD, error) {
	return nil, fmt.Errorf("amd: %w", collateral.ErrUnavailable)
}

func (unavailable) PCKs(context.Context) ([][]byte, error) {
	return nil, collateral.ErrUnavailable
}

func (unavailable) VCEK(context.Context, collateral.VCEKQuery) (*collateral.VCEK, error) {
	return nil, fmt.Errorf("amd: https://secret-mirror.internal: %w", collateral.ErrUnavailable)
}

// TestUnavailableCollateralIsNoRefusal: clients try again after a 503, not after
// a 400.
func TestUnavailableCollateralIsNoRefusal(t *testing.T) {
	g := newGuests(t, func(c *Config) { c.Appraiser.Collateral = unavailable{} })
	chip := g.amd.Chip(evidencetest.ChipConfig{})
	w := g.do("POST", snpPath, `{"report":"`+base64.RawURLEncoding.EncodeToString([]byte(`{"SnpReport":"`+
		base64.RawURLEncoding.EncodeToString(chip.Report(evidencetest.ReportConfig{}))+`"}`))+`"}`)
	doc := decodeError(t, w)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || len(doc.Error.Details) != 1 ||
		doc.Error.Details[0].Check != "collateral.available" {
		t.Errorf("%d %+v", w.Code, doc)
	}
	// Clients are told that, the log why.
	if strings.Contains(w.Body.String(), "secret-mirror") || !strings.Contains(g.log.String(), "secret-mirror") {
		t.Errorf("the answer: %s\nthe log: %s", w.Body, g.log)
	}
	// With the chain sent along, nothing is needed but the revocation list, which
	// is not required.
	g.claims(t, snpPath, `{"report":"`+base64.RawURLEncoding.EncodeToString(chip.Evidence(g.amd,
		chip.Report(evidencetest.ReportConfig{})))+`"}`)
}
