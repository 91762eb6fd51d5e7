package collateral

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/wording/jsonerror"
)

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

// ParseSet reads one set from a JSON object with the members
// pck_crl_issuer_chain, root_ca_crl, pck_crl, tcb_info_issuer_chain, tcb_info,
// tcb_info_signature, qe_identity_issuer_chain, qe_identity,
// qe_identity_signature and, optionally, pck_certificate_chain, in snake or camel
// case. A member is text or an array of bytes, with or without the NUL of a C string.
// Chains are PEM, percent-encoded or not; CRLs are hex, base64, PEM or DER;
// signatures are hex or bytes of r || s; tcb_info and qe_identity are the exact
// signed texts, or the whole responses of Intel's service with the signature inside.
// Absent members are absent pieces; unknown and duplicate members are refused.
func ParseSet(b []byte) (*Intel, error) {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(b, &members); err != nil {
		return nil, fmt.Errorf("collateral: %s", jsonerror.Text(err))
	}
	return parseSet(members)
}

func parseSet(members map[string]jsontext.Value) (*Intel, error) {
	var p parts
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		key := fold(name)
		if other := seen[key]; other != "" {
			return nil, fmt.Errorf("collateral: members %s and %s are the same", other, name)
		}
		seen[key] = name
		into := p.member(key)
		switch {
		case into != nil:
			b, err := memberBytes(members[name])
			if err != nil {
				return nil, fmt.Errorf("collateral: %s: %w", name, err)
			}
			*into = b
		case !slices.Contains(structMembers, key) && !strings.HasSuffix(key, "size"):
			return nil, fmt.Errorf("collateral: unknown member %q", name)
		}
	}
	c, err := p.set()
	if err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	return c, nil
}

// structMembers are those of Intel's sgx_ql_qve_collateral_t that carry nothing here.
var structMembers = []string{"version", "majorversion", "minorversion", "teetype"}

// parts are the pieces of a set as they were sent.
type parts struct {
	pckCRLIssuerChain, rootCRL, pckCRL                     []byte
	tcbInfoIssuerChain, tcbInfo, tcbInfoSignature          []byte
	qeIdentityIssuerChain, qeIdentity, qeIdentitySignature []byte
	pckCertificateChain                                    []byte
}

// member returns the part with the given folded name, or nil.
func (p *parts) member(name string) *[]byte {
	switch name {
	case "pckcrlissuerchain":
		return &p.pckCRLIssuerChain
	case "rootcacrl", "rootcrl":
		return &p.rootCRL
	case "pckcrl":
		return &p.pckCRL
	case "tcbinfoissuerchain":
		return &p.tcbInfoIssuerChain
	case "tcbinfo":
		return &p.tcbInfo
	case "tcbinfosignature":
		return &p.tcbInfoSignature
	case "qeidentityissuerchain":
		return &p.qeIdentityIssuerChain
	case "qeidentity":
		return &p.qeIdentity
	case "qeidentitysignature":
		return &p.qeIdentitySignature
	case "pckcertificatechain", "pckcertchain":
		return &p.pckCertificateChain
	}
	return nil
}

// NewIntel makes a set of the seven pieces of Intel's quote verification library
// (sgx_ql_qve_collateral_t) in their order: issuer chain of the PCK CRL, root CRL, PCK
// CRL, issuer chain of the TCB info, TCB info, issuer chain of the QE identity, QE
// identity; the last two are responses with their signatures.
func NewIntel(pieces [7][]byte) (*Intel, error) {
	p := parts{
		pckCRLIssuerChain:     pieces[0],
		rootCRL:               pieces[1],
		pckCRL:                pieces[2],
		tcbInfoIssuerChain:    pieces[3],
		tcbInfo:               pieces[4],
		qeIdentityIssuerChain: pieces[5],
		qeIdentity:            pieces[6],
	}
	return p.set()
}

// set decodes the parts.
func (p *parts) set() (*Intel, error) {
	c := &Intel{}
	var err error
	for _, chain := range []struct {
		name string
		from []byte
		into *[]byte
	}{
		{"pck_crl_issuer_chain", p.pckCRLIssuerChain, &c.PCKCRLIssuerChain},
		{"tcb_info_issuer_chain", p.tcbInfoIssuerChain, &c.TCBInfoIssuerChain},
		{"qe_identity_issuer_chain", p.qeIdentityIssuerChain, &c.QEIdentityIssuerChain},
		{"pck_certificate_chain", p.pckCertificateChain, &c.PCKCertificateChain},
	} {
		if *chain.into, err = decodeChain(chain.from); err != nil {
			return nil, fmt.Errorf("%s: %w", chain.name, err)
		}
	}
	if c.RootCRL, err = DecodeCRL(p.rootCRL); err != nil {
		return nil, fmt.Errorf("root_ca_crl: %w", err)
	}
	if c.PCKCRL, err = DecodeCRL(p.pckCRL); err != nil {
		return nil, fmt.Errorf("pck_crl: %w", err)
	}
	if c.TCBInfo, c.TCBInfoSignature, err = decodeSigned(p.tcbInfo, p.tcbInfoSignature, "tcbInfo"); err != nil {
		return nil, fmt.Errorf("tcb_info: %w", err)
	}
	c.QEIdentity, c.QEIdentitySignature, err = decodeSigned(p.qeIdentity, p.qeIdentitySignature,
		"enclaveIdentity")
	if err != nil {
		return nil, fmt.Errorf("qe_identity: %w", err)
	}
	return c, nil
}

