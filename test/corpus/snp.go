package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
)

// otherThanEvidence handles cases that hold no evidence: trust anchors, which
// must be those that are pinned, and endorsements alone.
func otherThanEvidence(folder string, c caseJSON) (problems []string, done bool) {
	switch c.Expected.Outcome {
	case "trust anchors":
		return anchorProblems(folder), true
	case "trust anchor":
		return rootProblems(folder), true
	case "accept (endorsement only)":
		b, err := os.ReadFile(filepath.Join(folder, "uvm-endorsements.cose"))
		if err != nil {
			return []string{err.Error()}, true
		}
		return endorsementProblems(b), true
	}
	return nil, false
}

func anchorProblems(folder string) (problems []string) {
	files, err := filepath.Glob(filepath.Join(folder, "*.pem"))
	if err != nil || len(files) == 0 {
		return []string{"no PEM files"}
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return []string{err.Error()}
		}
		for rest := b; ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type == "CERTIFICATE" && !snp.AMDRoots().Holds(block.Bytes) {
				problems = append(problems, filepath.Base(file)+": a certificate that is not pinned")
			}
		}
	}
	return problems
}

func endorsementProblems(b []byte) []string {
	e, err := uvm.Inspect(b)
	if err != nil {
		return []string{err.Error()}
	}
	if e, err = uvm.New(nil).Verify(&evidence.Result{}, b, e.Measurement); err != nil {
		return []string{err.Error()}
	}
	if e.Status == "" {
		return []string{"no compliance status"}
	}
	return nil
}

// framedSNP puts report, certificates and endorsements of a case into the form
// of the wire.
func framedSNP(folder string, report []byte) ([]byte, error) {
	f := snp.Framed{Report: report}
	for _, name := range []string{"vcek.der", "vlek.der"} {
		der, err := os.ReadFile(filepath.Join(folder, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f.Certificates = append(f.Certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	chain, err := os.ReadFile(filepath.Join(folder, "chain.pem"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f.Certificates = append(f.Certificates, chain...)
	if b, err := os.ReadFile(filepath.Join(folder, "uvm-endorsements.cose")); err == nil {
		f.Endorsements = [][]byte{b}
	}
	return f.Marshal()
}

// sourceSNP serves the revocation list of a case, if it has one.
func sourceSNP(folder, line string) (collateral.Source, error) {
	b, err := os.ReadFile(filepath.Join(folder, "crl.pem"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	der, err := collateral.DecodeCRL(b)
	if err != nil {
		return nil, err
	}
	return collateral.NewStatic(&collateral.Bundle{AMD: []*collateral.AMD{{AMDQuery: collateral.AMDQuery{Line: line}, CRL: der}}})
}

// snpClaims says which claim holds which field of the manifest.
var snpClaims = map[string]string{
	"guest_svn": "x-ms-sevsnpvm-guestsvn", "vmpl": "x-ms-sevsnpvm-vmpl", "report_data": "x-ms-sevsnpvm-reportdata",
	"measurement": "x-ms-sevsnpvm-launchmeasurement", "host_data": "x-ms-sevsnpvm-hostdata", "id_key_digest": "x-ms-sevsnpvm-idkeydigest",
	"author_key_digest": "x-ms-sevsnpvm-authorkeydigest", "report_id": "x-ms-sevsnpvm-reportid", "chip_id": "x-probity-snp-chip-id",
	"version":         "x-probity-snp-report-version",
	"reported_tcb.bl": "x-ms-sevsnpvm-bootloader-svn", "reported_tcb.tee": "x-ms-sevsnpvm-tee-svn", "reported_tcb.snp": "x-ms-sevsnpvm-snpfw-svn",
	"reported_tcb.ucode": "x-ms-sevsnpvm-microcode-svn", "reported_tcb.fmc": "x-probity-snp-fmc-svn",
	"committed_tcb.snp": "x-probity-snp-committed-snpfw-svn", "committed_tcb.ucode": "x-probity-snp-committed-microcode-svn",
	"current_tcb.snp": "x-probity-snp-current-snpfw-svn", "launch_tcb.snp": "x-probity-snp-launch-snpfw-svn",
	"policy.debug": "x-ms-sevsnpvm-is-debuggable", "policy.migrate_ma": "x-ms-sevsnpvm-migration-allowed", "policy.smt": "x-ms-sevsnpvm-smt-allowed",
}

// keyFieldProblems compares the fields that a manifest read from the evidence
// with the claims.
func keyFieldProblems(c caseJSON, v *appraisal.Verdict) (problems []string) {
	fields := c.KeyFields
	if inner, ok := fields["snp"].(map[string]any); ok {
		fields = inner
	}
	flat := map[string]any{}
	for name, value := range fields {
		if inner, ok := value.(map[string]any); ok {
			for sub, value := range inner {
				flat[name+"."+sub] = value
			}
			continue
		}
		flat[name] = value
	}
	compared := 0
	for name, want := range flat {
		claim, ok := snpClaims[name]
		if !ok {
			continue
		}
		got, _ := v.Known.Get(claim)
		compared++
		same := false
		switch want := want.(type) {
		case string:
			text, isText := got.Text()
			same = isText && text == want
		case float64:
			n, isInt := got.Int()
			same = isInt && n == int64(want)
		case bool:
			b, isBool := got.Bool()
			same = isBool && b == want
		}
		if !same {
			problems = append(problems, fmt.Sprintf("%s: want %v, got %v", name, want, got))
		}
	}
	if v.Known.Len() > 0 && compared < 10 && fields["measurement"] != nil {
		problems = append(problems, fmt.Sprintf("only %d fields were compared", compared))
	}
	slices.Sort(problems)
	return problems
}
