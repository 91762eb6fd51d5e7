package server

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
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/ledger"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/server/wire"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/strict/ascii"
)

// attest answers POST /attest/{type}.
func (s *Server) attest(w http.ResponseWriter, r *http.Request, c *call) error {
	kind := c.kind
	if !s.cfg.Appraiser.Understands(kind) {
		return badRequest(CheckType, "an attestation type that this service verifies", string(kind), "attest one of "+s.cfg.Appraiser.Kinds())
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	if kind == evidence.TPM || kind == evidence.VBSEnclave {
		return s.attestTPM(w, r, c, body)
	}
	legacy := ascii.EqualFold(r.URL.Query().Get("api-version"), legacyVersion)
	request, err := s.request(kind, body, c.legacyPath)
	if err != nil {
		return err
	}
	verdict, err := s.appraise(r, c, request)
	if err != nil {
		return err
	}
	switch {
	case kind == evidence.AzureGuest:
		return answerGuest(w, request.Evidence, verdict.Token)
	case legacy:
		return writeJSON(w, verdict.Token)
	}
	return writeJSON(w, map[string]string{"token": verdict.Token})
}

// appraise runs one appraisal by the policy in force, and records the decision.
// Evidence that is refused is an error.
func (s *Server) appraise(r *http.Request, c *call, request *appraisal.Request) (*appraisal.Verdict, error) {
	in := c.provider.Policy(request.Kind)
	if in.Broken != nil {
		return nil, fmt.Errorf("provider %s: policy of %s: %w", c.provider.Name, request.Kind, in.Broken)
	}
	if in.Policy == nil && request.DraftPolicy == "" {
		return nil, badRequest(CheckPolicySet, "a policy for "+string(request.Kind), "none", remedyPolicySet)
	}
	free, err := s.slot(c.provider)
	if err != nil {
		return nil, err
	}
	verdict, err := s.judge(r, c, request, in)
	free() // the ledger may take longer; others need not wait for it
	if err != nil {
		return nil, err
	}
	if err := s.record(r.Context(), c, request, in, verdict); err != nil {
		return nil, err
	}
	if !verdict.Accepted {
		s.cfg.Metrics.Verdicts.WithLabelValues(string(request.Kind), verdict.Rejection.Check.ID).Inc()
		return nil, traceDetails(c.provider, refusal(verdict.Rejection), &verdict.Policy)
	}
	s.cfg.Metrics.Verdicts.WithLabelValues(string(request.Kind), "accepted").Inc()
	return verdict, nil
}

func (s *Server) judge(r *http.Request, c *call, request *appraisal.Request, in *provider.PolicyInForce) (*appraisal.Verdict, error) {
	signers, err := c.provider.Signers(s.cfg.Now())
	if err != nil {
		return nil, err
	}
	request.Enrolled = c.provider.Enrolled
	return s.cfg.Appraiser.Appraise(r.Context(), *request, appraisal.Provider{
		Policy: in.Policy, PolicySigner: in.Submitted.SignerKey(), TCB: c.provider.TCB,
		Signer: signers.Sign, TokenTime: s.cfg.Now(), MaxValidity: c.provider.MaxValidity,
		Audience: c.provider.Settings.Audience, Subject: c.provider.Settings.Subject,
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
func (s *Server) record(ctx context.Context, c *call, request *appraisal.Request, in *provider.PolicyInForce, v *appraisal.Verdict) error {
	if s.cfg.Ledger == nil {
		return nil
	}
	e := ledger.Entry{Time: s.cfg.Now().UTC(), Type: ledger.Decision, Request: c.id, Client: c.clientIDs, Kind: string(request.Kind), Outcome: ledger.Accepted,
		Evidence: digest(request.Evidence), Version: in.Version, Draft: request.DraftPolicy != "", Token: v.TokenID}
	if c.caller != nil {
		e.By = c.caller.Name
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
	closed := c.provider.Settings.Ledger == provider.LedgerFailClosed
	err := s.cfg.Ledger.Record(ctx, c.provider.Identity(), e, closed)
	if err == nil {
		c.decision = &e
	}
	if err == nil || !closed {
		return nil // what is lost is counted, in the ledger and as a metric
	}
	s.cfg.Log.ErrorContext(ctx, "a decision was not recorded, and its provider fails closed", "provider", c.provider.Name, "err", err.Error())
	if errors.Is(err, ledger.ErrStopped) {
		return ledgerStopped()
	}
	e503 := failed(http.StatusServiceUnavailable, codeUnavailable, CheckLedger.FailedWith("the decision is recorded in the ledger before the token is sent",
		"the ledger cannot be written now", "try again later; the provider gives no token without an entry in its ledger"))
	e503.header = http.Header{"Retry-After": {"5"}}
	return e503
}

// ledgerStopped is the answer where a ledger's history in the database is not the
// one that was signed.
func ledgerStopped() *apiError {
	e := failed(http.StatusServiceUnavailable, codeUnavailable, CheckIntact.FailedWith("the ledger in the database extends its last checkpoint",
		"it does not, and the provider's ledger is stopped", remedyIntact))
	e.header = http.Header{"Retry-After": {"300"}} // it takes an operator
	return e
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// slot takes one of the provider's places for work and one of the service's, or
// says that there is none. Only work takes one: a client that sends slowly keeps
// nobody out, and a provider with many clients keeps no other one out.
func (s *Server) slot(t *provider.Provider) (free func(), err error) {
	busy := func(message string, wait time.Duration) error {
		s.cfg.Metrics.Busy.Inc()
		seconds := int((wait + time.Second - 1) / time.Second)
		return &apiError{status: http.StatusTooManyRequests, code: codeTooMany, message: message, header: http.Header{"Retry-After": {strconv.Itoa(seconds)}}}
	}
	own, wait, ok := t.Take(s.cfg.Now())
	if !ok {
		return nil, busy("the provider's quota of attestations is used up", wait)
	}
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots; own() }, nil
	default:
		own()
		return nil, busy("too many attestations are running", time.Second)
	}
}

// request reads a body as a request for the appraisal. On the path of the legacy
// version all evidence is "quote".
func (s *Server) request(kind evidence.Kind, body []byte, legacy bool) (*appraisal.Request, error) {
	in, err := wire.Decode(body)
	if err != nil {
		return nil, err
	}
	out := &appraisal.Request{Kind: kind, Evidence: in.Quote, EventLog: in.EventLog, Nonce: in.Nonce, DraftPolicy: in.DraftPolicy, Time: s.appraisalTime()}
	member := "quote"
	if !legacy {
		member = kind.Member()
		out.Evidence = map[string]wire.Bytes{"quote": in.Quote, "report": in.Report, "document": in.Document, "token": in.Token,
			"AttestationInfo": in.AttestationInfo}[member]
	}
	// Open Enclave's reports were called quote on this path, too.
	if kind == evidence.OpenEnclave && len(in.Quote) > 0 {
		if len(out.Evidence) > 0 && !legacy {
			return nil, badRequest(CheckBody, "report or quote", "both", "send the report alone")
		}
		out.Evidence = in.Quote
	}
	if len(out.Evidence) == 0 {
		return nil, badRequest(CheckBody, "a member "+member+" with the evidence", "none", "send the evidence as base64url in "+member)
	}
	if out.RuntimeData, err = in.RuntimeData.Decoded(); err != nil {
		return nil, err
	}
	if len(in.EventLog) > 0 && kind != evidence.TDXVM {
		return nil, badRequest(CheckBody, "an event log with a TDX quote alone", "one with "+string(kind), "leave eventLog out: nothing would check it")
	}
	if len(in.EnclaveHeldData) > 0 {
		if out.RuntimeData != nil {
			return nil, badRequest(CheckBody, "runtimeData or enclaveHeldData", "both", "send runtimeData alone")
		}
		out.RuntimeData = &evidence.Data{Bytes: in.EnclaveHeldData, Type: evidence.Binary}
	}
	out.InitTimeData, err = in.InitTimeData.Decoded()
	return out, err
}

func (s *Server) appraisalTime() time.Time {
	if !s.cfg.AppraisalTime.IsZero() {
		return s.cfg.AppraisalTime
	}
	return s.cfg.Now()
}
