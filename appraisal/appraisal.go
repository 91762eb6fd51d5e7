// Package appraisal is the product in one page: evidence → claims → policy → token
// (RFC 9334: the verifier's appraisal of evidence). It needs no service.
//
// Start with an [Appraiser] whose verifiers are those of [Verifiers], and call [Appraiser.Appraise] with a
// [Request] (the evidence, and what it must be bound to) and a [Provider] (what you accept: a
// [TCBPolicy] for the platform, a [policy.Policy] for the claims, and, to issue tokens, a signer). The
// [Verdict] has every check that was made, the claims that were proven, the policy's trace, and a token
// or, by [Verdict.Err], the exact reason why not. [JudgeClaims] tries a policy on claims alone. To verify
// without judging, use the package of the kind, such as evidence/snp.
//
// The same request at the same time with the same collateral always gives the same verdict. The package
// keeps nothing, dials nothing and reads no clock.
package appraisal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/forms"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
)

// Request is evidence with the circumstances under which it is appraised.
type Request struct {
	Kind         evidence.Kind
	Evidence     []byte
	RuntimeData  *evidence.Data
	InitTimeData *evidence.Data
	// EventLog is a log of measured boot that goes with the evidence, or empty.
	EventLog []byte
	// Challenge, if not nil, is what the evidence must have been made for.
	Challenge []byte
	// Attested are claims about what the challenge stands for, such as a key whose hash it is. Policies
	// read them, and they go into the token beside those of the evidence. The caller vouches for them. They
	// need a challenge, and a kind whose verifier checks it: SevSnpVm, TdxVm, AzureGuest or Tpm.
	Attested claims.Set
	// Nonce is the JSON text of the client's nonce, or empty.
	Nonce jsontext.Value
	// DraftPolicy, if not empty, is applied instead of the provider's policy,
	// and the token is not signed.
	DraftPolicy string
	// Enrolled tells which attestation keys were bound to a TPM, see
	// [evidence.Evidence]. It may be nil.
	Enrolled func(key [sha256.Size]byte) (endorsementKey string, ok bool)
	// Registers, if not nil, are those that the quote of a TPM must cover where the policy
	// does not say (required_pcr_mask), bit n for PCR n. Nil means all 24.
	Registers *uint32
	// Time is when the evidence is judged.
	Time time.Time
}

// Provider is what the relying side wants: its policy, which TCB statuses it accepts, and how its
// tokens are made. A service has one for each attestation provider (tenant). The zero value accepts all
// evidence that passes the checks on a platform of [DefaultTCB], and makes no token.
type Provider struct {
	// Policy is applied to the claims. Nil accepts all evidence that passes
	// the checks.
	Policy *policy.Policy
	// PolicySigner is the JWK of who signed the policy, or empty.
	PolicySigner jsontext.Value
	// TCB says which TCB statuses are accepted.
	TCB TCBPolicy
	// Signer signs the token. Nil means that none is made.
	Signer *token.Signer
	// TokenTime is when the token is made. It is not the request's time: old
	// evidence may be judged at its own time, tokens are always of today.
	TokenTime time.Time
	// MaxValidity caps how long a token is valid, whether the policy asks for a time
	// (report_validity_in_minutes) or not. Zero means token.Validity.
	MaxValidity time.Duration
	// Audience, if not empty, is the token's aud. Azure's tokens have none.
	Audience []string
	// Subject, if not empty, names the claim whose value is the token's sub.
	Subject string
}

// Verdict is the result of an appraisal. What it has of refused evidence is for people who ask why;
// see Accepted, or [Verdict.Err], first.
type Verdict struct {
	Accepted bool
	// Checks are those that were made, in order; of refused evidence the last one failed.
	Checks []evidence.Check
	// Claims are what the evidence proves.
	Claims claims.Set
	// Known are Claims and all else that policies may read.
	Known claims.Set
	// Issued are the claims that the policy issued, and Properties those with which
	// it steers the token; both are empty for evidence that is refused.
	Issued, Properties claims.Set
	// TCB is the state of the platform, of kinds whose vendor defines one.
	TCB *evidence.TCB
	// Reservations are facts that evidence is refused for unless they are accepted by name.
	Reservations []evidence.Reservation
	// Policy says what each rule did, and why.
	Policy policy.Trace
	// Token is the compact token, if one was made, and TokenID its jti.
	Token, TokenID string
	// Collateral identifies the endorsements that were used: SHA-256 over their
	// digests in the order in which they were asked for. Zero means none.
	Collateral [sha256.Size]byte
	// Rejection is the failed check, if the evidence is refused.
	Rejection *evidence.Rejection
}

// Err returns nil if the evidence is accepted, and otherwise why not, a *[evidence.Rejection]:
// errors.Is compares it with the checks of the packages, as in errors.Is(err, snp.CheckSignature).
func (v *Verdict) Err() error {
	switch {
	case v.Rejection != nil:
		return v.Rejection
	case !v.Accepted:
		return errNotAppraised
	}
	return nil
}

// errNotAppraised is the error of a verdict that no appraisal made.
var errNotAppraised = errors.New("appraisal: the evidence was not appraised")

