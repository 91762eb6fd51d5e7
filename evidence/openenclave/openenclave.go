// Package openenclave verifies evidence in the framings of the Open Enclave
// SDK: reports, evidence with custom claims, and certificates that carry
// either. It also reads endorsements blobs.
//
// Start with [New] and [Verifier.Verify]. The framing is taken apart by [Parse] and the
// quote inside is verified by package sgx, whose claims and limits apply here
// too: nothing about the enclave is judged.
package openenclave

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/internal/statement"
	"github.com/probity-dev/probity/evidence/ratls"
	"github.com/probity-dev/probity/evidence/sgx"
)

// claimBuffer is the claim for custom claims that are not in Open Enclave's own
// serialised form (its name is that of OE_CLAIM_CUSTOM_CLAIMS_BUFFER).
const claimBuffer = "openenclave.custom_claims_buffer"

// The checks of this package, in the order in which they are made. Compare a refusal with them by
// errors.Is.
var (
	checks evidence.Checks

	CheckFormat = checks.Define("openenclave.format",
		"the evidence is a remote Open Enclave report or SGX ECDSA evidence whose sizes fit",
		"send what oe_get_report or oe_get_evidence returned, unchanged; for a bare quote use SgxEnclave")
	CheckCustom = checks.Define("openenclave.custom-claims.binding",
		"SHA-256 of the custom claims buffer is the first half of REPORTDATA; "+
			"evidence whose header names SGX ECDSA has a buffer, if only an empty one",
		"send the evidence unchanged, with the custom claims it was made with")
	CheckKey = checks.Define("openenclave.certificate.key",
		"the quote in a certificate binds the certificate's own key, in one of the ways of ratls.certificate.key",
		ratls.CheckKey.Remedy)
)

// Catalogue lists the checks that this package adds to those of packages dcap
// and sgx.
func Catalogue() []*evidence.Definition { return checks.All() }

// Verifier verifies Open Enclave evidence.
type Verifier struct {
	sgx *sgx.Verifier
}

// New returns a verifier that hands quotes to v.
func New(v *sgx.Verifier) *Verifier {
	return &Verifier{sgx: v}
}

// Kind returns OpenEnclave.
func (v *Verifier) Kind() evidence.Kind { return evidence.OpenEnclave }

// Verify verifies ev.Raw in any framing that [Parse] reads. The error is an
// *[evidence.Rejection] if the evidence is refused.
func (v *Verifier) Verify(ctx context.Context, ev evidence.Evidence) (*evidence.Result, error) {
	result := &evidence.Result{}
	framed, err := Parse(ev.Raw)
	if err != nil {
		return result, result.FailErr(CheckFormat, "an Open Enclave report or evidence", err)
	}
	result.Pass(CheckFormat, "an Open Enclave report or evidence",
		fmt.Sprintf("%s, %d bytes", framed.Form, len(ev.Raw)))
	if err := v.sgx.VerifyQuote(ctx, result, framed.Quote, ev); err != nil {
		return result, err
	}
	return result, result.Conclude(ev, v.bindFraming(result, framed))
}

// bindFraming checks what stands around the quote against its REPORTDATA.
func (v *Verifier) bindFraming(result *evidence.Result, framed *Framed) error {
	quote, err := dcap.ParseQuote(framed.Quote)
	if err != nil {
		return err // it was verified before
	}
	report, err := dcap.ParseReport(quote.Body)
	if err != nil {
		return err
	}
	if framed.Certificate != nil {
		if err := framed.Certificate.CheckKey(result, CheckKey, "REPORTDATA", report.ReportData[:]); err != nil {
			return err
		}
	}
	if len(framed.CustomClaims) == 0 && !framed.Header {
		return nil
	}
	// The hash comes first: bytes that are not bound are not parsed.
	buffer := evidence.Data{Bytes: framed.CustomClaims}
	if framed.Header && len(bytes.TrimLeft(framed.CustomClaims, "\x00")) == 0 &&
		!buffer.BoundBy(report.ReportData[:]) {
		buffer.Bytes = nil // zero padding after the quote: the buffer is empty
	}
	err = statement.Bound(result, CheckCustom, &buffer, "custom claims", "REPORTDATA", report.ReportData[:])
	if err != nil {
		return err
	}
	// The enclave vouches for these, not the service.
	add := func(name string, value []byte) {
		result.Aliases.Add(claims.Claim{
			Type:   name,
			Issuer: claims.CustomClaim,
			Value:  claims.StringValue(base64.RawURLEncoding.EncodeToString(value)),
		})
	}
	list, err := ParseCustomClaims(buffer.Bytes)
	if err != nil && len(buffer.Bytes) > 0 {
		// The serialised form is a convention: attested TLS puts the public key there.
		add(claimBuffer, buffer.Bytes)
	}
	for _, c := range list {
		add("openenclave."+c.Name, c.Value)
	}
	return nil
}
