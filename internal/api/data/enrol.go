package data

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/collateral/tpmca"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/internal/store"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/wording/jsonerror"
)

// Enrolment binds attestation keys to the endorsement keys of TPMs (TPM 2.0
// Library, part 1, section 24: credential protection).
type Enrolment struct {
	// Authorities certify endorsement keys; Keys lists them by the SHA-256 of their
	// SubjectPublicKeyInfo in hex. With a list, no other key is accepted.
	Authorities *tpmca.Roots
	Keys        []string
}

// enrolRequest is either of the client's two messages. Bytes are base64url.
type enrolRequest struct {
	// Name is the machine's name.
	Name string `json:"name"`
	// EndorsementKey and AttestationKey are TPMT_PUBLIC.
	EndorsementKey base64text.Bytes `json:"endorsementKey"`
	Certificate    base64text.Bytes `json:"endorsementCertificate"`
	AttestationKey base64text.Bytes `json:"attestationKey"`
	// Context and Answer are of the second message.
	Context string           `json:"context"`
	Answer  base64text.Bytes `json:"answer"`
}

// enrolment is what the service remembers between the two, sealed.
type enrolment struct {
	Provider                  string
	Key, EndorsementKey, Name string
	Secret                    []byte
	Expires                   time.Time
}

const purposeEnrolment = "tpm enrolment"

var machineName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Enroll answers POST /tpm/enroll: first with a credential that only the TPM can
// open, then, to the right answer, by remembering the key.
func (p *Plane) Enroll(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	body, err := p.Bodies.Read(w, r)
	if err != nil {
		return err
	}
	e := p.TPM.Enrolment
	if e == nil {
		return edge.BadRequest(edge.CheckEnrolment, "a service that enrols TPMs",
			"enrolment is not configured", edge.RemedyEnrolment)
	}
	var in enrolRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return edge.BadRequest(edge.CheckBody, "a JSON object without duplicate members", jsonerror.Text(err),
			"compare the body with the documentation of the route")
	}
	free, err := p.slot(c.Provider)
	if err != nil {
		return err
	}
	defer free()
	if in.Context != "" {
		return p.enrolled(w, r, c, in)
	}
	if err := in.check(); err != nil {
		return err
	}
	pending, credential, err := e.begin(in, p.appraisalTime())
	if err != nil {
		return edge.BadRequest(edge.CheckEnrolment,
			"a trusted endorsement key, and an attestation key of the same TPM", err.Error(),
			edge.RemedyEnrolment)
	}
	pending.Provider = c.Provider.Identity()
	pending.Expires = p.Now().Add(p.TPM.lifetime())
	sealed, err := p.seal(pending, purposeEnrolment)
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]any{
		"credential": base64text.Bytes(credential.IDObject),
		"secret":     base64text.Bytes(credential.Secret),
		"context":    sealed,
	})
}

// check checks the form of the first message.
func (in *enrolRequest) check() error {
	const remedy = "send name, endorsementKey and attestationKey; then context and answer"
	if !machineName.MatchString(in.Name) {
		return edge.BadRequest(edge.CheckBody,
			"a name of 1 to 128 letters, digits, dots, dashes and underscores",
			fmt.Sprintf("%.140q", in.Name), remedy)
	}
	if len(in.EndorsementKey) == 0 || len(in.AttestationKey) == 0 {
		return edge.BadRequest(edge.CheckBody, "endorsementKey and attestationKey",
			"a message without one of them", remedy)
	}
	return nil
}

// begin checks the keys and makes the credential.
func (e *Enrolment) begin(in enrolRequest, at time.Time) (*enrolment, *tpm.Credential, error) {
	ek, err := tpm.ParsePublic(in.EndorsementKey)
	if err != nil {
		return nil, nil, fmt.Errorf("endorsement key: %w", err)
	}
	ak, err := tpm.ParsePublic(in.AttestationKey)
	if err != nil {
		return nil, nil, fmt.Errorf("attestation key: %w", err)
	}
	if err := tpm.ValidateAK(ak); err != nil {
		return nil, nil, fmt.Errorf("attestation key: %w", err)
	}
	pending := &enrolment{Name: in.Name, Secret: make([]byte, tpm.CredentialSize)}
	if pending.EndorsementKey, err = fingerprint(ek.Key); err != nil {
		return nil, nil, err
	}
	if pending.Key, err = fingerprint(ak.Key); err != nil {
		return nil, nil, err
	}
	if err := e.trust(in, ek, pending.EndorsementKey, at); err != nil {
		return nil, nil, fmt.Errorf("endorsement key %s: %w", pending.EndorsementKey, err)
	}
	rand.Read(pending.Secret) // never fails
	credential, err := tpm.MakeCredential(rand.Reader, in.EndorsementKey, ak.Name(), pending.Secret)
	return pending, credential, err
}

