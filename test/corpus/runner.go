package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/policy"
)

// kinds gives the attestation type of each folder of evidence that has a
// verifier.
var kinds = map[string]evidence.Kind{
	"sgx":         evidence.SGXEnclave,
	"openenclave": evidence.OpenEnclave,
	"tdx":         evidence.TDXVM,
	"snp":         evidence.SEVSNPVM,
	"aci-uvm":     evidence.SEVSNPVM,
	"nitro":       evidence.NitroEnclave,
	"cca":         evidence.ArmCCA,
}

type runner struct {
	folder    string
	verifiers []evidence.Verifier
	// strict demand a current revocation list of AMD.
	strict []evidence.Verifier
}

func newRunner(folder string, root *dcap.Anchor) *runner {
	trust := appraisal.Trust{Intel: dcap.Config{Anchor: root}}
	r := &runner{folder: folder, verifiers: appraisal.Verifiers(trust)}
	trust.AMD.RequireCRL = true
	r.strict = appraisal.Verifiers(trust)
	return r
}

// manifestJSON covers the forms of manifests: cases of evidence, and policies.
type manifestJSON struct {
	Cases    []caseJSON   `json:"cases"`
	Policies []policyJSON `json:"policies"`
}

type caseJSON struct {
	Name           string         `json:"name"`
	EvaluateAt     string         `json:"evaluate_at"`
	EvaluationTime any            `json:"evaluation_time"`
	Expected       expectedJSON   `json:"expected"`
	ExpectedFields map[string]any `json:"expected_fields"`
	Product        string         `json:"product"`
	KeyFields      map[string]any `json:"key_fields"`
}

type expectedJSON struct {
	Verdict        string `json:"verdict"`
	Outcome        string `json:"outcome"`
	Status         string `json:"tcb_status"`
	PlatformStatus string `json:"platform_tcb_status"`
	PlatformDate   string `json:"platform_tcb_date"`
	QEStatus       string `json:"qe_tcb_status"`
	LaunchStatus   string `json:"launch_status"`
	CurrentStatus  string `json:"current_status"`
	Module         *struct {
		Status string `json:"status"`
	} `json:"tdx_module"`
	Advisories []string `json:"advisory_ids"`
	Debug      *bool    `json:"debug"`
}

type policyJSON struct {
	Name, File, Syntax string
}

func (r *runner) manifest(path string) ([]outcome, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m manifestJSON
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	var outcomes []outcome
	for _, c := range m.Cases {
		name := c.Name
		if rel, err := filepath.Rel(r.folder, folder); err == nil && rel != "." && !strings.HasPrefix(name, rel+"/") {
			name = filepath.Join(rel, name)
		}
		kind, _, _ := strings.Cut(filepath.ToSlash(name), "/")
		o := outcome{kind: kind, name: name}
		r.evidence(&o, filepath.Join(folder, c.Name), c)
		outcomes = append(outcomes, o)
	}
	for _, p := range m.Policies {
		outcomes = append(outcomes, outcome{kind: "policies", name: "policies/" + p.Name, problems: policyProblems(filepath.Join(folder, p.File), p.Syntax)})
	}
	return outcomes, nil
}

func policyProblems(path, syntax string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return []string{err.Error()}
	}
	_, err = policy.Parse(string(text))
	switch syntax {
	case "valid":
		if err != nil {
			return []string{"valid, but: " + err.Error()}
		}
	case "invalid", "nonstandard":
		if err == nil {
			return []string{syntax + ", but it parses"}
		}
	default:
		return []string{fmt.Sprintf("unknown syntax word %q", syntax)}
	}
	return nil
}

func (r *runner) evidence(o *outcome, folder string, c caseJSON) {
	if o.kind == "tpm" {
		o.problems = tpmProblems(folder, c)
		return
	}
	if o.kind == "azure-cvm" {
		o.problems = r.azureProblems(folder, c)
		return
	}
	kind, built := kinds[o.kind]
	if !built {
		o.skipped = true
		return
	}
	problems, err := r.appraise(kind, folder, c)
	if err != nil {
		problems = append(problems, err.Error())
	}
	o.problems = problems
}

