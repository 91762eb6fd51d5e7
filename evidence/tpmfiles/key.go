package tpmfiles

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/probity-dev/probity/evidence/tpm"
	"github.com/probity-dev/probity/strict/pubkey"
)

// Key is the public part of a key.
type Key struct {
	Public crypto.PublicKey
	// Area is the public area, if the file has one: it names the attributes and the name.
	Area *tpm.Public
	// Certificate is the DER of its certificate, or nil.
	Certificate []byte
}

// Same reports whether two keys are one.
func (k *Key) Same(other *Key) bool { return tpm.SameKey(k.Public, other.Public) }

// keyFile reads a public key or a certificate.
func keyFile(b []byte) File {
	if block, rest := pem.Decode(b); block != nil && isText(b) {
		return pemFile(block, rest)
	}
	if len(b) > maxCertificate {
		return File{}
	}
	if public, err := pubkey.Parse(b); err == nil {
		return File{
			Type: PublicKey, Name: "a public key (" + kindOf(public) + ") in DER",
			Key: &Key{Public: public}, Bytes: b,
		}
	}
	if cert, err := tpm.ParseCertificate(b); err == nil {
		return certificateFile(cert, len(b)-len(cert.Raw))
	}
	if len(b) > 2 && int(binary.BigEndian.Uint16(b)) == len(b)-2 {
		if p, err := tpm.ParseSizedPublic(b); err == nil {
			return areaFile(p, b[2:], "TPM2B_PUBLIC")
		}
	}
	if p, err := tpm.ParsePublic(b); err == nil {
		return areaFile(p, b, "TPMT_PUBLIC")
	}
	return File{}
}

// isText tells a PEM file, which may have words before the block, from evidence that has
// one within.
func isText(b []byte) bool {
	return utf8.Valid(b) &&
		!bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) })
}

// areaFile names a public area by what its key is for.
func areaFile(p *tpm.Public, area []byte, form string) File {
	what := "a TPM's public key"
	switch {
	case tpm.ValidateAK(p) == nil:
		what = "the public area of an attestation key"
	case tpm.CheckEK(p, nil) == nil:
		what = "the public area of an endorsement key"
	}
	return File{Type: PublicKey, Name: fmt.Sprintf("%s (%s, %s)", what, form,
		kindOf(p.Key)), Key: &Key{Public: p.Key, Area: p}, Bytes: area}
}

func pemFile(block *pem.Block, rest []byte) File {
	switch block.Type {
	case "PUBLIC KEY":
		if public, err := pubkey.Parse(block.Bytes); err == nil {
			return File{
				Type:  PublicKey,
				Name:  "a public key (" + kindOf(public) + ") in PEM",
				Key:   &Key{Public: public},
				Bytes: block.Bytes,
			}
		}
	case "RSA PUBLIC KEY":
		if public, err := pubkey.ParsePKCS1(block.Bytes); err == nil {
			return File{
				Type:  PublicKey,
				Name:  "a public key (" + kindOf(public) + ") in PEM",
				Key:   &Key{Public: public},
				Bytes: block.Bytes,
			}
		}
	case "CERTIFICATE":
		cert, err := tpm.ParseCertificate(block.Bytes)
		if err != nil {
			return File{}
		}
		f := certificateFile(cert, len(block.Bytes)-len(cert.Raw))
		if next, _ := pem.Decode(rest); next != nil && f.Type == Certificate {
			f.Hint = "the first certificate is read; name the authorities that you trust with --root"
		}
		f.Name += " in PEM"
		return f
	case "TSS2 PRIVATE KEY":
		if p, area, err := tss2Public(block.Bytes); err == nil {
			f := areaFile(p, area, "in a TSS2 key file, whose private part only its own TPM can read")
			return f
		}
	}
	return File{}
}

// tss2Public reads the public area of a TPMKey (draft-bottomley-tpm2-keys, section 3.1).
func tss2Public(der []byte) (*tpm.Public, []byte, error) {
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || outer.Tag != asn1.TagSequence {
		return nil, nil, errors.New("not a TPM key")
	}
	for rest := outer.Bytes; len(rest) > 0; {
		var item asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &item); err != nil {
			return nil, nil, errors.New("not a TPM key")
		}
		if item.Class != asn1.ClassUniversal || item.Tag != asn1.TagOctetString {
			continue
		}
		p, err := tpm.ParseSizedPublic(item.Bytes)
		if err != nil || len(item.Bytes) != 2+int(binary.BigEndian.Uint16(item.Bytes)) {
			return nil, nil, errors.New("a TPM key without a public area that can be read")
		}
		return p, item.Bytes[2:], nil
	}
	return nil, nil, errors.New("a TPM key without a public area")
}

func kindOf(key crypto.PublicKey) string {
	if rsaKey, ok := key.(*rsa.PublicKey); ok {
		return fmt.Sprintf("RSA %d", rsaKey.N.BitLen())
	}
	return "ECC"
}
