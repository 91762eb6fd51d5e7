package snp

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/probity-dev/probity/evidence/ratls"
	"github.com/probity-dev/probity/strict/base64text"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Framed is evidence taken out of its frame; nothing of it is verified.
type Framed struct {
	Report []byte
	// Certificates is what was sent along, as it came: PEM, DER, or a
	// certificate table of the guest-hypervisor interface. It may be empty.
	Certificates []byte
	// Endorsements are UVM endorsements, COSE_Sign1 each.
	Endorsements [][]byte
	// TLS is the certificate of attested TLS that carries the report, or nil.
	TLS *ratls.Certificate
}

// Bounds of what is read.
const (
	maxCertificates = 64 << 10
	maxEndorsements = 4
)

// Frame reads evidence in one of its forms: the 1184 bytes of a report, alone
// (snpguest, outblob of configfs-tsm) or followed by a certificate table
// (extended guest request, AMD publication 56421), a certificate of attested TLS that
// carries either, or the JSON object that Azure
// Attestation's clients send, with the members SnpReport, VcekCertChain and
// Endorsements.
func Frame(raw []byte) (*Framed, error) {
	if text := bytes.TrimLeft(raw, " \t\r\n"); len(text) > 0 && text[0] == '{' {
		return frameJSON(text)
	}
	if ratls.Is(raw) {
		return frameCertificate(raw)
	}
	if len(raw) < ReportSize {
		return nil, fmt.Errorf("%d bytes, want a report of %d bytes or a JSON object with SnpReport",
			len(raw), ReportSize)
	}
	f := &Framed{Report: raw[:ReportSize]}
	if rest := raw[ReportSize:]; len(rest) > 0 {
		if _, err := parseTable(rest); err != nil {
			return nil, fmt.Errorf("after the report: %w", err)
		}
		f.Certificates = rest
	}
	return f, nil
}

func frameCertificate(raw []byte) (*Framed, error) {
	cert, err := ratls.Parse(raw)
	if err != nil {
		return nil, err
	}
	if cert.Form == ratls.DICE && !cert.SNP || ratls.Is(cert.Evidence) {
		return nil, errors.New("the certificate carries evidence other than a SEV-SNP report")
	}
	f, err := Frame(cert.Evidence)
	if err != nil {
		return nil, fmt.Errorf("in the certificate's extension: %w", err)
	}
	f.TLS = cert
	return f, nil
}

func frameJSON(text []byte) (*Framed, error) {
	var in struct {
		Report       string `json:"SnpReport"`
		Chain        string `json:"VcekCertChain"`
		Endorsements string `json:"Endorsements"`
	}
	if err := json.Unmarshal(text, &in, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, fmt.Errorf("JSON: %w", err)
	}
	f := &Framed{}
	var err error
	if f.Report, err = decode(in.Report); err != nil || len(f.Report) == 0 {
		return nil, errors.New("the member SnpReport is missing or not base64")
	}
	if f.Certificates, err = decode(in.Chain); err != nil || len(f.Certificates) > maxCertificates {
		return nil, fmt.Errorf("the member VcekCertChain is not base64 of at most %d bytes", maxCertificates)
	}
	list, err := decode(in.Endorsements)
	if err != nil {
		return nil, errors.New("the member Endorsements is not base64")
	}
	if len(list) == 0 {
		return f, nil
	}
	var endorsements struct {
		UVM []string `json:"Uvm"`
	}
	if err := json.Unmarshal(list, &endorsements, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, fmt.Errorf("the member Endorsements: %w", err)
	}
	if len(endorsements.UVM) > maxEndorsements {
		return nil, fmt.Errorf("%d UVM endorsements, at most %d are read", len(endorsements.UVM), maxEndorsements)
	}
	for i, text := range endorsements.UVM {
		b, err := decode(text)
		if err != nil || len(b) == 0 {
			return nil, fmt.Errorf("UVM endorsement %d is not base64", i+1)
		}
		f.Endorsements = append(f.Endorsements, b)
	}
	return f, nil
}

// Marshal writes the evidence as the JSON object of Azure Attestation's clients.
func (f *Framed) Marshal() ([]byte, error) {
	encode := base64.RawURLEncoding.EncodeToString
	out := map[string]string{"SnpReport": encode(f.Report), "VcekCertChain": encode(f.Certificates)}
	if len(f.Endorsements) > 0 {
		list := make([]string, len(f.Endorsements))
		for i, b := range f.Endorsements {
			list[i] = encode(b)
		}
		inner, err := json.Marshal(map[string][]string{"Uvm": list})
		if err != nil {
			return nil, err
		}
		out["Endorsements"] = encode(inner)
	}
	return json.Marshal(out, json.Deterministic(true))
}

