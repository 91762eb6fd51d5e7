package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/strict/base64text"
)

// TPMChallenge is the service's first message of the TPM protocol.
type TPMChallenge struct {
	Challenge []byte
	// Context is the service's own state, to be brought back.
	Context string
}

// message sends a message of the TPM protocol and returns the answer's members.
func (c *Client) message(ctx context.Context, raw []byte) (map[string]string, error) {
	var answer struct {
		Data base64text.Bytes `json:"data"`
	}
	if err := c.do(ctx, http.MethodPost, c.base+"/attest/"+string(evidence.TPM)+"?api-version="+apiVersion,
		map[string]string{"data": base64.RawURLEncoding.EncodeToString(raw)}, &answer); err != nil {
		return nil, err
	}
	var inner struct {
		Payload map[string]string `json:"payload"`
	}
	if err := json.Unmarshal(answer.Data, &inner); err != nil || len(inner.Payload) == 0 {
		return nil, errors.New("client: the answer is not a message of the TPM protocol")
	}
	return inner.Payload, nil
}

// ChallengeTPM asks for a challenge. Enrolled says that the attestation key has no
// certificate and was enrolled.
func (c *Client) ChallengeTPM(ctx context.Context, enrolled bool) (*TPMChallenge, error) {
	typ := "aikcert"
	if enrolled {
		typ = "aikpub"
	}
	payload, err := c.message(ctx, []byte(`{"payload":{"type":"`+typ+`"}}`))
	if err != nil {
		return nil, err
	}
	challenge, err := base64text.Decode([]byte(payload["challenge"]))
	if err != nil || len(challenge) == 0 || payload["service_context"] == "" {
		return nil, errors.New("client: the answer contains no challenge")
	}
	return &TPMChallenge{challenge, payload["service_context"]}, nil
}

// AttestTPM sends the answer to a challenge and returns the token.
func (c *Client) AttestTPM(ctx context.Context, request []byte) (string, error) {
	payload, err := c.message(ctx, request)
	if err != nil {
		return "", err
	}
	if payload["report"] == "" {
		return "", errors.New("client: the answer contains no report")
	}
	return payload["report"], nil
}

// EnrolTPM is a TPM that asks to be enrolled. Keys are TPMT_PUBLIC.
type EnrolTPM struct {
	Name                   string           `json:"name"`
	EndorsementKey         base64text.Bytes `json:"endorsementKey"`
	EndorsementCertificate base64text.Bytes `json:"endorsementCertificate,omitempty"`
	AttestationKey         base64text.Bytes `json:"attestationKey"`
}

// Offer is a credential that only the TPM can open.
type Offer struct {
	Credential base64text.Bytes `json:"credential"`
	Secret     base64text.Bytes `json:"secret"`
	Context    string           `json:"context"`
}

// Enrolled is a key that was bound to its TPM.
type Enrolled struct {
	Name           string `json:"name"`
	AttestationKey string `json:"attestationKey"`
	EndorsementKey string `json:"endorsementKey"`
}

// EnrolTPM asks for a credential.
func (c *Client) EnrolTPM(ctx context.Context, in EnrolTPM) (*Offer, error) {
	var out Offer
	return &out, c.do(ctx, http.MethodPost, c.base+"/tpm/enroll", in, &out)
}

// ActivateTPM sends what the TPM found in the credential.
func (c *Client) ActivateTPM(ctx context.Context, enrolment string, answer []byte) (*Enrolled, error) {
	var out Enrolled
	err := c.do(ctx, http.MethodPost, c.base+"/tpm/enroll",
		map[string]string{"context": enrolment, "answer": base64.RawURLEncoding.EncodeToString(answer)}, &out)
	if err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	return &out, nil
}

// AttestGuest sends what an Azure guest collected and returns the sealed answer,
// which its TPM opens.
func (c *Client) AttestGuest(ctx context.Context, info []byte) ([]byte, error) {
	sealed, err := c.token(ctx, http.MethodPost, "/attest/"+string(evidence.AzureGuest),
		map[string]string{"AttestationInfo": base64.RawURLEncoding.EncodeToString(info)})
	if err != nil {
		return nil, err
	}
	return base64text.Decode([]byte(sealed))
}
