package openenclave

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/ratls"
)

const (
	reportHeaderSize      = 16
	attestationHeaderSize = 28

	reportLocal  = 1
	reportRemote = 2
)

// The formats of evidence with an attestation header, by their UUIDs in
// written order (Open Enclave, attestation/sgx/evidence.h).
const (
	formatECDSA        = "a3a21e871b4d4014b70aa125d2fbcd8c"
	formatLegacyReport = "c8303454d9234c2ca691df7def460a76"
	formatRawQuote     = "1923d91e12d24c72b22025cd8dace871"
	formatLocal        = "09268c336e0b45e58a2715644d0ef89a"
	formatEPIDLinkable = "f228aa3fde4d49d388b2bb88084cc25e"
)

// Framed is Open Enclave evidence taken apart. Slices point into the input.
type Framed struct {
	// Form names the framing, for people.
	Form string
	// Quote is the SGX quote.
	Quote []byte
	// CustomClaims is the serialized custom claims buffer, or empty.
	CustomClaims []byte
	// Header says that the evidence names SGX ECDSA as its format, so that REPORTDATA
	// contains the hash of the custom claims buffer, also of an empty one.
	Header bool
	// Certificate is the certificate that carries the evidence, or nil.
	Certificate *ratls.Certificate
}

// Parse takes Open Enclave evidence apart: a report (oe_get_report), evidence
// with or without its attestation header (oe_get_evidence), a bare quote, or a
// certificate in DER or PEM that carries either. Local reports and EPID formats are
// refused.
func Parse(b []byte) (*Framed, error) {
	switch {
	case len(b) < reportHeaderSize:
		return nil, fmt.Errorf("openenclave: %d bytes are neither a report nor evidence", len(b))
	case ratls.Is(b):
		return parseCertificate(b)
	case binary.LittleEndian.Uint16(b) >= 3 && binary.LittleEndian.Uint32(b) != 3:
		return parseECDSA(b, "evidence without attestation header", false)
	}
	if typ := binary.LittleEndian.Uint32(b[4:]); typ == reportLocal || typ == reportRemote {
		return parseReport(b)
	}
	return parseHeader(b)
}

// parseCertificate takes the evidence out of a certificate of attested TLS.
func parseCertificate(b []byte) (*Framed, error) {
	cert, err := ratls.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("openenclave: %w", err)
	}
	if cert.SNP {
		return nil,
			errors.New("openenclave: the certificate carries a SEV-SNP report: use attestation type SevSnpVm")
	}
	f, err := Parse(cert.Evidence)
	if err != nil {
		return nil, err
	}
	f.Form = fmt.Sprintf("certificate (%s, %s) with %s", cert.Form, cert.Issuer, f.Form)
	f.Certificate = cert
	return f, nil
}

// parseReport reads the 16-byte report header: version, type, size.
func parseReport(b []byte) (*Framed, error) {
	if len(b) < reportHeaderSize {
		return nil, errors.New("openenclave: report is shorter than its header")
	}
	if v := binary.LittleEndian.Uint32(b); v != 1 {
		return nil, fmt.Errorf("openenclave: report version %d, want 1", v)
	}
	if t := binary.LittleEndian.Uint32(b[4:]); t != reportRemote {
		return nil, fmt.Errorf(
			"openenclave: report type %d is not remote (2): local reports prove nothing to others", t,
		)
	}
	size, left := binary.LittleEndian.Uint64(b[8:]), uint64(len(b)-reportHeaderSize)
	if size != left {
		return nil, fmt.Errorf("openenclave: report size %d, but %d bytes follow the header", size, left)
	}
	return &Framed{Form: "report", Quote: b[reportHeaderSize:]}, nil
}

// parseHeader reads the attestation header: version, format UUID, size.
func parseHeader(b []byte) (*Framed, error) {
	if len(b) < attestationHeaderSize {
		return nil, errors.New("openenclave: evidence is shorter than its attestation header")
	}
	if v := binary.LittleEndian.Uint32(b); v != 1 {
		return nil, fmt.Errorf("openenclave: attestation header version %d, want 1", v)
	}
	size, data := binary.LittleEndian.Uint64(b[20:]), b[attestationHeaderSize:]
	if size != uint64(len(data)) {
		return nil, fmt.Errorf("openenclave: attestation header says %d bytes, %d follow", size, len(data))
	}
	switch format := hex.EncodeToString(b[4:20]); format {
	case formatECDSA:
		return parseECDSA(data, "SGX ECDSA evidence", true)
	case formatLegacyReport:
		return parseReport(data)
	case formatRawQuote:
		return &Framed{Form: "raw quote evidence", Quote: data}, nil
	case formatLocal:
		return nil, errors.New("openenclave: local evidence proves nothing to others")
	case formatEPIDLinkable:
		return nil, errors.New("openenclave: EPID evidence is not supported: Intel has ended its service")
	default:
		return nil, fmt.Errorf("openenclave: unknown evidence format %s (EPID formats are not supported)", format)
	}
}

// parseECDSA splits a quote from the custom claims after it. Without an attestation
// header, zero padding after the quote is not a claims buffer.
func parseECDSA(b []byte, form string, header bool) (*Framed, error) {
	quote, rest, err := dcap.Split(b)
	if err != nil {
		return nil, fmt.Errorf("openenclave: %s: %w", form, err)
	}
	f := &Framed{Form: form, Quote: quote, Header: header}
	if header || len(bytes.TrimLeft(rest, "\x00")) > 0 {
		f.CustomClaims = rest
	}
	return f, nil
}
