package data

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/internal/api/data/wire"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// Sealer encrypts what clients are handed to bring back, each for a purpose.
type Sealer interface {
	Seal(plain []byte, purpose string) []byte
	Open(sealed []byte, purpose string) ([]byte, error)
}

// TPM says how TPMs are challenged and enrolled.
type TPM struct {
	// Lifetime is how long a challenge is good for. Zero means 5 minutes.
	Lifetime time.Duration
	// SingleUse refuses a challenge that was answered before, on any node that
	// shares the store.
	SingleUse bool
	// Enrolment binds attestation keys to endorsement keys; nil does not.
	Enrolment *Enrolment
}

func (t TPM) lifetime() time.Duration {
	if t.Lifetime == 0 {
		return 5 * time.Minute
	}
	return t.Lifetime
}

// challenge is what the service remembers of a challenge by handing it out, sealed:
// no node keeps anything.
type challenge struct {
	Provider  string    `json:"p"`
	Type      string    `json:"t"`
	Challenge []byte    `json:"c"`
	Expires   time.Time `json:"e"`
}

const (
	purposeChallenge = "tpm challenge"
	challengeSize    = 16
)

// tpmMessage is a client's message, taken out of its wrapper.
type tpmMessage struct {
	Payload jsontext.Value `json:"payload"`
	Type    string         `json:"type"`
	Request string         `json:"request"`
}

// AttestTPM answers POST /attest/Tpm and /attest/VbsEnclave.
func (p *Plane) AttestTPM(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	in, err := p.read(w, r, c)
	if err != nil {
		return err
	}
	return p.converse(w, r, c, in, in.Data, "data")
}

// converse answers a message of the TPM protocol, which came in the member: a challenge to
// the first, a report to the second.
func (p *Plane) converse(
	w http.ResponseWriter, r *http.Request, c *edge.Call, in *wire.AttestRequest, message []byte,
	member string,
) error {
	if len(message) == 0 {
		return edge.BadRequest(edge.CheckBody, "a member "+member+" with a message of the TPM protocol",
			"no such member, or an empty one",
			"send the message as base64url in "+member)
	}
	// What follows is in the message, not in the body of the request.
	const remedy = `begin with {"payload":{"type":"aikcert"}} as base64url in data`
	var m tpmMessage
	err := json.Unmarshal(message, &m)
	if err == nil && len(m.Payload) > 0 {
		inner := m.Payload
		m = tpmMessage{}
		err = json.Unmarshal(inner, &m)
	}
	switch {
	case err != nil:
		return edge.BadRequest(edge.CheckMessage, "a JSON message in data", jsonerror.Text(err), remedy)
	case m.Request != "":
		return p.report(w, r, c, in, message)
	case m.Type == "aikcert", m.Type == "aikpub":
		return p.challenge(w, c.Provider.Identity(), m.Type)
	}
	return edge.BadRequest(edge.CheckMessage, "type aikcert or aikpub, or a request",
		fmt.Sprintf("type %.40q and no request", m.Type), remedy)
}

// tpmAnswer wraps a message in the form of the protocol.
func tpmAnswer(w http.ResponseWriter, message map[string]string) error {
	b, err := json.Marshal(map[string]any{"payload": message})
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]string{"data": base64.RawURLEncoding.EncodeToString(b)})
}

func (p *Plane) challenge(w http.ResponseWriter, provider, typ string) error {
	if typ == "aikpub" && p.TPM.Enrolment == nil {
		return edge.BadRequest(edge.CheckEnrolment, "a service that enrols TPMs",
			"enrolment is not configured", edge.RemedyEnrolment)
	}
	c := challenge{Provider: provider, Type: typ, Challenge: make([]byte,
		challengeSize), Expires: p.Now().Add(p.TPM.lifetime()).UTC()}
	rand.Read(c.Challenge) // never fails
	sealed, err := p.seal(c, purposeChallenge)
	if err != nil {
		return err
	}
	return tpmAnswer(w, map[string]string{
		"challenge": base64.RawURLEncoding.EncodeToString(c.Challenge), "service_context": sealed,
	})
}

func (p *Plane) seal(v any, purpose string) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(p.Sealer.Seal(b, purpose)), nil
}

func (p *Plane) unseal(text, purpose string, v any) error {
	sealed, err := base64text.Decode([]byte(text))
	if err != nil {
		return err
	}
	b, err := p.Sealer.Open(sealed, purpose)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// report appraises the client's request. An enclave's is judged by the policy of
// VbsEnclave, any other by that of Tpm, whichever path it came by.
func (p *Plane) report(
	w http.ResponseWriter, r *http.Request, at *edge.Call, in *wire.AttestRequest, message []byte,
) error {
	refuse := func(check *evidence.Definition, expected, found string) error {
		return edge.BadRequest(check, expected, found, edge.RemedyContext)
	}
	kind := evidence.TPM
	out := &appraisal.Request{
		Evidence: message, Nonce: in.Nonce, DraftPolicy: in.DraftPolicy, Time: p.appraisalTime(),
	}
	request, err := tpm.ParseRequest(message)
	if err != nil {
		// The verifier says what is wrong, under its own id.
		out.Kind = kind
		_, err := p.appraise(r, at, out)
		return err
	}
	var c challenge
	err = p.unseal(request.Context, purposeChallenge, &c)
	if err != nil || c.Provider != at.Provider.Identity() {
		return refuse(edge.CheckContext, "a service_context of this service for this provider",
			"a service_context that was not made for this provider, or was changed")
	}
	if now := p.Now(); now.After(c.Expires) {
		return refuse(edge.CheckContext, "an answer before "+c.Expires.Format(time.RFC3339),
			"one at "+now.UTC().Format(time.RFC3339))
	}
	if !bytes.Equal(c.Challenge, request.Challenge) {
		return refuse(edge.CheckContext, "the challenge that belongs to the service_context",
			"a different challenge")
	}
	if request.Enclave {
		kind = evidence.VBSEnclave
	}
	out.Kind, out.Challenge = kind, c.Challenge
	if p.TPM.SingleUse {
		if err := p.once(r.Context(), c); err != nil {
			return err
		}
	}
	verdict, err := p.appraise(r, at, out)
	if err != nil {
		return err
	}
	return tpmAnswer(w, map[string]string{"report": verdict.Token})
}

// once takes the challenge. A store that does not answer lets no answer pass.
func (p *Plane) once(ctx context.Context, c challenge) error {
	sum := sha256.Sum256(c.Challenge)
	free, err := p.Store.UseOnce(ctx, c.Provider+"/"+hex.EncodeToString(sum[:]), p.Now(),
		c.Expires.Add(time.Second))
	if err != nil {
		return err
	}
	if !free {
		return edge.BadRequest(edge.CheckUsed, "a challenge that was not answered before", "one that was",
			edge.RemedyContext)
	}
	return nil
}
