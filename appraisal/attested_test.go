package appraisal_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/evidencetest"
	"github.com/probity-dev/probity/evidence/snp"
)

func TestClaimsOfTheCallerNeedAChallengeThatTheEvidenceBinds(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	amd := evidencetest.NewAMD(evidencetest.AMDConfig{Now: at})
	chip := amd.Chip(evidencetest.ChipConfig{})
	challenge := []byte("the hash of a key")
	var field [64]byte
	copy(field[:], challenge)
	raw := chip.Evidence(amd, chip.Report(evidencetest.ReportConfig{ReportData: field}))
	a := &appraisal.Appraiser{Random: rand.Reader, Verifiers: appraisal.Verifiers(appraisal.Trust{
		AMD: snp.Config{Roots: amd.Roots()}})}
	attested := claims.NewSet(claims.Claim{Type: "x-key", Value: claims.StringValue("k"),
		Issuer: claims.AttestationService})
	request := appraisal.Request{Kind: evidence.SEVSNPVM, Evidence: raw, Challenge: challenge, Attested: attested,
		Time: at}
	v, err := a.Appraise(t.Context(), request, appraisal.Provider{})
	if err != nil || v.Err() != nil {
		t.Fatal(err, v)
	}
	if text, _ := v.Claims.Text("x-key"); text != "k" || !v.Known.Has("x-key") {
		t.Errorf("the claim is not there: %v", v.Claims)
	}
	other := request
	other.Challenge = []byte("the hash of another key")
	if v, err := a.Appraise(t.Context(), other, appraisal.Provider{}); err != nil || v.Accepted {
		t.Errorf("another key: %v %v", v, err)
	}
	for name, edit := range map[string]func(*appraisal.Request){
		"no challenge":               func(r *appraisal.Request) { r.Challenge = nil },
		"an empty challenge":         func(r *appraisal.Request) { r.Challenge = []byte{} },
		"a kind that reads none":     func(r *appraisal.Request) { r.Kind = evidence.SGXEnclave },
		"another kind of such kinds": func(r *appraisal.Request) { r.Kind = evidence.NitroEnclave },
	} {
		changed := request
		edit(&changed)
		if _, err := a.Appraise(t.Context(), changed, appraisal.Provider{}); err == nil ||
			!strings.Contains(err.Error(), "challenge") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
