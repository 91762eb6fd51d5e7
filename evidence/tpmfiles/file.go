// Package tpmfiles reads the files that TPM tools write: quote messages, signatures, PCR
// values and public keys of tpm2-tools, quotes of Keylime, and the JSON of go-attestation.
//
// [Identify] says what a file is, by its content alone; [Assemble] puts the files of one
// quote together as evidence of kind Tpm. Nothing is verified here: package tpm does that.
package tpmfiles

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/strict/base64text"
)

// Type is what a file is.
type Type string

// The types of files. Unknown stands for bytes without a structure of their own: plain
// signatures and bare PCR values are among them, which [Assemble] tells by their size.
const (
	Unknown        Type = ""
	Message        Type = "quote message"
	Certification  Type = "certification"
	Signature      Type = "signature"
	PCRs           Type = "PCR values"
	PublicKey      Type = "public key"
	Certificate    Type = "certificate"
	EKCertificate  Type = "endorsement key certificate"
	Keylime        Type = "Keylime quote"
	KeylimeKeys    Type = "Keylime keys"
	GoAttestation  Type = "go-attestation parameters"
	GoQuote        Type = "go-attestation quote"
	EventLog       Type = "event log"
	IMA            Type = "IMA list"
	wrongFile      Type = "wrong file"
	maxFile             = 8 << 20
	maxText             = 1 << 20
	maxCertificate      = 16 << 10
)

// File is a file with what it was recognised as.
type File struct {
	// Path is for messages.
	Path string
	Type Type
	// Name says what the file is, with its article: "a quote message (TPMS_ATTEST)".
	Name string
	// Hint says what to do with a file that is not read as it is.
	Hint string
	// Quote, of a message, is the TPMS_ATTEST taken apart.
	Quote *tpm.Attestation
	// Signature, of a TPMT_SIGNATURE, is taken apart.
	Signature *tpm.Signature
	// Banks are PCR values.
	Banks []eventlog.Bank
	Key   *Key
	// Bytes are the structure itself: without text encoding, size field or padding.
	Bytes []byte

	raw      []byte // the file as it was given
	recorded *Recorded
}

// Identify says what a file is. It reports false for bytes that have no known structure.
func Identify(b []byte) (File, bool) {
	f := identify(b)
	if f.Type == Unknown && f.Name == "" {
		if inner, how := decode(b); inner != nil {
			if f = identify(inner); f.Type != Unknown {
				f.Name += " in " + how
			}
		}
	}
	f.raw = b
	return f, f.Type != Unknown
}

func identify(b []byte) File {
	if len(b) == 0 || len(b) > maxFile {
		return File{}
	}
	for _, try := range []func([]byte) File{
		messageFile, signatureFile, pcrFile, contextFile, keyFile, keylimeFile, goFile, printedFile,
		logFile, imaFile,
	} {
		if f := try(b); f.Type != Unknown {
			return f
		}
	}
	return File{}
}

// decode takes hex or base64 off, in one line or several.
func decode(b []byte) (inner []byte, how string) {
	if len(b) > maxText {
		return nil, ""
	}
	text := bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, bytes.TrimSpace(b))
	if len(text) < 16 {
		return nil, ""
	}
	if out, err := hex.DecodeString(string(bytes.TrimPrefix(text, []byte("0x")))); err == nil {
		return out, "hex"
	}
	if out, err := base64text.Decode(text); err == nil {
		return out, "base64"
	}
	return nil, ""
}

// isAttestation reports whether b begins as a TPMS_ATTEST does.
func isAttestation(b []byte) bool {
	return len(b) >= 6 && binary.BigEndian.Uint32(b) == 0xff544347 && b[4] == 0x80
}

// messageFile reads a TPMS_ATTEST (TPM 2.0 part 2, 10.12.12), alone or as TPM2B_ATTEST.
func messageFile(b []byte) File {
	if len(b) > 8 && int(binary.BigEndian.Uint16(b)) == len(b)-2 && isAttestation(b[2:]) {
		b = b[2:]
	}
	if !isAttestation(b) {
		return File{}
	}
	a, err := tpm.ParseAttestation(b)
	switch {
	case err != nil:
		return File{
			Type: wrongFile,
			Name: "an attestation structure of a TPM (TPMS_ATTEST) that cannot be read: " + err.Error(),
			Hint: "copy the whole file, as bytes and not as text; of the types, " +
				"quotes and certifications of keys are read",
		}
	case a.Type == tpm.TypeCertify:
		return File{Type: Certification, Name: "a TPM's certification of a key (TPMS_ATTEST)", Quote: a, Bytes: b,
			Hint: "a certification says nothing about the boot: give the quote"}
	}
	return File{Type: Message, Name: "a TPM quote message (TPMS_ATTEST)", Quote: a, Bytes: b}
}

