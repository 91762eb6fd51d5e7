package snp

import (
	"encoding/hex"
	"time"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/internal/statement"
	"github.com/probity-dev/probity/evidence/paravisor"
	"github.com/probity-dev/probity/evidence/uvm"
)

// floor is the least TCB that is free of the flaws known when it was set.
type floor struct {
	snp        uint8
	advisories []string
}

// floorDate is when the floors were set: the day of AMD-SB-3019.
var floorDate = time.Date(2025, 2, 3, 0, 0, 0, 0, time.UTC)

// floors are the least SNP firmware levels of AMD-SB-3019 (CVE-2024-56161,
// microcode signatures). Later lines need none.
var floors = map[Line]floor{
	Milan: {0x18, []string{"AMD-SB-3019"}},
	Genoa: {0x17, []string{"AMD-SB-3019"}},
}

// assess compares the reported TCB with the floor of its line. AMD publishes no
// status: the words are those of Intel's collateral, so that one list of
// accepted statuses serves both.
func assess(line Line, r *Report) *evidence.TCB {
	tcb := &evidence.TCB{Status: "UpToDate", Date: floorDate}
	if f, ok := floors[line]; ok && line.Parse(r.ReportedTCB).SNP < f.snp {
		tcb.Status, tcb.Advisories = "OutOfDate", f.advisories
		tcb.Shortfall = evidence.Components{{
			Name:  "SNP firmware (" + string(line) + ")",
			Type:  "SNP firmware",
			Needs: int(f.snp),
			Has:   int(line.Parse(r.ReportedTCB).SNP),
		}}
	}
	return tcb
}

// facts are what was proven of a report.
type facts struct {
	report     *Report
	leaf       *leafCert
	revocation string
	uvms       []*uvm.Endorsement
}

// claims states what the token says about a guest (Azure Attestation, claims of
// type sevsnpvm).
func (v *Verifier) claims(result *evidence.Result, f facts, ev evidence.Evidence) (claims.Set, error) {
	r, tcb := f.report, f.leaf.Line.Parse(f.report.ReportedTCB)
	s := statement.List{}
	s.Text("x-ms-attestation-type", "sevsnpvm")
	for _, field := range []struct {
		name  string
		value []byte
	}{
		{"authorkeydigest", r.AuthorKeyDigest}, {"familyId", r.FamilyID}, {"hostdata", r.HostData},
		{"idkeydigest", r.IDKeyDigest},
		{"imageId", r.ImageID}, {"launchmeasurement", r.Measurement}, {"reportdata", r.ReportData},
		{"reportid", r.ReportID},
	} {
		s.Hex("x-ms-sevsnpvm-"+field.name, field.value)
	}
	s.Integer("x-ms-sevsnpvm-bootloader-svn", int64(tcb.BootLoader))
	s.Integer("x-ms-sevsnpvm-tee-svn", int64(tcb.TEE))
	s.Integer("x-ms-sevsnpvm-snpfw-svn", int64(tcb.SNP))
	s.Integer("x-ms-sevsnpvm-microcode-svn", int64(tcb.Microcode))
	s.Integer("x-ms-sevsnpvm-guestsvn", int64(r.GuestSVN))
	s.Integer("x-ms-sevsnpvm-vmpl", int64(r.VMPL))
	s.Boolean("x-ms-sevsnpvm-is-debuggable", r.Policy.Debug())
	s.Boolean("x-ms-sevsnpvm-migration-allowed", r.Policy.Migration())
	s.Boolean("x-ms-sevsnpvm-smt-allowed", r.Policy.SMT())
	if status := v.compliance(f); status != "" {
		s.Text("x-ms-compliance-status", status)
	}
	if err := s.BoundJSON(result, CheckJSON, ev); err != nil {
		return claims.Set{}, err
	}
	return s.Set, nil
}

// compliance is what an endorsement of the utility VM, or the list of trusted paravisors, says
// about the guest's firmware; it is empty if neither knows it.
func (v *Verifier) compliance(f facts) string {
	for _, e := range f.uvms {
		if e.Status != "" {
			return e.Status
		}
	}
	r := f.report
	if v.cfg.Paravisors.SNP(paravisor.SNP{
		VMPL: r.VMPL, SVN: r.GuestSVN, IDKeyDigest: r.IDKeyDigest, AuthorKeyDigest: r.AuthorKeyDigest,
		Measurement: r.Measurement,
	}) != "" {
		return paravisor.Compliant
	}
	return ""
}

// aliases are what policies may read besides the token's claims.
func (f facts) aliases(tcb *evidence.TCB) claims.Set {
	r, line := f.report, f.leaf.Line
	s := statement.List{Set: statement.TCB(tcb)}
	s.Text("x-probity-snp-product", string(line))
	s.Integer("x-probity-snp-report-version", int64(r.Version))
	s.Text("x-probity-snp-signing-key", map[bool]string{false: "VCEK", true: "VLEK"}[f.leaf.VLEK])
	if f.leaf.VLEK {
		s.Text("x-probity-snp-csp-id", f.leaf.CSP)
	}
	s.Text("x-probity-snp-revocation", f.revocation)
	s.Hex("x-probity-snp-chip-id", r.ChipID)
	if line == Turin {
		s.Integer("x-probity-snp-fmc-svn", int64(line.Parse(r.ReportedTCB).FMC))
	}
	for _, level := range []struct {
		name string
		raw  RawTCB
	}{{"committed", r.CommittedTCB}, {"current", r.CurrentTCB}, {"launch", r.LaunchTCB}} {
		tcb := line.Parse(level.raw)
		s.Integer("x-probity-snp-"+level.name+"-snpfw-svn", int64(tcb.SNP))
		s.Integer("x-probity-snp-"+level.name+"-microcode-svn", int64(tcb.Microcode))
	}
	s.Integer("x-probity-snp-guest-policy", int64(r.Policy))
	for i, name := range []string{
		"smt-enabled", "tsme-enabled", "ecc-memory", "rapl-disabled", "ciphertext-hiding",
		"alias-check-complete",
	} {
		s.Boolean("x-probity-snp-"+name, r.PlatformInfo>>i&1 == 1)
	}
	if r.Version >= 5 {
		s.Text("x-probity-snp-launch-mitigations", hex.EncodeToString(r.Raw[0x1f8:0x200]))
		s.Text("x-probity-snp-current-mitigations", hex.EncodeToString(r.Raw[0x200:0x208]))
	}
	for _, e := range f.uvms {
		s.Text("x-probity-uvm-issuer", e.Issuer)
		s.Text("x-probity-uvm-feed", e.Feed)
		s.Integer("x-probity-uvm-svn", int64(min(e.SVN, 1<<53)))
	}
	return s.Set
}
