package dcap_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// below verifies a quote of a platform below every level.
func below(
	t *testing.T, platform evidencetest.PlatformConfig, tcb evidencetest.TCB, td *evidencetest.TD,
	editInfo func(string) string,
) (*dcap.Proof, *evidence.Rejection) {
	t.Helper()
	pki := evidencetest.NewIntel(evidencetest.IntelConfig{Now: now})
	m := pki.Platform(platform)
	set := pki.Collateral(m, evidencetest.CollateralConfig{TCB: tcb, EditTCBInfo: editInfo})
	quote, tee := evidencetest.QuoteConfig{Version: 4, Enclave: evidencetest.DemoEnclave()}, collateral.SGX
	if td != nil {
		quote, tee = evidencetest.QuoteConfig{Version: 4, TD: td}, collateral.TDX
	}
	proof, err := dcap.New(dcap.Config{Anchor: pki.Anchor()}).Verify(context.Background(), &evidence.Result{},
		m.Quote(quote), tee,
		evidence.Evidence{Collateral: collateral.Fixed(set), Time: now})
	var r *evidence.Rejection
	if !errors.As(err, &r) {
		t.Fatalf("not refused: %v", err)
	}
	return proof, r
}

func TestAPlatformBelowEveryLevelNamesItsComponents(t *testing.T) {
	// Only the levels that supported platforms have.
	supported := func(tcb evidencetest.TCB) evidencetest.TCB {
		tcb.Levels = tcb.Levels[:2]
		return tcb
	}
	old := evidencetest.HealthyPlatform()
	old.Components[2] = 1
	noPCE := evidencetest.HealthyPlatform()
	noPCE.PCESVN = 1
	td := evidencetest.HealthyTD()
	for name, tc := range map[string]struct {
		platform evidencetest.PlatformConfig
		tcb      evidencetest.TCB
		td       *evidencetest.TD
		edit     func(string) string
		want     []string
	}{
		"SGX, with Intel's words": {old, supported(evidencetest.HealthyTCB(now)), nil, func(info string) string {
			return strings.Replace(info, `{"svn":3}`, `{"category":"BIOS","svn":3,"type":"Early Microcode Update"}`, 1)
		}, []string{
			"SGX TCB component 3 (Early Microcode Update, BIOS) of at least 3", "lowest level", "of 1",
			"update the BIOS",
		}},
		"SGX, without": {
			old, supported(evidencetest.HealthyTCB(now)), nil, nil,
			[]string{"SGX TCB component 3 of at least 3", "of 1", "update the BIOS and microcode"},
		},
		"TDX, without": {old, supported(evidencetest.HealthyTDXTCB(now)), td, nil, []string{
			"SGX TCB component 3 (TXT SINIT, OS/VMM) of at least 3", "of 1",
			"TXT SINIT module that the OS",
		}},
		"PCE too old": {
			noPCE, supported(evidencetest.HealthyTCB(now)), nil, nil,
			[]string{"PCE SVN of at least", "PCE SVN of 1", "Intel's SGX software"},
		},
	} {
		proof, r := below(t, tc.platform, tc.tcb, tc.td, tc.edit)
		text := r.Check.ID + " " + r.Check.Expected + " " + r.Check.Found + " " + r.Check.Remedy
		for _, want := range append(tc.want, "dcap.tcb.level") {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in %s", name, want, text)
			}
		}
		if proof == nil || proof.TCB.Status != evidence.NotSupported || len(proof.TCB.BelowLowest) != 1 ||
			proof.Quote != nil {
			t.Errorf("%s: %+v", name, proof)
		}
	}
}

func TestATDXModuleBelowTheLevelsOfThePlatformIsNamed(t *testing.T) {
	tcb := evidencetest.HealthyTDXTCB(now)
	tcb.Levels = tcb.Levels[:2]
	td := evidencetest.HealthyTD()
	td.TEETCBSVN[2] = 1
	proof, r := below(t, evidencetest.HealthyPlatform(), tcb, td, nil)
	if !strings.Contains(r.Check.Expected, "TDX TCB component 3 (TDX Late Microcode Update, OS/VMM)") ||
		!strings.Contains(r.Check.Remedy, "microcode that the OS") || proof.TCB.BelowLowest[0].Number != 3 {
		t.Errorf("%+v", r.Check)
	}
}

func TestALowerQuotingEnclaveOrModuleSaysTheLowestLevel(t *testing.T) {
	tcb := evidencetest.HealthyTDXTCB(now)
	td := evidencetest.HealthyTD()
	td.TEETCBSVN[0] = 0
	if _, r := below(t, evidencetest.HealthyPlatform(), tcb, td, nil); r.Check.ID != "dcap.tdx-module.tcb" ||
		!strings.Contains(r.Check.Expected, "lowest level") || !strings.Contains(r.Check.Found, "SVN 0") {
		t.Errorf("%+v", r.Check)
	}
	tcb = evidencetest.HealthyTCB(now)
	tcb.QELevels = []evidencetest.QELevel{{SVN: 12, Date: now, Status: "UpToDate"}}
	if _, r := below(t, evidencetest.HealthyPlatform(), tcb, nil, nil); r.Check.ID != "dcap.qe.tcb" ||
		!strings.Contains(r.Check.Expected, "12") || !strings.Contains(r.Check.Found, "ISVSVN 8") {
		t.Errorf("%+v", r.Check)
	}
}
