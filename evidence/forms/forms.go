// Package forms says what bytes are that someone brings as evidence: which kind of
// evidence, where it was cut off, and in which text encoding it is wrapped. It reads
// structure alone and verifies nothing.
//
// [Recognize] names bytes, [Decode] takes evidence out of hex, base64, JSON or PEM,
// and [Explain] says why bytes are not evidence of a kind and what to do.
package forms

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"

	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Form is what bytes are, by their structure.
type Form struct {
	// Kind is the attestation type that verifies these bytes, or "" for what is no
	// evidence.
	Kind evidence.Kind
	// Name says what the bytes are, with its article: "an SGX quote of version 3".
	Name string
	// Cut says where the bytes end too early, or is empty: "ends after 2000 of 4222
	// bytes, inside the signature data".
	Cut string
	// Behind is how many bytes are after the end, zero padding left out.
	Behind int
	// Hint says what to do with bytes that are not to be verified as they are.
	Hint string
}

// Recognize names bytes by their structure. The zero Form stands for bytes of no
// known form.
func Recognize(b []byte) Form {
	for _, try := range []func([]byte) Form{
		lossyForm, quoteForm, openEnclaveForm, teeReportForm, snpForm, azureForm, tpmForm, cborForm, derForm,
		textForm, archiveForm,
	} {
		if f := try(b); f.Name != "" {
			return f
		}
	}
	return Form{}
}

// SNP reports: AMD SEV-SNP firmware ABI, table "ATTESTATION_REPORT".
const (
	snpReportSize   = 1184
	snpResponseHead = 32 // MSG_REPORT_RSP: status, size, reserved
)

// isSNP reports whether b begins like a SEV-SNP report: a known version, the policy
// bit that is always one, and signature algorithm 1.
func isSNP(b []byte) bool {
	if len(b) < 0x38 {
		return false
	}
	version := binary.LittleEndian.Uint32(b)
	policy := binary.LittleEndian.Uint64(b[8:])
	return version >= 1 && version <= 16 && policy>>26 == 0 && policy&(1<<17) != 0 &&
		binary.LittleEndian.Uint32(b[0x30:]) <= 3 && binary.LittleEndian.Uint32(b[0x34:]) == 1
}

func snpForm(b []byte) Form {
	f := Form{Kind: evidence.SEVSNPVM}
	if isSNP(b) {
		f.Name = fmt.Sprintf("a SEV-SNP report of version %d", binary.LittleEndian.Uint32(b))
		if len(b) < snpReportSize {
			f.Cut = fmt.Sprintf("ends after %d of %d bytes, inside the %s", len(b), snpReportSize, snpPart(len(b)))
		}
		return f
	}
	if isSNPResponse(b) {
		return Form{
			Name: "a SEV-SNP report after the 32 byte header of the firmware's response",
			Hint: "leave out the first 32 bytes",
		}
	}
	return Form{}
}

// isSNPResponse reports whether b is what the firmware answers: MSG_REPORT_RSP.
func isSNPResponse(b []byte) bool {
	return len(b) >= snpResponseHead+snpReportSize && isSNP(b[snpResponseHead:]) &&
		binary.LittleEndian.Uint32(b[4:]) == snpReportSize && bytes.Count(b[8:snpResponseHead], []byte{0}) == 24
}

func snpPart(n int) string {
	switch {
	case n < 0x2a0:
		return "body"
	default:
		return "signature"
	}
}

// teeReportForm names reports that only the machine itself can check.
func teeReportForm(b []byte) Form {
	switch {
	case len(b) == 1024 && b[0] == 0x81 && bytes.Count(b[4:16], []byte{0}) == 12:
		return Form{
			Name: "a TDREPORT, which only its own machine can check",
			Hint: "turn it into a quote: read outblob of configfs-tsm, or call the quoting library",
		}
	case len(b) == 432 && bytes.Count(b[20:48], []byte{0}) >= 20:
		return Form{
			Name: "a local SGX report, which only its own machine can check",
			Hint: "turn it into a quote with the quoting library (sgx_qe_get_quote)",
		}
	}
	return Form{}
}

func azureForm(b []byte) Form {
	if !bytes.HasPrefix(b, []byte("HCLA")) {
		return Form{}
	}
	f := Form{
		Name: "a report of Azure's paravisor (HCL)",
		Hint: "it is evidence only together with its TPM's quote: send the guest's attestation info as " +
			"AzureGuest, or cut out the hardware report after its 32 byte header and verify that as SevSnpVm",
	}
	if len(b) < 32+snpReportSize+20 {
		f.Cut = fmt.Sprintf("ends after %d bytes, and has at least %d", len(b), 32+snpReportSize+20)
	}
	return f
}

