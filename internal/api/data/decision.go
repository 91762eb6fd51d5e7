package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/policy"
)

// Appraise is the decision about evidence that came by a protocol of another plane: it is judged now, by the policy
// in force, and recorded. Evidence that is refused is an error.
func (p *Plane) Appraise(
	r *http.Request, c *edge.Call, request *appraisal.Request,
) (*appraisal.Verdict, error) {
	if !p.Appraiser.Understands(request.Kind) {
		return nil, edge.BadRequest(edge.CheckType, "an attestation type that this service verifies",
			string(request.Kind), "attest one of "+p.Appraiser.Kinds())
	}
	request.Time = p.appraisalTime()
	return p.appraise(r, c, request)
}

// appraise runs one appraisal by the policy in force, and records the decision.
// Evidence that is refused is an error.
func (p *Plane) appraise(
	r *http.Request, c *edge.Call, request *appraisal.Request,
) (*appraisal.Verdict, error) {
	in := c.Provider.Policy(request.Kind)
	if in.Broken != nil {
		return nil, fmt.Errorf("provider %s: policy of %s: %w", c.Provider.Name, request.Kind, in.Broken)
	}
	if in.Policy == nil && request.DraftPolicy == "" {
		return nil, edge.BadRequest(edge.CheckPolicySet, "a policy for "+string(request.Kind), "none",
			edge.RemedyPolicySet)
	}
	free, err := p.slot(c.Provider)
	if err != nil {
		return nil, err
	}
	verdict, err := p.judge(r, c, request, in)
	free() // the ledger may take longer; others need not wait for it
	if err != nil {
		return nil, err
	}
	if err := p.record(r.Context(), c, request, in, verdict); err != nil {
		return nil, err
	}
	if !verdict.Accepted {
		p.Metrics.Verdicts.WithLabelValues(string(request.Kind), verdict.Rejection.Check.ID).Inc()
		return nil, traceDetails(c.Provider, edge.Refused(verdict.Rejection), &verdict.Policy)
	}
	p.Metrics.Verdicts.WithLabelValues(string(request.Kind), "accepted").Inc()
	return verdict, nil
}

func (p *Plane) judge(
	r *http.Request, c *edge.Call, request *appraisal.Request, in *provider.PolicyInForce,
) (*appraisal.Verdict, error) {
	signers, err := c.Provider.Signers(p.Now())
	if err != nil {
		return nil, err
	}
	request.Enrolled = c.Provider.Enrolled
	return p.Appraiser.Appraise(r.Context(), *request, appraisal.Provider{
		Policy: in.Policy, PolicySigner: in.Submitted.SignerKey(), TCB: c.Provider.TCB,
		Signer: signers.Sign, TokenTime: p.Now(), MaxValidity: c.Provider.MaxValidity,
		Audience: c.Provider.Settings.Audience, Subject: c.Provider.Settings.Subject,
	})
}

// maxReason bounds what the ledger keeps of the reason of a denial, in bytes.
const maxReason = 1024

// shortened cuts text at a character.
func shortened(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// record puts the decision into the provider's ledger. A provider that fails
// closed gives no token, and no refusal, that is not recorded.
func (p *Plane) record(
	ctx context.Context, c *edge.Call, request *appraisal.Request, in *provider.PolicyInForce,
	v *appraisal.Verdict,
) error {
	if p.Ledger == nil {
		return nil
	}
	e := ledger.Entry{
		Time: p.Now().UTC(), Type: ledger.Decision, Request: c.ID, Client: c.ClientIDs,
		Kind: string(request.Kind), Outcome: ledger.Accepted,
		Evidence: digest(request.Evidence),
		Version:  in.Version, Draft: request.DraftPolicy != "", Token: v.TokenID,
	}
	if c.Caller != nil {
		e.By = c.Caller.Name
	}
	if request.RuntimeData != nil {
		e.RuntimeData = digest(request.RuntimeData.Bytes)
	}
	if v.Collateral != [sha256.Size]byte{} {
		e.Collateral = hex.EncodeToString(v.Collateral[:])
	}
	switch {
	case request.DraftPolicy != "":
		e.Policy, e.Version = policy.Hash(request.DraftPolicy), 0
	case in.Policy != nil:
		e.Policy = in.Hash()
	}
	if !v.Accepted {
		e.Outcome, e.Check = ledger.Refused, v.Rejection.Check.ID
		if v.Rejection.Is(appraisal.CheckPolicy) {
			e.Details = map[string]string{"reason": shortened(v.Rejection.Check.Found, maxReason)}
		}
	}
	closed := c.Provider.FailsClosed()
	err := p.Ledger.Record(ctx, c.Provider.Identity(), e, closed)
	if err == nil && e.Token != "" {
		c.Undelivered = func(reason string) { p.Ledger.Withhold(c.Provider.Identity(), e, reason) }
	}
	if err == nil || !closed {
		return nil // what is lost is counted, in the ledger and as a metric
	}
	p.Log.ErrorContext(ctx, "a decision was not recorded, and its provider fails closed", "provider",
		c.Provider.Name, "err", err.Error())
	if errors.Is(err, ledger.ErrStopped) {
		return edge.LedgerStopped()
	}
	return edge.Unavailable(5, edge.CheckLedger.FailedWith("the decision is recorded in the ledger before the token is sent",
		"the ledger cannot be written now",
		"try again later; the provider gives no token without an entry in its ledger"))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// slot takes one of the provider's places for work and one of the service's, or
// says that there is none. Only work takes one: a client that sends slowly keeps
// no other client out, and a provider with many clients keeps no other provider out.
func (p *Plane) slot(t *provider.Provider) (free func(), err error) {
	busy := func(message string, wait time.Duration) error {
		p.Metrics.Busy.Inc()
		seconds := int((wait + time.Second - 1) / time.Second)
		return &edge.Error{
			Status:  http.StatusTooManyRequests,
			Code:    edge.CodeTooMany,
			Message: message,
			Header:  http.Header{"Retry-After": {strconv.Itoa(seconds)}},
		}
	}
	own, wait, ok := t.Take(p.Now())
	if !ok {
		return nil, busy("the provider's quota of attestations is used up", wait)
	}
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots; own() }, nil
	default:
		own()
		return nil, busy("too many attestations are running", time.Second)
	}
}

func (p *Plane) appraisalTime() time.Time {
	if !p.AppraisalTime.IsZero() {
		return p.AppraisalTime
	}
	return p.Now()
}

// traceDetails explains a denial rule by rule, if the provider lets clients
// see its policy's inside.
func traceDetails(t *provider.Provider, e *edge.Error, trace *policy.Trace) *edge.Error {
	if !t.Explain {
		return e
	}
	for _, r := range trace.Report().Rules {
		if r.Section == policy.Authorization {
			found := "matched"
			if !r.Matched {
				found = r.Failed
			} else if r.Because != "" {
				found = "matched: " + r.Because
			}
			e.Details = append(e.Details, edge.Detail{
				Code:     "policy.rule",
				Message:  fmt.Sprintf("rule %d (line %d, %s): %s", r.Rule, r.Line, r.Action, found),
				Check:    "policy.rule",
				Expected: r.Action,
				Found:    found,
				Line:     r.Line,
			})
		}
	}
	return e
}
