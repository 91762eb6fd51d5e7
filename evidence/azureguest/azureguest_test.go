package azureguest_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tdx"
)

var (
	now   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	guest = evidencetest.NewGuest(evidencetest.TPMConfig{Now: now})
	other = evidencetest.NewGuest(evidencetest.TPMConfig{Now: now, Root: &guest.Root})
	boot  = evidencetest.HealthyBoot(evidencetest.BootConfig{})
	amd   = evidencetest.NewAMD(evidencetest.AMDConfig{Now: now})
	chip  = amd.Chip(evidencetest.ChipConfig{})
	intel = evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	board = intel.Platform(evidencetest.HealthyPlatform())
)

func snpProof(runtime []byte) []byte {
	return chip.Evidence(amd, chip.Report(evidencetest.ReportConfig{ReportData: evidencetest.BindData(runtime)}))
}

func tdxProof(runtime []byte) []byte {
	quote := evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()}
	quote.TD.ReportData = evidencetest.BindData(runtime)
	return board.Quote(quote)
}

func onSNP() evidencetest.GuestConfig {
	return evidencetest.GuestConfig{Boot: boot, Isolation: "SevSnp", Proof: snpProof}
}

func verify(
	t *testing.T, raw []byte, edit func(*azureguest.Config, *evidence.Evidence),
) (*evidence.Result, error) {
	t.Helper()
	roots, err := tpmca.Parse(guest.Root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	cfg := azureguest.Config{Authorities: roots}
	ev := evidence.Evidence{Raw: raw, Time: now, Collateral: collateral.Fixed(intel.Collateral(board,
		evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)}))}
	if edit != nil {
		edit(&cfg, &ev)
	}
	return azureguest.New(snp.New(snp.Config{Roots: amd.Roots()}),
		tdx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()})), cfg).Verify(t.Context(), ev)
}

func TestGuests(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg evidencetest.GuestConfig
		tee string
	}{
		"Trusted Launch": {evidencetest.GuestConfig{Boot: boot}, ""}, "SEV-SNP": {onSNP(), "sevsnpvm"},
		"TDX": {evidencetest.GuestConfig{Boot: boot, Isolation: "Tdx", Proof: tdxProof}, "tdxvm"},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := verify(t, guest.Info(tc.cfg), nil)
			if err != nil {
				t.Fatal(err)
			}
			for claim, want := range map[string]claims.Value{
				"secureboot":                     claims.BooleanValue(true),
				"x-ms-azurevm-debuggersdisabled": claims.BooleanValue(true),
				"x-ms-azurevm-ostype":            claims.StringValue("Linux"),
				"x-ms-azurevm-osversion-major":   claims.IntegerValue(24),
				"x-ms-azurevm-dbvalidated":       claims.BooleanValue(false),
				"x-ms-azurevm-is-windows":        claims.BooleanValue(false),
			} {
				if got, _ := result.Claims.Get(claim); !got.Equal(&want) {
					t.Errorf("%s is %v", claim, got)
				}
			}
			runtime, _ := result.Claims.Get("x-ms-runtime")
			if text, _ := runtime.Text(); !strings.Contains(text, "TpmEphemeralEncryptionKey") ||
				!strings.Contains(text, "client-payload") {
				t.Errorf("x-ms-runtime %s", text)
			}
			tee, has := result.Claims.Get("x-ms-isolation-tee")
			if text, _ := tee.Text(); has != (tc.tee != "") || !strings.Contains(text, tc.tee) ||
				has && !strings.Contains(text, "HCLAkPub") {
				t.Errorf("x-ms-isolation-tee %.200s", text)
			}
			if has != (result.TCB != nil) {
				t.Error("the hardware's TCB is lost")
			}
		})
	}
}

// TestDebugGuestsAreReserved: what is reserved of the hardware is reserved of the
// guest.
func TestDebugGuestsAreReserved(t *testing.T) {
	cfg := onSNP()
	cfg.Proof = func(runtime []byte) []byte {
		return chip.Evidence(amd,
			chip.Report(evidencetest.ReportConfig{
				ReportData: evidencetest.BindData(runtime),
				Policy:     0xb001f,
			}))
	}
	info := guest.Info(cfg)
	if _, err := verify(t, info, nil); !errors.Is(err, snp.CheckDebug) {
		t.Errorf("a debug guest: %v", err)
	}
	result, err := verify(t, info,
		func(_ *azureguest.Config, ev *evidence.Evidence) { ev.Accept = []string{evidence.DebugGuest} })
	if err != nil || len(result.Reservations) != 1 || result.Reservations[0].Accept != evidence.DebugGuest {
		t.Errorf("%+v, %v", result.Reservations, err)
	}
}