// decodeSigned returns the signed text and its signature: of a whole response, or of
// both apart.
func decodeSigned(text, signature []byte, member string) (signed, raw []byte, err error) {
	text = trim(text)
	if len(signature) == 0 && len(text) > 0 {
		if signed, raw, err := ParseResponse(text, member); err == nil {
			return signed, raw, nil
		}
	}
	raw, err = decodeSignature(signature)
	return text, raw, err
}

// decodeSignature reads r || s as hex, base64 or bytes.
func decodeSignature(b []byte) ([]byte, error) {
	if len(b) == 64 && !isHex(b) {
		return b, nil
	}
	text := trim(b)
	if isHex(text) {
		return hex.AppendDecode(nil, text)
	}
	if der, err := base64.StdEncoding.AppendDecode(nil, text); err == nil && len(der) == 64 {
		return der, nil
	}
	return nil, errors.New("the signature is not hex")
}

// decodeChain returns the PEM text of a chain that may be percent-encoded, as in the
// headers of Intel's service, or end with a NUL.
func decodeChain(b []byte) ([]byte, error) {
	text := bytes.TrimRight(bytes.TrimPrefix(b, byteOrderMark), "\x00")
	if !bytes.Contains(text, []byte("-----BEGIN%20")) && !bytes.Contains(text, []byte("-----BEGIN+")) {
		return text, nil
	}
	// Not QueryUnescape: base64 contains +.
	plain, err := url.PathUnescape(strings.ReplaceAll(string(text), "-----BEGIN+CERTIFICATE",
		"-----BEGIN%20CERTIFICATE"))
	if err != nil {
		return nil, errors.New("neither PEM nor percent-encoded PEM")
	}
	return []byte(strings.ReplaceAll(plain, "-----END+CERTIFICATE", "-----END CERTIFICATE")), nil
}

// memberBytes returns what a JSON value contains: the text of a string, the bytes of an
// array, the strings of a list one after the other, or the JSON text of an object.
func memberBytes(value jsontext.Value) ([]byte, error) {
	switch value.Kind() {
	case '"':
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			return nil, errors.New("a string that does not decode")
		}
		return []byte(s), nil
	case '[':
		if b, ok := byteArray(value); ok {
			return b, nil
		}
		var list []string
		if json.Unmarshal(value, &list) != nil {
			return nil, errors.New("neither an array of bytes nor of strings")
		}
		return []byte(strings.Join(list, "\n")), nil
	case '{':
		return bytes.Clone(value), nil
	case 'n':
		return nil, nil
	}
	return nil, errors.New("want text, an array of bytes or an object")
}

// byteArray reads an array of numbers from 0 to 255.
func byteArray(value jsontext.Value) ([]byte, bool) {
	var numbers []uint8
	var wide []uint16
	if json.Unmarshal(value, &wide) != nil || len(wide) == 0 {
		return nil, false
	}
	numbers = make([]uint8, len(wide))
	for i, n := range wide {
		if n > 255 {
			return nil, false
		}
		numbers[i] = uint8(n)
	}
	return numbers, true
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// trim takes off what editors and C programs put around text.
func trim(b []byte) []byte {
	return bytes.Trim(bytes.TrimPrefix(b, byteOrderMark), " \t\r\n\x00")
}

// fold makes names of members alike: tcb_info, tcbInfo and TCB-Info.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
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
	if len(b) > 0 && b[0] == 0x30 && !isHex(trim(b)) {
		return derOnly(b), nil
	}
	text := trim(b)
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
		der, err := base64.StdEncoding.AppendDecode(nil, bytes.Map(notSpace, text))
		if err != nil {
			return nil, errors.New("neither DER nor PEM, hex or base64")
		}
		return der, nil
	}
}

// derOnly leaves out the NUL after a structure that was kept as a C string.
func derOnly(b []byte) []byte {
	if len(b) > 4 && b[1] == 0x82 {
		if size := 4 + int(b[2])<<8 + int(b[3]); size+1 == len(b) && b[size] == 0 {
			return b[:size]
		}
	}
	return b
}

func notSpace(r rune) rune {
	if r == ' ' || r == '\n' || r == '\r' || r == '\t' {
		return -1
	}
	return r
}

func isHex(b []byte) bool {
	for _, c := range b {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return false
		}
	}
	return len(b)%2 == 0
}

// ParseResponse splits a response of Intel's service, {"tcbInfo":…} or
// {"enclaveIdentity":…} with its signature, into the exact signed bytes and
// the raw signature.
func ParseResponse(b []byte, member string) (signed, signature []byte, err error) {
	var response map[string]jsontext.Value
	if err := json.Unmarshal(b, &response); err != nil {
		return nil, nil, errors.New(jsonerror.Text(err))
	}
	if response[member] == nil {
		return nil, nil, fmt.Errorf("no member %s", member)
	}
	text, err := memberBytes(response["signature"])
	if err != nil || len(text) == 0 {
		return nil, nil, errors.New("no member signature: keep the whole body of the response")
	}
	if signature, err = decodeSignature(text); err != nil {
		return nil, nil, err
	}
	return bytes.Clone(response[member]), signature, nil
}
