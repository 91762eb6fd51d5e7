package server

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/probity-dev/probity/evidence/azureguest"
)

// answerGuest seals the token to the guest's TPM.
func answerGuest(w http.ResponseWriter, info []byte, token string) error {
	sealed, err := azureguest.Seal(rand.Reader, info, token)
	if errors.Is(err, azureguest.ErrNoKey) {
		return badRequest(CheckBody, "an ephemeral key of the TPM as TpmInfo.EncKeyPub", "none", "send the key with its certification: the token is sealed to it")
	}
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"token": base64.RawURLEncoding.EncodeToString(sealed)})
}
