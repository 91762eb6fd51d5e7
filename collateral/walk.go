package collateral

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/strict/pubkey"
)

// maxNesting bounds how deep text may be in text.
const maxNesting = 12

// text takes what a text, or bytes, contain. With compact, JSON was rewritten by a
// tool that is known to put white space between tokens, so that it is taken out again
// before the signature is checked.
func (p *pieces) text(file string, b []byte, depth int, compact bool) error {
	text := trim(b)
	if len(text) == 0 || depth > maxNesting {
		return nil
	}
	switch {
	case bytes.HasPrefix(text, []byte("HTTP/")):
		return p.response(file, text, depth, compact)
	case text[0] == '{':
		return p.object(file, text, depth, compact)
	case text[0] == '[':
		return p.array(file, text, depth, compact)
	case text[0] == '"':
		var s string
		if json.Unmarshal(text, &s) == nil {
			return p.text(file, []byte(s), depth+1, compact)
		}
		return nil
	case bytes.HasPrefix(text, []byte("-----BEGIN")):
		return p.pem(file, text)
	case bytes.Contains(text, []byte("-----BEGIN%20")) || bytes.Contains(text, []byte("-----BEGIN ")):
		return p.headers(file, text) // headers that were saved without a status line
	case b[0] == 0x30 && !isHex(text):
		return p.der(file, derOnly(b))
	}
	if clean := bytes.Map(notSpace, bytes.TrimPrefix(text, []byte("0x"))); len(clean) >= 64 {
		if isHex(clean) {
			raw, err := hex.AppendDecode(nil, clean)
			if err != nil {
				return nil
			}
			return p.text(file, raw, depth+1, compact)
		}
		clean = bytes.Map(func(r rune) rune {
			switch r {
			case '-':
				return '+'
			case '_':
				return '/'
			}
			return r
		}, bytes.TrimRight(clean, "="))
		if raw, err := base64.RawStdEncoding.AppendDecode(nil, clean); err == nil {
			return p.text(file, raw, depth+1, compact)
		}
	}
	return nil
}

// response takes an HTTP response that was saved with its headers (curl -i).
func (p *pieces) response(file string, text []byte, depth int, compact bool) error {
	head, body, found := bytes.Cut(text, []byte("\r\n\r\n"))
	if !found {
		head, body, _ = bytes.Cut(text, []byte("\n\n"))
	}
	if err := p.headers(file, head); err != nil {
		return err
	}
	return p.text(file, body, depth+1, compact)
}

// headers takes the issuer chains in header lines.
func (p *pieces) headers(file string, head []byte) error {
	for line := range bytes.Lines(head) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || !strings.HasSuffix(strings.ToLower(string(bytes.TrimSpace(name))), "issuer-chain") {
			continue
		}
		if err := p.pem(file, bytes.TrimSpace(value)); err != nil {
			return err
		}
	}
	return nil
}

// setMembers are names of which one marks an object as a set.
var setMembers = []string{
	"pckcrl", "pckcrlissuerchain", "tcbinfoissuerchain", "qeidentityissuerchain", "tcbinfosignature",
}

// isSet reports whether an object is a set by the name of a member. Names with
// hyphens are those of headers.
func isSet(members map[string]jsontext.Value) bool {
	for name := range members {
		if !strings.Contains(name, "-") && slices.Contains(setMembers, fold(name)) {
			return true
		}
	}
	return false
}

// object takes a bundle, a set, a signed response, or whatever the members contain.
func (p *pieces) object(file string, text []byte, depth int, compact bool) error {
	members, err := jsonMembers(text)
	if err != nil {
		return err
	}
	bundle, err := ParseBundle(text)
	switch {
	case err == nil:
		p.add(file, bundle)
		return nil
	case !errors.Is(err, ErrNoBundle):
		return err
	}
	folded := map[string]jsontext.Value{}
	for name, value := range members {
		folded[fold(name)] = value
	}
	if folded["collaterals"] != nil && folded["collaterals"].Kind() == '{' {
		compact = true // the PCCS admin tool reads and writes TCB infos as JSON
	}
	for _, name := range []string{"tcbInfo", "enclaveIdentity"} {
		if v := folded[fold(name)]; v != nil && folded["signature"] != nil {
			return p.signed(file, name, v, folded["signature"], compact)
		}
		if members[name] != nil && len(members) == 1 {
			return errors.New(name + " without its signature: keep the whole body of the response")
		}
	}
	if isSet(members) {
		set, err := parseSet(members)
		if err != nil {
			return err
		}
		p.add(file, &Bundle{Intel: []*Intel{set}})
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := p.value(file, members[name], depth+1, compact); err != nil {
			return err
		}
	}
	return nil
}

func (p *pieces) array(file string, text []byte, depth int, compact bool) error {
	if b, ok := byteArray(text); ok {
		return p.text(file, b, depth+1, compact)
	}
	var values []jsontext.Value
	if json.Unmarshal(text, &values) != nil {
		return nil
	}
	for _, value := range values {
		if err := p.value(file, value, depth+1, compact); err != nil {
			return err
		}
	}
	return nil
}

func (p *pieces) value(file string, value jsontext.Value, depth int, compact bool) error {
	switch value.Kind() {
	case '{', '[', '"':
		return p.text(file, value, depth, compact)
	}
	return nil
}

// signed takes a TCB info or an enclave identity.
func (p *pieces) signed(file, member string, value, signature jsontext.Value, compact bool) error {
	text, err := memberBytes(value)
	if err != nil {
		return err
	}
	if compact && value.Kind() == '{' {
		again := jsontext.Value(text)
		if err := again.Compact(); err != nil {
			return err
		}
		text = again
	}
	raw, err := memberBytes(signature)
	if err != nil {
		return err
	}
	if raw, err = decodeSignature(raw); err != nil {
		return err
	}
	return p.addSigned(file, member, trim(text), raw)
}

// pem takes certificates and CRLs in PEM, percent-encoded or not. The certificates
// of one text are a chain.
func (p *pieces) pem(file string, text []byte) error {
	text, err := decodeChain(text)
	if err != nil {
		return err
	}
	var chain []*x509.Certificate
	begins, decoded := bytes.Count(text, []byte("-----BEGIN ")), 0
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		decoded++
		switch block.Type {
		case "CERTIFICATE":
			cert, err := pubkey.ParseCertificate(block.Bytes)
			if err != nil {
				return errors.New("a PEM certificate that does not decode")
			}
			chain = append(chain, cert)
		case "X509 CRL":
			if err := p.der(file, block.Bytes); err != nil {
				return err
			}
		}
	}
	if decoded < begins {
		return fmt.Errorf("%d PEM blocks begin, and %d decode: one is cut off or damaged", begins, decoded)
	}
	if len(chain) > 0 {
		p.addChain(file, text, chain)
	}
	return nil
}

// der takes a CRL or a certificate.
func (p *pieces) der(file string, b []byte) error {
	if crl, err := x509.ParseRevocationList(b); err == nil {
		p.addCRL(file, crl)
		return nil
	}
	if cert, err := pubkey.ParseCertificate(b); err == nil {
		p.addChain(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b}), []*x509.Certificate{cert})
	}
	return nil
}