// appraise runs one case for its facts: any TCB status but Revoked passes.
func (r *runner) appraise(kind evidence.Kind, folder string, c caseJSON) ([]string, error) {
	if problems, done := otherThanEvidence(folder, c); done {
		return problems, nil
	}
	raw, err := firstFile(folder, "evidence.bin", "report.bin", "quote.bin", "attested_cert.der", "document.cbor", "token.cbor")
	if err == nil && kind == evidence.SEVSNPVM {
		raw, err = framedSNP(folder, raw)
	}
	if err != nil {
		return nil, err
	}
	var at time.Time
	if at, err = c.time(); err != nil {
		return nil, err
	}
	request := appraisal.Request{Kind: kind, Evidence: raw, Time: at}
	request.RuntimeData = data(folder, "runtime_data.bin", "runtime-data.json", "cose-key.cbor")
	request.InitTimeData = data(folder, "security-policy.rego")
	appraiser := appraisal.Appraiser{Verifiers: r.verifiers}
	if kind == evidence.ArmCCA {
		anchor, err := armAnchor(folder)
		if err != nil {
			return nil, err
		}
		appraiser.Verifiers = appraisal.Verifiers(appraisal.Trust{Arm: cca.Config{Anchors: []cca.Anchor{anchor}}})
	}
	if c.Expected.Outcome == "reject where a fresh CRL is required" {
		appraiser.Verifiers = r.strict
	}
	if appraiser.Collateral, err = source(kind, folder, c); err != nil {
		return nil, err
	}
	verdict, err := appraiser.Appraise(context.Background(), request, appraisal.Provider{TCB: appraisal.TCBPolicy{Any: true, Accept: []string{evidence.BoundServiceTD, evidence.DebugGuest}}})
	if err != nil {
		return nil, err
	}
	problems := judge(c, verdict)
	if verdict.Accepted {
		problems = append(problems, keyFieldProblems(c, verdict)...)
	}
	if c.ExpectedFields != nil && verdict.Accepted {
		problems = append(problems, fieldProblems(kind, raw, c.ExpectedFields)...)
	}
	if verdict.Accepted {
		problems = append(problems, attachmentProblems(folder, raw)...)
	}
	return problems, nil
}

// time returns when the case is to be judged: a date, or seconds since 1970;
// now, if the manifest names no time.
func (c caseJSON) time() (time.Time, error) {
	if c.EvaluateAt != "" {
		return time.Parse(time.RFC3339, c.EvaluateAt)
	}
	switch t := c.EvaluationTime.(type) {
	case string:
		return time.Parse(time.RFC3339, t)
	case float64:
		return time.Unix(int64(t), 0), nil
	}
	return time.Now(), nil
}

// source returns the case's collateral: collateral.json, or loose files as a
// quote library keeps them, or nothing.
func source(kind evidence.Kind, folder string, c caseJSON) (collateral.Source, error) {
	if kind == evidence.SEVSNPVM {
		return sourceSNP(folder, c.Product)
	}
	path := filepath.Join(folder, "collateral.json")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		path = folder
	}
	bundle, err := collateral.Load(path)
	if err != nil && path == folder {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return collateral.Fixed(bundle.Intel[0]), nil
}

// data returns the first of the files that is there, as data to be bound.
func data(folder string, names ...string) *evidence.Data {
	b, err := firstFile(folder, names...)
	if err != nil {
		return nil
	}
	return &evidence.Data{Bytes: b, Type: evidence.Binary}
}

func firstFile(folder string, names ...string) ([]byte, error) {
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(folder, name))
		if !errors.Is(err, os.ErrNotExist) {
			return b, err
		}
	}
	return nil, fmt.Errorf("none of %s", strings.Join(names, ", "))
}

// attachmentProblems checks what lies beside accepted evidence: endorsements
// blobs must parse, and custom claims must be those in the evidence.
func attachmentProblems(folder string, raw []byte) []string {
	var problems []string
	if b, err := os.ReadFile(filepath.Join(folder, "endorsements.bin")); err == nil {
		if _, err := openenclave.ParseEndorsements(b); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if b, err := os.ReadFile(filepath.Join(folder, "custom_claims.bin")); err == nil {
		framed, err := openenclave.Parse(raw)
		if err != nil || string(framed.CustomClaims) != string(b) {
			problems = append(problems, "custom claims differ from custom_claims.bin")
		}
		if _, err := openenclave.ParseCustomClaims(b); err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems
}
