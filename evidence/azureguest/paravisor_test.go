package azureguest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/paravisor"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/tdx"
	"github.com/probity-dev/probity/policy"
)

var (
	idKey     = bytesOf(0x1d)
	authorKey = bytesOf(0xa0)
	mrtd      = evidencetest.HealthyTD().MRTD
)

func bytesOf(c byte) []byte { return []byte(strings.Repeat(string([]byte{c}), 48)) }

// report makes the proof of a machine with a launch.
func report(cfg evidencetest.ReportConfig) func([]byte) []byte {
	return func(runtime []byte) []byte {
		cfg.ReportData = evidencetest.BindData(runtime)
		return chip.Evidence(amd, chip.Report(cfg))
	}
}

// trusting verifies a guest with a list of paravisors, and a baseline that its databases meet.
func trusting(t *testing.T, cfg evidencetest.GuestConfig, list paravisor.List) (*evidence.Result, error) {
	t.Helper()
	roots, err := tpmca.Parse(guest.Root.PEM())
	if err != nil {
		t.Fatal(err)
	}
	hash := func(s string) []string {
		sum := sha256.Sum256([]byte(s))
		return []string{hex.EncodeToString(sum[:])}
	}
	ev := evidence.Evidence{Raw: guest.Info(cfg), Time: now, Collateral: collateral.Fixed(
		intel.Collateral(board, evidencetest.CollateralConfig{TCB: evidencetest.HealthyTDXTCB(now)}),
	)}
	v := azureguest.New(snp.New(snp.Config{Roots: amd.Roots(), Paravisors: list}),
		tdx.New(dcap.New(dcap.Config{Anchor: intel.Anchor()}), list...),
		azureguest.Config{
			Authorities: roots,
			Baseline:    azureguest.Baseline{KEK: hash("KEK"), DB: hash("db"), DBX: hash("dbx")},
		})
	return v.Verify(t.Context(), ev)
}

