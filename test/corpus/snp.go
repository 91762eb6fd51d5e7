package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/snp"
	"github.com/probity-dev/probity/evidence/uvm"
)

// endorsementProblem judges an endorsement that comes without a report.
func endorsementProblem(b []byte, e expectation) error {
	endorsed, err := uvm.Inspect(b)
	if err == nil {
		endorsed, err = uvm.New(nil).Verify(&evidence.Result{}, b, endorsed.Measurement)
	}
	switch {
	case e.demand == mustAccept && err != nil:
		return err
	case e.demand == mustAccept && endorsed.Status == "":
		return errors.New("no compliance status")
	case e.demand == mustAccept:
		return nil
	}
	return e.refused(err)
}

// framedSNP puts report, certificates and endorsements of a case into the form
// of the wire.
func framedSNP(c caseJSON, report []byte) ([]byte, error) {
	f := snp.Framed{Report: report}
	for _, name := range []string{"vcek.der", "vlek.der"} {
		der, err := os.ReadFile(filepath.Join(c.folder, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f.Certificates = append(f.Certificates, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	chain, err := os.ReadFile(filepath.Join(c.folder, "chain.pem"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f.Certificates = append(f.Certificates, chain...)
	if b, err := os.ReadFile(filepath.Join(c.folder, "uvm-endorsements.cose")); err == nil {
		f.Endorsements = [][]byte{b}
	}
	return f.Marshal()
}

// snpClaims says which claim states which field of the manifest.
var snpClaims = map[string]string{
	"guest_svn":           "x-ms-sevsnpvm-guestsvn",
	"vmpl":                "x-ms-sevsnpvm-vmpl",
	"report_data":         "x-ms-sevsnpvm-reportdata",
	"measurement":         "x-ms-sevsnpvm-launchmeasurement",
	"host_data":           "x-ms-sevsnpvm-hostdata",
	"id_key_digest":       "x-ms-sevsnpvm-idkeydigest",
	"author_key_digest":   "x-ms-sevsnpvm-authorkeydigest",
	"report_id":           "x-ms-sevsnpvm-reportid",
	"chip_id":             "x-probity-snp-chip-id",
	"version":             "x-probity-snp-report-version",
	"reported_tcb.bl":     "x-ms-sevsnpvm-bootloader-svn",
	"reported_tcb.tee":    "x-ms-sevsnpvm-tee-svn",
	"reported_tcb.snp":    "x-ms-sevsnpvm-snpfw-svn",
	"reported_tcb.ucode":  "x-ms-sevsnpvm-microcode-svn",
	"reported_tcb.fmc":    "x-probity-snp-fmc-svn",
	"committed_tcb.snp":   "x-probity-snp-committed-snpfw-svn",
	"committed_tcb.ucode": "x-probity-snp-committed-microcode-svn",
	"current_tcb.snp":     "x-probity-snp-current-snpfw-svn",
	"launch_tcb.snp":      "x-probity-snp-launch-snpfw-svn",
	"policy.debug":        "x-ms-sevsnpvm-is-debuggable",
	"policy.migrate_ma":   "x-ms-sevsnpvm-migration-allowed",
	"policy.smt":          "x-ms-sevsnpvm-smt-allowed",
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
