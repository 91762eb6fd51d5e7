package describe

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence/dcap"
	"github.com/probity-dev/probity/evidence/openenclave"
	"github.com/probity-dev/probity/policy"
	"github.com/probity-dev/probity/token"
	"github.com/probity-dev/probity/wording/phrase"
	"github.com/probity-dev/probity/wording/plainerror"
)

// File tries one form after the other, the most telling ones first.
func File(b []byte) Fields {
	for _, try := range []func([]byte) Fields{
		inspectEncoded, inspectToken, inspectPEM, inspectBoot, inspectHCL, inspectSNP, inspectJSON,
		inspectPolicy, inspectQuote, inspectEndorsements, inspectFramed, inspectDER,
		inspectUVM, inspectNitro, inspectCCA, recogniseLog, inspectIMA, inspectTPM, inspectForm,
	} {
		if found := try(b); found != nil {
			return found
		}
	}
	return nil
}

// AnsweredToken takes the token out of {"token":"…"}, the answer of an attestation service.
func AnsweredToken(b []byte) (compact string, ok bool) {
	var answer struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(b, &answer, json.RejectUnknownMembers(true)) != nil {
		return "", false
	}
	_, _, err := token.Decode(answer.Token)
	return answer.Token, err == nil
}

func inspectToken(b []byte) Fields {
	compact, answered := AnsweredToken(b)
	if !answered {
		compact = string(bytes.TrimSpace(b))
	}
	header, payload, err := token.Decode(compact)
	if err != nil {
		return nil
	}
	f := Fields{{"what", "JSON Web Token (not verified)"}, {"header", header}}
	if payload != nil {
		f.Add("payload", payload)
	}
	var times struct {
		Expires int64 `json:"exp"`
	}
	if json.Unmarshal(payload, &times) == nil && times.Expires != 0 {
		f.Add("expires", time.Unix(times.Expires, 0).UTC().Format(time.RFC3339))
	}
	return f
}

func inspectPEM(b []byte) Fields {
	if bytes.HasPrefix(b, []byte("-----BEGIN%20")) { // as headers of Intel's service have it
		if text, err := url.PathUnescape(string(b)); err == nil {
			b = []byte(text)
		}
	}
	// Quotes contain PEM text too; files of certificates have other text between the blocks.
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 ||
		!bytes.HasPrefix(b, []byte("-----BEGIN ")) && !bytes.Contains(b, []byte("\n-----BEGIN ")) {
		return nil
	}
	switch certs := pemFields(b); len(certs) {
	case 0:
		return nil
	case 1:
		return certs[0]
	default:
		return Fields{{"what", fmt.Sprintf("PEM file with %d blocks", len(certs))}, {"blocks", certs}}
	}
}

// pemFields shows the blocks of PEM text, which may stand among other text.
func pemFields(b []byte) (list []Fields) {
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list
		}
		one := inspectDER(block.Bytes)
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); one == nil && err == nil {
			one = append(Fields{{"what", "public key"}},
				append(KeyFields(key), Field{"sha256", hexSum(block.Bytes)})...)
		}
		if one == nil {
			one = Fields{{"what", "PEM block of type " + block.Type}, {"bytes", len(block.Bytes)}}
		}
		list = append(list, one)
	}
}

func inspectDER(b []byte) Fields {
	if cert, err := x509.ParseCertificate(b); err == nil {
		return certificateFields(cert)
	}
	if cert, behind := paddedCertificate(b); cert != nil {
		return append(certificateFields(cert), Field{"bytesBehind", behind})
	}
	crl, err := x509.ParseRevocationList(b)
	if err != nil {
		return nil
	}
	f := Fields{{"what", "certificate revocation list"}, {"issuer", crl.Issuer.String()}}
	if crl.Number != nil {
		f.Add("crlNumber", crl.Number.String())
	}
	f = append(f, Field{"thisUpdate", phrase.Stamp(crl.ThisUpdate)},
		Field{"nextUpdate", phrase.Stamp(crl.NextUpdate)})
	var revoked []Fields
	for _, entry := range crl.RevokedCertificateEntries[:min(len(crl.RevokedCertificateEntries), maxRevoked)] {
		revoked = append(revoked, Fields{
			{"serialNumber", entry.SerialNumber.Text(16)},
			{"revocationDate", phrase.Stamp(entry.RevocationTime)},
		})
	}
	f.Add("revoked", len(crl.RevokedCertificateEntries))
	f.addList("revokedCertificates", revoked)
	return f
}

// maxRevoked bounds how many entries of a revocation list are shown.
const maxRevoked = 1000

// paddedCertificate reads a certificate with bytes after it, as indices of a TPM's
// non-volatile memory contain them: their size is fixed, and the rest is zeros or ones.
func paddedCertificate(b []byte) (cert *x509.Certificate, behind int) {
	var raw asn1.RawValue
	rest, err := asn1.Unmarshal(b, &raw)
	if err != nil || len(rest) == 0 || len(bytes.Trim(rest, "\x00")) > 0 && len(bytes.Trim(rest, "\xff")) > 0 {
		return nil, 0
	}
	if cert, err = x509.ParseCertificate(raw.FullBytes); err != nil {
		return nil, 0
	}
	return cert, len(rest)
}

