package kbs

import (
	"errors"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/claims"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/kbs"
	"github.com/probity-dev/probity/internal/vault"
)

// Auth answers POST /kbs/v0/auth: a challenge and a session.
func (p *Plane) Auth(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return err
	}
	request, err := kbs.ParseRequest(body)
	if err != nil {
		return err
	}
	nonce, expires, err := p.Vault.Challenge(c.Provider)
	if err != nil {
		return err
	}
	s := &session{Provider: c.Provider.Identity(), TEE: request.TEE, Version: request.Version, Nonce: nonce,
		Expires: expires}
	if err := p.give(w, c, s); err != nil {
		return err
	}
	// Where the service chooses no algorithm, guests hash the runtime data by SHA-384.
	return edge.WriteJSON(w, map[string]string{"nonce": nonce, "extra-params": ""})
}

// claimGuest is the claim of a token with what the evidence of a guest was made for.
const claimGuest = "x-probity-kbs"

// guestClaim is its value.
type guestClaim struct {
	TEE   kbs.TEE        `json:"tee"`
	Nonce string         `json:"nonce"`
	Key   jsontext.Value `json:"tee-pubkey"`
	// InitData is the SHA-256 of the init data in hex, if they were sent, which the launch of the guest binds.
	InitData string `json:"init-data-sha256,omitzero"`
}

// Attest answers POST /kbs/v0/attest: a token about the guest.
func (p *Plane) Attest(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	s, err := p.session(r, c)
	if err != nil {
		return err
	}
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return err
	}
	a, err := kbs.ParseAttestation(kbs.Request{Version: s.Version, TEE: s.TEE}, body, s.Nonce)
	if err != nil {
		return err
	}
	request, err := appraise(a)
	if err != nil {
		return err
	}
	if err := p.once(r.Context(), s); err != nil {
		return err
	}
	verdict, err := p.Data.Appraise(r, c, request)
	if err != nil {
		return err
	}
	if err := s.attested(verdict.Token); err != nil {
		return err
	}
	if err := p.give(w, c, s); err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]string{"token": verdict.Token})
}

// appraise is what a message asks to appraise. The challenge is the hash of the guest's key and of the nonce:
// evidence of another key is refused by the verifier of its kind.
func appraise(a *kbs.Attestation) (*appraisal.Request, error) {
	e, err := a.Evidence()
	if err != nil {
		return nil, err
	}
	challenge, err := a.Challenge()
	if err != nil {
		return nil, err
	}
	nonce, err := json.Marshal(a.Nonce)
	if err != nil {
		return nil, err
	}
	guest, err := json.Marshal(guestClaim{a.TEE, a.Nonce, a.Key, a.InitDataDigest()}, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	return &appraisal.Request{
		Kind: e.Kind, Evidence: e.Raw, EventLog: e.EventLog, Challenge: challenge, Nonce: nonce,
		Attested: claims.NewSet(claims.Claim{Type: claimGuest, Value: claims.JSONValue(string(guest)),
			Issuer: claims.AttestationService}),
	}, nil
}

// Resource answers GET /kbs/v0/resource/{repository}/{resourcetype}/{tag}: a key of the vault as a
// message to the key that the guest attested.
func (p *Plane) Resource(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	name, path := kbs.KeyName(c.Params["repository"], c.Params["resourcetype"], c.Params["tag"])
	request := vault.GuestRequest{Name: name, Tag: kbs.ResourceTag, Value: path, Recipient: recipient}
	if scheme, target, ok := strings.Cut(r.Header.Get("Authorization"),
		" "); ok && strings.EqualFold(scheme, "Bearer") {
		request.Target = strings.TrimSpace(target)
	} else {
		s, err := p.session(r, c)
		if err != nil {
			return err
		}
		if request.Session, err = s.token(c.Provider.URL); err != nil {
			return err
		}
	}
	if !c.Provider.Settings.Vault.Anonymous {
		return refuse(kbs.CheckAnonymous, "a provider with vault.anonymousRelease", "a provider without it")
	}
	out, err := p.Vault.ReleaseToGuest(r.Context(), c.Provider, request, c.By())
	if err != nil {
		return err
	}
	if p.Withhold != nil {
		c.Undelivered = func(reason string) { p.Withhold(c.Provider.Identity(), out.Entry, reason) }
	}
	edge.WriteBody(w, http.StatusOK, []byte(out.Answer))
	return nil
}

// recipient reads the key that the evidence was about out of the claims of a token.
func recipient(payload []byte) (*vault.Recipient, error) {
	var in struct {
		Guest *guestClaim `json:"x-probity-kbs"`
	}
	if err := json.Unmarshal(payload, &in); err != nil || in.Guest == nil {
		return nil, errors.New("a token without the claim " + claimGuest)
	}
	to, err := kbs.ParseRecipient(in.Guest.Key)
	if err != nil {
		return nil, err
	}
	return &vault.Recipient{Thumbprint: to.Thumbprint, Algorithm: to.Algorithm,
		Weak:  to.Algorithm == kbs.RSAOAEP,
		Nonce: in.Guest.Nonce, Encrypt: to.Encrypt}, nil
}