// TestAnotherFaultOfADebugGuestIsReportedFirst: the reservation comes after all other checks,
// and the claims stay for people to look at.
func TestAnotherFaultOfADebugGuestIsReportedFirst(t *testing.T) {
	cfg := onSNP()
	cfg.Proof = func(runtime []byte) []byte {
		return chip.Evidence(amd, chip.Report(evidencetest.ReportConfig{
			ReportData: evidencetest.BindData(runtime), Policy: 0xb001f,
		}))
	}
	info := guest.Info(cfg)
	whole, debug := verify(t, info, nil)
	if !errors.Is(debug, snp.CheckDebug) || whole.Claims.Len() == 0 {
		t.Errorf("a debug guest: %v, %d claims", debug, whole.Claims.Len())
	}
	last := whole.Checks[len(whole.Checks)-1]
	n := 0
	for _, check := range whole.Checks {
		if check.ID == snp.CheckDebug.ID {
			n++
		}
	}
	if last.ID != snp.CheckDebug.ID || last.OK || n != 1 {
		t.Errorf("the last check is %s, and there are %d of the reservation", last.ID, n)
	}
	cfg.Edit = func(i map[string]any) { i["TcgLogs"] = "AAAA" }
	if _, err := verify(t, guest.Info(cfg), nil); err == nil || errors.Is(err, snp.CheckDebug) {
		t.Errorf("a debug guest with another fault: %v", err)
	}
}

func part(name string, f func(map[string]any)) func(map[string]any) {
	return func(i map[string]any) { f(i[name].(map[string]any)) }
}

