package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/cca"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/policy"
)

// facts asks for the facts alone: any TCB status but Revoked passes, and every
// reservation is accepted. strangers accepts no reservation.
var (
	facts = appraisal.Provider{TCB: appraisal.TCBPolicy{Any: true,
		Accept: []string{evidence.BoundServiceTD, evidence.DebugGuest}}}
	strangers = appraisal.Provider{TCB: appraisal.TCBPolicy{Any: true}}
)

type runner struct {
	corpus    *corpus
	verifiers []evidence.Verifier
	// strict demand a current revocation list of AMD.
	strict []evidence.Verifier
}

func newRunner(all *corpus, root *dcap.Anchor) *runner {
	trust := appraisal.Trust{Intel: dcap.Config{Anchor: root}}
	r := &runner{corpus: all, verifiers: appraisal.Verifiers(trust)}
	trust.AMD.RequireCRL = true
	r.strict = appraisal.Verifiers(trust)
	return r
}

// all judges every case and every policy of the corpus.
func (r *runner) all() []result {
	var results []result
	for _, c := range r.corpus.cases {
		results = append(results, r.judge(c))
	}
	for _, p := range r.corpus.policies {
		problems := policyProblems(p.path(), p.Syntax)
		results = append(results, result{form: "policies", name: p.Name, problems: problems})
	}
	return results
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

// judge judges one case by its files and its outcome.
func (r *runner) judge(c caseJSON) result {
	out := result{form: "unknown", name: c.label}
	files, err := c.files()
	if err != nil {
		out.problems = []string{err.Error()}
		return out
	}
	known, err := recognize(files)
	if err != nil {
		out.problems = []string{err.Error()}
		return out
	}
	out.form = string(known.form)
	e, err := expect(c.Expected, known.form)
	if err != nil {
		out.problems = []string{err.Error()}
		return out
	}
	if out.skipped = skipped[known.form]; out.skipped == "" {
		out.problems = r.problems(c, e, known, files)
	}
	return out
}

func (r *runner) problems(c caseJSON, e expectation, known recognized, files map[string][]byte) []string {
	var err error
	switch known.form {
	case formLog:
		return logProblems(c, e)
	case formIMA:
		return imaProblems(c, e, files)
	case formGuest:
		err = r.guest(c, e)
	case formTPM:
		err = r.quoteProblem(c, e, files)
	case formKeys:
		err = certificateProblem(c, e, files)
	case formUVM:
		err = endorsementProblem(c.read("uvm-endorsements.cose"), e)
	case formAnchors:
		err = anchorProblem(c, files)
	default:
		var problems []string
		if problems, err = r.appraise(c, e, known); err == nil {
			return problems
		}
	}
	if err != nil {
		return []string{err.Error()}
	}
	return nil
}

// appraise runs evidence that one file has, with what is beside it.
func (r *runner) appraise(c caseJSON, e expectation, known recognized) ([]string, error) {
	raw, kind := known.raw, kinds[known.form]
	var err error
	if kind == evidence.SEVSNPVM {
		if raw, err = framedSNP(c, raw); err != nil {
			return nil, err
		}
	}
	var at time.Time
	if at, err = c.time(); err != nil {
		return nil, err
	}
	request := appraisal.Request{Kind: kind, Evidence: raw, Time: at}
	request.RuntimeData = data(c, "runtime_data.bin", "runtime-data.json", "cose-key.cbor")
	request.InitTimeData = data(c, "security-policy.rego")
	appraiser, err := r.appraiser(c, e, known.form)
	if err != nil {
		return nil, err
	}
	asked := facts
	if e.demand == mustAccept {
		asked = appraisal.Provider{TCB: appraisal.TCBPolicy{Any: true, Accept: c.stated()}}
	}
	verdict, err := appraiser.Appraise(context.Background(), request, asked)
	if err != nil {
		return nil, err
	}
	problems := judge(c, e, verdict)
	if e.demand == mustReserve {
		// Without the reservation the same evidence must be refused, by the same checks.
		refused, err := appraiser.Appraise(context.Background(), request, strangers)
		if err != nil {
			return nil, err
		}
		e.demand = mustRefuse
		problems = append(problems, judge(c, e, refused)...)
	}
	if !verdict.Accepted {
		return problems, nil
	}
	problems = append(problems, keyFieldProblems(c, verdict)...)
	if c.ExpectedFields != nil {
		problems = append(problems, fieldProblems(known.form, raw, c.ExpectedFields)...)
	}
	return append(problems, attachmentProblems(c, raw)...), nil
}

// appraiser has the trust and the collateral that the case brings.
func (r *runner) appraiser(c caseJSON, e expectation, f form) (appraisal.Appraiser, error) {
	a := appraisal.Appraiser{Verifiers: r.verifiers}
	if e.has(freshCRL) {
		a.Verifiers = r.strict
	}
	var err error
	switch f {
	case formCCA:
		anchor, err := armAnchor(c)
		if err != nil {
			return a, err
		}
		trust := appraisal.Trust{Arm: cca.Config{Anchors: []cca.Anchor{anchor}}}
		a.Verifiers = appraisal.Verifiers(trust)
	case formSNP:
		a.Collateral, err = sourceSNP(c)
	case formSGX, formOpenEnclave, formTDX:
		var source collateral.Source
		if source, err = sourceIntel(c); source != nil {
			a.Collateral = source
		}
	default: // verified without collateral
	}
	return a, err
}

// armAnchor reads the key of a case's platform.
func armAnchor(c caseJSON) (cca.Anchor, error) {
	b, err := c.first("cpak.pem", "iak.pem")
	if err != nil {
		return cca.Anchor{}, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return cca.Anchor{}, errors.New("no PEM key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	return cca.Anchor{Key: key}, err
}

// data returns the first of the files that is there, as data to be bound.
func data(c caseJSON, names ...string) *evidence.Data {
	b, err := c.first(names...)
	if err != nil {
		return nil
	}
	return &evidence.Data{Bytes: b, Type: evidence.Binary}
}

// attachmentProblems checks what is beside accepted evidence: endorsements
// blobs must parse, and custom claims must be those in the evidence.
func attachmentProblems(c caseJSON, raw []byte) []string {
	var problems []string
	if b := c.read("endorsements.bin"); b != nil {
		if _, err := openenclave.ParseEndorsements(b); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if b := c.read("custom_claims.bin"); b != nil {
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
