package server

import (
	"net/http"
	"strings"
	"time"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/wire"
)

// attest answers POST /attest/{type}.
func (s *Server) attest(w http.ResponseWriter, r *http.Request, kind evidence.Kind) error {
	if !s.cfg.Appraiser.Understands(kind) {
		return badRequest(checkType, "an attestation type that this service verifies", string(kind), "attest one of "+s.cfg.Appraiser.Kinds())
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	if kind == evidence.TPM || kind == evidence.VBSEnclave {
		return s.attestTPM(w, r, body)
	}
	legacy := strings.EqualFold(r.URL.Query().Get("api-version"), legacyVersion)
	request, err := s.request(kind, body, legacy)
	if err != nil {
		return err
	}
	verdict, err := s.appraise(r, request)
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

// appraise runs one appraisal by the policy in force. Evidence that is refused is
// an error.
func (s *Server) appraise(r *http.Request, request *appraisal.Request) (*appraisal.Verdict, error) {
	in := s.policies.get(request.Kind)
	if in.Policy == nil && request.DraftPolicy == "" {
		return nil, badRequest(checkPolicySet, "a policy for "+string(request.Kind), "none", remedyPolicySet)
	}
	free, err := s.slot()
	if err != nil {
		return nil, err
	}
	defer free()
	verdict, err := s.cfg.Appraiser.Appraise(r.Context(), *request, appraisal.Provider{
		Policy: in.Policy, PolicySigner: in.Submitted.SignerKey(), TCB: s.cfg.Provider.TCB,
		Signer: s.cfg.Signers[0], TokenTime: s.cfg.Now(), MaxValidity: s.cfg.Provider.MaxValidity,
	})
	if err != nil {
		return nil, err
	}
	if !verdict.Accepted {
		s.cfg.Metrics.Verdicts.WithLabelValues(string(request.Kind), verdict.Rejection.Check.ID).Inc()
		return nil, s.traceDetails(refusal(verdict.Rejection), &verdict.Policy)
	}
	s.cfg.Metrics.Verdicts.WithLabelValues(string(request.Kind), "accepted").Inc()
	return verdict, nil
}

// slot takes one of the places for work, or says that there is none. Only work takes
// one: a client that sends slowly keeps nobody out.
func (s *Server) slot() (free func(), err error) {
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	default:
		s.cfg.Metrics.Busy.Inc()
		return nil, &apiError{status: http.StatusTooManyRequests, code: codeTooMany, message: "too many attestations are running",
			header: http.Header{"Retry-After": {"1"}}}
	}
}

// request reads a body as a request for the appraisal. The legacy version sends
// all evidence as "quote".
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
	if len(out.Evidence) == 0 {
		return nil, badRequest(checkBody, "a member "+member+" with the evidence", "none", "send the evidence as base64url in "+member)
	}
	if out.RuntimeData, err = in.RuntimeData.Decoded(); err != nil {
		return nil, err
	}
	if len(in.EventLog) > 0 && kind != evidence.TDXVM {
		return nil, badRequest(checkBody, "an event log with a TDX quote alone", "one with "+string(kind), "leave eventLog out: nothing would check it")
	}
	if len(in.EnclaveHeldData) > 0 {
		if out.RuntimeData != nil {
			return nil, badRequest(checkBody, "runtimeData or enclaveHeldData", "both", "send runtimeData alone")
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