// nested is a JSON object of so many levels.
func nested(levels int) json.RawMessage {
	return json.RawMessage(`{"a":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + "}")
}

func TestAPayloadOf64LevelsIsEchoed(t *testing.T) {
	c := evidencetest.GuestConfig{Boot: boot, Edit: func(i map[string]any) { i["ClientPayload"] = nested(64) }}
	result, err := verify(t, guest.Info(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := result.Claims.Get("x-ms-runtime"); !strings.Contains(v.String(), strings.Repeat("[", 63)) {
		t.Errorf("x-ms-runtime = %v", v)
	}
}

// TestRefuses: each must be refused, by its own check.
func TestRefuses(t *testing.T) {
	std := base64.StdEncoding.EncodeToString
	altered := *boot
	altered.PCRs[4][0] ^= 1
	lying := *boot
	lying.Log = evidencetest.HealthyBoot(evidencetest.BootConfig{SecureBootOff: true}).Log
	with := func(c evidencetest.GuestConfig, edit func(map[string]any)) evidencetest.GuestConfig {
		c.Edit = edit
		return c
	}
	tl := evidencetest.GuestConfig{Boot: boot}
	foreign := func(name string, make func(g *evidencetest.Guest) []byte) func(map[string]any) {
		return part("TpmInfo", func(i map[string]any) { i[name] = std(make(other)) })
	}
	tooFew := tl
	tooFew.Mask = 0x0f
	runtime := onSNP()
	runtime.Runtime = func(r map[string]any) { r["keys"] = []any{} }
	twice := onSNP()
	twice.Runtime = func(r map[string]any) { r["keys"] = append(r["keys"].([]any), r["keys"].([]any)[0]) }
	unbound := onSNP()
	unbound.Proof = func([]byte) []byte { return snpProof([]byte("others")) }
	otherVM := onSNP()
	otherVM.Runtime = func(r map[string]any) {
		key := map[string]any{}
		if err := json.Unmarshal(evidencetest.JWK(other.AK.Public()), &key); err != nil {
			t.Fatal(err)
		}
		key["kid"] = "HCLAkPub"
		r["keys"] = []any{key}
	}
	lie := tl
	lie.Boot = &lying
	for name, tc := range map[string]struct {
		id     string
		cfg    evidencetest.GuestConfig
		around func(*azureguest.Config, *evidence.Evidence)
	}{
		"another protocol": {"azureguest.format", with(tl, func(i map[string]any) {
			i["AttestationProtocolVersion"] = "1.0"
		}), nil},
		"no TPM": {"azureguest.format", with(tl, func(i map[string]any) {
			delete(i, "TpmInfo")
		}), nil},
		"unknown isolation": {"azureguest.format", with(tl, part("IsolationInfo", func(i map[string]any) {
			i["Type"] = "Sgx"
		})), nil},
		"isolation without evidence": {"azureguest.format", with(tl,
			part("IsolationInfo", func(i map[string]any) { i["Type"] = "SevSnp" })), nil},
		"evidence of Trusted Launch": {"azureguest.format", with(onSNP(),
			part("IsolationInfo", func(i map[string]any) { i["Type"] = "TrustedLaunch" })), nil},
		"a version that is no number": {"azureguest.format", with(tl, func(i map[string]any) {
			i["OSVersionMajor"] = "x"
		}), nil},
		"a payload that is no object": {"azureguest.format", with(tl, func(i map[string]any) {
			i["ClientPayload"] = "x"
		}), nil},
		"a payload of 65 levels": {"azureguest.format", with(tl, func(i map[string]any) {
			i["ClientPayload"] = nested(65)
		}), nil},
		"a payload of 9,000 levels": {"azureguest.format", with(tl, func(i map[string]any) {
			i["ClientPayload"] = nested(9000)
		}), nil},
		"a PCR beyond the set": {"azureguest.format", with(tl, part("TpmInfo", func(i map[string]any) {
			i["PcrSet"] = []int{1}
		})), nil},
		"runtime data beside it": {
			"azureguest.format", tl,
			func(_ *azureguest.Config, ev *evidence.Evidence) { ev.RuntimeData = &evidence.Data{} },
		},
		"an AK that is not restricted": {"azureguest.ak.attributes", with(tl, part("TpmInfo",
			func(i map[string]any) { i["AikPub"] = std(area(guest, evidencetest.GuestAK&^0x10000)) })), nil},
		"no authority": {"azureguest.ak.certificate", tl, func(c *azureguest.Config, _ *evidence.Evidence) {
			c.Authorities = nil
		}},
		"no certificate": {"azureguest.ak.certificate", with(tl, part("TpmInfo", func(i map[string]any) {
			delete(i, "AikCert")
		})), nil},
		"a certificate of another": {"azureguest.ak.certificate", with(tl,
			foreign("AikCert", func(g *evidencetest.Guest) []byte { return g.AKCert.Raw })), nil},
		"of another, on hardware": {"azureguest.ak.certificate", with(onSNP(),
			foreign("AikCert", func(g *evidencetest.Guest) []byte { return g.AKCert.Raw })), nil},
		"SNP offered as TDX": {"dcap.quote.header", with(onSNP(),
			part("IsolationInfo", func(i map[string]any) { i["Type"] = "Tdx" })), nil},
		"runtime data without the AK": {"azureguest.runtime-data", runtime, nil},
		"runtime data with two AKs":   {"azureguest.runtime-data", twice, nil},
		"runtime data not bound":      {"snp.report-data.runtime-data", unbound, nil},
		"quote of another VM":         {"azureguest.ak.runtime-data", otherVM, nil},
		"a quote by another key": {"tpm.quote.signature", with(tl, foreign("PcrSignature",
			func(g *evidencetest.Guest) []byte { return g.RawSign(guest.Quote(boot.PCRs, 0xff, nil)) })),
			nil},
		"altered PCR 4": {"tpm.quote.pcrs", with(tl, part("TpmInfo", func(i map[string]any) {
			i["PCRs"].([]any)[4].(map[string]any)["Digest"] = std(altered.PCRs[4][:])
		})), nil},
		"a PCR left out": {"tpm.quote.selection", with(tl, part("TpmInfo", func(i map[string]any) {
			i["PCRs"] = i["PCRs"].([]any)[1:]
		})), nil},
		"too few registers": {"azureguest.quote.coverage", tooFew, nil},
		"another challenge": {
			"azureguest.quote.nonce", tl,
			func(_ *azureguest.Config, ev *evidence.Evidence) { ev.Challenge = []byte("x") },
		},
		"a key of another TPM": {"azureguest.key.certified", with(tl, foreign("EncKeyCertifyInfoSignature",
			func(g *evidencetest.Guest) []byte { return g.RawSign([]byte("x")) })), nil},
		"a key that can leave": {"azureguest.key.certified", with(tl,
			ephemeral(0x00020430, evidencetest.PolicyPCR(boot.PCRs, 0xff))), nil},
		"a key that signs": {"azureguest.key.certified", with(tl,
			ephemeral(evidencetest.GuestEphemeral|0x40000, evidencetest.PolicyPCR(boot.PCRs, 0xff))), nil},
		"a key of other PCRs": {"azureguest.key.policy", with(tl,
			ephemeral(evidencetest.GuestEphemeral, evidencetest.PolicyPCR(boot.PCRs, 0x7f))), nil},
		"a key of no policy": {
			"azureguest.key.policy", with(tl, ephemeral(evidencetest.GuestEphemeral, nil)), nil,
		},
		"a log of another boot": {"azureguest.event-log", lie, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, guest.Info(tc.cfg), tc.around)
			var r *evidence.Rejection
			if !errors.As(err, &r) || r.Check.ID != tc.id || r.Check.Remedy == "" {
				t.Errorf("%v, want %s", err, tc.id)
			}
		})
	}
}

func area(g *evidencetest.Guest, attributes uint32) []byte {
	b := evidencetest.RSAPublicArea(&g.AK.(*rsa.PrivateKey).PublicKey, attributes, 0x0014, nil)
	return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
}

// ephemeral replaces the ephemeral key by one that is certified as it is.
func ephemeral(attributes uint32, policy []byte) func(map[string]any) {
	return part("TpmInfo", func(i map[string]any) {
		b := evidencetest.RSAPublicArea(&guest.Ephemeral.PublicKey, attributes, 0x0010, policy)
		c := guest.Certify(b, nil)
		std := base64.StdEncoding.EncodeToString
		i["EncKeyPub"] = std(append([]byte{byte(len(b) >> 8), byte(len(b))}, b...))
		i["EncKeyCertifyInfo"] = std(c)
		i["EncKeyCertifyInfoSignature"] = std(guest.RawSign(c))
	})
}

func TestWithoutALogNothingOfTheBootIsGood(t *testing.T) {
	c := evidencetest.GuestConfig{Boot: boot, Edit: func(i map[string]any) { i["TcgLogs"] = "" }}
	result, err := verify(t, guest.Info(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"secureboot",
		"x-ms-azurevm-debuggersdisabled",
		"x-ms-azurevm-signingdisabled",
		"x-ms-azurevm-dbvalidated",
	} {
		if v, _ := result.Claims.Get(name); v != claims.BooleanValue(false) {
			t.Errorf("%s is %v", name, v)
		}
	}
}

func TestBaseline(t *testing.T) {
	standard := azureguest.DefaultBaseline()
	if err := standard.Check(); err != nil || len(standard.DBX) < 100 {
		t.Fatal(err, len(standard.DBX))
	}
	var dbx [][]byte
	for _, text := range standard.DBX {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		dbx = append(dbx, b)
	}
	hash := func(text string) []byte { b, _ := hex.DecodeString(text); return b }
	good := evidencetest.BootConfig{
		DB:  evidencetest.SignatureList(hash(standard.DB[0])),
		KEK: evidencetest.SignatureList(hash(standard.KEK[0])),
		DBX: evidencetest.SignatureList(dbx...),
	}
	for name, tc := range map[string]struct {
		edit          func(*evidencetest.BootConfig)
		db, dbx, keys bool
	}{
		"as published": {func(*evidencetest.BootConfig) {}, true, true, true},
		"one revocation less": {
			func(c *evidencetest.BootConfig) { c.DBX = evidencetest.SignatureList(dbx[1:]...) }, true,
			false, false,
		},
		"one revocation twice": {func(c *evidencetest.BootConfig) {
			c.DBX = evidencetest.SignatureList(append(dbx[1:], dbx[1])...)
		}, true, false, false},
		"an own key in db": {func(c *evidencetest.BootConfig) {
			c.DB = append(evidencetest.SignatureList(make([]byte, 32)), good.DB...)
		}, false, true, false},
		"an own key in KEK": {
			func(c *evidencetest.BootConfig) { c.KEK = evidencetest.SignatureList(make([]byte, 32)) },
			true, true, false,
		},
		"an empty db": {func(c *evidencetest.BootConfig) { c.DB = []byte{} }, false, true, false},
	} {
		cfg := good
		tc.edit(&cfg)
		result, err := verify(t, guest.Info(evidencetest.GuestConfig{Boot: evidencetest.HealthyBoot(cfg)}), nil)
		if err != nil {
			t.Fatal(err)
		}
		for claim, want := range map[string]bool{
			"dbvalidated": tc.db, "dbxvalidated": tc.dbx, "default-securebootkeysvalidated": tc.keys,
		} {
			if v, _ := result.Claims.Get("x-ms-azurevm-" + claim); v != claims.BooleanValue(want) {
				t.Errorf("%s: %s is %v", name, claim, v)
			}
		}
	}
	if (azureguest.Baseline{DB: []string{"AB"}}).Check() == nil {
		t.Error("an entry that is no hash was taken")
	}
}

// TestSeal: the answer opens with the ephemeral key, and reads as Azure's clients
// read it.
func TestSeal(t *testing.T) {
	raw, err := azureguest.Seal(rand.Reader, guest.Info(evidencetest.GuestConfig{Boot: boot}), "the.to.ken")
	if err != nil {
		t.Fatal(err)
	}
	var s azureguest.Sealed
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if s.Params.BlockMode != "ChainingModeGCM" || s.Params.BlockPadding != "PKCS7" ||
		s.Params.Cipher != "AES" || s.Params.Bits != 256 {
		t.Errorf("%+v", s.Params)
	}
	if opened, err := evidencetest.OpenGuestToken(guest.Ephemeral, raw); err != nil || opened != "the.to.ken" {
		t.Errorf("%q, %v", opened, err)
	}
	without := guest.Info(evidencetest.GuestConfig{Boot: boot, Edit: part("TpmInfo", func(i map[string]any) {
		delete(i, "EncKeyPub")
	})})
	if _, err := azureguest.Seal(rand.Reader, without, "x"); !errors.Is(err, azureguest.ErrNoKey) {
		t.Errorf("sealed to nothing: %v", err)
	}
}

// TestSealTakesAllRandomnessFromItsSource: the same source gives the same bytes, and
// one that ends at any byte gives nothing.
func TestSealTakesAllRandomnessFromItsSource(t *testing.T) {
	info := guest.Info(evidencetest.GuestConfig{Boot: boot})
	source := make([]byte, 1024)
	for i := range source {
		source[i] = byte(i) // with zeros, which the padding must skip
	}
	sealed, err := azureguest.Seal(bytes.NewReader(source), info, "the.to.ken")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := azureguest.Seal(bytes.NewReader(source), info, "the.to.ken"); err != nil ||
		!bytes.Equal(sealed, again) {
		t.Errorf("the same source gives other bytes: %v", err)
	}
	if other, err := azureguest.Seal(bytes.NewReader(source[1:]), info, "the.to.ken"); err != nil ||
		bytes.Equal(sealed, other) {
		t.Errorf("another source gives the same bytes: %v", err)
	}
	if opened, err := evidencetest.OpenGuestToken(guest.Ephemeral, sealed); err != nil ||
		opened != "the.to.ken" {
		t.Errorf("%q, %v", opened, err)
	}
	const need = 32 + 12 + 256 - 3 - 32 // key, IV, padding
	for n := range need {
		if _, err := azureguest.Seal(bytes.NewReader(source[:n]), info, "x"); err == nil {
			t.Fatalf("sealed with %d bytes of randomness", n)
		}
	}
	if _, err := azureguest.Seal(bytes.NewReader(make([]byte, 1<<16)), info, "x"); err == nil {
		t.Error("sealed with zeros alone")
	}
}

func TestHCL(t *testing.T) {
	runtime := guest.Runtime(nil)
	report := chip.Report(evidencetest.ReportConfig{ReportData: evidencetest.BindData(runtime)})
	h, err := azureguest.ParseHCL(evidencetest.HCL(2, report, runtime))
	if err != nil || h.Type != azureguest.ReportSNP || !bytes.Equal(h.Runtime, runtime) ||
		!bytes.Equal(h.ReportData()[:32], h.Hash) || !bytes.Equal(h.Hardware, report) {
		t.Fatalf("%+v, %v", h, err)
	}
	good := evidencetest.HCL(2, report, runtime)
	put := func(at int, b byte) []byte { c := bytes.Clone(good); c[at] = b; return c }
	for name, b := range map[string][]byte{"cut": good[:1200], "another mark": put(0,
		'X'), "runtime data beyond it": put(1216+18, 1), "no hash": put(1216+12, 9)} {
		if h, err := azureguest.ParseHCL(b); err == nil {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add(guest.Info(evidencetest.GuestConfig{Boot: boot}))
	f.Fuzz(func(t *testing.T, b []byte) { azureguest.ParseInfo(b) })
}

func FuzzParseHCL(f *testing.F) {
	f.Add(evidencetest.HCL(2, make([]byte, 1184), []byte("{}")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := azureguest.ParseHCL(b); err == nil {
			h.ReportData()
		}
	})
}
