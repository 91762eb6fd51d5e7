package data

import (
	"net/http"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/data/wire"
	"github.com/probity-dev/probity/internal/api/edge"
)

// codec is how a protocol carries evidence to the service, and the token back.
type codec struct {
	// evidence takes the evidence out of the body, and names the member where it belongs.
	evidence func(evidence.Kind, *wire.AttestRequest) (raw []byte, member string, err error)
	// answer sends the token.
	answer func(w http.ResponseWriter, r *http.Request, evidence []byte, token string) error
}

// Attest answers POST /attest/{type}: the evidence is in a member that its type names.
func (p *Plane) Attest(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.attest(w, r, c, codec{evidenceByType, answerToken})
}

// attest reads a request by the codec of its protocol, appraises it, and answers.
func (p *Plane) attest(w http.ResponseWriter, r *http.Request, c *edge.Call, protocol codec) error {
	in, err := p.read(w, r, c)
	if err != nil {
		return err
	}
	raw, member, err := protocol.evidence(c.Kind, in)
	if err != nil {
		return err
	}
	if len(raw) == 0 {
		return edge.BadRequest(edge.CheckBody, "a member "+member+" with the evidence", "none",
			"send the evidence as base64url in "+member)
	}
	request, err := p.request(c.Kind, raw, in)
	if err != nil {
		return err
	}
	verdict, err := p.appraise(r, c, request)
	if err != nil {
		return err
	}
	return protocol.answer(w, r, raw, verdict.Token)
}

// read reads the body of an attestation, of a type that the service verifies.
func (p *Plane) read(w http.ResponseWriter, r *http.Request, c *edge.Call) (*wire.AttestRequest, error) {
	if !p.Appraiser.Understands(c.Kind) {
		return nil, edge.BadRequest(edge.CheckType, "an attestation type that this service verifies",
			string(c.Kind),
			"attest one of "+p.Appraiser.Kinds())
	}
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return nil, err
	}
	return wire.Decode(body)
}

// evidenceByType takes the evidence out of the member of its type. Some clients send Open
// Enclave's reports as quote.
func evidenceByType(kind evidence.Kind, in *wire.AttestRequest) (raw []byte, member string, err error) {
	member = kind.Member()
	raw = map[string]wire.Bytes{
		"quote": in.Quote, "report": in.Report, "document": in.Document, "token": in.Token,
		"AttestationInfo": in.AttestationInfo,
	}[member]
	if kind != evidence.OpenEnclave || len(in.Quote) == 0 {
		return raw, member, nil
	}
	if len(raw) > 0 {
		return nil, member, edge.BadRequest(edge.CheckBody, "report or quote", "both", "send the report alone")
	}
	return in.Quote, member, nil
}

// answerToken sends the token alone: a JSON string in the first version of the protocol, a
// member of an object since.
func answerToken(w http.ResponseWriter, r *http.Request, _ []byte, token string) error {
	if edge.Legacy(r) {
		return edge.WriteJSON(w, token)
	}
	return edge.WriteJSON(w, map[string]string{"token": token})
}

// request is what the body asks to appraise, with the evidence that was taken out of it.
func (p *Plane) request(kind evidence.Kind, raw []byte, in *wire.AttestRequest) (*appraisal.Request, error) {
	out := &appraisal.Request{
		Kind:        kind,
		Evidence:    raw,
		EventLog:    in.EventLog,
		Nonce:       in.Nonce,
		DraftPolicy: in.DraftPolicy,
		Time:        p.appraisalTime(),
	}
	var err error
	if out.RuntimeData, err = in.RuntimeData.Decoded(); err != nil {
		return nil, err
	}
	if len(in.EventLog) > 0 && kind != evidence.TDXVM {
		return nil, edge.BadRequest(edge.CheckBody, "an event log with a TDX quote alone", "one with "+string(kind),
			"leave eventLog out: nothing would check it")
	}
	if len(in.EnclaveHeldData) > 0 {
		if out.RuntimeData != nil {
			return nil, edge.BadRequest(edge.CheckBody, "runtimeData or enclaveHeldData", "both",
				"send runtimeData alone")
		}
		out.RuntimeData = &evidence.Data{Bytes: in.EnclaveHeldData, Type: evidence.Binary}
	}
	out.InitTimeData, err = in.InitTimeData.Decoded()
	return out, err
}