// permitted asks the default policy.
func permitted(t *testing.T, r *evidence.Result) bool {
	t.Helper()
	known := r.Claims.Clone()
	for _, c := range r.Aliases.All() {
		known.Add(c)
	}
	p, err := policy.Parse(policy.Default("AzureGuest"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Evaluate(known)
	if err != nil {
		t.Fatal(err)
	}
	return out.Permitted
}

// TestParavisors: anyone with the hardware can put a key of his own into a report. What the
// list knows is said to be compliant; the default policy asks for it.
func TestParavisors(t *testing.T) {
	list := paravisor.List{
		{Name: "measured", Measurement: evidencetest.Paravisor()},
		{Name: "signed", IDKeyDigest: idKey, AuthorKeyDigest: authorKey, MinSVN: 3},
		{Name: "domain", MRTD: mrtd[:]},
	}
	signed := func(id, author []byte, svn byte) func([]byte) {
		return func(b []byte) { copy(b[0xe0:], id); copy(b[0x110:], author); b[4] = svn }
	}
	tdxGuest := evidencetest.GuestConfig{Boot: boot, Isolation: "Tdx", Proof: tdxProof}
	otherTD := tdxGuest
	otherTD.Proof = func(runtime []byte) []byte {
		quote := evidencetest.QuoteConfig{TD: evidencetest.HealthyTD()}
		quote.TD.ReportData, quote.TD.MRTD = evidencetest.BindData(runtime), [48]byte{1}
		return board.Quote(quote)
	}
	on := func(cfg evidencetest.ReportConfig) evidencetest.GuestConfig {
		return evidencetest.GuestConfig{Boot: boot, Isolation: "SevSnp", Proof: report(cfg)}
	}
	for name, tc := range map[string]struct {
		cfg       evidencetest.GuestConfig
		list      paravisor.List
		compliant bool
		permitted bool
	}{
		"measured": {
			on(evidencetest.ReportConfig{Measurement: [48]byte(evidencetest.Paravisor())}), list, true,
			true,
		},
		"signed": {
			on(evidencetest.ReportConfig{Edit: signed(idKey, authorKey, 3)}), list, true, true,
		},
		"signed, too old": {
			on(evidencetest.ReportConfig{Edit: signed(idKey, authorKey, 2)}), list, false, false,
		},
		"signed by another author": {
			on(evidencetest.ReportConfig{Edit: signed(idKey, idKey, 9)}), list, false, false,
		},
		"no measurement and no signer": {on(evidencetest.ReportConfig{}), list, false, false},
		"another launch": {
			on(evidencetest.ReportConfig{Measurement: [48]byte{7}}), list, false, false,
		},
		"no list": {
			on(evidencetest.ReportConfig{Measurement: [48]byte(evidencetest.Paravisor())}), nil, false,
			false,
		},
		"a trust domain":          {tdxGuest, list, true, true},
		"another trust domain":    {otherTD, list, false, false},
		"a trust domain, no list": {tdxGuest, nil, false, false},
		"Trusted Launch":          {evidencetest.GuestConfig{Boot: boot}, nil, false, true},
	} {
		r, err := trusting(t, tc.cfg, tc.list)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		status, ok := r.Aliases.Get("x-ms-compliance-status")
		text, _ := status.Text()
		tee, _ := r.Claims.Get("x-ms-isolation-tee")
		inner, _ := tee.Text()
		if ok != tc.compliant || ok && text != "azure-compliant-cvm" ||
			strings.Contains(inner, "azure-compliant-cvm") != tc.compliant {
			t.Errorf("%s: compliance %v %q", name, ok, text)
		}
		if permitted(t, r) != tc.permitted {
			t.Errorf("%s: the default policy permits it: %v", name, !tc.permitted)
		}
		if tc.cfg.Isolation != "" &&
			told(r, "azureguest.ak.runtime-data", "is not trusted (tpm.paravisors)") == tc.compliant {
			t.Errorf("%s: the check does not tell whether the paravisor is trusted", name)
		}
	}
}

// TestReportsOfOtherLevelsAreNotTheParavisors: the rest of a guest asks for reports too.
func TestReportsOfOtherLevelsAreNotTheParavisors(t *testing.T) {
	for vmpl := byte(1); vmpl < 4; vmpl++ {
		cfg := evidencetest.GuestConfig{
			Boot:      boot,
			Isolation: "SevSnp",
			Proof: report(evidencetest.ReportConfig{
				Measurement: [48]byte(evidencetest.Paravisor()),
				Edit:        func(b []byte) { b[0x30] = vmpl },
			}),
		}
		_, err := trusting(t, cfg, paravisor.List{{Name: "measured", Measurement: evidencetest.Paravisor()}})
		var refused *evidence.Rejection
		if !errors.As(err, &refused) || refused.Check.ID != "azureguest.report.vmpl" {
			t.Errorf("VMPL %d: %v", vmpl, err)
		}
	}
}

// TestAGuestCannotSayThatItsParavisorIsTrusted: what clients send does not become that claim.
func TestAGuestCannotSayThatItsParavisorIsTrusted(t *testing.T) {
	cfg := evidencetest.GuestConfig{Boot: boot, Isolation: "SevSnp", Proof: report(evidencetest.ReportConfig{}),
		Runtime: func(m map[string]any) { m["x-ms-compliance-status"] = "azure-compliant-cvm" },
		Edit: func(m map[string]any) {
			m["ClientPayload"] = json.RawMessage(`{"x-ms-compliance-status":"azure-compliant-cvm",` +
				`"x-probity-azurevm-isolation":"TrustedLaunch"}`)
		}}
	r, err := trusting(t, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	isolation, _ := r.Aliases.Get("x-probity-azurevm-isolation")
	if r.Aliases.Has("x-ms-compliance-status") || permitted(t, r) || isolation.String() == `"TrustedLaunch"` {
		t.Error("a guest made itself compliant")
	}
}
