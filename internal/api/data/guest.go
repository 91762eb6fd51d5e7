package data

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/probity-dev/probity/evidence/azureguest"
	"github.com/probity-dev/probity/internal/api/edge"
)

// AttestGuest answers POST /attest/AzureGuest.
func (p *Plane) AttestGuest(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.attest(w, r, c, codec{evidenceByType, answerGuest})
}

// answerGuest seals the token to the guest's TPM.
func answerGuest(w http.ResponseWriter, _ *http.Request, info []byte, token string) error {
	sealed, err := azureguest.Seal(rand.Reader, info, token)
	if errors.Is(err, azureguest.ErrNoKey) {
		return edge.BadRequest(edge.CheckBody, "an ephemeral key of the TPM as TpmInfo.EncKeyPub", "none",
			"send the key with its certification: the token is sealed to it")
	}
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, map[string]string{"token": base64.RawURLEncoding.EncodeToString(sealed)})
}