// signatureFile reads a TPMT_SIGNATURE, or the DER signature that tpm2_quote -f plain
// writes for ECC keys.
func signatureFile(b []byte) File {
	if s, err := tpm.ParseSignature(b); err == nil && s.Hash.Size() > 0 && plausible(s) {
		return File{
			Type:      Signature,
			Name:      "a TPM signature (TPMT_SIGNATURE, " + s.Name() + ")",
			Signature: s,
			Bytes:     b,
		}
	}
	if _, _, ok := derSignature(b); ok {
		return File{Type: Signature, Name: "an ECDSA signature in DER, without its hash", Bytes: b}
	}
	return File{}
}

// plausible reports whether a signature has the size of one by a key that is accepted.
func plausible(s *tpm.Signature) bool {
	if s.RSA != nil {
		return len(s.RSA) >= 128 && len(s.RSA) <= 512 && len(s.RSA)%64 == 0
	}
	return len(s.R) >= 16 && len(s.S) >= 16 && len(s.R) <= 66 && len(s.S) <= 66
}

// contextFile names saved contexts of tpm2-tools, which only their own TPM reads.
func contextFile(b []byte) File {
	if len(b) > 64 && bytes.HasPrefix(b, []byte{0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1}) {
		return File{Type: wrongFile, Name: "a saved key context of tpm2-tools, which only its own TPM can load",
			Hint: "write the public key: tpm2_readpublic -c ak.ctx -o ak.pub"}
	}
	return File{}
}

// printedFile names what tpm2_quote prints.
func printedFile(b []byte) File {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("quoted: ff544347")) {
		return File{
			Type: wrongFile,
			Name: "the printed output of tpm2_quote",
			Hint: "give the files that tpm2_quote writes with -m, -s and -o",
		}
	}
	return File{}
}

func logFile(b []byte) File {
	if l, ok := eventlog.Recognize(b); ok {
		return File{Type: EventLog, Name: fmt.Sprintf("a log of measured boot, %d events", len(l.Events)), Bytes: b}
	}
	return File{}
}

func imaFile(b []byte) File {
	list, binary := eventlog.RecognizeIMA(b)
	if len(list) == 0 {
		return File{}
	}
	f := File{Type: IMA, Name: fmt.Sprintf("an IMA list of measured files, %d entries", len(list)), Bytes: b}
	if !binary {
		f.Name += ", as text"
		if f.Bytes = eventlog.MarshalIMA(list); f.Bytes == nil {
			return File{Type: wrongFile, Name: f.Name + ", with digests that are not SHA-1",
				Hint: "give the binary list: /sys/kernel/security/ima/binary_runtime_measurements"}
		}
	}
	return f
}

// purposeEK is the extended key usage of endorsement keys (TCG EK Credential Profile).
var purposeEK = asn1.ObjectIdentifier{2, 23, 133, 8, 1}

// certificateFile names a certificate by what it is for. An authority is not used: what is
// trusted is never taken from among the evidence.
func certificateFile(cert *x509.Certificate, padding int) File {
	f := File{
		Type:  Certificate,
		Name:  fmt.Sprintf("a certificate of an attestation key (issued by %q)", issuer(cert)),
		Bytes: cert.Raw,
		Key:   &Key{Public: cert.PublicKey, Certificate: cert.Raw},
	}
	switch {
	case cert.IsCA:
		f.Type, f.Name, f.Hint = wrongFile, fmt.Sprintf("a certificate of an authority (%s)", cert.Subject),
			"name the authorities that you trust with --root"
	case slices.ContainsFunc(cert.UnknownExtKeyUsage, purposeEK.Equal) &&
		cert.KeyUsage != x509.KeyUsageDigitalSignature:
		f.Type = EKCertificate
		f.Name = fmt.Sprintf("a certificate of an endorsement key (issued by %q)", issuer(cert))
	}
	if padding > 0 {
		f.Name += fmt.Sprintf(", with %d bytes after it that are not part of it", padding)
	}
	return f
}

func issuer(cert *x509.Certificate) string {
	if cn := cert.Issuer.CommonName; cn != "" {
		return cn
	}
	return cert.Issuer.String()
}

var errEmpty = errors.New("no file was given")

// base64Text decodes standard base64 in either alphabet.
func base64Text(s string) ([]byte, error) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b, nil
	}
	return base64text.Decode([]byte(strings.TrimSpace(s)))
}
