package kbs

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/snp"
)

// Evidence is the evidence of a guest in the form that verifiers read; nothing of it is verified.
type Evidence struct {
	Kind     evidence.Kind
	Raw      []byte
	EventLog []byte
	// Launch is the field that binds init data, as the verifiers will read it from the same bytes, and
	// extended says that it is a register of a TPM.
	launch   []byte
	extended bool
}

// Evidence reads the evidence of the guest and checks what else the message says about it: the user data of
// Azure's guests, and the init data. The error is a *[Refused].
func (a *Attestation) Evidence() (*Evidence, error) {
	if a.Primary.Kind() != '{' {
		return nil, refuse(CheckEvidence, "evidence of "+string(a.TEE)+" as a JSON object",
			"another value, or none")
	}
	read := map[TEE]func(*Attestation) (*Evidence, error){
		SNP: (*Attestation).snp, TDX: (*Attestation).tdx, TPM: (*Attestation).tpm,
		AzSNPvTPM: (*Attestation).azure, AzTDXvTPM: (*Attestation).azure,
	}[a.TEE]
	e, err := read(a)
	if err != nil {
		return nil, err
	}
	return e, a.checkInitData(e)
}

// malformed refuses evidence that is not in the form of its kind.
func (a *Attestation) malformed(found string) error {
	return refuse(CheckEvidence, "evidence of "+string(a.TEE)+" as the guest components write it", found)
}

// decode reads base64 or hex of a member, by a decoder.
func (a *Attestation) decode(name, text string, decode func(string) ([]byte, error)) ([]byte, error) {
	b, err := decode(text)
	if err != nil || len(b) == 0 {
		return nil, a.malformed("the member " + name + " is missing or cannot be decoded")
	}
	return b, nil
}

func (a *Attestation) tdx() (*Evidence, error) {
	var in struct {
		Quote string  `json:"quote"`
		Log   *string `json:"cc_eventlog"`
	}
	if err := object(CheckEvidence, a.Primary, maxAttestation, &in); err != nil {
		return nil, err
	}
	e := &Evidence{Kind: evidence.TDXVM}
	var err error
	if e.Raw, err = a.decode("quote", in.Quote, base64.StdEncoding.DecodeString); err != nil {
		return nil, err
	}
	if in.Log != nil && *in.Log != "" {
		if e.EventLog, err = a.decode("cc_eventlog", *in.Log, base64.StdEncoding.DecodeString); err != nil {
			return nil, err
		}
	}
	td, err := a.trustDomain("quote", e.Raw)
	if err != nil {
		return nil, err
	}
	e.launch = td.MRConfigID[:]
	return e, nil
}

// trustDomain reads what a quote says about its trust domain.
func (a *Attestation) trustDomain(name string, raw []byte) (*dcap.TDReport, error) {
	var td *dcap.TDReport
	quote, err := dcap.ParseQuote(raw)
	if err == nil {
		td, err = dcap.ParseTDReport(quote.Body)
	}
	if err != nil {
		return nil, a.malformed("the member " + name + " is not a quote of a trust domain")
	}
	return td, nil
}

func (a *Attestation) snp() (*Evidence, error) {
	var in struct {
		Report jsontext.Value `json:"attestation_report"`
		Chain  []certificate  `json:"cert_chain"`
	}
	if err := object(CheckEvidence, a.Primary, maxAttestation, &in); err != nil {
		return nil, err
	}
	report, err := a.report(in.Report)
	if err != nil {
		return nil, err
	}
	chain, err := a.chain(in.Chain)
	if err != nil {
		return nil, err
	}
	raw, err := (&snp.Framed{Report: report, Certificates: chain}).Marshal()
	if err != nil {
		return nil, fmt.Errorf("kbs: %w", err)
	}
	return &Evidence{Kind: evidence.SEVSNPVM, Raw: raw, launch: report[hostData : hostData+32]}, nil
}

// hexText decodes hex of at least one byte.
func hexText(text string) ([]byte, error) { return hex.DecodeString(text) }

// prefixed reports whether b is want, followed by zeros.
func prefixed(b, want []byte) bool {
	rest, ok := bytes.CutPrefix(b, want)
	return ok && len(bytes.TrimLeft(rest, "\x00")) == 0
}