// decode reads base64 in either alphabet, padded or not.
func decode(text string) ([]byte, error) {
	if strings.Contains(text, `\`) {
		return nil, errors.New("a backslash in base64") // which the decoder takes for an escape of JSON
	}
	return base64text.Decode([]byte(text))
}

// tableEntry is one row of a certificate table.
type tableEntry struct {
	guid string
	data []byte
}

// tableGUIDs are the entries that are certificates, DER each.
var tableGUIDs = map[string]string{
	"63da758de6644564adc5f4b93be8accd": "VCEK",
	"a8074bc2a25a483eaae639c045a0b8a1": "VLEK",
	"4ab7b379bbac4fe4a02f05aef327c782": "ASK",
	"c0b406a4a803495297433fb6014cd0ae": "ARK",
}

// guids writes the first 16 bytes of an entry as hex. Firmware stores GUIDs
// with their first three fields little-endian; both orders are met.
func guids(b []byte) (asStored, mixed string) {
	m := bytes.Clone(b[:16])
	m[0], m[1], m[2], m[3] = m[3], m[2], m[1], m[0]
	m[4], m[5] = m[5], m[4]
	m[6], m[7] = m[7], m[6]
	return hex.EncodeToString(b[:16]), hex.EncodeToString(m)
}

// maxTable bounds the rows of a certificate table.
const maxTable = 16

// parseTable reads a certificate table: rows of GUID, offset and length (both
// little-endian, 4 bytes), ended by a row of zeros.
func parseTable(b []byte) ([]tableEntry, error) {
	var list []tableEntry
	for row := range maxTable {
		if len(b) < 24*(row+1) {
			return nil, errors.New("a certificate table without an end")
		}
		head := b[24*row : 24*(row+1)]
		if zero(head) {
			return list, nil
		}
		offset := uint64(binary.LittleEndian.Uint32(head[16:]))
		length := uint64(binary.LittleEndian.Uint32(head[20:]))
		if offset+length > uint64(len(b)) {
			return nil, errors.New("a certificate table that points after its end")
		}
		stored, mixed := guids(head)
		name := tableGUIDs[stored]
		if name == "" {
			name = tableGUIDs[mixed]
		}
		list = append(list, tableEntry{name, b[offset : offset+length]})
	}
	return nil, fmt.Errorf("a certificate table of more than %d rows", maxTable)
}

// maxSent bounds how many certificates are read.
const maxSent = 8

// ParseCertificates reads certificates in the forms in which hosts hand them
// out: PEM (in any order), one DER certificate, a certificate table, or the JSON
// object of Azure's host (vcekCert, certificateChain).
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	text := bytes.Trim(b, " \t\r\n\x00")
	switch {
	case len(text) == 0:
		return nil, nil
	case len(b) > maxCertificates:
		return nil, fmt.Errorf("%d bytes of certificates, at most %d are read", len(b), maxCertificates)
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		return parsePEM(text)
	case text[0] == '{':
		var host struct {
			VCEK  string `json:"vcekCert"`
			Chain string `json:"certificateChain"`
		}
		if err := json.Unmarshal(text, &host); err != nil {
			return nil, fmt.Errorf("host certificates: %w", err)
		}
		return parsePEM([]byte(host.VCEK + "\n" + host.Chain))
	case text[0] == 0x30:
		cert, err := pubkey.ParseCertificate(b)
		if err == nil {
			return []*x509.Certificate{cert}, nil
		}
	}
	table, err := parseTable(b)
	if err != nil {
		return nil, errors.New("neither PEM nor a DER certificate or a certificate table")
	}
	var list []*x509.Certificate
	for _, entry := range table {
		if entry.guid == "" {
			continue
		}
		cert, err := pubkey.ParseCertificate(entry.data)
		if err != nil {
			return nil, fmt.Errorf("%s in the certificate table: %w", entry.guid, err)
		}
		list = append(list, cert)
	}
	return list, nil
}

func parsePEM(text []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for rest := text; len(bytes.Trim(rest, " \t\r\n\x00")) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("data other than PEM certificates")
		}
		cert, err := pubkey.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if list = append(list, cert); len(list) > maxSent {
			return nil, fmt.Errorf("more than %d certificates", maxSent)
		}
	}
	return list, nil
}