func certificateFields(cert *x509.Certificate) Fields {
	f := Fields{
		{"what", "X.509 certificate"}, {"subject", cert.Subject.String()},
		{"issuer", cert.Issuer.String()},
		{"serialNumber", cert.SerialNumber.Text(16)},
		{"notBefore", phrase.Stamp(cert.NotBefore)}, {"notAfter", phrase.Stamp(cert.NotAfter)},
		{"publicKey", KeyFields(cert.PublicKey)},
		{"signatureAlgorithm", cert.SignatureAlgorithm.String()}, {"ca", cert.IsCA},
		{"sha256", hexSum(cert.Raw)},
	}
	for _, list := range []struct {
		name  string
		texts []string
	}{{"caIssuers", cert.IssuingCertificateURL}, {"crlDistributionPoints", cert.CRLDistributionPoints}} {
		if len(list.texts) > 0 {
			f.Add(list.name, list.texts)
		}
	}
	pck, err := dcap.InspectPCK(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	if err == nil {
		f.Add("pck", pckFields(pck))
	}
	if framed, err := openenclave.Parse(cert.Raw); err == nil {
		if quote := inspectQuote(framed.Quote); quote != nil {
			f.Add("evidence", quote)
		}
	}
	return f
}

// KeyFields shows a public key.
func KeyFields(key any) Fields {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return Fields{{"algorithm", "RSA"}, {"bits", key.N.BitLen()}, {"exponent", key.E}}
	case *ecdsa.PublicKey:
		return Fields{{"algorithm", "ECDSA"}, {"curve", key.Curve.Params().Name}}
	case ed25519.PublicKey:
		return Fields{{"algorithm", "Ed25519"}}
	}
	return Fields{{"algorithm", "unknown"}}
}

func inspectJSON(b []byte) Fields {
	text := jsontext.Value(bytes.Trim(b, " \t\r\n\x00"))
	if !text.IsValid() || text.Kind() != '{' && text.Kind() != '[' {
		return nil
	}
	if found := inspectContainers(text); found != nil {
		return found
	}
	for member, what := range map[string]string{
		"tcbInfo": "Intel TCB info", "enclaveIdentity": "Intel enclave identity",
	} {
		if signed, _, err := collateral.ParseResponse(text, member); err == nil {
			return Fields{{"what", what + " (signature not verified)"}, {member, jsontext.Value(signed)}}
		}
	}
	if bundle, err := collateral.ParseBundle(text); err == nil {
		return append(Fields{{"what", fmt.Sprintf("collateral bundle with %s (signatures not verified)",
			phrase.Plural(bundle.Len(), "piece"))}}, Bundle(bundle)...)
	}
	if set, err := collateral.ParseSet(text); err == nil {
		if found := setFields("Intel collateral set", set); len(found) > 1 { // an empty object parses too
			return found
		}
	}
	var keys token.KeySet
	if err := json.Unmarshal(text, &keys); err == nil && len(keys.Keys) > 0 {
		var list []Fields
		for _, k := range keys.Keys {
			list = append(list, Fields{{"kid", k.KeyID}, {"alg", k.Algorithm}, {"publicKey", KeyFields(k.Key)}})
		}
		return Fields{{"what", fmt.Sprintf("JSON Web Key Set with %d keys", len(keys.Keys))}, {"keys", list}}
	}
	return Fields{{"what", "JSON document"}, {"content", text}}
}

func setFields(what string, set *collateral.Intel) Fields {
	f := Fields{{"what", what + " (signatures not verified)"}}
	if about, err := set.About(); err == nil {
		f.Add("tee", string(about.TEE))
		f.Add("fmspc", octets(about.FMSPC[:]))
		f.Add("ca", about.CA)
		f.Add("evaluationDataNumber", about.EvaluationNumber)
		f.Add("issued", phrase.Stamp(about.Issued))
		f.Add("nextUpdate", phrase.Stamp(about.NextUpdate))
	}
	for _, crl := range []struct {
		name string
		der  []byte
	}{{"rootCRL", set.RootCRL}, {"pckCRL", set.PCKCRL}} {
		if found := inspectDER(crl.der); found != nil {
			f.Add(crl.name, found)
		}
	}
	return f
}

func inspectPolicy(b []byte) Fields {
	text := strings.TrimSpace(string(b))
	if !strings.HasPrefix(text, "version") {
		return nil
	}
	p, err := policy.Parse(string(b))
	if err != nil {
		return Fields{{"what", "attestation policy that does not parse"}, {"error", plainerror.Text(err)}}
	}
	f := Fields{
		{"what", fmt.Sprintf("attestation policy, version %d.%d", p.Version.Major, p.Version.Minor)},
		{"hash", policy.Hash(p.Text)},
	}
	var sections []Fields
	for _, s := range p.Sections {
		sections = append(sections, Fields{{"name", s.Name}, {"rules", len(s.Rules)}})
	}
	f.addList("sections", sections)
	return f
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