// Appraiser runs appraisals. It is safe for concurrent use.
type Appraiser struct {
	// Verifiers are the kinds of evidence that are understood: [Verifiers], or some of them.
	Verifiers []evidence.Verifier
	// Collateral is where endorsements come from, such as a [collateral.Static]. Nil means that there
	// are none; Intel's kinds need them.
	Collateral collateral.Source
	// Random is the source of token identifiers. It may be nil where no tokens are made.
	Random io.Reader
}

// Kinds lists the attestation types that are understood, as in "SgxEnclave,
// OpenEnclave".
func (a *Appraiser) Kinds() string {
	names := make([]string, 0, len(a.Verifiers))
	for _, v := range a.Verifiers {
		names = append(names, string(v.Kind()))
	}
	return strings.Join(names, ", ")
}

// Understands reports whether there is a verifier for the kind.
func (a *Appraiser) Understands(kind evidence.Kind) bool {
	return slices.ContainsFunc(a.Verifiers, func(v evidence.Verifier) bool { return v.Kind() == kind })
}

// claimCollateral says "stale" in tokens for which collateral was used that has
// outlived itself.
const claimCollateral = "x-probity-collateral"

// ErrKind is returned for evidence of a kind that no verifier understands.
var ErrKind = errors.New("no verifier for this attestation type")

