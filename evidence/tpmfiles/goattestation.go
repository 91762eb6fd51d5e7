package tpmfiles

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/strict/base64text"
)

// goQuote is a quote of go-attestation (attest.Quote).
type goQuote struct {
	Quote     base64text.Bytes `json:"Quote"`
	Signature base64text.Bytes `json:"Signature"`
}

// goParameters is what go-attestation tells of a platform (attest.PlatformParameters), or
// of a key (attest.AttestationParameters): those have Public in common.
type goParameters struct {
	// Public is the attestation key as TPMT_PUBLIC.
	Public   base64text.Bytes `json:"Public"`
	Quotes   []goQuote        `json:"Quotes"`
	PCRs     []goPCR          `json:"PCRs"`
	EventLog base64text.Bytes `json:"EventLog"`
	// Creation is a TPMS_ATTEST of a key's making.
	Creation base64text.Bytes `json:"CreateAttestation"`
	goQuote
}

// maxQuotes bounds how many quotes are looked at; there is one for each bank.
const maxQuotes = 16

// goFile reads JSON of go-attestation.
func goFile(b []byte) File {
	text := bytes.TrimSpace(b)
	if len(text) == 0 || text[0] != '{' ||
		!bytes.Contains(text, []byte(`"Quote`)) && !bytes.Contains(text, []byte(`"CreateAttestation"`)) {
		return File{}
	}
	var in goParameters
	if json.Unmarshal(text, &in) != nil {
		return File{}
	}
	switch {
	case len(in.Quotes) > 0:
		return goPlatform(&in)
	case len(in.Quote) > 0:
		return goOneQuote(in.goQuote)
	case len(in.Creation) > 0 && len(in.Public) > 0:
		f := keyFile(in.Public)
		if f.Type == PublicKey {
			f.Name += " in go-attestation's AttestationParameters"
		}
		return f
	}
	return File{}
}

func goOneQuote(q goQuote) File {
	message := messageFile(q.Quote)
	if message.Type != Message {
		return File{}
	}
	return File{
		Type: GoQuote, Name: "a quote of go-attestation", Quote: message.Quote, Bytes: message.Bytes,
		recorded: &Recorded{Signature: q.Signature},
	}
}

// goPlatform reads PlatformParameters. Of its quotes, one for each bank, the one of the
// strongest bank is used.
func goPlatform(in *goParameters) File {
	f := File{Type: GoAttestation, Name: "platform parameters of go-attestation"}
	wrong := func(format string, args ...any) File {
		return File{Type: wrongFile, Name: f.Name, Hint: fmt.Sprintf(format, args...)}
	}
	banks, err := goBanks(in.PCRs)
	if err != nil {
		return wrong("its PCRs cannot be read: %v", err)
	}
	if len(in.Quotes) > maxQuotes {
		return wrong("it has %d quotes, at most %d are read", len(in.Quotes), maxQuotes)
	}
	if len(in.Public) > 0 {
		key := keyFile(in.Public)
		if key.Type != PublicKey {
			return wrong("its Public is not a TPMT_PUBLIC; keys of a TPM 1.2 are not read")
		}
		f.Key = key.Key
	}
	for i, q := range in.Quotes {
		message := messageFile(q.Quote)
		if message.Type != Message {
			return wrong("its quote %d is not a quote of a TPM 2.0", i+1)
		}
		if f.Quote != nil &&
			strongest(f.Quote.Selection).Bank.Size() >= strongest(message.Quote.Selection).Bank.Size() {
			continue
		}
		f.Quote, f.Bytes, f.Banks = message.Quote, message.Bytes, banks
		f.recorded = &Recorded{
			Attested: message.Bytes, Signature: q.Signature, Quote: message.Quote,
			Banks: pick(banks, message.Quote.Selection), EventLog: in.EventLog,
		}
	}
	if len(in.EventLog) > 0 && logFile(in.EventLog).Type == Unknown {
		return wrong("its EventLog is not a log of measured boot")
	}
	return f
}

// strongest returns the selection of the bank with the longest digests.
func strongest(list []tpm.Selection) (best tpm.Selection) {
	for _, s := range list {
		if s.Bank.Size() > best.Bank.Size() {
			best = s
		}
	}
	return best
}