// trust checks that an endorsement key is trusted.
func (e *Enrolment) trust(in enrolRequest, ek *tpm.Public, id string, at time.Time) error {
	if err := tpm.CheckEK(ek, nil); err != nil {
		return err
	}
	if len(e.Keys) > 0 {
		if !slices.Contains(e.Keys, id) {
			return errors.New("not in the list of endorsement keys")
		}
		return nil
	}
	if len(in.Certificate) == 0 {
		return errors.New("no certificate")
	}
	cert, err := tpm.VerifyEK(e.Authorities, in.Certificate, at)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	return tpm.CheckEK(ek, cert.PublicKey)
}

func fingerprint(key any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// enrolled takes the answer.
func (p *Plane) enrolled(w http.ResponseWriter, r *http.Request, c *edge.Call, in enrolRequest) error {
	refuse := func(expected, found string) error {
		return edge.BadRequest(edge.CheckEnrolment, expected, found, edge.RemedyEnrolment)
	}
	var pending enrolment
	err := p.unseal(in.Context, purposeEnrolment, &pending)
	if err != nil || pending.Provider != c.Provider.Identity() {
		return refuse("a context of this service for this provider",
			"a context that was not made for this provider, or was changed")
	}
	if now := p.Now(); now.After(pending.Expires) {
		return refuse("an answer before "+pending.Expires.UTC().Format(time.RFC3339),
			"one at "+now.UTC().Format(time.RFC3339))
	}
	if !tpm.ActivatedBy(pending.Secret, in.Answer) {
		return refuse("the secret in the credential, which only the TPM can open", "a different secret")
	}
	// An answer counts once: replayed, it would undo a removal. The secret tells
	// enrolments apart; the text of a context can be written in several ways.
	sum := sha256.Sum256(pending.Secret)
	free, err := p.Store.UseOnce(r.Context(), purposeEnrolment+"/"+hex.EncodeToString(sum[:]), p.Now(),
		pending.Expires.Add(time.Second))
	if err != nil {
		return err
	}
	if !free {
		return refuse("an answer that was not given before", "an answer that was given before")
	}
	key := store.TPMKey{
		Provider: c.Provider.Name, Key: pending.Key, EndorsementKey: pending.EndorsementKey,
		Name: pending.Name, Created: p.Now().UTC().Truncate(time.Second),
	}
	err = p.Registry.Enrol(r.Context(), key, pending.Provider,
		provider.By{Caller: "tpm:" + key.EndorsementKey, Request: c.ID, Client: c.ClientIDs})
	if errors.Is(err, store.ErrConflict) {
		p.Log.WarnContext(r.Context(), "a TPM asked for a name or key of another", "name", key.Name, "ek",
			key.EndorsementKey)
		return edge.Failed(http.StatusConflict, edge.CodeInvalidOperation, edge.CheckEnrolment.FailedWith(
			"a name and a key of no other TPM",
			"the name or the key belongs to a different TPM",
			"choose another name, or let the operator remove the old one: probity tpm keys remove "+key.Name,
		))
	}
	if errors.Is(err, provider.ErrTooManyKeys) {
		return edge.Failed(http.StatusConflict, edge.CodeInvalidOperation,
			edge.CheckEnrolment.FailedWith("a TPM and a provider with room for one more key",
				err.Error(),
				"list the keys with probity tpm keys list, and remove those of old names: "+
					"probity tpm keys remove NAME"))
	}
	if err != nil {
		return err
	}
	return edge.WriteJSON(w,
		map[string]string{"name": key.Name, "attestationKey": key.Key, "endorsementKey": key.EndorsementKey})
}
