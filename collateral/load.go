package collateral

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxFile bounds one collateral file, in bytes.
const maxFile = 16 << 20

// Load reads collateral from a file or a folder. A file holds a bundle (see
// [ParseBundle]) or one Intel set as a JSON object (see [ParseSet]). A folder
// holds such files, directly or in subfolders one level down, or the pieces of
// one Intel set as Intel's service sends them: TCB info and enclave identity
// responses, CRLs (DER, PEM or hex) and PEM chains, told apart by content.
func Load(path string) (*Bundle, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		b, err := readFile(path)
		if err != nil {
			return nil, err
		}
		bundle, err := parseFile(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return bundle, nil
	}
	return loadFolder(path)
}

// parseFile reads a bundle or a single set.
func parseFile(b []byte) (*Bundle, error) {
	bundle, err := ParseBundle(b)
	if !errors.Is(err, ErrNoBundle) {
		return bundle, err
	}
	c, err := ParseSet(b)
	if err != nil {
		return nil, err
	}
	return &Bundle{Intel: []*Intel{c}}, nil
}

func loadFolder(path string) (*Bundle, error) {
	var files []string
	for _, pattern := range []string{"*", "*/*"} {
		found, err := filepath.Glob(filepath.Join(escapeGlob(path), pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	all := &Bundle{}
	var loose Intel
	for _, file := range files {
		st, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		if !st.Mode().IsRegular() || st.Size() > maxFile {
			continue
		}
		b, err := readFile(file)
		if err != nil {
			return nil, err
		}
		if bundle, err := parseFile(b); err == nil {
			all.Add(bundle)
			continue
		}
		// Only the folder itself may hold loose pieces: mixing those of
		// several platforms would give sets that nobody published.
		if filepath.Dir(file) == filepath.Clean(path) {
			loose.take(b)
		}
	}
	if len(loose.TCBInfo) > 0 || len(loose.PCKCertificateChain) > 0 {
		all.Intel = append(all.Intel, &loose)
	}
	if all.Len() == 0 {
		return nil, fmt.Errorf("%s: no collateral in this folder", path)
	}
	return all, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return b, nil
}

// file is the JSON form of a set. Its names are those of Intel's quote
// verification library.
type file struct {
	PCKCRLIssuerChain     string `json:"pck_crl_issuer_chain"`
	RootCACRL             string `json:"root_ca_crl"`
	PCKCRL                string `json:"pck_crl"`
	TCBInfoIssuerChain    string `json:"tcb_info_issuer_chain"`
	TCBInfo               string `json:"tcb_info"`
	TCBInfoSignature      string `json:"tcb_info_signature"`
	QEIdentityIssuerChain string `json:"qe_identity_issuer_chain"`
	QEIdentity            string `json:"qe_identity"`
	QEIdentitySignature   string `json:"qe_identity_signature"`
	PCKCertificateChain   string `json:"pck_certificate_chain,omitzero"`
}

// ParseSet reads one set from a JSON object with the string members
// pck_crl_issuer_chain, root_ca_crl, pck_crl, tcb_info_issuer_chain, tcb_info,
// tcb_info_signature, qe_identity_issuer_chain, qe_identity,
// qe_identity_signature and, optionally, pck_certificate_chain. Chains are PEM;
// CRLs are hex, base64 or PEM; signatures are hex r || s; tcb_info and
// qe_identity are the exact signed texts. Absent members are absent pieces;
// unknown and duplicate members are refused.
func ParseSet(b []byte) (*Intel, error) {
	var f file
	if err := json.Unmarshal(b, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	c, err := f.set()
	if err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	return c, nil
}

// set decodes the members.
func (f *file) set() (*Intel, error) {
	c := &Intel{
		PCKCRLIssuerChain:     []byte(f.PCKCRLIssuerChain),
		TCBInfoIssuerChain:    []byte(f.TCBInfoIssuerChain),
		TCBInfo:               []byte(f.TCBInfo),
		QEIdentityIssuerChain: []byte(f.QEIdentityIssuerChain),
		QEIdentity:            []byte(f.QEIdentity),
		PCKCertificateChain:   []byte(f.PCKCertificateChain),
	}
	var err error
	if c.RootCRL, err = DecodeCRL([]byte(f.RootCACRL)); err != nil {
		return nil, fmt.Errorf("root_ca_crl: %w", err)
	}
	if c.PCKCRL, err = DecodeCRL([]byte(f.PCKCRL)); err != nil {
		return nil, fmt.Errorf("pck_crl: %w", err)
	}
	if c.TCBInfoSignature, err = hex.DecodeString(f.TCBInfoSignature); err != nil {
		return nil, fmt.Errorf("tcb_info_signature: %w", err)
	}
	if c.QEIdentitySignature, err = hex.DecodeString(f.QEIdentitySignature); err != nil {
		return nil, fmt.Errorf("qe_identity_signature: %w", err)
	}
	return c, nil
}

// Marshal writes the set in the form that [ParseSet] reads.
func (c *Intel) Marshal() ([]byte, error) {
	return json.Marshal(c.file(), jsontext.WithIndent("  "))
}

func (c *Intel) file() file {
	return file{
		PCKCRLIssuerChain:     string(c.PCKCRLIssuerChain),
		RootCACRL:             hex.EncodeToString(c.RootCRL),
		PCKCRL:                hex.EncodeToString(c.PCKCRL),
		TCBInfoIssuerChain:    string(c.TCBInfoIssuerChain),
		TCBInfo:               string(c.TCBInfo),
		TCBInfoSignature:      hex.EncodeToString(c.TCBInfoSignature),
		QEIdentityIssuerChain: string(c.QEIdentityIssuerChain),
		QEIdentity:            string(c.QEIdentity),
		QEIdentitySignature:   hex.EncodeToString(c.QEIdentitySignature),
		PCKCertificateChain:   string(c.PCKCertificateChain),
	}
}

// DecodeCRL returns the DER bytes of a revocation list that is DER, PEM, hex
// (as Intel's caching service sends) or base64. Empty input gives nil. It does
// not parse the list.
func DecodeCRL(b []byte) ([]byte, error) {
	if len(b) > 0 && b[0] == 0x30 && !isHex(b) {
		return b, nil
	}
	text := bytes.Trim(b, " \t\r\n\x00")
	switch {
	case len(text) == 0:
		return nil, nil
	case bytes.HasPrefix(text, []byte("-----BEGIN")):
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "X509 CRL" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("not one PEM block of type X509 CRL")
		}
		return block.Bytes, nil
	case isHex(text):
		return hex.AppendDecode(nil, text)
	default:
		der, err := base64.StdEncoding.AppendDecode(nil, text)
		if err != nil {
			return nil, errors.New("neither DER nor PEM, hex or base64")
		}
		return der, nil
	}
}

func isHex(b []byte) bool {
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return len(b)%2 == 0
}

// take puts a loose piece where it belongs; what it does not know it leaves.
func (c *Intel) take(b []byte) {
	trimmed := bytes.Trim(b, " \t\r\n\x00")
	if len(trimmed) > 0 && trimmed[0] == '{' {
		c.takeResponse(trimmed)
		return
	}
	if bytes.HasPrefix(trimmed, []byte("-----BEGIN CERTIFICATE")) {
		c.takeChain(trimmed)
		return
	}
	der, err := DecodeCRL(b)
	if err != nil {
		return
	}
	if crl, err := x509.ParseRevocationList(der); err == nil {
		if CAType(crl.Issuer.CommonName) != "" {
			c.PCKCRL = der
		} else {
			c.RootCRL = der
		}
	}
}

func (c *Intel) takeResponse(b []byte) {
	if signed, signature, err := ParseResponse(b, "tcbInfo"); err == nil {
		c.TCBInfo, c.TCBInfoSignature = signed, signature
	} else if signed, signature, err := ParseResponse(b, "enclaveIdentity"); err == nil {
		c.QEIdentity, c.QEIdentitySignature = signed, signature
	}
}

func (c *Intel) takeChain(b []byte) {
	var leaf string
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return
		}
		switch name := cert.Subject.CommonName; {
		case strings.Contains(name, "TCB Signing"):
			leaf = "tcb"
		case strings.Contains(name, "PCK Certificate"):
			leaf = "pck"
		case CAType(name) != "" && leaf == "":
			leaf = "ca"
		}
	}
	switch leaf {
	case "tcb":
		c.TCBInfoIssuerChain, c.QEIdentityIssuerChain = b, b
	case "ca":
		c.PCKCRLIssuerChain = b
		c.PCKCertificateChain = append(append(c.PCKCertificateChain, b...), '\n')
	case "pck":
		c.PCKCertificateChain = append(append(bytes.Clone(b), '\n'), c.PCKCertificateChain...)
	}
}

// ParseResponse splits a response of Intel's service, {"tcbInfo":…} or
// {"enclaveIdentity":…} with its signature, into the exact signed bytes and
// the raw signature.
func ParseResponse(b []byte, member string) (signed, signature []byte, err error) {
	var response map[string]jsontext.Value
	if err := json.Unmarshal(b, &response); err != nil {
		return nil, nil, err
	}
	var text string
	if err := json.Unmarshal(response["signature"], &text); err != nil {
		return nil, nil, fmt.Errorf("signature: %w", err)
	}
	if signature, err = hex.DecodeString(text); err != nil {
		return nil, nil, fmt.Errorf("signature: %w", err)
	}
	if response[member] == nil {
		return nil, nil, fmt.Errorf("no member %s", member)
	}
	return bytes.Clone(response[member]), signature, nil
}