// Appraise verifies the evidence, judges it and makes the token. Evidence that
// is refused gives a verdict with a rejection and no error. The error is a
// *[policy.ParseError] for a draft policy that does not parse, wraps [ErrKind]
// for an unknown kind, and otherwise means that no verdict could be reached.
func (a *Appraiser) Appraise(ctx context.Context, req Request, p Provider) (*Verdict, error) {
	at := slices.IndexFunc(a.Verifiers, func(v evidence.Verifier) bool { return v.Kind() == req.Kind })
	if at < 0 {
		return nil, fmt.Errorf("%s: %w", req.Kind, ErrKind)
	}
	if err := req.attestable(); err != nil {
		return nil, err
	}
	rules, err := rulesFor(req, p)
	if err != nil {
		return nil, err
	}
	v := &Verdict{}
	asked, rejection := demands(rules)
	if rejection != nil {
		return v.refuse(rejection), nil
	}
	if asked.tpm.Mask == nil {
		asked.tpm.Mask = req.Registers
	}

	// Verify: what is proven?
	used := &usedCollateral{source: a.Collateral}
	ev := evidence.Evidence{
		Raw: req.Evidence, RuntimeData: req.RuntimeData, InitTimeData: req.InitTimeData,
		EventLog: req.EventLog, Challenge: req.Challenge,
		TPM: asked.tpm, Enrolled: req.Enrolled, Collateral: used.orNil(), TCBEvaluationNumber: asked.tcb,
		Time:   req.Time,
		Accept: p.TCB.Accept, DebugByPolicy: p.TCB.EnclaveDebugByPolicy,
	}
	result, err := a.Verifiers[at].Verify(ctx, ev)
	v.Collateral = used.sum()
	v.Checks, v.Claims, v.TCB, v.Reservations = result.Checks, result.Claims, result.TCB, result.Reservations
	if result.Stale {
		v.Claims.Add(claims.Claim{
			Type:   claimCollateral,
			Value:  claims.StringValue("stale"),
			Issuer: claims.AttestationService,
		})
	}
	for _, c := range req.Attested.All() {
		v.Claims.Add(c)
	}
	v.Known = v.Claims.Clone()
	for _, c := range result.Aliases.All() {
		v.Known.Add(c)
	}
	if errors.As(err, &rejection) {
		v.Rejection = rejection
		v.explain(req)
		return v, nil
	}
	if err != nil {
		return nil, err
	}

	// Judge: is it acceptable?
	// Security: a verifier that forgot to refuse a debug guest must not have it accepted.
	if rejection := result.Unaccepted(ev); rejection != nil {
		return v.refuse(rejection), nil
	}
	for _, check := range p.TCB.judge(req.Kind, result.TCB) {
		if !check.OK {
			return v.refuse(&evidence.Rejection{Check: check}), nil
		}
		v.Checks = append(v.Checks, check)
	}
	outcome, rejection := v.apply(ctx, rules)
	if rejection != nil {
		if ctx.Err() != nil && errors.Is(rejection.Cause, context.Cause(ctx)) {
			return nil, fmt.Errorf("appraisal: %w", rejection.Cause) // no verdict was reached
		}
		return v.refuse(rejection), nil
	}
	v.Accepted = true
	v.Issued, v.Properties = outcome.Issued, outcome.Properties

	// Answer: a token that any relying party can check.
	if p.Signer != nil {
		if v.Token, v.TokenID, err = a.token(req, p, rules, v.Claims, outcome); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// attestable checks that claims of the caller are about something that the evidence binds.
func (r *Request) attestable() error {
	kinds := []evidence.Kind{evidence.SEVSNPVM, evidence.TDXVM, evidence.AzureGuest, evidence.TPM}
	if r.Attested.Len() > 0 && (len(r.Challenge) == 0 || !slices.Contains(kinds, r.Kind)) {
		return fmt.Errorf("appraisal: claims of the caller, and no challenge that evidence of kind %s binds", r.Kind)
	}
	return nil
}

// explain says what evidence is that its verifier could not read at all: evidence of
// another kind, text around evidence, a file that was cut off.
func (v *Verdict) explain(req Request) {
	last := len(v.Checks) - 1
	if last != 0 && v.Rejection.Check.ID != "dcap.quote.tee" {
		return
	}
	found, remedy := forms.Explain(req.Kind, req.Evidence)
	if found == "" {
		return
	}
	v.Rejection.Check.Found, v.Rejection.Check.Remedy = found, remedy
	if last >= 0 {
		v.Checks[last] = v.Rejection.Check
	}
}

// refuse adds the failed check to the verdict.
func (v *Verdict) refuse(r *evidence.Rejection) *Verdict {
	v.Checks = append(v.Checks, r.Check)
	v.Rejection = r
	return v
}

func rulesFor(req Request, p Provider) (*policy.Policy, error) {
	if req.DraftPolicy == "" {
		return p.Policy, nil
	}
	return policy.Parse(req.DraftPolicy)
}

// JudgeClaims applies a policy to claims that someone vouches for, such as recorded
// ones. There is no evidence: the policy's configuration rules are read as in
// [Appraiser.Appraise], but have no effect, because they are about how evidence is verified.
func JudgeClaims(known claims.Set, rules *policy.Policy) *Verdict {
	v := &Verdict{Claims: known, Known: known.Clone()}
	if _, rejection := demands(rules); rejection != nil {
		return v.refuse(rejection)
	}
	outcome, rejection := v.apply(context.Background(), rules)
	if rejection != nil {
		return v.refuse(rejection)
	}
	v.Accepted, v.Issued, v.Properties = true, outcome.Issued, outcome.Properties
	return v
}

// apply evaluates the policy over everything that is known.
func (v *Verdict) apply(ctx context.Context, rules *policy.Policy) (*policy.Outcome, *evidence.Rejection) {
	if rules == nil {
		return &policy.Outcome{}, nil
	}
	outcome, err := rules.EvaluateContext(ctx, v.Known)
	v.Policy = outcome.Trace
	if err != nil || !outcome.Permitted {
		return nil, &evidence.Rejection{
			Cause: err, Check: CheckPolicy.Failed("a policy that permits", v.Policy.Reason()),
		}
	}
	v.Checks = append(v.Checks, CheckPolicy.Passed("a policy that permits", v.Policy.Reason()))
	return outcome, nil
}

func (a *Appraiser) token(
	req Request, p Provider, rules *policy.Policy, known claims.Set, outcome *policy.Outcome,
) (compact, jti string, err error) {
	if a.Random == nil {
		return "", "", errors.New("appraisal: a token needs a source of randomness for its id")
	}
	var id [32]byte
	if _, err := io.ReadFull(a.Random, id[:]); err != nil {
		return "", "", fmt.Errorf("appraisal: token id: %w", err)
	}
	content := token.Attestation{
		Issuer: p.Signer.Issuer, Time: p.TokenTime, ID: hex.EncodeToString(id[:]),
		Nonce: req.Nonce, Claims: known, Issued: outcome.Issued, Validity: validity(outcome, p.MaxValidity),
		Audience: p.Audience, Subject: subject(p.Subject, known, outcome.Issued),
	}
	if rules != nil {
		content.PolicyHash = policy.Hash(rules.Text)
	}
	if req.DraftPolicy == "" {
		content.PolicySigner = p.PolicySigner
	}
	payload, err := content.Payload()
	if err != nil {
		return "", "", err
	}
	if req.DraftPolicy != "" {
		return token.Unsecured(payload), content.ID, nil
	}
	if omit, ok := property(outcome, "omit_x5c").Bool(); ok {
		compact, err = p.Signer.SignWithCertificate(payload, !omit)
	} else {
		compact, err = p.Signer.Sign(payload)
	}
	return compact, content.ID, err
}

// subject is the text of the claim that stands for the machine: of the policy
// first, then of the service. Without such a claim there is no subject.
func subject(name string, known, issued claims.Set) string {
	for _, set := range []claims.Set{issued, known} {
		for _, c := range set.All() {
			if name != "" && c.Type == name {
				if text, ok := c.Value.Text(); ok {
					return text
				}
			}
		}
	}
	return ""
}

// property returns the last value that the policy set for a property claim.
func property(outcome *policy.Outcome, name string) (v claims.Value) {
	for _, c := range outcome.Properties.All() {
		if c.Type == name {
			v = c.Value
		}
	}
	return v
}

// validity is how long the token is valid: what the policy asks for with
// report_validity_in_minutes, or else the standard, both within the cap.
func validity(outcome *policy.Outcome, most time.Duration) time.Duration {
	if most == 0 {
		most = token.Validity
	}
	minutes, ok := property(outcome, "report_validity_in_minutes").Int()
	switch {
	case !ok || minutes <= 0:
		return min(token.Validity, most)
	case minutes > int64(most/time.Minute):
		return most
	}
	return time.Duration(minutes) * time.Minute
}
