package data

import (
	"net/http"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/data/wire"
	"github.com/probity-dev/probity/internal/api/edge"
)

// The paths /attest/tee/{type} of version 2018-09-01-preview: evidence of every type, and the
// messages of TPMs, are in the member quote.

// AttestLegacy answers POST /attest/tee/{type}.
func (p *Plane) AttestLegacy(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.attest(w, r, c, codec{evidenceInQuote, answerToken})
}

// AttestGuestLegacy answers POST /attest/tee/AzureGuest.
func (p *Plane) AttestGuestLegacy(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	return p.attest(w, r, c, codec{evidenceInQuote, answerGuest})
}

// AttestTPMLegacy answers POST /attest/tee/Tpm and /attest/tee/VbsEnclave.
func (p *Plane) AttestTPMLegacy(w http.ResponseWriter, r *http.Request, c *edge.Call) error {
	in, err := p.read(w, r, c)
	if err != nil {
		return err
	}
	return p.converse(w, r, c, in, in.Quote, "quote")
}

func evidenceInQuote(_ evidence.Kind, in *wire.AttestRequest) (raw []byte, member string, err error) {
	return in.Quote, "quote", nil
}