// tpmForm names what TPM tools write: a TPMS_ATTEST (TPM 2.0 part 2, 10.12.12),
// alone or after its size, and the quotes of TPM 1.2 (TPM Main part 2, 11).
func tpmForm(b []byte) Form {
	if len(b) == 48 && string(b[:8]) == "\x01\x01\x00\x00QUOT" ||
		len(b) >= 52 && string(b[:6]) == "\x00\x36QUT2" {
		return Form{
			Name: "a quote of a TPM 1.2 (TPM_QUOTE_INFO)",
			Hint: "TPM 1.2 signs with SHA-1 and is not supported: use a machine with a TPM 2.0",
		}
	}
	for _, at := range []int{0, 2} {
		if len(b) < at+6 || binary.BigEndian.Uint32(b[at:]) != 0xff544347 {
			continue
		}
		name, ok := map[uint16]string{
			0x8018: "a TPM quote (TPMS_ATTEST)",
			0x8017: "a TPM's certification of a key (TPMS_ATTEST)",
		}[binary.BigEndian.Uint16(b[at+4:])]
		if !ok {
			name = "an attestation structure of a TPM (TPMS_ATTEST)"
		}
		return Form{Name: name, Hint: "it needs its signature, the PCR values and the attestation key " +
			"beside it; see docs/guide/tpm.md for evidence of kind Tpm"}
	}
	return Form{}
}

// Extensions of certificates that carry evidence, with the attestation type that
// reads the certificate, or "" if the evidence must be taken out.
var evidenceExtensions = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 105, 1}, "Open Enclave evidence"},
	{asn1.ObjectIdentifier{1, 2, 840, 113556, 10, 1, 1}, "an Open Enclave report"},
	{asn1.ObjectIdentifier{1, 2, 840, 113741, 1337, 6}, "a quote (RA-TLS of Gramine)"},
	{asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}, "TCG DICE tagged evidence"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, 1}, "a TDX quote (RA-TLS of dstack)"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 58270, 1, 2}, "an SGX quote (Enarx)"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 58270, 1, 3}, "a SEV-SNP report (Enarx)"},
}

// openEnclaveOIDs is how many of the extensions Open Enclave's verifiers read.
const openEnclaveOIDs = 2

func derForm(b []byte) Form {
	if len(b) < 4 || b[0] != 0x30 || b[1] != 0x82 {
		return Form{}
	}
	size := 4 + int(binary.BigEndian.Uint16(b[2:]))
	if len(b) < size {
		// Enough of a certificate or CRL: a SEQUENCE in a SEQUENCE of similar size.
		if len(b) >= 8 && b[4] == 0x30 {
			return Form{
				Name: "a DER certificate or revocation list",
				Cut:  fmt.Sprintf("ends after %d of %d bytes", len(b), size),
			}
		}
		return Form{}
	}
	cert, err := pubkey.ParseCertificate(b[:size])
	if err != nil {
		if _, err := x509.ParseRevocationList(b[:size]); err == nil {
			return Form{Name: "a certificate revocation list", Hint: "it is collateral: name it with --collateral"}
		}
		return Form{}
	}
	for i, known := range evidenceExtensions {
		for _, e := range cert.Extensions {
			if !e.Id.Equal(known.oid) {
				continue
			}
			f := Form{Name: fmt.Sprintf("a certificate that carries %s in its extension %s", known.name, known.oid)}
			if i < openEnclaveOIDs {
				f.Kind = evidence.OpenEnclave
			} else if inner := Recognize(unwrap(e.Value)); inner.Kind != "" {
				f.Kind = inner.Kind
			}
			f.Hint = fmt.Sprintf("to take the evidence out: openssl asn1parse -inform DER -in FILE shows "+
				"the offset of the OCTET STRING after %s; add -strparse OFFSET -noout -out quote.bin",
				known.oid)
			return f
		}
	}
	return Form{Name: fmt.Sprintf("a certificate (%s) without evidence in it", cert.Subject),
		Hint: "send the evidence; certificates that go with a SEV-SNP report are named with --certs, " +
			"roots with --root"}
}

// unwrap takes off an OCTET STRING that some issuers put around the evidence.
func unwrap(value []byte) []byte {
	var inner []byte
	if rest, err := asn1.Unmarshal(value, &inner); err == nil && len(rest) == 0 {
		return inner
	}
	return value
}

func archiveForm(b []byte) Form {
	for magic, name := range map[string]string{
		"\x1f\x8b": "gzip data", "PK\x03\x04": "a ZIP archive", "\xfd7zXZ": "xz data",
		"\x28\xb5\x2f\xfd": "zstd data", "BZh": "bzip2 data", "SQLite format 3\x00": "an SQLite database",
	} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return Form{Name: name, Hint: "unpack it and send the evidence inside"}
		}
	}
	return Form{}
}
